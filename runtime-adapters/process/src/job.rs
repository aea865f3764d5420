//! Short tasks that run once for each effect.
//!
//! A job runs below a small shell script that writes down its exit code, so that its end is known even where no host watched it. The
//! script gets the command as positional parameters and never interprets any of it. A job's record is written before it is spawned
//! and is kept until its environment is torn down: that is what makes a second start of the same effect do nothing.
//!
//! A host may die between the record and the process. So the script's first step is to create a file that only one can create: where it
//! is missing the command was never run, and the next start may try again; should two scripts meet, the second gives up.
//!
//! The script runs as the user of the job's tenant where there is one, and writes into a folder of that user's own. What is there is the job's own
//! word about itself, and read as such: whatever it made of those files, nothing is followed, waited for or taken for more than an exit code.
//!
//! A job that works for a component is given what its instances are given, by the same rooms of `delivery`; its secrets go when it has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime_domain::component::JobSpec;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{EffectId, FencingToken, RevisionSpec};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::job::{JobRequest, JobState};
use runtime_ports::registry::Bundle;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::bundle::{self, CommandLine};
use crate::component::Shared;
use crate::delivery::secrets::{self, Fetched, Given, SecretFolder};
use crate::delivery::{self, DeliveryFolder, Parcel};
use crate::isolation;
use crate::logs;
use crate::os::{self, MarkedProcess, Process, ProcessIdentity, SURFACE_VARIABLE};
use crate::spawn::{self, Running};
use crate::state::{self, blocking, failed};

const START: &str = "jobs.start";
const STATE: &str = "jobs.state";
const OPEN: &str = "surface.open";

/// Creates the file that the first parameter names, or gives up where it exists; runs the command that is given as parameters after the
/// second, and writes its exit code to the file that the second one names. The code counts only with the line's end behind it, so that a
/// half-written one is none.
const SCRIPT: &str = r#"begun=$1; status=$2; shift 2; set -C; true 2>/dev/null >"$begun" || exit 125; set +C
"$@"; code=$?; printf '%s\n' "$code" >"$status"; exit "$code""#;

/// How many bytes an exit code and the line's end have at most.
const LONGEST_CODE: u64 = 12;

/// How long a job that ran out of its time may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A job as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(crate) tenant: TenantId,
    pub(crate) environment: EnvironmentId,
    effect: EffectId,
    job: JobSpec,
    started: Timestamp,
    /// Whether it was given any: then nothing that it prints is told.
    #[serde(default)]
    has_secrets: bool,
    /// The process; absent where the host ended between the wish and the process.
    process: Option<ProcessIdentity>,
}

/// The greatest fencing token that was seen of one deployment.
#[derive(Debug, Serialize, Deserialize)]
struct FenceRecord {
    fence: FencingToken,
}

/// Where one job's files are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct JobFolder(PathBuf);

impl JobFolder {
    fn of(root: &Path, tenant: TenantId, effect: EffectId) -> Self {
        let deployment = root.join("jobs").join(tenant.to_string()).join(effect.owner.to_string());
        Self(deployment.join(effect.ordinal.to_string()))
    }
    fn fence(&self) -> PathBuf {
        self.0.with_file_name("fence.json")
    }
    fn record(&self) -> PathBuf {
        self.0.join("job.json")
    }
    /// Where the job itself writes.
    fn run(&self) -> PathBuf {
        self.0.join("run")
    }
    fn status(&self) -> PathBuf {
        self.run().join("status")
    }
    fn begun(&self) -> PathBuf {
        self.run().join("begun")
    }
    fn timed_out(&self) -> PathBuf {
        self.0.join("timed-out")
    }
    fn deliveries(&self) -> PathBuf {
        self.0.join("delivered")
    }
    fn log(&self) -> PathBuf {
        self.0.join("output.log")
    }

