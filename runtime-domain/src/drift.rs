//! Divergence between what runs and what Git or Pulumi says should run.
//!
//! The comparison is pure: [`compare::difference`] says where two documents differ, after both are brought into one normal form.
//! A difference is for people: nothing reads a value back out of it, so a redacted text can never become what is desired.
//!
//! What is desired is [`Authoritative`], which says its revision; [`FindingHash`] says which divergences are one.
//!
//! Invariants, each with the place that keeps it:
//! - **X-11** (type, check): a value that is or may be a secret is shown as [`compare::ShownValue::Redacted`].

mod authority;
pub mod compare;
mod comparison;
mod evidence;
mod finding;
mod ownership;
mod secrecy;
#[cfg(test)]
mod tests;

pub use authority::{Authoritative, DesiredStateRevision};
pub use comparison::{
    ActualComponent, ActualResource, ActualState, Comparison, ComparisonPolicy, ComparisonRefusal,
    DesiredComponent, DesiredState, MOST_SUBJECTS, NotCompared, Suppressed, WhyNotCompared, compare_states,
};
pub use evidence::{DetectedDrift, InSync};
pub use finding::{DriftKind, FindingHash, Severity, Subject};
pub use ownership::{Owner, Ownership};
