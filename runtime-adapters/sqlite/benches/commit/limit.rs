//! The hand-written program.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use runtime_ports::store::{Commit, Expected};
use rusqlite::{CachedStatement, Connection};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::{Scene, following, new_file};

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE states (tenant BLOB, kind TEXT, id BLOB, revision INTEGER, status TEXT, body TEXT, PRIMARY KEY (tenant, kind, id)) STRICT;
    CREATE TABLE events (tenant BLOB, kind TEXT, id BLOB, sequence INTEGER, event_id BLOB, event TEXT, body TEXT, at TEXT, actor TEXT,
        correlation BLOB, causation BLOB, explanation TEXT, PRIMARY KEY (tenant, kind, id, sequence)) STRICT;
    CREATE TABLE waiting (position INTEGER PRIMARY KEY, tenant BLOB, kind TEXT, id BLOB, sequence INTEGER, event_id BLOB, event_type TEXT,
        envelope TEXT) STRICT;";

/// Commands per second.
pub fn commits(runtime: &Runtime, folder: &Path, scene: Scene) -> f64 {
    let connection = Connection::open(new_file(folder, scene)).unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    if scene.callers == 1 { alone(&connection, scene) } else { runtime.block_on(together(connection, scene)) }
}

fn alone(connection: &Connection, scene: Scene) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    let mut draft = scene.draft(0);
    while begun.elapsed() < scene.lasts {
        transaction(connection, &[draft.commit()]);
        draft = following(&draft);
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

type Command = (Commit, oneshot::Sender<()>);

async fn together(connection: Connection, scene: Scene) -> f64 {
    let (sender, mut commands) = mpsc::channel::<Command>(1_024);
    let writer = std::thread::spawn(move || {
        while let Some(first) = commands.blocking_recv() {
            let (mut group, mut callers) = (vec![first.0], vec![first.1]);
            while let Ok((commit, caller)) = commands.try_recv() {
                group.push(commit);
                callers.push(caller);
            }
            transaction(&connection, &group);
            callers.into_iter().for_each(|caller| caller.send(()).unwrap());
        }
    });
    let begun = Instant::now();
    let shared = std::sync::Arc::new(Mutex::new(scene.draft(0)));
    let callers = (0..scene.callers).map(|caller| {
        let (sender, shared) = (sender.clone(), std::sync::Arc::clone(&shared));
        tokio::spawn(async move {
            let (mut count, mut draft) = (0_u32, scene.draft(caller));
            while begun.elapsed() < scene.lasts {
                let (reply, answer) = oneshot::channel();
                if scene.on_one {
                    let mut draft = shared.lock().unwrap();
                    sender.try_send((draft.commit(), reply)).map_err(drop).unwrap();
                    *draft = following(&draft);
                } else {
                    sender.send((draft.commit(), reply)).await.map_err(drop).unwrap();
                    draft = following(&draft);
                }
                answer.await.unwrap();
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for caller in callers.collect::<Vec<_>>() {
        count += caller.await.unwrap();
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    drop(sender);
    writer.join().unwrap();
    rate
}

fn transaction(connection: &Connection, commits: &[Commit]) {
    let prepare = |sql: &str| connection.prepare_cached(sql).unwrap();
    prepare("BEGIN IMMEDIATE").execute(()).unwrap();
    let mut create = prepare("INSERT INTO states VALUES (?1, ?2, ?3, 1, ?4, ?5)");
    let mut update = prepare(
        "UPDATE states SET revision = revision + 1, status = ?4, body = ?5 WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND revision = ?6",
    );
    let mut event = prepare("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    let mut waiting = prepare(
        "INSERT INTO waiting (tenant, kind, id, sequence, event_id, event_type, envelope) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    );
    for commit in commits {
        perform(commit, &mut create, &mut update, &mut event, &mut waiting);
    }
    prepare("COMMIT").execute(()).unwrap();
}

fn perform(
    commit: &Commit,
    create: &mut CachedStatement<'_>,
    update: &mut CachedStatement<'_>,
    event: &mut CachedStatement<'_>,
    waiting: &mut CachedStatement<'_>,
) {
    for write in &commit.writes {
        let tenant = write.outbox[0].tenant.uuid();
        let (tenant, kind, id) = (tenant.as_bytes(), write.key.kind.name(), write.key.id.as_bytes());
        let (status, body) = (&write.facets.status, &write.record.body);
        let changed = match write.expected {
            Expected::Absent => create.execute((tenant, kind, id, status, body)),
            Expected::At { revision, .. } => {
                update.execute((tenant, kind, id, status, body, revision.0.cast_signed()))
            }
        };
        assert_eq!(changed, Ok(1));
        for entry in &write.history {
            let (event_id, correlation) = (entry.id.uuid(), entry.correlation.uuid());
            let causation = entry.causation.map(|event| *event.uuid().as_bytes());
            let (actor, at) = (entry.actor.as_str(), entry.at.to_rfc3339());
            event
                .execute((
                    tenant,
                    kind,
                    id,
                    entry.sequence.cast_signed(),
                    event_id.as_bytes(),
                    &entry.event,
                    &entry.body,
                    at,
                    actor,
                    correlation.as_bytes(),
                    causation,
                    &entry.explanation,
                ))
                .unwrap();
        }
        for event in &write.outbox {
            let event_id = event.id.uuid();
            waiting
                .execute((
                    tenant,
                    kind,
                    id,
                    event.sequence.cast_signed(),
                    event_id.as_bytes(),
                    &event.event_type,
                    &event.envelope,
                ))
                .unwrap();
        }
    }
}
