//! Hears what other hosts commit, and tells them what this one does.

use std::sync::Arc;
use std::time::Duration;

use runtime_ports::store::{Arrivals, Due};

use crate::connection::Dialler;
use crate::link::Link;
use crate::writer::Elsewhere;

const OPERATION: &str = "store.work_arrived";
const CHANNEL: &str = "factory_runtime_work";
/// How often others are told at most: telling takes a lock that all of a server's databases share.
const PAUSE: Duration = Duration::from_millis(20);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Announces arrivals that other hosts tell of, for as long as it is polled. A connection that is lost is made anew; since something may
/// have been missed meanwhile, that counts as an arrival.
pub(crate) async fn listen(dialler: Dialler, arrivals: Arc<Arrivals>) {
    let mut wait = SHORTEST_WAIT;
    loop {
        let notified = {
            let arrivals = Arc::clone(&arrivals);
            move |told: &str| arrivals.announce(due(told))
        };
        match dialler.dial_listening(OPERATION, notified).await {
            Ok((client, mut driving)) => {
                // Dropped together with this future: neither outlives the store.
                let _abort = AbortWhenDropped(driving.abort_handle());
                match client.batch_execute(&format!("LISTEN {CHANNEL}")).await {
                    Ok(()) => {
                        wait = SHORTEST_WAIT;
                        arrivals.announce(Due::ANYTHING);
                        let _ = (&mut driving).await;
                        tracing::debug!("the listening connection ended: it is made anew");
                    }
                    Err(error) => tracing::debug!(%error, "listening was refused"),
                }
            }
            Err(error) => tracing::debug!(%error, "no connection to listen on"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// What is told: how many kinds this host knows, and what of them is due.
fn told(due: Due) -> String {
    format!("{}.{}", Due::KINDS, due.to_bits())
}

/// What was told; anything, where that is not understood.
fn due(told: &str) -> Due {
    let parts =
        told.split_once('.').and_then(|(kinds, bits)| Some((kinds.parse().ok()?, bits.parse().ok()?)));
    parts.map_or(Due::ANYTHING, |(kinds, bits)| Due::from_bits(kinds, bits))
}

/// Tells other hosts whenever `elsewhere` is notified, for as long as it is polled.
pub(crate) async fn tell(link: Arc<Link>, elsewhere: Arc<Elsewhere>) {
    const SQL: &str = "SELECT pg_notify('factory_runtime_work', $1)";
    loop {
        let due = elsewhere.due().await;
        // What is not told is found by those who poll.
        if let Err(error) = link.read(OPERATION, SQL, &[&told(due)]).await {
            tracing::debug!(%error, "other hosts were not told of new work");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct AbortWhenDropped(tokio::task::AbortHandle);

impl Drop for AbortWhenDropped {
    fn drop(&mut self) {
        self.0.abort();
    }
}
