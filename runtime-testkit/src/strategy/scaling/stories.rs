//! Stories of scaling policies: seasons in which much the same is read again and again, and what people do in between.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::plan::Step;
use crate::plan::scaling::{Count, Level, Look, Reading, ScalingPlan, Terms, Whose};
use crate::strategy::reason;
use crate::strategy::scaling::terms::{UNIT, any_terms, restful_terms, swift_terms, valid_terms};

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![
        12 => Just(Count::Wanted),
        3 => Just(Count::Same),
        2 => Just(Count::HalfWay),
        1 => Just(Count::Exactly(0)),
        3 => (0..14_u16).prop_map(Count::Exactly),
        1 => select(vec![999_u16, 1_000, 1_001, u16::MAX]).prop_map(Count::Exactly),
    ]
}

/// What is read of one source: mostly something fresh, near what the rule keeps or far from it.
fn reading() -> BoxedStrategy<Reading> {
    let near = select(vec![0_u16, 45, 89, 90, 91, 95, 100, 105, 109, 110, 111, 150, 200]);
    let level = prop_oneof![
        8 => (near, -1..=1_i8).prop_map(|(percent, more)| Level::Load { percent, more }),
        3 => (0..400_u16).prop_map(|percent| Level::Load { percent, more: 0 }),
        3 => Just(Level::Exactly(0)),
        1 => select(vec![1_i64, -1, i64::MAX, i64::MIN, UNIT, 60 * UNIT]).prop_map(Level::Exactly),
    ];
    let age = prop_oneof![12 => Just(0_i32), 1 => select(vec![59_i32, 60, 61, -60, -61, i32::MAX, i32::MIN])];
    let samples = prop_oneof![12 => Just(5_u64), 1 => 0..5_u64, 1 => Just(u64::MAX)];
    let measured = (level, age, samples);
    prop_oneof![
        1 => Just(Reading::Absent),
        1 => Just(Reading::Missing),
        14 => measured.prop_map(|(level, age, samples)| Reading::Measured { level, age, samples }),
    ]
    .boxed()
}

fn fresh(level: Level) -> Reading {
    Reading::Measured { level, age: 0, samples: 5 }
}

fn load(percent: u16) -> Reading {
    fresh(Level::Load { percent, more: 0 })
}

/// Everything reads alike: nothing to do, too much to do, or nothing known.
fn alike() -> impl Strategy<Value = [Reading; 4]> {
    prop_oneof![
        3 => Just([fresh(Level::Exactly(0)); 4]),
        3 => (150..1_000_u16).prop_map(|percent| [load(percent); 4]),
        2 => (0..90_u16).prop_map(|percent| [load(percent); 4]),
        2 => Just([Reading::Missing; 4]),
    ]
}

fn look() -> BoxedStrategy<Look> {
    let metrics = prop_oneof![alike(), [reading(), reading(), reading(), reading()]];
    let unready = prop_oneof![8 => Just(0_i16), 2 => 1..4_i16, 1 => select(vec![-1_i16, i16::MIN, i16::MAX])];
    let calm = Some([load(10); 2]);
    let burn = prop_oneof![4 => Just(calm), 4 => [reading(), reading()].prop_map(Some), 1 => Just(None)];
    let floor = option::weighted(0.15, prop_oneof![4 => 0..12_u16, 1 => Just(u16::MAX)]);
    let circuits = prop_oneof![8 => Just(0_u8), 1 => 1..5_u8];
    let room = option::weighted(0.15, 0..12_u16);
    (count(), unready, metrics, burn, floor, circuits, room)
        .prop_map(|(count, unready, metrics, burn, floor, circuits, room)| Look {
            count,
            unready,
            metrics,
            burn,
            floor,
            circuits,
            room,
        })
        .boxed()
}

fn apply(terms: BoxedStrategy<Terms>) -> BoxedStrategy<ScalingPlan> {
    let whose = prop_oneof![
        8 => Just(Whose::Own),
        1 => Just(Whose::OtherTenant),
        1 => Just(Whose::OtherEnvironment),
        1 => Just(Whose::Another),
    ];
    let module = prop_oneof![6 => Just(0_u8), 1 => Just(1_u8)];
    (whose, module, terms)
        .prop_map(|(whose, module, terms)| ScalingPlan::Apply { whose, module, terms })
        .boxed()
}

fn release(terms: BoxedStrategy<Terms>) -> BoxedStrategy<ScalingPlan> {
    use Whose::{Another, OtherEnvironment, OtherTenant, Own};
    let whose = prop_oneof![12 => Just(Own), 1 => select(vec![OtherTenant, OtherEnvironment, Another])];
    let module = prop_oneof![9 => Just(0_u8), 1 => Just(1_u8)];
    let ago = select(vec![0_u16, 1, 15, 60, 300, 3_600]);
    (whose, module, 1..6_u8, ago, terms)
        .prop_map(|(whose, module, number, ago, terms)| ScalingPlan::Release {
            whose,
            module,
            number,
            ago,
            terms,
        })
        .boxed()
}

