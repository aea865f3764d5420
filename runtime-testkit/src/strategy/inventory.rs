//! Inventory: what surfaces show, and the stories of records.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::plan::Step;
use crate::plan::inventory::{InventoryPlan, Revision, Show, Whose};
use crate::strategy::{reason, story};

fn revision(version: u8) -> impl Strategy<Value = Revision> {
    (0..4_u8, vec(0..6_u8, 0..4), any::<bool>()).prop_map(move |(wanted, instances, has_traffic)| Revision {
        version,
        wanted,
        instances,
        has_traffic,
    })
}

/// A revision whose instances are all ready.
fn healthy(version: u8) -> impl Strategy<Value = Revision> {
    (1..3_u8).prop_map(move |wanted| Revision {
        version,
        wanted,
        instances: vec![1; usize::from(wanted)],
        has_traffic: true,
    })
}

/// What is shown most of the time, so that it is often shown again.
fn usual() -> Show {
    let revision = Revision { version: 1, wanted: 1, instances: vec![1], has_traffic: true };
    Show { age: 0, is_foreign: false, is_routed: true, revisions: vec![revision] }
}

fn show() -> impl Strategy<Value = Show> {
    let age = prop_oneof![8 => Just(0_i64), 2 => 0..10_i64, 1 => 170..190_i64, 1 => -100..0_i64];
    let is_in = || prop::bool::weighted(0.6);
    let any_of =
        (revision(1), revision(2), revision(3), is_in(), is_in(), is_in()).prop_map(|(a, b, c, x, y, z)| {
            [(a, x), (b, y), (c, z)]
                .into_iter()
                .filter_map(|(revision, is_in)| is_in.then_some(revision))
                .collect()
        });
    let one = (1..4_u8).prop_flat_map(healthy).prop_map(|revision| vec![revision]);
    let revisions = prop_oneof![1 => any_of, 1 => one];
    (age, prop::bool::weighted(0.05), any::<bool>(), revisions)
        .prop_map(|(age, is_foreign, is_routed, revisions)| Show { age, is_foreign, is_routed, revisions })
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![
        9 => Just(Whose::Own),
        1 => Just(Whose::OtherTenant),
        1 => Just(Whose::OtherEnvironment),
        1 => Just(Whose::OtherModule),
    ]
}

/// What may be asked of an inventory record, or reported to it.
pub fn inventory_plans() -> BoxedStrategy<InventoryPlan> {
    prop_oneof![
        4 => (1..4_u8, whose()).prop_map(|(version, whose)| InventoryPlan::Bring { version, whose }),
        10 => show().prop_map(InventoryPlan::Observe),
        6 => Just(InventoryPlan::Observe(usual())),
        3 => Just(InventoryPlan::Silence),
        1 => reason().prop_map(|reason| InventoryPlan::Retire { reason }),
    ]
    .boxed()
}

/// Stories of an inventory record.
pub fn inventory_stories() -> BoxedStrategy<Vec<Step<InventoryPlan>>> {
    story(Just(InventoryPlan::Register), inventory_plans(), 14)
}