    /// The job's record, unless its host died before the command was run: then nothing was started.
    fn started(&self) -> io::Result<Option<JobRecord>> {
        let record = state::read::<JobRecord>(&self.record())?;
        let is_begun = std::fs::symlink_metadata(self.begun()).is_ok();
        Ok(record.filter(|record| is_begun || record.process.is_some()))
    }

    /// The exit code, where the job's end was written down.
    fn exit_code(&self) -> io::Result<Option<i32>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(self.status(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            // Nothing, a link, or a socket.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.take(LONGEST_CODE).read_to_end(&mut text)?;
        let text = String::from_utf8(text).unwrap_or_default();
        Ok(text.strip_suffix('\n').and_then(|code| code.parse().ok()))
    }
}

/// What a running job needs to be left in its place.
#[derive(Debug)]
struct Active {
    /// The hexadecimal digits of its image's digest.
    image: String,
    secrets: SecretFolder,
}

/// The jobs of a surface.
#[derive(Debug)]
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    /// The jobs that are watched now.
    active: Arc<Mutex<BTreeMap<JobFolder, Active>>>,
    /// Held while a job is started, so that nobody sees one half-way.
    starting: tokio::sync::Mutex<()>,
}

impl Jobs {
    /// Takes up the jobs that an earlier host left.
    pub(crate) async fn open(shared: Arc<Shared>) -> PortResult<Self> {
        let for_scan = Arc::clone(&shared);
        let found = blocking(move || unfinished(&for_scan))
            .await
            .map_err(|error| failed(OPEN, "the jobs that were left could not be looked at", error))?;
        let jobs = Self { shared, active: Arc::default(), starting: tokio::sync::Mutex::default() };
        for (folder, record, process) in found {
            jobs.watch(folder, &record, Running::adopted(process));
        }
        Ok(jobs)
    }

