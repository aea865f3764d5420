//! A move's machine: every outcome at every stage, and that a tenant is never without a home.

use super::*;

fn failed() -> MoveOutcome {
    MoveOutcome::Failed("it broke".to_string())
}

/// A binding whose move has come to this stage at second 10.
fn at_stage(stage: MoveStage) -> Binding {
    let mut told = in_state(BindingStatus::Moving);
    let event = TenancyEvent::TenantMoveTurned { stage, reason: None };
    let decision = crate::aggregate::Decision::of(Vec::from([event]), "the test begins here");
    told.happen(decision, at(10));
    assert_eq!(told.now().relocation().unwrap().stage, stage);
    told
}

#[derive(Debug, PartialEq)]
enum After {
    At(MoveStage),
    Again,
    Bound,
    Released,
}

fn after(mut told: Binding, command: &TenancyCommand, seconds: u64) -> Result<After, TenancyRefusal> {
    let before = told.now().relocation().unwrap().stage;
    told.command(command, seconds)?;
    told.check_replay_and_record();
    Ok(match told.now().state() {
        BindingState::Moving(moving) if moving.relocation.retry_at.is_some() => {
            assert_eq!(moving.relocation.stage, before);
            assert_eq!(moving.relocation.due_at(), at(seconds + 30));
            let wait = moving.relocation.next(at(seconds + 29));
            assert_eq!(wait, MoveNext::Wait(at(seconds + 30)));
            assert_eq!(moving.relocation.next(at(seconds + 30)), MoveNext::Do(before.step()));
            After::Again
        }
        BindingState::Moving(moving) => {
            assert_eq!(moving.relocation.since, at(seconds));
            After::At(moving.relocation.stage)
        }
        BindingState::Bound(bound) => {
            assert_eq!(bound.allocation.quota, units(1_000));
            After::Bound
        }
        BindingState::Released(_) => After::Released,
        BindingState::Pending(_) | BindingState::Cordoned(_) => panic!("{told:?}"),
    })
}

#[test]
fn every_outcome_at_every_stage_leads_where_the_picture_says() {
    use MoveStage::*;
    let table = [
        (Replicating, After::At(Switching), After::Bound, Some(After::Bound)),
        (Switching, After::At(Observing), After::At(SwitchingBack), Some(After::At(SwitchingBack))),
        (Observing, After::At(Cordoning), After::At(SwitchingBack), Some(After::At(SwitchingBack))),
        (Cordoning, After::At(Releasing), After::Again, Some(After::At(Uncordoning))),
        (Releasing, After::Released, After::Again, None),
        (Uncordoning, After::At(SwitchingBack), After::Again, Some(After::At(Uncordoning))),
        (SwitchingBack, After::Bound, After::Again, Some(After::At(SwitchingBack))),
    ];
    for (stage, done, fails, aborted) in table {
        let step = stage.step();
        let record = |outcome| TenancyCommand::RecordMoveStep { step, outcome };
        assert_eq!(after(at_stage(stage), &record(MoveOutcome::Done), 110), Ok(done), "{stage:?}");
        assert_eq!(after(at_stage(stage), &record(failed()), 11), Ok(fails), "{stage:?}");
        let told = at_stage(stage);
        match aborted {
            Some(After::At(same)) if same == stage => {
                assert!(stage.is_back());
                assert_eq!(told.asked(&abort(), 11), Answer::Same, "{stage:?}");
            }
            Some(expected) => {
                assert!(!stage.is_back());
                assert_eq!(after(told, &abort(), 11), Ok(expected), "{stage:?}");
            }
            None => assert_eq!(told.now().decide(&abort(), at(11)).unwrap_err(), TenancyRefusal::PastReturn),
        }
        for other in MoveStage::ALL.into_iter().filter(|other| *other != stage) {
            let stray = TenancyCommand::RecordMoveStep { step: other.step(), outcome: failed() };
            let refused = at_stage(stage).now().decide(&stray, at(11)).unwrap_err();
            assert_eq!(refused, TenancyRefusal::OtherStep { step: other.step(), expected: step });
        }
    }
}

