//! The surface itself: the ports' methods, opening and closing.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::metric::{MetricQuery, MetricReading};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, EffectId, RevisionSpec, SurfaceCapabilities, Traffic,
    TrafficControl,
};
use runtime_ports::job::{JobRequest, JobRunner, JobState};
use runtime_ports::metric::MetricSource;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::adoption::{self, Remains};
use crate::bundle::Bundles;
use crate::component::{CONCURRENT_REVISIONS, Change, Component, Shared};
use crate::delivery::secrets::SecretBase;
use crate::isolation::Isolation;
use crate::job::Jobs;
use crate::ports::Ports;
use crate::proxy::metrics::Metrics;
use crate::state::{self, ComponentRecord, SurfaceRecord, blocking, failed};
use crate::{ProcessSurfaceOptions, handover, logs};

const OPEN: &str = "surface.open";
const TEAR_DOWN: &str = "surface.tear_down";

/// How long opening waits for adopted instances to be judged before endpoints open, so that they do not open onto nothing.
const JUDGE_PATIENCE: Duration = Duration::from_secs(2);
/// How often logs are looked at, and endpoints that could not be opened are tried again.
const TICK: Duration = Duration::from_secs(1);

/// Operating-system processes behind a traffic-splitting reverse proxy. See the crate's documentation.
///
/// It needs a Tokio runtime with time and I/O. Dropping it stops its tasks soon, without waiting for requests under way; workloads
/// stay, as they do after [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct ProcessSurface {
    pub(crate) shared: Arc<Shared>,
    components: Arc<Components>,
    jobs: Arc<Jobs>,
    _stops_tasks: DropGuard,
}

type Components = Mutex<BTreeMap<ComponentKey, Arc<Component>>>;

impl ProcessSurface {
    /// Opens the surface of a root folder, and takes up what an earlier host left there: live processes are adopted, wanted ones that are
    /// gone are started, unwanted ones are ended, endpoints are opened on their old ports.
    ///
    /// # Errors
    /// [`Unavailable`](PortErrorKind::Unavailable) where another host has the folder open, [`Corrupt`](PortErrorKind::Corrupt) where a state
    /// file is damaged, and what the file system refused. Nothing was started then.
    pub async fn open(options: ProcessSurfaceOptions) -> PortResult<Self> {
        let stop = CancellationToken::new();
        let shared = Arc::new(begin(options, stop.clone()).await?);
        let for_scan = Arc::clone(&shared);
        let remains =
            tokio::task::spawn_blocking(move || adoption::remains(&for_scan)).await.map_err(|error| {
                PortError::new(PortErrorKind::Internal, OPEN, "looking for processes was cut off")
                    .caused_by(error)
            })??;
        let jobs = Arc::new(Jobs::open(Arc::clone(&shared)).await?);
        discard_unused_bundles(&shared, &remains, &jobs).await;
        discard_unused_secrets(&shared, &remains, &jobs).await?;

        let mut components = BTreeMap::new();
        let mut adopted = Vec::new();
        for Remains { component, instances } in remains {
            let live = instances.iter().filter(|(_, found)| found.process.is_some());
            adopted.extend(live.map(|(instance, _)| Arc::clone(instance)));
            component.resume(instances).await;
            components.insert(component.key.clone(), component);
        }
        let judged = futures::future::join_all(adopted.iter().map(|instance| instance.judged.cancelled()));
        // Opening goes on without those that do not answer: they become ready when they do.
        let _ = tokio::time::timeout(JUDGE_PATIENCE, judged).await;
        for component in components.values() {
            handover::link(component, |key| components.get(key).cloned());
            component.open_endpoint().await;
        }
        let surface = Self {
            components: Arc::new(Mutex::new(components)),
            jobs,
            _stops_tasks: stop.drop_guard(),
            shared,
        };
        surface.shared.tasks.spawn(tend(
            Arc::clone(&surface.shared),
            Arc::clone(&surface.components),
            Arc::clone(&surface.jobs),
        ));
        Ok(surface)
    }

