//! What there is when a story is over.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::aggregate::{Aggregate, DomainEvent as _};
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::drift::watch::DriftWatch;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::EventId;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::surface::{ComponentObservation, Traffic};
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_ports::store::{Loaded, Query, Repository, Store as _};
use runtime_testkit::world::{Met, MetOutcome};

use crate::stage::Stage;

/// Everything that matters, without identifiers and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// What is on the surface, which endpoint is answered by whom, what the vault keeps, what the engine has made.
    world: Vec<String>,
    /// How many instances and jobs were ever started.
    started: (u64, usize),
    /// Each aggregate: its kind, its state, how much it claims.
    aggregates: BTreeMap<String, usize>,
    /// Every effect that changed something.
    changes: BTreeMap<String, usize>,
    /// Every event that was published. How often the world was looked at while it changed is left to those who look: what they saw counts once.
    published: BTreeMap<String, usize>,
}

impl End {
    pub(crate) async fn of(stage: &Stage) -> Self {
        let world = &stage.world;
        let mut there: Vec<String> = world.surface.everything().iter().map(shown).collect();
        there.extend(
            world
                .surface
                .handed_over()
                .iter()
                .map(|(from, to)| without_identifiers(&format!("what comes to {from} is answered by {to}"))),
        );
        there.extend(
            world
                .vault
                .secrets()
                .into_iter()
                .map(|secret| format!("{secret}: {:?}", world.vault.all(&secret))),
        );
        there.push(format!("{} environments", world.engine.environments().len()));
        there.sort();
        let changed = stage.effects().into_iter().filter(|met| met.outcome == MetOutcome::Changed);
        let events: BTreeMap<_, _> =
            world.bus.events().into_iter().map(|event| (event.id, event.event_type)).collect();
        Self {
            world: there,
            started: (world.surface.started(), world.surface.jobs_started()),
            aggregates: counted(aggregates(stage).await),
            changes: counted(changed.map(|met| without_identifiers(&met.asked))),
            published: published(events.into_values()),
        }
    }

    /// Whether an event of this name was published.
    pub(crate) fn has_published(&self, event: &str) -> bool {
        self.published.keys().any(|published| published.contains(event))
    }

    /// What is otherwise in another end.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let part = |name: &str, own: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
            let (own, other) = (format!("{own:#?}"), format!("{other:#?}"));
            let (left, right): (BTreeSet<&str>, BTreeSet<&str>) =
                (own.lines().collect(), other.lines().collect());
            (own != other).then(|| {
                let lost = left.difference(&right).map(|line| format!("\n    - {}", line.trim()));
                let more = right.difference(&left).map(|line| format!("\n    + {}", line.trim()));
                format!("\n  {name}:{}", lost.chain(more).collect::<String>())
            })
        };
        let parts = [
            part("the world", &self.world, &other.world),
            part("instances and jobs started", &self.started, &other.started),
            part("aggregates", &self.aggregates, &other.aggregates),
            part("changes", &self.changes, &other.changes),
            part("published", &self.published, &other.published),
        ];
        Some(parts.into_iter().flatten().collect())
    }
}

fn counted(items: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

fn published(types: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let is_look =
        |event: &str| event.contains("RuntimeInventoryUpdated") || event.contains("HealthCheckCompleted");
    let mut counts = counted(types);
    counts.iter_mut().filter(|(event, _)| is_look(event)).for_each(|(_, count)| *count = 1);
    counts
}

/// An effect that has changed something twice.
pub(crate) fn doubled(effects: &[Met]) -> Option<String> {
    let changed = effects.iter().filter(|met| met.outcome == MetOutcome::Changed);
    let counts = counted(changed.map(|met| format!("{}: {}", met.effect, met.asked)));
    counts.into_iter().find(|(_, count)| *count > 1).map(|(what, count)| format!("{what} {count} times"))
}

/// A text with every identifier replaced.
pub(crate) fn without_identifiers(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut run = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_hexdigit() || letter == '-' && run.len() >= 8 {
            run.push(letter);
            continue;
        }
        left.push_str(if run.len() >= 32 { "…" } else { &run });
        run.clear();
        left.push(letter);
    }
    left.trim_end().to_owned()
}

