//! Job runners that break one promise each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::{JobSpec, RevisionId};
use runtime_domain::id::{DeploymentId, TenantId};
use runtime_domain::surface::{ComponentKey, EffectClass, EffectId, EffectOwner, FencingToken, RevisionSpec};
use runtime_domain::time::Span;
use runtime_domain::value::ModuleId;
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::jobs::Manner;
use runtime_testkit::conformance::{AdapterFactory, JobCapabilities, JobFactory, Persistence, Report, jobs};
use runtime_testkit::sample;
use runtime_testkit::world::{MemorySurface, TokioClock};
use tokio::task::yield_now;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    RunsNone,
    RunsNoneAndKnowsNothing,
    KnowsEverything,
    ForgetsTheOwner,
    OneIsGoodToo,
    TellsNoOutput,
    TellsAll,
    SplitsArguments,
    QueuesBehindOthers,
    EndsEarly,
    NeverStops,
    LeavesTheCommand,
    StartsAgain,
    KnowsByContent,
    ForgetsTheEnded,
    LooksBeforeItWaits,
    TellsOfTheLast,
    ForgetsTheTenant,
    IgnoresTokens,
    ForgetsWhoRepeats,
    FencesEverybody,
    NotesBeforeItStarts,
    NotesTheImpossible,
    GuessesWhatWasDone,
    ForgetsWhenClosed,
    FailsTheOrphaned,
    ForgetsTokensWhenClosed,
    GivesNothing,
    GivesToEverybody,
}

/// How long a command takes that ends by itself.
const TAKES: Duration = Duration::from_millis(30);

type Key = (TenantId, String, Vec<String>);

#[derive(Debug, Clone)]
struct Job {
    job: JobSpec,
    since: Instant,
    is_given: bool,
}

#[derive(Debug, Default)]
struct Machine {
    jobs: BTreeMap<Key, Job>,
    fences: BTreeMap<Option<(TenantId, EffectOwner)>, FencingToken>,
    /// Every command that was run.
    ran: Vec<Job>,
    is_reopened: bool,
}

struct Runner {
    bug: Bug,
    machine: Arc<Mutex<Machine>>,
}

fn refused(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "jobs.start", "it is not done")
}

/// The code that its command ends with; `None` where it does not end.
fn code(job: &Job) -> Option<u8> {
    match &*job.job.arguments[0] {
        "needy" => Some(if job.is_given { 0 } else { 9 }),
        says => says.parse().ok(),
    }
}

impl Runner {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn runs_none(&self) -> bool {
        matches!(self.bug, Bug::RunsNone | Bug::RunsNoneAndKnowsNothing)
    }

    fn key(&self, tenant: TenantId, effect: EffectId, job: Option<&JobSpec>) -> Key {
        let tenant =
            if self.is(Bug::ForgetsTheTenant) { TenantId::from_uuid(uuid::Uuid::nil()) } else { tenant };
        let name =
            if self.is(Bug::ForgetsTheOwner) { effect.ordinal.to_string() } else { effect.to_string() };
        let content = job.filter(|_| self.is(Bug::KnowsByContent)).map(|job| job.arguments.clone());
        (tenant, name, content.unwrap_or_default())
    }

    /// Whether it was started before. Refuses who is late.
    fn admits(&self, machine: &mut Machine, request: &JobRequest) -> PortResult<bool> {
        let realm = (!self.is(Bug::FencesEverybody)).then_some((request.tenant, request.effect.owner));
        let seen = machine.fences.entry(realm).or_default();
        if *seen > request.fence && !self.is(Bug::IgnoresTokens) {
            return Err(refused(PortErrorKind::Fenced));
        }
        let before = std::mem::replace(seen, (*seen).max(request.fence));
        let known = machine.jobs.get(&self.key(request.tenant, request.effect, Some(&request.job)));
        if known.is_some() && self.is(Bug::ForgetsWhoRepeats) {
            *seen = before;
        }
        Ok(match self.bug {
            Bug::StartsAgain => false,
            Bug::ForgetsTheEnded => known.is_some_and(|job| job.since.elapsed() < TAKES),
            _ => known.is_some(),
        })
    }

