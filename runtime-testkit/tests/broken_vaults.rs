//! Every trial of the vault's suite is failed by a vault that breaks the promise.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::secrets::{
    KeyVaultReference, ManagedIdentityRef, SecretReference, SecretVersion, VaultKind,
};
use runtime_domain::surface::EffectClass;
use runtime_ports::secret_store::{
    RotationId, SecretAccess, SecretSink, SecretStore, SecretValue, VaultContext, VersionEntry,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{
    AdapterFactory, Persistence, VaultCapabilities, VaultFactory, Verdict, secret_store,
};
use runtime_testkit::sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CutsAtZero,
    ListsNewestFirst,
    HidesTheRetired,
    MakesTwice,
    MakesTwiceAtOnce,
    MakesTheSameValue,
    OverwritesTheOneBefore,
    DeliversTheRetired,
    FailsToRetireAgain,
    CountsWhatIsLeft,
    FindsNothingToBeEmpty,
    ForgetsTheTenant,
    TellsOfOtherTenants,
    LetsEverybodyIn,
    IgnoresTokens,
    ForgetsTokensThatRetire,
    SwallowsTheSink,
    TellsItsValues,
    ForgetsWhenClosed,
}

struct Version {
    value: Vec<u8>,
    made_for: Option<RotationId>,
    is_retired: bool,
}

#[derive(Default)]
struct Secret {
    readers: BTreeSet<ManagedIdentityRef>,
    /// By number, which begins with one.
    versions: Vec<(u32, Version)>,
    token: u64,
}

type Secrets = BTreeMap<(Option<TenantId>, String), Secret>;

struct Vault {
    bug: Bug,
    secrets: Mutex<Secrets>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bug == Bug::TellsItsValues {
            let secrets = self.secrets.lock().unwrap();
            let values = secrets.values().flat_map(|secret| &secret.versions);
            for (_, version) in values {
                write!(formatter, "{}", String::from_utf8_lossy(&version.value))?;
            }
        }
        formatter.write_str("Vault")
    }
}

fn refused(kind: PortErrorKind, why: impl Into<String>) -> PortError {
    PortError::new(kind, "vault.test", why)
}

fn name(number: u32) -> SecretVersion {
    number.to_string().parse().unwrap()
}

impl Vault {
    fn place(&self, tenant: TenantId, secret: &KeyVaultReference) -> (Option<TenantId>, String) {
        let tenant = (self.bug != Bug::ForgetsTheTenant).then_some(tenant);
        (tenant, secret.to_string())
    }

    fn with<T>(
        &self,
        access: &SecretAccess,
        secret: &KeyVaultReference,
        work: impl FnOnce(&mut Secret) -> PortResult<T>,
    ) -> PortResult<T> {
        let mut secrets = self.secrets.lock().unwrap();
        let is_another = secrets.keys().any(|(tenant, known)| {
            tenant.is_some_and(|tenant| tenant != access.tenant) && *known == secret.to_string()
        });
        let found = secrets.get_mut(&self.place(access.tenant, secret));
        let found = found.ok_or_else(|| match self.bug {
            Bug::TellsOfOtherTenants if is_another => {
                refused(PortErrorKind::NotFound, format!("{secret} is another tenant's"))
            }
            _ => refused(PortErrorKind::NotFound, format!("there is no {secret}")),
        })?;
        if !found.readers.contains(&access.identity) && self.bug != Bug::LetsEverybodyIn {
            return Err(refused(PortErrorKind::Denied, "it was not let in"));
        }
        work(found)
    }

    fn admit(&self, secret: &mut Secret, context: VaultContext) -> PortResult<()> {
        if context.fence.0 < secret.token && self.bug != Bug::IgnoresTokens {
            return Err(refused(PortErrorKind::Fenced, "it is older"));
        }
        secret.token = secret.token.max(context.fence.0);
        Ok(())
    }

