//! Whole hosts on somebody else's store, in their continuous integration: whatever fails, nothing wrong ever happens.

use std::sync::Arc;

use downstream::CountedStore;
use runtime_simulation::Simulation;

#[test]
fn hosts_keep_every_law_on_our_own_store() {
    Simulation::new(1).steps(60).store(|_| Arc::new(CountedStore::default())).seeds(4).assert_passed();
}
