//! The suite of the [compute surface's port](runtime_ports::surface).
//!
//! It looks at what a surface shows, and sends no request: that none is lost while traffic moves is for tests which know how the surface is
//! reached.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::{ComponentSpec, RevisionId};
use runtime_domain::id::{DeploymentId, ScalingPolicyId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, EffectOwner, FencingToken, InstanceState,
    RevisionSpec, Traffic,
};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortErrorKind, PortResult};
use uuid::Uuid;

use super::adapter::{AdapterFactory, Begin, Persistence, trial};
use super::{Failure, Outcome, Report, Trial, Verdict, ensure, equal, run};
use crate::sample;

mod fencing;

/// Makes the surfaces that the suite tries, and plays the one who works behind their back.
#[async_trait]
pub trait SurfaceFactory: AdapterFactory {
    /// A component that the surface can run: its first release for 1, another for 2. It needs no configuration and no secret, and ends soon
    /// after it is told to.
    fn component(&self, release: u8) -> ComponentSpec;
    /// How long its instances may take to come up or to go.
    fn patience(&self) -> Duration;
    /// Ends an instance without asking the surface; false where that cannot be done.
    async fn kill(&self, surface: &Self::Adapter, key: &ComponentKey, instance: &str) -> PortResult<bool>;
    /// Closes a surface that is not needed any more, with everything that runs on it.
    async fn end(&self, surface: Arc<Self::Adapter>);
}

/// What the trials run.
#[derive(Clone)]
struct Given {
    components: [ComponentSpec; 2],
    patience: Duration,
}

/// Tries every promise of the port that shows in what a surface tells, each on a fresh surface.
pub async fn surface<F>(factory: F) -> Report
where
    F: SurfaceFactory,
    F::Adapter: ComputeSurface,
{
    let components = [factory.component(1), factory.component(2)];
    let given = Given { components, patience: factory.patience() };
    let mut trials = Vec::new();
    for (name, begin, wanted) in all(&given) {
        let verdict = match factory.fresh().await {
            Ok(surface) => {
                let surface = Arc::new(surface);
                let verdict = match wanted {
                    Wanted::Fenced if !is_fenced(&*surface) => Verdict::Skipped("it does not fence"),
                    _ => run(begin(Arc::clone(&surface))).await,
                };
                factory.end(surface).await;
                verdict
            }
            Err(error) => Verdict::Failed(format!("no fresh surface: {error}")),
        };
        trials.push(Trial { name, verdict });
    }
    let name = "an instance that ends by itself is started again, of the same revision".to_owned();
    let verdict = match replaces(&factory, &given).await {
        Ok(true) => Verdict::Passed,
        Ok(false) => Verdict::Skipped("no instance can be ended behind its back"),
        Err(Failure(how)) => Verdict::Failed(how),
    };
    trials.push(Trial { name, verdict });
    let name = "what runs is found by the surface that is opened next".to_owned();
    let verdict = match factory.persistence() {
        Persistence::Volatile => Verdict::Skipped("it keeps nothing when it is closed"),
        Persistence::Durable => match adopts(&factory, &given).await {
            Ok(()) => Verdict::Passed,
            Err(Failure(how)) => Verdict::Failed(how),
        },
    };
    trials.push(Trial { name, verdict });
    Report { suite: "surface", trials }
}

/// Which surfaces make a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Fenced,
}

