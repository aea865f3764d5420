//! Each step of an evaluation on its own, at its limits.

use super::values::budget;
use super::*;

fn decide(terms: &PolicyTerms, history: &History, input: &Input, seconds: u64) -> ScalingDecision {
    let decided = evaluate(&spec(terms.clone()), history, input, at(seconds));
    assert_eq!(decided.findings.desired, decided.desired);
    assert_eq!(decided.findings.current, input.current);
    decided
}

fn fresh(terms: &PolicyTerms, input: &Input) -> u16 {
    decide(terms, &History::default(), input, 0).desired
}

/// A history of evaluations that recommended so many at these seconds.
fn recommended(terms: &PolicyTerms, given: &[(u64, u16)]) -> History {
    given.iter().fold(History::default(), |history, (seconds, recommended)| {
        let findings = Findings {
            current: 4,
            recommended: *recommended,
            desired: 4,
            is_idle: false,
            unknown: Vec::new(),
            is_short: false,
        };
        history.evaluated(&spec(terms.clone()), &findings, at(*seconds))
    })
}

fn vote(decided: &ScalingDecision) -> Vote {
    decided.proposals[0].vote.clone()
}

#[test]
fn a_reading_proposes_the_ceiling_and_nothing_within_its_tolerance() {
    let ten = Percent::new(10).unwrap();
    let each = Measure::from_units(100);
    let propose = |percent: u128| proposal(4, percent * 4_000_000, each, ten);
    assert_eq!([90, 110].map(propose), [4, 4]);
    assert_eq!([89, 111, 200, 201, 50, 0].map(propose), [4, 5, 8, 9, 2, 0]);
    assert_eq!(proposal(4, 359_999_999, each, ten), 4, "just below the tolerance is rounded up to as many");
    assert_eq!(proposal(100, 8_999_999_999, each, ten), 90, "just below the tolerance");
    assert_eq!((propose(u128::from(u64::MAX)), proposal(0, 1, each, ten)), (Replicas::MOST, 1));
    assert_eq!(proposal(0, 0, each, ten), 0);
}

#[test]
fn replicas_that_are_not_ready_are_idle_on_the_way_out_and_loaded_on_the_way_in() {
    let terms = bare();
    let of = |current, ready, percent| fresh(&terms, &Input { ready, ..cpu(current, percent, 0) });
    assert_eq!(of(4, 4, 100), 8);
    assert_eq!(of(4, 2, 100), 4, "two that are ready at 100% are four at 50%");
    assert_eq!(of(4, 3, 100), 6);
    assert_eq!(of(4, 1, 60), 4, "it never goes in because of what is too high");
    assert_eq!(of(8, 8, 25), 4);
    assert_eq!(of(8, 4, 25), 6, "the four that are not ready are not taken for idle");
    assert_eq!(of(8, 9, 25), 4, "more cannot be ready than there are");
    let none = decide(&terms, &History::default(), &Input { ready: 0, ..cpu(4, 100, 0) }, 0);
    assert_eq!((vote(&none), none.desired), (Vote::Unknown, 4));
}

#[test]
fn the_greatest_proposal_wins() {
    let mut terms = bare();
    terms.rules.push(rule(ScalingMetric::RequestRate, 100));
    for (percent, rate, expected) in [(50, 700, 7), (100, 700, 8), (10, 300, 3), (10, 100, 2)] {
        let mut input = cpu(4, percent, 0);
        input.readings.insert(ScalingMetric::RequestRate, measured(rate, at(0)));
        assert_eq!(fresh(&terms, &input), expected, "{percent} {rate}");
    }
}

#[test]
fn a_rule_that_only_scales_out_leaves_the_way_in_to_others() {
    let mut terms = bare();
    terms
        .rules
        .push(ScalingRule { action: ScalingAction::ScaleOut, ..rule(ScalingMetric::RequestRate, 100) });
    let with = |percent, rate| {
        let mut input = cpu(4, percent, 0);
        input.readings.insert(ScalingMetric::RequestRate, measured(rate, at(0)));
        fresh(&terms, &input)
    };
    assert_eq!((with(25, 400), with(25, 700), with(25, 441)), (2, 7, 5));
    terms.rules.remove(0);
    let alone = decide(&terms, &History::default(), &reads(4, ScalingMetric::RequestRate, 100, at(0)), 0);
    assert_eq!((vote(&alone), alone.desired), (Vote::Abstains, 4));
}

