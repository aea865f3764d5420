//! The suite of the [infrastructure engine's port](runtime_ports::infrastructure).

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::environment::{EnvironmentBlueprint, EnvironmentStage, IsolationModel};
use runtime_domain::surface::{EffectId, FencingToken, SurfaceKind};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_ports::infrastructure::{InfrastructureEngine, ResourceChange, ResourceCondition};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortErrorKind, PortResult};

use super::adapter::{AdapterFactory, Begin, trial, try_all, try_reopening};
use super::{Failure, Outcome, Report, Trial, Verdict, ensure, equal};
use crate::sample;

/// Makes the engines that the suite tries, and plays the one who works behind their back.
#[async_trait]
pub trait EngineFactory: AdapterFactory {
    /// A surface that the engine provisions.
    fn surface(&self) -> SurfaceKind;
    /// Removes a resource of the sample environment without asking the engine, by the engine's own name for it; false where that resource
    /// cannot be removed by itself.
    async fn remove(&self, engine: &Self::Adapter, resource: &str) -> PortResult<bool>;
}

/// Tries every promise of the port, each against a fresh engine.
pub async fn infrastructure<F>(factory: F) -> Report
where
    F: EngineFactory,
    F::Adapter: InfrastructureEngine,
{
    let surface = factory.surface();
    let mut trials = try_all(&factory, all(surface)).await;
    let outcome = removed_behind_its_back(&factory).await;
    let verdict = match outcome {
        Ok(true) => Verdict::Passed,
        Ok(false) => Verdict::Skipped("none of its resources can be removed by itself"),
        Err(Failure(how)) => Verdict::Failed(how),
    };
    let name = "what was removed behind its back is found and made again".to_owned();
    trials.push(Trial { name, verdict });
    let before = async |engine: &F::Adapter| {
        engine.up(by(1), &blueprint(surface)).await?;
        Ok(())
    };
    let after = async |engine: &F::Adapter| {
        let blueprint = blueprint(surface);
        is_all(engine, &blueprint, ResourceCondition::Present).await?;
        let late = engine.destroy(by(0), blueprint.tenant, blueprint.environment).await;
        is_fenced(late, "an older token, after reopening,")
    };
    trials.push(try_reopening(&factory, "what was made survives reopening", before, after).await);
    Report { suite: "infrastructure", trials }
}

fn all<E: InfrastructureEngine>(surface: SurfaceKind) -> Vec<(String, Begin<E>)> {
    let of = move || blueprint(surface);
    vec![
        named("preview says what up will do and changes nothing", move |engine| previews(engine, of())),
        named("up makes what was asked for, once", move |engine| makes_once(engine, of())),
        named("outputs are told of what is provisioned only", move |engine| tells_outputs(engine, of())),
        named("destroy leaves nothing, and succeeds again", move |engine| destroys(engine, of())),
        named("environments and tenants do not meet", move |engine| keeps_apart(engine, of())),
        named("an older token changes nothing", move |engine| fences(engine, of())),
    ]
}

fn named<E, F, R>(name: &str, function: F) -> (String, Begin<E>)
where
    E: Send + Sync + 'static,
    F: Fn(Arc<E>) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let (_, begin) = trial(function);
    (name.to_owned(), begin)
}

/// The sample environment.
///
/// # Panics
/// Never: its names are names.
#[expect(clippy::panic, reason = "the names are constants")]
pub fn blueprint(surface: SurfaceKind) -> EnvironmentBlueprint {
    let name = |text| Name::new(text).unwrap_or_else(|error| panic!("{error}"));
    EnvironmentBlueprint {
        tenant: sample::tenant(1),
        environment: sample::environment(1),
        name: name("sample"),
        stage: EnvironmentStage::Dev,
        region: name("local"),
        isolation_model: IsolationModel::Silo,
        surfaces: BTreeSet::from([surface]),
        egress_allow_list: BTreeSet::from(["api.example.com:443".to_owned()]),
        capacity: ResourceQuota::LARGEST,
    }
}

/// An effect by the holder of this token.
fn by(token: u64) -> EffectContext {
    EffectContext { effect: EffectId::of(sample::environment(1), 1), fence: FencingToken(token) }
}

async fn is_all<E: InfrastructureEngine>(
    engine: &E,
    blueprint: &EnvironmentBlueprint,
    wanted: ResourceCondition,
) -> Outcome {
    let found = engine.refresh(blueprint).await?;
    ensure(!found.is_empty(), "refresh finds no resource at all, present or missing")?;
    let other = found.into_iter().find(|finding| finding.condition != wanted);
    ensure(other.is_none(), format!("{wanted:?} was expected of everything, and not {other:?}"))
}

async fn would_all<E: InfrastructureEngine>(
    engine: &E,
    blueprint: &EnvironmentBlueprint,
    wanted: ResourceChange,
) -> Outcome {
    let lines = engine.preview(blueprint).await?;
    ensure(!lines.is_empty(), "preview says nothing")?;
    let other = lines.into_iter().find(|line| line.change != wanted);
    ensure(other.is_none(), format!("{wanted:?} was expected of everything, and not {other:?}"))
}

