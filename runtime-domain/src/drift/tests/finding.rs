//! The table of the context's docs, and what holds for every finding.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::ToString;

use serde_json::{Value, json};

use super::fixture::*;
use crate::aggregate::{Aggregate, DomainEvent, EvidenceRef};
use crate::calendar::{Activity, BreakGlass, Clearance};
use crate::claim::Claim;
use crate::drift::*;
use crate::id::{AggregateKind, ServiceId};
use crate::refusal::Rule;
use crate::testing::{Answer, answer, assert_refused, assert_schema_is_kept, at, id, name};
use crate::time::Span;
use crate::value::Revision;

const NO: Answer = Answer::Refused(Rule::Lifecycle);
const QUARANTINE: Answer = Answer::Refused(Rule::Quarantine);

fn quarantined() -> DriftCommand {
    DriftCommand::PlanRemediation(PlanRemediation { quarantined: BTreeSet::from([digest(1)]), ..plan_of(9) })
}

fn postpone(seconds: u64) -> DriftCommand {
    DriftCommand::PostponeRemediation { until: at(seconds), reason: "the calendar is closed".to_string() }
}

fn revoke() -> DriftCommand {
    DriftCommand::RevokeException { reason: "it is over".to_string() }
}

/// A command, when it is given, and its answer in each state.
fn table() -> [(DriftCommand, u64, [Answer; 7]); 15] {
    use Answer::{Changes as Yes, Same};
    let drf1 = Answer::Refused(Rule::Drf1);
    [
        (see_in_sync(50, None), 50, [Yes, Yes, Same, Yes, Yes, Same, Same]),
        (see_in_sync(50, Some(9)), 50, [Yes, Yes, Yes, Yes, Yes, Same, Same]),
        (see_in_sync(50, Some(8)), 50, [Yes, Yes, drf1, Yes, Yes, Same, Same]),
        (DriftCommand::SeeReplaced { drift: drift(3, 50) }, 50, [Yes, Yes, Same, Yes, Yes, Same, Same]),
        (DriftCommand::SeeReplaced { drift: drift(2, 50) }, 50, [Same; 7]),
        (plan(), 50, [Yes, NO, Same, Yes, NO, NO, NO]),
        (quarantined(), 50, [QUARANTINE, NO, Same, QUARANTINE, NO, NO, NO]),
        (postpone(90), 50, [Yes, NO, NO, Yes, NO, NO, NO]),
        (failed(1), 50, [NO, NO, Yes, Same, NO, NO, NO]),
        (failed(2), 50, [NO, NO, NO, NO, Same, NO, NO]),
        (retry(), 50, [Same, NO, Same, Yes, Yes, NO, NO]),
        (accept(100), 50, [Yes, Yes, NO, Yes, Yes, NO, NO]),
        (accept(200), 50, [Yes, Same, NO, Yes, Yes, NO, NO]),
        (revoke(), 50, [Same, Yes, Same, Same, Same, NO, NO]),
        (DriftCommand::Tick, 200, [Same, Yes, Yes, Same, Same, Same, Same]),
    ]
}

/// Shows DRF-1, X-3.
#[test]
fn every_command_in_every_state_is_answered_as_the_table_says() {
    for (command, seconds, row) in table() {
        for (status, expected) in DriftStatus::ALL.into_iter().zip(row) {
            let told = in_state(status);
            let decided = told.now().decide(&command, at(seconds));
            assert_eq!(answer(&decided), expected, "{} while {status}: {command:?}", command.name());
            let Ok(decision) = decided else { continue };
            let mut after = told.clone();
            after.happen(decision, at(seconds));
            after.check_replay_and_record();
        }
    }
}

/// Shows X-3.
#[test]
fn the_same_exception_is_accepted_once_however_its_reason_is_spaced() {
    let mut told = in_state(DriftStatus::Detected);
    let spaced = || {
        DriftCommand::AcceptException(DriftException {
            reason: " a load test \n".to_string(),
            ..exception(at(200))
        })
    };
    told.command(&spaced(), 50).unwrap();
    assert_eq!(answer(&told.now().decide(&spaced(), at(50))), Answer::Same);
    assert_eq!(answer(&told.now().decide(&accept(200), at(50))), Answer::Same);
}

