//! Progress: what happens to things, told to those who follow, as it happens.
//!
//! A follower pulls: what it has not read is in the history or in a ring that all followers of a tenant share, so a slow one costs the host
//! nothing.
//!
//! - **One aggregate's** progress is its history. Its events are numbered as its entries are, so a follower goes on after the last number that
//!   it has read, on any host and after any restart: nothing is lost and nothing comes twice.
//! - **A tenant's** progress is what this host commits, and what it sees that others have committed, of everything of the tenant but health
//!   results. It is kept in a ring for a while, under a name of its own; a follower that has read up to an event in the ring goes on after it,
//!   so that nothing is lost and nothing comes twice. One that asks to go on after an event that is not there (of another host, of before a
//!   restart, too old) is told to begin anew by a [`ProgressKind::Reset`] before anything else, and so is one that was too slow for the ring.
//!
//! A follower ends when the caller's credentials do.

use std::sync::Arc;

use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::id::{AggregateKind, CorrelationId, DeploymentId, EnvironmentId, EventId, TenantId};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::authenticator::Principal;
use runtime_ports::clock::Clock;
use runtime_ports::store::{AggregateKey, HistoryEntry, Repository, TenantStore};
use runtime_services::Host;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::Api;
use crate::problem::{Problem, ProblemKind};

mod aggregate;
mod tenant;

pub(crate) use aggregate::AggregateHub;
pub(crate) use tenant::TenantHub;

/// How often a follower's things are looked at beside what the host itself commits: so late come changes of other hosts.
pub(crate) const LOOK_EVERY: Span = Span::from_secs(1);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressEvent {
    /// To what kind of thing.
    pub kind: ThingKind,
    /// To which.
    pub id: String,
    /// In which environment; not said where that cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<EnvironmentId>,
    /// Its number in the thing's history.
    pub sequence: u64,
    /// The event's identifier.
    pub event_id: EventId,
    /// The event's name.
    pub event: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: String,
    /// Why it was decided.
    pub explanation: String,
    /// The chain of work.
    pub correlation_id: CorrelationId,
}

/// A kind of thing that something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThingKind {
    /// An environment.
    RuntimeEnvironment,
    /// A deployment.
    RuntimeDeployment,
    /// A service of the inventory.
    RuntimeService,
    /// A configuration version.
    RuntimeConfiguration,
    /// A secret binding.
    SecretBinding,
    /// A tenant binding.
    RuntimeTenantBinding,
    /// A health result.
    HealthCheckResult,
    /// A scaling policy.
    ScalingPolicy,
    /// A drift finding.
    RuntimeDriftFinding,
    /// A watch for drift.
    DriftWatch,
}

impl From<AggregateKind> for ThingKind {
    fn from(kind: AggregateKind) -> Self {
        match kind {
            AggregateKind::RuntimeEnvironment => Self::RuntimeEnvironment,
            AggregateKind::RuntimeDeployment => Self::RuntimeDeployment,
            AggregateKind::RuntimeService => Self::RuntimeService,
            AggregateKind::RuntimeConfiguration => Self::RuntimeConfiguration,
            AggregateKind::SecretBinding => Self::SecretBinding,
            AggregateKind::RuntimeTenantBinding => Self::RuntimeTenantBinding,
            AggregateKind::HealthCheckResult => Self::HealthCheckResult,
            AggregateKind::ScalingPolicy => Self::ScalingPolicy,
            AggregateKind::RuntimeDriftFinding => Self::RuntimeDriftFinding,
            AggregateKind::DriftWatch => Self::DriftWatch,
        }
    }
}

/// An identifier as documents have it: with its kind's prefix.
fn shown(key: AggregateKey) -> String {
    use runtime_domain::id::{Id, kind};
    let id = key.id;
    match key.kind {
        AggregateKind::RuntimeEnvironment | AggregateKind::DriftWatch => {
            Id::<kind::Environment>::from_uuid(id).to_string()
        }
        AggregateKind::RuntimeDeployment => Id::<kind::Deployment>::from_uuid(id).to_string(),
        AggregateKind::RuntimeService => Id::<kind::Service>::from_uuid(id).to_string(),
        AggregateKind::RuntimeConfiguration => Id::<kind::Configuration>::from_uuid(id).to_string(),
        AggregateKind::SecretBinding => Id::<kind::SecretBinding>::from_uuid(id).to_string(),
        AggregateKind::RuntimeTenantBinding => Id::<kind::TenantBinding>::from_uuid(id).to_string(),
        AggregateKind::HealthCheckResult => Id::<kind::HealthCheckResult>::from_uuid(id).to_string(),
        AggregateKind::ScalingPolicy => Id::<kind::ScalingPolicy>::from_uuid(id).to_string(),
        AggregateKind::RuntimeDriftFinding => Id::<kind::DriftFinding>::from_uuid(id).to_string(),
    }
}

impl ProgressEvent {
    fn of(key: AggregateKey, environment_id: Option<EnvironmentId>, entry: HistoryEntry) -> Self {
        Self {
            kind: key.kind.into(),
            id: shown(key),
            environment_id,
            sequence: entry.sequence,
            event_id: entry.id,
            event: entry.event,
            at: entry.at,
            actor: entry.actor.to_string(),
            explanation: entry.explanation,
            correlation_id: entry.correlation,
        }
    }
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressKind {
    /// Something happened.
    Happened(Arc<ProgressEvent>),
    /// What lies between what the follower has read and what comes now is not known any more: whoever shows something reads it anew.
    Reset,
}

/// A thing that a follower is told, with what it says to go on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressItem {
    /// Where to go on: the `Last-Event-ID` of server-sent events.
    pub id: String,
    /// What.
    pub kind: ProgressKind,
}

