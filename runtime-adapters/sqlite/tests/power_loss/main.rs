//! What was acknowledged survives the loss of power, and what was not is wholly there or not.
//!
//! `kill -9` does not show that: the system keeps what was written. So a real store's every file operation is recorded, with the moments at which
//! it acknowledged a commit, and for many moments the images are built that a loss of power could leave; each is opened as a store.
//! `RUNTIME_POWER_LOSS_IMAGES` says how many.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod disk;
mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use disk::{Chance, Disk, Spares};
use journal::Operation;
use runtime_domain::id::AggregateKind;
use runtime_domain::value::Revision;
use runtime_ports::store::{LeaseRequest, LeaseTopic, Store};
use runtime_sqlite::{Durability, IntegrityDepth, SqliteOptions, SqliteStore};
use runtime_testkit::sample::{self, Draft, exclusive};

const KIND: AggregateKind = AggregateKind::RuntimeDeployment;
const STORE: &str = "store.sqlite";
const VARIABLE: &str = "RUNTIME_SQLITE_POWER_LOSS_TEST";

/// In place of an aggregate's number where it is told which token a lease has.
const TOKEN: u64 = u64::MAX;

/// Small, so that the log is written home again and again.
fn options(durability: Durability) -> SqliteOptions {
    SqliteOptions::default().durability(durability).largest_log(64 * 1_024)
}

/// Opens a store, commits, and closes it, three times over.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child process of the power-loss tests, which record it: alone it has nothing to do"]
async fn recorded_child() {
    let Ok(arguments) = std::env::var(VARIABLE) else { return };
    let (durability, folder) = arguments.split_once(' ').unwrap();
    let durability = if durability == "normal" { Durability::Normal } else { Durability::Full };
    let told = std::fs::File::create(Path::new(folder).join(journal::ACKNOWLEDGED)).unwrap();
    let told = std::sync::Arc::new(told);
    for session in 0..3 {
        let store = SqliteStore::open_with(Path::new(folder).join(STORE), options(durability)).unwrap();
        let lanes = (0..6).map(|lane| {
            let (store, told) = (store.clone(), std::sync::Arc::clone(&told));
            tokio::spawn(async move { work(&store, &told, session * 1_000 + lane * 100).await })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await.unwrap();
        }
        store.close().await;
    }
}

/// Commits to three aggregates and relays what they publish.
async fn work(store: &SqliteStore, told: &std::fs::File, first: u64) {
    let tenant = store.for_tenant(&sample::scope(1));
    let body = "x".repeat(700);
    for number in first..first + 3 {
        let key = sample::key(KIND, number);
        let mut draft =
            Draft::create(1, key).claiming([exclusive(&format!("{key}"))]).waking_at(1).publishing();
        for _ in 0..4 {
            tenant.commit(draft.commit()).await.unwrap();
            let acknowledged = [number.to_ne_bytes(), draft.revision().0.to_ne_bytes()].concat();
            told.write_at(&acknowledged, 0).unwrap();
            draft = draft.next().body(&body).waking_at(number).publishing();
        }
    }
    let operator = store.for_operator(&sample::operator());
    for lease in operator.take_leases(&request(LeaseTopic::Outbox, 10)).await.unwrap() {
        told.write_at(&[TOKEN.to_ne_bytes(), lease.token.0.to_ne_bytes()].concat(), 0).unwrap();
        operator.outbox_published(&lease, 2, &BTreeSet::new()).await.unwrap();
        operator.release_lease(&lease).await.unwrap();
    }
}

fn request(topic: LeaseTopic, now: u64) -> LeaseRequest {
    LeaseRequest {
        topic,
        kinds: vec![KIND],
        host: sample::host(1),
        now: sample::at(now),
        until: sample::at(now + 10),
        limit: 2,
    }
}

/// Builds the recorder and lets it record a child.
fn recorded(durability: &str) -> Vec<Operation> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let recorder = root.join("recorder.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/recorder.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-pthread", "-o"])
        .args([&recorder, &source])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed to build the recorder");
    let (watched, journal) = (root.join("watched"), root.join("journal"));
    std::fs::create_dir(&watched).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recorded_child", "--ignored", "--nocapture"])
        .env(VARIABLE, format!("{durability} {}", watched.display()))
        .env("RECORDER_FOLDER", &watched)
        .env("RECORDER_JOURNAL", &journal)
        .env("LD_PRELOAD", &recorder)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let operations = journal::read(&std::fs::read(journal).unwrap());
    let count =
        |wanted: fn(&Operation) -> bool| operations.iter().filter(|operation| wanted(operation)).count();
    assert!(count(|operation| matches!(operation, Operation::Acknowledged { .. })) > 3 * 6 * 3 * 4);
    assert!(count(|operation| matches!(operation, Operation::Removed { .. })) >= 3, "no log was removed");
    operations
}

/// What was found in the images.
#[derive(Debug, Default)]
struct Outcome {
    images: usize,
    /// Images in which something that was acknowledged is missing.
    lost: Vec<String>,
    /// Images that do not open, or in which something does not hold.
    broken: Vec<String>,
}

