//! The suite of the [desired state's port](runtime_ports::desired_state).
//!
//! How much a source reads at most, and which links and paths it meets, is each source's own to show: nobody from outside knows its form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::{ComponentType, ConfigurationDelivery, ReleaseReference};
use runtime_domain::drift::{Authoritative, DesiredStateRevision};
use runtime_domain::rollout::strategy::Rolling;
use runtime_domain::rollout::{DeploymentStrategy, RolloutLimits};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{ModuleId, Replicas};
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::manifest::{ComponentManifest, ReleaseManifest};
use runtime_ports::{PortErrorKind, PortResult, Retry};
use tokio::task::{JoinSet, yield_now};

use super::adapter::{
    AdapterFactory, Staged, attempted, is_refused, polled_once, staged, try_reopening, try_staged,
};
use super::{Failure, Outcome, Report, Verdict, chain, ensure, equal};
use crate::sample;

/// What stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// A release, to be written in the source's own form.
    Release(Box<ReleaseManifest>),
    /// Bytes that are no release in any form, to be put where one would be.
    Garbage(Vec<u8>),
}

/// The documents of a place, by a name without an ending: `shop`, to which a source may add its own.
pub type Documents = BTreeMap<String, Document>;

/// Makes the sources that the suite tries, and plays the one who writes into them.
#[async_trait]
pub trait DesiredStateFactory: AdapterFactory {
    /// From now on these documents are at a place, and no others, authoritatively. None says that nothing should be there: the place itself is
    /// there. Whoever reads meanwhile finds what was there before, or these, or that the source is being changed.
    async fn say(
        &self,
        source: &Self::Adapter,
        place: &DesiredPlace,
        documents: &Documents,
    ) -> PortResult<()>;
    /// From now on there is no such place, authoritatively.
    async fn remove(&self, source: &Self::Adapter, place: &DesiredPlace) -> PortResult<()>;
    /// Begins to change what is at a place, so that it is not authoritative until [`say`](DesiredStateFactory::say) is called. False where
    /// whatever is changed there is authoritative at once.
    async fn begin(
        &self,
        source: &Self::Adapter,
        place: &DesiredPlace,
        documents: &Documents,
    ) -> PortResult<bool>;
}

/// What a source promises that not every source can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesiredStateCapabilities {
    /// It keeps several tenants' desired state. One that keeps a single tenant's keeps that of [`sample::tenant(1)`](sample::tenant), and
    /// answers everybody else [`NotFound`](PortErrorKind::NotFound).
    pub many_tenants: bool,
}

/// Tries every promise of the port, each against a fresh source.
pub async fn desired_state<F>(factory: F, capabilities: DesiredStateCapabilities) -> Report
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let factory = Arc::new(factory);
    let stage = async || {
        let source = Arc::new(factory.fresh().await?);
        Ok(Stage { factory: Arc::clone(&factory), source, capabilities })
    };
    let mut trials = try_staged(stage, all::<F>()).await;
    let first = std::sync::Mutex::new(None);
    let place = sample_place;
    let before = async |source: &F::Adapter| {
        factory.say(source, &place(1, "shop")?, &said("one")?).await?;
        let read = source.read(&place(1, "shop")?).await?;
        *first.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(read.revision().clone());
        Ok(())
    };
    let after = async |source: &F::Adapter| {
        let read = source.read(&place(1, "shop")?).await?;
        let first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        equal("the revision", Some(read.revision().clone()), first)?;
        is(&read, &said("one")?)
    };
    let name = "what was said is read at the same revision after reopening";
    trials.push(try_reopening(&*factory, name, before, after).await);
    Report { suite: "desired_state", trials }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    vec![
        staged(what_is_said_is_what_is_read),
        staged(a_revision_stands_for_one_content),
        staged(a_place_that_says_nothing_is_empty_and_no_error),
        staged(a_place_that_is_not_there_is_not_found_and_is_not_empty),
        staged(one_document_that_cannot_be_read_makes_all_of_them_unreadable),
        staged(a_component_in_two_documents_is_corrupt),
        staged(no_document_however_hostile_is_anything_but_an_error),
        staged(no_error_tells_what_a_document_holds),
        staged(places_do_not_meet),
        staged(another_tenants_place_is_as_one_that_is_not_there),
        staged(tenants_are_told_their_own).where_it(Stage::keeps_many),
        attempted(what_is_not_authoritative_is_not_answered),
        staged(what_is_read_while_it_changes_is_of_one_revision),
        staged(a_read_that_is_dropped_leaves_the_source_readable),
    ]
}

/// What no error may tell.
const TELLING: &str = "hunter2";

