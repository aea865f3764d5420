//! The suite of the [vault's port](runtime_ports::secret_store).
//!
//! What a cut-off call leaves, and what a vault notices of tampering, is each vault's own to show: nobody from outside can bring it about.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::id::{SecretBindingId, TenantId};
use runtime_domain::secrets::{KeyVaultReference, ManagedIdentityRef, SecretReference, SecretVersion};
use runtime_domain::surface::{EffectClass, FencingToken};
use runtime_ports::secret_store::{
    RotationId, SecretAccess, SecretSink, SecretStore, SecretValue, VaultContext, VersionEntry,
};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::adapter::{AdapterFactory, try_reopening};
use super::{Failure, Outcome, Report, Trial, Verdict, ensure, equal, run, sentence};
use crate::sample;

/// Makes the vaults that the suite tries, and plays the operator who puts values in.
#[async_trait]
pub trait VaultFactory: AdapterFactory {
    /// The secret of this name, as the vault is asked for it. Equal names are the same secret.
    fn secret(&self, name: &str) -> KeyVaultReference;
    /// A workload's identity; other numbers are others.
    fn identity(&self, number: u8) -> ManagedIdentityRef;
    /// Puts a value in, as the next version of a tenant's secret, for these identities.
    async fn put(
        &self,
        vault: &Self::Adapter,
        tenant: TenantId,
        secret: &KeyVaultReference,
        readers: &[ManagedIdentityRef],
        value: &[u8],
    ) -> PortResult<SecretVersion>;
}

/// What a vault promises that not every vault can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultCapabilities {
    /// It decides by itself which identity may have which secret. Where it does not, whoever is let in is given whatever the tenant has.
    pub tells_identities_apart: bool,
}

/// Tries every promise of the port, each against a fresh vault.
pub async fn secret_store<F>(factory: F, capabilities: VaultCapabilities) -> Report
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let factory = Arc::new(factory);
    let mut trials = Vec::new();
    for (name, begin) in all::<F>() {
        let verdict = match Stage::new(&factory, capabilities).await {
            Ok(stage) => match begin.applies(&stage) {
                Err(why) => Verdict::Skipped(why),
                Ok(()) => run((begin.trial)(stage)).await,
            },
            Err(error) => Verdict::Failed(format!("no fresh vault: {error}")),
        };
        trials.push(Trial { name, verdict });
    }
    trials.push(survives(factory, capabilities).await);
    Report { suite: "secret_store", trials }
}

type Begin<F> = Box<dyn Fn(Stage<F>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// A trial, and what a vault must promise for it.
struct Tried<F: AdapterFactory> {
    needs: Needs,
    trial: Begin<F>,
}

#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    Fencing,
    Identities,
}

impl<F> Tried<F>
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    fn applies(&self, stage: &Stage<F>) -> Result<(), &'static str> {
        match self.needs {
            Needs::Fencing if stage.vault.effect_class() != EffectClass::Fenced => {
                Err("its effects are not fenced, and it says so")
            }
            Needs::Identities if !stage.capabilities.tells_identities_apart => {
                Err("it does not tell identities apart, and says so")
            }
            _ => Ok(()),
        }
    }
}

fn all<F>() -> Vec<(String, Tried<F>)>
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    fn of<F: AdapterFactory, T, R>(needs: Needs, function: T) -> (String, Tried<F>)
    where
        T: Fn(Stage<F>) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let name = sentence(&function);
        (name, Tried { needs, trial: Box::new(move |stage| Box::pin(function(stage))) })
    }
    vec![
        of(Needs::Nothing, a_value_is_delivered_as_it_was_put_in),
        of(Needs::Nothing, versions_are_listed_oldest_first_with_the_retired_ones),
        of(Needs::Nothing, a_rotation_that_is_asked_again_makes_no_second_version),
        of(Needs::Nothing, a_rotation_that_is_asked_many_times_at_once_makes_one_version),
        of(Needs::Nothing, what_a_rotation_makes_is_another_value_and_leaves_the_one_before_as_it_was),
        of(Needs::Nothing, a_retired_version_is_delivered_to_nobody_and_the_others_are),
        of(Needs::Nothing, a_version_is_never_named_again),
        of(Needs::Nothing, what_does_not_exist_is_not_found),
        of(Needs::Nothing, another_tenants_secret_does_not_exist),
        of(Needs::Identities, an_identity_that_was_not_let_in_is_denied),
        of(Needs::Fencing, an_older_token_changes_nothing),
        of(Needs::Nothing, a_sink_that_refuses_is_told_and_nothing_else_changes),
        of(Needs::Nothing, nothing_of_a_value_is_told),
    ]
}

