//! A world in memory, for hosts that are tested: surfaces, vaults, engines and the like, which keep the contracts of their ports and record
//! what was done to them.
//!
//! What hosts did twice is read from that record, and not from what they say: every effect is there, with its identifier, its fencing token
//! and whether it changed anything. Put [`Faults`](crate::faults::Faults) before it, and hosts may die at any call.
//!
//! | type | port |
//! |---|---|
//! | [`MemorySurface`] | `ComputeSurface`, `EndpointHandover`, `JobRunner` |
//! | [`MemoryVault`] | `SecretStore` |
//! | [`MemoryEngine`] | `InfrastructureEngine` |
//! | [`RecordingBus`] | `EventPublisher`, `Subscriber` |
//! | [`Said`] | `DesiredStateSource`, `ScalingSignals`, `MetricSource`, `HealthProber`, `ImageRegistry`: what it is told to say |
//! | [`TokioClock`], [`Counting`] | `Clock`, `IdGenerator` |
//!
//! Clones of each are the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use runtime_domain::surface::{EffectId, FencingToken};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::{PortError, PortErrorKind};
use uuid::Uuid;

mod bus;
mod engine;
mod said;
mod surface;
mod vault;

pub use bus::RecordingBus;
pub use engine::MemoryEngine;
pub use said::Said;
pub use surface::MemorySurface;
pub use vault::MemoryVault;

/// One effect, as the world met it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Met {
    /// Which, by its identifier; for a vault, by its rotation.
    pub effect: String,
    /// The token that it came with.
    pub fence: FencingToken,
    /// What was asked for.
    pub asked: String,
    /// What came of it.
    pub outcome: MetOutcome,
}

/// What came of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetOutcome {
    /// Something is otherwise than before.
    Changed,
    /// Everything was as it should be already, or the effect was known.
    Unchanged,
    /// A later token was seen before: nothing was changed.
    Fenced,
    /// It could not be.
    Refused,
}

/// What the world has met, in order.
#[derive(Debug, Clone, Default)]
struct Journal(Arc<Mutex<Vec<Met>>>);

impl Journal {
    fn note(&self, effect: impl ToString, fence: FencingToken, asked: String, outcome: MetOutcome) {
        lock(&self.0).push(Met { effect: effect.to_string(), fence, asked, outcome });
    }

    fn all(&self) -> Vec<Met> {
        self.after(0)
    }

    fn after(&self, known: usize) -> Vec<Met> {
        lock(&self.0).get(known..).map(<[Met]>::to_vec).unwrap_or_default()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fenced(operation: &'static str, seen: FencingToken, own: FencingToken) -> PortError {
    let message = format!("token {} was seen, and this is {}: let the newer host work", seen.0, own.0);
    PortError::new(PortErrorKind::Fenced, operation, message)
}

fn not_found(operation: &'static str, what: impl std::fmt::Display) -> PortError {
    PortError::new(PortErrorKind::NotFound, operation, format!("{what} does not exist: apply it first"))
}

fn of_effect(effect: EffectId, about: &impl std::fmt::Display) -> String {
    format!("{effect} on {about}")
}

/// Time as tokio has it, so that a test which pauses tokio's drives it: it then goes on at once where nothing else is to be done.
#[derive(Debug, Clone)]
pub struct TokioClock {
    began: tokio::time::Instant,
    at: Timestamp,
}

impl TokioClock {
    /// It is `at` now.
    pub fn at(at: Timestamp) -> Self {
        Self { began: tokio::time::Instant::now(), at }
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Span::from_millis(passed).after(self.at)
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let left = Span::between(self.now(), deadline).to_std();
        tokio::time::sleep_until(tokio::time::Instant::now() + left).await;
    }
}

/// Identifiers that count up, so that equal stories have equal ones.
#[derive(Debug, Clone, Default)]
pub struct Counting(Arc<AtomicU64>);

impl IdGenerator for Counting {
    fn next(&self) -> Uuid {
        // A version and variant that identifiers have, and a space of its own.
        Uuid::from_u128(
            (0xc0de << 96) | (7 << 76) | (2 << 62) | u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1),
        )
    }
}
