//! When an environment may be changed, and who says so.

use super::*;
use crate::aggregate::Aggregate;
use crate::calendar::{Activity, BreakGlass, Clearance, Opening};
use crate::refusal::{Refusal, Rule};
use crate::testing::{Answer, answer, assert_refused};
use crate::value::Revision;

/// A moment in the night, and one in the day: the test's clock begins at 08:00 of a Friday.
const NIGHT: u64 = 15 * 3_600;
const DAY: u64 = 3_600;

fn governed() -> Told<RuntimeEnvironment> {
    let mut told = in_state(EnvironmentStage::Dev, ProvisioningStatus::Provisioned);
    told.command(&EnvironmentCommand::ChangeCalendar { calendar: nightly() }, 1).unwrap();
    told
}

fn resume(reason: &str) -> EnvironmentCommand {
    EnvironmentCommand::ResumeTheLine { by: ada(), reason: reason.to_string() }
}

fn glass(reason: &str) -> Option<BreakGlass> {
    Some(BreakGlass { by: ada(), reason: reason.to_string() })
}

fn cleared(
    told: &Told<RuntimeEnvironment>,
    seconds: u64,
    glass: Option<BreakGlass>,
) -> Result<Clearance, EnvironmentRefusal> {
    told.now().clear(Activity::Deployment, Revision(7), at(seconds), glass)
}

#[test]
fn a_change_is_cleared_while_the_calendar_is_open() {
    let told = governed();
    assert_eq!(told.now().calendar(), &nightly());
    for activity in Activity::ALL {
        let clearance = told.now().clear(activity, Revision(7), at(NIGHT), None).unwrap();
        assert_eq!((clearance.tenant(), clearance.environment()), (id(2), id(1)));
        assert_eq!((clearance.activity(), clearance.break_glass()), (activity, None));
        let fact = clearance.evidence();
        assert_eq!(
            (fact.kind, fact.id, fact.revision),
            (RuntimeEnvironment::KIND, told.now().uuid(), Revision(7))
        );
    }
}

#[test]
fn a_change_is_held_up_while_the_calendar_is_closed_and_told_when_it_opens() {
    let refused = cleared(&governed(), DAY, None).unwrap_err();
    assert_eq!(
        (refused.rule(), refused.to_string().contains("outside every window")),
        (Rule::Calendar, true)
    );
    assert!(refused.remedy().contains("22:00:00 UTC"), "{}", refused.remedy());
}

#[test]
fn broken_glass_lets_a_change_through_and_is_kept_with_its_reason() {
    let clearance = cleared(&governed(), DAY, glass(" customers cannot pay ")).unwrap();
    assert_eq!(clearance.break_glass(), glass("customers cannot pay").as_ref());
    assert_eq!(cleared(&governed(), DAY, glass(" ")).unwrap_err().rule(), Rule::Content);
    let unbroken = cleared(&governed(), NIGHT, glass("to be sure")).unwrap();
    assert_eq!(unbroken.break_glass(), None, "nothing was broken");
}

#[test]
fn a_stopped_line_holds_everything_up_until_it_is_resumed() {
    let mut told = governed();
    told.command(&stop("payments fail"), NIGHT).unwrap();
    let stopped = told.now().stopped_line().unwrap();
    assert_eq!(
        (stopped.by.as_str(), stopped.reason.as_str(), stopped.since),
        ("ada", "payments fail", at(NIGHT))
    );
    assert!(!told.now().opening(Activity::Rotation, at(NIGHT)).is_open());
    let refused = cleared(&told, NIGHT, None).unwrap_err();
    assert!(refused.remedy().contains("have the line resumed"), "{}", refused.remedy());
    assert!(cleared(&told, NIGHT, glass("the fix")).is_ok());
    assert_eq!(answer(&told.now().decide(&stop("again"), at(NIGHT))), Answer::Same);
    told.command(&resume("they work"), NIGHT + 1).unwrap();
    assert_eq!(told.now().stopped_line(), None);
    assert!(matches!(told.now().opening(Activity::Rotation, at(NIGHT + 1)), Opening::Open { .. }));
    told.check_replay_and_record();
}

#[test]
fn a_line_is_neither_stopped_nor_resumed_without_a_reason() {
    let told = governed();
    for command in [stop(" "), resume("")] {
        assert_eq!(answer(&told.now().decide(&command, at(DAY))), Answer::Refused(Rule::Content));
    }
}

#[test]
fn an_environment_that_is_taken_down_clears_nothing() {
    for status in ProvisioningStatus::ALL {
        let told = in_state(EnvironmentStage::Dev, status);
        let leaving =
            matches!(status, ProvisioningStatus::Decommissioning | ProvisioningStatus::Decommissioned);
        match cleared(&told, DAY, glass("now")) {
            Ok(_) => assert!(!leaving, "{status}"),
            Err(refused) => assert_eq!((refused.rule(), leaving), (Rule::Lifecycle, true), "{status}"),
        }
    }
}

#[test]
fn events_of_the_calendar_apply_only_where_they_were_decided() {
    let told = governed();
    let stopped = EnvironmentEvent::LineStopped { by: ada(), reason: "why".to_string() };
    let resumed = EnvironmentEvent::LineResumed { by: ada(), reason: "why".to_string() };
    let evolved =
        |state: &RuntimeEnvironment, event| RuntimeEnvironment::evolve(Some(state.clone()), event, at(9));
    assert!(evolved(told.now(), &resumed).is_err());
    let after = evolved(told.now(), &stopped).unwrap();
    assert!(evolved(&after, &stopped).is_err());
    assert!(evolved(&after, &resumed).is_ok());
    let gone = in_state(EnvironmentStage::Dev, ProvisioningStatus::Decommissioned);
    assert!(evolved(gone.now(), &stopped).is_err());
}

#[test]
fn a_record_without_a_calendar_is_always_open_and_a_line_is_stopped_for_a_reason() {
    let mut told = governed();
    told.command(&stop("payments fail"), NIGHT).unwrap();
    let mut record = serde_json::to_value(told.now().to_record()).unwrap();
    let fields = record.as_object_mut().unwrap();
    fields.remove("calendar");
    fields.remove("stopped_line");
    let older: RuntimeEnvironment = crate::testing::loaded(&record).unwrap();
    assert!(older.opening(Activity::Deployment, at(DAY)).is_open());
    assert_refused(told.now(), "CONTENT", |record| record["stopped_line"]["reason"] = serde_json::json!(" "));
    assert_refused(told.now(), "SCHEMA", |record| {
        record["calendar"]["windows"][0]["days"] = serde_json::json!([])
    });
}
