//! What holds whatever surfaces show, in whatever order it is told.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::fixture::*;
use crate::aggregate::Aggregate;
use crate::inventory::*;
use crate::surface::{ComponentObservation, InstanceState, RevisionObservation};
use crate::time::Timestamp;

/// One thing that is told, after this many seconds.
#[derive(Debug, Clone)]
enum Told {
    Observation { seconds: u64, late: u64, seen: Vec<(u128, RevisionObservation)>, routed: Option<u128> },
    Version { seconds: u64, number: u128 },
    Nothing { seconds: u64 },
    Gone { seconds: u64 },
}

fn states() -> impl Strategy<Value = InstanceState> {
    prop_oneof![
        1 => Just(InstanceState::Starting),
        3 => Just(InstanceState::Ready),
        1 => Just(InstanceState::NotReady),
        1 => Just(InstanceState::Draining),
        1 => Just(InstanceState::Exited { code: Some(1) }),
    ]
}

fn revisions() -> impl Strategy<Value = (u128, RevisionObservation)> {
    (1..4u128, 0..4u16, proptest::collection::vec((states(), 0..2u32), 0..4)).prop_map(
        |(number, wanted, instances)| {
            let states: Vec<InstanceState> = instances.iter().map(|(state, _)| state.clone()).collect();
            let mut seen = running(wanted, &states);
            for (instance, (_, restarts)) in seen.instances.iter_mut().zip(&instances) {
                instance.restarts = *restarts;
            }
            (number, seen)
        },
    )
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let seconds = || prop_oneof![4 => 0..90u64, 1 => 100..400u64];
    let seen =
        (seconds(), 0..200u64, proptest::collection::vec(revisions(), 0..3), proptest::option::of(1..4u128));
    let one = prop_oneof![
        8 => seen.prop_map(|(seconds, late, seen, routed)| Told::Observation { seconds, late, seen, routed }),
        2 => (seconds(), 1..4u128).prop_map(|(seconds, number)| Told::Version { seconds, number }),
        2 => seconds().prop_map(|seconds| Told::Nothing { seconds }),
        1 => seconds().prop_map(|seconds| Told::Gone { seconds }),
    ];
    proptest::collection::vec(one, 0..25)
}

/// A service, its history, and what it was told last that counted.
struct Run {
    service: RuntimeService,
    history: Vec<(InventoryEvent, Timestamp)>,
    now: u64,
}

impl Run {
    fn begin() -> Self {
        let service = registered();
        let version = deployed(1, "cart");
        let begun = RuntimeService::register(RegisterService { version });
        let history = begun.events.into_iter().map(|event| (event, at(0))).collect();
        Self { service, history, now: 0 }
    }

    /// Tells it and returns the observation where it changed something.
    fn tell(&mut self, told: &Told) -> Option<ComponentObservation> {
        let (seconds, command, shown) = match told {
            Told::Observation { seconds, late, seen, routed } => {
                let looked_at = (self.now + seconds).saturating_sub(*late);
                let observation = observation(looked_at, seen.clone(), *routed);
                let command = InventoryCommand::RecordObservation { observation: observation.clone() };
                (seconds, command, Some(observation))
            }
            Told::Version { seconds, number } => (
                seconds,
                InventoryCommand::RecordDeployedVersion { version: deployed(*number, "cart") },
                None,
            ),
            Told::Nothing { seconds } => (seconds, InventoryCommand::MarkUnobserved, None),
            Told::Gone { seconds } => {
                (seconds, InventoryCommand::RetireService { reason: "gone".to_string() }, None)
            }
        };
        self.now += seconds;
        let decision = self.service.decide(command, at(self.now)).ok()?;
        self.service = apply(&self.service, &decision, at(self.now));
        let changed = !decision.is_unchanged();
        self.history.extend(decision.events.into_iter().map(|event| (event, at(self.now))));
        shown.filter(|_| changed)
    }
}

proptest! {
    /// Shows SVC-2.
    #[test]
    fn a_service_never_runs_without_a_ready_instance(told in told()) {
        let mut run = Run::begin();
        for told in &told {
            let shown = run.tell(told);
            let recorded = &run.service.version().revision;
            if run.service.status() == RuntimeStatus::Running {
                let serves = |instance: &ServiceInstance| instance.serves() && instance.revision == *recorded;
                prop_assert!(run.service.instances().iter().any(serves));
                // Against the surface's own words, not only against what was made of them.
                if let Some(shown) = shown {
                    prop_assert!(shown.ready(recorded) > 0);
                }
            }
        }
    }

    #[test]
    fn replaying_the_history_gives_the_state(told in told()) {
        let mut run = Run::begin();
        for told in &told {
            run.tell(told);
        }
        let text = serde_json::to_string(&run.history).unwrap();
        let history: Vec<(InventoryEvent, Timestamp)> = serde_json::from_str(&text).unwrap();
        let replayed = RuntimeService::evolve_all(None, history.iter().map(|(event, at)| (event, *at)));
        prop_assert_eq!(replayed, Ok(Some(run.service)));
    }

    #[test]
    fn every_state_survives_its_record(told in told()) {
        let mut run = Run::begin();
        for told in &told {
            run.tell(told);
            let text = serde_json::to_string(&run.service.to_record()).unwrap();
            let loaded = RuntimeService::from_record(1, serde_json::from_str(&text).unwrap());
            prop_assert_eq!(loaded.as_ref(), Ok(&run.service));
        }
    }

    #[test]
    fn telling_the_same_again_at_once_changes_nothing(told in told()) {
        let mut run = Run::begin();
        for told in &told {
            run.tell(told);
            let length = run.history.len();
            let mut again = told.clone();
            match &mut again {
                Told::Observation { seconds, .. }
                | Told::Version { seconds, .. }
                | Told::Nothing { seconds }
                | Told::Gone { seconds } => *seconds = 0,
            }
            run.tell(&again);
            prop_assert_eq!(run.history.len(), length);
        }
    }

    /// Shows SVC-3.
    #[test]
    fn what_was_seen_never_gets_older_and_the_owner_never_changes(told in told()) {
        let mut run = Run::begin();
        for told in &told {
            let before = run.service.clone();
            run.tell(told);
            // A record that begins anew has seen nothing yet.
            if before.status() != RuntimeStatus::Retired {
                prop_assert!(run.service.last_observed_at() >= before.last_observed_at());
            }
            prop_assert_eq!(run.service.tenant(), before.tenant());
            prop_assert_eq!(run.service.environment(), before.environment());
        }
    }
}
