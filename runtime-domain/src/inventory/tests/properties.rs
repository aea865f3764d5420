//! What holds for every history.

use proptest::prelude::*;

use super::*;

fn instance_states() -> impl Strategy<Value = Vec<InstanceState>> {
    let one = prop_oneof![
        1 => Just(InstanceState::Starting),
        3 => Just(InstanceState::Ready),
        1 => Just(InstanceState::NotReady),
        1 => Just(InstanceState::Draining),
        1 => Just(InstanceState::Exited { code: None }),
    ];
    proptest::collection::vec(one, 0..4)
}

#[derive(Debug, Clone)]
enum Happening {
    Deploy(u8),
    Observe { revisions: Vec<(u8, Vec<InstanceState>, bool)>, routed: Option<u8>, age: u64 },
    LookInVain,
    Retire,
}

fn happenings() -> impl Strategy<Value = Vec<(Happening, u64)>> {
    let observe = (
        proptest::collection::vec((1..14u8, instance_states(), any::<bool>()), 0..4),
        proptest::option::of(1..14u8),
        prop_oneof![3 => Just(0u64), 1 => 0..200u64],
    )
        .prop_map(|(revisions, routed, age)| Happening::Observe { revisions, routed, age });
    let one = prop_oneof![
        20 => observe,
        10 => (1..14u8).prop_map(Happening::Deploy),
        8 => Just(Happening::LookInVain),
        1 => Just(Happening::Retire),
    ];
    proptest::collection::vec((one, 0..70u64), 0..40)
}

fn happen(told: &mut Told<RuntimeService>, happening: Happening, now: u64) {
    let command = match happening {
        Happening::Deploy(number) => InventoryCommand::RecordDeployedVersion { version: deployed(number) },
        Happening::LookInVain => in_vain(),
        Happening::Retire => retire(),
        Happening::Observe { revisions, routed, age } => {
            let revisions = revisions.into_iter().map(|(number, states, is_genuine)| {
                let (key, mut observed) = seen(number, &states);
                if !is_genuine {
                    observed.image = seen(99, &[]).1.image;
                }
                (key, observed)
            });
            let mut observation = showing(revisions, now.saturating_sub(age));
            observation.traffic = routed.map(|number| Traffic::all_to(revision(number)));
            observe(observation)
        }
    };
    drop(told.command(&command, now));
}

proptest! {
    #[test]
    fn every_history_keeps_the_rules_and_replays_to_its_state(happenings in happenings()) {
        let mut told = registered();
        let mut now = 0;
        let mut brought = BTreeSet::from([revision(1)]);
        for (happening, seconds) in happenings {
            now += seconds;
            if let (Happening::Deploy(number), false) = (&happening, told.now().runtime_status().is_final()) {
                brought.insert(revision(*number));
            }
            happen(&mut told, happening, now);
            let service = told.now();
            // SVC-1
            prop_assert!(brought.contains(service.revision()));
            let managed = service.instances().iter().filter(|instance| instance.is_managed);
            for instance in managed {
                prop_assert!(brought.contains(&instance.revision));
            }
            // SVC-2
            if matches!(service.runtime_status(), RuntimeStatus::Running | RuntimeStatus::Degraded) {
                prop_assert!(service.instances().iter().any(ServiceInstance::is_ready));
            }
            // SVC-3
            prop_assert_eq!(service.tenant_id(), id(2));
            prop_assert!(service.former().len() < REMEMBERED_VERSIONS);
        }
        told.check_replay_and_record();
    }
}
