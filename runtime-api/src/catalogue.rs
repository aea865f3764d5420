//! Every operation that a host offers, once.

use std::collections::BTreeMap;

use crate::operation::Operation;

mod audit;
mod configurations;
mod deployments;
mod drift;
mod environments;
mod health;
mod inventory;
mod scaling;
mod secrets;
mod tenancy;

/// The operations, by identifier.
#[derive(Debug)]
pub struct Catalogue {
    operations: BTreeMap<String, Operation>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// All of them.
    pub fn new() -> Self {
        let contexts = [
            environments::operations(),
            deployments::operations(),
            configurations::operations(),
            secrets::operations(),
            tenancy::operations(),
            inventory::operations(),
            health::operations(),
            scaling::operations(),
            drift::operations(),
            audit::operations(),
        ];
        let operations = contexts.into_iter().flatten();
        Self { operations: operations.map(|operation| (operation.descriptor().id(), operation)).collect() }
    }

    /// The operation of this identifier: `RuntimeEnvironmentService.ProvisionEnvironment`.
    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// All of them, in the order of their identifiers.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }
}
