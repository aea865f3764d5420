use factory_runtime_model::Protocol;
use stateright::{Checker as _, Model as _};

use crate::{relayed, work};

/// Searches everything, and says how much that was.
fn search(name: &str, protocol: Protocol) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = protocol.checker().threads(threads).spawn_bfs().join();
    println!(
        "{name}: {} states, {} of them different, {} steps deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[test]
fn two_hosts_that_may_die_be_late_or_disagree_about_the_time_do_each_job_once_and_in_order() {
    search("work", work());
    if crate::is_whole() {
        search("three hosts", Protocol { clocks: vec![0, 1, 2], ..work() });
        search("more of everything", Protocol { jobs: 3, leases: 5, messages: 3, ..work() });
    }
}

/// Shows.
#[test]
fn events_are_handled_once_and_in_order_whoever_relays_them() {
    search("relayed", relayed());
    if crate::is_whole() {
        search("three hosts, relayed", Protocol { clocks: vec![0, 1, 2], ..relayed() });
    }
}