/// A value that no text could be taken for, with bytes that text has not.
const VALUE: &[u8] = b"\x00hunter2-correct-horse\xff\n";

/// A fresh vault, and who asks it.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    vault: Arc<F::Adapter>,
    capabilities: VaultCapabilities,
}

/// A sink that keeps what it is given, or refuses it.
#[derive(Clone, Default)]
struct Sink {
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    refuses: bool,
}

impl SecretSink for Sink {
    fn receive(self: Box<Self>, value: SecretValue) -> PortResult<()> {
        if self.refuses {
            return Err(PortError::new(PortErrorKind::Exhausted, "sink.receive", "the disk is full"));
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(value.expose().to_vec());
        Ok(())
    }
}

/// The rotation of this number, under this token.
fn by(rotation: u64, token: u64) -> Result<VaultContext, Failure> {
    let previous = "1".parse().map_err(|_| Failure::new("1 is a version"))?;
    let binding = SecretBindingId::from_uuid(sample::tenant(9).uuid());
    let rotation = RotationId { binding, previous, requested_at: sample::at(rotation) };
    Ok(VaultContext { rotation, fence: FencingToken(token) })
}

fn named(secret: &KeyVaultReference, version: SecretVersion) -> Result<SecretReference, Failure> {
    SecretReference::new(secret.clone(), version).map_err(|error| Failure::new(error.to_string()))
}

fn is_refused<T>(answer: PortResult<T>, kind: PortErrorKind, what: &str) -> Result<PortError, Failure> {
    match answer {
        Ok(_) => Err(Failure::new(format!("{what} was accepted"))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Failure::new(format!("{what} was not refused as {kind:?}: {error}"))),
    }
}

impl<F> Stage<F>
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    async fn new(factory: &Arc<F>, capabilities: VaultCapabilities) -> PortResult<Self> {
        let vault = Arc::new(factory.fresh().await?);
        Ok(Self { factory: Arc::clone(factory), vault, capabilities })
    }

    fn access(&self, tenant: u64) -> SecretAccess {
        SecretAccess { tenant: sample::tenant(tenant), identity: self.factory.identity(1) }
    }

    fn secret(&self) -> KeyVaultReference {
        self.factory.secret("database")
    }

    async fn put(&self, tenant: u64, value: &[u8]) -> PortResult<SecretVersion> {
        let (secret, readers) = (self.secret(), [self.factory.identity(1)]);
        self.factory.put(&self.vault, sample::tenant(tenant), &secret, &readers, value).await
    }

    /// What a version delivers to the first tenant's workload.
    async fn delivered(&self, version: SecretVersion) -> Result<PortResult<Vec<u8>>, Failure> {
        self.delivered_to(&self.access(1), version).await
    }

    async fn delivered_to(
        &self,
        access: &SecretAccess,
        version: SecretVersion,
    ) -> Result<PortResult<Vec<u8>>, Failure> {
        let sink = Sink::default();
        let answer =
            self.vault.deliver(access, &named(&self.secret(), version)?, Box::new(sink.clone())).await;
        let mut kept = std::mem::take(&mut *sink.kept.lock().unwrap_or_else(PoisonError::into_inner));
        match (answer, kept.pop()) {
            (Ok(()), Some(value)) if kept.is_empty() => Ok(Ok(value)),
            (Ok(()), _) => Err(Failure::new("a delivery that succeeded did not give the sink one value")),
            (Err(error), None) => Ok(Err(error)),
            (Err(error), Some(_)) => Err(Failure::new(format!("a refused delivery gave a value: {error}"))),
        }
    }

    async fn create(&self, rotation: u64, token: u64) -> Result<PortResult<SecretVersion>, Failure> {
        Ok(self.vault.create_version(by(rotation, token)?, &self.access(1), &self.secret()).await)
    }

