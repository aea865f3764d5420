//! Several hosts on one database.

use std::collections::BTreeSet;
use std::time::Duration;

use runtime_domain::id::AggregateKind;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{CommitError, LeaseRequest, LeaseTopic, Store};
use runtime_testkit::sample::{self, Draft, exclusive, global, shared};
use tokio::task::JoinSet;

use crate::{Site, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_one_host_wakes_the_workers_of_another() {
    let site = Site::shared().await;
    let database = site.database();
    let (here, there) = (site.open(&database).await.unwrap(), site.open(&database).await.unwrap());
    let worker = there.for_operator(&sample::operator());
    // The listener's own beginning counts as an arrival.
    worker.work_arrived(LeaseTopic::Work, &AggregateKind::ALL).await;
    let tenant = here.for_tenant(&sample::scope(1));
    tenant.commit(Draft::create(1, key(1)).waking_at(1).commit()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), worker.work_arrived(LeaseTopic::Work, &AggregateKind::ALL))
        .await
        .expect("the other host hears of it");
}

/// Buried: graphile/worker#541. Theirs: a LISTEN whose connection had failed was never begun again. Ours: it listens again, and what it may have
/// missed counts as arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_connection_was_ended_listens_again() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let worker = store.for_operator(&sample::operator());
    worker.work_arrived(LeaseTopic::Work, &AggregateKind::ALL).await;
    let listening = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
    );
    assert_eq!(site.server.sql("postgres", &listening).trim(), "1");
    // What may have been missed meanwhile counts as arrived.
    tokio::time::timeout(Duration::from_secs(20), worker.work_arrived(LeaseTopic::Work, &AggregateKind::ALL))
        .await
        .expect("it listens again");
    let listeners = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
    );
    // It may be woken for nothing before it listens.
    let listens = async {
        while site.server.sql("postgres", &listeners).trim() != "1" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listens).await.expect("one connection listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_many_tenants_that_wait_together_are_each_their_own_tenants() {
    let site = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let mut commits = JoinSet::new();
    for tenant in 1..=80 {
        for number in 1..=5 {
            let handle = store.for_tenant(&sample::scope(tenant));
            commits.spawn(async move {
                handle.commit(Draft::create(tenant, key(number)).publishing().commit()).await
            });
        }
    }
    // One that is refused, among them: it has no first revision to replace.
    let stray = store.for_tenant(&sample::scope(7));
    let refused = stray.commit(Draft::create(7, key(99)).next().commit()).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })), "{refused:?}");
    while let Some(committed) = commits.join_next().await {
        committed.unwrap().unwrap();
    }
    for tenant in 1..=80 {
        let handle = store.for_tenant(&sample::scope(tenant));
        for number in 1..=5 {
            assert!(handle.load(&key(number)).await.unwrap().is_some());
            assert_eq!(handle.history(&key(number), 0, 10).await.unwrap().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_contested_claim_has_one_winner_among_the_hosts() {
    let site = Site::shared().await;
    let database = site.database();
    let hosts = [site.open(&database).await.unwrap(), site.open(&database).await.unwrap()];
    let mut contenders = JoinSet::new();
    for number in 0..64_u64 {
        let store = hosts[usize::try_from(number % 2).unwrap()].clone();
        contenders.spawn(async move {
            let tenant = store.for_tenant(&sample::scope(number + 1));
            // Every other contender would share it.
            let claim = if number % 4 < 2 { global(exclusive("prize")) } else { global(shared("prize")) };
            let is_shared = number % 4 >= 2;
            (
                is_shared,
                tenant.commit(Draft::create(number + 1, key(number)).claiming([claim]).commit()).await,
            )
        });
    }
    let (mut exclusive, mut sharing) = (0, 0);
    while let Some(ended) = contenders.join_next().await {
        match ended.unwrap() {
            (true, Ok(_)) => sharing += 1,
            (false, Ok(_)) => exclusive += 1,
            (_, Err(CommitError::ClaimHeld { claim })) => assert_eq!(claim.key, "prize"),
            (_, Err(other)) => panic!("refused otherwise: {other:?}"),
        }
    }
    assert!(
        (exclusive == 1 && sharing == 0) || (exclusive == 0 && sharing == 32),
        "{exclusive} hold it alone and {sharing} share it"
    );
}

/// A commit sets when an aggregate is due while leases on it come and go: what it says must never be lost.
#[tokio::test(flavor = "multi_thread")]
async fn when_an_aggregate_is_due_is_not_lost_among_leases_that_come_and_go() {
    let site = Site::shared().await;
    let database = site.database();
    let (here, there) = (site.open(&database).await.unwrap(), site.open(&database).await.unwrap());
    let mut draft = Draft::create(1, key(1)).waking_at(1);
    here.for_tenant(&sample::scope(1)).commit(draft.commit()).await.unwrap();
    let leasing = tokio::spawn(async move {
        let operator = there.for_operator(&sample::operator());
        loop {
            let request = LeaseRequest {
                topic: LeaseTopic::Work,
                kinds: vec![key(1).kind],
                host: sample::host(2),
                now: sample::at(1_000_000),
                until: sample::at(1_000_010),
                limit: 1,
            };
            for lease in operator.take_leases(&request).await.unwrap() {
                operator.release_lease(&lease).await.unwrap();
            }
        }
    });
    let tenant = here.for_tenant(&sample::scope(1));
    for second in 2..300 {
        draft = draft.next().waking_at(second);
        tenant.commit(draft.commit()).await.unwrap();
        let stored = tenant.load(&key(1)).await.unwrap().unwrap();
        assert_eq!(stored.wake_at, Some(sample::at(second)));
    }
    leasing.abort();
}

/// Shows X-7.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_host_left_behind_is_taken_before_a_backlog_and_does_not_take_all_places() {
    let site = Site::shared().await;
    let store = site.open(&site.database()).await.unwrap();
    let operator = store.for_operator(&sample::operator());
    let request = |host: u64, now: u64, limit: u32| LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![key(1).kind],
        host: sample::host(host),
        now: sample::at(now),
        until: sample::at(now + 10),
        limit,
    };
    let due = async |tenant: u64, number: u64, at: u64| {
        let draft = Draft::create(tenant, key(number)).waking_at(at);
        store.for_tenant(&sample::scope(tenant)).commit(draft.commit()).await.unwrap();
    };
    for (tenant, number) in [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 6)] {
        due(tenant, number, 100).await;
    }
    let left_behind = operator.take_leases(&request(1, 100, 10)).await.unwrap();
    assert_eq!(left_behind.len(), 6);
    // All of it became due earlier.
    for number in 100..200 {
        due(1 + number % 3, number, 50).await;
    }
    let held: Vec<_> = left_behind.iter().map(|lease| (lease.tenant, lease.key)).collect();
    let was_left = async |now: u64| {
        let taken = operator.take_leases(&request(2, now, 8)).await.unwrap();
        assert_eq!(taken.len(), 8);
        taken
            .into_iter()
            .map(|lease| (lease.tenant, lease.key))
            .filter(|it| held.contains(it))
            .collect::<Vec<_>>()
    };
    assert_eq!(was_left(105).await, [], "it may be alive");
    let first = was_left(110).await;
    assert_eq!(first.len(), 4, "half of the places");
    assert!(
        first.iter().any(|(tenant, _)| *tenant == sample::tenant(2)),
        "each tenant's before a second one"
    );
    assert_eq!(was_left(111).await.len(), 2, "and then the rest");
    assert_eq!(was_left(112).await, []);
}

