//! The suite of the [store port](runtime_ports::store).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_domain::value::Name;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, Lease, LeaseRequest, LeaseTopic, OperatorStore, Store,
    StoredAggregate, TenantStore,
};
use runtime_ports::{PortErrorKind, PortResult};

use super::{Failure, Outcome, Report, Running, Trial, Verdict, chain, ensure, run, sentence};
use crate::sample;

mod atomicity;
mod cancellation;
mod claims;
mod clocks;
mod evidence;
mod fairness;
mod history;
mod hosts;
mod inbox;
mod leases;
mod limits;
mod lost;
mod order;
mod outbox;
mod paging;
mod persistence;
mod races;
mod tenancy;
mod text;
mod waking;
mod walk;

pub use fairness::fairness;
pub use walk::walks;

/// The destinations that events were not sent to, where they were sent to all.
static NOBODY: BTreeSet<Name> = BTreeSet::new();

/// What a store can beyond what every store must. The trials of what it cannot are skipped, and say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreCapabilities {
    /// It keeps everything when it is closed ([`StoreFactory::reopen`]).
    pub is_durable: bool,
    /// Several hosts, in processes of their own, may have it open at once ([`StoreFactory::beside`]). Races and clocks are then tried with
    /// two of them.
    pub serves_many_hosts: bool,
}

impl StoreCapabilities {
    /// Those of a store of one process that ends with it.
    pub const fn new() -> Self {
        Self { is_durable: false, serves_many_hosts: false }
    }

    /// It keeps everything when it is closed.
    #[must_use]
    pub const fn durable(self) -> Self {
        Self { is_durable: true, ..self }
    }

    /// Several hosts may have it open at once.
    #[must_use]
    pub const fn serving_many_hosts(self) -> Self {
        Self { serves_many_hosts: true, ..self }
    }
}

/// Makes the stores that are tried.
#[async_trait]
pub trait StoreFactory: Send + Sync + 'static {
    /// The adapter.
    type Store: Store;
    /// A store of its own that holds nothing. Called once for every trial.
    async fn fresh(&self) -> PortResult<Self::Store>;
    /// Closes a store and opens what it left. Called only where [`StoreCapabilities::is_durable`].
    async fn reopen(&self, store: Self::Store) -> PortResult<Self::Store>;
    /// Opens what `store` holds once more, as another host does. Called only where [`StoreCapabilities::serves_many_hosts`].
    async fn beside(&self, store: &Self::Store) -> PortResult<Self::Store>;
}

/// Tries every promise of the store port, each against a fresh store. It takes a few seconds, and needs a tokio runtime with time enabled;
/// races want one with several threads.
pub async fn store<F: StoreFactory>(factory: F, capabilities: StoreCapabilities) -> Report {
    let factory = Arc::new(factory);
    let mut trials = tried(&*factory, capabilities, all()).await;
    trials.push(Trial {
        name: sentence(&persistence::what_was_committed_survives_reopening::<F>),
        verdict: if capabilities.is_durable {
            run(Box::pin(persistence::what_was_committed_survives_reopening(Arc::clone(&factory)))).await
        } else {
            Verdict::Skipped("the store keeps nothing when it is closed")
        },
    });
    trials.push(Trial {
        name: sentence(&hosts::what_one_host_commits_another_sees),
        verdict: if capabilities.serves_many_hosts {
            match world(&*factory, capabilities, Hosts::Two).await {
                Ok(world) => run(Box::pin(hosts::what_one_host_commits_another_sees(world))).await,
                Err(error) => Verdict::Failed(format!("no second host: {}", chain(&error))),
            }
        } else {
            Verdict::Skipped("one process owns the store")
        },
    });
    Report { suite: "store", trials }
}

/// Each with a fresh store.
async fn tried<F: StoreFactory>(
    factory: &F,
    capabilities: StoreCapabilities,
    prepared: Vec<Prepared>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for Prepared { name, hosts, begin } in prepared {
        let verdict = match world(factory, capabilities, hosts).await {
            Ok(world) => run(begin(world)).await,
            Err(error) => Verdict::Failed(format!("no fresh store: {}", chain(&error))),
        };
        trials.push(Trial { name, verdict });
    }
    trials
}

