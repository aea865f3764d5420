//! Calls of every sort in any order, beside a plain [model](model::Model) of what the port's docs say.
//!
//! The other trials each try one promise by itself; what only goes wrong where several meet, nobody thought of. A walk makes calls that follow
//! from a seed, on few aggregates of few tenants, so that they meet often, one after another but through two hosts where the store serves as
//! many; and compares every answer. Where the docs leave the answer open, whatever they allow is right.

use std::collections::BTreeSet;

use runtime_domain::time::Timestamp;
use runtime_ports::store::{
    AggregateKey, Cursor, Held, Lease, LeaseError, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery,
    Query, StoredAggregate, TenantStore,
};

use self::call::Call;
use self::model::Model;
use super::{
    Hosts, Outcome, Patience, Prepared, Report, StoreCapabilities, StoreFactory, World, ensure, tried,
};
use crate::conformance::{Failure, chain, equal, sentence};
use crate::dice::Dice;
use crate::sample;

mod call;
mod model;

/// How many calls a walk is long.
const STEPS: usize = 400;

/// How many of the last calls a failure tells.
const TOLD: usize = 12;

/// Makes `count` walks, each of 400 calls on a fresh store: by the seed `first`, by the next one, and so on. The store's suite makes one of them.
///
/// A failure tells the seed of its walk, and the calls that came last: with that seed as `first` and a `count` of 1 it comes again.
pub async fn walks<F: StoreFactory>(
    factory: F,
    capabilities: StoreCapabilities,
    first: u64,
    count: u64,
) -> Report {
    let walk = |seed| Prepared {
        name: format!("{}, seed {seed}", sentence(&whatever_is_called_a_plain_model_answers_alike)),
        hosts: Hosts::Two,
        begin: Box::new(move |world| Box::pin(walked(world, seed))),
    };
    let trials = (first..first.saturating_add(count)).map(walk).collect();
    Report { suite: "walks", trials: tried(&factory, capabilities, trials).await }
}

pub(super) async fn whatever_is_called_a_plain_model_answers_alike(world: World) -> Outcome {
    walked(world, 1).await
}

async fn walked(world: World, seed: u64) -> Outcome {
    let mut walk = Walk {
        dice: Dice::seeded(seed),
        model: Model::default(),
        world,
        leases: Vec::new(),
        stored: Vec::new(),
        now: 0,
        step: 0,
    };
    let mut calls: Vec<String> = Vec::new();
    for step in 1..=STEPS {
        let call = walk.next_call()?;
        calls.push(format!("{call:?}"));
        if let Err(Failure(how)) = walk.make(call).await {
            let told = calls.iter().skip(calls.len().saturating_sub(TOLD)).cloned().collect::<Vec<_>>();
            let told = told.join("\n           ");
            return Err(Failure::new(format!("call {step} of seed {seed}: {how}\n           {told}")));
        }
    }
    Ok(())
}

struct Walk {
    dice: Dice,
    model: Model,
    world: World,
    /// Every lease that was ever given.
    leases: Vec<Lease>,
    /// Every state that an aggregate was ever in, with its tenant's number.
    stored: Vec<(u64, StoredAggregate)>,
    /// Seconds since the beginning.
    now: u64,
    /// How many calls there were: writers are numbered by it.
    step: u64,
}

impl Walk {
    /// Whose handle a call goes through.
    fn tenant(&mut self, number: u64) -> Box<dyn TenantStore> {
        self.world.host(self.dice.below(2)).for_tenant(&sample::scope(number))
    }

    fn operator(&mut self) -> Box<dyn OperatorStore> {
        self.world.host(self.dice.below(2)).for_operator(&sample::operator())
    }

    fn at(&self, seconds: u64) -> Timestamp {
        sample::at(self.now + seconds)
    }

