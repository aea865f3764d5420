//! So many callers, for so long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cqrs_es::{AggregateError, CqrsFramework, EventStore};

use crate::aggregate::{Deployment, Step};

#[derive(Debug, Clone, Copy)]
pub struct Scene {
    callers: u64,
    on_one: bool,
    lasts: Duration,
}

/// What came of a scene.
#[derive(Debug)]
pub struct Done {
    scene: Scene,
    elapsed: Duration,
    committed: u64,
    conflicts: u64,
    failures: u64,
    /// What the last failure said.
    last: Option<String>,
}

impl Scene {
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let [callers, aggregates, milliseconds] = arguments else {
            return Err("say: <callers> <distinct|one> <milliseconds>".to_owned());
        };
        let number = |text: &String| text.parse().map_err(|_| format!("`{text}` is no number"));
        let on_one = match aggregates.as_str() {
            "one" => true,
            "distinct" => false,
            other => return Err(format!("`{other}`: say distinct or one")),
        };
        Ok(Self { callers: number(callers)?, on_one, lasts: Duration::from_millis(number(milliseconds)?) })
    }

    pub async fn play<S>(self, framework: CqrsFramework<Deployment, S>) -> Done
    where
        S: EventStore<Deployment> + 'static,
        S::AC: Send,
    {
        let framework = Arc::new(framework);
        // New aggregates in every run: the address is kept from round to round.
        let run = std::process::id();
        let begun = Instant::now();
        let callers = (0..self.callers).map(|caller| {
            let framework = Arc::clone(&framework);
            let id = format!("{run}-{}", if self.on_one { 0 } else { caller });
            tokio::spawn(async move {
                let mut done = Done::of(self);
                while begun.elapsed() < self.lasts {
                    match framework.execute(&id, Step).await {
                        Ok(()) => done.committed += 1,
                        Err(AggregateError::AggregateConflict) => done.conflicts += 1,
                        Err(error) => {
                            done.failures += 1;
                            done.last = Some(error.to_string());
                        }
                    }
                }
                done
            })
        });
        let mut all = Done::of(self);
        for caller in callers.collect::<Vec<_>>() {
            match caller.await {
                Ok(done) => all.add(done),
                Err(error) => all.last = Some(error.to_string()),
            }
        }
        all.elapsed = begun.elapsed();
        all
    }
}

impl Done {
    fn of(scene: Scene) -> Self {
        Self { scene, elapsed: Duration::ZERO, committed: 0, conflicts: 0, failures: 0, last: None }
    }

    fn add(&mut self, other: Self) {
        self.committed += other.committed;
        self.conflicts += other.conflicts;
        self.failures += other.failures;
        self.last = other.last.or(self.last.take());
    }

    pub fn json(&self, peer: &str, durability: &str) -> serde_json::Value {
        serde_json::json!({
            "peer": peer,
            "durability": durability,
            "callers": self.scene.callers,
            "aggregates": if self.scene.on_one { "one" } else { "distinct" },
            "commits_per_second": self.committed as f64 / self.elapsed.as_secs_f64(),
            "conflicts": self.conflicts,
            "failures": self.failures,
            "last_failure": self.last,
        })
    }
}
