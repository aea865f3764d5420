//! The steps of a move, each asked again and again until it is done.

use std::collections::BTreeMap;

use runtime_domain::component::{ComponentSpec, RevisionId};
use runtime_domain::deployment::{DeploymentRefusal, DeploymentStatus, Release, RuntimeDeployment};
use runtime_domain::environment::{EnvironmentRefusal, ProvisioningStatus};
use runtime_domain::id::EnvironmentId;
use runtime_domain::metric::{MetricName, MetricQuery};
use runtime_domain::refusal::{Refusal, Rule};
use runtime_domain::rollout::GateCheck;
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, ComponentObservation, EffectId};
use runtime_domain::tenancy::{MoveStep, RuntimeTenantBinding, TenantMove};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, ModuleId};
use runtime_ports::handover::EndpointHandover;
use runtime_ports::store::Lease;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::deployments::{DeploymentError, DeploymentService};
use crate::error::CommandError;
use crate::host::Host;
use crate::insist::{Insisted, Wish};
use crate::promotion::own_nothing;
use crate::records::chosen;
use crate::scaling::ReplicaOwnership;
use crate::worker::PassError;

/// The share of requests that may fail in the target before the move goes back: 5 %.
const ERRORS_ALLOWED: Measure = Measure::from_micros(50_000);
/// Of how few requests a share says nothing.
const FEWEST_SAMPLES: u64 = 20;

/// For how long what was brought to the target may be without a ready instance before the move is given up. An instance that ended is back
/// within that; what somebody has taken away comes back by nobody's doing, and the source takes no deployments meanwhile.
const READY_WITHIN: Span = Span::from_secs(120);

/// What came of asking a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is done, as observed.
    Done,
    /// It is on its way.
    NotYet,
    /// It cannot be done, and why.
    Failed(String),
}

/// One move of one tenant, under a lease.
pub(crate) struct Relocation<'r> {
    pub(crate) host: &'r Host,
    pub(crate) deployments: &'r DeploymentService,
    pub(crate) scope: &'r TenantScope,
    pub(crate) lease: &'r Lease,
    pub(crate) binding: &'r RuntimeTenantBinding,
    pub(crate) relocation: &'r TenantMove,
}

/// A component that serves, and the deployment that brought it.
type Serving = BTreeMap<ModuleId, RuntimeDeployment>;

