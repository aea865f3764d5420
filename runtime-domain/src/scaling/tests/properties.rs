//! Traces, the formula of the Kubernetes autoscaler as an oracle, and what holds for everything.

use alloc::vec;

use proptest::prelude::*;

use super::*;

const STEP: u64 = 15;

/// What a trace shows at each evaluation: the load of all replicas together, in percent of one; nothing where the source is down.
type Trace = Vec<Option<i64>>;

/// A wave between 0 and 100 without floats: a parabola up, and one down.
fn wave(position: i64, length: i64) -> i64 {
    let half = length / 2;
    let within = position % length;
    let (x, sign) = if within < half { (within, 1) } else { (within - half, -1) };
    50 + sign * 200 * x * (half - x) / (half * half)
}

/// A number from 0 to 99 that looks random and is always the same.
fn noise(seed: i64) -> i64 {
    let mixed = (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)) >> 33;
    mixed.rem_euclid(100)
}

fn traces() -> Vec<(&'static str, Trace)> {
    let trace = |length: i64, load: &dyn Fn(i64) -> Option<i64>| (0..length).map(load).collect::<Trace>();
    vec![
        ("diurnal", trace(1_440, &|turn| Some(100 + 3 * wave(turn, 1_440)))),
        ("noise within the tolerance", trace(960, &|turn| Some(250 + (noise(turn) - 50) * 24 / 50))),
        ("noise beyond the tolerance", trace(960, &|turn| Some(250 + (noise(turn) - 50) * 3))),
        ("step up", trace(240, &|turn| Some(if turn < 60 { 150 } else { 450 }))),
        ("step down", trace(240, &|turn| Some(if turn < 60 { 450 } else { 150 }))),
        ("spike", trace(240, &|turn| Some(if (60..64).contains(&turn) { 490 } else { 150 }))),
        ("gaps", trace(480, &|turn| (turn % 40 < 28).then(|| 150 + noise(turn)))),
        ("saw-tooth", trace(480, &|turn| Some(120 + (turn % 48) * 7))),
    ]
}

/// The counts that a policy comes to over a trace of processor load, where each change is done at once.
fn run(terms: &PolicyTerms, trace: &Trace, start: u16) -> Vec<u16> {
    let spec = spec(terms.clone());
    let mut history = History::default();
    let mut current = start;
    let mut counts = Vec::new();
    for (turn, load) in trace.iter().enumerate() {
        let now = at(turn as u64 * STEP);
        let mut input = Input::of(current);
        if let Some(load) = load {
            let value = Measure::from_micros(load * 1_000_000 / i64::from(current.max(1)));
            input.readings.insert(
                ScalingMetric::CpuUtilization,
                Reading::Measured { value, observed_at: now, samples: 1 },
            );
        }
        let decided = evaluate(&spec, &history, &input, now);
        assert!(!decided.explanation.is_empty());
        history = history.evaluated(&spec, &decided.findings, now);
        if decided.desired != current {
            history = history.changed(current, decided.desired, now);
        }
        current = decided.desired;
        counts.push(current);
    }
    counts
}

fn direction_changes(counts: &[u16]) -> usize {
    let moves: Vec<bool> =
        counts.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| pair[0] < pair[1]).collect();
    moves.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// Two to ten replicas by 50% of the processor, with everything as it is by default.
fn usual() -> PolicyTerms {
    PolicyTerms::new(bare().bounds, bare().rules)
}

#[test]
fn no_trace_turns_more_often_than_is_documented() {
    for (name, trace) in traces() {
        let counts = run(&usual(), &trace, 5);
        let seconds = trace.len() * STEP as usize;
        let most = 2 * (seconds / 300) + 2;
        let turns = direction_changes(&counts);
        assert!(turns <= most, "{name} turned {turns} times, and {most} are documented");
        let expected = match name {
            "noise within the tolerance" => 0,
            "step up" | "step down" => 1,
            "diurnal" | "spike" => 3,
            _ => most,
        };
        assert!(turns <= expected, "{name} turned {turns} times: {counts:?}");
    }
}