    /// The images that running jobs need, by the hexadecimal digits of their digests.
    pub(crate) fn images(&self) -> Vec<String> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.values().map(|job| job.image.clone()).collect()
    }

    /// Where the secrets of running jobs are.
    pub(crate) fn secrets(&self) -> Vec<SecretFolder> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.values().map(|job| job.secrets.clone()).collect()
    }

    /// The logs of running jobs.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).keys().map(JobFolder::log).collect()
    }

    /// Starts a job, unless one of its effect was started before.
    pub(crate) async fn start(self: &Arc<Self>, request: &JobRequest) -> PortResult<()> {
        if self.shared.stop.is_cancelled() {
            let message = "the surface was shut down: open it again";
            return Err(PortError::new(PortErrorKind::Unavailable, START, message));
        }
        // As a task of its own, so that a caller that goes away does not cut it off half-way.
        let (jobs, request) = (Arc::clone(self), request.clone());
        self.shared.tasks.spawn(async move { jobs.start_whole(request).await }).await.map_err(|error| {
            PortError::new(PortErrorKind::Internal, START, "starting the job was cut off")
                .with_retry(Retry::OutcomeUnknown)
                .caused_by(error)
        })?
    }

    async fn start_whole(&self, request: JobRequest) -> PortResult<()> {
        let folder = JobFolder::of(&self.shared.options.root, request.tenant, request.effect);
        // Not held while the image is unpacked and vaults are asked, which may take long.
        let looking = self.starting.lock().await;
        if self.admitted(&folder, request.fence).await? {
            return Ok(());
        }
        drop(looking);
        let place = (request.tenant, request.environment);
        if request.works_for.as_ref().is_some_and(|spec| (spec.key.tenant, spec.key.environment) != place) {
            let message = "a job works for a component of its own tenant and environment: name one of these";
            return Err(PortError::new(PortErrorKind::Invalid, START, message));
        }
        let bundle = self.shared.bundles.ensure(START, &request.job.image).await?;
        let line = bundle::command_line(START, &bundle, &request.job.arguments)?;
        let fetched = match &request.works_for {
            Some(spec) => secrets::fetch(START, &self.shared.options.secret_stores, spec).await?,
            None => Fetched::default(),
        };
        let _starting = self.starting.lock().await;
        // Another host may have come, or the same start, meanwhile.
        if self.admitted(&folder, request.fence).await? {
            return Ok(());
        }
        let mut record = JobRecord {
            tenant: request.tenant,
            environment: request.environment,
            effect: request.effect,
            job: request.job,
            started: self.shared.options.clock.now(),
            has_secrets: request.works_for.as_ref().is_some_and(|spec| !spec.secrets.is_empty()),
            process: None,
        };
        write(&folder, &record).await?;
        let given = (request.works_for.as_ref(), fetched);
        match self.begin(&folder, &record, given, (&bundle, &line)).await {
            Ok((running, identity)) => {
                record.process = identity;
                if let Err(error) = write(&folder, &record).await {
                    // The wish is on disk, so the next host finds the process by its marker.
                    tracing::warn!(%error, "the identity of a job's process could not be written");
                }
                self.watch(folder, &record, running);
                Ok(())
            }
            Err(error) => {
                // Nothing runs, so nothing was started.
                let (undone, secrets) = (folder.0.clone(), secrets_of(&self.shared, &record));
                let removed = blocking(move || secrets.remove().and_then(|()| state::remove_folder(&undone)));
                if let Err(error) = removed.await {
                    tracing::warn!(%error, "what was kept of a job that did not start could not be removed");
                }
                Err(error)
            }
        }
    }

    /// Refuses a start with an older token than one already seen. Answers whether the job was started before.
    async fn admitted(&self, folder: &JobFolder, fence: FencingToken) -> PortResult<bool> {
        let at = folder.clone();
        let (seen, known) = blocking(move || {
            let seen = state::read::<FenceRecord>(&at.fence())?.map(|record| record.fence);
            if seen.is_none_or(|seen| seen < fence) {
                state::write(&at.fence(), &FenceRecord { fence })?;
            }
            Ok((seen, at.started()?.is_some()))
        })
        .await
        .map_err(|error| {
            failed(START, "the deployment's fencing token could not be read or written", error)
        })?;
        match seen {
            Some(seen) if seen > fence => Err(PortError::new(
                PortErrorKind::Fenced,
                START,
                format!(
                    "the job carries fencing token {} and {} was seen already: another host has taken over this deployment, so \
                     let it work",
                    fence.0, seen.0
                ),
            )),
            _ => Ok(known),
        }
    }

    /// Gives a job all that it is to have, and starts its process.
    async fn begin(
        &self,
        folder: &JobFolder,
        record: &JobRecord,
        (works_for, fetched): (Option<&RevisionSpec>, Fetched),
        (bundle, line): (&Bundle, &CommandLine),
    ) -> PortResult<(Running, Option<ProcessIdentity>)> {
        let refused = |error| failed(START, "the job could not be started", error);
        let place = (record.tenant, record.environment);
        let user = self.shared.isolation.user_of_job(place, &folder.0, &folder.run()).map_err(refused)?;
        let (parcel, secrets) = match works_for {
            Some(spec) => self.give(folder, record, (spec, fetched), user).await?,
            None => (Parcel::default(), Given::default()),
        };
        let mut command = self.command(folder, record, (bundle, line), &parcel).map_err(refused)?;
        secrets.apply(&mut command);
        isolation::confine(&mut command, user);
        Running::start(command).map_err(refused)
    }

    /// What the instances of a revision are given.
    async fn give(
        &self,
        folder: &JobFolder,
        record: &JobRecord,
        (spec, fetched): (&RevisionSpec, Fetched),
        user: Option<u32>,
    ) -> PortResult<(Parcel, Given)> {
        let refused = |error| failed(START, "what the job is given could not be given to its user", error);
        let (delivery, secrets) =
            (DeliveryFolder::new(folder.deliveries()), secrets_of(&self.shared, record));
        let parcel = Parcel::of(START, spec, spec.configuration.as_ref(), &delivery, &secrets)?;
        let parcel = delivery::put(START, delivery, parcel).await?;
        let given = secrets.put(START, fetched)?;
        if let Some(user) = user {
            self.shared.isolation.give(&folder.deliveries(), user).map_err(refused)?;
            secrets.lend(user).map_err(refused)?;
        }
        Ok((parcel, given))
    }

    fn command(
        &self,
        folder: &JobFolder,
        record: &JobRecord,
        (bundle, line): (&Bundle, &CommandLine),
        parcel: &Parcel,
    ) -> io::Result<tokio::process::Command> {
        let mut arguments = vec!["-c".to_owned(), SCRIPT.to_owned(), "factory-job".to_owned()];
        for path in [&folder.begun(), &folder.status(), &line.program] {
            let text = path.to_str().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the surface's folder must have a UTF-8 path")
            })?;
            arguments.push(text.to_owned());
        }
        arguments.extend(line.arguments.iter().cloned());
        let wrapped =
            CommandLine { program: PathBuf::from("/bin/sh"), arguments, folder: line.folder.clone() };
        let own = [&identifying_variables(&self.shared, record)[..], &parcel.own_variables()].concat();
        let variables = record.job.variables.iter();
        spawn::command(&wrapped, bundle, parcel.variables(), variables, &own, &folder.log())
    }

    /// Follows a job to its end, and stops it where it runs out of its time. Its age is the system's to tell, so that neither a new host nor a
    /// clock that jumps gives it more or less.
    fn watch(&self, folder: JobFolder, record: &JobRecord, mut running: Running) {
        let shared = Arc::clone(&self.shared);
        let age = running
            .identity()
            .and_then(os::running_for)
            .unwrap_or_else(|| Span::between(record.started, shared.options.clock.now()).to_std());
        let left = record.job.timeout.to_std().saturating_sub(age);
        let own = identifying_variables(&shared, record);
        let (image, secrets) = (record.job.image.digest().hex().to_owned(), secrets_of(&shared, record));
        let job = Active { image, secrets: secrets.clone() };
        self.active.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.clone(), job);
        let (active, watched) = (Arc::clone(&self.active), folder.clone());
        self.shared.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return,
                _ = running.exited() => {}
                () = tokio::time::sleep(left) => {
                    let noted = blocking(move || std::fs::write(folder.timed_out(), b"")).await;
                    if let Err(error) = noted {
                        tracing::warn!(%error, "that a job ran out of its time could not be written");
                    }
                    running.end(GRACE).await;
                }
            }
            os::sweep(&shared.surface, |variables| {
                own.iter().all(|(name, value)| variables.get(*name) == Some(value))
            })
            .await;
            if let Err(error) = blocking(move || secrets.remove()).await {
                tracing::warn!(%error, "the secrets of a job that has ended could not be removed");
            }
            active.lock().unwrap_or_else(PoisonError::into_inner).remove(&watched);
        });
    }

    /// How a job is, by what is on disk and whether its process lives.
    pub(crate) async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState> {
        let _nobody_starts = self.starting.lock().await;
        let folder = JobFolder::of(&self.shared.options.root, tenant, effect);
        blocking(move || {
            let Some(record) = folder.started()? else {
                return Ok(JobState::Absent);
            };
            let alive = record.process.as_ref().is_some_and(os::is_alive);
            // Looked at after the process: one that ended in between has written its code by now.
            let code = folder.exit_code()?;
            let detail = |what: String| logs::ended(what, &folder.log(), record.has_secrets);
            Ok(match code {
                _ if alive && code.is_none() => JobState::Running,
                _ if folder.timed_out().exists() => JobState::Failed {
                    detail: detail(format!("it did not end within {}", record.job.timeout)),
                },
                Some(0) => JobState::Succeeded,
                Some(code) => JobState::Failed { detail: detail(format!("it exited with code {code}")) },
                None => JobState::Unknown {
                    detail: detail("its process is gone and left no exit code".to_owned()),
                },
            })
        })
        .await
        .map_err(|error| failed(STATE, "the job's files could not be read", error))
    }

    /// Ends the jobs that match, and removes all that is kept of them.
    pub(crate) async fn tear_down(
        &self,
        operation: &'static str,
        matches: impl Fn(&JobRecord) -> bool + Send,
    ) -> PortResult<()> {
        let trouble = |error| failed(operation, "the jobs could not be removed", error);
        let shared = Arc::clone(&self.shared);
        let known = blocking(move || records(&shared)).await.map_err(trouble)?;
        for (folder, record) in known.into_iter().filter(|(_, record)| matches(record)) {
            let own = identifying_variables(&self.shared, &record);
            os::sweep(&self.shared.surface, |variables| {
                own.iter().all(|(name, value)| variables.get(*name) == Some(value))
            })
            .await;
            let secrets = secrets_of(&self.shared, &record);
            let removed = blocking(move || secrets.remove().and_then(|()| state::remove_folder(&folder.0)));
            removed.await.map_err(trouble)?;
        }
        Ok(())
    }
}