impl Outcome {
    fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.broken.is_empty()
    }
}

fn images(otherwise: usize) -> usize {
    std::env::var("RUNTIME_POWER_LOSS_IMAGES").map_or(otherwise, |text| text.parse().unwrap())
}

/// Lets the power fail at so many moments.
async fn power_fails(operations: &[Operation], images: usize) -> Outcome {
    let mut chance = Chance(7);
    let mut moments: Vec<usize> = (0..images).map(|_| chance.below(operations.len()) + 1).collect();
    moments.sort_unstable();
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, mut done, mut outcome) = (Disk::default(), 0, Outcome::default());
    let mut acknowledged = BTreeMap::new();
    for moment in moments {
        for operation in &operations[done..moment] {
            disk.perform(operation);
            if let Operation::Acknowledged { number, revision } = operation {
                let newest = acknowledged.entry(*number).or_insert(Revision(0));
                *newest = (*newest).max(Revision(*revision));
            }
        }
        done = moment;
        let spares = match chance.below(8) {
            0 => Spares::Nothing,
            1 => Spares::Everything,
            _ => Spares::Some(u8::try_from(chance.below(256)).unwrap()),
        };
        let image = folder.path().join(outcome.images.to_string());
        std::fs::create_dir(&image).unwrap();
        for (name, content) in disk.image(spares, &mut chance) {
            std::fs::write(image.join(name), content).unwrap();
        }
        let name = format!("image {}: after operation {moment}, sparing {spares:?}", outcome.images);
        match found(image.join(STORE), &acknowledged).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => outcome.lost.push(format!("{name}: {missing:?} missing")),
            Err(wrong) => outcome.broken.push(format!("{name}: {wrong}")),
        }
        outcome.images += 1;
        std::fs::remove_dir_all(&image).unwrap();
    }
    outcome
}

/// Opens the store as after a loss of power, and returns what was acknowledged and is missing.
async fn found(path: PathBuf, acknowledged: &BTreeMap<u64, Revision>) -> Result<Vec<u64>, String> {
    let store =
        SqliteStore::open_with(path, options(Durability::Normal)).map_err(|error| error.to_string())?;
    let report = store.check_integrity(IntegrityDepth::Full).await.map_err(|error| error.to_string())?;
    if !report.is_sound() {
        return Err(format!("{report:?}"));
    }
    let tenant = store.for_tenant(&sample::scope(1));
    let mut missing = Vec::new();
    let (tokens, aggregates): (Vec<_>, Vec<_>) =
        acknowledged.iter().partition(|(number, _)| **number == TOKEN);
    for (number, revision) in aggregates {
        let stored = tenant.load(&sample::key(KIND, *number)).await.map_err(|error| error.to_string())?;
        if stored.is_none_or(|stored| stored.revision < *revision) {
            missing.push(*number);
        }
    }
    // Whoever had a lease is older than whoever has the next, though the lease itself may be forgotten.
    let operator = store.for_operator(&sample::operator());
    let leases = operator
        .take_leases(&request(LeaseTopic::Work, 2_000_000))
        .await
        .map_err(|error| error.to_string())?;
    for (_, token) in tokens {
        if leases.iter().any(|lease| lease.token.0 <= token.0) {
            return Err(format!("the token {} is not beyond {}", leases[0].token.0, token.0));
        }
    }
    // It goes on as if nothing had been.
    let next = Draft::create(1, sample::key(KIND, 1_000_000)).publishing();
    tenant.commit(next.commit()).await.map_err(|error| error.to_string())?;
    drop((tenant, operator));
    store.close().await;
    Ok(missing)
}

/// Buried: NATS 2.12.1 (Jepsen). Theirs: acknowledged writes were lost, since they were flushed later. Ours: what was acknowledged is there after a
/// loss of power: whatever the disk had not synced is dropped and the store opened.
/// Shows X-4.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_commit_survives_the_loss_of_power() {
    let outcome = power_fails(&recorded("full"), images(160)).await;
    assert!(outcome.is_clean(), "{outcome:#?}");
    println!("{} images, all whole", outcome.images);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_normal_durability_the_newest_may_be_missing_and_the_older_ones_are_whole() {
    let outcome = power_fails(&recorded("normal"), images(80)).await;
    assert!(outcome.broken.is_empty(), "{outcome:#?}");
    assert!(
        !outcome.lost.is_empty(),
        "a commit that was not flushed survived every time: the images show nothing"
    );
    println!("{} images, {} of them without the newest", outcome.images, outcome.lost.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_syncs_is_caught() {
    let mut operations = recorded("full");
    // What SQLite does with `synchronous=OFF`.
    operations.retain(|operation| !matches!(operation, Operation::Synced { name } if name != "."));
    let outcome = power_fails(&operations, 40).await;
    assert!(!outcome.broken.is_empty() && !outcome.lost.is_empty(), "{outcome:#?}");
}