#[test]
fn the_target_is_watched_for_the_whole_time_before_it_is_judged_well() {
    let told = at_stage(MoveStage::Observing);
    let relocation = told.now().relocation().unwrap();
    assert_eq!(relocation.next(at(109)), MoveNext::Wait(at(110)));
    assert_eq!(relocation.next(at(110)), MoveNext::Do(MoveStep::JudgeTarget));
    assert_eq!(told.now().wake_at(), Some(at(110)));
    let refused = told.now().decide(&step(MoveStep::JudgeTarget), at(109)).unwrap_err();
    assert_eq!(refused, TenancyRefusal::TooEarly { until: at(110) });
    assert_eq!(told.asked(&step(MoveStep::JudgeTarget), 110), Answer::Changes);
}

#[test]
fn a_move_tells_where_it_goes_and_asks_for_its_step_at_once() {
    let told = in_state(BindingStatus::Moving);
    let relocation = told.now().relocation().unwrap();
    assert_eq!((relocation.target_environment, relocation.target_binding), (id(8), id(9)));
    assert_eq!((relocation.observe_for, relocation.since), (Span::from_secs(100), at(1)));
    assert_eq!(relocation.next(at(1)), MoveNext::Do(MoveStep::ReplicateToTarget));
    let steps: BTreeSet<MoveStep> = MoveStage::ALL.into_iter().map(MoveStage::step).collect();
    assert_eq!(steps.len(), MoveStage::ALL.len());
}

/// Shows TEN-1, X-1.
#[test]
fn a_tenant_moves_from_a_pool_or_a_shared_environment_into_a_silo_of_its_own() {
    let begin = |target| TenancyCommand::BeginMove { target, observe_for: Span::from_secs(100) };
    for model in [IsolationModel::Pool, IsolationModel::Shared] {
        assert_eq!(bound(model).asked(&begin(target()), 2), Answer::Changes);
    }
    let ten1 = Answer::Refused(Rule::Ten1);
    assert_eq!(bound(IsolationModel::Silo).asked(&begin(target()), 2), ten1);
    let told = in_state(BindingStatus::Bound);
    let pool = BoundTenant { isolation_model: IsolationModel::Pool, ..target() };
    assert_eq!(told.asked(&begin(pool), 2), ten1);
    let here = BoundTenant { environment: id(1), ..target() };
    assert_eq!(told.asked(&begin(here), 2), ten1);
    let foreign = BoundTenant { tenant: id(3), ..target() };
    assert_eq!(told.asked(&begin(foreign), 2), Answer::Refused(Rule::X1));
    let cordoned = BoundTenant { is_cordoned: true, ..target() };
    assert_eq!(told.now().decide(&begin(cordoned), at(2)).unwrap_err(), TenancyRefusal::TargetCordoned);
    let moving = in_state(BindingStatus::Moving);
    let elsewhere = BoundTenant { binding: id(77), ..target() };
    assert_eq!(moving.asked(&begin(elsewhere), 2), NO);
    let longer = TenancyCommand::BeginMove { target: target(), observe_for: Span::from_secs(101) };
    assert_eq!(moving.asked(&longer, 2), NO);
}

#[test]
fn a_source_is_released_by_nothing_but_the_end_of_its_move() {
    let event = TenancyEvent::TenantReleased { reason: "left".to_string() };
    for stage in MoveStage::ALL {
        let told = at_stage(stage);
        assert_eq!(told.asked(&release(), 11), NO, "{stage:?}");
        let applied = RuntimeTenantBinding::evolve(told.state.clone(), &event, at(11));
        assert_eq!(applied.is_ok(), stage == MoveStage::Releasing, "{stage:?}");
    }
}

#[test]
fn a_stored_move_that_leads_nowhere_is_refused() {
    let told = at_stage(MoveStage::Observing);
    let moving = |record: &mut serde_json::Value, field: &str, value: serde_json::Value| {
        record["state"]["Moving"]["relocation"][field] = value;
    };
    let record = serde_json::to_value(told.now().to_record()).unwrap();
    let (here, own) = (record["environment_id"].clone(), record["tenant_binding_id"].clone());
    assert_refused(told.now(), "TEN-1", |record| moving(record, "target_environment", here));
    assert_refused(told.now(), "TEN-1", |record| moving(record, "target_binding", own));
    assert_refused(told.now(), "TEN-1", |record| record["isolation_model"] = serde_json::json!("silo"));
    assert_refused(told.now(), "LIFECYCLE", |record| record["is_protected"] = serde_json::json!(true));
    for stage in MoveStage::ALL {
        let mut record = serde_json::to_value(at_stage(stage).now().to_record()).unwrap();
        moving(&mut record, "retry_at", serde_json::to_value(at(50)).unwrap());
        let forward = matches!(stage, MoveStage::Replicating | MoveStage::Switching | MoveStage::Observing);
        let loaded = crate::testing::loaded::<RuntimeTenantBinding>(&record);
        assert_eq!(loaded.is_err(), forward, "{stage:?}");
    }
}