    async fn retire(&self, version: SecretVersion, token: u64) -> Result<PortResult<()>, Failure> {
        let which = named(&self.secret(), version)?;
        Ok(self.vault.retire_version(by(1, token)?, &self.access(1), &which).await)
    }

    async fn listed(&self) -> Result<Vec<VersionEntry>, Failure> {
        Ok(self.vault.versions(&self.access(1), &self.secret()).await?)
    }
}

async fn a_value_is_delivered_as_it_was_put_in<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    stage.vault.check().await?;
    let first = stage.put(1, VALUE).await?;
    let second = stage.put(1, b"another").await?;
    for _ in 0..2 {
        equal("the first value", stage.delivered(first).await??, VALUE.to_vec())?;
        equal("the second value", stage.delivered(second).await??, b"another".to_vec())?;
    }
    Ok(())
}

async fn versions_are_listed_oldest_first_with_the_retired_ones<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let first = stage.put(1, VALUE).await?;
    let second = stage.create(1, 1).await??;
    let third = stage.create(2, 1).await??;
    stage.retire(second, 1).await??;
    let listed = stage.listed().await?;
    let seen: Vec<_> = listed.iter().map(|entry| (entry.version, entry.is_retired)).collect();
    equal("the versions", seen, vec![(first, false), (second, true), (third, false)])?;
    let made_for: Vec<_> = listed.iter().map(|entry| entry.made_for).collect();
    equal(
        "whom they were made for",
        made_for,
        vec![None, Some(by(1, 1)?.rotation), Some(by(2, 1)?.rotation)],
    )?;
    let is_sorted = listed.windows(2).all(|pair| pair[0].created_at <= pair[1].created_at);
    ensure(is_sorted, "a later version is older")
}

async fn a_rotation_that_is_asked_again_makes_no_second_version<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    stage.put(1, VALUE).await?;
    let made = stage.create(1, 1).await??;
    let value = stage.delivered(made).await??;
    // Another host goes on, and a later rotation was made meanwhile.
    equal("what is made again", stage.create(1, 2).await??, made)?;
    let later = stage.create(2, 2).await??;
    equal("what is made again after another", stage.create(1, 3).await??, made)?;
    ensure(later != made, "two rotations made one version")?;
    equal("how many there are", stage.listed().await?.len(), 3)?;
    ensure(stage.delivered(made).await?? == value, "what was made before is worth something else now")
}

async fn a_rotation_that_is_asked_many_times_at_once_makes_one_version<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    stage.put(1, VALUE).await?;
    let (access, secret, context) = (stage.access(1), stage.secret(), by(1, 1)?);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (vault, access, secret) = (Arc::clone(&stage.vault), access.clone(), secret.clone());
        asked.spawn(async move { vault.create_version(context, &access, &secret).await });
    }
    let mut made = std::collections::BTreeSet::new();
    while let Some(answer) = asked.join_next().await {
        made.insert(answer.map_err(|_| Failure::new("the vault panicked"))??);
    }
    equal("how many were made", (made.len(), stage.listed().await?.len()), (1, 2))
}

async fn what_a_rotation_makes_is_another_value_and_leaves_the_one_before_as_it_was<F>(
    stage: Stage<F>,
) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let first = stage.put(1, VALUE).await?;
    let second = stage.create(1, 1).await??;
    ensure(first != second, "the same version again")?;
    let made = stage.delivered(second).await??;
    ensure(!made.is_empty() && made != VALUE, "what was made is empty, or worth what it was")?;
    ensure(stage.delivered(first).await?? == VALUE, "the version before is worth something else now")
}

async fn a_retired_version_is_delivered_to_nobody_and_the_others_are<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let first = stage.put(1, VALUE).await?;
    let second = stage.create(1, 1).await??;
    for _ in 0..2 {
        stage.retire(first, 1).await??;
        is_refused(stage.delivered(first).await?, PortErrorKind::NotFound, "delivering what was retired")?;
        stage.delivered(second).await??;
    }
    Ok(())
}

