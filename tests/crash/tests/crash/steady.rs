//! Steady requests to an endpoint whose proxy dies with every host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// About a hundred requests a second, one after the other.
const BETWEEN: Duration = Duration::from_millis(8);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests until they are ended.
pub(crate) struct Requests {
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
    sender: tokio::task::JoinHandle<()>,
}

impl Requests {
    /// Begins to send.
    pub(crate) fn begin(endpoint: &str) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let sender = tokio::spawn({
            let (stop, answered, endpoint) = (stop.clone(), answered.clone(), endpoint.to_owned());
            async move {
                while !stop.is_cancelled() {
                    if get(&endpoint).await.is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
            }
        });
        Self { stop, answered, sender }
    }

    /// Ends, and tells how many were answered with whatever status.
    pub(crate) async fn end(self) -> u64 {
        self.stop.cancel();
        self.sender.await.expect("the requests end");
        self.answered.load(Ordering::Relaxed)
    }
}

/// The body of an answer; `None` where there was none.
pub(crate) async fn get(endpoint: &str) -> Option<String> {
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let exchange = async move {
        let mut stream = TcpStream::connect(&address).await.ok()?;
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok().flatten()
}