async fn world<F: StoreFactory>(
    factory: &F,
    capabilities: StoreCapabilities,
    hosts: Hosts,
) -> PortResult<World> {
    let store = factory.fresh().await?;
    if hosts == Hosts::Two && capabilities.serves_many_hosts {
        let beside: Arc<dyn Store> = Arc::new(factory.beside(&store).await?);
        return Ok(World { store: Arc::new(store), beside });
    }
    let store: Arc<dyn Store> = Arc::new(store);
    Ok(World { beside: Arc::clone(&store), store })
}

/// How many hosts take part in a trial, where the store serves as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosts {
    One,
    Two,
}

struct Prepared {
    name: String,
    hosts: Hosts,
    begin: Box<dyn Fn(World) -> Running + Send>,
}

fn trial<F, R>(function: F) -> Prepared
where
    F: Fn(World) -> R + Send + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let name = sentence(&function);
    Prepared { name, hosts: Hosts::One, begin: Box::new(move |world| Box::pin(function(world))) }
}

/// A trial in which hosts meet.
fn contest<F, R>(function: F) -> Prepared
where
    F: Fn(World) -> R + Send + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    Prepared { hosts: Hosts::Two, ..trial(function) }
}

fn all() -> Vec<Prepared> {
    vec![
        trial(atomicity::a_commit_is_there_as_it_was_written),
        trial(atomicity::a_refused_commit_leaves_nothing_behind),
        trial(atomicity::an_empty_commit_does_nothing),
        trial(atomicity::a_malformed_commit_is_invalid),
        trial(atomicity::the_checks_come_in_the_documented_order),
        trial(atomicity::a_write_that_expects_another_revision_is_refused),
        trial(atomicity::a_write_upon_another_writers_revision_is_refused),
        trial(history::a_history_continues_without_gaps),
        trial(history::a_history_is_read_in_order_and_in_parts),
        trial(claims::an_exclusive_claim_has_one_holder),
        trial(claims::a_shared_claim_has_many_holders),
        trial(claims::a_claim_that_is_given_up_is_free),
        trial(claims::a_claim_that_is_repeated_is_kept),
        trial(claims::a_claim_passes_between_two_writes_of_one_commit),
        trial(claims::two_aggregates_swap_their_claims_in_one_commit),
        trial(claims::two_writes_of_one_commit_cannot_claim_the_same),
        trial(claims::a_shared_claim_becomes_exclusive_only_without_others),
        trial(claims::two_tenants_may_hold_one_key_of_the_tenant_space),
        trial(claims::a_global_claim_has_one_holder_among_all_tenants),
        trial(evidence::exact_evidence_ends_with_the_revision),
        trial(evidence::lasting_evidence_outlives_the_revision),
        trial(evidence::evidence_of_what_does_not_exist_is_stale),
        trial(evidence::evidence_is_judged_before_the_commit_itself),
        contest(evidence::one_of_two_that_rest_on_each_other_happens),
        trial(inbox::an_event_is_handled_once_by_each_consumer),
        trial(outbox::events_are_relayed_in_order_until_they_are_published),
        trial(outbox::publishing_again_changes_nothing),
        trial(outbox::a_parked_destination_waits_and_the_others_go_on),
        trial(outbox::a_hold_ends_only_when_its_destination_has_caught_up),
        trial(outbox::nothing_is_marked_that_was_not_sent_to_who_is_not_held),
        trial(outbox::destinations_are_held_apart),
        trial(outbox::parked_streams_are_listed_page_by_page),
        trial(outbox::only_the_present_relay_marks_and_parks),
        trial(outbox::a_consumer_learns_whether_an_event_was_handled),
        trial(tenancy::another_tenants_things_are_not_there),
        trial(tenancy::two_tenants_may_use_one_identifier),
        trial(tenancy::another_tenants_facts_and_leases_are_worth_nothing),
        trial(tenancy::a_tenant_sees_the_same_with_and_without_others),
        trial(tenancy::no_refusal_names_another_tenant),
        trial(paging::every_aggregate_is_listed_once_in_the_order_of_creation),
        trial(paging::every_filter_that_is_set_holds),
        trial(paging::what_is_due_first_is_listed_first),
        trial(paging::a_listing_is_exact_while_others_write),
        trial(paging::a_cursor_of_another_query_is_invalid),
        trial(leases::only_what_is_due_is_leased),
        trial(leases::an_unexpired_lease_is_not_taken_and_an_expired_one_is),
        trial(leases::a_released_lease_can_be_taken_at_once),
        trial(leases::a_renewed_lease_lasts_longer),
        trial(leases::a_lost_lease_is_not_renewed),
        trial(leases::a_commit_under_a_lost_lease_is_refused),
        trial(leases::a_commit_under_a_lease_leaves_it_in_force),
        trial(leases::leases_of_two_topics_are_independent),
        trial(leases::next_due_tells_the_earliest_leased_or_not),
        trial(leases::tokens_grow_over_all_aggregates),
        trial(leases::a_lease_tells_which_one_was_before_it),
        trial(leases::a_lease_tells_the_revision_of_what_it_is_on),
        trial(leases::a_deferred_aggregate_is_due_when_its_holder_said),
        trial(leases::deferring_does_not_hide_what_changed_meanwhile),
        trial(leases::a_lost_lease_defers_nothing),
        trial(fairness::every_tenant_gets_its_share_of_work),
        trial(fairness::every_tenant_gets_its_share_of_relaying),
        trial(fairness::every_tenant_has_its_turn_at_work),
        trial(fairness::every_tenant_has_its_turn_at_relaying),
        trial(fairness::a_quiet_tenants_work_is_taken_at_the_next_call),
        trial(fairness::a_quiet_tenants_events_are_relayed_at_the_next_call),
        contest(clocks::hosts_whose_clocks_differ_never_both_hold_a_lease),
        trial(waking::a_commit_wakes_every_waiting_worker),
        trial(waking::a_commit_before_the_wait_is_not_missed),
        trial(waking::a_wake_up_for_one_kind_takes_none_from_another),
        trial(waking::a_store_that_works_says_so),
        trial(cancellation::a_dropped_commit_is_whole_or_absent),
        trial(cancellation::every_call_can_be_dropped_at_every_poll),
        trial(lost::a_commit_whose_answer_was_lost_is_found_by_its_event),
        trial(order::a_history_is_in_the_order_of_commits),
        trial(order::who_follows_a_history_misses_nothing),
        contest(order::who_relays_while_others_commit_misses_nothing),
        trial(text::a_hostile_text_is_kept_exactly_or_refused),
        trial(limits::the_least_and_the_greatest_are_taken_at_their_word),
        trial(limits::a_big_commit_is_whole),
        contest(races::one_of_many_contenders_wins_a_claim),
        contest(races::one_of_many_tenants_wins_a_global_claim),
        contest(races::a_contested_key_is_held_alone_or_shared),
        contest(races::one_of_many_contenders_is_handed_a_claim),
        contest(races::one_of_many_contenders_wins_a_revision),
        contest(races::one_of_many_contenders_handles_an_event),
        contest(races::one_of_many_hosts_takes_a_lease_over),
        contest(races::many_hosts_share_the_leases_without_overlap),
        contest(walk::whatever_is_called_a_plain_model_answers_alike),
    ]
}

