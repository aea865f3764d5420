//! Short tasks that run to their end, such as a database migration.

use async_trait::async_trait;
use runtime_domain::component::JobSpec;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{EffectClass, EffectId, FencingToken, RevisionSpec};

use crate::PortResult;

/// One job to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The effect that this start is: starting it twice is starting it once.
    pub effect: EffectId,
    /// The host's fencing token.
    pub fence: FencingToken,
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// What to run.
    pub job: JobSpec,
    /// The revision that it works for, of the same tenant and environment, where the job names a component: the job is given its configuration and
    /// its secrets, as the instances of that revision are by their surface.
    pub works_for: Option<RevisionSpec>,
}

/// How a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// No job with this effect was ever started.
    Absent,
    /// It runs.
    Running,
    /// It ended with exit code 0.
    Succeeded,
    /// It ended otherwise, or ran out of its time.
    Failed {
        /// What happened and the end of its log, bounded and without secrets.
        detail: String,
    },
    /// It was started and its end is not known: neither success nor failure.
    Unknown {
        /// Why it is not known.
        detail: String,
    },
}

/// Runs jobs.
///
/// # Flow
/// `start` once, then `state` until it is final. After a crash the next host asks `state` first and starts only what is
/// [`JobState::Absent`].
///
/// # Guarantees
/// - A job whose effect was started before, by any host, is not started again, whatever else the request says. Only a runner whose
///   [class](JobRunner::effect_class) is [`EffectClass::AtLeastOnce`] may do so. Effects are a tenant's: the same one of another tenant is another job.
/// - A job outlives the host that started it or is reported [`JobState::Unknown`]. Once `start` has answered, it is never
///   [`JobState::Absent`], and how it ended stays so.
/// - The command gets its arguments and variables as they are: nothing interprets them.
/// - What a job is given of a configuration and of secrets is complete before its command is run, or nothing was started. Its secrets go when it
///   has ended, and nothing of them is told.
/// - A job that runs out of its time is stopped and has failed.
/// - What is told of a failure is no longer than 16 KiB, however much the command printed.
/// - A `start` that is dropped has started the job or has not, and may be repeated.
///
/// # Errors
/// [`Fenced`](crate::PortErrorKind::Fenced) for a token that is older than one already seen of the same owner of effects, from a runner whose class is
/// [`EffectClass::Fenced`]; one that repeats what was started may be answered instead. Tokens of different owners are not compared, since each has a lease
/// of its own. [`Unsupported`](crate::PortErrorKind::Unsupported), from both methods, where no jobs are run at all, and from `start` where the job cannot be given what the
/// revision that it works for is given. After any error but one that advises
/// [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown) nothing was started, and the same effect may be started later.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait JobRunner: Send + Sync + 'static {
    /// What starting a job a second time does.
    fn effect_class(&self) -> EffectClass;
    /// Starts a job and returns once it is started.
    async fn start(&self, request: &JobRequest) -> PortResult<()>;
    /// How the job of an effect is.
    async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState>;
}
