//! Hosts that come after one another: who is late is fenced, and who is next knows what was started.

use runtime_domain::surface::EffectClass;
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::{PortErrorKind, Retry};

use super::{JobFactory, Manner, Stage, effect, ended, has_failed, request, with_token};
use crate::conformance::adapter::is_refused;
use crate::conformance::{Outcome, ensure, equal};

pub(super) async fn an_older_token_starts_nothing<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let first = with_token(&stage.asked(effect(1, 1), Manner::Ends(0), &["first"]), 7);
    stage.started(&first).await?;
    let second = stage.asked(effect(1, 2), Manner::Ends(0), &["second"]);
    for _ in 0..2 {
        is_fenced(&*stage.runner, &with_token(&second, 6)).await?;
    }
    // A host that was replaced may ask again for what it did; either answer starts nothing.
    let _ = stage.runner.start(&with_token(&first, 6)).await;
    stage.started(&with_token(&second, 7)).await?;
    // The next host asks for what it does not know was done; that is how its token is seen.
    stage.runner.start(&with_token(&first, 8)).await?;
    let third = stage.asked(effect(1, 3), Manner::Ends(0), &["third"]);
    is_fenced(&*stage.runner, &with_token(&third, 7)).await?;
    stage.started(&with_token(&third, 8)).await?;
    equal("what was run", stage.ran().await?, ["first", "second", "third"].map(str::to_owned).to_vec())
}

/// A start that is refused since its token is old, and starts nothing.
pub(super) async fn is_fenced<R: JobRunner + ?Sized>(runner: &R, request: &JobRequest) -> Outcome {
    let answer = runner.start(request).await;
    let error = is_refused(answer, PortErrorKind::Fenced, "an older token")?;
    let says = !error.message().is_empty() && error.retry() == Retry::Never;
    ensure(says, format!("the refusal says {:?}: {error}", error.retry()))?;
    let state = runner.state(request.tenant, request.effect).await?;
    equal("a job that was not started", state, JobState::Absent)
}

pub(super) async fn a_token_fences_its_own_deployment_only<F>(stage: Stage<F>) -> Outcome
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    // Two deployments of one environment, each with a lease of its own; the later lease is not of the one that is later.
    stage.started(&with_token(&stage.asked(effect(1, 1), Manner::Ends(0), &["one"]), 7)).await?;
    let other = with_token(&stage.asked(effect(2, 1), Manner::Ends(0), &["other"]), 5);
    equal("the other deployment's job", stage.started(&other).await?, JobState::Succeeded)?;
    let again = with_token(&stage.asked(effect(1, 2), Manner::Ends(0), &["one again"]), 7);
    equal("the first deployment's next job", stage.started(&again).await?, JobState::Succeeded)
}

/// What one host leaves and the next one finds.
pub(super) struct Taken<'f, F>(pub(super) &'f F);

impl<F> Taken<'_, F>
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    fn lasts(&self) -> JobRequest {
        request(effect(1, 1), self.0.job(Manner::Lasts), &["lasts"])
    }

    fn fails(&self) -> JobRequest {
        request(effect(1, 2), self.0.job(Manner::Ends(6)), &["fails"])
    }

    pub(super) async fn leaves(&self, runner: &F::Adapter) -> Outcome {
        runner.start(&self.lasts()).await?;
        runner.start(&self.fails()).await?;
        has_failed(ended(runner, &self.fails(), self.0.patience()).await?, "a job with code 6").map(drop)
    }

    pub(super) async fn finds(&self, runner: &F::Adapter) -> Outcome {
        let once = runner.effect_class() != EffectClass::AtLeastOnce;
        for _ in 0..2 {
            let (lasts, fails) = (self.lasts(), self.fails());
            let state = runner.state(lasts.tenant, lasts.effect).await?;
            ensure(
                matches!(state, JobState::Running | JobState::Unknown { .. }),
                format!("a job that lasts is {state:?} for who opens it next"),
            )?;
            let state = runner.state(fails.tenant, fails.effect).await?;
            has_failed(state, "a job that was seen to have failed")?;
            if once {
                runner.start(&lasts).await?;
                runner.start(&fails).await?;
            }
        }
        let mut ran: Vec<String> = self.0.ran(runner).await?.into_iter().flatten().collect();
        ran.sort();
        equal("what was run", ran, vec!["fails".to_owned(), "lasts".to_owned()])
    }

    pub(super) async fn is_seen(&self, runner: &F::Adapter) -> Outcome {
        runner.start(&with_token(&self.fails(), 7)).await?;
        ended(runner, &self.fails(), self.0.patience()).await.map(drop)
    }

    pub(super) async fn is_remembered(&self, runner: &F::Adapter) -> Outcome {
        if runner.effect_class() != EffectClass::Fenced {
            return Ok(());
        }
        let older = with_token(&request(effect(1, 3), self.0.job(Manner::Ends(0)), &["older"]), 6);
        is_fenced(runner, &older).await
    }
}
