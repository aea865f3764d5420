//! What the policies of stories say: small numbers, so that windows, cooldowns and limits meet within a story; and every way to be illegal.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::plan::scaling::{BudgetRule, Fallback, Limit, MetricRule, Terms, Trust};

pub(super) const UNIT: i64 = 1_000_000;

fn trust() -> impl Strategy<Value = Trust> {
    let usual = Trust { freshness: 60, samples: 1 };
    let other = (1..=3_600_u32, 1..5_u64).prop_map(|(freshness, samples)| Trust { freshness, samples });
    prop_oneof![4 => Just(usual), 1 => other]
}

fn rules() -> BoxedStrategy<Vec<MetricRule>> {
    let threshold = || select(vec![1_i64, 10, 50, 100]);
    let activation = || prop_oneof![2 => Just(0_i64), 1 => select(vec![1, UNIT, 60 * UNIT])];
    let rule = |metric: u8| {
        (threshold(), activation(), prop::bool::weighted(0.2), trust()).prop_map(
            move |(threshold, activation, is_out_only, trust)| MetricRule {
                metric,
                threshold: threshold * UNIT,
                is_out_only,
                activation: if metric < 2 { 0 } else { activation },
                trust,
            },
        )
    };
    let metrics = prop_oneof![3 => Just(1_usize), 3 => Just(2_usize), 1 => 3..=4_usize];
    let chosen = metrics.prop_flat_map(|count| subsequence(vec![0_usize, 1, 2, 3], count));
    (chosen, rule(0), rule(1), rule(2), rule(3))
        .prop_map(|(chosen, a, b, c, d)| {
            let all = [a, b, c, d];
            chosen.into_iter().filter_map(|metric| all.get(metric).copied()).collect()
        })
        .boxed()
}

fn budget() -> impl Strategy<Value = Option<BudgetRule>> {
    let rule = (select(vec![UNIT, 2 * UNIT, 14_400_000]), select(vec![1_u8, 10, 50, 100]), trust());
    let rule = rule.prop_map(|(burn_rate, step, trust)| BudgetRule {
        burn_rate,
        short: 300,
        long: 3_600,
        step,
        trust,
    });
    option::weighted(0.25, rule)
}

fn limit() -> impl Strategy<Value = Option<Limit>> {
    let by = prop_oneof![
        (1..4_u16).prop_map(|count| (Some(count), None)),
        select(vec![1_u16, 50, 100, 1_000]).prop_map(|percent| (None, Some(percent))),
        Just((Some(1), Some(100))),
    ];
    let limit = (by, select(vec![15_u32, 30, 60, 1_800]));
    option::weighted(0.3, limit.prop_map(|((replicas, percent), period)| Limit { replicas, percent, period }))
}

fn fallback() -> impl Strategy<Value = Fallback> {
    let count = || 1..8_u16;
    prop_oneof![
        2 => Just(Fallback::Current),
        1 => count().prop_map(Fallback::Static),
        1 => count().prop_map(Fallback::IfHigher),
        1 => count().prop_map(Fallback::IfLower),
    ]
}

/// Terms that make a policy.
pub fn valid_terms() -> BoxedStrategy<Terms> {
    let most = prop_oneof![8 => 1..12_u16, 1 => Just(1_000_u16)];
    let window = || prop_oneof![2 => Just(0_u32), 2 => select(vec![30_u32, 60, 300]), 1 => Just(3_600_u32)];
    let cooldown =
        prop_oneof![2 => Just(0_u32), 2 => select(vec![15_u32, 30, 60, 300]), 1 => Just(86_400_u32)];
    let after = select(vec![1_u32, 30, 60, 180, 3_600]);
    let tolerance = prop_oneof![3 => Just(10_u8), 1 => select(vec![0_u8, 5, 100])];
    let target = select(vec![0_u8, 1, 2, 2, 2, 3, 3, 4]);
    let least = prop_oneof![2 => Just(0_u16), 3 => 1..4_u16];
    let bounds = (target, most, least);
    let windows = (window(), window(), cooldown);
    (bounds, rules(), budget(), tolerance, windows, (limit(), limit()), (after, fallback()))
        .prop_map(|((target, most, least), rules, budget, tolerance, windows, limits, fallback)| {
            let may_go_to_none = matches!(target, 2 | 3) && rules.iter().any(|rule| rule.metric > 1);
            Terms {
                target,
                least: least.clamp(if may_go_to_none { 0 } else { 1 }, most),
                most,
                rules,
                budget,
                tolerance,
                window_out: windows.0,
                window_in: windows.1,
                cooldown: windows.2,
                limit_out: limits.0,
                limit_in: limits.1,
                fallback_after: fallback.0,
                fallback: fallback.1,
            }
        })
        .boxed()
}

/// How many ways there are to bend terms.
const BENDS: u8 = 37;