fn all<S: ComputeSurface>(given: &Given) -> Vec<(String, Begin<S>, Wanted)> {
    vec![
        named("what was never applied is shown as nothing", given, Wanted::Any, shows_nothing),
        named(
            "a revision comes up with its replicas, and gets no traffic by that",
            given,
            Wanted::Any,
            brings_about,
        ),
        named("repeating an effect changes nothing", given, Wanted::Any, repeats),
        named("scaling down ends the newest instances, and scaling up adds some", given, Wanted::Any, scales),
        named(
            "traffic goes where it was directed, and nowhere that does not exist",
            given,
            Wanted::Any,
            directs,
        ),
        named(
            "what is retired goes, with its traffic, and may be retired again",
            given,
            Wanted::Any,
            retires,
        ),
        named("what does not exist is not found", given, Wanted::Any, finds_nothing),
        named("components, environments and tenants do not meet", given, Wanted::Any, keeps_apart),
        named(
            "an older token changes nothing, whichever deployment has it",
            given,
            Wanted::Fenced,
            fencing::fences,
        ),
        named(
            "a rollout gives way to no policy, and a policy to a rollout",
            given,
            Wanted::Fenced,
            fencing::gives_way,
        ),
        named(
            "an effect that others followed is known when it is repeated",
            given,
            Wanted::Fenced,
            fencing::recognises,
        ),
        named("a token is seen whatever becomes of its effect", given, Wanted::Fenced, fencing::sees),
        named("what was refused is done when it is asked for again", given, Wanted::Any, tries_again),
        named("what is retired and applied again stays, with its replicas", given, Wanted::Any, comes_back),
        named("a revision is never given other content", given, Wanted::Any, keeps_content),
        named("of one component there are as many revisions as declared", given, Wanted::Any, limits),
    ]
}

fn named<S, F, R>(name: &str, given: &Given, wanted: Wanted, function: F) -> (String, Begin<S>, Wanted)
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Given) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let given = given.clone();
    let (_, begin) = trial(move |surface| function(surface, given.clone()));
    (name.to_owned(), begin, wanted)
}

impl Given {
    fn key(&self, tenant: u64, environment: u64) -> ComponentKey {
        ComponentKey {
            tenant: sample::tenant(tenant),
            environment: sample::environment(environment),
            module: self.components[0].module.clone(),
        }
    }

    fn own(&self) -> ComponentKey {
        self.key(1, 1)
    }

    fn revision(&self, release: u8) -> RevisionId {
        RevisionId::new(self.components[0].module.clone(), deployment(release))
    }

    fn spec(&self, key: ComponentKey, release: u8) -> RevisionSpec {
        let component = self.components[usize::from(release != 1)].clone();
        let (configuration, secrets) = (None, BTreeSet::new());
        RevisionSpec { key, revision: self.revision(release), component, configuration, secrets }
    }

    /// The first release, ready with so many replicas.
    async fn ready<S: ComputeSurface>(
        &self,
        surface: &S,
        replicas: u16,
    ) -> Result<ComponentObservation, Failure> {
        surface.apply(by(1, 1), &self.spec(self.own(), 1), replicas).await?;
        self.until(surface, "the instances are ready", |seen| seen.ready(&self.revision(1)) == replicas).await
    }

    async fn until<S: ComputeSurface>(
        &self,
        surface: &S,
        what: &str,
        is_so: impl Fn(&ComponentObservation) -> bool,
    ) -> Result<ComponentObservation, Failure> {
        let key = self.own();
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let seen = surface.observe(&key).await?;
            if is_so(&seen) {
                return Ok(seen);
            }
            let now = tokio::time::Instant::now();
            ensure(now < deadline, format!("not within {:?}: {what}; it shows {seen:?}", self.patience))?;
            tokio::time::sleep_until(now + Duration::from_millis(20)).await;
        }
    }
}

fn deployment(number: u8) -> DeploymentId {
    DeploymentId::from_uuid(Uuid::from_u128((10 << 96) | u128::from(number)))
}

/// An effect of the first release's deployment, by the holder of this token.
fn by(token: u64, ordinal: u32) -> EffectContext {
    EffectContext { effect: EffectId::of(deployment(1), ordinal), fence: FencingToken(token) }
}

fn by_policy(token: u64, ordinal: u32) -> EffectContext {
    let owner = EffectOwner::ScalingPolicy(ScalingPolicyId::from_uuid(Uuid::from_u128(11 << 96)));
    EffectContext { effect: EffectId { owner, ordinal }, fence: FencingToken(token) }
}

fn is_refused<T>(answer: PortResult<T>, kind: PortErrorKind, what: &str) -> Outcome {
    match answer {
        Ok(_) => Err(Failure::new(format!("{what} was accepted"))),
        Err(error) => ensure(error.kind() == kind, format!("{what} was not refused as {kind:?}: {error}")),
    }
}