    fn detail(&self, machine: &Machine, job: &Job, what: &str) -> String {
        let job = if self.is(Bug::TellsOfTheLast) { machine.ran.last().unwrap_or(job) } else { job };
        let said = job.job.arguments.get(1).cloned().unwrap_or_default();
        let kept = if self.is(Bug::TellsAll) { 0 } else { said.len().saturating_sub(1_000) };
        if self.is(Bug::TellsNoOutput) { what.to_owned() } else { format!("{what}: {}", &said[kept..]) }
    }
}

#[async_trait]
impl JobRunner for Runner {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn start(&self, request: &JobRequest) -> PortResult<()> {
        if self.runs_none() {
            return Err(refused(PortErrorKind::Unsupported));
        }
        if self.admits(&mut self.machine.lock().unwrap(), request)? {
            return Ok(());
        }
        let key = self.key(request.tenant, request.effect, Some(&request.job));
        let is_given = match self.bug {
            Bug::GivesNothing => false,
            Bug::GivesToEverybody => true,
            _ => request.works_for.is_some(),
        };
        let mut job = Job { job: request.job.clone(), since: Instant::now(), is_given };
        let is_impossible = request.job.arguments[0] == "impossible";
        if self.is(Bug::NotesBeforeItStarts) || (is_impossible && self.is(Bug::NotesTheImpossible)) {
            self.machine.lock().unwrap().jobs.insert(key.clone(), job.clone());
        }
        yield_now().await;
        if is_impossible && self.is(Bug::GuessesWhatWasDone) {
            let retry = runtime_ports::Retry::OutcomeUnknown;
            return Err(refused(PortErrorKind::TimedOut).with_retry(retry));
        }
        if is_impossible {
            return Err(refused(PortErrorKind::NotFound));
        }
        let mut machine = self.machine.lock().unwrap();
        let looks = !matches!(self.bug, Bug::LooksBeforeItWaits | Bug::NotesBeforeItStarts);
        if looks && self.admits(&mut machine, request)? {
            return Ok(());
        }
        if self.is(Bug::SplitsArguments) {
            let words = job.job.arguments.iter().flat_map(|argument| argument.split('\n'));
            job.job.arguments = words.map(str::to_owned).collect();
        }
        if self.is(Bug::QueuesBehindOthers) && machine.ran.iter().any(|job| code(job).is_none()) {
            job.since += Duration::from_millis(5);
        }
        machine.ran.push(job.clone());
        machine.jobs.insert(key, job);
        Ok(())
    }