async fn a_version_is_never_named_again<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let mut names = vec![stage.put(1, VALUE).await?];
    for rotation in 1..=3 {
        let made = stage.create(rotation, 1).await??;
        ensure(!names.contains(&made), format!("{made} is named again"))?;
        let is_counted = |text: &str| text.parse::<u32>().is_ok();
        if let Some(before) = names.last().filter(|before| is_counted(&before.to_string())) {
            ensure(made.is_counted_after(*before), format!("{made} is counted before {before}"))?;
        }
        names.push(made);
        // Its number is not free again, though nothing of it is left.
        stage.retire(made, 1).await??;
    }
    Ok(())
}

async fn what_does_not_exist_is_not_found<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let missing = PortErrorKind::NotFound;
    let (access, secret) = (stage.access(1), stage.secret());
    is_refused(stage.vault.versions(&access, &secret).await, missing, "listing what is not there")?;
    is_refused(stage.create(1, 1).await?, missing, "rotating what is not there")?;
    let version = stage.put(1, VALUE).await?;
    let absent = stage.create(1, 1).await??;
    let nothing = stage.factory.secret("nothing");
    let sink = || Box::new(Sink::default());
    let answer = stage.vault.deliver(&access, &named(&nothing, version)?, sink()).await;
    is_refused(answer, missing, "delivering another secret")?;
    // A version that another secret has, and this one has not.
    let other = stage.factory.secret("other");
    let readers = [stage.factory.identity(1)];
    stage.factory.put(&stage.vault, sample::tenant(1), &other, &readers, VALUE).await?;
    let of_other = named(&other, absent)?;
    if stage.vault.versions(&access, &other).await?.iter().all(|entry| entry.version != absent) {
        let answer = stage.vault.deliver(&access, &of_other, sink()).await;
        is_refused(answer, missing, "delivering a version that is not there")?;
        let answer = stage.vault.retire_version(by(1, 1)?, &access, &of_other).await;
        is_refused(answer, missing, "retiring a version that is not there")?;
    }
    Ok(())
}

async fn another_tenants_secret_does_not_exist<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let version = stage.put(1, VALUE).await?;
    let (stranger, secret) = (stage.access(2), stage.secret());
    let missing = PortErrorKind::NotFound;
    let nothing = stage.factory.secret("nothing");
    let theirs = is_refused(
        stage.vault.versions(&stranger, &secret).await,
        missing,
        "listing another tenant's secret",
    )?;
    let absent = is_refused(stage.vault.versions(&stranger, &nothing).await, missing, "listing nothing")?;
    let same = theirs.to_string().replace("database", "nothing");
    equal("how another tenant's is told, beside what is absent", same, absent.to_string())?;
    let answer = stage.delivered_to(&stranger, version).await?;
    is_refused(answer, missing, "delivering another tenant's secret")?;
    let answer = stage.vault.create_version(by(1, 1)?, &stranger, &secret).await;
    is_refused(answer, missing, "rotating another tenant's secret")?;
    let answer = stage.vault.retire_version(by(1, 1)?, &stranger, &named(&secret, version)?).await;
    is_refused(answer, missing, "retiring another tenant's secret")?;
    // Each has its own by whatever name.
    let own = stage.put(2, b"theirs").await?;
    ensure(stage.delivered_to(&stranger, own).await?? == b"theirs", "a tenant is given another value")?;
    ensure(stage.delivered(version).await?? == VALUE, "another tenant changed it")?;
    equal("how many versions there are", stage.listed().await?.len(), 1)
}

async fn an_identity_that_was_not_let_in_is_denied<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let version = stage.put(1, VALUE).await?;
    let other = SecretAccess { identity: stage.factory.identity(2), ..stage.access(1) };
    let denied = PortErrorKind::Denied;
    is_refused(stage.delivered_to(&other, version).await?, denied, "delivering to who was not let in")?;
    let answer = stage.vault.create_version(by(1, 1)?, &other, &stage.secret()).await;
    is_refused(answer, denied, "rotating for who was not let in")?;
    let answer = stage.vault.retire_version(by(1, 1)?, &other, &named(&stage.secret(), version)?).await;
    is_refused(answer, denied, "retiring for who was not let in")?;
    ensure(stage.delivered(version).await?? == VALUE, "who was let in is given something else")
}

