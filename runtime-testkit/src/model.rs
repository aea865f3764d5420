//! Independent reference models of the aggregates, written from the specification and the contexts' tables.
//!
//! A model shares no code with the domain: it has its own enums and plain data, and is small enough to be read beside the table that it
//! follows. [`prove`](crate::prove::prove) runs it next to the real aggregate and compares, after each step, what was answered, what was
//! published, the status, the claims and the facts that matter. Where both are wrong in the same way, nothing notices; so a model is
//! written by reading the rules, never by reading `decide`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

mod configuration;
mod deployment;
mod drift;
mod environment;
mod health;
mod inventory;
mod place;
mod scaling;
mod secrets;
mod tenancy;
mod text;

pub use configuration::ConfigurationModel;
pub use deployment::DeploymentModel;
pub use drift::DriftModel;
pub use environment::EnvironmentModel;
pub use health::HealthModel;
pub use inventory::InventoryModel;
pub use scaling::ScalingModel;
pub use secrets::SecretModel;
pub use tenancy::TenancyModel;

/// What a model says must come of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// It is accepted and changes something; these events are published, in order.
    Changes(Vec<&'static str>),
    /// It is accepted and changes something; which events come of it is learnt.
    Accepted,
    /// It is accepted and nothing changes.
    Same,
    /// It is refused by the rule with this number.
    Refused(&'static str),
    /// A report from the world: never refused; whether it changes anything is not the model's to say.
    Report,
}

/// What can be seen of an aggregate, and what a model says is to be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The status's name; empty where there is no aggregate yet.
    pub status: String,
    /// Every claim that is held: key, mode and space.
    pub claims: BTreeSet<String>,
    /// Whether a reconciler is to look at it by itself.
    pub wakes: bool,
    /// What else matters, by name.
    pub more: BTreeMap<&'static str, String>,
}

impl Facts {
    /// With one more fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.more.insert(name, value.to_string());
        self
    }

    /// How the other differs, in words; `None` where it does not.
    pub(crate) fn difference(&self, seen: &Self) -> Option<String> {
        if self.status != seen.status {
            return Some(format!("the status is `{}`, and the model says `{}`", seen.status, self.status));
        }
        if let Some(claim) = self.claims.difference(&seen.claims).next() {
            return Some(format!("the claim `{claim}` is not held, and the model holds it"));
        }
        if let Some(claim) = seen.claims.difference(&self.claims).next() {
            return Some(format!("the claim `{claim}` is held, and the model does not hold it"));
        }
        if self.wakes != seen.wakes {
            return Some(format!("that it wakes is {}, and the model says {}", seen.wakes, self.wakes));
        }
        let names: BTreeSet<&&str> = self.more.keys().chain(seen.more.keys()).collect();
        names.into_iter().find_map(|name| {
            let (own, other) = (self.more.get(*name), seen.more.get(*name));
            (own != other).then(|| format!("`{name}` is {other:?}, and the model says {own:?}"))
        })
    }
}

/// An event that came of a plan, as a subscriber would read it.
pub struct Told<'e> {
    /// Its name.
    pub name: &'static str,
    /// Whether it leaves the context.
    pub is_published: bool,
    write: &'e dyn Fn() -> Value,
}

impl<'e> Told<'e> {
    pub(crate) fn new(name: &'static str, is_published: bool, write: &'e dyn Fn() -> Value) -> Self {
        Self { name, is_published, write }
    }

    /// What it says, as JSON.
    pub fn data(&self) -> Value {
        (self.write)()
    }
}

impl fmt::Debug for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Told")
            .field("name", &self.name)
            .field("is_published", &self.is_published)
            .finish()
    }
}

/// A reference model of one aggregate.
pub trait Model: Clone + fmt::Debug {
    /// What is asked.
    type Plan;

    /// A model of an aggregate that does not exist yet.
    fn absent() -> Self;

    /// Says what must come of a plan, and goes there. `now` is in seconds since the story's beginning.
    fn foresee(&mut self, plan: &Self::Plan, now: i64) -> Foreseen;

    /// Learns which events came of a plan, for what a model does not foresee.
    ///
    /// # Errors
    /// Such events cannot come of it, and why.
    fn learn(&mut self, _events: &[Told<'_>]) -> Result<(), String> {
        Ok(())
    }

    /// What must be seen now; `None` while there is nothing.
    fn facts(&self) -> Option<Facts>;
}

/// A claim as [`Facts::claims`] writes it.
pub(crate) fn exclusive(key: impl fmt::Display) -> String {
    format!("{key} exclusive tenant")
}
