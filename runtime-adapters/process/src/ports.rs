//! Loopback ports for instances.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// How many ports the system is asked for before giving up on one that no other instance has.
const TRIES: usize = 64;

/// Chooses free ports, and remembers which ones it gave away: between the choice and the moment an instance listens, a port looks free.
#[derive(Debug)]
pub(crate) struct Ports {
    range: Option<RangeInclusive<u16>>,
    taken: Mutex<BTreeSet<u16>>,
}

/// A port that is given to nobody else while this lives.
#[derive(Debug)]
pub(crate) struct PortLease {
    ports: Arc<Ports>,
    port: u16,
}

impl Ports {
    pub(crate) fn new(range: Option<RangeInclusive<u16>>) -> Self {
        Self { range, taken: Mutex::default() }
    }

    /// A free port.
    #[cfg(test)]
    pub(crate) fn reserve(self: &Arc<Self>) -> io::Result<PortLease> {
        self.reserve_within(None)
    }

    /// A free port of these, where they are said.
    pub(crate) fn reserve_within(
        self: &Arc<Self>,
        own: Option<&RangeInclusive<u16>>,
    ) -> io::Result<PortLease> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let port = match own.or(self.range.as_ref()) {
            Some(range) => range.clone().find(|port| !taken.contains(port) && is_free(*port)),
            None => {
                let mut found = None;
                for _ in 0..TRIES {
                    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
                    if !taken.contains(&port) {
                        found = Some(port);
                        break;
                    }
                }
                found
            }
        };
        let port = port.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "no port is free for another instance: widen the range of instance ports or stop other programs",
            )
        })?;
        taken.insert(port);
        Ok(PortLease { ports: Arc::clone(self), port })
    }

    /// The port of an instance that was found running.
    pub(crate) fn adopt(self: &Arc<Self>, port: u16) -> PortLease {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        PortLease { ports: Arc::clone(self), port }
    }
}

/// Whether nothing listens on a loopback port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

impl PortLease {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.ports.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_again_after_it_came_back() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let port = held.local_addr().expect("an address").port();
        let ports = Arc::new(Ports::new(Some(port..=port)));
        assert!(ports.reserve().is_err(), "another program has it");
        drop(held);
        let lease = ports.reserve().expect("it is free");
        assert_eq!(lease.port(), port);
        assert!(ports.reserve().is_err(), "an instance has it");
        drop(lease);
        assert!(ports.reserve().is_ok());
    }

    #[test]
    fn the_system_gives_different_ports() {
        let ports = Arc::new(Ports::new(None));
        let leases: Vec<_> = (0..20).map(|_| ports.reserve().expect("free")).collect();
        let different: BTreeSet<_> = leases.iter().map(PortLease::port).collect();
        assert_eq!(different.len(), leases.len());
    }
}
