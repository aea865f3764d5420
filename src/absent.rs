//! What stands where a host was given no adapter: everything asked of it is refused, and says what to choose.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, PinnedImage};
use runtime_domain::environment::{EnvironmentBlueprint, ProvisionedResources};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::metric::{MetricQuery, MetricReading};
use runtime_domain::surface::{EffectClass, EffectId};
use runtime_ports::infrastructure::{InfrastructureEngine, ResourceFinding, ResourcePreview};
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::metric::MetricSource;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::publisher::{EventPublisher, PublishedEvent};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, PortResult};

/// No adapter. Without a bus there is nobody to send events to, which is no failure; all else is one.
pub(crate) struct Absent;

fn refused<T>(operation: &'static str, port: &str, method: &str) -> PortResult<T> {
    let message = format!(
        "this host has no {port}: choose one with `RuntimeBuilder::{method}`, or ask a host that has it"
    );
    Err(PortError::new(PortErrorKind::Unsupported, operation, message))
}

fn no_engine<T>(operation: &'static str) -> PortResult<T> {
    refused(operation, "infrastructure engine", "infrastructure")
}

#[async_trait]
impl InfrastructureEngine for Absent {
    async fn preview(&self, _: &EnvironmentBlueprint) -> PortResult<Vec<ResourcePreview>> {
        no_engine("infrastructure.preview")
    }

    async fn up(&self, _: EffectContext, _: &EnvironmentBlueprint) -> PortResult<ProvisionedResources> {
        no_engine("infrastructure.up")
    }

    async fn refresh(&self, _: &EnvironmentBlueprint) -> PortResult<Vec<ResourceFinding>> {
        no_engine("infrastructure.refresh")
    }

    async fn outputs(&self, _: TenantId, _: EnvironmentId) -> PortResult<Option<BTreeMap<String, String>>> {
        no_engine("infrastructure.outputs")
    }

    async fn destroy(&self, _: EffectContext, _: TenantId, _: EnvironmentId) -> PortResult<()> {
        no_engine("infrastructure.destroy")
    }
}

#[async_trait]
impl ImageRegistry for Absent {
    async fn resolve(&self, _: &ImageReference) -> PortResult<PinnedImage> {
        refused("registry.resolve", "image registry", "registry")
    }

    async fn unpack(&self, _: &PinnedImage, _: &Path) -> PortResult<Bundle> {
        refused("registry.unpack", "image registry", "registry")
    }
}

#[async_trait]
impl HealthProber for Absent {
    async fn probe(&self, _: &ProbeRequest) -> PortResult<ProbeAnswer> {
        refused("prober.probe", "health prober", "prober")
    }
}

#[async_trait]
impl MetricSource for Absent {
    async fn read(&self, _: &MetricQuery) -> PortResult<MetricReading> {
        refused("metrics.read", "metric source", "metrics")
    }
}

#[async_trait]
impl JobRunner for Absent {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn start(&self, _: &JobRequest) -> PortResult<()> {
        refused("jobs.start", "job runner", "jobs")
    }

    async fn state(&self, _: TenantId, _: EffectId) -> PortResult<JobState> {
        refused("jobs.state", "job runner", "jobs")
    }
}

#[async_trait]
impl EventPublisher for Absent {
    async fn publish(&self, _: &PublishedEvent) -> PortResult<()> {
        Ok(())
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use runtime_domain::component::JobSpec;
    use runtime_domain::time::{Span, Timestamp};
    use runtime_testkit::conformance::jobs::Manner;
    use runtime_testkit::conformance::metrics::Requests;
    use runtime_testkit::conformance::{
        AdapterFactory, JobCapabilities, JobFactory, MetricCapabilities, MetricFactory, Persistence, jobs,
        metrics,
    };

    use super::*;

    /// A host of nothing, on which nothing runs.
    struct Nothing;

    #[async_trait]
    impl AdapterFactory for Nothing {
        type Adapter = Absent;

        fn persistence(&self) -> Persistence {
            Persistence::Volatile
        }

        async fn fresh(&self) -> PortResult<Absent> {
            Ok(Absent)
        }

        async fn reopen(&self, absent: Absent) -> PortResult<Absent> {
            Ok(absent)
        }
    }

    #[async_trait]
    impl JobFactory for Nothing {
        fn job(&self, _: Manner) -> JobSpec {
            serde_json::from_value(serde_json::json!({
                "name": "migrate", "image": format!("shop/migrate@sha256:{}", "a".repeat(64)), "timeout": "60s",
            }))
            .unwrap()
        }

        fn impossible(&self) -> Option<JobSpec> {
            None
        }

        fn patience(&self) -> Duration {
            Duration::from_secs(1)
        }

        async fn ran(&self, _: &Absent) -> PortResult<Vec<Vec<String>>> {
            Ok(Vec::new())
        }

        async fn running(&self, _: &Absent) -> PortResult<usize> {
            Ok(0)
        }
    }

    #[async_trait]
    impl MetricFactory for Nothing {
        async fn answer(&self, _: &Absent, _: &Requests) -> PortResult<()> {
            Ok(())
        }

        fn now(&self, _: &Absent) -> Timestamp {
            runtime_testkit::sample::at(1_000)
        }

        async fn pass(&self, _: &Absent, _: Span) {}
    }

    #[tokio::test]
    async fn a_host_without_a_job_runner_says_so_as_the_port_has_it() {
        jobs(Nothing, JobCapabilities { runs: false }).await.assert_passed();
    }

    #[tokio::test]
    async fn a_host_without_a_metric_source_says_so_as_the_port_has_it() {
        metrics(Nothing, MetricCapabilities { metrics: BTreeSet::new() }).await.assert_passed();
    }
}