/// A fresh source, and who writes into it.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    source: Arc<F::Adapter>,
    capabilities: DesiredStateCapabilities,
}

type Answer = Authoritative<Arc<DesiredReleases>>;

fn word<T: FromStr<Err: Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::new(format!("`{text}`: {error}")))
}

fn sample_place(tenant: u64, path: &str) -> Result<DesiredPlace, Failure> {
    Ok(DesiredPlace {
        tenant: sample::tenant(tenant),
        environment: sample::environment(tenant),
        path: word(path)?,
    })
}

/// A release of these components, each of the version that is given.
fn release(name: &str, version: &str, modules: &[&str]) -> Result<Document, Failure> {
    let component = |module: &str| -> Result<ComponentManifest, Failure> {
        Ok(ComponentManifest {
            image: word(&format!("shop/{module}:{version}"))?,
            version: word(version)?,
            component_type: ComponentType::Microservice,
            surface: SurfaceKind::Process,
            replicas: Replicas::ONE,
            scaling: None,
            resources: None,
            arguments: vec!["--said".to_owned(), format!("{version}: 'yes' # no")],
            variables: BTreeMap::new(),
            configuration: ConfigurationDelivery::default(),
            readiness: None,
            liveness: None,
            termination_grace: Span::from_secs(10),
            depends_on: BTreeSet::new(),
            dependencies: BTreeMap::new(),
        })
    };
    let mut components = BTreeMap::new();
    for module in modules {
        components.insert(word::<ModuleId>(module)?, component(module)?);
    }
    Ok(Document::Release(Box::new(ReleaseManifest {
        release: ReleaseReference::new(name).map_err(|error| Failure::new(error.to_string()))?,
        strategy: DeploymentStrategy::RollingHealthGated(Rolling::default()),
        components,
        gates: BTreeMap::new(),
        limits: RolloutLimits::default(),
        configuration: None,
    })))
}

/// Two documents of three components, whose version is this.
fn said(version: &str) -> Result<Documents, Failure> {
    Ok(BTreeMap::from([
        ("shop".to_owned(), release("shop-1", version, &["cart", "web"])?),
        ("worker".to_owned(), release("worker-1", version, &["worker"])?),
    ]))
}

fn with(mut documents: Documents, name: &str, document: Document) -> Documents {
    documents.insert(name.to_owned(), document);
    documents
}

fn releases(documents: &Documents) -> Vec<&ReleaseManifest> {
    let releases = documents.values().filter_map(|document| match document {
        Document::Release(release) => Some(&**release),
        Document::Garbage(_) => None,
    });
    releases.collect()
}

/// That what was read is what was said, whatever its documents are called there.
fn is(read: &Answer, documents: &Documents) -> Outcome {
    let mut read: Vec<&ReleaseManifest> = read.value().releases().values().collect();
    read.sort_unstable_by_key(|release| release.release.to_string());
    ensure(read == releases(documents), format!("saw {}, wanted {}", told(&read), told(&releases(documents))))
}

/// Releases by their components and versions, short enough to be read.
fn told(releases: &[&ReleaseManifest]) -> String {
    let components = releases.iter().flat_map(|release| {
        let components = release.components.iter();
        components
            .map(|(module, it)| format!("{}/{module} {} {:?}", release.release, it.version, it.arguments))
    });
    format!("[{}]", components.collect::<Vec<_>>().join(", "))
}

impl<F> Stage<F>
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    fn keeps_many(&self) -> Result<(), &'static str> {
        if self.capabilities.many_tenants { Ok(()) } else { Err("it keeps one tenant's, and says so") }
    }

    async fn say(&self, place: &DesiredPlace, documents: &Documents) -> Outcome {
        Ok(self.factory.say(&self.source, place, documents).await?)
    }

    async fn read(&self, place: &DesiredPlace) -> Result<Answer, Failure> {
        Ok(self.source.read(place).await?)
    }
}

async fn what_is_said_is_what_is_read<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop/staging")?;
    stage.say(&place, &said("one")?).await?;
    let read = stage.read(&place).await?;
    is(&read, &said("one")?)?;
    equal("the tenant", read.tenant(), place.tenant)?;
    equal("the environment", read.environment(), place.environment)?;
    let other = DesiredPlace { environment: sample::environment(7), ..place };
    equal("another environment of the same place", stage.read(&other).await?.environment(), other.environment)
}

async fn a_revision_stands_for_one_content<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    let mut contents: BTreeMap<DesiredStateRevision, &str> = BTreeMap::new();
    for version in ["one", "two", "one", "three"] {
        stage.say(&place, &said(version)?).await?;
        for _ in 0..2 {
            let read = stage.read(&place).await?;
            is(&read, &said(version)?)?;
            let content = contents.entry(read.revision().clone()).or_insert(version);
            equal(&format!("what is desired at {}", read.revision()), *content, version)?;
        }
    }
    Ok(())
}

