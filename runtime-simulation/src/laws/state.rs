//! What the store holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use runtime_domain::aggregate::Aggregate as _;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::{ProvisioningStatus, RuntimeEnvironment};
use runtime_domain::id::{CorrelationId, EnvironmentId};
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::scope::{Actor, TenantScope};
use runtime_domain::secrets::SecretBinding;
use runtime_domain::surface::{ComponentKey, ComponentObservation, EffectOwner};
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_domain::value::ModuleId;
use runtime_ports::store::Loaded;
use runtime_services::Services;

use super::{Law, Wrong};
use crate::hosts::Yard;
use crate::records;
use crate::witness::Witness;

/// What one tenant has.
pub(super) struct State {
    pub(super) scope: TenantScope,
    pub(super) environments: Vec<Arc<Loaded<RuntimeEnvironment>>>,
    pub(super) deployments: Vec<Arc<Loaded<RuntimeDeployment>>>,
    pub(super) services: Vec<Arc<Loaded<RuntimeService>>>,
    pub(super) configurations: Vec<Arc<Loaded<RuntimeConfiguration>>>,
    pub(super) bindings: Vec<Arc<Loaded<SecretBinding>>>,
    pub(super) places: Vec<Arc<Loaded<RuntimeTenantBinding>>>,
    pub(super) policies: Vec<Arc<Loaded<ScalingPolicy>>>,
    pub(super) findings: Vec<Arc<Loaded<RuntimeDriftFinding>>>,
}

impl State {
    pub(super) async fn of(yard: &Yard, tenant: u8) -> Result<Self, Wrong> {
        let (records, scope) = (&yard.records, records::scope(tenant));
        let wrong = |what| (Law::TrailIsWhole, what);
        Ok(Self {
            environments: records.all(&scope).await.map_err(wrong)?,
            deployments: records.all(&scope).await.map_err(wrong)?,
            services: records.all(&scope).await.map_err(wrong)?,
            configurations: records.all(&scope).await.map_err(wrong)?,
            bindings: records.all(&scope).await.map_err(wrong)?,
            places: records.all(&scope).await.map_err(wrong)?,
            policies: records.all(&scope).await.map_err(wrong)?,
            findings: records.all(&scope).await.map_err(wrong)?,
            scope,
        })
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.deployments_are_lawful()?;
        self.inventory_is_true()?;
        let mut versions = BTreeSet::new();
        for configuration in self.configurations.iter().map(|loaded| &loaded.aggregate) {
            let version = (configuration.environment_id(), configuration.version());
            if !versions.insert(version) {
                let text = format!("version {} is there twice in {}", version.1, version.0);
                return Err((Law::VersionsCountUp, text));
            }
        }
        let mut held = BTreeMap::new();
        for finding in self.findings.iter().map(|loaded| &loaded.aggregate) {
            for claim in finding.claims() {
                if let Some(other) = held.insert(claim.key.clone(), finding.uuid()) {
                    let text = format!("{other} and {} both hold {}", finding.uuid(), claim.key);
                    return Err((Law::FindingsAreMerged, text));
                }
            }
        }
        Ok(())
    }

    fn deployments_are_lawful(&self) -> Result<(), Wrong> {
        let mut in_flight = BTreeMap::new();
        for deployment in self.deployments.iter().map(|loaded| &loaded.aggregate) {
            if deployment.status() == DeploymentStatus::Completed
                && let Some(gate) = deployment.gates().iter().find(|gate| !gate.has_passed())
            {
                let text = format!("{} is Completed, and gate {} has not passed", deployment.id(), gate.name);
                return Err((Law::GatesPassed, text));
            }
            if deployment.status().is_final() {
                continue;
            }
            for module in deployment.release().components.keys() {
                let place = (deployment.environment_id(), module.clone());
                if let Some(other) = in_flight.insert(place, deployment.id()) {
                    let text = format!("{module} is rolled out by {other} and by {}", deployment.id());
                    return Err((Law::OneDeployment, text));
                }
            }
        }
        Ok(())
    }