/// The instances of a revision that are not about to go.
fn names(seen: &ComponentObservation, revision: &RevisionId) -> BTreeSet<String> {
    let instances = seen.revisions.get(revision).into_iter().flat_map(|seen| &seen.instances);
    let stays = |state: &InstanceState| {
        matches!(state, InstanceState::Starting | InstanceState::Ready | InstanceState::NotReady)
    };
    instances.filter(|instance| stays(&instance.state)).map(|instance| instance.name.clone()).collect()
}

async fn shows_nothing<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let key = given.own();
    let seen = surface.observe(&key).await?;
    equal("the component", &seen.key, &key)?;
    ensure(seen.revisions.is_empty() && seen.traffic.is_none(), format!("something is shown: {seen:?}"))?;
    equal("what is listed", surface.list(key.tenant, key.environment).await?, Vec::new())
}

async fn brings_about<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let seen = given.ready(&*surface, 2).await?;
    let Some(revision) = seen.revisions.get(&given.revision(1)) else {
        return Err(Failure::new("the revision is not shown"));
    };
    equal("how many are wanted", revision.wanted, 2)?;
    equal("the image", &revision.image, given.components[0].tuple.image.digest())?;
    equal("how many instances", names(&seen, &given.revision(1)).len(), 2)?;
    let routed = seen.traffic.iter().flat_map(Traffic::revisions).count();
    equal("how many revisions get traffic", routed, 0)?;
    let listed = surface.list(given.own().tenant, given.own().environment).await?;
    equal("how many components are listed", listed.len(), 1)
}

async fn repeats<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    let before = names(&given.ready(&*surface, 2).await?, &revision);
    let traffic = Traffic::all_to(revision.clone());
    for _ in 0..2 {
        surface.apply(by(1, 1), &given.spec(key.clone(), 1), 2).await?;
    }
    for _ in 0..2 {
        surface.shift_traffic(by(1, 2), &key, &traffic).await?;
    }
    for _ in 0..2 {
        surface.scale(by(1, 3), &key, &revision, 2).await?;
    }
    let seen = given.until(&*surface, "all are ready", |seen| seen.ready(&revision) == 2).await?;
    equal("the instances", names(&seen, &revision), before)?;
    equal("the traffic", seen.traffic, Some(traffic))
}

async fn scales<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    let oldest = names(&given.ready(&*surface, 1).await?, &revision);
    for (ordinal, replicas) in [(2, 3), (3, 1)] {
        surface.scale(by(1, ordinal), &key, &revision, replicas).await?;
        let what = format!("there are {replicas}");
        let is_so = |seen: &ComponentObservation| {
            seen.ready(&revision) == replicas && names(seen, &revision).len() == usize::from(replicas)
        };
        let seen = given.until(&*surface, &what, is_so).await?;
        ensure(
            names(&seen, &revision).is_superset(&oldest),
            format!("of {replicas}, {oldest:?} was the first and is not there: {seen:?}"),
        )?;
    }
    Ok(())
}

async fn directs<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, one, other) = (given.own(), given.revision(1), given.revision(2));
    given.ready(&*surface, 1).await?;
    let all = Traffic::all_to(one.clone());
    surface.shift_traffic(by(1, 2), &key, &all).await?;
    equal("the traffic", surface.observe(&key).await?.traffic, Some(all.clone()))?;
    let nowhere = surface.shift_traffic(by(1, 3), &key, &Traffic::all_to(other.clone())).await;
    is_refused(nowhere, PortErrorKind::NotFound, "traffic to a revision that does not exist")?;
    equal("the traffic after that", surface.observe(&key).await?.traffic, Some(all))?;
    surface.apply(by(1, 4), &given.spec(key.clone(), 2), 1).await?;
    given.until(&*surface, "the other is ready", |seen| seen.ready(&other) == 1).await?;
    let all = Traffic::all_to(other);
    surface.shift_traffic(by(1, 5), &key, &all).await?;
    equal("the traffic at last", surface.observe(&key).await?.traffic, Some(all))
}