    async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState> {
        if self.is(Bug::RunsNone) {
            return Err(refused(PortErrorKind::Unsupported));
        }
        let machine = self.machine.lock().unwrap();
        let (tenant, name, _) = self.key(tenant, effect, None);
        let mut known = machine.jobs.iter().filter(|((whose, of, _), _)| (whose, of) == (&tenant, &name));
        let Some((_, job)) = known.next() else {
            let unknown = JobState::Unknown { detail: "never heard of it".to_owned() };
            return Ok(if self.is(Bug::KnowsEverything) { unknown } else { JobState::Absent });
        };
        if job.since > Instant::now() {
            return Ok(JobState::Absent);
        }
        if machine.is_reopened && code(job).is_none() && self.is(Bug::FailsTheOrphaned) {
            return Ok(JobState::Failed { detail: "nobody watched it".to_owned() });
        }
        let failed = |what: &str| JobState::Failed { detail: self.detail(&machine, job, what) };
        let age = job.since.elapsed();
        Ok(match code(job) {
            None if age > job.job.timeout.to_std() && !self.is(Bug::NeverStops) => failed("out of its time"),
            None if self.is(Bug::EndsEarly) => JobState::Succeeded,
            None => JobState::Running,
            Some(_) if age < TAKES => JobState::Running,
            Some(0) => JobState::Succeeded,
            Some(1) if self.is(Bug::OneIsGoodToo) => JobState::Succeeded,
            Some(code) => failed(&format!("code {code}")),
        })
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Runner;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Runner> {
        Ok(Runner { bug: self.0, machine: Arc::default() })
    }

    async fn reopen(&self, runner: Runner) -> PortResult<Runner> {
        let mut machine = runner.machine.lock().unwrap();
        machine.is_reopened = true;
        if self.0 == Bug::ForgetsWhenClosed {
            machine.jobs.clear();
        }
        if self.0 == Bug::ForgetsTokensWhenClosed {
            machine.fences.clear();
        }
        drop(machine);
        Ok(runner)
    }
}

fn job(says: &str) -> JobSpec {
    serde_json::from_value(serde_json::json!({
        "name": "migrate", "image": format!("shop/migrate@sha256:{}", "a".repeat(64)),
        "arguments": [says], "timeout": "60s",
    }))
    .unwrap()
}

#[async_trait]
impl JobFactory for Factory {
    fn job(&self, manner: Manner) -> JobSpec {
        match manner {
            Manner::Ends(code) => job(&code.to_string()),
            Manner::Lasts => job("lasts"),
        }
    }

    fn impossible(&self) -> Option<JobSpec> {
        Some(job("impossible"))
    }

    fn given(&self) -> Option<(RevisionSpec, JobSpec)> {
        let needy = job("needy");
        let component = serde_json::json!({
            "module": "cart", "component_type": "microservice", "version": "1.0.0", "tuple": { "image": needy.image },
            "surface": "process", "replicas": 1,
        });
        let module = ModuleId::new("cart").unwrap();
        let revision = RevisionSpec {
            key: ComponentKey {
                tenant: sample::tenant(9),
                environment: sample::environment(9),
                module: module.clone(),
            },
            revision: RevisionId::new(module, DeploymentId::from_uuid(uuid::Uuid::nil())),
            component: serde_json::from_value(component).unwrap(),
            configuration: None,
            secrets: Default::default(),
        };
        Some((revision, needy))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn ran(&self, runner: &Runner) -> PortResult<Vec<Vec<String>>> {
        let machine = runner.machine.lock().unwrap();
        Ok(machine.ran.iter().map(|job| job.job.arguments[1..].to_vec()).collect())
    }

    async fn running(&self, runner: &Runner) -> PortResult<usize> {
        let machine = runner.machine.lock().unwrap();
        let runs = |job: &&Job| match code(job) {
            Some(_) => job.since.elapsed() < TAKES,
            None => runner.is(Bug::LeavesTheCommand) || job.since.elapsed() <= job.job.timeout.to_std(),
        };
        Ok(machine.ran.iter().filter(runs).count())
    }
}

async fn of(bug: Bug) -> Report {
    let runs = !matches!(bug, Bug::RunsNone | Bug::RunsNoneAndKnowsNothing);
    jobs(Factory(bug), JobCapabilities { runs }).await
}

#[tokio::test(start_paused = true)]
async fn every_trial_is_failed_by_a_job_runner_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await, of(Bug::RunsNone).await];
    let (absent, code) = ("what was never started is absent", "the code 0 alone is success");
    let output = "a failure shows the last output within bounds";
    let arguments = "arguments reach the command as they are";
    let never = "a job is never absent once it is started nor ended while it runs";
    let time = "a job that runs out of its time is stopped and has failed";
    let once = "an effect is started once whatever its repetition says";
    let stays = "what has ended stays so and is not started again";
    let many = "of many starts of one effect at once one runs";
    let at_once = "jobs at once are not taken for one another";
    let (tenants, older) = ("tenants do not meet", "an older token starts nothing");
    let own = "a token fences its own deployment only";
    let dropped = "a start that is dropped may be repeated and runs once";
    let impossible = "what cannot be started was not and may be started later";
    let found = "who opens it next finds how each job is and starts none again";
    let remembered = "who opens it next is fenced by what was seen";
    let given = "a job has what the revision that it works for is given";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::RunsNoneAndKnowsNothing, &["a runner of no jobs says unsupported"]),
        (Bug::KnowsEverything, &[absent, tenants, older, dropped, impossible, remembered]),
        (Bug::ForgetsTheOwner, &[absent, at_once]),
        (Bug::OneIsGoodToo, &[code]),
        (Bug::TellsNoOutput, &[output, at_once]),
        (Bug::TellsAll, &[output]),
        (Bug::SplitsArguments, &[arguments]),
        (Bug::QueuesBehindOthers, &[never, tenants, found]),
        (Bug::EndsEarly, &[never, once, time, tenants, found]),
        (Bug::NeverStops, &[time]),
        (Bug::LeavesTheCommand, &[time]),
        (Bug::StartsAgain, &[once, stays, many, older, dropped, found]),
        (Bug::KnowsByContent, &[once]),
        (Bug::ForgetsTheEnded, &[stays, older, found]),
        (Bug::LooksBeforeItWaits, &[many]),
        (Bug::TellsOfTheLast, &[at_once]),
        (Bug::ForgetsTheTenant, &[tenants]),
        (Bug::IgnoresTokens, &[older, remembered]),
        (Bug::ForgetsWhoRepeats, &[older]),
        (Bug::FencesEverybody, &[own]),
        (Bug::NotesBeforeItStarts, &[dropped, impossible]),
        (Bug::NotesTheImpossible, &[impossible]),
        (Bug::GuessesWhatWasDone, &[impossible]),
        (Bug::ForgetsWhenClosed, &[found]),
        (Bug::FailsTheOrphaned, &[found]),
        (Bug::ForgetsTokensWhenClosed, &[remembered]),
        (Bug::GivesNothing, &[given]),
        (Bug::GivesToEverybody, &[given]),
    ];
    crate::tried(sound, bugs, of).await;
}

