//! Steady requests to an endpoint, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failure;

/// Sends requests until it is stopped.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    rate: Arc<AtomicU64>,
    stop: CancellationToken,
    requests: TaskTracker,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
}

/// How many requests were answered, and how many of them not with 200.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    pub sent: u64,
    pub failed: u64,
}

impl Counted {
    pub fn since(self, before: Self) -> Self {
        Self { sent: self.sent - before.sent, failed: self.failed - before.failed }
    }

    pub fn and(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, failed: self.failed + other.failed }
    }
}

impl Load {
    /// Begins to send so many requests per second.
    pub fn begin(endpoint: &str, rate: u64) -> Self {
        let load = Self {
            counts: Arc::default(),
            rate: Arc::new(AtomicU64::new(rate)),
            stop: CancellationToken::new(),
            requests: TaskTracker::new(),
        };
        let (counts, stop, requests) = (load.counts.clone(), load.stop.clone(), load.requests.clone());
        let rate = Arc::clone(&load.rate);
        let uri: Option<hyper::Uri> = endpoint.parse().ok();
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        load.requests.spawn(async move {
            let mut next = Instant::now();
            while let Some(uri) = uri.clone() {
                next += Duration::from_micros(1_000_000 / rate.load(Ordering::Relaxed).max(1));
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = stop.cancelled() => return,
                }
                let (client, counts) = (client.clone(), counts.clone());
                requests.spawn(async move {
                    let answered = tokio::time::timeout(Duration::from_secs(10), async {
                        let response = client.get(uri).await.ok()?;
                        let status = response.status();
                        response.into_body().collect().await.ok()?;
                        Some(status == hyper::StatusCode::OK)
                    });
                    let good = matches!(answered.await, Ok(Some(true)));
                    counts.sent.fetch_add(1, Ordering::Relaxed);
                    counts.failed.fetch_add(u64::from(!good), Ordering::Relaxed);
                });
            }
        });
        load
    }

    /// Sends so many per second from now on.
    pub fn change_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn counted(&self) -> Counted {
        Counted {
            sent: self.counts.sent.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
        }
    }

    /// Sends nothing more, waits for the answers that are due, and counts them all.
    pub async fn end(self) -> Counted {
        self.stop.cancel();
        self.requests.close();
        self.requests.wait().await;
        self.counted()
    }
}

/// The body that is answered to one request.
pub async fn get(url: &str) -> Result<String, Failure> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let body = client.get(url.parse()?).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