/// Where requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Source,
    Split,
    Target,
}

/// What really is, as no machine of ours sees it: each step may happen, half happen, or not.
#[derive(Debug)]
struct World {
    source_serves: bool,
    target_serves: bool,
    source_exists: bool,
    traffic: Traffic,
}

#[derive(Debug, Clone, Copy)]
enum Extent {
    None,
    Half,
    Whole,
}

impl World {
    fn perform(&mut self, step: MoveStep, extent: Extent) {
        let switch = |to| match extent {
            Extent::None => None,
            Extent::Half => Some(Traffic::Split),
            Extent::Whole => Some(to),
        };
        match (step, extent) {
            (MoveStep::ReplicateToTarget, Extent::Whole) => self.target_serves = true,
            (MoveStep::SwitchToTarget, _) => self.traffic = switch(Traffic::Target).unwrap_or(self.traffic),
            (MoveStep::SwitchToSource, _) => self.traffic = switch(Traffic::Source).unwrap_or(self.traffic),
            (MoveStep::CordonSource, Extent::Half | Extent::Whole) => self.source_serves = false,
            (MoveStep::UncordonSource, Extent::Whole) => self.source_serves = true,
            (MoveStep::ReleaseSource, Extent::Half | Extent::Whole) => {
                self.source_serves = false;
                self.source_exists = false;
            }
            (MoveStep::ReplicateToTarget | MoveStep::JudgeTarget | MoveStep::UncordonSource, _)
            | (MoveStep::CordonSource | MoveStep::ReleaseSource, Extent::None) => {}
        }
    }

    fn is_at_home(&self) -> bool {
        match self.traffic {
            Traffic::Source => self.source_serves,
            Traffic::Split => self.source_serves && self.target_serves,
            Traffic::Target => self.target_serves,
        }
    }
}

proptest! {
    #[test]
    fn a_tenant_that_moves_is_never_without_a_home(
        moments in proptest::collection::vec((0..3u8, 0..4u8, 0..80u64, 0..12u8), 0..40)
    ) {
        let mut told = in_state(BindingStatus::Moving);
        let mut world =
            World { source_serves: true, target_serves: false, source_exists: true, traffic: Traffic::Source };
        let mut now = 1;
        // After these moments nothing goes wrong any more, and every step is done when it is asked for.
        let calm = core::iter::repeat_n((2, 0, 200, 1), 30);
        for (extent, outcome, seconds, aborts) in moments.into_iter().chain(calm) {
            now += seconds;
            if aborts == 0 {
                let _ = told.command(&abort(), now);
            }
            let Some(relocation) = told.now().relocation().cloned() else { break };
            prop_assert!(world.source_serves || !relocation.stage.source_serves(), "{relocation:?} {world:?}");
            prop_assert!(world.target_serves || !relocation.stage.target_serves(), "{relocation:?} {world:?}");
            prop_assert!(relocation.stage.source_serves() || relocation.stage.target_serves());
            prop_assert!(world.source_exists || relocation.stage == MoveStage::Releasing);
            let MoveNext::Do(step) = relocation.next(at(now)) else { continue };
            let extent = [Extent::None, Extent::Half, Extent::Whole][usize::from(extent)];
            world.perform(step, extent);
            prop_assert!(world.is_at_home(), "{step:?} {extent:?}: {world:?}");
            // Only what was done whole is ever recorded as done; a host that dies records nothing.
            let outcome = match (extent, outcome) {
                (Extent::Whole, 0 | 1) => MoveOutcome::Done,
                (_, 2) => failed(),
                _ => continue,
            };
            told.command(&TenancyCommand::RecordMoveStep { step, outcome }, now).unwrap();
        }
        match told.now().state().status() {
            BindingStatus::Bound => prop_assert_eq!((world.traffic, world.source_serves), (Traffic::Source, true)),
            BindingStatus::Released => prop_assert_eq!((world.traffic, world.target_serves), (Traffic::Target, true)),
            status => prop_assert!(false, "the move did not end: {}", status),
        }
        told.check_replay_and_record();
    }
}