/// Shows DRF-2, X-3.
#[test]
fn the_same_divergence_is_found_once_while_it_is_open() {
    for status in DriftStatus::ALL {
        let told = in_state(status);
        let is_open = DriftStatus::OPEN.contains(&status);
        let expected = |otherwise| if is_open { otherwise } else { NO };
        let again = |drift, seconds| answer(&told.now().detect_again(&drift, at(seconds)));
        assert_eq!(again(drift(2, 50), 50), expected(Answer::Same), "{status}");
        assert_eq!(again(drift(2, 899), 899), expected(Answer::Same), "{status}");
        assert_eq!(again(drift(2, 900), 900), expected(Answer::Changes), "{status}");
        let revision = "pulumi:prod@8".parse().unwrap();
        let newer = DetectedDrift { revision, ..drift(2, 50) };
        assert_eq!(again(newer, 50), expected(Answer::Changes), "{status}");
        assert_eq!(again(drift(3, 50), 50), Answer::Refused(Rule::Drf2), "{status}");
        let claim = Claim::drift_finding(id(2), told.now().hash());
        assert_eq!(told.now().claims().contains(&claim), is_open, "{status}");
    }
    let mut told = in_state(DriftStatus::Remediating);
    let older = DetectedDrift { severity: Severity::Low, ..drift(2, 0) };
    assert_eq!(answer(&told.now().detect_again(&older, at(1))), Answer::Same);
    let lower = DetectedDrift { severity: Severity::Low, ..drift(2, 7) };
    told.happen(told.now().detect_again(&lower, at(7)).unwrap(), at(7));
    let finding = told.now();
    assert_eq!((finding.severity(), finding.last_seen_at(), finding.sightings()), (Severity::Low, at(7), 2));
    told.check_replay_and_record();
}

/// Shows X-1.
#[test]
fn nothing_of_another_tenant_environment_subject_or_kind_is_believed() {
    let x1 = Answer::Refused(Rule::X1);
    let told = in_state(DriftStatus::Remediating);
    let strays = [
        InSync { tenant: id(8), ..in_sync(50) },
        InSync { environment: id(8), ..in_sync(50) },
        InSync { subject: Subject::Resource(name("cart")), ..in_sync(50) },
        InSync { kind: DriftKind::ConfigDrift, ..in_sync(50) },
    ];
    for in_sync in strays {
        let command = DriftCommand::SeeInSync { in_sync, deployed: Some(Box::new(deployed(9))) };
        assert_eq!(answer(&told.now().decide(&command, at(50))), x1, "{command:?}");
    }
    let mut other = deployed(9);
    other.component.module = name("orders");
    for stray in [deployed_in(8, 2), deployed_in(1, 8), other] {
        let command = DriftCommand::SeeInSync { in_sync: in_sync(50), deployed: Some(Box::new(stray)) };
        assert_eq!(answer(&told.now().decide(&command, at(50))), x1, "{command:?}");
    }
    let found = in_state(DriftStatus::Detected);
    for stray in [
        DetectedDrift { tenant: id(8), ..drift(3, 50) },
        DetectedDrift { environment: id(8), ..drift(3, 50) },
        DetectedDrift { subject: Subject::Resource(name("cart")), ..drift(3, 50) },
        DetectedDrift { kind: DriftKind::ConfigDrift, ..drift(3, 50) },
    ] {
        let command = DriftCommand::SeeReplaced { drift: stray };
        assert_eq!(answer(&found.now().decide(&command, at(50))), x1, "{command:?}");
    }
    for stray in [
        DetectedDrift { tenant: id(8), ..drift(2, 50) },
        DetectedDrift { environment: id(8), ..drift(2, 50) },
    ] {
        assert_eq!(answer(&found.now().detect_again(&stray, at(50))), x1);
    }
    for clearance in
        [Clearance { tenant: id(8), ..clearance() }, Clearance { environment: id(8), ..clearance() }]
    {
        let command = DriftCommand::PlanRemediation(PlanRemediation { clearance, ..plan_of(9) });
        assert_eq!(answer(&found.now().decide(&command, at(50))), x1);
    }
}