    fn add(&self, secret: &mut Secret, value: Vec<u8>, made_for: Option<RotationId>) -> SecretVersion {
        let last = match self.bug {
            Bug::CountsWhatIsLeft => {
                secret.versions.retain(|(_, version)| !version.is_retired);
                secret.versions.len() as u32
            }
            _ => secret.versions.last().map_or(0, |(number, _)| *number),
        };
        if self.bug == Bug::OverwritesTheOneBefore && made_for.is_some() {
            secret.versions.iter_mut().for_each(|(_, version)| version.value.clone_from(&value));
        }
        secret.versions.push((last + 1, Version { value, made_for, is_retired: false }));
        name(last + 1)
    }
}

#[async_trait]
impl SecretStore for Vault {
    fn kind(&self) -> VaultKind {
        VaultKind::Local
    }

    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn versions(
        &self,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<Vec<VersionEntry>> {
        let listed = self.with(access, secret, |found| {
            let listed = found.versions.iter().map(|(number, version)| VersionEntry {
                version: name(*number),
                created_at: sample::at(u64::from(*number)),
                made_for: version.made_for,
                is_retired: version.is_retired,
            });
            Ok(listed.collect::<Vec<_>>())
        });
        match listed {
            Ok(mut listed) => {
                if self.bug == Bug::ListsNewestFirst {
                    listed.reverse();
                }
                listed.retain(|entry| self.bug != Bug::HidesTheRetired || !entry.is_retired);
                Ok(listed)
            }
            Err(error)
                if self.bug == Bug::FindsNothingToBeEmpty && error.kind() == PortErrorKind::NotFound =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn create_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &KeyVaultReference,
    ) -> PortResult<SecretVersion> {
        let made = self.with(access, secret, |found| {
            self.admit(found, context)?;
            let made = found.versions.iter().find(|(_, it)| it.made_for == Some(context.rotation));
            Ok(made.map(|(number, _)| name(*number)))
        })?;
        if let Some(made) = made.filter(|_| self.bug != Bug::MakesTwice) {
            return Ok(made);
        }
        if self.bug == Bug::MakesTwiceAtOnce {
            tokio::task::yield_now().await;
        }
        self.with(access, secret, |found| {
            let value = match self.bug {
                Bug::MakesTheSameValue => found.versions[0].1.value.clone(),
                _ => format!("made {}", found.versions.len()).into_bytes(),
            };
            Ok(self.add(found, value, Some(context.rotation)))
        })
    }

    async fn retire_version(
        &self,
        context: VaultContext,
        access: &SecretAccess,
        secret: &SecretReference,
    ) -> PortResult<()> {
        self.with(access, secret.key_vault_ref(), |found| {
            let token = found.token;
            self.admit(found, context)?;
            if self.bug == Bug::ForgetsTokensThatRetire {
                found.token = token;
            }
            let which = found.versions.iter_mut().find(|(number, _)| name(*number) == secret.version());
            let (_, version) = which.ok_or_else(|| refused(PortErrorKind::NotFound, "no such version"))?;
            if self.bug == Bug::FailsToRetireAgain && version.is_retired {
                return Err(refused(PortErrorKind::NotFound, "it was retired"));
            }
            version.is_retired = true;
            Ok(())
        })
    }

    async fn deliver(
        &self,
        access: &SecretAccess,
        secret: &SecretReference,
        sink: Box<dyn SecretSink>,
    ) -> PortResult<()> {
        let value = self.with(access, secret.key_vault_ref(), |found| {
            let which = found.versions.iter().find(|(number, _)| name(*number) == secret.version());
            let which = which.filter(|(_, it)| !it.is_retired || self.bug == Bug::DeliversTheRetired);
            let (_, version) = which.ok_or_else(|| refused(PortErrorKind::NotFound, "no such version"))?;
            Ok(version.value.clone())
        })?;
        let value = match self.bug {
            Bug::CutsAtZero => value.into_iter().take_while(|byte| *byte != 0).collect(),
            _ => value,
        };
        match sink.receive(SecretValue::new(value)) {
            Err(_) if self.bug == Bug::SwallowsTheSink => Ok(()),
            answer => answer,
        }
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Vault;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Vault> {
        Ok(Vault { bug: self.0, secrets: Mutex::default() })
    }

    async fn reopen(&self, vault: Vault) -> PortResult<Vault> {
        Ok(match self.0 {
            Bug::ForgetsWhenClosed => self.fresh().await?,
            _ => vault,
        })
    }
}

#[async_trait]
impl VaultFactory for Factory {
    fn secret(&self, name: &str) -> KeyVaultReference {
        format!("local://main/{name}").parse().unwrap()
    }

    fn identity(&self, number: u8) -> ManagedIdentityRef {
        format!("local:workload-{number}").parse().unwrap()
    }

    async fn put(
        &self,
        vault: &Vault,
        tenant: TenantId,
        secret: &KeyVaultReference,
        readers: &[ManagedIdentityRef],
        value: &[u8],
    ) -> PortResult<SecretVersion> {
        let mut secrets = vault.secrets.lock().unwrap();
        let found = secrets.entry(vault.place(tenant, secret)).or_default();
        found.readers.extend(readers.iter().cloned());
        Ok(vault.add(found, value.to_vec(), None))
    }
}

const ALL: VaultCapabilities = VaultCapabilities { tells_identities_apart: true };

#[tokio::test]
async fn a_vault_that_keeps_every_promise_passes() {
    let report = secret_store(Factory(Bug::None), ALL).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}

#[tokio::test]
async fn what_a_vault_does_not_promise_is_skipped_and_says_so() {
    let report =
        secret_store(Factory(Bug::LetsEverybodyIn), VaultCapabilities { tells_identities_apart: false });
    let report = report.await;
    report.assert_passed();
    let skipped = report.trials().iter().filter(|trial| matches!(trial.verdict, Verdict::Skipped(_)));
    assert_eq!(skipped.count(), 1, "{report}");
}

#[tokio::test]
async fn every_trial_is_failed_by_a_vault_that_breaks_its_promise() {
    let again = "a rotation that is asked again makes no second version";
    let retired = "a retired version is delivered to nobody and the others are";
    let listed = "versions are listed oldest first with the retired ones";
    let foreign = "another tenants secret does not exist";
    let older = "an older token changes nothing";
    let mut caught = BTreeSet::new();
    for (bug, trial) in [
        (Bug::CutsAtZero, "a value is delivered as it was put in"),
        (Bug::ListsNewestFirst, listed),
        (Bug::HidesTheRetired, listed),
        (Bug::MakesTwice, again),
        (Bug::MakesTwiceAtOnce, "a rotation that is asked many times at once makes one version"),
        (
            Bug::MakesTheSameValue,
            "what a rotation makes is another value and leaves the one before as it was",
        ),
        (
            Bug::OverwritesTheOneBefore,
            "what a rotation makes is another value and leaves the one before as it was",
        ),
        (Bug::DeliversTheRetired, retired),
        (Bug::FailsToRetireAgain, retired),
        (Bug::CountsWhatIsLeft, "a version is never named again"),
        (Bug::FindsNothingToBeEmpty, "what does not exist is not found"),
        (Bug::ForgetsTheTenant, foreign),
        (Bug::TellsOfOtherTenants, foreign),
        (Bug::LetsEverybodyIn, "an identity that was not let in is denied"),
        (Bug::IgnoresTokens, older),
        (Bug::ForgetsTokensThatRetire, older),
        (Bug::SwallowsTheSink, "a sink that refuses is told and nothing else changes"),
        (Bug::TellsItsValues, "nothing of a value is told"),
        (Bug::ForgetsWhenClosed, "what was put in made and retired survives reopening"),
    ] {
        let report = secret_store(Factory(bug), ALL).await;
        let failed: BTreeSet<String> = report.failed().map(|trial| trial.name.clone()).collect();
        assert!(failed.contains(trial), "{bug:?} was not caught by `{trial}`: {report}");
        caught.insert(trial.to_owned());
    }
    let all = secret_store(Factory(Bug::None), ALL).await;
    let names: BTreeSet<String> = all.trials().iter().map(|trial| trial.name.clone()).collect();
    assert_eq!(caught, names, "a trial that nothing fails proves nothing");
}