/// Terms at an end of a range, or just beyond it, or against a rule.
fn bent(mut terms: Terms, bend: u8) -> Terms {
    const DAY: u32 = 86_400;
    let rule = MetricRule {
        metric: 2,
        threshold: UNIT,
        is_out_only: false,
        activation: 0,
        trust: Trust { freshness: 60, samples: 1 },
    };
    let budget = BudgetRule { burn_rate: UNIT, short: 1, long: 2, step: 1, trust: rule.trust };
    let limit = Limit { replicas: None, percent: Some(1), period: 60 };
    let processor = MetricRule { metric: 0, threshold: 50 * UNIT, ..rule };
    let only = |rule: MetricRule| vec![rule];
    let trusted = |freshness: u32, samples: u64| MetricRule { trust: Trust { freshness, samples }, ..rule };
    match bend {
        0 => (terms.least, terms.most) = (4, 3),
        1 => (terms.least, terms.most) = (0, 0),
        2 => terms.most = 1_001,
        3 => (terms.least, terms.target) = (0, 0),
        4 => (terms.least, terms.target) = (0, 4),
        5 => (terms.least, terms.target, terms.rules) = (0, 2, only(processor)),
        6 => (terms.least, terms.target, terms.rules) = (0, 3, only(rule)),
        7 => terms.rules = Vec::new(),
        8 => terms.rules = vec![rule, rule],
        9 => terms.rules = only(MetricRule { threshold: 0, ..rule }),
        10 => terms.rules = only(MetricRule { threshold: i64::MAX, activation: i64::MAX, ..rule }),
        11 => terms.rules = only(MetricRule { threshold: 1, ..rule }),
        12 => terms.rules = only(MetricRule { threshold: 101 * UNIT, ..processor }),
        13 => terms.rules = only(MetricRule { threshold: UNIT / 2, ..processor }),
        14 => terms.rules = only(MetricRule { activation: 1, ..processor }),
        15 => terms.rules = only(MetricRule { activation: -1, ..rule }),
        16 => terms.rules = only(trusted(0, 1)),
        17 => terms.rules = only(trusted(3_600, u64::MAX)),
        18 => terms.rules = only(trusted(3_601, 1)),
        19 => terms.rules = only(trusted(60, 0)),
        20 => terms.tolerance = 101,
        21 => terms.cooldown = DAY + 1,
        22 => terms.window_out = 3_601,
        23 => terms.window_in = 3_601,
        24 => terms.fallback_after = 0,
        25 => terms.fallback_after = 3_601,
        26 => terms.fallback = Fallback::Static(0),
        27 => terms.fallback = Fallback::IfHigher(1_001),
        28 => terms.limit_out = Some(Limit { percent: None, ..limit }),
        29 => terms.limit_in = Some(Limit { percent: Some(1_001), ..limit }),
        30 => terms.limit_out = Some(Limit { period: 0, ..limit }),
        31 => terms.limit_in = Some(Limit { period: 1_801, ..limit }),
        32 => terms.budget = Some(BudgetRule { burn_rate: 0, ..budget }),
        33 => terms.budget = Some(BudgetRule { short: 2, ..budget }),
        34 => terms.budget = Some(BudgetRule { long: 90 * DAY, ..budget }),
        35 => terms.budget = Some(BudgetRule { long: 90 * DAY + 1, ..budget }),
        _ => terms.budget = Some(BudgetRule { step: 0, ..budget }),
    }
    terms
}

/// Terms that may be none of a policy.
pub(super) fn any_terms() -> BoxedStrategy<Terms> {
    (valid_terms(), option::weighted(0.6, 0..BENDS))
        .prop_map(|(terms, bend)| match bend {
            Some(bend) => bent(terms, bend),
            None => terms,
        })
        .boxed()
}

/// Terms that hold back little, so that every turn scales, and what was long ago counts.
pub(super) fn swift_terms() -> BoxedStrategy<Terms> {
    let rule = MetricRule {
        metric: 0,
        threshold: 50 * UNIT,
        is_out_only: false,
        activation: 0,
        trust: Trust { freshness: 60, samples: 1 },
    };
    let limit = (1..4_u16).prop_map(|count| Limit { replicas: Some(count), percent: None, period: 1_800 });
    (valid_terms(), option::weighted(0.8, limit))
        .prop_map(move |(terms, limit_out)| Terms {
            least: 1,
            most: terms.most.max(4),
            rules: vec![rule],
            budget: None,
            tolerance: 10,
            window_out: 0,
            window_in: 0,
            cooldown: 0,
            limit_out,
            limit_in: None,
            ..terms
        })
        .boxed()
}

/// Terms that may go to none, and soon.
pub(super) fn restful_terms() -> BoxedStrategy<Terms> {
    let cooldown = select(vec![0_u32, 15, 30, 60, 61, 300]);
    let queue = |rule: &MetricRule| MetricRule { metric: 2, threshold: 10 * UNIT, ..*rule };
    (valid_terms(), cooldown, select(vec![0_u32, 30, 60]))
        .prop_map(move |(terms, cooldown, window_in)| Terms {
            target: 2,
            least: 0,
            rules: terms.rules.iter().take(1).map(queue).collect(),
            cooldown,
            window_in,
            ..terms
        })
        .boxed()
}