#[test]
fn noise_within_the_tolerance_moves_nothing() {
    let (_, trace) = &traces()[1];
    assert!(run(&usual(), trace, 5).iter().all(|count| *count == 5));
    assert!(run(&bare(), trace, 5).iter().all(|count| *count == 5), "not even without windows");
    let strict = PolicyTerms { tolerance: Percent::NONE, ..bare() };
    assert!(direction_changes(&run(&strict, trace, 5)) > 10, "the tolerance is what keeps it");
}

#[test]
fn a_step_is_followed_within_the_documented_bound() {
    let limited = PolicyTerms {
        limits: StepLimits {
            scale_out: Some(StepLimit {
                replicas: Some(replicas(1)),
                percent: None,
                period: Span::from_secs(30),
            }),
            scale_in: Some(StepLimit {
                replicas: Some(replicas(2)),
                percent: None,
                period: Span::from_secs(60),
            }),
        },
        cooldown_seconds: Cooldown::from_secs(60).unwrap(),
        ..usual()
    };
    // Out: no window, and six steps of one; in: a window, a cooldown, and three steps of two.
    for (terms, out, inward) in [(usual(), 0, 300 + 300), (limited, 6 * 30, 300 + 60 + 3 * 60)] {
        for (name, index, bound) in [("step up", 3, out), ("step down", 4, inward)] {
            let (found, trace) = &traces()[index];
            assert_eq!(*found, name);
            let counts = run(&terms, trace, if index == 3 { 3 } else { 9 });
            let settled = 60 + (bound / STEP) as usize + 2;
            let last = if index == 3 { 9 } else { 3 };
            assert!(counts[settled..].iter().all(|count| *count == last), "{name}: {counts:?}");
            assert_eq!(counts[59], if index == 3 { 3 } else { 9 });
        }
    }
}

#[test]
fn gaps_in_what_is_read_take_nothing_away() {
    let (_, trace) = &traces()[6];
    let counts = run(&bare(), trace, 10);
    for (turn, pair) in counts.windows(2).enumerate() {
        if trace[turn + 1].is_none() {
            assert_eq!(pair[0], pair[1], "at {turn}");
        }
    }
    assert!(direction_changes(&counts) > 0, "it moves where it is known");
}

/// The Kubernetes autoscaler for one utilisation of replicas that are all ready, written from its documentation with fractions.
fn oracle(current: u16, percent: i64, target: i64, least: u16, most: u16) -> u16 {
    let (current, percent, target) = (i64::from(current), percent, target);
    let is_close = 10 * (percent - target).abs() <= target;
    let wanted = if is_close { current } else { (current * percent + target - 1) / target };
    u16::try_from(wanted.clamp(i64::from(least), i64::from(most))).unwrap()
}

#[test]
fn every_trace_goes_where_the_kubernetes_formula_goes() {
    for (name, trace) in traces() {
        let mut current = 5u16;
        let counts = run(&bare(), &trace, current);
        for (turn, load) in trace.iter().enumerate() {
            // Whole percent, so that both see the same.
            if let Some(load) = load.filter(|load| load % i64::from(current) == 0) {
                let expected = oracle(current, load / i64::from(current), 50, 2, 10);
                assert_eq!(counts[turn], expected, "{name} at {turn}");
            }
            current = counts[turn];
        }
    }
}

fn any_reading() -> impl Strategy<Value = Option<Reading>> {
    let measured = (-2..400i64, 0..200u64, 0..3u64).prop_map(|(units, age, samples)| {
        let observed_at = at(10_000 - age);
        Some(Reading::Measured { value: Measure::from_units(units), observed_at, samples })
    });
    prop_oneof![4 => measured, 1 => Just(Some(missing())), 1 => Just(None)]
}