impl Relocation<'_> {
    /// Does what is missing of a step.
    ///
    /// # Errors
    /// The world could not be asked; nothing is concluded from that. Or another host has taken over.
    pub(crate) async fn carry_out(&self, step: MoveStep) -> Result<Progress, PassError> {
        let asked = match step {
            MoveStep::ReplicateToTarget => self.replicate().await,
            MoveStep::SwitchToTarget => self.switch(self.relocation.target_environment).await,
            MoveStep::JudgeTarget => self.judge().await,
            MoveStep::CordonSource => self.resize_source(Resize::Drain).await,
            MoveStep::UncordonSource => self.resize_source(Resize::Restore).await,
            MoveStep::SwitchToSource => self.switch(self.binding.environment_id()).await,
            MoveStep::ReleaseSource => self.retire_source().await,
        };
        match asked {
            Ok(progress) => Ok(progress),
            Err(StepError::Port(error)) if error.kind() == PortErrorKind::Fenced => Err(PassError::LeaseLost),
            Err(StepError::Port(error)) if is_final(&error) => {
                Ok(Progress::Failed(crate::reconcile::in_words(&error)))
            }
            Err(StepError::Port(error)) => Err(PassError::failed(error)),
            Err(StepError::Load(error)) => Err(PassError::failed(error)),
        }
    }

    async fn serving(&self) -> Result<Serving, StepError> {
        Ok(self.deployments.serving(self.scope, self.binding.environment_id()).await?)
    }

    /// Deploys to the target exactly what serves in the source, to scale as it scales here, and waits until it is ready there.
    async fn replicate(&self) -> Result<Progress, StepError> {
        // What is in flight in the source ends first: nothing else begins there.
        if self.deployments.is_busy(self.scope, self.binding.environment_id()).await? {
            return Ok(Progress::NotYet);
        }
        let serving = self.serving().await?;
        let target = self.relocation.target_environment;
        let configuration = match self.deployments.configuration_in_force(self.scope, target).await {
            Ok(configuration) => configuration,
            Err(error) => return self.refused(error),
        };
        let mut progress = Progress::Done;
        // When each was brought. Another that comes again and again says nothing of one that does not become ready.
        let mut brought = BTreeMap::new();
        for mut release in releases(&serving) {
            let is_configured = release.configuration_id.is_some();
            if is_configured && configuration.is_none() {
                let why = "what serves has configuration, and none is in force in the target: publish it there first";
                return Ok(Progress::Failed(why.to_owned()));
            }
            own_nothing(&mut release);
            release.configuration_id = configuration.filter(|_| is_configured);
            let modules: Vec<ModuleId> = release.components.keys().cloned().collect();
            let ownership = ReplicaOwnership::new(self.host.clone());
            let release = ownership.as_it_scales(self.scope, self.binding.environment_id(), release).await?;
            match self.deployments.request(self.scope, target, release).await {
                Ok(done) if done.aggregate.status() == DeploymentStatus::Completed => {
                    let at = done.aggregate.completed_at().unwrap_or(self.relocation.since);
                    let at = at.max(self.relocation.since);
                    brought.extend(modules.into_iter().map(|module| (module, at)));
                }
                Ok(done) if done.aggregate.status().is_final() => {
                    let (deployment, status) = (done.aggregate.id(), done.aggregate.status());
                    return Ok(Progress::Failed(format!("{deployment} ended as {}", status.name())));
                }
                Ok(_) => progress = Progress::NotYet,
                Err(error) => match self.refused(error)? {
                    Progress::Done | Progress::NotYet => progress = Progress::NotYet,
                    failed => return Ok(failed),
                },
            }
        }
        if progress != Progress::Done {
            return Ok(progress);
        }
        for module in serving.keys() {
            if self.is_serving(module).await? {
                continue;
            }
            let brought_at = brought.get(module).copied().unwrap_or(self.relocation.since);
            if self.host.now() < READY_WITHIN.after(brought_at) {
                return Ok(Progress::NotYet);
            }
            let why = format!(
                "{module} has no ready instance in the target, {READY_WITHIN} after it was brought there"
            );
            return Ok(Progress::Failed(why));
        }
        Ok(Progress::Done)
    }

    /// What a refused deployment means for the move.
    fn refused(&self, error: DeploymentError) -> Result<Progress, StepError> {
        match error {
            CommandError::Contended | CommandError::Changed { .. } | CommandError::KeyReused => {
                Ok(Progress::NotYet)
            }
            CommandError::Refused(refusal) if refusal.rule() == Rule::Dep3 || is_coming(&refusal) => {
                Ok(Progress::NotYet)
            }
            CommandError::Refused(refusal) => {
                Ok(Progress::Failed(format!("{refusal}; to go on: {}", refusal.remedy())))
            }
            CommandError::NotFound { what } => Ok(Progress::Failed(format!("{what} was not found"))),
            CommandError::Load(error) => Err(StepError::Load(error)),
            CommandError::Port(error) => Err(StepError::Port(error)),
        }
    }

    /// Whether a component has a ready instance that is routed in the target.
    async fn is_serving(&self, module: &ModuleId) -> Result<bool, StepError> {
        let seen = self.observe(&self.key(self.relocation.target_environment, module)).await?;
        Ok(seen.iter().any(|seen| routed(seen).any(|revision| seen.ready(revision) > 0)))
    }

    /// Lets the components of an environment answer at the source's endpoints, and waits until they are seen to.
    async fn switch(&self, to: EnvironmentId) -> Result<Progress, StepError> {
        let mut progress = Progress::Done;
        for (module, deployment) in self.serving().await? {
            let Some(component) = deployment.release().components.get(&module) else { continue };
            let handover = self.handover(component)?;
            let from = self.key(self.binding.environment_id(), &module);
            let to = self.key(to, &module);
            let answering = self.host.bounded("handover.answered_by", handover.answered_by(&from)).await?;
            if answering.as_ref() == Some(&to) {
                continue;
            }
            // Where no endpoint is seen it is handed over as well: what is drained next rests on that, and not on what was not seen.
            let effect = self.effect();
            let call = handover.hand_over(effect, &from, &to);
            match self.host.effect("handover.hand_over", effect.effect, call).await {
                Err(error) if error.kind() == PortErrorKind::NotFound && answering.is_none() => {
                    // What is not there has no clients to send anywhere.
                    if self.observe(&from).await?.iter().any(|seen| !seen.revisions.is_empty()) {
                        return Err(error.into());
                    }
                    continue;
                }
                handed_over => handed_over?,
            }
            let answering = self.host.bounded("handover.answered_by", handover.answered_by(&from)).await?;
            // A component without an endpoint has no clients yet.
            if answering.is_some_and(|answering| answering != to) {
                progress = Progress::NotYet;
            }
        }
        Ok(progress)
    }

    /// Whether the target serves well: it is seen to be ready, and no more of its requests failed than may. What cannot be seen is not
    /// judged.
    async fn judge(&self) -> Result<Progress, StepError> {
        for module in self.serving().await?.keys() {
            if !self.is_serving(module).await? {
                return Ok(Progress::Failed(format!("{module} is not ready in the target")));
            }
            let key = self.key(self.relocation.target_environment, module);
            for seen in self.observe(&key).await? {
                for revision in routed(&seen) {
                    let query = MetricQuery {
                        key: key.clone(),
                        revision: revision.clone(),
                        metric: MetricName::ErrorRate,
                        since: self.relocation.since,
                        until: self.host.now(),
                    };
                    let read = self.host.ports().metrics.read(&query);
                    let reading = self.host.bounded("metrics.read", read).await?;
                    let too_many = reading.value.filter(|share| *share > ERRORS_ALLOWED);
                    if let Some(share) = too_many
                        && reading.samples >= FEWEST_SAMPLES
                    {
                        let why = format!("of the requests to {module} in the target, {share} failed");
                        return Ok(Progress::Failed(why));
                    }
                }
            }
        }
        Ok(Progress::Done)
    }

    /// Drains what serves in the source, or starts it again, and waits until that is seen.
    async fn resize_source(&self, resize: Resize) -> Result<Progress, StepError> {
        let mut progress = Progress::Done;
        for (module, deployment) in self.serving().await? {
            let Some(component) = deployment.release().components.get(&module) else { continue };
            let key = self.key(self.binding.environment_id(), &module);
            let revision = RevisionId::new(module.clone(), deployment.id());
            let replicas = match resize {
                Resize::Drain => 0,
                Resize::Restore => component.replicas.get(),
            };
            let surface = self.surface(component)?;
            let seen = self.host.bounded("surface.observe", surface.observe(&key)).await?;
            let Some(shown) = seen.revisions.get(&revision) else {
                match resize {
                    Resize::Drain => continue,
                    Resize::Restore => {
                        return Ok(Progress::Failed(format!("{revision} is not in the source any more")));
                    }
                }
            };
            if shown.wanted != replicas {
                self.insist(surface, &key, &revision, Wish::Replicas(replicas)).await?;
                progress = Progress::NotYet;
            }
            let is_so = match resize {
                Resize::Drain => shown.instances.is_empty(),
                Resize::Restore => shown.ready() >= replicas,
            };
            if !is_so {
                progress = Progress::NotYet;
            }
        }
        Ok(progress)
    }

    /// Asks for it by the stage's effect, and by another where that is seen to be undone.
    async fn insist(
        &self,
        surface: &dyn ComputeSurface,
        key: &ComponentKey,
        revision: &RevisionId,
        wish: Wish,
    ) -> PortResult<()> {
        let effects = [self.effect(), self.effect_since(self.host.now())];
        Insisted { host: self.host, surface, key, revision }.ask(wish, effects).await
    }

    /// Retires everything of the tenant in the source, and waits until nothing of it is seen.
    async fn retire_source(&self) -> Result<Progress, StepError> {
        let mut progress = Progress::Done;
        for surface in self.host.ports().surfaces.values() {
            let listed = surface.list(self.scope.tenant(), self.binding.environment_id());
            for component in self.host.bounded("surface.list", listed).await? {
                for revision in component.revisions.keys() {
                    progress = Progress::NotYet;
                    self.insist(&**surface, &component.key, revision, Wish::Retired).await?;
                }
            }
        }
        Ok(progress)
    }

    async fn observe(&self, key: &ComponentKey) -> Result<Vec<ComponentObservation>, StepError> {
        let mut seen = Vec::new();
        for surface in self.host.ports().surfaces.values() {
            seen.push(self.host.bounded("surface.observe", surface.observe(key)).await?);
        }
        Ok(seen)
    }

    fn key(&self, environment: EnvironmentId, module: &ModuleId) -> ComponentKey {
        ComponentKey { tenant: self.scope.tenant(), environment, module: module.clone() }
    }

    /// The effect of the present stage. A stage that is come to again, by another try of the move, has effects of its own.
    fn effect(&self) -> EffectContext {
        self.effect_since(self.relocation.since)
    }

    fn effect_since(&self, since: Timestamp) -> EffectContext {
        let since = Span::between(Timestamp::UNIX_EPOCH, since).as_millis();
        // The stage in the lowest three bits, and above them the time at which it was come to, or at which more was found to be done.
        let ordinal = ((since << 3) | u64::from(self.relocation.stage as u8)) & u64::from(u32::MAX);
        let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
        EffectContext { effect: EffectId::of(self.binding.id(), ordinal), fence: self.lease.token }
    }

    fn handover(&self, component: &ComponentSpec) -> PortResult<&dyn EndpointHandover> {
        let port = self.host.ports().tenancy.handover.get(&component.surface);
        chosen(port, "tenancy.move", "endpoint_handover").map(|port| &**port)
    }

    fn surface(&self, component: &ComponentSpec) -> PortResult<&dyn ComputeSurface> {
        let surface = self.host.surface(component.surface);
        surface.map(|surface| &**surface).ok_or_else(|| {
            let message = format!("this host has no {} surface: give it its adapter", component.surface);
            PortError::new(PortErrorKind::Unsupported, "tenancy.move", message)
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Resize {
    Drain,
    Restore,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Load(#[from] runtime_ports::store::LoadError),
}

/// Refused because the target is not there yet. One that is taken down does not come back.
fn is_coming(refusal: &DeploymentRefusal) -> bool {
    let DeploymentRefusal::NotAdmitted(EnvironmentRefusal::NotProvisioned { status }) = refusal else {
        return false;
    };
    matches!(status, ProvisioningStatus::Requested | ProvisioningStatus::Provisioning)
}

/// Asking again brings the same.
fn is_final(error: &PortError) -> bool {
    error.retry() == runtime_ports::Retry::Never
}

fn routed(seen: &ComponentObservation) -> impl Iterator<Item = &RevisionId> {
    seen.traffic.iter().flat_map(|traffic| traffic.revisions())
}

/// The releases that bring exactly what serves: each deployment's, with those of its components that serve still, in the order in which they
/// were completed. People have agreed to them already, so no approval is asked again.
fn releases(serving: &Serving) -> Vec<Release> {
    let mut deployments: Vec<&RuntimeDeployment> = Vec::new();
    for deployment in serving.values() {
        if deployments.iter().all(|known| known.id() != deployment.id()) {
            deployments.push(deployment);
        }
    }
    deployments.sort_by_key(|deployment| deployment.completed_at());
    let part = |deployment: &RuntimeDeployment| {
        let serves =
            |module: &&ModuleId| serving.get(*module).is_some_and(|newest| newest.id() == deployment.id());
        let modules = deployment.release().components.keys().filter(serves).cloned().collect();
        let mut release = deployment.release().part(&modules);
        release.gates.retain(|gate| !matches!(gate.check, GateCheck::Approval(_)));
        release
    };
    deployments.into_iter().map(part).collect()
}
