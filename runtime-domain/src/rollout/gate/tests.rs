//! What one look comes to, what many come to, and when the next is due.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::testing::{at, name};

fn metric() -> MetricCheck {
    MetricCheck {
        metric: MetricName::ErrorRate,
        bound: Bound::AtMost("0.05".parse().unwrap()),
        min_samples: 20,
        freshness: Span::from_secs(30),
        interval: Span::from_secs(5),
        successes: 3,
        failure_limit: 1,
        inconclusive_limit: 2,
    }
}

fn probe() -> ProbeCheck {
    ProbeCheck {
        path: HttpPath::new("/ready").unwrap(),
        interval: Span::from_secs(2),
        timeout: Span::from_secs(1),
        successes: 2,
        failure_limit: 0,
        inconclusive_limit: 3,
    }
}

fn gate(check: GateCheck) -> HealthGate {
    HealthGate {
        name: name("gate"),
        at: GatePoint::DuringTraffic,
        check,
        judged: None,
        status: GateStatus::Pending,
    }
}

fn reading(value: Option<&str>, samples: u64, age: Option<u64>) -> Result<MetricReading, String> {
    let value = value.map(|value| value.parse().unwrap());
    Ok(MetricReading { value, samples, newest: age.map(|age| at(100 - age)) })
}

fn success() -> Sample {
    Sample::Success { seen: "well".to_string() }
}
fn failure() -> Sample {
    Sample::Failure { seen: "ill".to_string() }
}
fn unknown() -> Sample {
    Sample::Unknown { seen: "dark".to_string() }
}

/// Buried: argo-rollouts#4479, argo-rollouts#521.
#[test]
fn a_reading_is_judged_only_where_it_rests_on_enough_that_is_fresh() {
    let judged = |reading| metric().judge(&reading, at(100));
    let is_unknown = |reading| matches!(judged(reading), Sample::Unknown { .. });
    assert!(matches!(judged(reading(Some("0.05"), 20, Some(30))), Sample::Success { .. }));
    assert!(matches!(judged(reading(Some("0.050001"), 20, Some(30))), Sample::Failure { .. }));
    assert!(is_unknown(reading(Some("0"), 19, Some(0))), "too few samples");
    assert!(is_unknown(reading(Some("0"), 20, Some(31))), "too old");
    assert!(is_unknown(reading(Some("0"), 20, None)), "nobody knows how old");
    assert!(is_unknown(reading(None, 20, Some(0))), "no value");
    assert!(is_unknown(Err("timed out".to_string())), "no reading");
    let skewed = metric().judge(&reading(Some("0"), 20, Some(0)), at(50));
    assert!(matches!(skewed, Sample::Success { .. }), "a source whose clock runs ahead is fresh");
    let told = judged(reading(Some("0.01"), 25, Some(0)));
    assert_eq!(told.seen(), "error-rate 0.01 over 25 samples, wanted ≤ 0.05");
    assert_eq!(judged(Err("timed out".to_string())).seen(), "error-rate could not be read: timed out");
}

#[test]
fn a_bound_holds_at_its_very_value() {
    let measure = |text: &str| text.parse::<Measure>().unwrap();
    let (most, least) = (Bound::AtMost(measure("2")), Bound::AtLeast(measure("2")));
    assert!(most.holds(measure("2")) && least.holds(measure("2")));
    assert!(most.holds(measure("1.999999")) && !least.holds(measure("1.999999")));
    assert!(!most.holds(measure("2.000001")) && least.holds(measure("2.000001")));
    assert_eq!((most.to_string(), least.to_string()), ("≤ 2".to_string(), "≥ 2".to_string()));
}

#[test]
fn the_worst_answer_of_a_round_decides_and_no_target_is_unknown() {
    let answered = |answers: &[Result<u16, String>]| {
        let results: Vec<ProbeResult> = answers
            .iter()
            .enumerate()
            .map(|(index, answer)| ProbeResult { target: alloc::format!("t{index}"), answer: answer.clone() })
            .collect();
        probe().judge(&results)
    };
    assert_eq!(answered(&[Ok(200), Ok(299)]).seen(), "2 of 2 answered 2xx to /ready");
    assert!(matches!(answered(&[Ok(200), Ok(299)]), Sample::Success { .. }));
    assert_eq!(answered(&[Ok(200), Ok(300)]).seen(), "t1 answered status 300 to /ready");
    assert!(matches!(answered(&[Ok(199)]), Sample::Failure { .. }));
    assert_eq!(answered(&[Err("refused".to_string())]).seen(), "t0 answered refused to /ready");
    assert!(matches!(answered(&[]), Sample::Unknown { .. }));
}

