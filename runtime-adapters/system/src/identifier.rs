//! Identifiers.

use runtime_ports::clock::IdGenerator;
use uuid::Uuid;

/// Makes UUIDs of version 7: a millisecond timestamp, a counter, and random bits.
///
/// Guarantees: those of one process sort in the order they were made, also within a millisecond and where the clock is set
/// back; they are unique across hosts by their random bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UuidV7Generator;

impl UuidV7Generator {
    /// A generator. All of a process share one counter, so it does not matter how many there are.
    pub const fn new() -> Self {
        Self
    }
}

impl IdGenerator for UuidV7Generator {
    #[expect(clippy::disallowed_methods, reason = "this is the one adapter that makes identifiers")]
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_of_one_thread_rise() {
        let generator = UuidV7Generator::new();
        let made: Vec<_> = (0..10_000).map(|_| generator.next()).collect();
        assert!(made.is_sorted_by(|one, other| one < other));
        assert!(made.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn identifiers_of_many_threads_are_all_different() {
        let made: BTreeSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| (0..5_000).map(|_| UuidV7Generator::new().next()).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.len(), 40_000);
    }
}