async fn an_older_token_changes_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let first = stage.put(1, VALUE).await?;
    stage.create(1, 5).await??;
    let fenced = PortErrorKind::Fenced;
    is_refused(stage.create(2, 4).await?, fenced, "a rotation under an older token")?;
    is_refused(stage.retire(first, 4).await?, fenced, "retiring under an older token")?;
    stage.retire(first, 6).await??;
    is_refused(stage.create(2, 5).await?, fenced, "a rotation under a token that retiring made old")?;
    equal("how many versions there are", stage.listed().await?.len(), 2)?;
    stage.create(2, 6).await?.map(drop).map_err(Into::into)
}

async fn a_sink_that_refuses_is_told_and_nothing_else_changes<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let version = stage.put(1, VALUE).await?;
    let sink = Sink { refuses: true, ..Sink::default() };
    let answer =
        stage.vault.deliver(&stage.access(1), &named(&stage.secret(), version)?, Box::new(sink)).await;
    is_refused(answer, PortErrorKind::Exhausted, "a delivery that the sink refused")?;
    ensure(stage.delivered(version).await?? == VALUE, "it is not delivered afterwards")
}

async fn nothing_of_a_value_is_told<F>(stage: Stage<F>) -> Outcome
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let version = stage.put(1, VALUE).await?;
    stage.delivered(version).await??;
    let mut told = format!("{:?} {:?}", stage.vault, stage.listed().await?);
    let sink = Sink { refuses: true, ..Sink::default() };
    let reference = named(&stage.secret(), version)?;
    let refused = stage.vault.deliver(&stage.access(1), &reference, Box::new(sink)).await.err();
    stage.retire(version, 1).await??;
    for error in [refused, stage.delivered(version).await?.err()].into_iter().flatten() {
        told += &format!("{error} {error:?} {}", super::chain(&error));
    }
    ensure(!told.contains("hunter2") && !told.contains("correct-horse"), "a value is told")
}

/// What was put in, made and retired is so after the vault was closed and opened again.
async fn survives<F>(factory: Arc<F>, capabilities: VaultCapabilities) -> Trial
where
    F: VaultFactory,
    F::Adapter: SecretStore + fmt::Debug,
{
    let kept: Mutex<Option<(SecretVersion, SecretVersion)>> = Mutex::new(None);
    let of = Shared(Arc::clone(&factory));
    let before = async |vault: &Arc<F::Adapter>| {
        let stage = Stage { factory: Arc::clone(&factory), vault: Arc::clone(vault), capabilities };
        let first = stage.put(1, VALUE).await?;
        let second = stage.create(1, 5).await??;
        let third = stage.create(2, 5).await??;
        stage.retire(third, 5).await??;
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((first, second));
        Ok(())
    };
    let after = async |vault: &Arc<F::Adapter>| {
        let stage = Stage { factory: Arc::clone(&factory), vault: Arc::clone(vault), capabilities };
        let (first, second) = kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ok_or_else(|| Failure::new("nothing was kept"))?;
        ensure(stage.delivered(first).await?? == VALUE, "a value is another after reopening")?;
        stage.delivered(second).await??;
        equal("how many versions there are", stage.listed().await?.len(), 3)?;
        equal("a rotation asked again", stage.create(1, 5).await??, second)?;
        if stage.vault.effect_class() == EffectClass::Fenced {
            is_refused(stage.create(3, 4).await?, PortErrorKind::Fenced, "an older token, after reopening,")?;
        }
        Ok(())
    };
    try_reopening(&of, "what was put in made and retired survives reopening", before, after).await
}

/// A factory whose vaults are shared, as trials hold them.
struct Shared<F>(Arc<F>);

#[async_trait]
impl<F> AdapterFactory for Shared<F>
where
    F: VaultFactory,
{
    type Adapter = Arc<F::Adapter>;

    fn persistence(&self) -> super::Persistence {
        self.0.persistence()
    }

    async fn fresh(&self) -> PortResult<Self::Adapter> {
        self.0.fresh().await.map(Arc::new)
    }

    async fn reopen(&self, vault: Self::Adapter) -> PortResult<Self::Adapter> {
        let whose = "the suite still holds the vault that is to be reopened";
        let vault = Arc::into_inner(vault)
            .ok_or_else(|| PortError::new(PortErrorKind::Internal, "vault.reopen", whose))?;
        self.0.reopen(vault).await.map(Arc::new)
    }
}