#[test]
fn successes_must_be_in_a_row_failures_add_up_and_unknown_is_neither() {
    let after = |samples: &[Sample]| {
        let mut gate = gate(GateCheck::Metric(metric()));
        for (index, sample) in samples.iter().enumerate() {
            gate.count(sample, at(index as u64));
        }
        gate.conclusion()
    };
    use Conclusion::{Failed, Inconclusive, Sufficient, Undecided};
    assert_eq!(after(&[]), Undecided);
    assert_eq!(after(&[success(), success()]), Undecided);
    assert_eq!(after(&[success(), success(), success()]), Sufficient);
    assert_eq!(after(&[success(), success(), failure(), success()]), Undecided);
    assert_eq!(after(&[success(), success(), unknown(), success()]), Undecided);
    assert_eq!(after(&[failure()]), Undecided);
    assert_eq!(after(&[failure(), success(), failure()]), Failed);
    assert_eq!(after(&[unknown()]), Undecided);
    assert_eq!(after(&[unknown(), unknown()]), Inconclusive);
    assert_eq!(after(&[unknown(), success(), unknown()]), Undecided);
    assert_eq!(after(&[unknown(), failure(), unknown()]), Undecided);
    assert_eq!(after(&[failure(), failure(), unknown(), unknown()]), Failed, "a failure is not forgotten");
}

#[test]
fn limits_of_zero_ask_for_at_least_one_sample() {
    let mut gate = gate(GateCheck::Probe(ProbeCheck { successes: 0, inconclusive_limit: 0, ..probe() }));
    assert_eq!(gate.conclusion(), Conclusion::Undecided);
    gate.count(&success(), at(0));
    assert_eq!(gate.conclusion(), Conclusion::Sufficient);
    gate.count(&unknown(), at(1));
    assert_eq!(gate.conclusion(), Conclusion::Inconclusive);
}

#[test]
fn a_job_has_one_verdict_and_a_readiness_gate_none_of_its_own() {
    let job = || {
        let check = crate::deployment::tests::world::job_gate("migrate").check;
        gate(check)
    };
    let concluded = |sample: &Sample| {
        let mut gate = job();
        gate.count(sample, at(0));
        gate.conclusion()
    };
    assert_eq!(concluded(&success()), Conclusion::Sufficient);
    assert_eq!(concluded(&failure()), Conclusion::Failed);
    assert_eq!(concluded(&unknown()), Conclusion::Inconclusive);
    let mut readiness = gate(GateCheck::Readiness);
    readiness.count(&success(), at(0));
    assert_eq!(readiness.conclusion(), Conclusion::Undecided);
}

#[test]
fn approvals_count_different_people() {
    let mut approval = gate(GateCheck::Approval(ApprovalCheck { required: 2, approvers: BTreeSet::new() }));
    let mut approve = |who: &str| {
        approval.update_tally(|tally| {
            tally.approvals.insert(Actor::new(who).unwrap());
        });
        approval.conclusion()
    };
    assert_eq!(approve("ada"), Conclusion::Undecided);
    assert_eq!(approve("ada"), Conclusion::Undecided);
    assert_eq!(approve("grace"), Conclusion::Sufficient);
}

#[test]
fn a_sample_is_due_an_interval_after_the_last_and_never_after_the_verdict() {
    let probe = gate(GateCheck::Probe(probe()));
    assert_eq!(probe.sample_due(at(10)), Some(at(10)));
    let mut sampled = probe.clone();
    sampled.count(&success(), at(11));
    assert_eq!(sampled.sample_due(at(10)), Some(at(13)));
    assert_eq!((sampled.tally().sampled_at, sampled.tally().seen.as_str()), (Some(at(11)), "well"));
    let metric = gate(GateCheck::Metric(metric()));
    assert_eq!(metric.sample_due(at(10)), Some(at(15)), "a metric needs an interval of traffic first");
    let mut over = probe.clone();
    over.status = GateStatus::Passed { at: at(12), evidence: "well".to_string() };
    assert!(over.has_passed() && !probe.has_passed());
    assert_eq!((over.sample_due(at(10)), over.tally()), (None, Tally::default()));
    over.status = GateStatus::Failed { at: at(12), reason: "ill".to_string() };
    assert_eq!((over.sample_due(at(10)), over.has_passed()), (None, false));
    assert_eq!(gate(GateCheck::Readiness).sample_due(at(10)), None);
}

#[test]
fn what_a_gate_does_not_say_is_as_its_docs_say() {
    let check: GateCheck = serde_json::from_value(
        serde_json::json!({ "metric": { "metric": "latency-p99", "bound": { "at-least": "1" } } }),
    )
    .unwrap();
    let GateCheck::Metric(check) = check else { panic!("{check:?}") };
    assert_eq!(
        (check.min_samples, check.successes, check.failure_limit, check.inconclusive_limit),
        (1, 1, 0, 60)
    );
    assert_eq!((check.interval, check.freshness), (Span::from_secs(1), Span::from_secs(60)));
    let check: ProbeCheck = serde_json::from_value(serde_json::json!({ "path": "/" })).unwrap();
    assert_eq!((check.successes, check.failure_limit, check.inconclusive_limit), (1, 0, 60));
    assert_eq!((check.interval, check.timeout), (Span::from_secs(1), Span::from_secs(1)));
}
