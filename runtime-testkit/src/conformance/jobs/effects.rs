//! One effect is one job, and no other's.

use std::sync::Arc;

use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::{PortErrorKind, Retry};
use tokio::task::{JoinSet, yield_now};

use super::{JobFactory, Manner, Stage, effect, ended, has_failed, request, with_token};
use crate::conformance::adapter::{is_refused, polled_once};
use crate::conformance::{Failure, Outcome, Verdict, ensure, equal};
use crate::sample;

/// How many times a call is polled at most before it is dropped.
const MOST_POLLS: usize = 6;

pub(super) async fn an_effect_is_started_once_whatever_its_repetition_says<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let job = stage.asked(effect(1, 1), Manner::Lasts, &["first"]);
    stage.runner.start(&job).await?;
    stage.runner.start(&job).await?;
    let other = stage.asked(effect(1, 1), Manner::Ends(1), &["other"]);
    stage.runner.start(&other).await?;
    // The next host, which does not know that it was started.
    stage.runner.start(&with_token(&job, 2)).await?;
    equal("how it is", stage.state(&job).await?, JobState::Running)?;
    // What would have been started has been by the time that a later job has ended.
    stage.started(&with_token(&stage.asked(effect(1, 2), Manner::Ends(0), &["last"]), 2)).await?;
    equal("what was run", stage.ran().await?, vec!["first".to_owned(), "last".to_owned()])
}

pub(super) async fn what_has_ended_stays_so_and_is_not_started_again<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    for (ordinal, code) in [(1, 0), (2, 4)] {
        let job = stage.asked(effect(1, ordinal), Manner::Ends(code), &[&format!("with {code}")]);
        let before = stage.started(&job).await?;
        for _ in 0..2 {
            stage.runner.start(&job).await?;
            equal("how it ended", stage.state(&job).await?, before.clone())?;
        }
    }
    stage.started(&stage.asked(effect(1, 3), Manner::Ends(0), &["with nothing"])).await?;
    equal(
        "what was run",
        stage.ran().await?,
        ["with 0", "with 4", "with nothing"].map(str::to_owned).to_vec(),
    )
}

pub(super) async fn of_many_starts_of_one_effect_at_once_one_runs<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let job = stage.asked(effect(1, 1), Manner::Ends(0), &["once"]);
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let (runner, job) = (Arc::clone(&stage.runner), job.clone());
        starts.spawn(async move { runner.start(&job).await });
    }
    while let Some(started) = starts.join_next().await {
        started.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    equal("how it ended", stage.ended(&job).await?, JobState::Succeeded)?;
    stage.started(&stage.asked(effect(1, 2), Manner::Ends(0), &["then"])).await?;
    equal("what was run", stage.ran().await?, vec!["once".to_owned(), "then".to_owned()])
}

pub(super) async fn jobs_at_once_are_not_taken_for_one_another<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let mut starts = JoinSet::new();
    for (deployment, ordinal, code) in [(1, 1, 0), (1, 2, 3), (2, 1, 4), (2, 2, 0), (3, 1, 5), (3, 12, 0)] {
        let said = format!("{deployment}-{ordinal}");
        let job = stage.asked(effect(deployment, ordinal), Manner::Ends(code), &[&said]);
        let (runner, patience) = (Arc::clone(&stage.runner), stage.factory.patience());
        starts.spawn(async move {
            runner.start(&job).await?;
            let state = ended(&*runner, &job, patience).await?;
            let is_right = match &state {
                JobState::Succeeded => code == 0,
                JobState::Failed { detail } => code != 0 && detail.contains(&said),
                _ => false,
            };
            ensure(is_right, format!("the job {said} that ended with code {code} is {state:?}"))
        });
    }
    while let Some(ended) = starts.join_next().await {
        ended.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    let wanted = ["1-1", "1-2", "2-1", "2-2", "3-1", "3-12"].map(str::to_owned).to_vec();
    equal("what was run", stage.ran().await?, wanted)
}

pub(super) async fn tenants_do_not_meet<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let own = stage.asked(effect(1, 1), Manner::Lasts, &["own"]);
    stage.runner.start(&own).await?;
    // The same effect, as where a tenant was copied.
    let strangers = stage.asked(effect(1, 1), Manner::Ends(2), &["strange"]);
    let strangers = JobRequest { tenant: sample::tenant(2), ..strangers };
    equal("a job of another tenant", stage.state(&strangers).await?, JobState::Absent)?;
    has_failed(stage.started(&strangers).await?, "the other tenant's own job")?;
    equal("the first tenant's job", stage.state(&own).await?, JobState::Running)?;
    equal("what was run", stage.ran().await?, vec!["own".to_owned(), "strange".to_owned()])
}

pub(super) async fn a_start_that_is_dropped_may_be_repeated_and_runs_once<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let mut wanted = Vec::new();
    for polls in 0..MOST_POLLS {
        let said = format!("after {polls}");
        let ordinal = u32::try_from(polls).unwrap_or(u32::MAX).saturating_add(1);
        let job = stage.asked(effect(1, ordinal), Manner::Ends(0), &[&said]);
        let mut starting = Box::pin(stage.runner.start(&job));
        for _ in 0..polls {
            if polled_once(starting.as_mut()).await.is_some() {
                break;
            }
            yield_now().await;
        }
        drop(starting);
        let state = stage.state(&job).await?;
        ensure(
            matches!(state, JobState::Absent | JobState::Running | JobState::Succeeded),
            format!("a job whose start was dropped is {state:?}"),
        )?;
        equal("how it ended", stage.started(&job).await?, JobState::Succeeded)?;
        wanted.push(said);
    }
    equal("what was run", stage.ran().await?, wanted)
}

pub(super) async fn what_cannot_be_started_was_not_and_may_be_started_later<F>(
    stage: Stage<F>,
) -> Result<Verdict, Failure>
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let Some(impossible) = stage.factory.impossible() else {
        return Ok(Verdict::Skipped("it starts every job"));
    };
    let impossible = request(effect(1, 1), impossible, &["impossible"]);
    for _ in 0..2 {
        match stage.runner.start(&impossible).await {
            Ok(()) => return Err(Failure::new("a job that cannot be started was accepted")),
            Err(error) => ensure(
                !error.message().is_empty()
                    && !matches!(error.kind(), PortErrorKind::Fenced | PortErrorKind::Unsupported)
                    && error.retry() != Retry::OutcomeUnknown,
                format!("nothing was started, and {:?}, {:?} is said: {error}", error.kind(), error.retry()),
            )?,
        }
        equal("a job that was not started", stage.state(&impossible).await?, JobState::Absent)?;
    }
    let possible = stage.asked(effect(1, 1), Manner::Ends(0), &["possible"]);
    equal("how it ended later", stage.started(&possible).await?, JobState::Succeeded)?;
    equal("what was run", stage.ran().await?, vec!["possible".to_owned()])?;
    Ok(Verdict::Passed)
}

pub(super) async fn a_runner_of_no_jobs_says_unsupported<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let job = stage.asked(effect(1, 1), Manner::Ends(0), &["never"]);
    let started = stage.runner.start(&job).await;
    let looked = stage.runner.state(job.tenant, job.effect).await.map(drop);
    for (what, answer) in [("starting a job", started), ("how a job is", looked)] {
        let error = is_refused(answer, PortErrorKind::Unsupported, what)?;
        let says = !error.message().is_empty() && error.retry() == Retry::Never;
        ensure(says, format!("the refusal says {:?}: {error}", error.retry()))?;
    }
    Ok(())
}
