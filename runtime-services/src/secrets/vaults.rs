//! Keeps a broken vault, and a broken secret, from costing the others anything.
//!
//! - **A circuit per vault**: while a vault does not answer, one call at a time finds out whether it does again.
//! - **A failure budget per vault**: whatever failed before asks within a budget, so that secrets that fail for ever leave the vault's quota to
//!   those that do not (external-secrets#6728). What has not failed is never held by it.
//!
//! Both are a host's own, and nothing of them is needed to go on: a host that starts again learns them anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::bug;
use runtime_domain::secrets::{KeyVaultReference, VaultFault, VaultKind};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::{PortError, PortErrorKind, Retry};

use crate::relay::circuit::{Circuit, Pass};

/// How often secrets that failed before may ask one vault within [`WITHIN`].
const MOST_RETRIES: usize = 20;
/// See [`MOST_RETRIES`].
const WITHIN: Span = Span::from_secs(60);

/// What a host knows of the vaults that it asks.
#[derive(Debug, Default)]
pub(crate) struct Vaults {
    known: Mutex<BTreeMap<(VaultKind, String), Arc<Vault>>>,
}

/// What a host knows of one vault.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    circuit: Circuit,
    retries: Mutex<VecDeque<Timestamp>>,
}

impl Vaults {
    pub(crate) fn of(&self, secret: &KeyVaultReference) -> Arc<Vault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (secret.kind(), secret.vault().to_owned());
        Arc::clone(known.entry(key).or_default())
    }
}

impl Vault {
    /// Asks for a call, for a secret that has failed so often in a row. `Err` says when to ask again.
    pub(crate) fn admit(&self, failures: u32, now: Timestamp) -> Result<Pass, Timestamp> {
        if let Some(until) = self.circuit.closed_until(now) {
            return Err(until);
        }
        if failures > 0 && !bug!("broken-secret-burns-the-quota") {
            let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
            while retries.front().is_some_and(|first| WITHIN.after(*first) <= now) {
                retries.pop_front();
            }
            match retries.front() {
                Some(first) if retries.len() >= MOST_RETRIES => return Err(WITHIN.after(*first)),
                _ => retries.push_back(now),
            }
        }
        self.circuit.admit(now)
    }

    pub(crate) fn succeeded(&self) {
        self.circuit.succeeded();
    }

    /// Notes a failure. What is wrong with one secret says nothing about its vault.
    pub(crate) fn failed(
        &self,
        pass: Pass,
        fault: VaultFault,
        now: Timestamp,
        asked: Option<Span>,
        seed: u64,
    ) {
        match fault {
            VaultFault::Unreachable
            | VaultFault::Throttled
            | VaultFault::Failing
            | VaultFault::OutcomeUnknown => {
                self.circuit.failed(pass, now, asked, seed);
            }
            VaultFault::Forbidden | VaultFault::NotFound | VaultFault::Unsupported => {
                self.circuit.succeeded()
            }
        }
    }
}

/// What went wrong, without a vault's words, and how long it asked to be left alone.
pub(crate) fn fault_of(error: &PortError) -> (VaultFault, Option<Span>) {
    let after = match error.retry() {
        Retry::Later { after } => after,
        Retry::OutcomeUnknown => return (VaultFault::OutcomeUnknown, None),
        Retry::Never => None,
    };
    let fault = match error.kind() {
        PortErrorKind::NotFound => VaultFault::NotFound,
        PortErrorKind::Denied => VaultFault::Forbidden,
        PortErrorKind::Exhausted => VaultFault::Throttled,
        PortErrorKind::Unsupported | PortErrorKind::Invalid => VaultFault::Unsupported,
        PortErrorKind::Unavailable | PortErrorKind::TimedOut => VaultFault::Unreachable,
        _ => VaultFault::Failing,
    };
    (fault, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn secrets_that_fail_use_up_their_budget_and_never_that_of_others() {
        let vault = Vault::default();
        for _ in 0..MOST_RETRIES {
            let pass = vault.admit(1, at(0)).unwrap();
            vault.failed(pass, VaultFault::Forbidden, at(0), None, 1);
        }
        assert_eq!(vault.admit(3, at(1)), Err(WITHIN.after(at(0))));
        assert_eq!(vault.admit(0, at(1)), Ok(Pass::Usual), "what has not failed is held up");
        assert_eq!(vault.admit(3, WITHIN.after(at(0))), Ok(Pass::Usual));
    }

    #[test]
    fn a_vault_that_does_not_answer_is_asked_by_one_at_a_time_and_another_vault_is_not_held() {
        let vaults = Vaults::default();
        let broken = vaults.of(&"local://broken/one".parse().unwrap());
        let pass = broken.admit(0, at(0)).unwrap();
        broken.failed(pass, VaultFault::Unreachable, at(0), Some(Span::from_secs(7)), 1);
        assert_eq!(vaults.of(&"local://broken/two".parse().unwrap()).admit(0, at(1)), Err(at(7)));
        assert_eq!(vaults.of(&"local://well/one".parse().unwrap()).admit(0, at(1)), Ok(Pass::Usual));
        assert_eq!(broken.admit(0, at(7)), Ok(Pass::Probe));
        assert!(broken.admit(0, at(7)).is_err(), "a second call goes through");
    }

    #[test]
    fn what_is_wrong_with_one_secret_opens_no_circuit() {
        for fault in [VaultFault::NotFound, VaultFault::Forbidden, VaultFault::Unsupported] {
            let vault = Vault::default();
            let pass = vault.admit(0, at(0)).unwrap();
            vault.failed(pass, fault, at(0), None, 1);
            assert_eq!(vault.admit(0, at(0)), Ok(Pass::Usual), "{fault:?}");
        }
    }
}
