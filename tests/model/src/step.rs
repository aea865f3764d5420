//! What may happen next, and what comes of it.

use crate::state::{Fault, Held, Message, Relaying, State, Working};
use crate::{LEASE, Protocol};

/// What may happen. Hosts go by their place in [`State::hosts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A host takes the lease on the work, and loads the aggregate.
    Take(usize),
    /// A host commits its intention.
    Intend(usize),
    /// A host asks the world for the effect that is intended.
    Ask(usize),
    /// What was asked arrives, now or much later.
    Arrive(Message),
    /// A host no longer waits for the world's answer, and will ask again.
    GiveUp(usize),
    /// A host commits that the job is done.
    Finish(usize),
    /// A host gives the lease on the work back.
    Release(usize),
    /// A host takes the outbox's lease, and reads what is to be published.
    TakeOutbox(usize),
    /// A host sends the next event.
    Publish(usize),
    /// A host marks what it has sent as published, and gives the lease back.
    Mark(usize),
    /// A host dies, and is there again with nothing in its memory.
    Die(usize),
    /// Time passes.
    Pass,
}

/// What an action came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done,
    /// There was nothing to take.
    Nothing,
    /// It was refused: the lease is lost.
    LeaseLost,
    /// It was refused: the revision is another one.
    Conflict,
}

/// Everything that could be tried in this state, by the one who tries. Whether it is granted, [`Protocol::step`] tells.
pub(crate) fn possible(protocol: &Protocol, state: &State, actions: &mut Vec<Action>) {
    if state.fault.is_some() {
        return;
    }
    let is_bounded = state.tokens >= protocol.leases;
    for (number, host) in state.hosts.iter().enumerate() {
        match host.work {
            Working::Idle if !is_bounded => actions.push(Action::Take(number)),
            Working::Idle => {}
            Working::Loaded { seen, .. } => {
                if seen % 2 == 1 && seen < protocol.last_revision() {
                    actions.push(Action::Intend(number));
                } else if seen % 2 == 0 && state.messages.len() < protocol.messages {
                    actions.push(Action::Ask(number));
                }
                actions.push(Action::Release(number));
            }
            Working::Asked { .. } => actions.push(Action::GiveUp(number)),
            Working::Effected { .. } => actions.push(Action::Finish(number)),
        }
        match host.relay {
            Relaying::Idle if protocol.is_relayed && !is_bounded => actions.push(Action::TakeOutbox(number)),
            Relaying::Idle => {}
            Relaying::Sending { next, last, .. } => {
                if next <= last {
                    actions.push(Action::Publish(number));
                }
                if next > state.published + 1 || !protocol.guards.mark {
                    actions.push(Action::Mark(number));
                }
            }
        }
        if host.work != Working::Idle || host.relay != Relaying::Idle {
            actions.push(Action::Die(number));
        }
    }
    // What one host asks under one lease arrives in the order in which it asked.
    let is_first = |place: usize| {
        let token = state.messages[place].token;
        state.messages[..place].iter().all(|earlier| earlier.token != token)
    };
    let first = (0..state.messages.len()).filter(|place| is_first(*place));
    actions.extend(first.map(|place| Action::Arrive(state.messages[place])));
    actions.push(Action::Pass);
}

impl Protocol {
    /// Does what `action` says, and answers what it came to.
    pub fn step(&self, state: &mut State, action: Action) -> Outcome {
        match action {
            Action::Take(host) => self.take(state, host),
            Action::Intend(host) | Action::Finish(host) => self.record(state, host),
            Action::Ask(host) => ask(state, host),
            Action::Arrive(message) => self.arrive(state, message),
            Action::GiveUp(host) => give_up(state, host),
            Action::Release(host) => release(state, host),
            Action::TakeOutbox(host) => self.take_outbox(state, host),
            Action::Publish(host) => self.publish(state, host),
            Action::Mark(host) => self.mark(state, host),
            Action::Die(host) => {
                state.hosts[host].work = Working::Idle;
                state.hosts[host].relay = Relaying::Idle;
                Outcome::Done
            }
            Action::Pass => {
                for held in [&mut state.work, &mut state.outbox].into_iter().flatten() {
                    held.left = (held.left - 1).max(0);
                }
                Outcome::Done
            }
        }
    }

    /// A lease for `host`, where none is in force by its clock.
    fn lease(&self, state: &mut State, held: Option<Held>, host: usize) -> Option<Held> {
        let is_free = held.is_none_or(|held| held.left <= self.clocks[host]);
        if !is_free && self.guards.leases {
            return None;
        }
        state.tokens += 1;
        Some(Held { token: state.tokens, left: LEASE + self.clocks[host] })
    }