/// Follows progress. Dropping it ends it.
pub struct Progress {
    source: Source,
    clock: Arc<dyn Clock>,
    expires_at: Option<Timestamp>,
    ready: std::collections::VecDeque<ProgressItem>,
}

enum Source {
    Aggregate(aggregate::Follower),
    Tenant(tenant::Follower),
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Progress").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Progress {
    /// What comes next, once it is there; `None` where the caller's credentials have ended. Cancellation safe.
    ///
    /// # Errors
    /// The store failed: ask anew after the last that was told.
    pub async fn next(&mut self) -> Option<Result<ProgressItem, Problem>> {
        loop {
            if self.expires_at.is_some_and(|expires_at| expires_at <= self.clock.now()) {
                return None;
            }
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let expired = async {
                match self.expires_at {
                    Some(expires_at) => self.clock.sleep_until(expires_at).await,
                    None => std::future::pending().await,
                }
            };
            let more = async {
                match &mut self.source {
                    Source::Aggregate(follower) => follower.more().await,
                    Source::Tenant(follower) => Ok(follower.more().await),
                }
            };
            tokio::select! {
                biased;
                () = expired => return None,
                more = more => match more {
                    Ok(items) => self.ready.extend(items),
                    Err(problem) => return Some(Err(problem)),
                },
            }
        }
    }
}

/// A store for reading in the caller's name, for as long as something is followed.
pub(crate) fn store(host: &Host, scope: &TenantScope) -> Box<dyn TenantStore> {
    host.ports().store.for_tenant(scope)
}

impl Api {
    /// Follows a deployment: its history from the beginning, or on after the entry of this number, and then what happens.
    ///
    /// # Errors
    /// The caller lacks the role; this tenant has no such deployment; the number is not one.
    pub async fn follow_deployment(
        &self,
        caller: &Principal,
        deployment: DeploymentId,
        after: Option<&str>,
        correlation: CorrelationId,
    ) -> Result<Progress, Problem> {
        self.may_follow(caller)?;
        let after = match after {
            Some(text) => text.parse().map_err(|_| {
                Problem::new(ProblemKind::Malformed, "the last event is not one of a deployment's")
            })?,
            None => 0,
        };
        let scope = caller.scope(correlation);
        let found = self.services().deployments().stored(&scope, deployment).await?;
        let key = Repository::<RuntimeDeployment>::key(deployment.uuid());
        let environment = found.aggregate.environment_id();
        let hub = self.followed().aggregate(self.services().host(), &scope, key, found.sequence);
        let store = store(self.services().host(), &scope);
        let follower = aggregate::Follower::new(hub, store, key, environment, after);
        Ok(self.progress(caller, Source::Aggregate(follower)))
    }

    /// Follows everything of the caller's tenant, from now on or on after this event.
    ///
    /// # Errors
    /// The caller lacks the role.
    pub async fn follow_tenant(
        &self,
        caller: &Principal,
        after: Option<&str>,
        correlation: CorrelationId,
    ) -> Result<Progress, Problem> {
        self.may_follow(caller)?;
        let scope = caller.scope(correlation);
        let hub = self.followed().tenant(self.services().host(), &scope).await?;
        Ok(self.progress(caller, Source::Tenant(tenant::Follower::new(hub, after))))
    }

    fn progress(&self, caller: &Principal, source: Source) -> Progress {
        let clock = self.services().host().ports().clock.clone();
        Progress { source, clock, expires_at: caller.expires_at(), ready: Default::default() }
    }
}

/// What is followed at the moment.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    aggregates:
        std::sync::Mutex<std::collections::HashMap<(TenantId, AggregateKey), std::sync::Weak<AggregateHub>>>,
    tenants: std::sync::Mutex<std::collections::HashMap<TenantId, Arc<TenantHub>>>,
}

impl Followed {
    fn aggregate(
        &self,
        host: &Host,
        scope: &TenantScope,
        key: AggregateKey,
        newest: u64,
    ) -> Arc<AggregateHub> {
        let mut aggregates = self.aggregates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(hub) = aggregates.get(&(scope.tenant(), key)).and_then(std::sync::Weak::upgrade) {
            return hub;
        }
        aggregates.retain(|_, hub| hub.strong_count() > 0);
        let hub = Arc::new(AggregateHub::begin(host.clone(), scope, key, newest));
        aggregates.insert((scope.tenant(), key), Arc::downgrade(&hub));
        hub
    }

    async fn tenant(self: &Arc<Self>, host: &Host, scope: &TenantScope) -> Result<Arc<TenantHub>, Problem> {
        if let Some(hub) = self.living(scope.tenant()) {
            return Ok(hub);
        }
        let name = host.ports().ids.next();
        let begun = TenantHub::begin(host.clone(), scope, name).await?;
        let mut tenants = self.tenants.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tenants.retain(|_, hub| !hub.is_over());
        Ok(tenants.entry(scope.tenant()).or_insert(begun).clone())
    }

    fn living(&self, tenant: TenantId) -> Option<Arc<TenantHub>> {
        let tenants = self.tenants.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tenants.get(&tenant).filter(|hub| !hub.is_over()).cloned()
    }
}

/// A name of a ring, short enough for an event's identifier.
fn ring_name(name: Uuid) -> String {
    name.as_simple().to_string()
}