/// What may be asked of a scaling policy, or reported to it.
pub fn scaling_plans() -> BoxedStrategy<ScalingPlan> {
    prop_oneof![
        30 => look().prop_map(ScalingPlan::Evaluate),
        14 => count().prop_map(ScalingPlan::See),
        3 => apply(any_terms()),
        3 => any_terms().prop_map(ScalingPlan::Change),
        4 => release(any_terms()),
        1 => reason().prop_map(|reason| ScalingPlan::Suspend { reason }),
        4 => Just(ScalingPlan::Resume),
        1 => reason().prop_map(|reason| ScalingPlan::Retire { reason }),
    ]
    .boxed()
}

/// One plan, some time after the one before, and so on for so many times.
#[derive(Debug, Clone)]
struct Season {
    seconds: i64,
    plan: ScalingPlan,
    times: usize,
}

fn season() -> BoxedStrategy<Season> {
    let passes = select(vec![0_i64, 1, 14, 15, 16, 29, 30, 31, 59, 60, 61, 150, 180, 300, 1_800, 3_600]);
    let seconds = prop_oneof![12 => passes, 1 => -90..0_i64];
    let steady = (select(vec![15_i64, 30, 50, 60]), look().prop_map(ScalingPlan::Evaluate), 2..9_usize);
    prop_oneof![5 => (seconds, scaling_plans(), Just(1_usize)), 1 => steady]
        .prop_map(|(seconds, plan, times)| Season { seconds, plan, times })
        .boxed()
}

/// Nothing to do for a while, and perhaps something again.
fn nights() -> impl Strategy<Value = Vec<Season>> {
    let night = (select(vec![15_i64, 30, 59, 60, 61]), 2..9_usize).prop_map(|(seconds, times)| {
        let metrics = [fresh(Level::Exactly(0)); 4];
        let burn = Some([load(0); 2]);
        let look =
            Look { count: Count::Wanted, unready: 0, metrics, burn, floor: None, circuits: 0, room: None };
        Season { seconds, plan: ScalingPlan::Evaluate(look), times }
    });
    vec(prop_oneof![2 => season(), 1 => night], 0..8)
}

/// Up and down, at every turn, more often than is remembered.
fn saw() -> impl Strategy<Value = Vec<Season>> {
    let tooth = |number: usize| {
        let metrics = [load(if number.is_multiple_of(2) { 300 } else { 30 }); 4];
        let burn = Some([load(0); 2]);
        let look =
            Look { count: Count::Wanted, unready: 0, metrics, burn, floor: None, circuits: 0, room: None };
        Season { seconds: 15, plan: ScalingPlan::Evaluate(look), times: 1 }
    };
    let teeth = move |count| (0..count).map(tooth).collect::<Vec<_>>();
    (33..48_usize, vec(season(), 0..3)).prop_map(move |(count, seasons)| {
        let mut saw = teeth(count);
        saw.extend(seasons);
        saw
    })
}

/// Stories of a scaling policy. Three sets of terms come again and again, so that the same is often asked twice.
pub fn scaling_stories() -> BoxedStrategy<Vec<Step<ScalingPlan>>> {
    const MOST: usize = 12;
    let first = prop_oneof![
        8 => apply(valid_terms()),
        1 => release(valid_terms()),
        1 => apply(any_terms()),
    ];
    let stories = prop_oneof![
        30 => (first, vec(season(), 0..MOST)),
        3 => (apply(restful_terms()), nights()),
        1 => (apply(swift_terms()), saw()),
    ];
    let known = vec(valid_terms(), 2);
    let which = vec(0..4_usize, MOST);
    (stories, known, which)
        .prop_map(|((first, seasons), mut known, which)| {
            if let ScalingPlan::Apply { terms, .. } | ScalingPlan::Release { terms, .. } = &first {
                known.insert(0, terms.clone());
            }
            let which = which.into_iter().chain(std::iter::repeat(0));
            let steps = seasons.into_iter().zip(which).flat_map(|(season, which)| {
                let Season { seconds, mut plan, times } = season;
                if let ScalingPlan::Apply { terms, .. }
                | ScalingPlan::Change(terms)
                | ScalingPlan::Release { terms, .. } = &mut plan
                    && let Some(known) = known.get(which)
                {
                    terms.clone_from(known);
                }
                std::iter::repeat_n(Step { seconds, plan }, times)
            });
            std::iter::once(Step { seconds: 0, plan: first }).chain(steps).collect()
        })
        .boxed()
}
