//! How long a round takes, and what came of it.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use uuid::Uuid;

/// Measures commands per second over a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) round: Duration,
}

impl Rate {
    pub(crate) fn goes_on(self, begun: Instant) -> bool {
        begun.elapsed() < self.round
    }

    pub(crate) fn per_second(self, count: u64, begun: Instant) -> f64 {
        count as f64 / begun.elapsed().as_secs_f64()
    }

    /// Of callers who each tell how many commands they had answered.
    pub(crate) async fn of(self, callers: Vec<JoinHandle<u64>>, begun: Instant) -> f64 {
        let mut count = 0;
        for caller in callers {
            count += caller.await.unwrap();
        }
        self.per_second(count, begun)
    }
}

/// Not a number where nothing was measured.
pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// About what a deployment's record is: 1.8 kB of JSON, half of it digests and identifiers.
pub(crate) fn record() -> String {
    let components = (0_u128..6).map(|number| {
        let digest = Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)).simple();
        format!(
            "{{\"component\":\"component-{number}\",\"image\":\"registry.example.com/shop/component-{number}@sha256:{digest}{digest}\",\
             \"configuration\":{number},\"replicas\":{number},\"stage\":{{\"weight\":10,\"since\":\"2026-11-21T10:24:31.00{number}919Z\",\
             \"checks\":[\"readiness\",\"probe/http\",\"metric/errors\"]}}}}"
        )
    });
    let components = components.collect::<Vec<_>>().join(",");
    format!("{{\"schema\":1,\"status\":\"Progressing\",\"components\":[{components}]}}")
}
