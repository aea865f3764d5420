//! How jobs are, from before their start to after their end.

use std::time::Duration;

use runtime_domain::time::Span;
use runtime_ports::job::{JobRunner, JobState};

use super::{JobFactory, Manner, Stage, effect, has_failed, request};
use crate::conformance::{Failure, Outcome, Verdict, ensure, equal};

/// How long a job is given that is to run out of its time.
const BRIEF: Span = Span::from_millis(300);
/// How many bytes may be told of a failure.
const MOST_TOLD: usize = 16 << 10;

pub(super) async fn what_was_never_started_is_absent<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let job = stage.asked(effect(1, 1), Manner::Ends(0), &["one"]);
    equal("a job that nobody started", stage.state(&job).await?, JobState::Absent)?;
    stage.started(&job).await?;
    for (what, effect) in [
        ("another effect of its deployment", effect(1, 2)),
        ("the same effect of another deployment", effect(2, 1)),
        ("an effect whose number begins with the same digits", effect(1, 11)),
    ] {
        equal(what, stage.runner.state(job.tenant, effect).await?, JobState::Absent)?;
    }
    Ok(())
}

pub(super) async fn the_code_0_alone_is_success<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    for (ordinal, code) in [(1, 0), (2, 1), (3, 2), (4, 100)] {
        let state = stage.started(&stage.asked(effect(1, ordinal), Manner::Ends(code), &["a line"])).await?;
        let is_right = match (code, &state) {
            (0, JobState::Succeeded) => true,
            (0, _) => false,
            (code, JobState::Failed { detail }) => detail.contains(&code.to_string()),
            _ => false,
        };
        ensure(is_right, format!("a job that ended with code {code} is {state:?}"))?;
    }
    Ok(())
}

pub(super) async fn a_failure_shows_the_last_output_within_bounds<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let told = has_failed(
        stage.started(&stage.asked(effect(1, 1), Manner::Ends(3), &["no such table: carts"])).await?,
        "a job that ended with code 3",
    )?;
    ensure(told.contains("no such table: carts"), format!("its last output is not told: {told}"))?;
    let long = format!("{}the very end", "x".repeat(100_000));
    let told = has_failed(
        stage.started(&stage.asked(effect(1, 2), Manner::Ends(3), &[&long])).await?,
        "a job that printed much",
    )?;
    ensure(told.len() <= MOST_TOLD, format!("{} bytes are told of a failure", told.len()))?;
    ensure(told.contains("the very end"), "the end of a long output is not told")
}

pub(super) async fn arguments_reach_the_command_as_they_are<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let hostile =
        ["said", "$(exit 9)", "a b", "'", "\"; exit 8; \"", "*", "$1", "", "--", "-c", "a\nb", "ü 🦀", "\\"];
    let job = stage.asked(effect(1, 1), Manner::Ends(0), &hostile);
    equal("how it ended", stage.started(&job).await?, JobState::Succeeded)?;
    let wanted: Vec<String> = hostile.map(str::to_owned).to_vec();
    equal("what the command was given", stage.factory.ran(&stage.runner).await?, vec![wanted])
}

pub(super) async fn a_job_is_never_absent_once_it_is_started_nor_ended_while_it_runs<F>(
    stage: Stage<F>,
) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let lasts = stage.asked(effect(1, 1), Manner::Lasts, &["lasts"]);
    stage.runner.start(&lasts).await?;
    for ordinal in 2..8 {
        equal("a job that lasts", stage.state(&lasts).await?, JobState::Running)?;
        let brief = stage.asked(effect(1, ordinal), Manner::Ends(0), &["brief"]);
        stage.runner.start(&brief).await?;
        let state = stage.state(&brief).await?;
        ensure(
            matches!(state, JobState::Running | JobState::Succeeded),
            format!("a job that was just started is {state:?}"),
        )?;
        stage.ended(&brief).await?;
    }
    equal("a job that lasts", stage.state(&lasts).await?, JobState::Running)?;
    equal("how many commands run", stage.factory.running(&stage.runner).await?, 1)
}

pub(super) async fn a_job_that_runs_out_of_its_time_is_stopped_and_has_failed<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let mut job = stage.asked(effect(1, 1), Manner::Lasts, &["lasts"]);
    job.job.timeout = BRIEF;
    let told = has_failed(stage.started(&job).await?, "a job that ran out of its time")?;
    ensure(!told.trim().is_empty(), "nothing is told of a job that ran out of its time")?;
    let deadline = tokio::time::Instant::now() + stage.factory.patience();
    while stage.factory.running(&stage.runner).await? > 0 {
        let now = tokio::time::Instant::now();
        ensure(now < deadline, "its command runs on")?;
        tokio::time::sleep_until(now + Duration::from_millis(20)).await;
    }
    has_failed(stage.state(&job).await?, "a job that was stopped").map(drop)
}

pub(super) async fn a_job_has_what_the_revision_that_it_works_for_is_given<F>(
    stage: Stage<F>,
) -> Result<Verdict, Failure>
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let Some((mut revision, job)) = stage.factory.given() else {
        return Ok(Verdict::Skipped("it gives jobs nothing"));
    };
    let alone = request(effect(1, 1), job.clone(), &["alone"]);
    has_failed(stage.started(&alone).await?, "a job that works for no revision")?;
    let mut helped = request(effect(1, 2), job, &["helped"]);
    (revision.key.tenant, revision.key.environment) = (helped.tenant, helped.environment);
    helped.job.component = Some(revision.key.module.clone());
    helped.works_for = Some(revision);
    equal("how a job that works for a revision ended", stage.started(&helped).await?, JobState::Succeeded)?;
    Ok(Verdict::Passed)
}