    /// Stops serving and supervising, and returns once every task has ended. Requests under way may finish within the grace of the
    /// options. Workloads and jobs go on, and the next host that opens the folder adopts them; it may do so from now on, even while
    /// this value still exists. Shutting down twice is not an error.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        if let Err(error) = self.shared.lock.unlock() {
            tracing::warn!(%error, "the surface's folder stays locked until the surface is dropped");
        }
    }

    /// Drains and stops every component and ends every job of an environment, and removes all that is kept of them. Repeating it
    /// does nothing. Effects on these components fail meanwhile.
    ///
    /// # Errors
    /// What the file system refused, and a shutdown in between; repeating it goes on from there.
    pub async fn destroy_environment(&self, tenant: TenantId, environment: EnvironmentId) -> PortResult<()> {
        self.is_open(TEAR_DOWN)?;
        let there = |key: &ComponentKey| key.tenant == tenant && key.environment == environment;
        self.tear_down(self.components_where(there)).await?;
        self.jobs.tear_down(TEAR_DOWN, |job| job.tenant == tenant && job.environment == environment).await
    }

    /// Drains and stops everything that the surface runs, and removes all that is kept of it, unpacked images included.
    ///
    /// # Errors
    /// As [`destroy_environment`](Self::destroy_environment).
    pub async fn destroy_all(&self) -> PortResult<()> {
        self.is_open(TEAR_DOWN)?;
        self.tear_down(self.components_where(|_| true)).await?;
        self.jobs.tear_down(TEAR_DOWN, |_| true).await?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.bundles.keep_only(&[]))
            .await
            .map_err(|error| failed(TEAR_DOWN, "unpacked images could not be removed", error))
    }

    /// The effect that put a component's present routes in force; `None` where it has none.
    pub fn routed_by(&self, key: &ComponentKey) -> Option<EffectId> {
        self.component(key).and_then(|component| component.proxy.table().effect)
    }

    /// Whether anything of this component was applied here.
    pub fn has(&self, key: &ComponentKey) -> bool {
        self.applied(key).is_some()
    }

    /// After a shutdown the folder may be another host's.
    fn is_open(&self, operation: &'static str) -> PortResult<()> {
        if self.shared.stop.is_cancelled() {
            let message = "the surface was shut down: open it again";
            return Err(PortError::new(PortErrorKind::Unavailable, operation, message));
        }
        Ok(())
    }

    async fn tear_down(&self, components: Vec<Arc<Component>>) -> PortResult<()> {
        let work = components.iter().map(|component| component.tear_down(TEAR_DOWN));
        let ended = futures::future::join_all(work).await;
        let mut known = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first_error = Ok(());
        for (component, ended) in components.iter().zip(ended) {
            match ended {
                Ok(()) => {
                    known.remove(&component.key);
                }
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        first_error
    }

    pub(crate) fn component(&self, key: &ComponentKey) -> Option<Arc<Component>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn components_where(&self, wanted: impl Fn(&ComponentKey) -> bool) -> Vec<Arc<Component>> {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.iter().filter(|(key, _)| wanted(key)).map(|(_, component)| Arc::clone(component)).collect()
    }

    fn component_or_new(&self, key: &ComponentKey) -> Arc<Component> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Component::new(Arc::clone(&self.shared), ComponentRecord::new(key.clone())));
        if let Some(known) = components.get(key) {
            return Arc::clone(known);
        }
        let component = new();
        components.insert(key.clone(), Arc::clone(&component));
        // What was handed over to a component of this name that is gone is answered by this one.
        for from in components.values().filter(|from| from.handed_to().as_ref() == Some(key)) {
            handover::link(from, |key| components.get(key).cloned());
        }
        component
    }

    /// A component of which something was applied here.
    pub(crate) fn applied(&self, key: &ComponentKey) -> Option<Arc<Component>> {
        self.component(key).filter(|component| component.was_applied())
    }

    pub(crate) fn existing(&self, operation: &'static str, key: &ComponentKey) -> PortResult<Arc<Component>> {
        self.applied(key).ok_or_else(|| {
            let message =
                format!("nothing of {} was applied to this environment: apply a revision first", key.module);
            PortError::new(PortErrorKind::NotFound, operation, message)
        })
    }
}

/// Locks the folder, and reads or makes the surface's identifier.
async fn begin(mut options: ProcessSurfaceOptions, stop: CancellationToken) -> PortResult<Shared> {
    // A workload stands in a folder of its own: what is named from where the host stands is not there.
    for folder in std::iter::once(&mut options.root).chain(&mut options.secret_folder) {
        *folder = std::path::absolute(&*folder)
            .map_err(|error| failed(OPEN, "the surface's folder could not be used", error))?;
    }
    let root = options.root.clone();
    let fresh = options.identifiers.next().as_simple().to_string();
    let chosen = options.secret_folder.clone();
    let (isolation, instance_ports) = (options.isolation.clone(), options.instance_ports.clone());
    let (locked, surface, lock, secrets, isolation) = blocking(move || {
        // What workloads print and are given is nobody else's business.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let lock = File::options().create(true).append(true).open(root.join("surface.lock"))?;
        let locked = lock_file(&lock);
        // The identifier is read, and made, by nobody but who holds the lock.
        let surface = if locked.is_ok() { surface_identifier(&root, fresh)? } else { fresh };
        let secrets = SecretBase::open(chosen.as_deref(), &root, &surface)?;
        let isolation = Isolation::open(&isolation, &root, instance_ports, &surface)?;
        Ok((locked, surface, lock, secrets, isolation))
    })
    .await
    .map_err(|error| failed(OPEN, "the surface's folder could not be used", error))?;
    locked?;
    Ok(Shared {
        secrets,
        isolation,
        bundles: Bundles::new(&options.root, Arc::clone(&options.registry)),
        ports: Arc::new(Ports::new(options.instance_ports.clone())),
        options,
        surface,
        something_waits: Arc::default(),
        tasks: TaskTracker::new(),
        stop,
        lock,
    })
}