fn any_input() -> impl Strategy<Value = Input> {
    let readings = proptest::collection::vec(any_reading(), 4);
    let burn = proptest::option::of((any_reading(), any_reading()));
    let room = proptest::option::weighted(0.2, 0..15u16);
    let rollout = (0..15u16, proptest::option::of(0..15u16))
        .prop_map(|(floor, more)| RolloutInFlight { floor, most: more.map(|more| floor + more) });
    (0..15u16, 0..15u16, readings, burn, proptest::option::of(rollout), any::<bool>(), room).prop_map(
        |(current, ready, readings, burn, rollout, is_open, room)| Input {
            current,
            ready,
            readings: ScalingMetric::ALL
                .into_iter()
                .zip(readings)
                .filter_map(|(metric, reading)| Some((metric, reading?)))
                .collect(),
            burn: burn.and_then(|(short, long)| Some(BurnReading { short: short?, long: long? })),
            rollout,
            open_circuits: if is_open { BTreeSet::from([name("stock")]) } else { BTreeSet::new() },
            room,
        },
    )
}

fn any_terms() -> impl Strategy<Value = PolicyTerms> {
    let limit = || proptest::option::of((1..5u16, 1..100u16));
    let limit_of = |limit: Option<(u16, u16)>| {
        limit.map(|(count, percent)| StepLimit {
            replicas: Some(replicas(count)),
            percent: Some(percent),
            period: Span::from_secs(60),
        })
    };
    let numbers = (0..6u16, 0..6u16, 0..120u64, 0..120u64, 0..120u32, 1..12u16);
    (numbers, 1..16usize, any::<bool>(), limit(), limit(), 0..4u8).prop_map(
        move |((least, more, scale_out, scale_in, cooldown, count), chosen, budgeted, out, inward, way)| {
            let target = SurfaceKind::ContainerApps;
            let mut rules: Vec<ScalingRule> = ScalingMetric::ALL
                .into_iter()
                .enumerate()
                .filter(|(index, _)| chosen & (1 << index) != 0)
                .map(|(_, metric)| rule(metric, 50))
                .collect();
            if rules.iter().all(|rule| rule.metric.is_utilization()) {
                rules.push(rule(ScalingMetric::QueueLength, 50));
            }
            let count = replicas(count);
            PolicyTerms {
                bounds: ReplicaBounds::new(target, least, replicas((least + more).max(1))).unwrap(),
                rules,
                error_budget: budgeted.then(values::budget),
                stabilisation: Stabilisation {
                    scale_out: Span::from_secs(scale_out),
                    scale_in: Span::from_secs(scale_in),
                },
                cooldown_seconds: Cooldown::from_secs(cooldown).unwrap(),
                limits: StepLimits { scale_out: limit_of(out), scale_in: limit_of(inward) },
                fallback: Fallback {
                    after: Span::from_secs(60),
                    replicas: match way {
                        0 => FallbackReplicas::Current,
                        1 => FallbackReplicas::Static(count),
                        2 => FallbackReplicas::IfHigher(count),
                        _ => FallbackReplicas::IfLower(count),
                    },
                },
                ..bare()
            }
        },
    )
}

/// A history of these evaluations, each at so many seconds before the last.
fn past(spec: &PolicySpec, inputs: &[(Input, u64)]) -> History {
    let mut seconds: u64 = 10_000 - inputs.iter().map(|(_, gap)| gap).sum::<u64>();
    inputs.iter().fold(History::default(), |history, (input, gap)| {
        let decided = evaluate(spec, &history, input, at(seconds));
        let history = history.evaluated(spec, &decided.findings, at(seconds));
        let changed = decided.desired != input.current;
        let at = at(seconds);
        seconds += gap;
        if changed { history.changed(input.current, decided.desired, at) } else { history }
    })
}

fn any_command() -> impl Strategy<Value = ScalingCommand> {
    let reason = prop_oneof![3 => Just("because".to_string()), 1 => "[a-z ]{0,3}"];
    prop_oneof![
        6 => any_input().prop_map(|input| ScalingCommand::RecordEvaluation { input }),
        4 => (0..15u16).prop_map(scaled),
        1 => any_terms().prop_map(|terms| ScalingCommand::ChangePolicy { policy: spec(terms) }),
        1 => reason.clone().prop_map(|reason| ScalingCommand::SuspendScaling { reason }),
        2 => Just(ScalingCommand::ResumeScaling),
        1 => reason.prop_map(|reason| ScalingCommand::RetirePolicy { reason }),
    ]
}

