//! Finds out what became of a commit whose answer was lost with the connection.
//!
//! The session that it was sent to is ended, and waited for until it is gone: from then on the commit is there or will never be. Then its
//! events are looked for. Only where the server stays out of reach is the outcome unknown to the caller.

use std::time::Duration;

use runtime_ports::store::Commit;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use uuid::Uuid;

use super::desk::Asked;
use crate::connection::{Role, Session};
use crate::error::During;
use crate::link::{Link, column};
use crate::row::number;

const OPERATION: &str = "store.commit";
/// How long a server that is out of reach is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Performed,
    /// Nothing of it was done, and nothing ever will be.
    Absent,
    Unknown,
}

/// What became of commits that were sent together on a connection of `link`, the last that it has given up.
pub(crate) async fn outcomes(link: &Link, group: &[&Asked]) -> Vec<Outcome> {
    let Some(session) = link.discarded().await else { return vec![Outcome::Unknown; group.len()] };
    let found = tokio::time::timeout(PATIENCE, async {
        until_done(|| end(link, session)).await;
        let mut found = Vec::with_capacity(group.len());
        for asked in group {
            found.push(until_done(|| look(link, asked)).await);
        }
        found
    });
    found.await.unwrap_or_else(|_elapsed| vec![Outcome::Unknown; group.len()])
}

/// Tries again for as long as it is polled.
async fn until_done<T, F: Future<Output = PortResult<T>>>(mut attempt: impl FnMut() -> F) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::debug!(%error, "what became of a commit is not known yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends a session, if it is not gone; an error where it is not gone yet.
async fn end(link: &Link, session: Session) -> PortResult<()> {
    const SQL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2";
    // As the login itself: whose sessions they are, may end them.
    let client = link.dialler().dial(OPERATION, Role::Login).await?;
    let left = client.query_one(SQL, &[&session.process, &session.begun]).await.during(OPERATION)?;
    match column::<i64>(OPERATION, &left, 0)? {
        0 => Ok(()),
        _ => Err(PortError::new(PortErrorKind::Unavailable, OPERATION, "the session is not gone yet")),
    }
}

/// Whether the first event of a commit is in the history.
async fn look(link: &Link, asked: &Asked) -> PortResult<Outcome> {
    const SQL: &str = "SELECT event_id FROM read_history($1, $2, $3, $4, $5)";
    let Commit { writes, .. } = &asked.commit;
    let Some((write, first)) = writes.first().and_then(|write| Some((write, write.history.first()?))) else {
        return Ok(Outcome::Unknown);
    };
    let (kind, after, one) = (write.key.kind.name(), number(first.sequence.saturating_sub(1)), 1_i64);
    let tenant = asked.tenant.uuid();
    let rows = link.read(OPERATION, SQL, &[&tenant, &kind, &write.key.id, &after, &one]).await?;
    let is_own = match rows.first() {
        Some(row) => column::<Uuid>(OPERATION, row, 0)? == first.id.uuid(),
        None => false,
    };
    Ok(if is_own { Outcome::Performed } else { Outcome::Absent })
}