async fn a_place_that_says_nothing_is_empty_and_no_error<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    for _ in 0..2 {
        stage.say(&place, &Documents::new()).await?;
        equal("how much is desired", stage.read(&place).await?.value().releases().len(), 0)?;
        stage.say(&place, &said("one")?).await?;
        is(&stage.read(&place).await?, &said("one")?)?;
    }
    Ok(())
}

async fn a_place_that_is_not_there_is_not_found_and_is_not_empty<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let (place, other) = (sample_place(1, "shop")?, sample_place(1, "other")?);
    is_refused(stage.source.read(&place).await, PortErrorKind::NotFound, "a place that never was")?;
    stage.say(&place, &said("one")?).await?;
    stage.say(&other, &said("one")?).await?;
    is_refused(
        stage.source.read(&sample_place(1, "shop/below")?).await,
        PortErrorKind::NotFound,
        "a place below one",
    )?;
    is(&stage.read(&place).await?, &said("one")?)?;
    stage.factory.remove(&stage.source, &place).await?;
    is_refused(stage.source.read(&place).await, PortErrorKind::NotFound, "a place that was removed")?;
    is(&stage.read(&other).await?, &said("one")?)
}

async fn one_document_that_cannot_be_read_makes_all_of_them_unreadable<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    for garbage in ["release: [", "{\"release\": \"shop-9\"}", ""] {
        let broken = with(said("one")?, "broken", Document::Garbage(garbage.into()));
        stage.say(&place, &broken).await?;
        let what = format!("a document that is `{garbage}`");
        let error = is_refused(stage.source.read(&place).await, PortErrorKind::Corrupt, &what)?;
        let names_it = error.message().contains("broken");
        ensure(names_it, format!("the error does not say which document is wrong: {error}"))?;
    }
    stage.say(&place, &said("one")?).await?;
    is(&stage.read(&place).await?, &said("one")?)
}

async fn a_component_in_two_documents_is_corrupt<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    stage.say(&place, &with(said("one")?, "twice", release("twice-1", "two", &["web"])?)).await?;
    let error = is_refused(stage.source.read(&place).await, PortErrorKind::Corrupt, "what is said twice")?;
    ensure(chain(&error).contains("web"), format!("the error does not say which component: {error}"))
}

async fn no_document_however_hostile_is_anything_but_an_error<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    // Each line names the one before it often, so that forty lines stand for more than any memory holds.
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]\n"));
    }
    for (what, garbage) in [
        ("bytes that are no text", vec![0xff, 0xfe, 0x00, 0x80]),
        ("zeros", vec![0; 4_096]),
        ("brackets a hundred thousand deep", b"[".repeat(100_000)),
        ("braces a hundred thousand deep", b"{\"a\":".repeat(100_000)),
        ("a bomb of aliases", bomb.into_bytes()),
        ("one number of a million digits", b"9".repeat(1_000_000)),
    ] {
        stage.say(&place, &with(said("one")?, "hostile", Document::Garbage(garbage))).await?;
        match stage.source.read(&place).await {
            Ok(_) => return Err(Failure::new(format!("{what} were taken for desired state"))),
            Err(error) => ensure(
                matches!(error.kind(), PortErrorKind::Corrupt | PortErrorKind::Exhausted),
                format!("{what} came to {:?}: {error}", error.kind()),
            )?,
        }
    }
    stage.say(&place, &said("one")?).await?;
    is(&stage.read(&place).await?, &said("one")?)
}

async fn no_error_tells_what_a_document_holds<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    for garbage in [
        format!("release: shop-1\n{TELLING}: x\n"),
        format!("release: \"{TELLING} {TELLING}\"\n"),
        format!("password: {TELLING}: ["),
        format!("{{\"release\": \"shop-1\", \"strategy\": \"{TELLING}\"}}"),
        TELLING.to_owned(),
    ] {
        stage.say(&place, &with(said("one")?, "broken", Document::Garbage(garbage.into()))).await?;
        if let Err(error) = stage.source.read(&place).await {
            let told = format!("{} {error:?}", chain(&error));
            ensure(!told.contains(TELLING), format!("an error repeats what a document holds: {told}"))?;
        }
    }
    Ok(())
}