#[test]
fn a_reading_that_is_old_early_thin_negative_or_missing_is_unknown_and_takes_nothing_away() {
    let terms = bare();
    let credence = Credence { freshness: Span::from_secs(60), least_samples: 5 };
    let terms = PolicyTerms { rules: Vec::from([ScalingRule { credence, ..terms.rules[0] }]), ..terms };
    let reading = |micros, seconds, samples| Reading::Measured {
        value: Measure::from_micros(micros),
        observed_at: at(seconds),
        samples,
    };
    let with = |reading: Reading| {
        let mut input = Input::of(8);
        input.readings.insert(ScalingMetric::CpuUtilization, reading);
        decide(&terms, &History::default(), &input, 1_000)
    };
    for known in [reading(25_000_000, 940, 5), reading(25_000_000, 1_060, 5), reading(0, 1_000, 6)] {
        let decided = with(known);
        assert!(matches!(vote(&decided), Vote::Proposes(_)), "{decided:?}");
        assert!(decided.desired < 8);
    }
    let unknown = [
        (reading(25_000_000, 939, 5), "old, and is believed for 1m"),
        (reading(25_000_000, 1_061, 5), "in the future"),
        (reading(25_000_000, 1_000, 4), "rests on 4 samples, and 5 are needed"),
        (reading(-1, 1_000, 5), "negative"),
        (missing(), "the source is down"),
    ];
    for (reading, why) in unknown {
        let decided = with(reading);
        assert_eq!((vote(&decided), decided.desired), (Vote::Unknown, 8));
        assert_eq!(decided.findings.unknown, [Signal::CpuUtilization]);
        assert!(decided.explanation.contains(why), "{}", decided.explanation);
    }
    let unread = decide(&terms, &History::default(), &Input::of(8), 0);
    assert!(unread.explanation.contains("it was not read"), "{}", unread.explanation);
}

#[test]
fn what_is_unknown_holds_the_way_in_and_not_the_way_out() {
    let mut terms = bare();
    terms.rules.push(rule(ScalingMetric::QueueLength, 10));
    let with = |queue| {
        let mut input = reads(4, ScalingMetric::QueueLength, queue, at(0));
        input.readings.insert(ScalingMetric::CpuUtilization, missing());
        decide(&terms, &History::default(), &input, 0)
    };
    assert_eq!((with(90).desired, with(20).desired), (9, 4));
    assert!(with(20).explanation.contains("what is not known takes no replica away"));
    assert!(!with(90).explanation.contains("takes no replica away"));
}

#[test]
fn the_fallback_holds_after_its_span_and_only_adds_while_others_are_known() {
    use FallbackReplicas::{Current, IfHigher, IfLower, Static};
    let mut terms = bare();
    terms.fallback.after = Span::from_secs(100);
    let unknown_since = |signals: &[Signal]| {
        let findings = Findings {
            current: 4,
            recommended: 4,
            desired: 4,
            is_idle: false,
            unknown: signals.to_vec(),
            is_short: false,
        };
        History::default().evaluated(&spec(bare()), &findings, at(0))
    };
    let history = unknown_since(&[Signal::CpuUtilization]);
    for (way, expected) in
        [(Current, 4), (Static(replicas(3)), 3), (IfHigher(replicas(3)), 4), (IfLower(replicas(3)), 3)]
    {
        terms.fallback.replicas = way;
        assert_eq!(decide(&terms, &history, &Input::of(4), 99).desired, 4, "{way:?}");
        assert_eq!(decide(&terms, &history, &Input::of(4), 100).desired, expected, "{way:?}");
    }
    terms.rules.push(rule(ScalingMetric::QueueLength, 10));
    for (count, queue, expected) in [(3, 20, 4), (6, 20, 6), (6, 90, 9), (9, 60, 9)] {
        terms.fallback.replicas = Static(replicas(count));
        let input = reads(4, ScalingMetric::QueueLength, queue, at(100));
        assert_eq!(decide(&terms, &history, &input, 100).desired, expected, "{count} {queue}");
        let early = reads(4, ScalingMetric::QueueLength, queue, at(99));
        assert_eq!(decide(&terms, &history, &early, 99).desired, u16::try_from(queue / 10).unwrap().max(4));
    }
    // Both are Unknown, and one has been for less.
    terms.fallback.replicas = Static(replicas(3));
    assert_eq!(decide(&terms, &history, &Input::of(4), 100).desired, 4);
    let both = unknown_since(&[Signal::CpuUtilization, Signal::QueueLength]);
    assert_eq!(decide(&terms, &both, &Input::of(4), 100).desired, 3);
}