async fn retires<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    surface.retire(by(1, 1), &key, &revision).await?;
    given.ready(&*surface, 2).await?;
    surface.shift_traffic(by(1, 2), &key, &Traffic::all_to(revision.clone())).await?;
    for _ in 0..2 {
        surface.retire(by(1, 3), &key, &revision).await?;
        let gone = |seen: &ComponentObservation| !seen.revisions.contains_key(&revision);
        let seen = given.until(&*surface, "it is gone", gone).await?;
        let routed = seen.traffic.iter().flat_map(Traffic::revisions).count();
        equal("how many revisions get traffic", routed, 0)?;
    }
    equal("what is listed", surface.list(key.tenant, key.environment).await?, Vec::new())
}

async fn finds_nothing<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, other) = (given.own(), given.revision(2));
    given.ready(&*surface, 1).await?;
    let scaled = surface.scale(by(1, 2), &key, &other, 3).await;
    is_refused(scaled, PortErrorKind::NotFound, "scaling a revision that does not exist")?;
    let seen = surface.observe(&key).await?;
    equal("the revisions", seen.revisions.keys().cloned().collect(), vec![given.revision(1)])
}

async fn tries_again<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, other) = (given.own(), given.revision(2));
    given.ready(&*surface, 1).await?;
    let traffic = Traffic::all_to(other.clone());
    let nowhere = surface.shift_traffic(by(1, 2), &key, &traffic).await;
    is_refused(nowhere, PortErrorKind::NotFound, "traffic to a revision that does not exist")?;
    surface.apply(by(1, 3), &given.spec(key.clone(), 2), 1).await?;
    given.until(&*surface, "the other is ready", |seen| seen.ready(&other) == 1).await?;
    surface.shift_traffic(by(1, 2), &key, &traffic).await?;
    equal("the traffic", surface.observe(&key).await?.traffic, Some(traffic))
}

async fn comes_back<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let (key, revision) = (given.own(), given.revision(1));
    given.ready(&*surface, 1).await?;
    surface.retire(by(1, 2), &key, &revision).await?;
    surface.apply(by(1, 3), &given.spec(key.clone(), 1), 2).await?;
    let is_back =
        |seen: &ComponentObservation| names(seen, &revision).len() == 2 && seen.ready(&revision) == 2;
    given.until(&*surface, "it is back", is_back).await?;
    let is_alone = |seen: &ComponentObservation| {
        seen.revisions.get(&revision).is_some_and(|seen| seen.instances.len() == 2)
    };
    let seen = given.until(&*surface, "what it was has gone", is_alone).await?;
    equal("how many are wanted", seen.revisions.get(&revision).map(|seen| seen.wanted), Some(2))?;
    surface.scale(by(1, 4), &key, &revision, 0).await?;
    let is_empty = |seen: &ComponentObservation| {
        seen.revisions.get(&revision).is_none_or(|seen| seen.instances.is_empty())
    };
    let seen = given.until(&*surface, "its instances have gone", is_empty).await?;
    ensure(seen.revisions.contains_key(&revision), format!("of none the revision is gone, too: {seen:?}"))
}

async fn keeps_content<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    given.ready(&*surface, 1).await?;
    let other = RevisionSpec { revision: given.revision(1), ..given.spec(given.own(), 2) };
    let applied = surface.apply(by(1, 2), &other, 1).await;
    is_refused(applied, PortErrorKind::Invalid, "other content under a revision's name")?;
    let seen = surface.observe(&given.own()).await?;
    let image = seen.revisions.get(&given.revision(1)).map(|seen| &seen.image);
    equal("the image", image, Some(given.components[0].tuple.image.digest()))
}

