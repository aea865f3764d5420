//! Paths of the model on real stores, which must answer as the model does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factory_runtime_model::{Action, Outcome, Protocol, State};
use runtime_domain::id::AggregateKind;
use runtime_memory::MemoryStore;
use runtime_ports::store::{
    AggregateKey, CommitError, Lease, LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Store, TenantStore,
};
use runtime_sqlite::SqliteStore;
use runtime_testkit::sample::{self, Draft};
use stateright::{Checker as _, Model, Path};
use tokio::runtime::Runtime;

use crate::{relayed, work};

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
const TICK: u64 = 10;

/// What one host has in its memory.
#[derive(Default, Clone)]
struct Memory {
    work: Option<(Lease, Draft)>,
    outbox: Option<(Lease, Vec<u64>)>,
    sent: usize,
}

/// A store, and the hosts that the model moves.
struct Stage<'a> {
    protocol: &'a Protocol,
    tenant: Box<dyn TenantStore>,
    operator: Box<dyn OperatorStore>,
    key: AggregateKey,
    hosts: Vec<Memory>,
    passed: u64,
}

impl<'a> Stage<'a> {
    async fn new(protocol: &'a Protocol, store: &dyn Store) -> Self {
        let tenant = store.for_tenant(&sample::scope(1));
        let key = sample::key(KIND, 1);
        tenant.commit(created(key).commit()).await.unwrap();
        Self {
            protocol,
            tenant,
            operator: store.for_operator(&sample::operator()),
            key,
            hosts: vec![Memory::default(); protocol.clocks.len()],
            passed: 0,
        }
    }

    async fn take(&self, host: usize, topic: LeaseTopic) -> Option<Lease> {
        let now = (self.passed + u64::try_from(self.protocol.clocks[host]).unwrap()) * TICK;
        let lasts = u64::try_from(factory_runtime_model::LEASE).unwrap() * TICK;
        let request = LeaseRequest {
            topic,
            kinds: vec![KIND],
            host: sample::host(u64::try_from(host).unwrap()),
            now: sample::at(now),
            until: sample::at(now + lasts),
            limit: 1_000,
        };
        let leases = self.operator.take_leases(&request).await.unwrap();
        leases.into_iter().find(|lease| lease.key == self.key)
    }

    /// A commit of what follows the loaded state.
    async fn commit(&mut self, host: usize) -> Outcome {
        let (lease, draft) = self.hosts[host].work.take().unwrap();
        let mut next = draft.next().publishing();
        let revision = next.revision().0;
        if revision == u64::from(self.protocol.last_revision()) {
            next = next.sleeping();
        }
        let mut commit = next.commit();
        commit.lease = Some(lease.clone());
        match self.tenant.commit(commit).await {
            Ok(_) => {
                self.hosts[host].work = Some((lease, next));
                Outcome::Done
            }
            Err(CommitError::LeaseLost { .. }) => Outcome::LeaseLost,
            Err(CommitError::Conflict { .. }) => Outcome::Conflict,
            Err(other) => panic!("{other}"),
        }
    }

