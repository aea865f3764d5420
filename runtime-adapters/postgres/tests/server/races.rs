//! Hosts in processes of their own race for everything that only one can have.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use runtime_domain::claim::{Claim, ClaimMode, ClaimSpace};
use runtime_domain::component::ImageDigest;
use runtime_domain::id::{AggregateKind, ProjectId, ServiceId};
use runtime_domain::value::{ModuleId, Name};
use runtime_ports::store::{Commit, CommitError, InboxEntry, LeaseRequest, LeaseTopic, Store};
use runtime_postgres::{PostgresOptions, PostgresStore};
use runtime_testkit::sample::{self, Draft};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Site, key, rounds};

const CONTENDERS: u64 = 64;
const VARIABLE: &str = "RUNTIME_POSTGRES_CONTENDER";

/// What is raced for.
#[derive(Clone, Copy)]
enum Prize {
    Claim(fn(u64) -> Claim),
    Creation,
    Revision,
    Event,
    Lease,
}

fn module() -> ModuleId {
    ModuleId::new("cart").unwrap()
}

fn name() -> Name {
    Name::new("shop").unwrap()
}

const PRIZES: [(&str, Prize); 14] = [
    ("in flight", Prize::Claim(|round| Claim::in_flight(sample::environment(round), &module()))),
    (
        "a deployment's number",
        Prize::Claim(|round| Claim::deployment_number(sample::environment(round), &module(), 7)),
    ),
    (
        "a quarantine",
        Prize::Claim(|round| {
            let digest = ImageDigest::new(&format!("sha256:{}", "a".repeat(64))).unwrap();
            Claim::quarantine(sample::environment(round), &module(), &digest)
        }),
    ),
    (
        "an environment's name",
        Prize::Claim(|round| {
            Claim::environment_name(ProjectId::from_uuid(Uuid::from_u128(round.into())), &name())
        }),
    ),
    (
        "a tenant's binding",
        Prize::Claim(|round| Claim::tenant_binding(sample::tenant(1), sample::environment(round))),
    ),
    (
        "an environment for itself",
        Prize::Claim(|round| Claim::occupancy(sample::environment(round), ClaimMode::Exclusive)),
    ),
    ("a partition", Prize::Claim(|round| Claim::partition(sample::environment(round), "data/acme"))),
    ("a service", Prize::Claim(|round| Claim::service(sample::environment(round), &module()))),
    (
        "a window of health",
        Prize::Claim(|round| {
            Claim::health_window(ServiceId::from_uuid(Uuid::from_u128(round.into())), sample::at(1))
        }),
    ),
    ("a scaling policy", Prize::Claim(|round| Claim::scaling_policy(sample::environment(round), &module()))),
    ("a creation", Prize::Creation),
    ("a revision", Prize::Revision),
    ("an event", Prize::Event),
    ("a lease", Prize::Lease),
];

/// What is leased is of a kind of its own: a call takes all that is due.
const LEASED: AggregateKind = AggregateKind::ScalingPolicy;

fn first_of(round: u64, place: usize) -> u64 {
    (round * 100 + u64::try_from(place).unwrap()) * 1_000
}

/// What must be there before the race.
async fn prepare(store: &PostgresStore, round: u64, place: usize) {
    let number = first_of(round, place);
    let tenant = store.for_tenant(&sample::scope(1));
    match PRIZES[place].1 {
        Prize::Revision => tenant.commit(Draft::create(1, key(number)).commit()).await.map(drop).unwrap(),
        Prize::Lease => {
            let due = Draft::create(1, sample::key(LEASED, number)).waking_at(0);
            tenant.commit(due.commit()).await.unwrap();
        }
        _ => {}
    }
}

async fn clear(store: &PostgresStore, round: u64, place: usize) {
    if let Prize::Lease = PRIZES[place].1 {
        let due = Draft::create(1, sample::key(LEASED, first_of(round, place)));
        store.for_tenant(&sample::scope(1)).commit(due.next().sleeping().commit()).await.unwrap();
    }
}