fn deployed_in(tenant: u128, environment: u128) -> crate::deployment::DeployedVersion {
    let mut version = deployed(9);
    version.tenant = id(tenant);
    version.environment = id(environment);
    version
}

#[test]
fn evidence_says_nothing_once_it_is_old() {
    let content = Answer::Refused(Rule::Content);
    let told = in_state(DriftStatus::Detected);
    for (now, is_fresh) in [(300, true), (301, false)] {
        let expected = |otherwise| if is_fresh { otherwise } else { content };
        let found = RuntimeDriftFinding::detect(&detect(RemediationMode::Warn), at(now));
        assert_eq!(answer(&found), expected(Answer::Changes));
        assert_eq!(answer(&told.now().detect_again(&drift(2, 0), at(now))), expected(Answer::Same));
    }
    assert_eq!(answer(&told.now().decide(&see_in_sync(5, None), at(305))), Answer::Changes);
    assert_eq!(answer(&told.now().decide(&see_in_sync(5, None), at(306))), content);
    let replaced = DriftCommand::SeeReplaced { drift: drift(3, 5) };
    assert_eq!(answer(&told.now().decide(&replaced, at(306))), content);
    assert_eq!(answer(&told.now().decide(&see_in_sync(0, None), at(5))), Answer::Same);
    let replaced = DriftCommand::SeeReplaced { drift: drift(3, 0) };
    assert_eq!(answer(&told.now().decide(&replaced, at(5))), Answer::Same);
}

/// Shows DRF-1.
#[test]
fn a_repair_counts_only_where_what_runs_was_seen_after_it_began() {
    let told = in_state(DriftStatus::Remediating);
    assert_eq!(answer(&told.now().decide(&see_in_sync(1, Some(9)), at(5))), Answer::Same);
    let mut told = told;
    told.command(&see_in_sync(2, Some(9)), 5).unwrap();
    let finding = told.now();
    assert_eq!(finding.remediated_at(), Some(at(5)));
    assert_eq!(finding.remediation_deployment_id(), Some(id(9)));
    assert_eq!(finding.attempts()[0].result, RemediationResult::Succeeded);
    let event = &told.history.last().unwrap().0;
    assert_eq!((event.name(), event.published()), ("RuntimeDriftRemediated", Some(1)));
    assert!(finding.claims().is_empty() && finding.wake_at().is_none());
}

/// Shows DRF-1.
#[test]
fn what_goes_by_itself_is_vanished_and_what_goes_while_it_is_excepted_is_resolved() {
    let mut told = in_state(DriftStatus::Excepted);
    told.command(&see_in_sync(50, None), 50).unwrap();
    let DriftState::Resolved(resolved) = told.now().state() else { panic!("it is not resolved") };
    assert_eq!(resolved.resolution, Resolution::Excepted(exception(at(200))));
    assert_eq!((told.now().remediated_at(), told.now().remediation_deployment_id()), (None, None));
    let mut told = in_state(DriftStatus::Escalated);
    told.command(&DriftCommand::SeeReplaced { drift: drift(3, 50) }, 50).unwrap();
    let DriftState::Vanished(vanished) = told.now().state() else { panic!("it has not vanished") };
    assert_eq!(vanished.replaced_by.as_ref(), Some(drift(3, 50).hash()));
}

