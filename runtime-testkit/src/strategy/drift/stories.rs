//! Stories of drift findings.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::plan::Step;
use crate::plan::drift::{
    Asked, Attempt, Brought, Budget, Cleared, DriftPlan, Kind, Look, Repair, Said, Subject,
};
use crate::plan::inventory::Whose;
use crate::strategy::drift::looks::{Circumstances, Drift, any_look, circumstances, drift, kind};
use crate::strategy::seconds;

const DAY: i32 = 86_400;

/// Words that are kept or refused, and secrets that nobody is to read.
fn said() -> BoxedStrategy<Said> {
    let words = prop_oneof![
        40 => "[a-d]{1,6}",
        6 => " {0,2}[a-d]{1,6} \n?",
        4 => Just("  \n".to_owned()),
        1 => Just("x".repeat(2_000)),
        1 => Just("x".repeat(2_001)),
        1 => Just(format!(" {} ", "é".repeat(1_000))),
        4 => select(vec!["\u{0}", "\u{202e}gnp", "'; drop table", "<b>", "🦀"]).prop_map(str::to_owned),
    ];
    prop_oneof![9 => words.prop_map(Said::Words), 1 => (0..4_u8).prop_map(Said::Secret)].boxed()
}

fn budget() -> impl Strategy<Value = Budget> {
    let most = prop_oneof![6 => 1..4_u16, 1 => Just(20_u16)];
    let wait = || prop_oneof![4 => select(vec![1_u32, 5, 30, 60]), 1 => Just(86_400_u32)];
    let deadline = select(vec![1_u32, 30, 60, 600, 86_400]);
    (most, wait(), wait(), deadline).prop_map(|(most, one, other, deadline)| Budget {
        most,
        first: one.min(other),
        longest: one.max(other),
        deadline,
    })
}

/// What is asked beside the action, which follows from what diverges.
fn asked() -> BoxedStrategy<Asked> {
    let repair =
        prop_oneof![8 => Just(Repair::Deploy(1)), 1 => Just(Repair::Deploy(2)), 1 => Just(Repair::Prune)];
    let mode = prop_oneof![8 => Just(2_u8), 2 => Just(1_u8), 1 => Just(0_u8)];
    let cleared = prop_oneof![
        24 => Just(Cleared::Repair),
        1 => Just(Cleared::Rotation),
        1 => Just(Cleared::Elsewhere),
        1 => Just(Cleared::Foreign),
    ];
    let quarantined = option::weighted(0.15, 1..4_u8);
    (repair, mode, budget(), any::<bool>(), quarantined, cleared)
        .prop_map(|(repair, mode, budget, is_requested, quarantined, cleared)| Asked {
            repair,
            mode,
            budget,
            is_requested,
            quarantined,
            cleared,
        })
        .boxed()
}

fn brought() -> BoxedStrategy<Option<Brought>> {
    let whose = prop_oneof![
        14 => Just(Whose::Own),
        1 => Just(Whose::OtherTenant),
        1 => Just(Whose::OtherEnvironment),
        1 => Just(Whose::OtherModule),
    ];
    let number = prop_oneof![8 => Just(1_u8), 1 => Just(2_u8)];
    option::weighted(0.7, (number, whose).prop_map(|(number, whose)| Brought { number, whose })).boxed()
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![10 => Just(Attempt::Last), 1 => Just(Attempt::Before), 1 => Just(Attempt::Next)]
}

fn mode() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(2_u8), 2 => Just(1_u8), 1 => Just(0_u8)]
}

/// What people and reconcilers do about a finding.
fn deeds() -> BoxedStrategy<DriftPlan> {
    let ahead = |most: i32| {
        let edges = select(vec![-1, 0, 1, most, most + 1]);
        prop_oneof![6 => 1..600_i32, 2 => edges]
    };
    let failed = (attempt(), said()).prop_map(|(attempt, reason)| DriftPlan::Failed { attempt, reason });
    let postpone = (ahead(7 * DAY), said());
    let accept = (0..2_u8, ahead(90 * DAY), said());
    prop_oneof![
        3 => asked().prop_map(DriftPlan::Repair),
        4 => failed,
        2 => Just(DriftPlan::Retry),
        2 => postpone.prop_map(|(seconds, reason)| DriftPlan::Postpone { seconds, reason }),
        4 => accept.prop_map(|(by, seconds, reason)| DriftPlan::Accept { by, seconds, reason }),
        2 => said().prop_map(|reason| DriftPlan::Revoke { reason }),
        4 => Just(DriftPlan::Tick),
    ]
    .boxed()
}

/// Comparisons of anything.
fn anything() -> BoxedStrategy<DriftPlan> {
    prop_oneof![
        (any_look(), kind(), mode()).prop_map(|(look, kind, mode)| DriftPlan::Detect { look, kind, mode }),
        (any_look(), kind(), brought()).prop_map(|(look, kind, brought)| DriftPlan::InSync {
            look,
            kind,
            brought
        }),
        (any_look(), kind()).prop_map(|(look, kind)| DriftPlan::Replaced { look, kind }),
    ]
    .boxed()
}

/// What may be asked of a drift finding, or seen.
pub fn drift_plans() -> BoxedStrategy<DriftPlan> {
    prop_oneof![1 => anything(), 2 => deeds()].boxed()
}

