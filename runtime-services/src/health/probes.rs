//! What instances answer when they are asked.

use runtime_domain::component::HttpProbeSpec;
use runtime_domain::health::{CheckEntry, HealthStatus, LatencyMs, ProbeKind};
use runtime_domain::inventory::{RuntimeService, ServiceInstance};
use runtime_domain::surface::InstanceState;
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_ports::prober::{ProbeAnswer, ProbeRequest};
use tokio::task::JoinSet;

use crate::health::HealthService;
use crate::health::familiar::Declared;
use crate::host::Host;

/// How many instances are asked.
const MOST: usize = CheckEntry::MOST / 4;

/// What came of asking.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// What was answered.
    pub(super) entries: Vec<CheckEntry>,
    /// How many could not be asked, which says nothing about the workload.
    pub(super) unasked: usize,
}

impl HealthService {
    /// Asks all instances that requests may be sent to, at once.
    pub(super) async fn probes(&self, service: &RuntimeService, declared: &Declared) -> Probed {
        let probes = [(ProbeKind::Readiness, &declared.readiness), (ProbeKind::Liveness, &declared.liveness)];
        let is_up = |instance: &&ServiceInstance| {
            instance.is_routed && matches!(instance.state, InstanceState::Ready | InstanceState::NotReady)
        };
        let mut asked = JoinSet::new();
        for (number, instance) in service.instances().iter().filter(is_up).take(MOST).enumerate() {
            for (kind, spec) in &probes {
                if let (Some(spec), Some(address)) = (spec, &instance.address) {
                    let (host, name) = (self.host.clone(), instance.name.clone());
                    let (kind, spec, address) = (*kind, spec.clone(), address.clone());
                    asked.spawn(async move { probe(&host, number, name, address, kind, &spec).await });
                }
            }
        }
        let mut probed = Probed::default();
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Some(entry)) => probed.entries.push(entry),
                Ok(None) | Err(_) => probed.unasked += 1,
            }
        }
        probed.entries.sort_by(|one, other| (&one.probe, one.kind).cmp(&(&other.probe, other.kind)));
        probed
    }
}

async fn probe(
    host: &Host,
    number: usize,
    instance: String,
    address: String,
    kind: ProbeKind,
    spec: &HttpProbeSpec,
) -> Option<CheckEntry> {
    let request = ProbeRequest { address, path: spec.path.clone(), timeout: spec.timeout };
    let answer = host.bounded("prober.probe", host.ports().prober.probe(&request)).await;
    let (status, latency, seen) = match answer {
        Ok(ProbeAnswer::Answered { status: 200..=299, latency }) => {
            (HealthStatus::Healthy, latency, "ok".to_owned())
        }
        Ok(ProbeAnswer::Answered { status, latency }) => {
            (HealthStatus::Unhealthy, latency, format!("status {status}"))
        }
        Ok(ProbeAnswer::Silent { reason }) => (HealthStatus::Unhealthy, spec.timeout, reason),
        Err(error) => {
            tracing::warn!(instance, %error, "an instance could not be probed");
            return None;
        }
    };
    let name = match kind {
        ProbeKind::Liveness => format!("liveness-{number}"),
        _ => format!("readiness-{number}"),
    };
    let data = [("instance".to_owned(), instance), (CheckEntry::SEEN.to_owned(), seen)];
    Name::new(&name).ok().map(|probe| entry(probe, kind, status, latency, data))
}

pub(super) fn entry(
    probe: Name,
    kind: ProbeKind,
    status: HealthStatus,
    duration: Span,
    data: impl IntoIterator<Item = (String, String)>,
) -> CheckEntry {
    let duration = LatencyMs(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX));
    CheckEntry { probe, kind, required: true, status, duration, data: data.into_iter().collect() }
}
