//! What holds for one component and one tenant.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::configuration::{ConfigScope, ConfigurationEntries, ConfigurationValue, EntryKey};
use crate::id::TenantId;
use crate::value::ModuleId;

/// What holds for one component and one tenant, key by key: the strongest scope wins (see [`ConfigScope`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveConfiguration<'e> {
    /// By key, in order.
    pub entries: BTreeMap<&'e EntryKey, EffectiveEntry<'e>>,
}

/// What holds under one key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveEntry<'e> {
    /// What holds.
    pub value: &'e ConfigurationValue,
    /// The scope that set it.
    pub scope: &'e ConfigScope,
    /// The scopes that set it, too, and gave way, the weakest first.
    pub shadowed: Vec<&'e ConfigScope>,
}

impl ConfigurationEntries {
    /// What holds for a component, and for a tenant where it works for one.
    pub fn effective<'e>(
        &'e self,
        module: &'e ModuleId,
        tenant: Option<TenantId>,
    ) -> EffectiveConfiguration<'e> {
        let mut entries: BTreeMap<&EntryKey, EffectiveEntry<'_>> = BTreeMap::new();
        for entry in self.holding(module, tenant) {
            let mut shadowed = Vec::new();
            if let Some(weaker) = entries.remove(&entry.key) {
                shadowed = weaker.shadowed;
                shadowed.push(weaker.scope);
            }
            entries.insert(&entry.key, EffectiveEntry { value: &entry.value, scope: &entry.scope, shadowed });
        }
        EffectiveConfiguration { entries }
    }
}