/// What happens next in a story of one divergence.
#[derive(Debug, Clone)]
enum Turn {
    Again(Circumstances, u8),
    Other(Circumstances, u8, bool),
    None(Circumstances, Option<Brought>, bool),
    Owned(Circumstances, u8, bool),
    Repair(Asked, bool),
    Plan(DriftPlan),
}

fn turn() -> BoxedStrategy<Turn> {
    let again = (circumstances(), mode()).prop_map(|(when, mode)| Turn::Again(when, mode));
    let other = (circumstances(), 1..3_u8, any::<bool>())
        .prop_map(|(when, turn, is_new)| Turn::Other(when, turn, is_new));
    let none = (circumstances(), brought(), any::<bool>());
    prop_oneof![
        5 => again,
        2 => other,
        4 => none.prop_map(|(when, brought, is_wanted)| Turn::None(when, brought, is_wanted)),
        3 => (circumstances(), 0..11_u8, any::<bool>()).prop_map(|(when, how, is_none)| Turn::Owned(when, how, is_none)),
        7 => (asked(), prop::bool::weighted(0.95)).prop_map(|(asked, is_fit)| Turn::Repair(asked, is_fit)),
        12 => deeds().prop_map(Turn::Plan),
        2 => anything().prop_map(Turn::Plan),
    ]
    .boxed()
}

impl Turn {
    fn plan(self, drift: Drift) -> DriftPlan {
        let kind = drift.kind;
        match self {
            Self::Again(when, mode) => DriftPlan::Detect { look: drift.again(when), kind, mode },
            Self::Other(when, turn, true) => DriftPlan::Replaced { look: drift.other(when, turn), kind },
            Self::Other(when, turn, false) => {
                DriftPlan::Detect { look: drift.other(when, turn), kind, mode: 2 }
            }
            Self::None(when, brought, is_wanted) => {
                let look = drift.none(when, is_wanted);
                DriftPlan::InSync { brought: brought.and_then(|brought| fitting(brought, &look)), look, kind }
            }
            Self::Owned(when, how, true) => {
                DriftPlan::InSync { look: drift.owned(when, how), kind, brought: None }
            }
            Self::Owned(when, how, false) => {
                DriftPlan::Detect { look: drift.owned(when, how), kind, mode: 2 }
            }
            Self::Repair(asked, is_fit) => DriftPlan::Repair(match is_fit {
                true if kind == Kind::Unmanaged => Asked { repair: Repair::Prune, ..asked },
                true if asked.repair == Repair::Prune => Asked { repair: Repair::Deploy(1), ..asked },
                _ => asked,
            }),
            Self::Plan(plan) => plan,
        }
    }
}

/// Of the component that is looked at; nobody deploys a resource.
fn fitting(brought: Brought, look: &Look) -> Option<Brought> {
    match (look.subject, brought.whose) {
        (Subject::Queue, Whose::Own) => None,
        (Subject::Pay, Whose::Own) => Some(Brought { whose: Whose::OtherModule, ..brought }),
        _ => Some(brought),
    }
}

/// As in every story, or exactly as long as a sighting is not noted again.
fn passing() -> impl Strategy<Value = i64> {
    prop_oneof![12 => seconds(), 1 => select(vec![899_i64, 900, 901])]
}

/// Repairs that fail again and again, more often than is remembered, and people who never give up.
fn obstinate() -> BoxedStrategy<Vec<(i64, Turn)>> {
    (20..36_usize, asked(), vec((passing(), turn()), 0..4))
        .prop_map(|(times, asked, rest)| {
            let budget = Budget { most: 2, first: 1, longest: 1, deadline: 60 };
            let asked = Asked { budget, mode: 2, quarantined: None, cleared: Cleared::Repair, ..asked };
            let failed = || {
                let reason = Said::Words("again".to_owned());
                Turn::Plan(DriftPlan::Failed { attempt: Attempt::Last, reason })
            };
            let repair = || Turn::Repair(asked.clone(), true);
            let round = || {
                [
                    (1, repair()),
                    (1, failed()),
                    (1, repair()),
                    (1, failed()),
                    (1, Turn::Plan(DriftPlan::Retry)),
                ]
            };
            (0..times).flat_map(|_| round()).chain(rest).collect()
        })
        .boxed()
}

/// Stories of a drift finding: one divergence, what is seen of it, and what is done about it.
pub fn drift_stories() -> BoxedStrategy<Vec<Step<DriftPlan>>> {
    let turns = prop_oneof![160 => vec((passing(), turn()), 0..16), 1 => obstinate()];
    let first = prop_oneof![
        16 => (circumstances(), mode()).prop_map(|(when, mode)| Turn::Again(when.own(), mode)),
        1 => (circumstances(), mode()).prop_map(|(when, mode)| Turn::Again(when, mode)),
        2 => anything().prop_map(Turn::Plan),
    ];
    (drift(), first, turns)
        .prop_map(|(drift, first, turns)| {
            let steps = std::iter::once((0, first)).chain(turns);
            steps.map(|(seconds, turn)| Step { seconds, plan: turn.plan(drift) }).collect()
        })
        .boxed()
}