fn is_fenced<T>(answer: PortResult<T>, what: &str) -> Outcome {
    match answer {
        Ok(_) => Err(Failure::new(format!("{what} was accepted"))),
        Err(error) => ensure(
            error.kind() == PortErrorKind::Fenced,
            format!("{what} was not refused as Fenced: {error}"),
        ),
    }
}

async fn previews<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    for _ in 0..2 {
        would_all(&*engine, &wanted, ResourceChange::Create).await?;
    }
    is_all(&*engine, &wanted, ResourceCondition::Missing).await?;
    engine.up(by(1), &wanted).await?;
    would_all(&*engine, &wanted, ResourceChange::Keep).await
}

/// Buried: pulumi#11599.
async fn makes_once<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    let made = engine.up(by(1), &wanted).await?;
    ensure(!made.stack_ref.trim().is_empty(), "nothing refers to the whole")?;
    let surfaces: Vec<SurfaceKind> = made.compute_targets.iter().map(|target| target.surface).collect();
    equal("the surfaces", surfaces, wanted.surfaces.iter().copied().collect())?;
    equal("the boundary", &made.network_boundary.egress_allow_list, &wanted.egress_allow_list)?;
    is_all(&*engine, &wanted, ResourceCondition::Present).await?;
    let before = engine.refresh(&wanted).await?.len();
    for token in [1, 2] {
        equal("what is made again", engine.up(by(token), &wanted).await?, made.clone())?;
    }
    equal("how many resources there are", engine.refresh(&wanted).await?.len(), before)
}

async fn tells_outputs<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    let (tenant, environment) = (wanted.tenant, wanted.environment);
    equal("outputs before", engine.outputs(tenant, environment).await?, None)?;
    let made = engine.up(by(1), &wanted).await?;
    equal("outputs", engine.outputs(tenant, environment).await?, Some(made.outputs))?;
    engine.destroy(by(1), tenant, environment).await?;
    equal("outputs after", engine.outputs(tenant, environment).await?, None)
}

async fn destroys<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    engine.destroy(by(1), wanted.tenant, wanted.environment).await?;
    engine.up(by(1), &wanted).await?;
    for _ in 0..2 {
        engine.destroy(by(1), wanted.tenant, wanted.environment).await?;
        is_all(&*engine, &wanted, ResourceCondition::Missing).await?;
        would_all(&*engine, &wanted, ResourceChange::Create).await?;
    }
    engine.up(by(1), &wanted).await?;
    is_all(&*engine, &wanted, ResourceCondition::Present).await
}

async fn keeps_apart<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    let other = EnvironmentBlueprint { environment: sample::environment(2), ..wanted.clone() };
    engine.up(by(1), &wanted).await?;
    is_all(&*engine, &other, ResourceCondition::Missing).await?;
    engine.up(by(1), &other).await?;
    let stranger = sample::tenant(2);
    equal("another tenant's outputs", engine.outputs(stranger, wanted.environment).await?, None)?;
    engine.destroy(by(9), stranger, wanted.environment).await?;
    engine.destroy(by(1), other.tenant, other.environment).await?;
    is_all(&*engine, &wanted, ResourceCondition::Present).await
}

async fn fences<E: InfrastructureEngine>(engine: Arc<E>, wanted: EnvironmentBlueprint) -> Outcome {
    engine.up(by(5), &wanted).await?;
    is_fenced(engine.up(by(4), &wanted).await, "an older token")?;
    is_fenced(engine.destroy(by(4), wanted.tenant, wanted.environment).await, "an older token")?;
    is_all(&*engine, &wanted, ResourceCondition::Present).await?;
    engine.destroy(by(6), wanted.tenant, wanted.environment).await?;
    // A host that wakes up late brings nothing back.
    is_fenced(engine.up(by(5), &wanted).await, "an older token, of what was destroyed,")?;
    is_all(&*engine, &wanted, ResourceCondition::Missing).await?;
    engine.up(by(7), &wanted).await.map(drop).map_err(Into::into)
}

/// False where nothing could be removed.
async fn removed_behind_its_back<F>(factory: &F) -> Result<bool, Failure>
where
    F: EngineFactory,
    F::Adapter: InfrastructureEngine,
{
    let engine = factory.fresh().await?;
    let wanted = blueprint(factory.surface());
    let made = engine.up(by(1), &wanted).await?;
    let mut is_tried = false;
    for finding in engine.refresh(&wanted).await? {
        if !factory.remove(&engine, &finding.resource).await? {
            continue;
        }
        is_tried = true;
        let found = engine.refresh(&wanted).await?;
        let is_found = found
            .iter()
            .any(|it| it.resource == finding.resource && it.condition == ResourceCondition::Missing);
        ensure(is_found, format!("{} was removed, and refresh does not find that", finding.resource))?;
        equal("what is made again", engine.up(by(1), &wanted).await?, made.clone())?;
        is_all(&engine, &wanted, ResourceCondition::Present).await?;
    }
    Ok(is_tried)
}
