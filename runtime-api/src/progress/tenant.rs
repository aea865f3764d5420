//! A tenant's progress: a ring that all who follow it share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use runtime_domain::aggregate::Aggregate;
use runtime_domain::configuration::{ConfigurationStatus, RuntimeConfiguration};
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::watch::WatchStatus;
use runtime_domain::drift::{DriftStatus, RuntimeDriftFinding};
use runtime_domain::environment::ProvisioningStatus;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::{AggregateKind, EnvironmentId};
use runtime_domain::inventory::{RuntimeService, RuntimeStatus};
use runtime_domain::scaling::{PolicyStatus, ScalingPolicy};
use runtime_domain::scope::TenantScope;
use runtime_domain::secrets::{SecretBinding, SecretStatus};
use runtime_domain::tenancy::{BindingStatus, RuntimeTenantBinding};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::store::{AggregateKey, HistoryEntry, LoadError, Query, Repository, TenantStore};
use runtime_services::Host;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::{LOOK_EVERY, ProgressEvent, ProgressItem, ProgressKind, ring_name, store};
use crate::problem::Problem;

/// How many events the ring keeps.
const KEPT: usize = 4_096;
/// How many events one follower is given at a time.
const PAGE: usize = 64;
/// How long the ring is kept when nobody follows.
const LINGERS: Span = Span::from_secs(120);
/// How many aggregates, or entries, are read at a time.
const READ: u32 = 500;

/// Looks at a tenant for all who follow it, and for a while after.
#[derive(Debug)]
pub(crate) struct TenantHub {
    name: String,
    ring: Mutex<Ring>,
    /// The position after the newest event; its receivers are the followers.
    end: watch::Sender<u64>,
    is_over: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<ProgressEvent>>,
    /// The position of the first.
    first: u64,
}

impl TenantHub {
    pub(super) async fn begin(host: Host, scope: &TenantScope, name: Uuid) -> Result<Arc<Self>, Problem> {
        let hub = Arc::new(Self {
            name: ring_name(name),
            ring: Mutex::default(),
            end: watch::Sender::new(0),
            is_over: watch::Sender::new(false),
        });
        // From before the first look, so that nothing falls between.
        let changes = host.changes();
        let mut look = Look {
            since: host.now(),
            store: store(&host, scope),
            known: BTreeMap::new(),
            live: BTreeSet::new(),
        };
        look.live(None).await?;
        tokio::spawn(run(host, look, changes, hub.clone()));
        Ok(hub)
    }

    pub(super) fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    fn push(&self, events: impl IntoIterator<Item = ProgressEvent>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            ring.events.push_back(Arc::new(event));
            if ring.events.len() > KEPT {
                ring.events.pop_front();
                ring.first += 1;
            }
        }
        let end = ring.first + ring.events.len() as u64;
        drop(ring);
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }
}

