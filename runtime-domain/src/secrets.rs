//! Bindings of workloads to vault secrets, and their rotation in two phases. No value is ever held.
//!
//! ```text
//! (none) ─► Bound ─► Requested ─► Distributing ◄─► Grace ─► Retiring ─► Bound
//!             ▲        │    ▲          │                       ▲
//!             │        ▼    │          │ abort                 │
//!             ├─ RotationFailed        └──────────────────────►│ ◄─► Suspended
//!             └────────┴── abort          any of them ─► Unbound
//! ```
//!
//! A rotation waits for the vault to make a new version (*Requested*), then until every consumer was seen on it (*Distributing*), then
//! for the grace; a look at the consumers at or after its end makes the new version the current one, and the old one is retired in the
//! vault (*Retiring*). Until then the old version stays valid, so that whoever still holds it goes on working. A rotation that is called off
//! while it is distributed leaves a new version that nobody is to use: that one is retired instead.
//!
//! | command | Bound | Requested | RotationFailed | Distributing | Grace | Retiring | Suspended | Unbound |
//! |---|---|---|---|---|---|---|---|---|
//! | Bind again, the same | same | same | same | same | same | same | same | LIFECYCLE |
//! | Bind again, otherwise | X-3 | X-3 | X-3 | X-3 | X-3 | X-3 | X-3 | LIFECYCLE |
//! | RotateSecret, scheduled | yes¹ | same | same | same | same | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RotateSecret, on demand | yes | same | same | same | same | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RotateSecret, compromised | yes | yes² | yes² | yes² | yes² | LIFECYCLE | LIFECYCLE | LIFECYCLE |
//! | RecordNewVersion | LIFECYCLE³ | yes | yes | LIFECYCLE³ | LIFECYCLE³ | LIFECYCLE³ | LIFECYCLE³ | LIFECYCLE |
//! | RecordConsumption | same | same | same | yes⁴ | yes⁴ | same | same | same |
//! | RecordVaultFailure | LIFECYCLE | yes | same | LIFECYCLE | LIFECYCLE | yes | same | LIFECYCLE |
//! | RecordRetired | LIFECYCLE³ | LIFECYCLE | LIFECYCLE | LIFECYCLE | LIFECYCLE | yes | LIFECYCLE | LIFECYCLE |
//! | ChangeSchedule | yes | yes | yes | yes | yes | yes | yes | LIFECYCLE |
//! | AbortRotation | same | yes | yes | yes | LIFECYCLE | LIFECYCLE | same | LIFECYCLE |
//! | SuspendRotation | yes | yes | yes | LIFECYCLE | LIFECYCLE | yes | same | LIFECYCLE |
//! | ResumeRotation | same | same | same | same | same | same | yes | LIFECYCLE |
//! | Unbind | yes | yes | yes | yes | yes | yes | yes | same |
//! | Tick | same | same | yes¹ | same | same | same | same | same |
//!
//! *same* means accepted and nothing changes. ¹ *same* before it is due. ² *same* where it is known already. ³ *same* where the version is
//! the one that was recorded. ⁴ *same* where nothing follows, or the report is older than the phase.
//!
//! Invariants, each with the place that keeps it:
//! - **SEC-1** (type): it refers to a vault only: `reference.rs` has no type that holds free text, and no refusal repeats one.
//! - **SEC-2** (check): a rotation makes a version that was not seen before, and keeps the identity: `decide/rotation.rs`; checked again when loaded.
//! - **SEC-3** (evidence): one tenant and one environment, the [`HostedEnvironment`](crate::environment::HostedEnvironment)'s; no event carries another.
//! - **X-1** (evidence): evidence of another tenant or environment, and consumers of another component, are refused: `decide.rs`.
//! - **X-3** (claim): a component gets one secret by one name: [`Claim::secret_binding`](crate::claim::Claim::secret_binding), held until Unbound.
//! - **X-11** (type): what went wrong at a vault is a [`VaultFault`], which has no text.
//!
//! Laws learnt from others: the old version is not revoked under its users (vault#31758); a consumer that keeps the old version holds the
//! rotation (csi-driver#1288); a broken secret is tried [`SecretBinding::MOST_FAILURES`] times, ever more slowly, and then set aside until a
//! person resumes it (external-secrets#6728). Of what was rotated, the last [`SecretBinding::MOST_RECORDS`] are kept.

mod command;
mod decide;
mod delivered;
mod event;
mod evidence;
mod evolve;
mod record;
mod reference;
mod refusal;
mod rotation;
mod state;
#[cfg(test)]
mod tests;

pub use command::{BindSecret, RotateSecret, SecretCommand};
pub use delivered::DeliveredSecret;
pub use event::{SecretBound, SecretEvent};
pub use evidence::BoundSecret;
pub use record::SecretBindingRecord;
pub use reference::{
    Delivery, KeyVaultReference, ManagedIdentityRef, ReferenceError, SecretReference, SecretVersion,
    VaultKind,
};
pub use refusal::SecretRefusal;
pub use rotation::{
    Consumer, Consumption, GraceError, Rotation, RotationCause, RotationKind, RotationOutcome,
    RotationRecord, RotationSchedule, VaultFault,
};
pub use state::{
    Bound, Distributing, Grace, Requested, Retiring, RotationFailed, SecretBinding, SecretState,
    SecretStatus, Suspended, SuspensionCause, Unbound,
};