fn lock_file(lock: &File) -> PortResult<()> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => PortError::new(
            PortErrorKind::Unavailable,
            OPEN,
            "another host has the surface's folder open: stop it, or give this one a folder of its own",
        ),
        TryLockError::Error(error) => failed(OPEN, "the surface's folder could not be locked", error),
    })
}

fn surface_identifier(root: &Path, fresh: String) -> std::io::Result<String> {
    let path = root.join("surface.json");
    if let Some(known) = state::read::<SurfaceRecord>(&path)? {
        return Ok(known.surface);
    }
    state::write(&path, &SurfaceRecord { surface: fresh.clone() })?;
    Ok(fresh)
}

/// Secrets of components and jobs that are gone must not stay.
async fn discard_unused_secrets(shared: &Arc<Shared>, remains: &[Remains], jobs: &Jobs) -> PortResult<()> {
    let keys: Vec<_> = remains.iter().map(|remains| remains.component.key.clone()).collect();
    let (shared, running) = (Arc::clone(shared), jobs.secrets());
    let discarded = blocking(move || shared.secrets.keep_only(&keys, &running)).await;
    discarded.map_err(|error| failed(OPEN, "secrets of workloads that are gone could not be removed", error))
}

async fn discard_unused_bundles(shared: &Arc<Shared>, remains: &[Remains], jobs: &Jobs) {
    let mut used = jobs.images();
    for remains in remains {
        used.extend(remains.component.images().await);
    }
    let for_work = Arc::clone(shared);
    if let Err(error) = blocking(move || for_work.bundles.keep_only(&used)).await {
        tracing::warn!(%error, "unused unpacked images could not be removed");
    }
}

/// Rotates logs and opens endpoints that could not be opened before, until the host stops.
async fn tend(shared: Arc<Shared>, components: Arc<Components>, jobs: Arc<Jobs>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let present: Vec<_> =
            components.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut paths = jobs.logs();
        for component in present {
            component.open_endpoint().await;
            paths.extend(component.instances().keys().map(|name| component.folder.log(name)));
        }
        let (limit, files) = (shared.options.log_limit, shared.options.log_files);
        let rotated =
            blocking(move || paths.iter().try_for_each(|path| logs::rotate(path, limit, files).map(|_| ())));
        if let Err(error) = rotated.await {
            tracing::warn!(%error, "a log could not be rotated");
        }
    }
}

#[async_trait]
impl ComputeSurface for ProcessSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: self.shared.options.kind,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: CONCURRENT_REVISIONS,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let change = Change::Apply { spec: Box::new(revision.clone()), replicas };
        self.component_or_new(&revision.key).perform(context, change).await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        let component = self.component_or_new(key);
        component.perform(context, Change::Scale { revision: revision.clone(), replicas }).await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        let component = self.component_or_new(key);
        component.perform(context, Change::Shift { traffic: traffic.clone() }).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        self.component_or_new(key).perform(context, Change::Retire { revision: revision.clone() }).await
    }

    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let component = self.component_or_new(key);
        let configuration = Box::new(configuration.clone());
        component.perform(context, Change::Deliver { revision: revision.clone(), configuration }).await
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        match self.component(key) {
            Some(component) => Ok(component.observe().await),
            None => Ok(ComponentObservation {
                key: key.clone(),
                observed_at: self.shared.options.clock.now(),
                revisions: BTreeMap::new(),
                traffic: None,
                endpoint: None,
            }),
        }
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        let there = |key: &ComponentKey| key.tenant == tenant && key.environment == environment;
        let mut seen = Vec::new();
        for component in self.components_where(there) {
            let observation = component.observe().await;
            if !observation.revisions.is_empty() {
                seen.push(observation);
            }
        }
        Ok(seen)
    }
}

#[async_trait]
impl MetricSource for ProcessSurface {
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        match self.component(&query.key) {
            Some(component) => component.proxy.metrics.read(query),
            None => Metrics::default().read(query),
        }
    }
}

#[async_trait]
impl JobRunner for ProcessSurface {
    fn effect_class(&self) -> EffectClass {
        EffectClass::Fenced
    }

    async fn start(&self, request: &JobRequest) -> PortResult<()> {
        self.jobs.start(request).await
    }

    async fn state(&self, tenant: TenantId, effect: EffectId) -> PortResult<JobState> {
        self.jobs.state(tenant, effect).await
    }
}
