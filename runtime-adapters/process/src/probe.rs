//! Judging one running instance: whether it may get requests, and whether it must be replaced.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use runtime_domain::component::HttpProbeSpec;
use runtime_domain::surface::InstanceState;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::component::Component;
use crate::instance::Instance;
use crate::proxy::upstream::Upstream;

/// How often an instance is asked that has not been ready yet, so that a start is not rounded up to a whole period.
const STARTING_PERIOD: Duration = Duration::from_millis(100);
/// How often an instance without a readiness probe is connected to.
const CONNECT_PERIOD: Duration = Duration::from_secs(1);
/// How long such a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// After how many refused connections in a row such an instance counts as not ready.
const CONNECT_FAILURES: u16 = 3;
/// The shortest time between two looks, whatever wakes the probe.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);

/// What one look showed.
enum Look {
    Well,
    Unwell(String),
    /// The prober itself failed: it says nothing about the instance, either way.
    Unknown(String),
}

async fn look(prober: &dyn HealthProber, address: SocketAddr, probe: &HttpProbeSpec) -> Look {
    let request =
        ProbeRequest { address: address.to_string(), path: probe.path.clone(), timeout: probe.timeout };
    // The prober keeps the time-out; this one only bounds a prober that does not.
    let patience = probe.timeout.to_std().saturating_mul(2) + Duration::from_secs(1);
    match tokio::time::timeout(patience, prober.probe(&request)).await {
        Ok(Ok(ProbeAnswer::Answered { status: 200..=299, .. })) => Look::Well,
        Ok(Ok(ProbeAnswer::Answered { status, .. })) => {
            Look::Unwell(format!("{} answered with status {status}", probe.path.as_str()))
        }
        Ok(Ok(ProbeAnswer::Silent { reason })) => Look::Unwell(format!("{}: {reason}", probe.path.as_str())),
        Ok(Err(error)) => Look::Unknown(format!("{} could not be probed: {error}", probe.path.as_str())),
        Err(_) => Look::Unknown(format!("the prober did not come back from {}", probe.path.as_str())),
    }
}

async fn look_by_connecting(address: SocketAddr) -> Look {
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Look::Well,
        Ok(Err(error)) => Look::Unwell(format!("nothing listens on {address}: {error}")),
        Err(_) => Look::Unwell(format!("{address} takes no connection")),
    }
}

/// Keeps the instance's readiness up to date, and the component's routes with it.
pub(crate) async fn watch_readiness(
    component: &Component,
    instance: &Instance,
    upstream: &Upstream,
) -> Infallible {
    let probe = instance.spec.component.readiness.as_ref();
    let period = probe.map_or(CONNECT_PERIOD, |probe| probe.period.to_std()).max(SHORTEST_PERIOD);
    let threshold = probe.map_or(CONNECT_FAILURES, |probe| probe.failure_threshold.max(1));
    let mut failures = 0_u16;
    loop {
        let seen = match probe {
            Some(probe) => look(&*component.shared.options.prober, upstream.address(), probe).await,
            None => look_by_connecting(upstream.address()).await,
        };
        match seen {
            Look::Well => {
                failures = 0;
                if instance.state() != InstanceState::Ready {
                    instance.set_state(InstanceState::Ready);
                    component.publish();
                }
            }
            Look::Unwell(reason) => {
                failures = failures.saturating_add(1);
                instance.set_trouble(&reason);
                if failures >= threshold && instance.state() == InstanceState::Ready {
                    instance.set_state(InstanceState::NotReady);
                    component.publish();
                }
            }
            Look::Unknown(reason) => instance.set_trouble(&reason),
        }
        instance.judged.cancel();
        let pause = match instance.state() {
            InstanceState::Ready => period,
            _ => period.min(STARTING_PERIOD),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = async {
                upstream.suspected.notified().await;
                tokio::time::sleep(SHORTEST_PERIOD.min(period)).await;
            } => {}
        }
    }
}

/// Returns, with what was seen, once the instance must be replaced. An instance that was never well is spared until its allowance to
/// start is over.
pub(crate) async fn unwell(component: &Component, instance: &Instance, upstream: &Upstream) -> String {
    let Some(probe) = instance.spec.component.liveness.as_ref() else { return std::future::pending().await };
    let allowance = component.shared.options.startup_allowance.to_std();
    let started = Instant::now();
    let mut was_well = false;
    let mut failures = 0_u16;
    loop {
        tokio::time::sleep(probe.period.to_std().max(SHORTEST_PERIOD)).await;
        match look(&*component.shared.options.prober, upstream.address(), probe).await {
            Look::Well => {
                was_well = true;
                failures = 0;
            }
            Look::Unwell(reason) => {
                failures = failures.saturating_add(1);
                was_well |= instance.state() == InstanceState::Ready;
                let spared = !was_well && started.elapsed() < allowance;
                if failures >= probe.failure_threshold.max(1) && !spared {
                    return format!("its liveness probe failed {failures} times in a row: {reason}");
                }
            }
            Look::Unknown(reason) => instance.set_trouble(&reason),
        }
    }
}