    /// Makes a call, and compares.
    async fn make(&mut self, call: Call) -> Outcome {
        match call {
            Call::Commit { tenant, commit } => {
                let handle = self.tenant(tenant);
                let answer = handle.commit(commit.clone()).await;
                match (answer, self.model.commit(sample::tenant(tenant), &commit)) {
                    (Ok(receipt), Ok(revisions)) => equal("the new revisions", receipt.revisions, revisions)?,
                    (Err(error), Err(refusal)) if refusal.is(&error) => {}
                    (answer, wanted) => {
                        return Err(Failure::new(format!("a commit: saw {answer:?}, wanted {wanted:?}")));
                    }
                }
                for write in commit.writes {
                    self.look(tenant, write.key).await?;
                }
                Ok(())
            }
            Call::Load { tenant, key } => self.look(tenant, key).await,
            Call::List { tenant, query } => self.list(tenant, query).await,
            Call::IsHandled { tenant, entry } => {
                let seen = self.tenant(tenant).is_handled(&entry).await?;
                equal("whether it was handled", seen, self.model.is_handled(sample::tenant(tenant), &entry))
            }
            Call::History { tenant, key, after, limit } => {
                let seen = self.tenant(tenant).history(&key, after, limit).await?;
                let wanted = self.model.history(&(sample::tenant(tenant), key), after, limit);
                equal("the history", seen, wanted)
            }
            Call::Take(request) => {
                let mut patience = Patience::new();
                loop {
                    let given = self.operator().take_leases(&request).await?;
                    self.leases.extend(given.iter().cloned());
                    let left = self.model.take(&request, &given)?;
                    if left.is_empty() {
                        return Ok(());
                    }
                    patience
                        .wait(&format!("a lease on {left:?}, of which fewer were given than asked for,"))
                        .await?;
                }
            }
            Call::Renew { lease, until } => {
                let renewed = self.operator().renew_lease(&lease, until).await;
                if self.model.renew(&lease, until) {
                    equal("the renewed lease", renewed?, Lease { until, ..lease })
                } else {
                    lost(renewed, &lease)
                }
            }
            Call::Release(lease) => {
                self.operator().release_lease(&lease).await?;
                self.model.release(&lease);
                Ok(())
            }
            Call::Defer { lease, seen, wake_at } => {
                self.operator().defer_lease(&lease, seen, wake_at).await?;
                self.model.defer(&lease, seen, wake_at);
                Ok(())
            }
            Call::NextDue(kinds) => {
                let seen = self.operator().next_due(&kinds).await?;
                equal("when the earliest is due", seen, self.model.next_due(&kinds))
            }
            Call::Outbox { lease, limit } => {
                let Outbox { events, mut held } = self.operator().outbox(&lease, limit).await?;
                held.sort_by(|one, other| one.destination.cmp(&other.destination));
                let wanted: (Vec<_>, Vec<Held>) =
                    self.model.stream(&lease).map(|stream| stream.outbox(limit)).unwrap_or_default();
                equal("what is to be relayed, and who is held", (events, held), wanted)
            }
            Call::Mark { lease, sequence, without } => {
                let marked = self.operator().outbox_published(&lease, sequence, &without).await;
                if !self.model.holds(&lease) {
                    return lost(marked, &lease);
                }
                match self.model.stream(&lease).and_then(|stream| stream.mark(sequence, &without)) {
                    None => Ok(marked?),
                    Some(_) => {
                        let names = |error: &LeaseError| matches!(error, LeaseError::NotHeld { destination } if without.contains(destination));
                        let is_refused = marked.as_ref().is_err_and(names);
                        ensure(
                            is_refused,
                            format!("not all of {without:?} are held, and it was marked: {marked:?}"),
                        )
                    }
                }
            }
            Call::Park { lease, parking } => {
                let parked = self.operator().outbox_park(&lease, &parking).await;
                if !self.model.holds(&lease) {
                    return lost(parked, &lease);
                }
                if let Some(stream) = self.model.stream(&lease) {
                    stream.park(&parking);
                }
                Ok(parked?)
            }
            Call::Missed { lease, destination, limit } => {
                let seen = self.operator().outbox_missed(&lease, &destination, limit).await?;
                let wanted = self.model.stream(&lease).map(|stream| stream.missed(&destination, limit));
                equal("what it has missed", seen, wanted.unwrap_or_default())
            }
            Call::CaughtUp { lease, destination, sequence } => {
                let done = self.operator().outbox_caught_up(&lease, &destination, sequence).await;
                if !self.model.holds(&lease) {
                    return lost(done, &lease);
                }
                if let Some(stream) = self.model.stream(&lease) {
                    stream.caught_up(&destination, sequence);
                }
                Ok(done?)
            }
            Call::Parked(query) => self.list_parked(query).await,
            Call::Unpark(which) => {
                let seen = self.operator().outbox_unpark(&which).await?;
                equal("how many were unparked", seen, self.model.unpark(&which))
            }
        }
    }

