//! Operators: each asks one thing of one host, and is told something, or nothing.

use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{EnvironmentId, ProjectId};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::TenantScope;
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_services::environments::NewEnvironment;
use runtime_services::{CommandError, Services};
use runtime_testkit::sample;
use runtime_testkit::world::MemoryVault;

use crate::records::{self, Records, told};
use crate::story::{Operation, Place};

mod change;
mod govern;
mod release;
mod wrong;

pub(crate) use release::{APPROVAL, desired};

/// What an operator knows: where things are, which may be read past all faults, as a person looks around.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) services: Services,
    pub(crate) records: Records,
    pub(crate) vault: MemoryVault,
    pub(crate) place: Place,
}

/// What came of asking.
pub(crate) type Answer = Result<(), No>;

/// Why not.
#[derive(Debug)]
pub(crate) struct No {
    /// In words.
    pub(crate) text: String,
    /// The refusal's type and variant, where a rule refused it: `DeploymentRefusal::InFlight`; and of which other context's it is.
    pub(crate) refusals: Vec<String>,
}

impl No {
    /// A rule refused it.
    fn refused<R: Refusal>(refusal: &R) -> Self {
        Self { text: refusal.to_string(), refusals: named(refusal) }
    }
}

impl From<String> for No {
    fn from(text: String) -> Self {
        Self { text, refusals: Vec::new() }
    }
}

impl From<&str> for No {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// The name of a refusal's type and of its variant, as they are in the code; and those of the refusal of another context that it stands for.
fn named<R: Refusal>(refusal: &R) -> Vec<String> {
    let whole = std::any::type_name::<R>();
    let mut own = whole.rsplit("::").next().unwrap_or(whole);
    let debug = format!("{refusal:?}");
    let mut names = Vec::new();
    for variant in debug.split('(') {
        let variant = variant.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        names.push(format!("{own}::{variant}"));
        own = match (own, variant) {
            (_, "NotAdmitted" | "NotHosted" | "NotCleared" | "Environment") => "EnvironmentRefusal",
            ("DeploymentRefusal", "NoRoom") => "TenancyRefusal",
            ("DeploymentRefusal", "Configuration") => "ConfigurationRefusal",
            _ => break,
        };
    }
    names
}

fn answer<A, R: Refusal + 'static>(done: Result<A, CommandError<R>>) -> Answer {
    done.map(drop).map_err(|error| {
        let refusals = match &error {
            CommandError::Refused(refusal) => named(refusal),
            _ => Vec::new(),
        };
        No { refusals, text: told(error) }
    })
}

/// How the tenants of a place are kept apart: in the first of its tenant's environments as in a pool, in the others alone.
fn isolation(place: Place) -> IsolationModel {
    if place.environment == 1 { IsolationModel::Pool } else { IsolationModel::Silo }
}

impl Operator {
    /// Asks for it.
    ///
    /// # Errors
    /// It was refused, it failed, or there is nothing that it could be done to.
    pub(crate) async fn ask(&self, operation: &Operation) -> Answer {
        let scope = records::scope(self.place.tenant);
        if *operation == Operation::Provision {
            return self.provision(&scope).await;
        }
        let environment = self.records.environment(self.place).await.ok_or("there is no environment")?;
        let at = Asking { operator: self, scope, environment: environment.aggregate.id() };
        match operation {
            Operation::Deploy { version, components, strategy } => {
                at.deploy(*version, components, *strategy).await
            }
            Operation::BringOn => at.bring_on().await,
            Operation::Publish { .. }
            | Operation::PublishSecret
            | Operation::Synchronise
            | Operation::Withdraw => at.configure(operation).await,
            Operation::BindSecret { component } => at.bind(*component).await,
            Operation::Rotate { component } => at.rotate(*component).await,
            Operation::Secret { component, ask } => at.secret(*component, *ask).await,
            Operation::Scale { component } => at.scale(*component).await,
            Operation::Scaling { component, ask } => at.scaling(*component, *ask).await,
            Operation::Watch | Operation::StopWatching => at.watch(operation).await,
            Operation::Drift { ask } => at.drift(*ask).await,
            Operation::Tenancy { ask } => at.tenancy(*ask).await,
            Operation::Environment { ask } => at.environment(*ask).await,
            Operation::StopTheLine | Operation::ResumeTheLine | Operation::Decommission => {
                at.govern(operation).await
            }
            Operation::Unpark => at.unpark().await,
            Operation::Look => at.look().await,
            Operation::Wrong { wrong } => at.wrong(*wrong).await,
            _ => at.steer(operation).await,
        }
    }

    async fn provision(&self, scope: &TenantScope) -> Answer {
        answer(self.services.environments().provision(scope, self.wanted()?).await)
    }

    /// The environment of this place.
    fn wanted(&self) -> Result<NewEnvironment, String> {
        let project = ProjectId::from_uuid(sample::host(u64::from(self.place.tenant)).uuid());
        let name = Name::new(&records::name(self.place)).map_err(told)?;
        let region = Name::new("local").map_err(told)?;
        // Of the second tenant's environments, all but the first are what its customers use.
        let stage = match self.place {
            Place { environment: 1, .. } => EnvironmentStage::Dev,
            Place { tenant: 2, .. } => EnvironmentStage::Prod,
            _ => EnvironmentStage::Staging,
        };
        let mut wanted = NewEnvironment::new(project, name, stage, region);
        wanted.isolation_model = isolation(self.place);
        wanted.capacity = quota(100)?;
        Ok(wanted)
    }
}

/// So many units of everything; an environment has 100.
fn quota(units: u64) -> Result<ResourceQuota, String> {
    ResourceQuota::new(1_000 * units, units << 32, units << 32, 100 * units).map_err(told)
}

/// One operator at an environment that there is.
struct Asking<'o> {
    operator: &'o Operator,
    scope: TenantScope,
    environment: EnvironmentId,
}

impl Asking<'_> {
    fn services(&self) -> &Services {
        &self.operator.services
    }
}

/// Why everything is asked for.
const REASON: &str = "an operator wishes it";

#[cfg(test)]
mod tests {
    use runtime_domain::deployment::DeploymentRefusal;
    use runtime_domain::environment::{EnvironmentRefusal, ProvisioningStatus};

    use super::*;

    #[test]
    fn a_refusal_that_stands_for_another_contexts_is_named_with_it() {
        let status = ProvisioningStatus::Decommissioned;
        let refusal = DeploymentRefusal::NotAdmitted(EnvironmentRefusal::NotProvisioned { status });
        assert_eq!(named(&refusal), ["DeploymentRefusal::NotAdmitted", "EnvironmentRefusal::NotProvisioned"]);
        assert_eq!(named(&EnvironmentRefusal::Protected), ["EnvironmentRefusal::Protected"]);
    }
}