    fn inventory_is_true(&self) -> Result<(), Wrong> {
        for service in self.services.iter().map(|loaded| &loaded.aggregate) {
            let revision = &service.version().revision;
            let mut deployments = self.deployments.iter().map(|loaded| &loaded.aggregate);
            if !deployments.any(|it| it.id() == revision.deployment) {
                let text = format!("{} is at {revision}, which no deployment brought", service.module_id());
                return Err((Law::InventoryIsTrue, text));
            }
        }
        Ok(())
    }

    /// What is on the surface is in an environment that there is.
    pub(super) async fn placed(&self, yard: &Yard) -> Result<(), Wrong> {
        let tenant = self.scope.tenant();
        let there: BTreeMap<EnvironmentId, ProvisioningStatus> = self
            .environments
            .iter()
            .map(|loaded| (loaded.aggregate.id(), loaded.aggregate.provisioning_status()))
            .collect();
        let mut seen = yard.world.surface.everything();
        seen.retain(|seen| seen.key.tenant == tenant);
        for environment in there.keys() {
            let Ok(listed) = yard.surface.list(tenant, *environment).await else { continue };
            let is_others = |seen: &&ComponentObservation| {
                (seen.key.tenant, seen.key.environment) != (tenant, *environment)
            };
            if let Some(others) = listed.iter().find(is_others) {
                let text = format!("what is listed of {environment} of {tenant} has {}", others.key);
                return Err((Law::EverythingHasItsPlace, text));
            }
            seen.extend(listed);
        }
        for key in seen.iter().map(|seen| &seen.key) {
            let wrong = match there.get(&key.environment) {
                None => "its tenant has no such environment",
                Some(ProvisioningStatus::Decommissioned) => "its environment is gone",
                Some(_) => continue,
            };
            return Err((Law::EverythingHasItsPlace, format!("{key} runs, and {wrong}")));
        }
        self.jobs_have_their_own(yard)
    }

    /// A job is given what its own deployment brings for the component that it works for: nothing less, and nothing of anybody else.
    fn jobs_have_their_own(&self, yard: &Yard) -> Result<(), Wrong> {
        let jobs = yard.world.surface.jobs().into_iter().map(|(request, _)| request);
        for request in jobs.filter(|request| request.tenant == self.scope.tenant()) {
            let key = |module: &ModuleId| ComponentKey {
                tenant: request.tenant,
                environment: request.environment,
                module: module.clone(),
            };
            let wanted = request.job.component.as_ref().map(|module| (request.effect.owner, key(module)));
            let given = request.works_for.as_ref().map(|spec| {
                let owner = EffectOwner::from(spec.revision.deployment);
                (owner, key(&spec.revision.module) == spec.key, spec.key.clone())
            });
            let is_right = match (&wanted, &given) {
                (None, None) => true,
                (Some((owner, key)), Some((of, is_own, found))) => owner == of && *is_own && key == found,
                _ => false,
            };
            if !is_right {
                let text =
                    format!("{} of {} is given {given:?}, not {wanted:?}", request.job.name, request.effect);
                return Err((Law::EverythingHasItsPlace, text));
            }
        }
        Ok(())
    }
}

/// What was acknowledged is there, at that revision or a later one.
pub(super) async fn acknowledged(yard: &Yard, witness: &Witness) -> Result<(), Wrong> {
    for ((tenant, key), revision) in witness.acknowledged() {
        let correlation = CorrelationId::from_uuid(key.id);
        let scope = TenantScope::authenticated(tenant, Actor::reconciler("simulation"), correlation);
        let found = yard.store.for_tenant(&scope).load(&key).await;
        let found = found.map_err(|error| (Law::AcknowledgedIsKept, records::told(error)))?;
        if found.as_ref().is_none_or(|found| found.revision < revision) {
            let at =
                found.map_or_else(|| "is not there".to_owned(), |found| format!("is at {}", found.revision));
            let text = format!("{key} was acknowledged at {revision}, and {at}");
            return Err((Law::AcknowledgedIsKept, text));
        }
    }
    Ok(())
}

/// A tenant's whole trail replays to what is stored.
pub(super) async fn trail(onlooker: &Services, tenant: u8) -> Result<(), Wrong> {
    let wrong = |what| (Law::TrailIsWhole, what);
    let report = onlooker.audit().verify(&records::scope(tenant), None).await;
    let report = report.map_err(|error| wrong(records::told(error)))?;
    report.faults.first().map_or(Ok(()), |fault| Err(wrong(records::told(fault))))
}
