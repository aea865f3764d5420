//! The suite of the [job runner's port](runtime_ports::job).
//!
//! It cancels no job, since the port cannot: a job ends by itself or by its time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::JobSpec;
use runtime_domain::id::DeploymentId;
use runtime_domain::surface::{EffectClass, EffectId, FencingToken, RevisionSpec};
use runtime_ports::PortResult;
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use uuid::Uuid;

use super::adapter::{AdapterFactory, Staged, attempted, staged, try_reopening, try_staged};
use super::{Failure, Report, Trial, Verdict, ensure};
use crate::sample;

mod effects;
mod endings;
mod hosts;

use hosts::Taken;

/// How a job's command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// By itself and soon, with this exit code.
    Ends(u8),
    /// Not by itself, for longer than any trial takes.
    Lasts,
}

/// Makes the job runners that the suite tries, and looks at what they run without asking them.
#[async_trait]
pub trait JobFactory: AdapterFactory {
    /// A job whose command prints its first argument on a line of its own and then ends in this manner. The suite adds the arguments, behind
    /// those that are here. It may take as long as the [patience](JobFactory::patience), and longer where it lasts.
    fn job(&self, manner: Manner) -> JobSpec;
    /// A job that cannot be started, such as one of an image that nobody has; `None` where everything can be.
    fn impossible(&self) -> Option<JobSpec>;
    /// A revision, and a job that ends with 0 where it is given what the instances of that revision are given, else with another code; `None` where
    /// the runner gives jobs nothing. The suite says which tenant and environment the revision is of.
    fn given(&self) -> Option<(RevisionSpec, JobSpec)> {
        None
    }
    /// How long a job that ends by itself may take to be seen to have ended.
    fn patience(&self) -> Duration;
    /// The arguments that the suite added, of every command that was run since the runner was made fresh, each as often as it was run.
    async fn ran(&self, runner: &Self::Adapter) -> PortResult<Vec<Vec<String>>>;
    /// How many commands run now.
    async fn running(&self, runner: &Self::Adapter) -> PortResult<usize>;
}

/// What a job runner promises that not every one can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCapabilities {
    /// It runs jobs. One that does not answers [`Unsupported`](runtime_ports::PortErrorKind::Unsupported) to everything.
    pub runs: bool,
}

/// Tries every promise of the port, each with a fresh runner.
pub async fn jobs<F>(factory: F, capabilities: JobCapabilities) -> Report
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    let factory = Arc::new(factory);
    let stage = async || {
        let runner = Arc::new(factory.fresh().await?);
        Ok(Stage { factory: Arc::clone(&factory), runner, capabilities })
    };
    let mut trials = try_staged(stage, all::<F>()).await;
    let (finds, fenced) = (
        "who opens it next finds how each job is and starts none again",
        "who opens it next is fenced by what was seen",
    );
    if capabilities.runs {
        let taken = Taken(&*factory);
        let before = async |runner: &F::Adapter| taken.leaves(runner).await;
        let after = async |runner: &F::Adapter| taken.finds(runner).await;
        trials.push(try_reopening(&*factory, finds, before, after).await);
        let before = async |runner: &F::Adapter| taken.is_seen(runner).await;
        let after = async |runner: &F::Adapter| taken.is_remembered(runner).await;
        trials.push(try_reopening(&*factory, fenced, before, after).await);
    } else {
        let skipped = |name: &str| Trial { name: name.to_owned(), verdict: Verdict::Skipped(RUNS_NONE) };
        trials.extend([finds, fenced].map(skipped));
    }
    Report { suite: "jobs", trials }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    vec![
        staged(endings::what_was_never_started_is_absent).where_it(Stage::runs),
        staged(endings::the_code_0_alone_is_success).where_it(Stage::runs),
        staged(endings::a_failure_shows_the_last_output_within_bounds).where_it(Stage::runs),
        staged(endings::arguments_reach_the_command_as_they_are).where_it(Stage::runs),
        staged(endings::a_job_is_never_absent_once_it_is_started_nor_ended_while_it_runs)
            .where_it(Stage::runs),
        staged(endings::a_job_that_runs_out_of_its_time_is_stopped_and_has_failed).where_it(Stage::runs),
        attempted(endings::a_job_has_what_the_revision_that_it_works_for_is_given).where_it(Stage::runs),
        staged(effects::an_effect_is_started_once_whatever_its_repetition_says).where_it(Stage::does_once),
        staged(effects::what_has_ended_stays_so_and_is_not_started_again).where_it(Stage::does_once),
        staged(effects::of_many_starts_of_one_effect_at_once_one_runs).where_it(Stage::does_once),
        staged(effects::jobs_at_once_are_not_taken_for_one_another).where_it(Stage::runs),
        staged(effects::tenants_do_not_meet).where_it(Stage::runs),
        staged(hosts::an_older_token_starts_nothing).where_it(Stage::fences),
        staged(hosts::a_token_fences_its_own_deployment_only).where_it(Stage::runs),
        staged(effects::a_start_that_is_dropped_may_be_repeated_and_runs_once).where_it(Stage::does_once),
        attempted(effects::what_cannot_be_started_was_not_and_may_be_started_later).where_it(Stage::runs),
        staged(effects::a_runner_of_no_jobs_says_unsupported).where_it(Stage::runs_nothing),
    ]
}

