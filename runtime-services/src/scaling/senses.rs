//! What one evaluation rests on: what serves, what is under way, what is measured, which dependencies answer badly.
//!
//! Nothing here turns silence into a number: what could not be read says why, and what could not be looked at is no evaluation at all.

use std::collections::BTreeSet;

use runtime_domain::component::{InstanceResources, RevisionId};
use runtime_domain::deployment::{DeploymentState, RuntimeDeployment};
use runtime_domain::health::HealthStatus;
use runtime_domain::id::{EnvironmentId, ServiceId};
use runtime_domain::rollout::DeploymentStrategy;
use runtime_domain::scaling::{BurnReading, Input, PolicySpec, Reading, RolloutInFlight, ScalingMetric};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, InstanceState, RevisionObservation, SurfaceKind, Traffic,
};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::ModuleId;
use runtime_ports::scaling_signals::{BurnQuery, SignalQuery};
use runtime_ports::store::LoadError;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::deployments::DeploymentService;
use crate::health::HealthService;
use crate::host::Host;
use crate::reconcile::in_words;
use crate::relocation;
use crate::tenancy::TenancyService;

/// How long all of an evaluation's readings may take together; what has not come by then is missing.
const PATIENCE: Span = Span::from_secs(5);

/// What serves of a component, and what is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) key: ComponentKey,
    pub(crate) target: SurfaceKind,
    /// The revision that serves.
    pub(crate) revision: RevisionId,
    /// How many replicas of it there are, whether ready or not.
    pub(crate) replicas: u16,
    /// How many of them are ready.
    pub(crate) ready: u16,
    /// How many the surface was last asked for.
    pub(crate) asked: u16,
    /// The rollout that is under way.
    pub(crate) rollout: Option<RolloutInFlight>,
    /// What it asks for itself.
    dependencies: BTreeSet<ModuleId>,
    /// What each replica needs.
    pub(crate) each: InstanceResources,
}

/// Looks and reads.
#[derive(Debug, Clone)]
pub(crate) struct Senses {
    host: Host,
    deployments: DeploymentService,
    health: HealthService,
}

impl Senses {
    pub(crate) fn new(host: Host, deployments: DeploymentService, health: HealthService) -> Self {
        Self { host, deployments, health }
    }

    /// What serves of a component; `None` where nothing does, it cannot be told, or how many replicas there are is a move's to say.
    pub(crate) async fn standing(
        &self,
        scope: &TenantScope,
        environment: EnvironmentId,
        module: &ModuleId,
        target: SurfaceKind,
    ) -> Result<Option<Standing>, LoadError> {
        let key = ComponentKey { tenant: scope.tenant(), environment, module: module.clone() };
        let Some(surface) = self.host.surface(target) else { return Ok(None) };
        let store = self.host.ports().store.for_tenant(scope);
        if relocation::is_left(&*store, environment).await? {
            return Ok(None);
        }
        // What is under way is looked for first: a rollout that begins after this look is seen by the next one.
        let in_flight = self.deployments.in_flight_of(scope, environment, module).await?;
        let stable = self.deployments.serving_version(scope, environment, module).await?;
        let observation = match self.host.bounded("surface.observe", surface.observe(&key)).await {
            Ok(observation) => observation,
            Err(error) => {
                tracing::warn!(%key, %error, "a component could not be looked at: its replicas stay");
                return Ok(None);
            }
        };
        let Some(revision) = serving(&observation, stable.as_ref().map(|stable| stable.revision())) else {
            return Ok(None);
        };
        let Some(seen) = observation.revisions.get(&revision) else { return Ok(None) };
        let replicas = replicas(seen);
        let rollout = in_flight.as_ref().and_then(|rollout| held(rollout, &revision, replicas));
        let component = match (&in_flight, &stable) {
            (Some(rollout), _) if revision.deployment == rollout.id() => {
                rollout.release().components.get(module)
            }
            (_, stable) => stable.as_ref().map(|stable| stable.component()),
        };
        let needed = component.into_iter().flat_map(|component| component.needs());
        let dependencies =
            needed.filter(|needed| needed.http.is_none()).map(|needed| needed.name.clone()).collect();
        let each = component.and_then(|component| component.resources).unwrap_or(InstanceResources::USUAL);
        let (ready, asked) = (seen.ready(), seen.wanted);
        Ok(Some(Standing { key, target, revision, replicas, ready, asked, rollout, dependencies, each }))
    }

    /// All that a policy asks for, as it is now.
    pub(crate) async fn input(&self, scope: &TenantScope, policy: &PolicySpec, standing: &Standing) -> Input {
        let deadline = PATIENCE.after(self.host.now());
        let mut input = Input {
            ready: standing.ready,
            rollout: standing.rollout,
            open_circuits: self.open_circuits(scope, standing).await,
            room: self.room(scope, standing).await,
            ..Input::of(standing.replicas)
        };
        for rule in &policy.terms().rules {
            let reading = self.read(standing, rule.metric, deadline).await;
            input.readings.insert(rule.metric, reading);
        }
        if let Some(rule) = &policy.terms().error_budget {
            input.burn = Some(self.burn(standing, rule.short, rule.long, deadline).await);
        }
        input
    }

