//! Asking services outside: only where the environment may go, and each of them no oftener than it can bear.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::component::{OutsideService, ServiceUrl};
use runtime_domain::id::TenantId;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortErrorKind;
use runtime_ports::prober::{ProbeAnswer, ProbeRequest};

use crate::host::Host;
use crate::relay::circuit::Circuit;

/// How long a destination that nobody asks for any more is remembered.
const REMEMBERED: Span = Span::from_secs(900);

/// What a host knows of the services outside that it asks. A tenant learns nothing from what another asks for: each has its own.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: Mutex<BTreeMap<(TenantId, ServiceUrl), Arc<Destination>>>,
}

#[derive(Debug)]
struct Destination {
    circuit: Circuit,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    asked_for: Timestamp,
    seen: String,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It is well.
    Well {
        /// How long the answer took.
        latency: Span,
    },
    /// It is not, or was not when it was asked last and its circuit is open.
    Ill {
        /// What was seen, in words.
        seen: String,
    },
    /// It may not be asked at all, and why.
    Forbidden {
        /// The rule, and what would make it legal.
        why: String,
    },
    /// It could not be asked now, which says nothing about it.
    Unasked,
}

impl Destinations {
    /// Asks a service outside, unless its circuit is open.
    pub(super) async fn ask(&self, host: &Host, tenant: TenantId, outside: &OutsideService) -> Told {
        let now = host.now();
        let destination = self.of(tenant, &outside.url, now);
        let pass = match destination.circuit.admit(now) {
            Ok(pass) => pass,
            Err(until) => {
                let last = destination.last.lock().unwrap_or_else(PoisonError::into_inner);
                let seen = format!("{}; it is not asked again before {until}", last.seen);
                return Told::Ill { seen };
            }
        };
        let Some(path) = outside.url.path() else { return Told::Unasked };
        let request = ProbeRequest { address: outside.url.address(), path, timeout: outside.timeout };
        let seen = match host.bounded("prober.probe", host.ports().prober.probe(&request)).await {
            Ok(ProbeAnswer::Answered { status: 200..=299, latency }) => {
                destination.circuit.succeeded();
                return Told::Well { latency };
            }
            Ok(ProbeAnswer::Answered { status, .. }) => format!("status {status}"),
            Ok(ProbeAnswer::Silent { reason }) => reason,
            Err(error) if matches!(error.kind(), PortErrorKind::Denied | PortErrorKind::Invalid) => {
                // Where a name leads is the operator's to know, and not the tenant's.
                tracing::warn!(url = %outside.url, %error, "a service outside may not be asked");
                return Told::Forbidden {
                    why: "this host's allow-list does not have it: have it granted".to_owned(),
                };
            }
            Err(error) => {
                tracing::warn!(url = %outside.url, %error, "a service outside could not be asked");
                return Told::Unasked;
            }
        };
        destination.last.lock().unwrap_or_else(PoisonError::into_inner).seen.clone_from(&seen);
        let (one, other) = (host.id().uuid().as_u64_pair(), tenant.uuid().as_u64_pair());
        destination.circuit.failed(pass, host.now(), None, one.0 ^ one.1 ^ other.0 ^ other.1);
        Told::Ill { seen }
    }

    fn of(&self, tenant: TenantId, url: &ServiceUrl, now: Timestamp) -> Arc<Destination> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, destination| {
            let last = destination.last.lock().unwrap_or_else(PoisonError::into_inner);
            Span::between(last.asked_for, now) < REMEMBERED
        });
        let destination = known.entry((tenant, url.clone())).or_insert_with(|| {
            let last = Mutex::new(Last { asked_for: now, seen: "it was not asked yet".to_owned() });
            Arc::new(Destination { circuit: Circuit::default(), last })
        });
        destination.last.lock().unwrap_or_else(PoisonError::into_inner).asked_for = now;
        Arc::clone(destination)
    }
}

/// Whether an environment with these destinations may call a service, and where not, what would let it. This machine itself, where other
/// tenants' workloads listen, may be asked where the host says so only.
pub(super) fn forbidden<'d>(
    url: &ServiceUrl,
    mut destinations: impl Iterator<Item = &'d str>,
    is_loopback_granted: bool,
) -> Option<String> {
    let (host, address) = (url.host(), url.address());
    let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let is_here = literal.is_some_and(|literal| literal.to_canonical().is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost");
    if is_here && !is_loopback_granted {
        return Some(
            "it is on this machine itself: set HostOptions::loopback_dependencies if that is meant"
                .to_owned(),
        );
    }
    let is_granted = destinations
        .any(|granted| granted.eq_ignore_ascii_case(host) || granted.eq_ignore_ascii_case(&address));
    (!is_granted).then(|| format!("`{address}` is not on the environment's egress allow-list: add it there"))
}

#[cfg(test)]
mod tests;