    fn take(&self, state: &mut State, host: usize) -> Outcome {
        if state.revision == self.last_revision() {
            return Outcome::Nothing;
        }
        let Some(held) = self.lease(state, state.work, host) else { return Outcome::Nothing };
        state.work = Some(held);
        state.hosts[host].work = Working::Loaded { token: held.token, seen: state.revision };
        Outcome::Done
    }

    /// A commit under the lease with this token, which replaces revision `seen`.
    fn commit(&self, state: &mut State, token: u8, seen: u8) -> Outcome {
        if self.guards.commits {
            if state.work.is_none_or(|held| held.token != token) {
                return Outcome::LeaseLost;
            }
            if state.revision != seen {
                return Outcome::Conflict;
            }
        } else if state.revision != seen {
            state.fault = Some(Fault::LostUpdate);
        }
        state.revision = seen + 1;
        Outcome::Done
    }

    /// What comes next is committed: the intention, or that it was done.
    fn record(&self, state: &mut State, host: usize) -> Outcome {
        let (Working::Loaded { token, seen } | Working::Effected { token, seen }) = state.hosts[host].work
        else {
            return Outcome::Nothing;
        };
        let outcome = self.commit(state, token, seen);
        state.hosts[host].work = match outcome {
            Outcome::Done => Working::Loaded { token, seen: seen + 1 },
            _ => Working::Idle,
        };
        outcome
    }

    fn arrive(&self, state: &mut State, message: Message) -> Outcome {
        let Some(place) = state.messages.iter().position(|on_its_way| *on_its_way == message) else {
            return Outcome::Nothing;
        };
        state.messages.remove(place);
        let Message { token, job } = message;
        let is_older = self.guards.fence && token < state.fence;
        if !is_older {
            state.fence = state.fence.max(token);
            if job == state.effect && !self.guards.effects {
                state.fault = Some(Fault::Doubled);
            } else if job < state.effect {
                state.fault = Some(Fault::Regressed);
            }
            state.effect = job;
        }
        for host in &mut state.hosts {
            let waits = Working::Asked { token, seen: 2 * job };
            if host.work == waits {
                host.work = if is_older { Working::Idle } else { Working::Effected { token, seen: 2 * job } };
            }
        }
        if is_older { Outcome::LeaseLost } else { Outcome::Done }
    }

    fn take_outbox(&self, state: &mut State, host: usize) -> Outcome {
        if state.published == state.revision {
            return Outcome::Nothing;
        }
        let Some(held) = self.lease(state, state.outbox, host) else { return Outcome::Nothing };
        state.outbox = Some(held);
        let (next, last) = (state.published + 1, state.revision);
        state.hosts[host].relay = Relaying::Sending { token: held.token, next, last };
        Outcome::Done
    }

    fn publish(&self, state: &mut State, host: usize) -> Outcome {
        let Relaying::Sending { token, next, last } = state.hosts[host].relay else {
            return Outcome::Nothing;
        };
        if next > state.handled + 1 {
            state.fault = Some(Fault::OutOfOrder);
        } else if next == state.handled + 1 {
            state.handled = next;
        } else {
            state.is_repeated = true;
            if !self.guards.inbox {
                state.fault = Some(Fault::HandledTwice);
            }
        }
        state.hosts[host].relay = Relaying::Sending { token, next: next + 1, last };
        Outcome::Done
    }

    fn mark(&self, state: &mut State, host: usize) -> Outcome {
        let Relaying::Sending { token, next, last } = state.hosts[host].relay else {
            return Outcome::Nothing;
        };
        state.hosts[host].relay = Relaying::Idle;
        if state.outbox.is_none_or(|held| held.token != token) {
            return Outcome::LeaseLost;
        }
        state.outbox = None;
        let sent = if self.guards.mark { next - 1 } else { last };
        state.published = state.published.max(sent);
        Outcome::Done
    }
}

fn ask(state: &mut State, host: usize) -> Outcome {
    let Working::Loaded { token, seen } = state.hosts[host].work else { return Outcome::Nothing };
    state.messages.push(Message { token, job: seen / 2 });
    state.hosts[host].work = Working::Asked { token, seen };
    Outcome::Done
}

fn give_up(state: &mut State, host: usize) -> Outcome {
    let Working::Asked { token, seen } = state.hosts[host].work else { return Outcome::Nothing };
    state.hosts[host].work = Working::Loaded { token, seen };
    Outcome::Done
}

fn release(state: &mut State, host: usize) -> Outcome {
    let Working::Loaded { token, .. } = state.hosts[host].work else { return Outcome::Nothing };
    state.work = state.work.filter(|held| held.token != token);
    state.hosts[host].work = Working::Idle;
    Outcome::Done
}