/// Neither the walk from tenant to tenant reaches it, nor is it among what became due last.
///
/// Shows X-9.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_amid_a_backlog_and_many_whose_work_is_for_later_has_its_turn_within_half_a_second() {
    const QUIET: u64 = 900;
    let site = Site::shared().await;
    let store = site.open(&site.database()).await.unwrap();
    let operator = store.for_operator(&sample::operator());
    let take = async |now: Timestamp| {
        let request = LeaseRequest {
            topic: LeaseTopic::Work,
            kinds: vec![key(1).kind],
            host: sample::host(1),
            now,
            until: sample::at(100_000),
            limit: 2,
        };
        let leases = operator.take_leases(&request).await.unwrap();
        leases.iter().map(|lease| lease.tenant).collect::<BTreeSet<_>>()
    };
    for tenant in 2..=1_800 {
        let later = Draft::create(tenant, key(tenant)).waking_at(50_000);
        store.for_tenant(&sample::scope(tenant)).commit(later.commit()).await.unwrap();
    }
    let backlog = (10_000..11_000).map(|number| Draft::create(1, key(number)).waking_at(number - 9_000));
    store.for_tenant(&sample::scope(1)).commit(sample::commit(backlog)).await.unwrap();
    let (begun, soon) = (sample::at(2_000), Duration::from_millis(499));
    assert_eq!(take(begun).await, [sample::tenant(1)].into(), "all that is due is looked through");
    let due = Draft::create(QUIET, key(20_000)).waking_at(1_500);
    store.for_tenant(&sample::scope(QUIET)).commit(due.commit()).await.unwrap();
    assert_eq!(take(begun + soon).await, [sample::tenant(1)].into(), "that is done twice a second");
    let wanted = [sample::tenant(1), sample::tenant(QUIET)].into();
    assert_eq!(take(begun + soon + Duration::from_millis(1)).await, wanted);
}