/// Fills the ring until nobody has followed for a while.
async fn run(
    host: Host,
    mut look: Look,
    mut changes: broadcast::Receiver<runtime_services::Changed>,
    hub: Arc<TenantHub>,
) {
    let tenant = look.store.scope().tenant();
    let mut alone_since: Option<Timestamp> = None;
    loop {
        let again_at = LOOK_EVERY.after(host.now());
        loop {
            tokio::select! {
                changed = changes.recv() => match changed {
                    Ok(changed) if changed.tenant == tenant => {
                        let events = look.changed(changed.key, changed.first, changed.last).await;
                        hub.push(events);
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => {
                        hub.is_over.send_replace(true);
                        return;
                    }
                },
                () = host.ports().clock.sleep_until(again_at) => break,
            }
        }
        // What the store cannot say now is asked again.
        let mut events = Vec::new();
        let looked = look.live(Some(&mut events)).await;
        hub.push(events);
        if let Err(error) = looked {
            tracing::debug!(error = &error as &dyn std::error::Error, "a tenant cannot be looked at");
        }
        let now = host.now();
        match (hub.end.receiver_count(), alone_since) {
            (0, None) => alone_since = Some(now),
            (0, Some(since)) if Span::between(since, now) > LINGERS => {
                hub.is_over.send_replace(true);
                return;
            }
            (0, Some(_)) => {}
            _ => alone_since = None,
        }
    }
}

/// What is known of a tenant's things.
struct Look {
    since: Timestamp,
    store: Box<dyn TenantStore>,
    /// The number of the last entry that was told, with the environment.
    known: BTreeMap<AggregateKey, (u64, Option<EnvironmentId>)>,
    /// What was there at the last look, and had not ended.
    live: BTreeSet<AggregateKey>,
}

/// The kinds that are told, with the statuses of what has not ended; of those that are empty there are few, and all are looked at.
fn told() -> [(AggregateKind, Vec<&'static str>); 9] {
    let live = |status: &DeploymentStatus| !status.is_final();
    let runs = |status: &RuntimeStatus| *status != RuntimeStatus::Retired;
    let scales = |status: &PolicyStatus| *status != PolicyStatus::Retired;
    let stands = |status: &ProvisioningStatus| !status.is_final();
    [
        (
            AggregateKind::RuntimeEnvironment,
            ProvisioningStatus::ALL.into_iter().filter(stands).map(ProvisioningStatus::name).collect(),
        ),
        (
            AggregateKind::RuntimeDeployment,
            DeploymentStatus::ALL.into_iter().filter(live).map(DeploymentStatus::name).collect(),
        ),
        (
            AggregateKind::RuntimeService,
            RuntimeStatus::ALL.into_iter().filter(runs).map(RuntimeStatus::name).collect(),
        ),
        (
            AggregateKind::RuntimeConfiguration,
            [ConfigurationStatus::Published, ConfigurationStatus::Synced]
                .map(ConfigurationStatus::name)
                .to_vec(),
        ),
        (
            AggregateKind::SecretBinding,
            [
                SecretStatus::Bound,
                SecretStatus::Requested,
                SecretStatus::RotationFailed,
                SecretStatus::Distributing,
                SecretStatus::Grace,
                SecretStatus::Retiring,
                SecretStatus::Suspended,
            ]
            .map(SecretStatus::name)
            .to_vec(),
        ),
        (AggregateKind::RuntimeTenantBinding, BindingStatus::CURRENT.map(BindingStatus::name).to_vec()),
        (
            AggregateKind::ScalingPolicy,
            PolicyStatus::ALL.into_iter().filter(scales).map(PolicyStatus::name).collect(),
        ),
        (AggregateKind::RuntimeDriftFinding, DriftStatus::OPEN.map(DriftStatus::name).to_vec()),
        (AggregateKind::DriftWatch, vec![WatchStatus::Watching.name()]),
    ]
}

impl Look {
    /// What a commit of this host has changed.
    async fn changed(&mut self, key: AggregateKey, first: u64, last: u64) -> Vec<ProgressEvent> {
        let known = self.known.get(&key).map_or(first.saturating_sub(1), |(known, _)| *known);
        if key.kind == AggregateKind::HealthCheckResult || last <= known {
            return Vec::new();
        }
        self.entries(key, known, None).await.unwrap_or_default()
    }

    /// Looks at everything that has not ended, and at what had not at the last look. At the first look nothing is told.
    async fn live(&mut self, mut told_to: Option<&mut Vec<ProgressEvent>>) -> PortResult<()> {
        let mut live = BTreeSet::new();
        for (kind, statuses) in told() {
            let mut query = Query::all(kind).with_status(&statuses).limited_to(READ);
            loop {
                let page = self.store.query(&query).await?;
                for stored in page.items {
                    live.insert(stored.key);
                    let known = self.known.get(&stored.key).map(|(known, _)| *known);
                    match &mut told_to {
                        None => {
                            // Its environment is read with its first entry that is told.
                            self.known.entry(stored.key).or_insert((stored.sequence, None));
                        }
                        Some(events) if known.is_none_or(|known| known < stored.sequence) => {
                            let since = known.is_none().then_some(self.since);
                            events.extend(self.entries(stored.key, known.unwrap_or(0), since).await?);
                        }
                        Some(_) => {}
                    }
                }
                match page.next {
                    Some(cursor) => query = query.after(cursor),
                    None => break,
                }
            }
        }
        let ended: Vec<AggregateKey> = self.live.difference(&live).copied().collect();
        if let Some(events) = told_to {
            for key in ended {
                let known = self.known.get(&key).map_or(0, |(known, _)| *known);
                events.extend(self.entries(key, known, None).await?);
            }
        }
        self.live = live;
        Ok(())
    }

    /// The entries of an aggregate after one, which are told from now on as known; those decided before `since` are left out.
    async fn entries(
        &mut self,
        key: AggregateKey,
        mut after: u64,
        since: Option<Timestamp>,
    ) -> PortResult<Vec<ProgressEvent>> {
        let environment = match self.known.get(&key) {
            Some((_, Some(environment))) => Some(*environment),
            _ => self.environment(key).await?,
        };
        let mut found: Vec<HistoryEntry> = Vec::new();
        loop {
            let entries = self.store.history(&key, after, READ).await?;
            let Some(last) = entries.last() else { break };
            after = last.sequence;
            found.extend(entries.into_iter().filter(|entry| since.is_none_or(|since| entry.at >= since)));
        }
        self.known.insert(key, (after, environment));
        Ok(found.into_iter().map(|entry| ProgressEvent::of(key, environment, entry)).collect())
    }

    /// The environment of an aggregate; `None` where it cannot be read.
    async fn environment(&self, key: AggregateKey) -> PortResult<Option<EnvironmentId>> {
        let store = &*self.store;
        match key.kind {
            AggregateKind::RuntimeEnvironment => Ok(Some(EnvironmentId::from_uuid(key.id))),
            AggregateKind::DriftWatch => Ok(Some(EnvironmentId::from_uuid(key.id))),
            AggregateKind::RuntimeDeployment => environment_of::<RuntimeDeployment>(store, key).await,
            AggregateKind::RuntimeService => environment_of::<RuntimeService>(store, key).await,
            AggregateKind::RuntimeConfiguration => environment_of::<RuntimeConfiguration>(store, key).await,
            AggregateKind::SecretBinding => environment_of::<SecretBinding>(store, key).await,
            AggregateKind::RuntimeTenantBinding => environment_of::<RuntimeTenantBinding>(store, key).await,
            AggregateKind::HealthCheckResult => environment_of::<HealthCheckResult>(store, key).await,
            AggregateKind::ScalingPolicy => environment_of::<ScalingPolicy>(store, key).await,
            AggregateKind::RuntimeDriftFinding => environment_of::<RuntimeDriftFinding>(store, key).await,
        }
    }
}

async fn environment_of<A: Aggregate>(
    store: &dyn TenantStore,
    key: AggregateKey,
) -> PortResult<Option<EnvironmentId>> {
    match Repository::<A>::new(store).load(key.id).await {
        Ok(found) => Ok(found.map(|found| found.aggregate.environment())),
        Err(LoadError::Port(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// One who follows a tenant.
pub(super) struct Follower {
    hub: Arc<TenantHub>,
    end: watch::Receiver<u64>,
    position: u64,
    must_reset: bool,
}

impl Follower {
    pub(super) fn new(hub: Arc<TenantHub>, after: Option<&str>) -> Self {
        let end = hub.end.subscribe();
        let (first, newest) = {
            let ring = hub.ring.lock().unwrap_or_else(PoisonError::into_inner);
            (ring.first, ring.first + ring.events.len() as u64)
        };
        let read = after.and_then(|after| {
            let (name, position) = after.split_once('-')?;
            let position: u64 = position.parse().ok()?;
            (name == hub.name && (first..=newest).contains(&position)).then_some(position)
        });
        let must_reset = after.is_some() && read.is_none();
        Self { end, position: read.unwrap_or(newest), must_reset, hub }
    }

    fn item(&self, kind: ProgressKind, next: u64) -> ProgressItem {
        ProgressItem { id: format!("{}-{next}", self.hub.name), kind }
    }

    /// The next events, once there are any. An event's identifier names the position after it.
    pub(super) async fn more(&mut self) -> Vec<ProgressItem> {
        if std::mem::take(&mut self.must_reset) {
            return vec![self.item(ProgressKind::Reset, self.position)];
        }
        let position = self.position;
        // The hub's end is known as long as this lives.
        let _ = self.end.wait_for(|end| *end > position).await;
        let ring = self.hub.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if self.position < ring.first {
            self.position = ring.first + ring.events.len() as u64;
            drop(ring);
            return vec![self.item(ProgressKind::Reset, self.position)];
        }
        let skipped = usize::try_from(self.position - ring.first).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.events.iter().skip(skipped).take(PAGE).cloned().collect();
        drop(ring);
        let items = events.into_iter().map(|event| {
            self.position += 1;
            ProgressItem {
                id: format!("{}-{}", self.hub.name, self.position),
                kind: ProgressKind::Happened(event),
            }
        });
        items.collect()
    }
}