#[test]
fn a_budget_that_burns_over_both_stretches_adds_and_never_takes_away() {
    let terms = PolicyTerms { error_budget: Some(budget()), ..bare() };
    let with = |short, long, percent| {
        let burn = Some(BurnReading { short: measured(short, at(0)), long: measured(long, at(0)) });
        decide(&terms, &History::default(), &Input { burn, ..cpu(4, percent, 0) }, 0)
    };
    assert_eq!((with(2, 2, 50).desired, with(2, 2, 25).desired, with(9, 9, 100).desired), (6, 6, 8));
    for (short, long) in [(1, 2), (2, 1), (0, 0)] {
        let decided = with(short, long, 25);
        assert_eq!((decided.desired, &decided.proposals[1].vote), (2, &Vote::Abstains));
    }
    let half = BurnReading { short: measured(2, at(0)), long: missing() };
    for burn in [None, Some(half)] {
        let decided = decide(&terms, &History::default(), &Input { burn, ..cpu(4, 25, 0) }, 0);
        assert_eq!((decided.desired, &decided.proposals[1].vote), (4, &Vote::Unknown));
        assert_eq!(decided.findings.unknown, [Signal::ErrorBudget]);
    }
}

#[test]
fn the_windows_count_the_most_careful_recommendation() {
    let window = |scale_out, scale_in| PolicyTerms {
        stabilisation: Stabilisation {
            scale_out: Span::from_secs(scale_out),
            scale_in: Span::from_secs(scale_in),
        },
        ..bare()
    };
    let inward = window(0, 300);
    let history = recommended(&inward, &[(0, 7), (60, 3)]);
    let of = |history: &History, seconds| decide(&inward, history, &cpu(8, 10, seconds), seconds).desired;
    assert_eq!((of(&history, 299), of(&history, 300), of(&history, 359)), (7, 3, 3));
    assert_eq!(of(&history, 360), 8, "nobody looked for a window");
    assert_eq!(of(&History::default(), 0), 8, "nobody has looked yet");
    assert_eq!(decide(&inward, &history, &cpu(8, 60, 60), 60).desired, 10, "out at once");
    let outward = window(300, 0);
    let history = recommended(&outward, &[(0, 5), (60, 6)]);
    let of = |seconds| decide(&outward, &history, &cpu(4, 100, seconds), seconds).desired;
    assert_eq!((of(299), of(300), of(360)), (5, 6, 4));
    assert_eq!(decide(&outward, &history, &cpu(4, 25, 60), 60).desired, 2, "in at once");
}

#[test]
fn a_cooldown_keeps_replicas_and_never_keeps_them_out() {
    let terms = PolicyTerms { cooldown_seconds: Cooldown::from_secs(60).unwrap(), ..bare() };
    let history = History::default().changed(4, 8, at(0));
    assert_eq!(history.changed_at(), Some(at(0)));
    let of = |percent, seconds| decide(&terms, &history, &cpu(8, percent, seconds), seconds).desired;
    assert_eq!((of(25, 59), of(25, 60), of(60, 1)), (8, 4, 10));
}

