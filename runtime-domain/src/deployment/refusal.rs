//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::component::{ImageDigest, VariableName};
use crate::configuration::secrecy::Suspicion;
use crate::configuration::{ConfigurationRefusal, VariableError};
use crate::environment::EnvironmentRefusal;
use crate::id::DeploymentId;
use crate::promotion::PromotionRefusal;
use crate::refusal::{Refusal, Rule};
use crate::rollout::PlanRefusal;
use crate::scope::Actor;
use crate::surface::SurfaceKind;
use crate::tenancy::TenancyRefusal;
use crate::value::{ModuleId, Name};

fn names(module: Option<&ModuleId>) -> String {
    module.map_or("the release names".to_string(), |module| format!("component `{module}` names"))
}

fn quoted(variable: Option<&VariableName>) -> String {
    variable.map(|name| format!(" `{}`", name.as_str())).unwrap_or_default()
}

/// Why a deployment's command was refused. The deployment is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeploymentRefusal {
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanRefusal),
    /// The tenant's quota has no room for it.
    #[error(transparent)]
    NoRoom(TenancyRefusal),
    /// The environment does not accept deployments.
    #[error(transparent)]
    NotAdmitted(#[from] EnvironmentRefusal),
    /// The release has not earned its way here.
    #[error(transparent)]
    NotPromoted(#[from] PromotionRefusal),
    /// Whoever asks for a promotion does not agree to it.
    #[error("{actor} asked for this promotion, and does not agree to it as well")]
    OwnPromotion {
        /// Who.
        actor: Actor,
    },
    /// A hold is released without a reason.
    #[error("a hold is not released without a reason")]
    NoReason,
    /// Evidence is about another tenant or environment.
    #[error("the evidence is about another tenant or environment")]
    ForeignEvidence,
    /// The deployment is not Completed, so it cannot be gone back to.
    #[error("{deployment} is {status}: only a Completed deployment can be gone back to")]
    NotCompleted {
        /// Which.
        deployment: DeploymentId,
        /// How it is.
        status: &'static str,
    },
    /// The rollback target is what serves now.
    #[error("{deployment} serves now: there is nothing to go back to")]
    AlreadyServing {
        /// Which.
        deployment: DeploymentId,
    },
    /// The rollback target does not cover the components that serve now.
    #[error("component `{module}` of the rollback target has no revision that serves now")]
    TargetMismatch {
        /// Which component.
        module: ModuleId,
    },
    /// The command does not fit the present state.
    #[error("{command} is not possible while the deployment is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: &'static str,
        /// What would be possible.
        remedy: &'static str,
    },
    /// No approval of this name is waited for.
    #[error("no approval `{gate}` is waited for now")]
    NoSuchApproval {
        /// The name.
        gate: Name,
    },
    /// The actor is not among the approvers.
    #[error("{actor} is not an approver of `{gate}`")]
    NotAnApprover {
        /// Who.
        actor: Actor,
        /// Of which gate.
        gate: Name,
    },
    /// A gate has not passed.
    #[error("gate `{gate}` has not passed")]
    GateNotPassed {
        /// Which.
        gate: Name,
    },
    /// The configuration version that the release carries is not in force.
    #[error(transparent)]
    Configuration(#[from] ConfigurationRefusal),
    /// A component takes its configuration in place and cannot tell that it did.
    #[error("component `{module}` takes its configuration by signal and does not tell what it runs with")]
    SilentReload {
        /// Which component.
        module: ModuleId,
    },
    /// The configuration version that the release or a component names is not the one that is shown to be in force.
    #[error("{} a configuration version that is not shown to be in force here", names(module.as_ref()))]
    UnprovenConfiguration {
        /// Which component; `None` where it is the release itself.
        module: Option<ModuleId>,
    },
    /// A component cannot get the configuration in the way that it declares.
    #[error("component `{module}` cannot get its configuration: {why}")]
    Undeliverable {
        /// Which component.
        module: ModuleId,
        /// Why.
        why: VariableError,
    },
    /// A component is to scale by a policy for another surface than the one that runs it.
    #[error("component `{module}` runs on {surface}, and its scaling is for {target}")]
    ScalesElsewhere {
        /// Which component.
        module: ModuleId,
        /// What runs it.
        surface: SurfaceKind,
        /// What its scaling is for.
        target: SurfaceKind,
    },
    /// Another deployment of the component is in flight.
    #[error("another deployment of `{module}` is in flight in this environment")]
    InFlight {
        /// Which component.
        module: ModuleId,
    },
    /// A plain variable looks like a secret.
    #[error("the variable{} of `{owner}` {suspicion}", quoted(variable.as_ref()))]
    SecretVariable {
        /// Whose variable: the component's, or the job's.
        owner: Name,
        /// Which; `None` where the name itself looks like a secret.
        variable: Option<VariableName>,
        /// By which rule.
        suspicion: Suspicion,
    },
    /// The image was rolled back and not released since.
    #[error("image {digest} of `{module}` was rolled back in this environment and is quarantined")]
    Quarantined {
        /// Which component.
        module: ModuleId,
        /// Which image.
        digest: ImageDigest,
    },
}

impl Refusal for DeploymentRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Plan(refusal) => refusal.rule(),
            Self::NoRoom(refusal) => refusal.rule(),
            Self::NotAdmitted(refusal) => refusal.rule(),
            Self::NotPromoted(refusal) => refusal.rule(),
            Self::OwnPromotion { .. } => Rule::Promotion,
            Self::NoReason => Rule::Content,
            Self::ForeignEvidence => Rule::X1,
            Self::NotCompleted { .. } | Self::AlreadyServing { .. } | Self::TargetMismatch { .. } => {
                Rule::Dep2
            }
            Self::Lifecycle { .. } => Rule::Lifecycle,
            Self::NoSuchApproval { .. } | Self::NotAnApprover { .. } | Self::GateNotPassed { .. } => {
                Rule::Dep1
            }
            Self::InFlight { .. } => Rule::Dep3,
            Self::Configuration(refusal) => refusal.rule(),
            Self::UnprovenConfiguration { .. } => Rule::X6,
            Self::SilentReload { .. } | Self::Undeliverable { .. } => Rule::Content,
            Self::SecretVariable { .. } => Rule::Cfg2,
            Self::Quarantined { .. } => Rule::Quarantine,
            Self::ScalesElsewhere { .. } => Rule::Capability,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Plan(refusal) => refusal.remedy(),
            Self::NoRoom(refusal) => refusal.remedy(),
            Self::NotAdmitted(refusal) => refusal.remedy(),
            Self::NotPromoted(refusal) => refusal.remedy(),
            Self::OwnPromotion { .. } => {
                "let another of the approvers agree, or name more of them".to_string()
            }
            Self::NoReason => "say why, in at most 2,000 bytes".to_string(),
            Self::ForeignEvidence => "take the evidence from the same tenant and environment".to_string(),
            Self::NotCompleted { .. } => "choose a Completed deployment of this environment".to_string(),
            Self::AlreadyServing { .. } => "choose an earlier Completed deployment".to_string(),
            Self::TargetMismatch { .. } => "choose a deployment whose components all serve now".to_string(),
            Self::Lifecycle { remedy, .. } => (*remedy).to_string(),
            Self::NoSuchApproval { .. } => {
                "look at the deployment's gates for the ones that wait".to_string()
            }
            Self::NotAnApprover { gate, .. } => format!("ask one of the approvers that gate `{gate}` names"),
            Self::GateNotPassed { .. } => "wait until every gate has passed".to_string(),
            Self::InFlight { .. } => "wait until it has ended, or abort it".to_string(),
            Self::UnprovenConfiguration { .. } => {
                "carry a version of this environment that is in force, the same one in every component"
                    .to_string()
            }
            Self::Configuration(refusal) => refusal.remedy(),
            Self::SilentReload { .. } => {
                "declare `report`, the path at which it answers whether it runs with a checksum".to_string()
            }
            Self::Undeliverable { .. } => {
                "rename the key in a new version, or declare `configuration: { variables: false }`"
                    .to_string()
            }
            Self::SecretVariable { .. } => {
                "keep it in a vault, bind it, and refer to the SecretBinding instead of the variable"
                    .to_string()
            }
            Self::ScalesElsewhere { surface, .. } => {
                format!(
                    "write {surface} as the target of its scaling, or run the component on the other surface"
                )
            }
            Self::Quarantined { .. } => {
                "deploy a repaired image, or release the quarantine of the deployment that was rolled back"
                    .to_string()
            }
        }
    }
}
