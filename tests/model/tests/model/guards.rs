use factory_runtime_model::{Guards, Protocol};
use stateright::{Checker as _, Model as _};

use crate::{relayed, work};

/// What breaks without a guard, and how: the shortest story of it.
fn breaks(protocol: Protocol, property: &'static str) {
    let checker = protocol.checker().spawn_bfs().join();
    let story = checker.assert_any_discovery(property);
    println!("{property}: {:?}", story.into_actions());
}

#[test]
fn without_the_checks_of_commits_a_late_host_overwrites_anothers_work() {
    let guards = Guards { commits: false, ..Guards::ALL };
    breaks(Protocol { guards, ..work() }, "a commit replaces what it was decided on");
}

#[test]
fn without_fences_a_late_effect_replaces_a_newer_one() {
    let guards = Guards { fence: false, ..Guards::ALL };
    breaks(Protocol { guards, ..work() }, "an older effect never replaces a newer one");
}

#[test]
fn without_identifiers_of_effects_a_takeover_doubles_one() {
    let guards = Guards { effects: false, ..Guards::ALL };
    breaks(Protocol { guards, ..work() }, "an effect is performed once");
}

#[test]
fn without_an_inbox_a_consumer_handles_an_event_twice() {
    let guards = Guards { inbox: false, ..Guards::ALL };
    breaks(Protocol { guards, ..relayed() }, "an event is handled once");
}

#[test]
fn where_events_are_marked_before_they_are_sent_one_is_lost() {
    let guards = Guards { mark: false, ..Guards::ALL };
    breaks(Protocol { guards, ..relayed() }, "what is marked as published was handled");
}

/// A lease saves work and keeps order among hosts that behave; what is right does not rest on it.
#[test]
fn where_leases_are_given_while_others_hold_them_nothing_breaks() {
    let guards = Guards { leases: false, ..Guards::ALL };
    Protocol { guards, ..work() }.checker().spawn_bfs().join().assert_properties();
}