/// Buried: argo-cd#18442.
#[test]
fn argo_cd_18442_a_failed_repair_is_tried_again_with_growing_waits_until_people_are_called() {
    let mut told = in_state(DriftStatus::RemediationFailed);
    assert_eq!(told.now().wake_at(), Some(at(12)));
    assert_eq!(answer(&told.now().decide(&plan(), at(11))), NO);
    told.command(&plan(), 12).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(112)));
    assert_eq!(answer(&told.now().decide(&DriftCommand::Tick, at(111))), Answer::Same);
    told.command(&DriftCommand::Tick, 112).unwrap();
    let DriftState::Escalated(escalated) = told.now().state() else { panic!("nobody is called") };
    assert!(escalated.reason.contains("nothing was heard"), "{}", escalated.reason);
    assert_eq!(told.now().wake_at(), None);
    told.command(&retry(), 113).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(113)));
    told.command(&plan(), 114).unwrap();
    let DriftState::Remediating(remediating) = told.now().state() else { panic!("it is not repaired") };
    assert_eq!((remediating.attempt, remediating.tries), (3, 1));
    told.check_replay_and_record();
}

#[test]
fn a_budget_keeps_its_bounds_and_its_waits_double_up_to_the_longest() {
    let span = Span::from_secs;
    let legal = |tries, first, last, deadline| {
        RemediationBudget::new(tries, span(first), span(last), span(deadline)).is_ok()
    };
    assert!(legal(1, 1, 1, 1) && legal(20, 86_400, 86_400, 86_400));
    for (tries, first, last, deadline) in [
        (0, 1, 1, 1),
        (21, 1, 1, 1),
        (1, 0, 1, 1),
        (1, 2, 1, 1),
        (1, 1, 86_401, 1),
        (1, 1, 1, 0),
        (1, 1, 1, 86_401),
    ] {
        assert!(!legal(tries, first, last, deadline), "{tries} {first} {last} {deadline}");
    }
    let budget = RemediationBudget::default();
    assert_eq!(
        [1, 2, 3, 7, 100].map(|failures| budget.backoff(failures)),
        [30, 60, 120, 1_800, 1_800].map(span)
    );
    let mut stored = serde_json::to_value(budget).unwrap();
    assert_eq!(serde_json::from_value::<RemediationBudget>(stored.clone()).unwrap(), budget);
    stored["most_attempts"] = json!(0);
    assert!(serde_json::from_value::<RemediationBudget>(stored).is_err());
}

#[test]
fn a_mode_says_whether_a_kind_is_repaired_by_itself_at_request_or_not() {
    assert_eq!(RemediationPolicy::default().mode(DriftKind::MissingResource), RemediationMode::Warn);
    let told = in_state(DriftStatus::Detected);
    let modes = [
        (RemediationMode::Off, NO, NO),
        (RemediationMode::Warn, NO, Answer::Changes),
        (RemediationMode::Remediate, Answer::Changes, Answer::Changes),
    ];
    for (mode, alone, asked) in modes {
        for (requested_by, expected) in [(None, alone), (Some(ada()), asked)] {
            let plan = PlanRemediation { policy: policy(mode), requested_by, ..plan_of(9) };
            let command = DriftCommand::PlanRemediation(plan);
            assert_eq!(answer(&told.now().decide(&command, at(1))), expected, "{mode:?}");
        }
        let wakes = detected(mode).now().wake_at();
        assert_eq!(wakes, (mode == RemediationMode::Remediate).then_some(at(0)));
    }
}

#[test]
fn a_repair_rests_on_the_calendar_and_keeps_who_broke_the_glass() {
    let told = in_state(DriftStatus::Detected);
    let other = Clearance { activity: Activity::Deployment, ..clearance() };
    let command = DriftCommand::PlanRemediation(PlanRemediation { clearance: other, ..plan_of(9) });
    assert_eq!(answer(&told.now().decide(&command, at(1))), Answer::Refused(Rule::Calendar));
    let glass = BreakGlass { by: ada(), reason: "customers wait".to_string() };
    let broken = Clearance { break_glass: Some(glass.clone()), ..clearance() };
    let command = DriftCommand::PlanRemediation(PlanRemediation { clearance: broken, ..plan_of(9) });
    let decision = told.now().decide(&command, at(1)).unwrap();
    let DriftEvent::RemediationPlanned { break_glass, .. } = &decision.events[0] else { panic!("no plan") };
    assert_eq!(break_glass.as_ref(), Some(&glass));
    let environment = EvidenceRef {
        kind: AggregateKind::RuntimeEnvironment,
        id: id::<crate::id::kind::Environment>(2).uuid(),
        revision: Revision(4),
    };
    assert_eq!(command.evidence(), [environment]);
    let deployment = see_in_sync(1, Some(9)).evidence();
    assert_eq!((deployment[0].kind, deployment[0].revision), (AggregateKind::RuntimeDeployment, Revision(5)));
    assert!(see_in_sync(1, None).evidence().is_empty() && retry().evidence().is_empty());
}

