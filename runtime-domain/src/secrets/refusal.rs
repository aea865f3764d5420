//! Why a command was refused.

use alloc::string::{String, ToString};

use crate::environment::EnvironmentRefusal;
use crate::refusal::{Refusal, Rule};
use crate::secrets::SecretStatus;

/// Why a secret binding's command was refused. The binding is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretRefusal {
    /// The environment takes no binding now, or is not open to rotation.
    #[error(transparent)]
    Environment(#[from] EnvironmentRefusal),
    /// The evidence is of another tenant or environment.
    #[error("the evidence is of another tenant or environment")]
    ForeignEvidence,
    /// A consumer is of another component.
    #[error("a consumer is of another component")]
    ForeignConsumer,
    /// The component gets something else by this name.
    #[error("the component gets its secret in another way: its {what} differs")]
    Different {
        /// What differs.
        what: &'static str,
    },
    /// The clearance is for another kind of change.
    #[error("the clearance is not for rotation")]
    OtherActivity,
    /// The version is not a new one.
    #[error("the version is not a new one of this secret")]
    NotNew,
    /// The version is none that this kind of vault gives.
    #[error("this kind of vault gives no such version")]
    OtherVault,
    /// The version is not the one that is to be retired.
    #[error("the version is not the one that is to be retired")]
    OtherVersion,
    /// A report lists no instance, or too many.
    #[error("the report lists no instance, or more than {}", crate::secrets::Consumption::MOST)]
    BadReport,
    /// A report comes from the future.
    #[error("the report says that it was made later than now")]
    FutureReport,
    /// A reason is missing, or longer than can be kept.
    #[error("the reason is empty or longer than {} bytes", crate::reason::LONGEST)]
    BadReason,
    /// The secret is not bound any more, so it is no proof.
    #[error("the secret is no longer bound")]
    NotBound,
    /// The command does not fit the present state.
    #[error("{command} is not possible while the binding is {status}")]
    Lifecycle {
        /// The command.
        command: &'static str,
        /// The state.
        status: SecretStatus,
    },
}

impl Refusal for SecretRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::Environment(refusal) => refusal.rule(),
            Self::ForeignEvidence | Self::ForeignConsumer => Rule::X1,
            Self::Different { .. } => Rule::X3,
            Self::OtherActivity => Rule::Calendar,
            Self::NotNew | Self::OtherVault => Rule::Sec2,
            Self::OtherVersion | Self::BadReport | Self::FutureReport | Self::BadReason => Rule::Content,
            Self::NotBound => Rule::Cfg2,
            Self::Lifecycle { .. } => Rule::Lifecycle,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Environment(refusal) => return refusal.remedy(),
            Self::ForeignEvidence => "bring evidence of the binding's own tenant and environment",
            Self::ForeignConsumer => "report the instances of the binding's own component",
            Self::Different { .. } => "unbind it first, or choose another file or variable name",
            Self::OtherActivity => "ask the environment for a clearance to rotate",
            Self::NotNew => "let the vault make a new version and report that one",
            Self::OtherVault => {
                "report the version as the vault gives it: 32 hexadecimal digits from Key Vault, a number from others"
            }
            Self::OtherVersion => "report the version that the state names",
            Self::BadReport => "list every instance that runs, or say that nobody runs",
            Self::FutureReport => "report what was seen, with the time of a clock that agrees with the host's",
            Self::BadReason => "say in a sentence why",
            Self::NotBound => "bind the secret again",
            Self::Lifecycle { status, .. } => match status {
                SecretStatus::Bound => "ask for a rotation first",
                SecretStatus::Requested | SecretStatus::RotationFailed => {
                    "wait until the vault has made a new version, or abort the rotation"
                }
                SecretStatus::Distributing => "wait until every consumer is on the new version, or abort the rotation",
                SecretStatus::Grace => "wait until the grace is over",
                SecretStatus::Retiring => "wait until the vault has retired the old version",
                SecretStatus::Suspended => "resume the rotation first",
                SecretStatus::Unbound => "bind the secret again, with a new identifier",
            },
        }
        .to_string()
    }
}