#[test]
fn a_period_goes_so_far_from_where_it_began() {
    let limit = |replicas: Option<u16>, percent| {
        Some(StepLimit { replicas: replicas.map(super::replicas), percent, period: Span::from_secs(60) })
    };
    let terms = |scale_out, scale_in| PolicyTerms {
        bounds: ReplicaBounds::new(SurfaceKind::Kubernetes, 1, replicas(100)).unwrap(),
        limits: StepLimits { scale_out, scale_in },
        ..bare()
    };
    for (limit, out, inward) in [
        (limit(Some(3), None), 23, 17),
        (limit(None, Some(50)), 30, 10),
        (limit(Some(3), Some(50)), 30, 10),
        (limit(Some(13), Some(50)), 33, 7),
        (limit(None, Some(1)), 21, 19),
        (limit(None, Some(1_000)), 40, 2),
    ] {
        assert_eq!(fresh(&terms(limit, None), &cpu(20, 100, 0)), out, "{limit:?}");
        assert_eq!(fresh(&terms(None, limit), &cpu(20, 5, 0)), inward, "{limit:?}");
        assert_eq!(fresh(&terms(None, limit), &cpu(20, 100, 0)), 40);
        assert_eq!(fresh(&terms(limit, None), &cpu(20, 5, 0)), 2);
    }
    let out = terms(limit(Some(3), None), None);
    let history = History::default().changed(18, 20, at(0));
    let of = |seconds| decide(&out, &history, &cpu(20, 100, seconds), seconds).desired;
    assert_eq!((of(59), of(60)), (21, 23));
    let over = History::default().changed(10, 20, at(0));
    assert_eq!(decide(&out, &over, &cpu(20, 100, 59), 59).desired, 20, "it does not go back");
    let inward = terms(None, limit(Some(3), None));
    let of = |history: &History, seconds| decide(&inward, history, &cpu(20, 5, seconds), seconds).desired;
    let history = History::default().changed(22, 20, at(0));
    assert_eq!((of(&history, 59), of(&history, 60)), (19, 17));
    assert_eq!(of(&History::default().changed(30, 20, at(0)), 59), 20);
}

#[test]
fn an_open_circuit_adds_nothing_and_lets_go() {
    let terms = bare();
    let open = |input: Input| Input { open_circuits: BTreeSet::from([name("stock"), name("till")]), ..input };
    let decided = decide(&terms, &History::default(), &open(cpu(4, 100, 0)), 0);
    assert_eq!(decided.desired, 4);
    assert!(decided.explanation.contains("the circuit to stock, till is open"), "{}", decided.explanation);
    assert_eq!(fresh(&terms, &open(cpu(4, 25, 0))), 2);
    assert_eq!(fresh(&terms, &open(cpu(1, 50, 0))), 2, "the bounds hold whatever happens");
    assert_eq!(fresh(&queued(), &open(reads(0, ScalingMetric::QueueLength, 9, at(0)))), 0);
}

/// Shows TEN-2.
#[test]
fn no_replica_is_added_for_which_the_quota_has_no_room_and_none_is_taken_away_for_it() {
    let terms = bare();
    let room = |room, input: Input| Input { room: Some(room), ..input };
    let decided = decide(&terms, &History::default(), &room(6, cpu(4, 100, 0)), 0);
    assert_eq!(decided.desired, 6);
    assert!(decided.explanation.contains("quota has room for 6 replicas"), "{}", decided.explanation);
    assert_eq!(fresh(&terms, &room(2, cpu(4, 100, 0))), 4, "what is there stays");
    assert_eq!(fresh(&terms, &room(2, cpu(4, 25, 0))), 2, "less is wanted for another reason");
    assert_eq!(fresh(&terms, &room(9, cpu(4, 100, 0))), 8);
    assert_eq!(fresh(&terms, &room(1, cpu(1, 50, 0))), 1, "it comes before the bounds");
}

#[test]
fn a_rollout_keeps_what_its_plan_holds() {
    let terms = bare();
    let rolls = |floor, input: Input| Input { rollout: Some(RolloutInFlight { floor, most: None }), ..input };
    let of = |floor, current, percent| fresh(&terms, &rolls(floor, cpu(current, percent, 0)));
    assert_eq!((of(4, 8, 10), of(8, 8, 10), of(9, 8, 10), of(0, 8, 10)), (4, 8, 8, 2));
    assert_eq!(of(8, 4, 100), 8, "more may be added");
    assert_eq!((of(12, 12, 50), of(11, 12, 50), of(20, 12, 50)), (12, 11, 12), "whatever the bounds say");
    assert_eq!(of(20, 4, 50), 4, "it adds nothing for the plan");
    let decided = decide(&terms, &History::default(), &rolls(8, cpu(8, 10, 0)), 0);
    assert!(decided.explanation.contains("the rollout that is under way holds 8"), "{}", decided.explanation);
}

