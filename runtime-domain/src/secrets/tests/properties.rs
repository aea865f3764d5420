//! What holds for every history.

use proptest::prelude::*;

use crate::aggregate::Aggregate;
use crate::secrets::tests::fixture::*;
use crate::secrets::*;
use crate::testing::{Told, at};

fn command(kind: u8, number: u32, now: u64) -> SecretCommand {
    match kind {
        0 => rotate(RotationCause::Scheduled),
        1 | 2 => rotate(on_demand()),
        3 => rotate(compromised()),
        4..=6 => created(number),
        7..=9 => all_on(now, number),
        10 => seen(at(now), instances(&[Some(number), None])),
        11 => seen(at(now), Consumption::Nobody),
        12 => failed(VaultFault::Unreachable),
        13 => failed(VaultFault::NotFound),
        14 | 15 => retired(number),
        16 => abort(),
        17 => suspend(),
        18 | 19 => resume(),
        20 => SecretCommand::ChangeSchedule {
            rotation_schedule: RotationSchedule::new(None, crate::time::Span::ZERO).unwrap(),
        },
        21 => SecretCommand::ChangeSchedule { rotation_schedule: monthly() },
        _ => SecretCommand::Tick,
    }
}

proptest! {
    /// Shows SEC-2, SEC-3.
    #[test]
    fn whatever_is_asked_versions_only_move_forward_and_the_binding_stays_itself(
        steps in proptest::collection::vec((0..24u8, 1..8u32, 1..4_000u64), 0..40), is_unbound in any::<bool>()
    ) {
        let mut told: Told<SecretBinding> = bound();
        let mut now = 0;
        for (kind, number, seconds) in steps {
            now += seconds;
            let before = told.now().clone();
            let Ok(decision) = before.decide(&command(kind, number, now), at(now)) else { continue };
            told.happen(decision, at(now));
            let after = told.now();
            prop_assert_eq!((after.id(), after.tenant_id(), after.environment_id()), (before.id(), before.tenant_id(), before.environment_id()));
            if after.current_version() != before.current_version() {
                prop_assert!(after.current_version().is_counted_after(before.current_version()));
                // Only a look at the consumers makes a new version the current one.
                prop_assert!((7..=11).contains(&kind));
                prop_assert_eq!(after.state().status(), SecretStatus::Retiring);
            }
            prop_assert!(after.rotations().len() <= SecretBinding::MOST_RECORDS);
        }
        if is_unbound {
            let decision = told.now().decide(&unbind(), at(now)).unwrap();
            told.happen(decision, at(now));
            prop_assert_eq!(told.now().wake_at(), None);
        }
        told.check_replay_and_record();
    }
}