    async fn read(&self, standing: &Standing, metric: ScalingMetric, deadline: Timestamp) -> Reading {
        let query = SignalQuery {
            key: standing.key.clone(),
            target: standing.target,
            revision: standing.revision.clone(),
            metric,
            at: self.host.now(),
        };
        let mut unsupported = None;
        for source in &self.host.ports().scaling_signals {
            match self.answer(deadline, source.signal(&query), &mut unsupported).await {
                Some(Ok(reading)) => return reading,
                Some(Err(why)) => return Reading::Missing { why },
                None => {}
            }
        }
        Reading::Missing { why: unsupported.unwrap_or_else(no_source) }
    }

    async fn burn(&self, standing: &Standing, short: Span, long: Span, deadline: Timestamp) -> BurnReading {
        let query = BurnQuery {
            key: standing.key.clone(),
            target: standing.target,
            revision: standing.revision.clone(),
            short,
            long,
            at: self.host.now(),
        };
        let mut unsupported = None;
        for source in &self.host.ports().scaling_signals {
            match self.answer(deadline, source.burn(&query), &mut unsupported).await {
                Some(Ok(reading)) => return reading,
                Some(Err(why)) => return nothing_of_burn(why),
                None => {}
            }
        }
        nothing_of_burn(unsupported.unwrap_or_else(no_source))
    }

    /// What a source answers in time, or why it has no answer; `None` where another one is to be asked.
    async fn answer<T>(
        &self,
        deadline: Timestamp,
        call: impl Future<Output = PortResult<T>>,
        unsupported: &mut Option<String>,
    ) -> Option<Result<T, String>> {
        let answer = tokio::select! {
            biased;
            answer = call => answer,
            () = self.host.ports().clock.sleep_until(deadline) => {
                let message = format!("no answer within {PATIENCE}");
                Err(PortError::new(PortErrorKind::TimedOut, "scaling_signals.signal", message))
            }
        };
        match answer {
            Ok(answer) => Some(Ok(answer)),
            Err(error) if error.kind() == PortErrorKind::Unsupported => {
                unsupported.get_or_insert_with(|| in_words(&error));
                None
            }
            Err(error) => Some(Err(in_words(&error))),
        }
    }

    /// For how many replicas the tenant's quota has room. Where that cannot be read, none is added.
    async fn room(&self, scope: &TenantScope, standing: &Standing) -> Option<u16> {
        let (environment, module) = (standing.key.environment, &standing.key.module);
        let room = TenancyService::room(&self.host, scope, environment, module, standing.each).await;
        room.unwrap_or_else(|error| {
            tracing::warn!(key = %standing.key, %error, "a quota could not be read: no replica is added");
            Some(0)
        })
    }

    /// The dependencies that are known to answer badly now. Of which nothing is known counts as answering: that holds nothing back, and
    /// takes nothing away.
    async fn open_circuits(&self, scope: &TenantScope, standing: &Standing) -> BTreeSet<ModuleId> {
        let (environment, module) = (standing.key.environment, &standing.key.module);
        let mut open = self.health.ill_outside(scope, environment, module).await.unwrap_or_default();
        for module in &standing.dependencies {
            let service = ServiceId::of(standing.key.environment, module);
            let health = self.health.health(scope, service).await;
            if health.is_ok_and(|health| health.status() == Some(HealthStatus::Unhealthy)) {
                open.insert(module.clone());
            }
        }
        open
    }
}

fn no_source() -> String {
    "this host has no source of signals".to_owned()
}

fn nothing_of_burn(why: String) -> BurnReading {
    let missing = Reading::Missing { why };
    BurnReading { short: missing.clone(), long: missing }
}

/// The revision that serves: what was completed, for as long as requests may be sent to it, and else the only one that they may be.
fn serving(observation: &ComponentObservation, stable: Option<&RevisionId>) -> Option<RevisionId> {
    let Some(traffic) = &observation.traffic else {
        return stable.filter(|stable| observation.revisions.contains_key(stable)).cloned();
    };
    let routed = Traffic::revisions(traffic);
    match (stable, &routed[..]) {
        (Some(stable), routed) if routed.contains(&stable) => Some(stable.clone()),
        (_, [only]) => Some((*only).clone()),
        _ => None,
    }
}

/// Replicas that are there to stay, one that ended and is started again included.
fn replicas(seen: &RevisionObservation) -> u16 {
    let staying = seen.instances.iter().filter(|instance| instance.state != InstanceState::Draining);
    u16::try_from(staying.count()).unwrap_or(u16::MAX)
}

/// What a rollout holds of the revision that serves. Where it changes that number itself, as when it rolls or goes back, it holds what is there.
fn held(rollout: &RuntimeDeployment, serving: &RevisionId, replicas: u16) -> Option<RolloutInFlight> {
    let is_rolling = matches!(rollout.release().strategy, DeploymentStrategy::RollingHealthGated(_));
    let goes_back = matches!(rollout.state(), DeploymentState::RollingBack(_));
    if is_rolling || goes_back {
        return Some(RolloutInFlight { floor: replicas, most: Some(replicas) });
    }
    let own = rollout.release().components.get(&serving.module)?.replicas;
    let point = rollout.restore_points().get(&serving.module);
    let floor = point.filter(|point| point.revision == *serving).map_or(own, |point| point.replicas).get();
    Some(RolloutInFlight { floor, most: None })
}