/// One contender's try: whether it has won, or that it was refused otherwise than it should be.
async fn contend(store: PostgresStore, round: u64, place: usize, contender: u64) -> Result<bool, String> {
    let number = first_of(round, place);
    let own = key(number + contender);
    let (tenant, commit, prize) = match PRIZES[place].1 {
        Prize::Claim(claim) => {
            let claim = claim(round);
            let tenant = if claim.space == ClaimSpace::Global { contender } else { 1 };
            (tenant, Draft::create(tenant, own).claiming([claim.clone()]).commit(), Some(claim))
        }
        Prize::Creation => (1, Draft::create(1, key(number)).by(contender).commit(), None),
        Prize::Revision => (1, Draft::create(1, key(number)).next().by(contender).commit(), None),
        Prize::Event => {
            let inbox = InboxEntry { consumer: name(), event: sample::event(number) };
            (1, Commit { inbox: Some(inbox), ..Draft::create(1, own).commit() }, None)
        }
        Prize::Lease => return lease(&store, contender).await,
    };
    let answer = store.for_tenant(&sample::scope(tenant)).commit(commit).await;
    let refused = match (&answer, PRIZES[place].1) {
        (Ok(_), _) => return Ok(true),
        (Err(CommitError::ClaimHeld { claim }), Prize::Claim(_)) => prize.as_ref() == Some(claim),
        (Err(CommitError::Conflict { key: at }), Prize::Creation | Prize::Revision) => *at == key(number),
        (Err(CommitError::AlreadyHandled), Prize::Event) => true,
        _ => false,
    };
    let told = format!("{answer:?}");
    let others = (1..=CONTENDERS).filter(|other| *other != tenant).map(sample::tenant);
    let mut named =
        others.filter(|other| told.contains(&other.to_string()) || told.contains(&other.uuid().to_string()));
    // What the contender has asked for itself it may be told.
    let asked = prize.is_some_and(|claim| claim.key.contains(&sample::tenant(1).to_string()));
    if refused && (named.next().is_none() || asked) { Ok(false) } else { Err(told) }
}

async fn lease(store: &PostgresStore, host: u64) -> Result<bool, String> {
    let request = LeaseRequest {
        topic: LeaseTopic::Work,
        kinds: vec![LEASED],
        host: sample::host(host),
        now: sample::at(1),
        until: sample::at(100),
        limit: 10,
    };
    let leases = store.for_operator(&sample::operator()).take_leases(&request).await;
    leases.map(|leases| !leases.is_empty()).map_err(|error| format!("{error:?}"))
}

/// One process's half of the contenders, all at once; how many won.
async fn half(store: &PostgresStore, round: u64, place: usize, rest: u64) -> Result<usize, String> {
    let mut contenders = JoinSet::new();
    for contender in (1..=CONTENDERS).filter(|contender| contender % 2 == rest) {
        contenders.spawn(contend(store.clone(), round, place, contender));
    }
    let answers: Result<Vec<bool>, String> = contenders.join_all().await.into_iter().collect();
    Ok(answers?.into_iter().filter(|won| *won).count())
}

/// The other process: races when it is told to, and prints how many of its contenders have won.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of the races: alone it has nobody to race with"]
async fn contending_child() {
    let Ok(address) = std::env::var(VARIABLE) else { return };
    let store = PostgresStore::open(PostgresOptions::new(&address).unwrap()).await.unwrap();
    println!("\nready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (round, place) = line.split_once(' ').unwrap();
        match half(&store, round.parse().unwrap(), place.parse().unwrap(), 1).await {
            Ok(won) => println!("won {won}"),
            Err(otherwise) => println!("otherwise {otherwise}"),
        }
    }
}

struct Other {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "races::contending_child", "--ignored", "--nocapture"])
            .env(VARIABLE, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut other = Self { child, input, output };
        while other.line() != "ready" {}
        other
    }

    fn line(&mut self) -> String {
        self.output.next().unwrap_or_else(|| panic!("the other process ended")).unwrap()
    }

    fn begin(&mut self, round: u64, place: usize) {
        writeln!(self.input, "{round} {place}").unwrap();
        self.input.flush().unwrap();
    }

    fn won(&mut self) -> usize {
        loop {
            // What runs the child's test has a line of its own now and then.
            let line = self.line();
            assert!(!line.starts_with("otherwise "), "refused {line}");
            if let Some(won) = line.strip_prefix("won ") {
                return won.parse().unwrap();
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each claim, a creation, a revision, an inbound event and a lease, with 64 contenders in two processes; so often as `RUNTIME_POSTGRES_RACES`
/// says.
///
/// Shows DEP-3, TEN-1, TEN-3, X-1, X-2, X-3.
#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_four_contenders_in_two_processes_one_wins() {
    let site: Arc<Site> = Site::shared().await;
    let database = site.database();
    let store = site.open(&database).await.unwrap();
    let mut other = Other::start(&site.server.address("host", &database));
    let mut won_here = 0;
    let rounds = rounds("RUNTIME_POSTGRES_RACES", 2);
    for round in 1..=rounds {
        for (place, (prize, _)) in PRIZES.iter().enumerate() {
            prepare(&store, round, place).await;
            other.begin(round, place);
            let here = half(&store, round, place, 0).await;
            let there = other.won();
            let here = here.unwrap_or_else(|otherwise| panic!("{prize}: refused otherwise: {otherwise}"));
            assert_eq!(here + there, 1, "{prize}, round {round}: {here} won here and {there} there");
            won_here += here;
            clear(&store, round, place).await;
        }
    }
    println!(
        "{won_here} of {} prizes were won by the process that asks first",
        rounds as usize * PRIZES.len()
    );
}
