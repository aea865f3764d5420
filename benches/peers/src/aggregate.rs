//! An aggregate with about as much state as a deployment has.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// About what a deployment's record is, in bytes.
const BODY: usize = 2_000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Deployment {
    body: String,
    steps: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stepped {
    number: u64,
    explanation: String,
}

pub struct Step;

#[derive(Debug)]
pub struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no command is refused")
    }
}

impl std::error::Error for Never {}

impl DomainEvent for Stepped {
    fn event_type(&self) -> String {
        "Stepped".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Deployment {
    const TYPE: &'static str = "deployment";
    type Command = Step;
    type Event = Stepped;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, _: Step, (): &(), sink: &EventSink<Self>) -> Result<(), Never> {
        let number = self.steps + 1;
        let explanation = format!("step {number}, because the bench says so");
        sink.write(Stepped { number, explanation }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Stepped) {
        self.steps = event.number;
        self.body = "x".repeat(BODY);
    }
}