fn shown(seen: &ComponentObservation) -> String {
    let share = |revision| match &seen.traffic {
        None => String::new(),
        Some(Traffic::PerInstance(of)) => if of.contains(revision) { "routed" } else { "" }.to_owned(),
        Some(Traffic::Weighted(weights)) => format!("{}%", weights.share(revision).get()),
    };
    let revisions = seen.revisions.iter().map(|(id, revision)| {
        let runs = revision.instances.iter().map(|instance| {
            let secrets: Vec<_> = instance.secrets.iter().map(|secret| secret.version.to_string()).collect();
            let checksum = instance.configuration.as_ref().map(|given| given.checksum.to_string());
            format!("{:?} {checksum:?} {secrets:?}", instance.state)
        });
        let (runs, share) = (counted(runs), share(id));
        format!("{}: {} wanted, {share}, {runs:?}", revision.image, revision.wanted)
    });
    let key = without_identifiers(&seen.key.to_string());
    format!("{key}: {:?}", revisions.collect::<Vec<_>>())
}

async fn all<A: Aggregate>(stage: &Stage) -> Vec<Loaded<A>> {
    let store = stage.world.store.for_tenant(&stage.scope);
    let page = Repository::<A>::new(&*store).query(Query::all(A::KIND).limited_to(1_000)).await.unwrap();
    assert!(page.next.is_none(), "a story is short");
    page.items
}

fn told<A: Aggregate>(loaded: Vec<Loaded<A>>, detail: impl Fn(&A) -> String) -> Vec<String> {
    let each = loaded.into_iter().map(|Loaded { aggregate, .. }| {
        let claims = aggregate.claims().len();
        let modules: Vec<_> = aggregate.modules().into_iter().map(|module| module.to_string()).collect();
        format!("{} {modules:?} {}, {claims} claims{}", A::KIND, aggregate.status(), detail(&aggregate))
    });
    each.collect()
}

async fn aggregates(stage: &Stage) -> Vec<String> {
    let nothing = String::new;
    [
        told::<RuntimeEnvironment>(all(stage).await, |it| {
            format!(", {} quotas", it.ledger().entries().len())
        }),
        told::<RuntimeDeployment>(all(stage).await, |_| nothing()),
        told::<RuntimeService>(all(stage).await, |_| nothing()),
        told::<RuntimeConfiguration>(all(stage).await, |_| nothing()),
        told::<SecretBinding>(all(stage).await, |it| format!(", version {}", it.current_version())),
        told::<RuntimeTenantBinding>(all(stage).await, |it| format!(", settled: {}", it.is_settled())),
        told::<ScalingPolicy>(all(stage).await, |it| {
            let follows = it.released().map(|released| released.release.number);
            let (least, most, done) = (it.min_replicas(), it.max_replicas(), it.applied().len());
            format!(", {least} to {most}, {done} done, follows {follows:?}")
        }),
        told::<RuntimeDriftFinding>(all(stage).await, |_| nothing()),
        told::<DriftWatch>(all(stage).await, |_| nothing()),
    ]
    .concat()
}

async fn published_of<A: Aggregate>(stage: &Stage) -> Vec<EventId> {
    let store = stage.world.store.for_tenant(&stage.scope);
    let mut ids = Vec::new();
    for loaded in all::<A>(stage).await {
        let key = Repository::<A>::key(loaded.aggregate.uuid());
        for entry in store.history(&key, 0, 1_000).await.unwrap() {
            let event: A::Event = serde_json::from_str(&entry.body).unwrap();
            if event.published().is_some() {
                ids.push(entry.id);
            }
        }
    }
    ids
}

/// Every event that every destination must get.
pub(crate) async fn to_be_published(stage: &Stage) -> BTreeSet<EventId> {
    let each = [
        published_of::<RuntimeEnvironment>(stage).await,
        published_of::<RuntimeDeployment>(stage).await,
        published_of::<RuntimeService>(stage).await,
        published_of::<RuntimeConfiguration>(stage).await,
        published_of::<SecretBinding>(stage).await,
        published_of::<RuntimeTenantBinding>(stage).await,
        published_of::<HealthCheckResult>(stage).await,
        published_of::<ScalingPolicy>(stage).await,
        published_of::<RuntimeDriftFinding>(stage).await,
        published_of::<DriftWatch>(stage).await,
    ];
    each.into_iter().flatten().collect()
}
