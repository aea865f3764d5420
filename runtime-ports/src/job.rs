//! Short tasks that run to their end, such as a database migration.

use async_trait::async_trait;
use runtime_domain::component::JobSpec;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{EffectClass, EffectId, FencingToken};

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
/// Flow: `start` once, then `state` until it is final. After a crash the next host asks `state` first and starts only what is
/// [`JobState::Absent`].
///
/// Guarantees: a job whose effect was started before, by any host, is not started again. A job outlives the host that started it
/// or is reported [`JobState::Unknown`].
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