async fn places_do_not_meet<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let places = ["shop/staging", "shop/staging-2", "shop/prod", "staging"];
    for path in places {
        let place = sample_place(1, path)?;
        stage.say(&place, &said(&path.replace('/', "-"))?).await?;
    }
    let broken = with(said("one")?, "broken", Document::Garbage(b"release: [".to_vec()));
    stage.say(&sample_place(1, "broken")?, &broken).await?;
    for path in places {
        let read = stage.read(&sample_place(1, path)?).await?;
        is(&read, &said(&path.replace('/', "-"))?)
            .map_err(|Failure(how)| Failure(format!("at `{path}`: {how}")))?;
    }
    Ok(())
}

async fn another_tenants_place_is_as_one_that_is_not_there<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    stage.say(&sample_place(1, "shop")?, &said("one")?).await?;
    let stranger = stage.source.read(&sample_place(2, "shop")?).await;
    let known = is_refused(stranger, PortErrorKind::NotFound, "another tenant's place")?;
    let unknown = stage.source.read(&sample_place(2, "sh0p")?).await;
    let unknown = is_refused(unknown, PortErrorKind::NotFound, "a place that never was")?;
    equal("what is told of it", chain(&known), chain(&unknown).replace("sh0p", "shop"))
}

async fn tenants_are_told_their_own<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    for (tenant, version) in [(1, "one"), (2, "two")] {
        stage.say(&sample_place(tenant, "shop")?, &said(version)?).await?;
    }
    for (tenant, version) in [(1, "one"), (2, "two")] {
        let read = stage.read(&sample_place(tenant, "shop")?).await?;
        equal("the tenant", read.tenant(), sample::tenant(tenant))?;
        is(&read, &said(version)?)?;
    }
    Ok(())
}

async fn what_is_not_authoritative_is_not_answered<F>(stage: Stage<F>) -> Result<Verdict, Failure>
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    stage.say(&place, &said("one")?).await?;
    is(&stage.read(&place).await?, &said("one")?)?;
    if !stage.factory.begin(&stage.source, &place, &said("two")?).await? {
        return Ok(Verdict::Skipped("whatever is changed there is authoritative at once"));
    }
    let what = "what is being changed";
    let error = is_refused(stage.source.read(&place).await, PortErrorKind::Unavailable, what)?;
    let is_later = matches!(error.retry(), Retry::Later { .. });
    ensure(is_later, format!("it will be authoritative again, and the error says {:?}", error.retry()))?;
    stage.say(&place, &said("two")?).await?;
    is(&stage.read(&place).await?, &said("two")?)?;
    Ok(Verdict::Passed)
}

async fn what_is_read_while_it_changes_is_of_one_revision<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    let versions = ["one", "two", "three"];
    stage.say(&place, &said("one")?).await?;
    // Ended with the trial, so that nobody writes into the next one's source.
    let mut writing = JoinSet::new();
    let (factory, source, at) = (Arc::clone(&stage.factory), Arc::clone(&stage.source), place.clone());
    writing.spawn(async move {
        for number in 1..=10 {
            factory.say(&source, &at, &said(versions[number % 3])?).await?;
            yield_now().await;
        }
        Ok::<(), Failure>(())
    });
    let mut contents: BTreeMap<DesiredStateRevision, &str> = BTreeMap::new();
    let written = loop {
        if let Some(written) = writing.try_join_next() {
            break written;
        }
        match stage.source.read(&place).await {
            Ok(read) => {
                let whole = versions
                    .iter()
                    .find(|version| said(version).is_ok_and(|documents| is(&read, &documents).is_ok()));
                let Some(version) = whole else {
                    let seen: Vec<&ReleaseManifest> = read.value().releases().values().collect();
                    return Err(Failure::new(format!("this was never said as a whole: {}", told(&seen))));
                };
                let content = *contents.entry(read.revision().clone()).or_insert(version);
                equal(&format!("what is desired at {}", read.revision()), content, *version)?;
            }
            Err(error) => {
                ensure(error.kind() == PortErrorKind::Unavailable, format!("while it changes: {error}"))?
            }
        }
        yield_now().await;
    };
    written.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    is(&stage.read(&place).await?, &said("two")?)
}

async fn a_read_that_is_dropped_leaves_the_source_readable<F>(stage: Stage<F>) -> Outcome
where
    F: DesiredStateFactory,
    F::Adapter: DesiredStateSource,
{
    let place = sample_place(1, "shop")?;
    stage.say(&place, &said("one")?).await?;
    for polls in 1..8 {
        let mut reading = Box::pin(stage.source.read(&place));
        for _ in 0..polls {
            if polled_once(reading.as_mut()).await.is_some() {
                break;
            }
            yield_now().await;
        }
        drop(reading);
        let read = stage.read(&place).await?;
        is(&read, &said("one")?).map_err(|Failure(how)| Failure(format!("after {polls} polls: {how}")))?;
    }
    Ok(())
}