/// Buried: helm-controller#925.
#[test]
fn helm_controller_925_a_component_is_repaired_by_a_deployment_and_only_the_undesired_is_pruned() {
    let content = Answer::Refused(Rule::Content);
    let prune = |policy| PlanRemediation { action: RemediationAction::Prune, policy, ..plan_of(9) };
    let told = in_state(DriftStatus::Detected);
    let command = DriftCommand::PlanRemediation(prune(policy(RemediationMode::Remediate)));
    assert_eq!(answer(&told.now().decide(&command, at(1))), content);
    let mut told = unmanaged();
    assert_eq!(answer(&told.now().decide(&plan(), at(1))), content);
    told.command(&command, 1).unwrap();
    let gone = |seconds| {
        let other = DesiredState {
            components: [(name("orders"), desired_component())].into(),
            ..DesiredState::default()
        };
        let seen = compared(other, &actual_state(None, seconds), &Ownership::nobody(), seconds);
        DriftCommand::SeeInSync {
            in_sync: seen.in_sync(&cart(), DriftKind::UnmanagedResource).unwrap(),
            deployed: None,
        }
    };
    assert_eq!(answer(&told.now().decide(&gone(1), at(2))), Answer::Same);
    told.command(&gone(2), 2).unwrap();
    assert_eq!(told.now().remediated_at(), Some(at(2)));
    assert_eq!(told.now().remediation_deployment_id(), None);
    told.check_replay_and_record();
}

fn unmanaged() -> Finding {
    let other = DesiredState {
        components: [(name("orders"), desired_component())].into(),
        ..DesiredState::default()
    };
    let mut seen =
        compared(other, &actual_state(Some(actual_component(0)), 0), &Ownership::nobody(), 0).detected;
    let drift = seen.remove(0);
    assert_eq!(drift.kind(), DriftKind::UnmanagedResource);
    let detect = DetectDrift { drift_finding_id: id(3), drift, mode: RemediationMode::Remediate };
    crate::testing::Told::begin(RuntimeDriftFinding::detect(&detect, at(0)), at(0))
}

#[test]
fn an_exception_is_bounded_says_why_and_reopens_when_it_expires() {
    let told = in_state(DriftStatus::Detected);
    let content = Answer::Refused(Rule::Content);
    let latest = LONGEST_EXCEPTION.after(at(5));
    let later = Span::from_millis(1).after(latest);
    for (until, expected) in
        [(at(5), content), (at(6), Answer::Changes), (latest, Answer::Changes), (later, content)]
    {
        let command = DriftCommand::AcceptException(exception(until));
        assert_eq!(answer(&told.now().decide(&command, at(5))), expected, "{until}");
    }
    let silent = DriftException { reason: " ".to_string(), ..exception(at(9)) };
    assert_eq!(answer(&told.now().decide(&DriftCommand::AcceptException(silent), at(5))), content);
    let mut told = in_state(DriftStatus::Excepted);
    assert_eq!(told.now().wake_at(), Some(at(200)));
    assert_eq!(answer(&told.now().decide(&DriftCommand::Tick, at(199))), Answer::Same);
    told.command(&DriftCommand::Tick, 200).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(200)));
    assert_eq!(told.now().state().status(), DriftStatus::Detected);
}