#[test]
fn a_queue_wakes_above_its_activation_only_and_sleeps_at_zero_only() {
    let mut terms = queued();
    terms.rules[0].activation = Measure::from_units(5);
    terms.cooldown_seconds = Cooldown::from_secs(60).unwrap();
    let of = |current, queue| fresh(&terms, &reads(current, ScalingMetric::QueueLength, queue, at(0)));
    assert_eq!((of(0, 5), of(0, 6), of(0, 31), of(1, 3), of(1, 0)), (0, 1, 4, 1, 1));
    let idle = |start: u64, evaluations: &[u64]| {
        evaluations.iter().fold(History::default(), |history, seconds| {
            let input = reads(1, ScalingMetric::QueueLength, 0, at(start + seconds));
            let found = evaluate(&spec(terms.clone()), &history, &input, at(start + seconds)).findings;
            assert!(found.is_idle);
            history.evaluated(&spec(terms.clone()), &found, at(start + seconds))
        })
    };
    let of = |history: &History, queue, seconds| {
        decide(&terms, history, &reads(1, ScalingMetric::QueueLength, queue, at(seconds)), seconds).desired
    };
    assert_eq!((of(&idle(0, &[0]), 0, 59), of(&idle(0, &[0]), 0, 60)), (1, 0));
    assert_eq!(of(&idle(0, &[0]), 0, 61), 1, "nobody looked for longer than a gap may be");
    assert_eq!(of(&idle(0, &[0, 30]), 0, 90), 0);
    assert_eq!(of(&idle(0, &[0, 30]), 1, 90), 1);
    let bounds = ReplicaBounds::new(SurfaceKind::ContainerApps, 1, replicas(10)).unwrap();
    let kept = PolicyTerms { bounds, ..terms.clone() };
    assert_eq!(
        decide(&kept, &idle(0, &[0]), &reads(1, ScalingMetric::QueueLength, 0, at(60)), 60).desired,
        1
    );
    // Other rules must be known, and want no more than one.
    let mut with_cpu = terms.clone();
    with_cpu.rules.push(rule(ScalingMetric::CpuUtilization, 50));
    for (percent, expected) in [(Some(40), 0), (Some(50), 0), (Some(90), 2), (None, 1)] {
        let mut input = reads(1, ScalingMetric::QueueLength, 0, at(60));
        if let Some(percent) = percent {
            input.readings.insert(ScalingMetric::CpuUtilization, measured(percent, at(60)));
        }
        assert_eq!(decide(&with_cpu, &idle(0, &[0]), &input, 60).desired, expected, "{percent:?}");
    }
    let asleep = decide(&with_cpu, &History::default(), &reads(0, ScalingMetric::QueueLength, 0, at(0)), 0);
    assert_eq!((asleep.desired, &asleep.proposals[1].vote), (0, &Vote::Abstains));
}

#[test]
fn staying_is_explained_as_well_as_going() {
    let stays = decide(&bare(), &History::default(), &cpu(4, 50, 0), 0).explanation;
    assert_eq!(stays, "4 replicas stay 4: cpu-utilization reads 50 against 50 and proposes 4");
    let goes = decide(&bare(), &History::default(), &cpu(8, 100, 0), 0).explanation;
    let expected =
        "from 8 to 10 replicas: cpu-utilization reads 100 against 50 and proposes 16; the bounds are 2 to 10";
    assert_eq!(goes, expected);
    let short = |current, percent| {
        decide(&bare(), &History::default(), &cpu(current, percent, 0), 0).findings.is_short
    };
    assert!(short(10, 100) && !short(9, 100) && !short(10, 50));
}

