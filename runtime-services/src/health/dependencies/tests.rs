use std::sync::Arc;

use runtime_domain::health::{EvaluationWindow, HealthStatus::*, RecordHealthCheck, Thresholds};
use runtime_domain::id::{HealthCheckResultId, ServiceId, TenantId};
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Name;
use runtime_memory::MemoryHealthResults;
use runtime_ports::health_results::{HealthRecord, HealthResultStore as _};

use super::*;
use crate::records::Records;
use crate::services::Services;
use crate::testing::{DrivenClock, host};

const ENVIRONMENT: EnvironmentId = EnvironmentId::from_uuid(uuid::Uuid::from_u128(9));

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What was found of components, and what follows for one that asks.
struct Stage {
    services: Services,
    records: MemoryHealthResults,
    scope: TenantScope,
}

impl Stage {
    fn new() -> Self {
        let now = Span::from_secs(1_000).after(Timestamp::UNIX_EPOCH);
        let records = MemoryHealthResults::new();
        let kept = Records { health_results: Some(Arc::new(records.clone())), ..Records::default() };
        let host = host(&DrivenClock::at(now), kept);
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(1));
        let scope = TenantScope::authenticated(tenant, Actor::new("ann").unwrap(), host.new_correlation());
        Self { services: Services::new(host, Vec::new()).unwrap(), records, scope }
    }

    /// A component was found so: by itself, and as far as it depends on others that were so.
    async fn found(&self, module: &str, own: HealthStatus, needs: &[(&str, bool, HealthStatus)]) {
        let entries = needs.iter().map(|(needed, required, status)| {
            let needed = name(needed);
            told(
                Dependency { name: &needed, required: *required, http: None },
                *status,
                Span::ZERO,
                "it is so",
            )
        });
        let own = entry(name("instances"), ProbeKind::Itself, own, Span::ZERO, []);
        self.found_with(module, entries.chain([own]).collect()).await;
    }

    async fn found_with(&self, module: &str, entries: Vec<CheckEntry>) {
        let module = name(module);
        let now = self.services.host().now();
        let before = Span::from_secs(999).after(Timestamp::UNIX_EPOCH);
        let command = RecordHealthCheck {
            health_check_result_id: HealthCheckResultId::from_uuid(
                ServiceId::of(ENVIRONMENT, &module).uuid(),
            ),
            tenant_id: self.scope.tenant(),
            environment_id: ENVIRONMENT,
            service_id: ServiceId::of(ENVIRONMENT, &module),
            module_id: module,
            evaluation_window: EvaluationWindow::new(before, now).unwrap(),
            entries,
            previous: None,
            is_continued: false,
            thresholds: Thresholds::NONE,
        };
        let decision = HealthCheckResult::record(command, now).unwrap();
        let events = decision.events.iter().map(|event| (event, now));
        let result = HealthCheckResult::evolve_all(None, events).unwrap().unwrap();
        let record = HealthRecord { result, revision: None };
        self.records.tenant_health_results(&self.scope).append(&[record]).await.unwrap();
    }

    /// How something that `web` needs counts for it.
    async fn counts(&self, needed: &str, required: bool) -> Option<HealthStatus> {
        let needed = name(needed);
        let needed = Dependency { name: &needed, required, http: None };
        let health = self.services.health();
        let entry = health.component(&self.scope, ENVIRONMENT, &name("web"), needed).await.unwrap();
        entry.map(|entry| entry.counts_as())
    }
}

#[tokio::test]
async fn a_required_dependency_that_is_ill_makes_ill_and_an_optional_one_only_degrades() {
    for (found, required, counted) in [
        (Unhealthy, true, Unhealthy),
        (Unhealthy, false, Degraded),
        (Degraded, true, Healthy),
        (Degraded, false, Healthy),
        (Healthy, true, Healthy),
    ] {
        let stage = Stage::new();
        stage.found("db", found, &[]).await;
        assert_eq!(stage.counts("db", required).await, Some(counted), "{found} {required}");
    }
    assert_eq!(Stage::new().counts("db", true).await, None, "nothing is known of it");
}

#[tokio::test]
async fn what_is_required_is_passed_on_down_to_the_cause() {
    let stage = Stage::new();
    stage.found("db", Unhealthy, &[]).await;
    stage.found("store", Healthy, &[("db", true, Unhealthy)]).await;
    stage.found("cart", Healthy, &[("store", true, Unhealthy)]).await;
    assert_eq!(stage.counts("cart", true).await, Some(Unhealthy));
}

#[tokio::test]
async fn a_circle_of_required_dependencies_does_not_keep_itself_ill() {
    let stage = Stage::new();
    stage.found("web", Healthy, &[("cart", true, Unhealthy)]).await;
    stage.found("cart", Healthy, &[("web", true, Unhealthy)]).await;
    assert_eq!(stage.counts("cart", true).await, Some(Degraded), "two");
    stage.found("store", Healthy, &[("mail", true, Unhealthy)]).await;
    stage.found("mail", Healthy, &[("store", true, Unhealthy)]).await;
    assert_eq!(stage.counts("store", true).await, Some(Degraded), "a circle that web is no part of");
    stage.found("pay", Unhealthy, &[("web", true, Unhealthy)]).await;
    assert_eq!(stage.counts("pay", true).await, Some(Unhealthy), "a circle with a cause");
}

#[tokio::test]
async fn a_service_outside_is_a_cause_and_holds_back_those_who_would_scale_into_it() {
    let outside = OutsideService::at("http://pay.example/".to_owned().try_into().unwrap());
    let pay = name("pay");
    let ill = |required| {
        told(Dependency { name: &pay, required, http: Some(&outside) }, Unhealthy, Span::ZERO, "it is out")
    };
    let stage = Stage::new();
    stage.found_with("cart", vec![ill(true)]).await;
    assert_eq!(stage.counts("cart", true).await, Some(Unhealthy));
    stage.found_with("store", vec![ill(false)]).await;
    assert_eq!(stage.counts("store", true).await, Some(Healthy), "it can do without");
    for module in ["cart", "store"] {
        let open = stage.services.health().ill_outside(&stage.scope, ENVIRONMENT, &name(module)).await;
        assert_eq!(open.unwrap(), [pay.clone()].into(), "{module}");
    }
}
