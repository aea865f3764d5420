//! What services on this surface are scaled by: requests from the proxies, processors and memory from the system.

use async_trait::async_trait;
use runtime_domain::metric::{MetricName, MetricQuery, MetricReading};
use runtime_domain::scaling::{BurnReading, Reading, ScalingMetric};
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio::time::Instant;

use crate::ProcessSurface;
use crate::component::Component;
use crate::os::{self, Usage};
use crate::proxy::arrivals::Rate;
use crate::proxy::metrics::KEPT;
use crate::state::{blocking, failed};

const SIGNAL: &str = "scaling_signals.signal";
const BURN: &str = "scaling_signals.burn";

impl ProcessSurface {
    fn of_target(&self, operation: &'static str, target: SurfaceKind) -> PortResult<()> {
        let kind = self.shared.options.kind;
        if target == kind {
            return Ok(());
        }
        let message = format!("this surface plays {kind} and knows nothing of {target}");
        Err(PortError::new(PortErrorKind::Unsupported, operation, message))
    }

    fn request_rate(&self, component: &Component) -> Reading {
        let arrivals = &component.proxy.arrivals;
        match arrivals.rate() {
            // A sample is a second that was watched, whether anything came in it or not.
            Rate::Known(value) => {
                let (observed_at, samples) = (self.shared.options.clock.now(), arrivals.window());
                Reading::Measured { value, observed_at, samples }
            }
            Rate::TooShort(watched) => Reading::Missing {
                why: format!("no request came, and it has been watched for {} ms only", watched.as_millis()),
            },
        }
    }

    /// The average over the ready replicas of what `of` makes of what each uses, in percent.
    async fn utilization(
        &self,
        component: &Component,
        query: &SignalQuery,
        of: impl Fn(&crate::instance::Instance, Usage) -> Option<u64>,
    ) -> PortResult<Reading> {
        let instances: Vec<_> = component.instances().values().cloned().collect();
        let ready: Vec<_> = instances
            .into_iter()
            .filter(|instance| *instance.revision() == query.revision)
            .filter_map(|instance| Some((instance.ready_process()?, instance)))
            .collect();
        let processes: Vec<_> = ready.iter().map(|(process, _)| process.clone()).collect();
        let used = blocking(move || os::usage(&processes))
            .await
            .map_err(|error| failed(SIGNAL, "what the processes use could not be read", error))?;
        let Some(used) = used else {
            let message = "this system does not tell what a process and those that it started use: scale by request-rate \
                           or queue-length, or give the host another source";
            return Err(PortError::new(PortErrorKind::Unsupported, SIGNAL, message));
        };
        let percents: Vec<u64> =
            ready.iter().filter_map(|(process, instance)| of(instance, *used.get(&process.pid)?)).collect();
        let samples = u64::try_from(percents.len()).unwrap_or(u64::MAX);
        Ok(match Measure::ratio(percents.iter().sum(), samples.saturating_mul(1_000)) {
            Some(value) => Reading::Measured { value, observed_at: self.shared.options.clock.now(), samples },
            None if ready.is_empty() => Reading::Missing { why: "no replica is ready".to_owned() },
            None => Reading::Missing { why: "it is looked at for the first time".to_owned() },
        })
    }

    /// How fast the budget burns that the objective leaves.
    fn burnt(&self, component: &Component, query: &BurnQuery, over: Span, left: i64) -> PortResult<Reading> {
        let since = over.before(query.at);
        let asked = MetricQuery {
            key: query.key.clone(),
            revision: query.revision.clone(),
            metric: MetricName::ErrorRate,
            since,
            until: query.at,
        };
        let MetricReading { value, samples, newest } = component.proxy.metrics.read(&asked)?;
        Ok(match (value, newest) {
            (Some(rate), Some(observed_at)) => {
                let burn = i128::from(rate.micros()) * 1_000_000 / i128::from(left.max(1));
                let value = Measure::from_micros(i64::try_from(burn).unwrap_or(i64::MAX));
                Reading::Measured { value, observed_at, samples }
            }
            _ => Reading::Missing { why: format!("no request was answered within {over}") },
        })
    }
}

#[async_trait]
impl ScalingSignals for ProcessSurface {
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading> {
        self.of_target(SIGNAL, query.target)?;
        if query.metric == ScalingMetric::QueueLength {
            let message = "this surface knows no queue: give the host a source that does";
            return Err(PortError::new(PortErrorKind::Unsupported, SIGNAL, message));
        }
        let Some(component) = self.applied(&query.key) else {
            return Ok(Reading::Missing { why: "nothing of it runs here".to_owned() });
        };
        let options = &self.shared.options;
        // In thousandths of a percent.
        match query.metric {
            ScalingMetric::CpuUtilization => {
                let (now, requested) = (Instant::now(), u64::from(options.requested_cpu.max(1)));
                let percent = |load: u64| load.saturating_mul(100_000) / requested;
                self.utilization(&component, query, |instance, used| {
                    instance.load(used.cpu, now).map(percent)
                })
                .await
            }
            ScalingMetric::MemoryUtilization => {
                let requested = options.requested_memory.max(1);
                self.utilization(&component, query, |_, used| {
                    Some(used.memory.saturating_mul(100_000) / requested)
                })
                .await
            }
            ScalingMetric::RequestRate | ScalingMetric::QueueLength => Ok(self.request_rate(&component)),
        }
    }

    async fn burn(&self, query: &BurnQuery) -> PortResult<BurnReading> {
        self.of_target(BURN, query.target)?;
        let unsupported = |message: String| PortError::new(PortErrorKind::Unsupported, BURN, message);
        let Some(objective) = self.shared.options.objective else {
            let message = "this surface was given no objective: set `ProcessSurfaceOptions::objective`";
            return Err(unsupported(message.to_owned()));
        };
        if query.long > KEPT {
            return Err(unsupported(format!("this surface looks back for {KEPT} at the most")));
        }
        let Some(component) = self.applied(&query.key) else {
            let missing = Reading::Missing { why: "nothing of it runs here".to_owned() };
            return Ok(BurnReading { short: missing.clone(), long: missing });
        };
        let left = 1_000_000 - objective.micros();
        Ok(BurnReading {
            short: self.burnt(&component, query, query.short, left)?,
            long: self.burnt(&component, query, query.long, left)?,
        })
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        loop {
            let noticed = self.shared.something_waits.notified();
            let mut noticed = std::pin::pin!(noticed);
            noticed.as_mut().enable();
            let mut waited_for = self.components_where(|_| true);
            waited_for.retain(|component| component.proxy.is_waited_for());
            if !waited_for.is_empty() {
                return waited_for.iter().map(|component| component.key.clone()).collect();
            }
            noticed.await;
        }
    }
}