#[test]
fn a_repair_is_put_off_for_a_bounded_while() {
    let mut told = in_state(DriftStatus::Detected);
    let content = Answer::Refused(Rule::Content);
    let postpone_to = |until| DriftCommand::PostponeRemediation { until, reason: "closed".to_string() };
    let latest = LONGEST_POSTPONEMENT.after(at(5));
    let later = Span::from_millis(1).after(latest);
    for (until, expected) in
        [(at(5), content), (at(6), Answer::Changes), (latest, Answer::Changes), (later, content)]
    {
        assert_eq!(answer(&told.now().decide(&postpone_to(until), at(5))), expected, "{until}");
    }
    told.command(&postpone(90), 5).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(90)));
    assert_eq!(answer(&told.now().decide(&postpone(90), at(5))), Answer::Same);
    let mut told = in_state(DriftStatus::RemediationFailed);
    told.command(&postpone(90), 5).unwrap();
    assert_eq!(told.now().wake_at(), Some(at(90)));
}

/// Buried: argo-cd#16193. Theirs: a secret stood in an error message and in a diff. Ours: no reason keeps one, and a difference shows only that
/// there is one.
/// Shows X-11.
#[test]
fn argo_cd_16193_no_secret_is_kept_in_a_reason() {
    let secret = "login failed for https://me:hunter2@host";
    let mut told = in_state(DriftStatus::Remediating);
    let report = DriftCommand::RecordRemediationFailed { attempt: 1, reason: secret.to_string() };
    told.command(&report, 2).unwrap();
    let stored = serde_json::to_string(&told.now().to_record()).unwrap();
    assert!(!stored.contains("hunter2"), "{stored}");
    let accepted = DriftException { reason: secret.to_string(), ..exception(at(90)) };
    let refused = told.now().decide(&DriftCommand::AcceptException(accepted), at(5)).unwrap_err();
    assert_eq!(refused, DriftRefusal::SecretReason);
    assert!(!refused.to_string().contains("hunter2"));
    assert_eq!(
        answer(&Err::<crate::aggregate::Decision<DriftEvent>, _>(refused)),
        Answer::Refused(Rule::X11)
    );
}

/// Shows DRF-3.
#[test]
fn a_finding_says_what_is_desired_and_at_which_revision() {
    let told = in_state(DriftStatus::Detected);
    let finding = told.now();
    assert_eq!(finding.revision().as_str(), "pulumi:prod@7");
    let shown = |number: u8| compare::ShownValue::Text(alloc::format!("{:?}", digest(number).as_str()));
    assert_eq!(finding.desired().collect::<alloc::vec::Vec<_>>(), [("/image", &shown(1))]);
    assert_eq!(finding.actual().collect::<alloc::vec::Vec<_>>(), [("/image", &shown(2))]);
    assert_eq!((finding.id(), finding.tenant_id(), finding.environment_id()), (id(3), id(1), id(2)));
    assert_eq!(finding.service_id(), Some(ServiceId::of(id(2), &name("cart"))));
    assert_eq!(finding.modules(), BTreeSet::from([name("cart")]));
    assert_eq!((finding.detected_at(), finding.desired_image()), (at(0), Some(&digest(1))));
    assert_eq!((finding.kind(), finding.subject()), (DriftKind::ImageVersionMismatch, &cart()));
    let event = &told.history[0].0;
    assert_eq!((event.name(), event.published()), ("RuntimeDriftDetected", Some(1)));
    assert_eq!((finding.status(), finding.tenant(), finding.environment()), ("Detected", id(1), id(2)));
}

