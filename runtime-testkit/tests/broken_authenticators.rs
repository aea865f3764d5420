//! Every trial of the authenticator's suite is failed by an authenticator that breaks the promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::Actor;
use runtime_domain::time::Timestamp;
use runtime_ports::PortResult;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_testkit::conformance::{Caller, CredentialsIssuer, Verdict, authenticator};
use runtime_testkit::sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    LetsNobodyIn,
    TrustsAnySeal,
    SealsOnlyNames,
    ComparesBeginnings,
    IgnoresTheEnd,
    IgnoresTheBeginning,
    KnowsNamesOnly,
    GrantsMore,
    HasNoEnd,
    RepeatsWhatItRefuses,
    PanicsOnGarbage,
    SharesAPlace,
}

/// Its credentials are `tenant.actor.roles.not_before.expires_at.seal`.
struct Sealed {
    bug: Bug,
    place: Mutex<Option<Principal>>,
    first: Mutex<Option<TenantId>>,
}

const OURS: u64 = 0x9e37_79b9_7f4a_7c15;
const THEIRS: u64 = 0x2545_f491_4f6c_dd1d;

/// Enough of a seal for a test; FNV-1a, keyed.
fn seal(text: &str, key: u64) -> String {
    let step = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(key, step).wrapping_mul(key))
}

/// What a seal is of.
fn covered(bug: Bug, said: &str) -> &str {
    match bug {
        Bug::SealsOnlyNames => said.split('.').nth(1).unwrap_or_default(),
        _ => said,
    }
}

fn written(caller: &Caller) -> String {
    let roles: Vec<&str> = caller.roles.iter().map(|role| role.name()).collect();
    let (begin, end) = (caller.not_before.timestamp(), caller.expires_at.timestamp());
    format!("{}.{}.{}.{begin}.{end}", caller.tenant, caller.actor, roles.join("+"))
}

impl Sealed {
    fn read(&self, text: &str) -> Option<(Principal, Timestamp, Timestamp)> {
        let (said, shown) = text.rsplit_once('.')?;
        let parts: Vec<&str> = said.split('.').collect();
        let [tenant, actor, roles, begin, end] = *parts else { return None };
        let right = seal(covered(self.bug, said), OURS);
        let is_sealed = match self.bug {
            Bug::TrustsAnySeal => true,
            Bug::ComparesBeginnings => right.starts_with(shown),
            _ => shown == right,
        };
        if !is_sealed {
            return None;
        }
        let time = |text: &str| Timestamp::from_timestamp(text.parse().ok()?, 0);
        let (begin, end) = (time(begin)?, time(end)?);
        let mut roles: BTreeSet<Role> = roles.split('+').filter_map(Role::named).collect();
        if self.bug == Bug::GrantsMore {
            roles.insert(Role::Administrator);
        }
        let tenant = tenant.parse().ok()?;
        let tenant = match self.bug {
            Bug::KnowsNamesOnly => *self.first.lock().unwrap().get_or_insert(tenant),
            _ => tenant,
        };
        let ends = (self.bug != Bug::HasNoEnd).then_some(end);
        Some((Principal::verified(tenant, Actor::new(actor).ok()?, roles, ends), begin, end))
    }
}

#[async_trait]
impl Authenticator for Sealed {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let text = match credentials {
            Credentials::Bearer(text) => text.as_str(),
            Credentials::None if self.bug == Bug::LetsNobodyIn => {
                let nobody = Actor::new("nobody").unwrap();
                return Ok(Principal::verified(sample::tenant(1), nobody, [Role::Viewer], None));
            }
            _ => return Err(AuthenticationError::Missing),
        };
        let Some((principal, begin, end)) = self.read(text) else {
            assert!(self.bug != Bug::PanicsOnGarbage || text.len() > 2, "no credentials are that short");
            return Err(match self.bug {
                Bug::RepeatsWhatItRefuses => AuthenticationError::Incomplete { claim: text.to_owned() },
                _ => AuthenticationError::Invalid { reason: "its seal is not ours" },
            });
        };
        let now = sample::at(0);
        if now >= end && self.bug != Bug::IgnoresTheEnd {
            return Err(AuthenticationError::Expired);
        }
        if now < begin && self.bug != Bug::IgnoresTheBeginning {
            return Err(AuthenticationError::NotYetValid);
        }
        if self.bug != Bug::SharesAPlace {
            return Ok(principal);
        }
        *self.place.lock().unwrap() = Some(principal);
        tokio::task::yield_now().await;
        Ok(self.place.lock().unwrap().clone().unwrap())
    }
}

struct Issuer(Bug);

#[async_trait]
impl CredentialsIssuer for Issuer {
    type Authenticator = Sealed;

    fn now(&self) -> Timestamp {
        sample::at(0)
    }

    async fn authenticator(&self, _callers: &[Caller]) -> PortResult<Sealed> {
        Ok(Sealed { bug: self.0, place: Mutex::default(), first: Mutex::default() })
    }

    async fn issue(&self, caller: &Caller) -> PortResult<Credentials> {
        let said = written(caller);
        Ok(Credentials::bearer(format!("{said}.{}", seal(covered(self.0, &said), OURS))))
    }

    async fn forge(&self, caller: &Caller) -> PortResult<Credentials> {
        let said = written(caller);
        Ok(Credentials::bearer(format!("{said}.{}", seal(covered(self.0, &said), THEIRS))))
    }
}

#[tokio::test]
async fn an_authenticator_that_keeps_every_promise_passes() {
    let report = authenticator(Issuer(Bug::None)).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn every_trial_is_failed_by_an_authenticator_that_breaks_its_promise() {
    let who = "who is verified is exactly who the credentials are of";
    let mut caught = BTreeSet::new();
    for (bug, trial) in [
        (Bug::LetsNobodyIn, "nobody is let in without credentials"),
        (Bug::TrustsAnySeal, "what somebody else issued is refused"),
        (Bug::SealsOnlyNames, "no character can be changed"),
        (Bug::ComparesBeginnings, "nothing can be cut off or added"),
        (Bug::IgnoresTheEnd, "what has expired is refused as such"),
        (Bug::IgnoresTheBeginning, "what is not valid yet is refused as such"),
        (Bug::KnowsNamesOnly, who),
        (Bug::GrantsMore, who),
        (Bug::HasNoEnd, who),
        (Bug::RepeatsWhatItRefuses, "no refusal repeats what was shown"),
        (Bug::PanicsOnGarbage, "garbage of any kind is refused"),
        (Bug::SharesAPlace, "callers at once are not taken for one another"),
    ] {
        let report = authenticator(Issuer(bug)).await;
        let failed: BTreeSet<String> = report.failed().map(|trial| trial.name.clone()).collect();
        assert!(failed.contains(trial), "{bug:?} was not caught by `{trial}`: {report}");
        caught.insert(trial.to_owned());
    }
    let all = authenticator(Issuer(Bug::None)).await;
    let names: BTreeSet<String> = all.trials().iter().map(|trial| trial.name.clone()).collect();
    assert_eq!(caught, names, "a trial that nothing fails proves nothing");
}