proptest! {
    /// Shows SCL-1.
    #[test]
    fn whatever_is_read_the_count_is_within_the_bounds_and_explained(
        terms in any_terms(),
        before in proptest::collection::vec((any_input(), 1..90u64), 0..8),
        input in any_input(),
    ) {
        let spec = spec(terms.clone());
        let history = past(&spec, &before);
        prop_assert_eq!(history.fault(), None);
        let decided = evaluate(&spec, &history, &input, at(10_000));
        let floor = input.rollout.map_or(0, |rollout| rollout.floor.min(input.current));
        let (least, most) = (terms.bounds.least(), terms.bounds.most().get());
        let held = input.rollout.and_then(|rollout| rollout.most);
        let room = input.room.into_iter().chain(held).map(|room| room.max(input.current)).min().unwrap_or(u16::MAX);
        prop_assert!((least.min(room)..=most.max(floor).min(room)).contains(&decided.desired));
        prop_assert!(decided.desired >= floor, "{}", decided.explanation);
        prop_assert!(decided.explanation.len() > 10);
        prop_assert_eq!(decided.proposals.len(), terms.rules.len() + usize::from(terms.error_budget.is_some()));
        let is_unknown = decided.proposals.iter().any(|proposal| proposal.vote == Vote::Unknown);
        prop_assert!(!is_unknown || input.current == 0 || decided.desired > 0, "{}", decided.explanation);
        let adds = decided.desired > input.current.max(least);
        prop_assert!(!adds || input.open_circuits.is_empty(), "{}", decided.explanation);
    }

    #[test]
    fn a_higher_reading_never_means_fewer_replicas(
        terms in any_terms(),
        before in proptest::collection::vec((any_input(), 1..90u64), 0..8),
        input in any_input(),
        which in 0..4usize,
        low in 0..300i64,
        more in 0..300i64,
    ) {
        let spec = spec(terms);
        let history = past(&spec, &before);
        let of = |units| {
            let mut input = input.clone();
            input.readings.insert(ScalingMetric::ALL[which], measured(units, at(10_000)));
            evaluate(&spec, &history, &input, at(10_000)).desired
        };
        prop_assert!(of(low) <= of(low + more));
    }

    #[test]
    fn where_both_are_defined_alike_it_is_the_kubernetes_formula(
        current in 1..=1_000u16,
        percent in 0..1_000i64,
        target in 1..=100i64,
        least in 1..=1_000u16,
        more in 0..=1_000u16,
    ) {
        let most = (least + more).min(1_000);
        let bounds = ReplicaBounds::new(SurfaceKind::Kubernetes, least, replicas(most)).unwrap();
        let terms = PolicyTerms { bounds, rules: vec![rule(ScalingMetric::CpuUtilization, target)], ..bare() };
        let decided = evaluate(&spec(terms), &History::default(), &cpu(current, percent, 0), at(0));
        prop_assert_eq!(decided.desired, oracle(current, percent, target, least, most));
    }

    #[test]
    fn replaying_any_history_gives_the_state_and_so_does_its_record(
        terms in any_terms(),
        commands in proptest::collection::vec((any_command(), 0..90u64), 0..30),
    ) {
        let mut told = applied(terms);
        let mut now = 9_000;
        for (command, seconds) in commands {
            now += seconds;
            let before = told.now().clone();
            let is_accepted = told.command(&command, now).is_ok();
            prop_assert!(is_accepted || *told.now() == before);
            prop_assert_eq!(before.service_id(), told.now().service_id());
            prop_assert!(told.now().wanted().is_none_or(|wanted| wanted.from != wanted.to));
        }
        told.check_replay_and_record();
    }
}