/// Shows DRF-1, DRF-2, DRF-3, X-11.
#[test]
fn a_record_that_was_tampered_with_is_refused() {
    for status in DriftStatus::ALL {
        let told = in_state(status);
        assert_schema_is_kept(told.now());
        assert_refused(told.now(), "DRF-2", |record| record["hash"] = json!("a".repeat(64)));
        assert_refused(told.now(), "DRF-2", |record| record["kind"] = json!("ConfigDrift"));
        assert_refused(told.now(), "SCHEMA", |record| record["revision"] = json!("git:main"));
        assert_refused(told.now(), "LIFECYCLE", |record| record["sightings"] = json!(0));
        assert_refused(told.now(), "LIFECYCLE", |record| record["attempted"] = json!(7));
    }
    let refused = |status, rule, path: &str, value: Value| {
        assert_refused(in_state(status).now(), rule, |record| *record.pointer_mut(path).unwrap() = value);
    };
    refused(DriftStatus::Resolved, "DRF-1", "/attempts/0/result", json!("running"));
    refused(DriftStatus::Resolved, "DRF-1", "/state/Resolved/resolution/Remediated/attempt", json!(2));
    refused(DriftStatus::Remediating, "LIFECYCLE", "/attempts/0/result", json!("succeeded"));
    refused(DriftStatus::Remediating, "LIFECYCLE", "/state/Remediating/attempt", json!(2));
    refused(DriftStatus::Remediating, "LIFECYCLE", "/state/Remediating/tries", json!(0));
    refused(DriftStatus::Remediating, "CONTENT", "/attempts/0/action", json!("prune"));
    refused(DriftStatus::RemediationFailed, "LIFECYCLE", "/state/RemediationFailed/tries", json!(0));
    refused(DriftStatus::RemediationFailed, "LIFECYCLE", "/attempts/0/result", json!("running"));
    refused(DriftStatus::RemediationFailed, "X-11", "/attempts/0/result/failed/reason", json!("pwd=x"));
    refused(DriftStatus::RemediationFailed, "CONTENT", "/attempts/0/result/failed/reason", json!(" "));
    refused(DriftStatus::Escalated, "LIFECYCLE", "/attempts/0/result", json!("running"));
    refused(DriftStatus::Escalated, "LIFECYCLE", "/attempts/0/number", json!(2));
    refused(DriftStatus::Escalated, "CONTENT", "/state/Escalated/reason", json!(""));
    refused(DriftStatus::Excepted, "X-11", "/state/Excepted/reason", json!("Bearer abc"));
    let own = in_state(DriftStatus::Vanished).now().hash().to_string();
    refused(DriftStatus::Vanished, "DRF-2", "/state/Vanished/replaced_by", json!(own));
    let none = in_state(DriftStatus::Detected);
    let failed = json!({"RemediationFailed": {"tries": 1, "retry_at": at(5)}});
    assert_refused(none.now(), "LIFECYCLE", |record| record["state"] = failed);
    let resolved = json!({"Resolved": {"resolved_at": at(5), "resolution": {"Remediated": {"attempt": 0}}}});
    assert_refused(none.now(), "DRF-1", |record| record["state"] = resolved);
    let escalated = json!({"Escalated": {"since": at(5), "reason": "x"}});
    assert_refused(none.now(), "LIFECYCLE", |record| record["state"] = escalated);
}

#[test]
fn only_so_many_attempts_are_kept_and_all_are_counted() {
    let mut told = in_state(DriftStatus::Detected);
    let count = u32::try_from(MOST_ATTEMPTS_KEPT).unwrap() + 1;
    for number in 1..=count {
        told.command(&plan(), 1).unwrap();
        told.command(&failed(number), 2).unwrap();
        told.command(&retry(), 3).unwrap();
    }
    let attempts = told.now().attempts();
    assert_eq!((attempts.len(), attempts[0].number), (MOST_ATTEMPTS_KEPT, 2));
    told.check_replay_and_record();
    assert_refused(told.now(), "LIFECYCLE", |record| {
        record["attempts"].as_array_mut().unwrap().remove(0);
    });
}

#[test]
fn every_status_has_its_name() {
    for status in DriftStatus::ALL {
        assert_eq!(status.to_string(), alloc::format!("{status:?}"));
        assert_eq!(DriftStatus::OPEN.contains(&status), in_state(status).now().state().is_open());
    }
}