async fn write(folder: &JobFolder, record: &JobRecord) -> PortResult<()> {
    let (path, written) = (folder.record(), record.clone());
    blocking(move || state::write(&path, &written))
        .await
        .map_err(|error| failed(START, "the job's record could not be written to disk", error))
}

/// Where a job's secrets are while it runs.
fn secrets_of(shared: &Shared, record: &JobRecord) -> SecretFolder {
    shared.secrets.job((record.tenant, record.environment), record.effect)
}

fn identifying_variables(shared: &Shared, record: &JobRecord) -> [(&'static str, String); 4] {
    [
        (SURFACE_VARIABLE, shared.surface.clone()),
        ("FACTORY_TENANT", record.tenant.to_string()),
        ("FACTORY_ENVIRONMENT", record.environment.to_string()),
        ("FACTORY_JOB", record.effect.to_string()),
    ]
}

/// Every job on disk.
fn records(shared: &Shared) -> io::Result<Vec<(JobFolder, JobRecord)>> {
    let mut found = Vec::new();
    for tenant in state::entries(&shared.options.root.join("jobs"))? {
        for deployment in state::entries(&tenant)?.into_iter().filter(|path| path.is_dir()) {
            for folder in state::entries(&deployment)?.into_iter().filter(|path| path.is_dir()).map(JobFolder)
            {
                if let Some(record) = state::read::<JobRecord>(&folder.record())? {
                    found.push((folder, record));
                }
            }
        }
    }
    Ok(found)
}

/// The jobs whose processes still live. A marked process of any other job is ended.
fn unfinished(shared: &Shared) -> io::Result<Vec<(JobFolder, JobRecord, Process)>> {
    let marked: Vec<MarkedProcess> = os::marked(&shared.surface)?
        .into_iter()
        .filter(|process| process.variables.contains_key("FACTORY_JOB"))
        .collect();
    let belongs = |record: &JobRecord, process: &MarkedProcess| {
        identifying_variables(shared, record)
            .iter()
            .all(|(name, value)| process.variables.get(*name) == Some(value))
    };
    let mut found = Vec::new();
    for (folder, mut record) in records(shared)? {
        if folder.exit_code()?.is_some() {
            continue;
        }
        if record.process.is_none()
            && let Some(spawned) =
                marked.iter().find(|process| process.leads_group && belongs(&record, process))
        {
            record.process = Some(spawned.identity.clone());
            state::write(&folder.record(), &record)?;
        }
        let process = record.process.as_ref().map(Process::open).transpose()?.flatten();
        if let Some(process) = process {
            found.push((folder, record, process));
        }
    }
    for process in &marked {
        if !found.iter().any(|(_, record, _)| belongs(record, process)) {
            os::kill(&process.identity);
        }
    }
    Ok(found)
}