/// A fresh runner, and who looks at what it runs.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    runner: Arc<F::Adapter>,
    capabilities: JobCapabilities,
}

/// Why a runner of no jobs is not tried.
const RUNS_NONE: &str = "it runs no jobs, and says so";

/// An effect of the deployment with this number.
fn effect(deployment: u64, ordinal: u32) -> EffectId {
    let owner = DeploymentId::from_uuid(Uuid::from_u128(u128::from(deployment)));
    EffectId::of(owner, ordinal)
}

/// The start of a job, which gets these arguments, in the first tenant under the first token.
fn request(effect: EffectId, mut job: JobSpec, arguments: &[&str]) -> JobRequest {
    job.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    let (tenant, environment) = (sample::tenant(1), sample::environment(1));
    JobRequest { effect, fence: FencingToken(1), tenant, environment, job, works_for: None }
}

fn with_token(request: &JobRequest, token: u64) -> JobRequest {
    JobRequest { fence: FencingToken(token), ..request.clone() }
}

/// Looks until a job has ended, however that is told.
async fn ended<R: JobRunner + ?Sized>(
    runner: &R,
    request: &JobRequest,
    patience: Duration,
) -> Result<JobState, Failure> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match runner.state(request.tenant, request.effect).await? {
            JobState::Running => {
                let now = tokio::time::Instant::now();
                ensure(now < deadline, format!("a job runs that is to have ended within {patience:?}"))?;
                tokio::time::sleep_until(now + Duration::from_millis(20)).await;
            }
            ended => return Ok(ended),
        }
    }
}

fn has_failed(state: JobState, what: &str) -> Result<String, Failure> {
    match state {
        JobState::Failed { detail } => Ok(detail),
        other => Err(Failure::new(format!("{what} is to have failed, and is {other:?}"))),
    }
}

impl<F> Stage<F>
where
    F: JobFactory,
    F::Adapter: JobRunner,
{
    fn runs(&self) -> Result<(), &'static str> {
        if self.capabilities.runs { Ok(()) } else { Err(RUNS_NONE) }
    }

    fn runs_nothing(&self) -> Result<(), &'static str> {
        if self.capabilities.runs { Err("it runs jobs, and says so") } else { Ok(()) }
    }

    fn does_once(&self) -> Result<(), &'static str> {
        self.runs()?;
        match self.runner.effect_class() {
            EffectClass::AtLeastOnce => Err("it may do an effect twice, and says so"),
            _ => Ok(()),
        }
    }

    fn fences(&self) -> Result<(), &'static str> {
        self.runs()?;
        match self.runner.effect_class() {
            EffectClass::Fenced => Ok(()),
            _ => Err("it does not fence, and says so"),
        }
    }

    fn asked(&self, effect: EffectId, manner: Manner, arguments: &[&str]) -> JobRequest {
        request(effect, self.factory.job(manner), arguments)
    }

    async fn state(&self, request: &JobRequest) -> Result<JobState, Failure> {
        Ok(self.runner.state(request.tenant, request.effect).await?)
    }

    async fn ended(&self, request: &JobRequest) -> Result<JobState, Failure> {
        ended(&*self.runner, request, self.factory.patience()).await
    }

    async fn started(&self, request: &JobRequest) -> Result<JobState, Failure> {
        self.runner.start(request).await?;
        self.ended(request).await
    }

    /// The first arguments of what was run, sorted.
    async fn ran(&self) -> Result<Vec<String>, Failure> {
        let mut ran: Vec<String> = self.factory.ran(&self.runner).await?.into_iter().flatten().collect();
        ran.sort();
        Ok(ran)
    }
}