    /// Loads one, and remembers its state.
    async fn look(&mut self, tenant: u64, key: AggregateKey) -> Outcome {
        let seen = self.tenant(tenant).load(&key).await?;
        let wanted = self.model.aggregates.get(&(sample::tenant(tenant), key));
        equal("what is stored", seen.as_ref(), wanted.map(|aggregate| &aggregate.stored))?;
        self.stored.extend(seen.map(|seen| (tenant, seen)));
        Ok(())
    }

    async fn list(&mut self, tenant: u64, mut query: Query) -> Outcome {
        let wanted = self.model.listing(sample::tenant(tenant), &query);
        let (handle, mut pages) = (self.tenant(tenant), Pages::of(query.limit, wanted.len()));
        loop {
            query.after = pages.turn(handle.query(&query).await?)?;
            if query.after.is_none() {
                break;
            }
        }
        let listed = pages.listed;
        for stored in &listed {
            let known = self.model.aggregates.get(&(sample::tenant(tenant), stored.key));
            equal("what is listed", Some(stored), known.map(|aggregate| &aggregate.stored))?;
        }
        let place =
            |key: AggregateKey| wanted.iter().find(|(_, known)| *known == key).map(|(place, _)| *place);
        let places: Vec<_> = listed.iter().map(|stored| place(stored.key)).collect();
        ensure(places.is_sorted(), format!("listed in this order: {listed:?}, wanted {wanted:?}"))?;
        let keys: BTreeSet<_> = listed.iter().map(|stored| stored.key).collect();
        equal("what is listed", keys, wanted.iter().map(|(_, key)| *key).collect())?;
        equal("how many are listed", listed.len(), wanted.len())
    }

    async fn list_parked(&mut self, mut query: ParkedQuery) -> Outcome {
        let wanted = self.model.parked(&query);
        let (operator, mut pages) = (self.operator(), Pages::of(query.limit, wanted.len()));
        loop {
            query.after = pages.turn(operator.outbox_parked(&query).await?)?;
            if query.after.is_none() {
                break;
            }
        }
        pages.listed.sort_by(|one, other| one.stream.cmp(&other.stream));
        equal("the parked streams", pages.listed, wanted.into_values().collect())
    }
}

/// The pages of a list of so many.
struct Pages<T> {
    limit: u32,
    wanted: usize,
    listed: Vec<T>,
}

impl<T> Pages<T> {
    const fn of(limit: u32, wanted: usize) -> Self {
        Self { limit, wanted, listed: Vec::new() }
    }

    /// Turns one; tells where it goes on.
    fn turn(&mut self, page: Page<T>) -> Result<Option<Cursor>, Failure> {
        let is_short = u32::try_from(page.items.len()).is_ok_and(|length| length <= self.limit);
        ensure(is_short, "a page is longer than asked for")?;
        self.listed.extend(page.items);
        let (listed, wanted) = (self.listed.len(), self.wanted);
        ensure(listed <= wanted, format!("{listed} and more are listed, wanted {wanted}"))?;
        Ok(page.next)
    }
}

/// A refusal that must come, since the lease is not held.
fn lost<T: std::fmt::Debug>(answer: Result<T, LeaseError>, lease: &Lease) -> Outcome {
    match answer {
        Err(LeaseError::Lost { key }) if key == lease.key => Ok(()),
        Err(error) => Err(Failure::new(format!("a lost lease was refused otherwise: {}", chain(&error)))),
        Ok(answer) => Err(Failure::new(format!("what was done under a lost lease was accepted: {answer:?}"))),
    }
}

/// Leases of a topic, the newest last.
fn of_topic(leases: &[Lease], topic: LeaseTopic) -> Vec<Lease> {
    leases.iter().filter(|lease| lease.topic == topic).cloned().collect()
}