async fn limits<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    let most = surface.capabilities().concurrent_revisions;
    let Ok(most) = u8::try_from(most) else { return Ok(()) };
    let revision = |number: u8| RevisionSpec {
        revision: RevisionId::new(given.components[0].module.clone(), deployment(number)),
        ..given.spec(given.own(), 1)
    };
    for number in 0..most {
        surface.apply(by(1, u32::from(number) + 1), &revision(number), 0).await?;
    }
    let one_more = surface.apply(by(1, u32::from(most) + 1), &revision(most), 0).await;
    is_refused(one_more, PortErrorKind::Exhausted, "a revision more than are declared")?;
    surface.apply(by(1, u32::from(most) + 2), &revision(0), 0).await?;
    let seen = surface.observe(&given.own()).await?;
    equal("how many there are", seen.revisions.len(), usize::from(most))?;
    surface.retire(by(1, u32::from(most) + 3), &given.own(), &revision(0).revision).await?;
    let has_left = |seen: &ComponentObservation| seen.revisions.len() < usize::from(most);
    given.until(&*surface, "one has gone", has_left).await?;
    Ok(surface.apply(by(1, u32::from(most) + 4), &revision(most), 0).await?)
}

async fn keeps_apart<S: ComputeSurface>(surface: Arc<S>, given: Given) -> Outcome {
    given.ready(&*surface, 1).await?;
    let revision = given.revision(1);
    for (tenant, environment) in [(2, 1), (1, 2)] {
        let stranger = given.key(tenant, environment);
        let who = format!("tenant {tenant}'s environment {environment}");
        let seen = surface.observe(&stranger).await?;
        ensure(seen.revisions.is_empty(), format!("{who} is shown another's: {seen:?}"))?;
        let listed = surface.list(stranger.tenant, stranger.environment).await?;
        ensure(listed.is_empty(), format!("{who} lists another's: {listed:?}"))?;
        surface.retire(by(1, 7), &stranger, &revision).await?;
        let scaled = surface.scale(by(1, 8), &stranger, &revision, 5).await;
        is_refused(scaled, PortErrorKind::NotFound, &format!("what {who} scaled"))?;
    }
    let seen = surface.observe(&given.own()).await?;
    equal("how many are ready", seen.ready(&revision), 1)
}

fn is_fenced<S: ComputeSurface>(surface: &S) -> bool {
    surface.capabilities().effect_class == EffectClass::Fenced
}

/// False where nothing could be ended.
/// Buried: nomad#8439.
async fn replaces<F>(factory: &F, given: &Given) -> Result<bool, Failure>
where
    F: SurfaceFactory,
    F::Adapter: ComputeSurface,
{
    let surface = Arc::new(factory.fresh().await?);
    let (key, revision) = (given.own(), given.revision(1));
    let before = names(&given.ready(&*surface, 2).await?, &revision);
    let Some(first) = before.first() else { return Err(Failure::new("no instance has a name")) };
    let is_tried = factory.kill(&surface, &key, first).await?;
    if is_tried {
        let restarted = |seen: &ComponentObservation| {
            let is_otherwise = names(seen, &revision) != before
                || seen.revisions.get(&revision).is_some_and(|seen| seen.restarts() > 0);
            is_otherwise && seen.ready(&revision) == 2
        };
        given.until(&*surface, "another instance serves in its place", restarted).await?;
    }
    factory.end(surface).await;
    Ok(is_tried)
}

async fn adopts<F>(factory: &F, given: &Given) -> Outcome
where
    F: SurfaceFactory,
    F::Adapter: ComputeSurface,
{
    let surface = factory.fresh().await?;
    let (key, revision) = (given.own(), given.revision(1));
    let before = names(&given.ready(&surface, 2).await?, &revision);
    let traffic = Traffic::all_to(revision.clone());
    surface.shift_traffic(by(5, 2), &key, &traffic).await?;
    let missing = surface.scale(by(6, 3), &key, &given.revision(2), 1).await;
    is_refused(missing, PortErrorKind::NotFound, "scaling a revision that does not exist")?;
    let surface = factory.reopen(surface).await?;
    let seen = given.until(&surface, "all are ready again", |seen| seen.ready(&revision) == 2).await?;
    equal("the instances", names(&seen, &revision), before)?;
    equal("the traffic", seen.traffic, Some(traffic))?;
    if is_fenced(&surface) {
        let late = surface.scale(by(5, 4), &key, &revision, 3).await;
        is_refused(
            late,
            PortErrorKind::Fenced,
            "an older token than that of a refused effect, after reopening,",
        )?;
    }
    factory.end(Arc::new(surface)).await;
    Ok(())
}
