//! Which components can be rolled out side by side.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::component::ComponentSpec;
use crate::rollout::compile::{PlanInput, PlanRefusal};
use crate::value::ModuleId;

/// The components in waves: each depends only on earlier waves.
pub(super) fn waves(
    components: &BTreeMap<ModuleId, ComponentSpec>,
) -> Result<Vec<BTreeSet<ModuleId>>, PlanRefusal> {
    for component in components.values() {
        if let Some(missing) = component.depends_on.iter().find(|module| !components.contains_key(*module)) {
            return Err(PlanRefusal::UnknownDependency {
                module: component.module.clone(),
                missing: missing.clone(),
            });
        }
    }
    let mut done: BTreeSet<ModuleId> = BTreeSet::new();
    let mut waves = Vec::new();
    while done.len() < components.len() {
        let wave: BTreeSet<ModuleId> = components
            .values()
            .filter(|component| !done.contains(&component.module) && component.depends_on.is_subset(&done))
            .map(|component| component.module.clone())
            .collect();
        if wave.is_empty() {
            let cycle = components.keys().filter(|module| !done.contains(*module)).cloned();
            return Err(PlanRefusal::DependencyCycle { modules: PlanInput::module_list(cycle) });
        }
        done.extend(wave.iter().cloned());
        waves.push(wave);
    }
    Ok(waves)
}
