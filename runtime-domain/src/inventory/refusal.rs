//! Why a command was refused.

use alloc::format;
use alloc::string::{String, ToString};

use crate::refusal::{Refusal, Rule};
use crate::value::ModuleId;

/// Why an inventory record's command was refused. The record is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryRefusal {
    /// The evidence is about another tenant.
    #[error("the evidence is about another tenant, and a service's tenant never changes")]
    ForeignTenant,
    /// The evidence is about another environment.
    #[error("the evidence is about another environment")]
    ForeignEnvironment,
    /// The evidence is about another module.
    #[error("the evidence is about module `{given}`, and the service runs `{expected}`")]
    ForeignModule {
        /// The service's module.
        expected: ModuleId,
        /// The evidence's module.
        given: ModuleId,
    },
    /// The observation is about another component.
    #[error("the observation is about another component")]
    ForeignObservation,
    /// The module has a record already: its claim is held.
    #[error("module `{module}` has an inventory record in this environment already")]
    AlreadyRegistered {
        /// Which module.
        module: ModuleId,
    },
}

impl Refusal for InventoryRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::ForeignTenant => Rule::Svc3,
            Self::ForeignEnvironment | Self::ForeignObservation => Rule::X1,
            Self::ForeignModule { .. } => Rule::Svc1,
            Self::AlreadyRegistered { .. } => Rule::X3,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::ForeignTenant | Self::ForeignEnvironment => {
                "take the evidence from a deployment of the service's own tenant and environment".to_string()
            }
            Self::ForeignModule { expected, .. } => {
                format!("take the evidence for module `{expected}`, or register the other module")
            }
            Self::ForeignObservation => {
                "observe the component of the service's own tenant, environment and module".to_string()
            }
            Self::AlreadyRegistered { .. } => {
                "record the deployed version on the existing record, or retire that first".to_string()
            }
        }
    }
}
