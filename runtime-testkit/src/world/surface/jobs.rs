//! The jobs of a surface in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::component::ImageDigest;
use runtime_domain::id::TenantId;
use runtime_domain::surface::{EffectClass, EffectId, EffectOwner, FencingToken};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::job::{JobRequest, JobRunner, JobState};

use super::MemorySurface;
use crate::world::{MetOutcome, fenced, lock};

/// How long a job takes.
const JOB: Span = Span::from_millis(500);
/// How many characters are told of what a job printed.
const TOLD: usize = 1_000;

/// Every job that was started, and who may start one.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    started: BTreeMap<(TenantId, EffectId), Job>,
    /// The newest token of each owner of effects: tokens of different ones say nothing of one another.
    fences: BTreeMap<(TenantId, EffectOwner), FencingToken>,
    /// How long jobs of an image take, and the code that they end with.
    takes: BTreeMap<ImageDigest, (Span, u8)>,
}

#[derive(Debug)]
struct Job {
    request: JobRequest,
    since: Timestamp,
}

impl Jobs {
    fn is(&self, job: &Job, now: Timestamp) -> JobState {
        let spec = &job.request.job;
        let (takes, code) = self.takes.get(spec.image.digest()).copied().unwrap_or((JOB, 0));
        if takes.min(spec.timeout).after(job.since) > now {
            return JobState::Running;
        }
        // What it printed: its first argument, of which the end is told.
        let printed = spec.arguments.first().map(String::as_str).unwrap_or_default();
        let characters = printed.chars().count();
        let end: String = printed.chars().skip(characters.saturating_sub(TOLD)).collect();
        match code {
            _ if takes > spec.timeout => {
                JobState::Failed { detail: format!("it did not end within {}: {end}", spec.timeout) }
            }
            0 => JobState::Succeeded,
            code => JobState::Failed { detail: format!("it exited with code {code}: {end}") },
        }
    }
}

impl MemorySurface {
    /// How many jobs were started.
    pub fn jobs_started(&self) -> usize {
        lock(&self.state).jobs.started.len()
    }

    /// Every job that was started, and how it is.
    pub fn jobs(&self) -> Vec<(JobRequest, JobState)> {
        let now = self.clock.now();
        let state = lock(&self.state);
        state.jobs.started.values().map(|job| (job.request.clone(), state.jobs.is(job, now))).collect()
    }

    /// From now on jobs of this image take so long, and end with this code; else each takes half a second and ends with 0. Each prints its
    /// first argument.
    pub fn job_takes(&self, image: ImageDigest, takes: Span, code: u8) {
        lock(&self.state).jobs.takes.insert(image, (takes, code));
    }
}

#[async_trait]
impl JobRunner for MemorySurface {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn start(&self, request: &JobRequest) -> PortResult<()> {
        let now = self.clock.now();
        let asked = format!("start job {}", request.job.name);
        let note = |outcome| self.journal.note(request.effect, request.fence, asked.clone(), outcome);
        let mut state = lock(&self.state);
        let seen = state.jobs.fences.entry((request.tenant, request.effect.owner)).or_default();
        if *seen > request.fence {
            note(MetOutcome::Fenced);
            return Err(fenced("jobs.start", *seen, request.fence));
        }
        *seen = request.fence;
        let job = (request.tenant, request.effect);
        if state.jobs.started.contains_key(&job) {
            note(MetOutcome::Unchanged);
            return Ok(());
        }
        state.jobs.started.insert(job, Job { request: request.clone(), since: now });
        note(MetOutcome::Changed);
        Ok(())
    }

    async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let job = state.jobs.started.get(&(tenant, effect));
        Ok(job.map_or(JobState::Absent, |job| state.jobs.is(job, now)))
    }
}