#[test]
fn what_is_remembered_is_bounded_however_often_it_is_told() {
    let terms = PolicyTerms::new(bare().bounds, bare().rules);
    let mut history = History::default();
    for turn in 0..5_000u64 {
        let found = Findings {
            current: 4,
            recommended: u16::try_from(2 + turn % 7).unwrap(),
            desired: 4,
            is_idle: false,
            unknown: Vec::new(),
            is_short: false,
        };
        history = history.evaluated(&spec(terms.clone()), &found, at(turn)).changed(
            turn as u16,
            turn as u16 + 1,
            at(turn),
        );
        assert_eq!(history.fault(), None, "{turn}");
    }
    assert!(serde_json::to_string(&history).unwrap().len() < 10_000);
    // The oldest changes are one, and none of them is lost.
    assert_eq!(history.at_start(Span::from_secs(40), 5_000, at(5_000)), 0);
    assert_eq!(history.at_start(Span::from_secs(5), 5_000, at(5_000)), 4_996);
}

#[test]
fn a_burning_budgets_step_is_rounded_up_and_ends_at_the_most_there_can_be() {
    let tenth = ErrorBudgetRule { step: Percent::new(10).unwrap(), ..budget() };
    let terms = PolicyTerms { error_budget: Some(tenth), ..bare() };
    let burn = Some(BurnReading { short: measured(2, at(0)), long: measured(2, at(0)) });
    let proposed = |current| {
        let input = Input { burn: burn.clone(), ..cpu(current, 50, 0) };
        decide(&terms, &History::default(), &input, 0).proposals[1].vote.clone()
    };
    for (current, expected) in [(0, 1), (1, 2), (10, 11), (11, 13), (20, 22), (990, 1_000)] {
        assert_eq!(proposed(current), Vote::Proposes(expected), "{current}");
    }
}

#[test]
fn recommendations_of_one_slot_are_kept_together_and_a_window_is_never_shorter() {
    let window = Span::from_secs(320);
    let terms =
        PolicyTerms { stabilisation: Stabilisation { scale_out: Span::ZERO, scale_in: window }, ..bare() };
    let together = recommended(&terms, &[(0, 9), (9, 3)]);
    assert_eq!(together.recommended(window, at(328)), Some((3, 9)), "until the younger has left");
    assert_eq!(together.recommended(window, at(329)), None);
    let apart = recommended(&terms, &[(0, 9), (10, 3)]);
    assert_eq!(apart.recommended(window, at(319)), Some((3, 9)));
    assert_eq!(apart.recommended(window, at(320)), Some((3, 3)));
    let back = recommended(&terms, &[(100, 9), (50, 3)]);
    assert_eq!(back.recommended(window, at(419)), Some((3, 9)), "a clock that jumps back shortens nothing");
}

#[test]
fn what_is_unknown_is_so_since_it_was_first_and_no_longer_once_it_is_known() {
    let found = |unknown: &[Signal]| Findings {
        current: 4,
        recommended: 4,
        desired: 4,
        is_idle: false,
        unknown: unknown.to_vec(),
        is_short: false,
    };
    let (cpu, queue) = (Signal::CpuUtilization, Signal::QueueLength);
    let spec = spec(bare());
    let history = History::default().evaluated(&spec, &found(&[cpu]), at(0));
    let history = history.evaluated(&spec, &found(&[cpu, queue]), at(15));
    assert_eq!((history.unknown_since(cpu), history.unknown_since(queue)), (Some(at(0)), Some(at(15))));
    let lasting: Vec<_> = history.unknown_for(Span::from_secs(60), at(60)).collect();
    assert_eq!(lasting, [(cpu, at(0))]);
    let history = history.evaluated(&spec, &found(&[queue]), at(30));
    assert_eq!((history.unknown_since(cpu), history.unknown_since(queue)), (None, Some(at(15))));
    assert_eq!((history.evaluated_at(), history.short_since()), (Some(at(30)), None));
}

#[test]
fn nothing_is_added_to_what_a_rollout_takes_away_itself() {
    let rolls = |most| Some(RolloutInFlight { floor: 4, most });
    let decide = |percent, most| {
        let input = Input { rollout: rolls(most), ..cpu(4, percent, 0) };
        evaluate(&spec(bare()), &History::default(), &input, at(0))
    };
    assert_eq!(decide(100, None).desired, 8);
    let held = decide(100, Some(4));
    assert_eq!(held.desired, 4);
    assert!(held.explanation.contains("the rollout that is under way holds 4"), "{}", held.explanation);
    assert_eq!(decide(100, Some(2)).desired, 4, "it takes nothing away by this");
}
