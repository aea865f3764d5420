//! The suite of the [store port](runtime_ports::store).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::id::AggregateKind;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, CommitReceipt, Lease, LeaseRequest, LeaseTopic, OperatorStore, Store,
    StoredAggregate, TenantStore,
};
use runtime_ports::{PortErrorKind, PortResult};

use super::{Failure, Outcome, Report, Running, Trial, Verdict, ensure, run, sentence};
use crate::sample;

mod atomicity;
mod cancellation;
mod claims;
mod evidence;
mod history;
mod inbox;
mod leases;
mod outbox;
mod paging;
mod persistence;
mod races;
mod tenancy;
mod waking;

/// What a store keeps when it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: the trials of reopening are skipped.
    Volatile,
    /// Everything.
    Durable,
}

/// Makes the stores that are tried.
#[async_trait]
pub trait StoreFactory: Send + Sync + 'static {
    /// The adapter.
    type Store: Store;
    /// What it keeps when it is closed.
    fn persistence(&self) -> Persistence;
    /// A store of its own that holds nothing. Called once for every trial.
    async fn fresh(&self) -> PortResult<Self::Store>;
    /// Closes a store and opens what it left. Called only where [`StoreFactory::persistence`] is [`Persistence::Durable`].
    async fn reopen(&self, store: Self::Store) -> PortResult<Self::Store>;
}

/// Tries every promise of the store port, each against a fresh store. It takes a few seconds, and needs a tokio runtime with time enabled;
/// races want one with several threads.
pub async fn store<F: StoreFactory>(factory: F) -> Report {
    let factory = Arc::new(factory);
    let mut trials = Vec::new();
    for (name, begin) in all() {
        let verdict = match factory.fresh().await {
            Ok(store) => run(begin(World { store: Arc::new(store) })).await,
            Err(error) => Verdict::Failed(format!("no fresh store: {error}")),
        };
        trials.push(Trial { name, verdict });
    }
    let name = sentence(&persistence::what_was_committed_survives_reopening::<F>);
    let verdict = match factory.persistence() {
        Persistence::Durable => {
            run(Box::pin(persistence::what_was_committed_survives_reopening(factory))).await
        }
        Persistence::Volatile => Verdict::Skipped("the store keeps nothing when it is closed"),
    };
    trials.push(Trial { name, verdict });
    Report { suite: "store", trials }
}

type Begin = Box<dyn Fn(World) -> Running + Send>;

fn trial<F, R>(function: F) -> (String, Begin)
where
    F: Fn(World) -> R + Send + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    (sentence(&function), Box::new(move |world| Box::pin(function(world))))
}

fn all() -> Vec<(String, Begin)> {
    vec![
        trial(atomicity::a_commit_is_there_as_it_was_written),
        trial(atomicity::a_refused_commit_leaves_nothing_behind),
        trial(atomicity::an_empty_commit_does_nothing),
        trial(atomicity::a_malformed_commit_is_invalid),
        trial(atomicity::the_checks_come_in_the_documented_order),
        trial(atomicity::a_write_that_expects_another_revision_is_refused),
        trial(history::a_history_continues_without_gaps),
        trial(history::a_history_is_read_in_order_and_in_parts),
        trial(claims::an_exclusive_claim_has_one_holder),
        trial(claims::a_shared_claim_has_many_holders),
        trial(claims::a_claim_that_is_given_up_is_free),
        trial(claims::a_claim_that_is_repeated_is_kept),
        trial(claims::a_claim_passes_between_two_writes_of_one_commit),
        trial(claims::two_writes_of_one_commit_cannot_claim_the_same),
        trial(claims::a_shared_claim_becomes_exclusive_only_without_others),
        trial(claims::two_tenants_may_hold_one_key_of_the_tenant_space),
        trial(claims::a_global_claim_has_one_holder_among_all_tenants),
        trial(evidence::exact_evidence_ends_with_the_revision),
        trial(evidence::lasting_evidence_outlives_the_revision),
        trial(evidence::evidence_of_what_does_not_exist_is_stale),
        trial(evidence::evidence_is_judged_before_the_commit_itself),
        trial(inbox::an_event_is_handled_once_by_each_consumer),
        trial(outbox::events_are_relayed_in_order_until_they_are_published),
        trial(outbox::publishing_again_changes_nothing),
        trial(outbox::a_parked_stream_waits_and_the_others_go_on),
        trial(outbox::only_the_present_relay_marks_and_parks),
        trial(tenancy::another_tenants_things_are_not_there),
        trial(tenancy::two_tenants_may_use_one_identifier),
        trial(tenancy::another_tenants_facts_and_leases_are_worth_nothing),
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
        trial(leases::a_deferred_aggregate_is_due_when_its_holder_said),
        trial(leases::deferring_does_not_hide_what_changed_meanwhile),
        trial(leases::a_lost_lease_defers_nothing),
        trial(leases::every_tenant_gets_its_share_of_work),
        trial(leases::every_tenant_gets_its_share_of_relaying),
        trial(waking::a_commit_wakes_every_waiting_worker),
        trial(waking::a_commit_before_the_wait_is_not_missed),
        trial(waking::a_store_that_works_says_so),
        trial(cancellation::a_dropped_commit_is_whole_or_absent),
        trial(races::one_of_many_contenders_wins_a_claim),
        trial(races::one_of_many_contenders_wins_a_revision),
        trial(races::one_of_many_contenders_handles_an_event),
        trial(races::many_hosts_share_the_leases_without_overlap),
    ]
}

/// The kind that trials use where it does not matter.
const KIND: AggregateKind = AggregateKind::RuntimeDeployment;

/// One trial's store.
#[derive(Clone)]
struct World {
    store: Arc<dyn Store>,
}

impl World {
    /// The handle of the tenant with this number.
    fn tenant(&self, number: u64) -> Box<dyn TenantStore> {
        self.store.for_tenant(&sample::scope(number))
    }

    fn operator(&self) -> Box<dyn OperatorStore> {
        self.store.for_operator(&sample::operator())
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

async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(AT_ONCE, future)
        .await
        .map_err(|_elapsed| Failure::new(format!("{what} did not come within {AT_ONCE:?}")))
}