/// The kind that trials use where it does not matter.
const KIND: AggregateKind = AggregateKind::RuntimeDeployment;

/// One trial's store.
#[derive(Clone)]
struct World {
    store: Arc<dyn Store>,
    /// The same as another host has it open; where one process owns it, the same once more.
    beside: Arc<dyn Store>,
}

impl World {
    /// The handle of the tenant with this number.
    fn tenant(&self, number: u64) -> Box<dyn TenantStore> {
        self.store.for_tenant(&sample::scope(number))
    }

    fn operator(&self) -> Box<dyn OperatorStore> {
        self.store.for_operator(&sample::operator())
    }

    /// The store as the host with this number has it: those with even numbers are beside the others.
    fn host(&self, number: u64) -> &dyn Store {
        if number.is_multiple_of(2) { &*self.beside } else { &*self.store }
    }
}

/// Which aggregate of [`KIND`].
fn key(number: u64) -> AggregateKey {
    sample::key(KIND, number)
}

/// Asks for up to 100 leases on [`KIND`], for the host with this number, lasting 10 seconds.
fn request(topic: LeaseTopic, host: u64, now: u64) -> LeaseRequest {
    LeaseRequest {
        topic,
        kinds: vec![KIND],
        host: sample::host(host),
        now: sample::at(now),
        until: sample::at(now + 10),
        limit: 100,
    }
}

