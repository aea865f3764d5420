//! What a policy may say, at its limits.

use super::*;

fn refused(change: impl FnOnce(&mut PolicyTerms)) -> PolicyError {
    let mut terms = bare();
    change(&mut terms);
    let error = PolicySpec::new(terms.clone()).unwrap_err();
    let written = serde_json::to_value(&terms).unwrap();
    assert!(serde_json::from_value::<PolicySpec>(written).is_err(), "{error} is kept by one door only");
    let text = error.to_string();
    assert!(text.contains("write ") || text.contains("ask "), "{text}");
    error
}

fn accepted(change: impl FnOnce(&mut PolicyTerms)) {
    let mut terms = bare();
    change(&mut terms);
    let spec = PolicySpec::new(terms.clone()).unwrap();
    assert_eq!(spec.terms(), &terms);
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(serde_json::from_value::<PolicySpec>(written).unwrap(), spec);
}

fn fault_of(change: impl FnOnce(&mut ScalingRule)) -> RuleFault {
    match refused(|terms| change(&mut terms.rules[0])) {
        PolicyError::Rule { signal: Signal::CpuUtilization | Signal::QueueLength, fault } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn a_policy_needs_a_rule_and_one_for_each_metric() {
    assert_eq!(refused(|terms| terms.rules.clear()), PolicyError::NoRule);
    let twice = refused(|terms| terms.rules.push(rule(ScalingMetric::CpuUtilization, 60)));
    assert_eq!(twice, PolicyError::Twice { metric: ScalingMetric::CpuUtilization });
    accepted(|terms| terms.rules.extend(ScalingMetric::ALL[1..].iter().map(|metric| rule(*metric, 60))));
}

#[test]
fn a_utilisation_is_whole_percent_and_anything_else_above_zero() {
    for micros in [0, 999_999, 1_500_000, 100_000_001, 101_000_000, -1_000_000] {
        let fault = fault_of(|rule| rule.threshold = Measure::from_micros(micros));
        assert_eq!(fault, RuleFault::NotAPercentage, "{micros}");
    }
    for units in [1, 100] {
        accepted(|terms| terms.rules[0].threshold = Measure::from_units(units));
    }
    for micros in [0, -1] {
        let fault = fault_of(|rule| {
            *rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_micros(micros));
        });
        assert_eq!(fault, RuleFault::NotPositive);
    }
    accepted(|terms| {
        terms.rules[0] = ScalingRule::new(ScalingMetric::RequestRate, Measure::from_micros(1));
    });
}

#[test]
fn only_what_is_counted_without_replicas_can_wake() {
    let units = |units| move |rule: &mut ScalingRule| rule.activation = Measure::from_units(units);
    assert_eq!([1, -1].map(|count| fault_of(units(count))), [RuleFault::Activation; 2]);
    let negative = fault_of(|given| {
        *given = rule(ScalingMetric::QueueLength, 10);
        given.activation = Measure::from_micros(-1);
    });
    assert_eq!(negative, RuleFault::Activation);
    accepted(|terms| {
        terms.rules[0] = rule(ScalingMetric::QueueLength, 10);
        terms.rules[0].activation = Measure::from_units(5);
    });
}

#[test]
fn a_reading_is_believed_for_a_time_and_from_a_sample_on() {
    for millis in [0, 999, 3_600_001] {
        let fault = fault_of(|rule| rule.credence.freshness = Span::from_millis(millis));
        assert_eq!(fault, RuleFault::Freshness, "{millis}");
    }
    for seconds in [1, 3_600] {
        accepted(|terms| terms.rules[0].credence.freshness = Span::from_secs(seconds));
    }
    assert_eq!(fault_of(|rule| rule.credence.least_samples = 0), RuleFault::NoSamples);
}

pub(super) fn budget() -> ErrorBudgetRule {
    ErrorBudgetRule {
        burn_rate: Measure::from_units(2),
        short: Span::from_secs(300),
        long: Span::from_secs(3_600),
        step: Percent::new(50).unwrap(),
        credence: Credence::default(),
    }
}

#[test]
fn an_error_budget_burns_over_two_stretches() {
    let fault = |change: &dyn Fn(&mut ErrorBudgetRule)| {
        let mut rule = budget();
        change(&mut rule);
        match refused(|terms| terms.error_budget = Some(rule)) {
            PolicyError::Rule { signal: Signal::ErrorBudget, fault } => fault,
            other => panic!("{other}"),
        }
    };
    assert_eq!(fault(&|rule| rule.burn_rate = Measure::from_units(0)), RuleFault::NotPositive);
    assert_eq!(fault(&|rule| rule.short = Span::ZERO), RuleFault::Stretches);
    assert_eq!(fault(&|rule| rule.short = rule.long), RuleFault::Stretches);
    let too_long = Span::from_millis(ErrorBudgetRule::LONGEST_STRETCH.as_millis() + 1);
    assert_eq!(fault(&|rule| rule.long = too_long), RuleFault::Stretches);
    assert_eq!(fault(&|rule| rule.step = Percent::NONE), RuleFault::NoStep);
    assert_eq!(fault(&|rule| rule.credence.least_samples = 0), RuleFault::NoSamples);
    accepted(|terms| terms.error_budget = Some(budget()));
    let longest = ErrorBudgetRule { long: ErrorBudgetRule::LONGEST_STRETCH, ..budget() };
    accepted(|terms| terms.error_budget = Some(longest));
}

/// Shows SCL-2.
#[test]
fn what_scales_to_zero_can_be_woken() {
    let to_zero = queued().bounds;
    assert_eq!(refused(|terms| terms.bounds = to_zero), PolicyError::NothingWakes);
    accepted(|terms| {
        terms.bounds = to_zero;
        terms.rules.push(rule(ScalingMetric::RequestRate, 10));
    });
}

#[test]
fn windows_limits_and_waits_have_an_end() {
    let hour = Span::from_secs(3_600);
    let longer = Span::from_millis(3_600_001);
    let window = |scale_out, scale_in| Stabilisation { scale_out, scale_in };
    accepted(|terms| terms.stabilisation = window(hour, hour));
    for both in [window(longer, hour), window(hour, longer)] {
        let error = refused(|terms| terms.stabilisation = both);
        assert_eq!(error, PolicyError::Window { longest: longer });
    }
    let limit = |replicas: Option<u16>, percent, seconds| StepLimit {
        replicas: replicas.map(super::replicas),
        percent,
        period: Span::from_millis(seconds),
    };
    for legal in [
        limit(Some(1), None, 1_000),
        limit(None, Some(1), 1_800_000),
        limit(None, Some(1_000), 1_000),
        limit(Some(1_000), Some(1), 1_000),
    ] {
        accepted(|terms| terms.limits.scale_out = Some(legal));
        accepted(|terms| terms.limits.scale_in = Some(legal));
    }
    for illegal in [
        limit(None, None, 1_000),
        limit(Some(1), None, 999),
        limit(Some(1), None, 1_800_001),
        limit(None, Some(0), 1_000),
        limit(Some(1), Some(1_001), 1_000),
    ] {
        assert_eq!(refused(|terms| terms.limits.scale_out = Some(illegal)), PolicyError::Limit);
        assert_eq!(refused(|terms| terms.limits.scale_in = Some(illegal)), PolicyError::Limit);
    }
    for millis in [999, 3_600_001] {
        let after = Span::from_millis(millis);
        assert_eq!(refused(|terms| terms.fallback.after = after), PolicyError::Fallback { after });
    }
    for seconds in [1, 3_600] {
        accepted(|terms| terms.fallback.after = Span::from_secs(seconds));
    }
}

#[test]
fn a_cooldown_is_at_most_a_day() {
    let day = Cooldown::from_secs(86_400).unwrap();
    assert_eq!((day.as_secs(), day.span(), u32::from(day)), (86_400, Span::from_secs(86_400), 86_400));
    let refused = Cooldown::try_from(86_401).unwrap_err().to_string();
    assert_eq!(refused, "86401 seconds are not a cooldown: write a number from 0 to 86400");
    assert!(serde_json::from_str::<Cooldown>("86401").is_err());
    assert_eq!(serde_json::to_string(&day).unwrap(), "86400");
    assert_eq!(Cooldown::default().as_secs(), 300);
}

#[test]
fn what_is_not_said_is_as_documented() {
    let written = serde_json::json!({
        "bounds": { "target": "kubernetes", "min_replicas": 2, "max_replicas": 10 },
        "rules": [{ "metric": "queue-length", "threshold": "10" }],
    });
    let spec: PolicySpec = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(spec.terms(), &PolicyTerms::new(bare().bounds, [rule(ScalingMetric::QueueLength, 10)]));
    assert_eq!(spec.terms().tolerance, Percent::new(10).unwrap());
    assert_eq!(spec.terms().stabilisation.scale_in, Span::from_secs(300));
    assert_eq!(spec.terms().stabilisation.scale_out, Span::ZERO);
    assert_eq!(spec.terms().fallback.after, Span::from_secs(180));
    assert_eq!(spec.terms().fallback.replicas, FallbackReplicas::Current);
    assert_eq!(spec.terms().rules[0].credence.freshness, Span::from_secs(60));
    assert_eq!(spec.terms().rules[0].action, ScalingAction::ScaleOutAndIn);
    let mut more = written;
    more["rules"][0]["unheard_of"] = 1.into();
    assert!(serde_json::from_value::<PolicySpec>(more).is_err());
}

#[test]
fn policies_differ_in_what_they_say() {
    let one = spec(bare());
    assert_eq!(one.differences(&one), Vec::<&str>::new());
    let other = spec(PolicyTerms {
        tolerance: Percent::NONE,
        error_budget: Some(budget()),
        stabilisation: Stabilisation::default(),
        cooldown_seconds: Cooldown::default(),
        limits: StepLimits {
            scale_out: Some(StepLimit { replicas: None, percent: Some(1), period: Span::from_secs(1) }),
            scale_in: None,
        },
        fallback: Fallback { after: Span::from_secs(1), replicas: FallbackReplicas::Current },
        ..queued()
    });
    let all = [
        "bounds",
        "rules",
        "error_budget",
        "tolerance",
        "stabilisation",
        "cooldown_seconds",
        "limits",
        "fallback",
    ];
    assert_eq!(one.differences(&other), all);
}

#[test]
fn metrics_and_signals_are_called_the_same_everywhere() {
    for metric in ScalingMetric::ALL {
        assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        let signal = Signal::from(metric);
        assert_eq!((signal.name(), metric.to_string().as_str()), (metric.name(), metric.name()));
        assert_eq!(serde_json::to_value(signal).unwrap(), signal.to_string());
    }
    assert_eq!(serde_json::to_value(Signal::ErrorBudget).unwrap(), Signal::ErrorBudget.name());
    assert_eq!(ScalingMetric::ALL.map(ScalingMetric::is_utilization), [true, true, false, false]);
}

#[test]
fn a_fallback_is_never_none() {
    use FallbackReplicas::{Current, IfHigher, IfLower, Static};
    let three = replicas(3);
    let of = |current| [Current, Static(three), IfHigher(three), IfLower(three)].map(|way| way.of(current));
    assert_eq!((of(0), of(2), of(5)), ([1, 3, 3, 1], [2, 3, 3, 2], [5, 3, 5, 3]));
}