    /// Does to the store what the action is to it. What it is to the world alone, the model answers.
    async fn act(&mut self, action: Action) -> Option<Outcome> {
        Some(match action {
            Action::Take(host) => {
                let Some(lease) = self.take(host, LeaseTopic::Work).await else {
                    return Some(Outcome::Nothing);
                };
                let stored = self.tenant.load(&self.key).await.unwrap().unwrap();
                assert_eq!(lease.revision, Some(stored.revision), "the lease tells the revision");
                let mut draft = created(self.key);
                while draft.revision() < stored.revision {
                    draft = draft.next();
                }
                self.hosts[host].work = Some((lease, draft));
                Outcome::Done
            }
            Action::Intend(host) | Action::Finish(host) => self.commit(host).await,
            Action::Release(host) => {
                let (lease, _) = self.hosts[host].work.take().unwrap();
                self.operator.release_lease(&lease).await.unwrap();
                Outcome::Done
            }
            Action::TakeOutbox(host) => {
                let Some(lease) = self.take(host, LeaseTopic::Outbox).await else {
                    return Some(Outcome::Nothing);
                };
                let events = self.operator.outbox(&lease, 100).await.unwrap().events;
                let sequences = events.iter().map(|event| event.sequence).collect();
                self.hosts[host] =
                    Memory { outbox: Some((lease, sequences)), sent: 0, ..self.hosts[host].clone() };
                Outcome::Done
            }
            Action::Publish(host) => {
                self.hosts[host].sent += 1;
                Outcome::Done
            }
            Action::Mark(host) => {
                let (lease, sequences) = self.hosts[host].outbox.take().unwrap();
                let last = sequences[self.hosts[host].sent - 1];
                match self.operator.outbox_published(&lease, last, &BTreeSet::new()).await {
                    Ok(()) => {
                        self.operator.release_lease(&lease).await.unwrap();
                        Outcome::Done
                    }
                    Err(LeaseError::Lost { .. }) => Outcome::LeaseLost,
                    Err(other) => panic!("{other}"),
                }
            }
            Action::Die(host) => {
                self.hosts[host] = Memory::default();
                Outcome::Done
            }
            Action::Pass => {
                self.passed += 1;
                Outcome::Done
            }
            Action::Ask(_) | Action::GiveUp(_) | Action::Arrive(_) => return None,
        })
    }
}

/// The aggregate's first write; those that follow are its next ones.
fn created(key: AggregateKey) -> Draft {
    Draft::create(1, key).waking_at(0).publishing()
}

/// Plays the model's paths, each on a store of its own: every `nth`.
fn played(
    protocol: &Protocol,
    nth: usize,
    fresh: impl Fn() -> Box<dyn Store> + Send + Sync + 'static,
) -> usize {
    let (seen, played) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&played);
    let model = protocol.clone();
    let runtime = Runtime::new().unwrap();
    let visitor = move |path: Path<State, Action>| {
        if seen.fetch_add(1, Ordering::Relaxed) % nth == 0 {
            counted.fetch_add(1, Ordering::Relaxed);
            runtime.block_on(play(&model, &*fresh(), path));
        }
    };
    protocol.clone().checker().visitor(visitor).spawn_bfs().join();
    played.load(Ordering::Relaxed)
}

/// Plays one path, and at its end everything that the model says would come to nothing.
async fn play(protocol: &Protocol, store: &dyn Store, path: Path<State, Action>) {
    let told = format!("{path:?}");
    let mut stage = Stage::new(protocol, store).await;
    let mut state = protocol.init_states().remove(0);
    for action in path.into_actions() {
        let expected = protocol.step(&mut state, action);
        if let Some(seen) = stage.act(action).await {
            assert_eq!(seen, expected, "{action:?} after {state:?} of {told}");
        }
    }
    let stored = stage.tenant.load(&stage.key).await.unwrap().unwrap();
    assert_eq!(stored.revision.0, u64::from(state.revision), "{told}");
    let mut possible = Vec::new();
    protocol.actions(&state, &mut possible);
    for action in possible {
        if matches!(action, Action::Take(_) | Action::TakeOutbox(_))
            && protocol.step(&mut state.clone(), action) == Outcome::Nothing
        {
            assert_eq!(stage.act(action).await, Some(Outcome::Nothing), "{action:?} after {told}");
        }
    }
}

/// To every state by one path; `MODEL=whole` to every state, otherwise to every eleventh.
#[test]
fn the_memory_store_answers_as_the_model_does() {
    let nth = if crate::is_whole() { 1 } else { 11 };
    for (name, protocol) in [("work", work()), ("relayed", relayed())] {
        let count = played(&protocol, nth, || Box::new(MemoryStore::new()));
        println!("{name}: {count} paths");
        assert!(count > 1_000, "{count}");
    }
}

#[test]
fn sqlite_answers_as_the_model_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let number = AtomicUsize::new(0);
    let count = played(&relayed(), 1_009, move || {
        let file = path.join(format!("{}.db", number.fetch_add(1, Ordering::Relaxed)));
        Box::new(SqliteStore::open(file).unwrap())
    });
    println!("{count} paths");
    assert!(count > 10, "{count}");
}