/// The surface of the testkit's own world, which runs jobs too and has no bug.
struct Memory;

#[async_trait]
impl AdapterFactory for Memory {
    type Adapter = MemorySurface;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<MemorySurface> {
        let surface = MemorySurface::new(Arc::new(TokioClock::at(sample::at(1_000))));
        for code in 0..=u8::MAX {
            let image = self.job(Manner::Ends(code)).image;
            surface.job_takes(image.digest().clone(), Span::from_millis(30), code);
        }
        let lasts = self.job(Manner::Lasts).image;
        surface.job_takes(lasts.digest().clone(), Span::from_secs(3_600), 0);
        Ok(surface)
    }

    async fn reopen(&self, surface: MemorySurface) -> PortResult<MemorySurface> {
        Ok(surface)
    }
}

#[async_trait]
impl JobFactory for Memory {
    fn job(&self, manner: Manner) -> JobSpec {
        let number = match manner {
            Manner::Ends(code) => u16::from(code),
            Manner::Lasts => u16::MAX,
        };
        serde_json::from_value(serde_json::json!({
            "name": "migrate", "image": format!("shop/migrate@sha256:{number:064x}"), "timeout": "60s",
        }))
        .unwrap()
    }

    fn impossible(&self) -> Option<JobSpec> {
        None
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn ran(&self, surface: &MemorySurface) -> PortResult<Vec<Vec<String>>> {
        Ok(surface.jobs().into_iter().map(|(job, _)| job.job.arguments).collect())
    }

    async fn running(&self, surface: &MemorySurface) -> PortResult<usize> {
        Ok(surface.jobs().into_iter().filter(|(_, state)| *state == JobState::Running).count())
    }
}

#[tokio::test(start_paused = true)]
async fn the_surface_that_is_in_memory_keeps_every_promise_of_the_port() {
    jobs(Memory, JobCapabilities { runs: true }).await.assert_passed();
}
