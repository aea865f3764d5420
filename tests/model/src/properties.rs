//! What must always be, and what must be reached, so that a search that finds nothing wrong has looked.

use stateright::Property;

use crate::Protocol;
use crate::state::{Fault, Relaying, State, Working};

fn is_free_of(state: &State, fault: Fault) -> bool {
    state.fault != Some(fault)
}

/// The tokens under which hosts believe to work, whatever the store says.
fn believed(state: &State) -> usize {
    state.hosts.iter().filter(|host| host.work != Working::Idle).count()
}

pub(crate) fn all(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always("a commit replaces what it was decided on", |_, state: &State| {
            is_free_of(state, Fault::LostUpdate)
        }),
        Property::always("an effect is performed once", |_, state: &State| is_free_of(state, Fault::Doubled)),
        Property::always("an older effect never replaces a newer one", |_, state: &State| {
            is_free_of(state, Fault::Regressed)
        }),
        Property::always("nothing is done that was not intended", |_, state: &State| {
            state.effect <= state.intended()
        }),
        Property::always("nothing is recorded as done that was not done", |_, state: &State| {
            state.effect >= state.done()
        }),
        Property::always("nobody is stuck", |protocol: &Protocol, state: &State| {
            // Where leases are still given, whoever finds something left to do can go on once time has passed.
            let can_be_taken = state.tokens < protocol.leases;
            protocol.is_ended(state) || !can_be_taken || can_go_on(protocol, state)
        }),
        Property::sometimes("everything ends", |protocol: &Protocol, state: &State| protocol.is_ended(state)),
        Property::sometimes("two hosts believe that they hold the lease", |_, state: &State| {
            believed(state) > 1
        }),
        Property::sometimes("an effect arrives after its lease was lost", |_, state: &State| {
            state.messages.iter().any(|message| message.token < state.fence)
        }),
        Property::sometimes("an effect is there that nobody knows of", |_, state: &State| {
            let is_known = |host: &crate::Host| matches!(host.work, Working::Effected { .. });
            state.effect > state.done() && !state.hosts.iter().any(is_known)
        }),
    ];
    if protocol.is_relayed {
        all.extend([
            Property::always("an event is handled once", |_, state: &State| {
                is_free_of(state, Fault::HandledTwice)
            }),
            Property::always("events are handled in their order", |_, state: &State| {
                is_free_of(state, Fault::OutOfOrder)
            }),
            Property::always("what is marked as published was handled", |_, state: &State| {
                state.published <= state.handled && state.handled <= state.revision
            }),
            Property::sometimes("an event comes again", |_, state: &State| state.is_repeated),
            Property::sometimes("two hosts relay at once", |_, state: &State| {
                state.hosts.iter().filter(|host| host.relay != Relaying::Idle).count() > 1
            }),
        ]);
    }
    all
}

/// Whether somebody is at work, or could be once every lease has ended.
fn can_go_on(protocol: &Protocol, state: &State) -> bool {
    let mut later = state.clone();
    for held in [&mut later.work, &mut later.outbox].into_iter().flatten() {
        held.left = 0;
    }
    (0..state.hosts.len()).any(|host| {
        let is_at_work = state.hosts[host].work != Working::Idle || state.hosts[host].relay != Relaying::Idle;
        let takes = |action| protocol.step(&mut later.clone(), action) == crate::Outcome::Done;
        is_at_work
            || takes(crate::Action::Take(host))
            || (protocol.is_relayed && takes(crate::Action::TakeOutbox(host)))
    })
}