/// The only lease that there is to take.
async fn take_one(
    operator: &dyn OperatorStore,
    topic: LeaseTopic,
    host: u64,
    now: u64,
) -> Result<Lease, Failure> {
    let mut leases = operator.take_leases(&request(topic, host, now)).await?;
    match (leases.pop(), leases.len()) {
        (Some(lease), 0) => Ok(lease),
        (lease, rest) => Err(Failure::new(format!(
            "one {topic:?} lease was due, saw {}",
            rest + usize::from(lease.is_some())
        ))),
    }
}

/// What is in the store, where it must be.
async fn loaded(tenant: &dyn TenantStore, key: AggregateKey) -> Result<StoredAggregate, Failure> {
    tenant.load(&key).await?.ok_or_else(|| Failure::new(format!("{key} was committed, but is not there")))
}

async fn is_absent(tenant: &dyn TenantStore, key: AggregateKey) -> Outcome {
    ensure(tenant.load(&key).await?.is_none(), format!("{key} was never committed, but is there"))?;
    let history = tenant.history(&key, 0, 10).await?;
    ensure(history.is_empty(), format!("{key} was never committed, but has a history"))
}

/// A refusal that must come.
async fn refusal(tenant: &dyn TenantStore, commit: Commit, why: &str) -> Result<CommitError, Failure> {
    match tenant.commit(commit).await {
        Ok(CommitReceipt { .. }) => Err(Failure::new(format!("a commit was accepted although {why}"))),
        Err(error) => Ok(error),
    }
}

/// A refusal that must come, and be the one that `expected` recognises.
async fn refused(
    tenant: &dyn TenantStore,
    commit: Commit,
    why: &str,
    expected: impl Fn(&CommitError) -> bool + Send,
) -> Outcome {
    let error = refusal(tenant, commit, why).await?;
    ensure(expected(&error), format!("although {why}, the refusal was: {error} ({error:?})"))
}

fn is_invalid(error: &CommitError) -> bool {
    matches!(error, CommitError::Port(error) if error.kind() == PortErrorKind::Invalid)
}

fn is_conflict(error: &CommitError) -> bool {
    matches!(error, CommitError::Conflict { .. })
}

fn is_claim_held(error: &CommitError) -> bool {
    matches!(error, CommitError::ClaimHeld { .. })
}

fn is_stale(error: &CommitError) -> bool {
    matches!(error, CommitError::EvidenceStale { .. })
}

fn is_lease_lost(error: &CommitError) -> bool {
    matches!(error, CommitError::LeaseLost { .. })
}

/// How long a store may take to do what it must do at once.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Lets others go on, and fails where it was asked to more often than anything should need: time alone would not tell, where it stands still.
struct Patience(u32);

impl Patience {
    fn new() -> Self {
        Self(20_000)
    }

    /// Something has come: the next is waited for anew.
    fn restore(&mut self) {
        *self = Self::new();
    }

    async fn wait(&mut self, what: &str) -> Outcome {
        self.0 = self.0.saturating_sub(1);
        ensure(self.0 > 0, format!("{what} does not come"))?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(AT_ONCE, future)
        .await
        .map_err(|_elapsed| Failure::new(format!("{what} did not come within {AT_ONCE:?}")))
}
