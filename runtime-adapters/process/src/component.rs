//! One component: what is wanted of it, its instances, and its data plane.

mod change;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::component::RevisionId;
use runtime_domain::surface::{ComponentKey, ComponentObservation, EffectId, RevisionObservation, Traffic};
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ProcessSurfaceOptions;
use crate::bundle::{self, Bundles};
use crate::delivery::secrets::{self, SecretBase};
use crate::delivery::{DeliveryFolder, Parcel};
use crate::instance::Instance;
use crate::isolation::{Isolation, storage_of};
use crate::os::SURFACE_VARIABLE;
use crate::ports::Ports;
use crate::proxy::table::{RoutingTable, Sleep};
use crate::proxy::{ActivationLimits, Proxy, ProxyLimits};
use crate::state::{self, Admitted, ComponentFolder, ComponentRecord, Fences, blocking, failed};
use crate::supervisor::{self, Found};

pub(crate) use change::{CONCURRENT_REVISIONS, Change};
use change::{change_record, check_spec};

/// What all components of a surface share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: ProcessSurfaceOptions,
    /// The value that marks the surface's processes.
    pub(crate) surface: String,
    pub(crate) bundles: Bundles,
    pub(crate) secrets: SecretBase,
    pub(crate) ports: Arc<Ports>,
    pub(crate) isolation: Isolation,
    /// Notified when a request begins to wait for the first replica of a component.
    pub(crate) something_waits: Arc<Notify>,
    pub(crate) tasks: TaskTracker,
    /// Set when the host stops. Workloads stay.
    pub(crate) stop: CancellationToken,
    /// Keeps other hosts out of the folder for as long as any task may still write to it: until the end of a shutdown.
    pub(crate) lock: File,
}

/// What is routed, and by which effect.
#[derive(Debug)]
struct Routed {
    traffic: Option<Traffic>,
    effect: Option<EffectId>,
    sleep: Sleep,
}

impl Routed {
    /// What a record says, where it slept so before.
    fn of(record: &ComponentRecord, before: Sleep) -> Self {
        let wanted = record.traffic.as_ref().map(|traffic| {
            let revisions = traffic.revisions().into_iter();
            revisions.filter_map(|revision| record.revisions.get(revision)).any(|it| it.replicas > 0)
        });
        let sleep = match (wanted, before) {
            (None, _) => Sleep::Awake,
            (Some(false), _) => Sleep::Asleep,
            (Some(true), Sleep::Asleep) => Sleep::Waking,
            (Some(true), before) => before,
        };
        Self { traffic: record.traffic.clone(), effect: record.traffic_effect, sleep }
    }
}

/// One component.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) key: ComponentKey,
    pub(crate) folder: ComponentFolder,
    pub(crate) shared: Arc<Shared>,
    /// What is on disk. Held while it is changed, so that effects follow one another.
    record: tokio::sync::Mutex<ComponentRecord>,
    instances: Mutex<BTreeMap<String, Arc<Instance>>>,
    instance_gone: Notify,
    pub(crate) proxy: Arc<Proxy>,
    proxy_stop: CancellationToken,
    /// What is routed, and by which effect. Held while routes are made, so that a newer table is never replaced by an older.
    routed: Mutex<Routed>,
    endpoint_trouble: Mutex<Option<String>>,
    /// Who answers at its endpoint, where it is not itself. What is on disk, to be read without waiting.
    handed_to: Mutex<Option<ComponentKey>>,
    /// Whether a revision of it was ever applied. What is on disk, to be read without waiting.
    was_applied: AtomicBool,
    torn_down: AtomicBool,
}

impl Component {
    pub(crate) fn new(shared: Arc<Shared>, record: ComponentRecord) -> Self {
        let options = &shared.options;
        let limits = ProxyLimits {
            answer_timeout: options.answer_timeout.to_std(),
            connections: usize::try_from(options.connection_limit.max(1)).unwrap_or(1),
            rate_window: options.rate_window.to_std(),
            activation: options.is_event_driven().then(|| ActivationLimits {
                patience: options.activation_timeout.to_std(),
                requests: usize::try_from(options.activation_limit).unwrap_or(usize::MAX),
                noticed: Arc::clone(&shared.something_waits),
            }),
            shutdown_grace: options.shutdown_grace.to_std(),
        };
        Self {
            key: record.key.clone(),
            folder: ComponentFolder::of(&options.root, &record.key),
            proxy: Arc::new(Proxy::new(Arc::clone(&options.clock), limits)),
            proxy_stop: shared.stop.child_token(),
            routed: Mutex::new(Routed::of(&record, Sleep::Awake)),
            handed_to: Mutex::new(record.handed_to.clone()),
            was_applied: AtomicBool::new(record.endpoint_port.is_some()),
            record: tokio::sync::Mutex::new(record),
            instances: Mutex::default(),
            instance_gone: Notify::new(),
            endpoint_trouble: Mutex::default(),
            torn_down: AtomicBool::new(false),
            shared,
        }
    }

    pub(crate) fn instances(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who answers at its endpoint, where it is not itself.
    pub(crate) fn handed_to(&self) -> Option<ComponentKey> {
        self.handed_to.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a revision of it was ever applied: what is refused, or finds nothing to do, leaves nothing but its token.
    pub(crate) fn was_applied(&self) -> bool {
        self.was_applied.load(Ordering::Acquire)
    }

    /// Does an effect as a whole, whatever becomes of the caller: once begun, it is not cut off between disk and processes.
    pub(crate) async fn perform(self: &Arc<Self>, context: EffectContext, change: Change) -> PortResult<()> {
        let operation = change.operation();
        if self.shared.stop.is_cancelled() {
            let message = "the surface was shut down: open it again";
            return Err(PortError::new(PortErrorKind::Unavailable, operation, message));
        }
        let component = Arc::clone(self);
        let work = async move { component.perform_whole(context, change).await };
        self.shared.tasks.spawn(work).await.map_err(|error| {
            PortError::new(PortErrorKind::Internal, operation, "the effect was cut off")
                .with_retry(Retry::OutcomeUnknown)
                .caused_by(error)
        })?
    }

    async fn perform_whole(self: Arc<Self>, context: EffectContext, change: Change) -> PortResult<()> {
        let operation = change.operation();
        let checked = self.check(&change).await;
        let mut record = self.record.lock().await;
        if self.torn_down.load(Ordering::SeqCst) {
            let message = "the component's environment is being torn down: wait until that is done";
            return Err(PortError::new(PortErrorKind::Unavailable, operation, message));
        }
        let mut next = record.clone();
        next.admit_token(operation, context.effect.owner, context.fence)?;
        let listener = match self.change(&mut next, context.effect, change, checked).await {
            Ok(listener) => listener,
            Err(refused) => {
                self.remember(operation, &mut record, next.fences).await?;
                return Err(refused);
            }
        };
        self.prune(&mut next);
        self.write(operation, &next).await?;
        *record = next;
        if let Some(listener) = listener {
            self.serve(listener);
        }
        self.settle(&record);
        Ok(())
    }

    /// Whether a change can be made, as far as that takes long to find out.
    async fn check(&self, change: &Change) -> PortResult<()> {
        let Change::Apply { spec, replicas } = change else { return Ok(()) };
        let operation = change.operation();
        check_spec(operation, self.shared.options.kind, spec, *replicas)?;
        // An image that is missing or damaged is refused before anything is wanted of it.
        let unpacked = self.shared.bundles.ensure(operation, &spec.component.tuple.image).await?;
        bundle::command_line(operation, &unpacked, &spec.component.arguments)?;
        // So is what could not be delivered.
        let (folder, instance) =
            (DeliveryFolder::new(PathBuf::new()), SecretBase::nowhere().instance(&self.key, ""));
        Parcel::of(operation, spec, spec.configuration.as_ref(), &folder, &instance)?;
        secrets::check(operation, &self.shared.options.secret_stores, spec).await
    }

    /// Makes an effect's change to what is wanted, unless it was made before; answers with an endpoint that is opened for it.
    async fn change(
        &self,
        wanted: &mut ComponentRecord,
        effect: EffectId,
        change: Change,
        checked: PortResult<()>,
    ) -> PortResult<Option<TcpListener>> {
        checked?;
        let operation = change.operation();
        // Whether a delivery is a repetition does not matter: only a later version changes anything.
        let is_delivery = matches!(change, Change::Deliver { .. });
        if !is_delivery && wanted.admit(effect, &change.fingerprint()?) == Admitted::AlreadyDone {
            return Ok(None);
        }
        let mut listener = None;
        if matches!(change, Change::Apply { .. }) && self.proxy.port().is_none() {
            let bound = self.bind(operation, wanted.endpoint_port).await?;
            wanted.endpoint_port = bound.local_addr().ok().map(|address| address.port());
            listener = Some(bound);
        }
        change_record(wanted, effect, change)?;
        Ok(listener)
    }

    /// Keeps the tokens that a refused effect came with: whoever has an older one was replaced all the same.
    async fn remember(
        &self,
        operation: &'static str,
        record: &mut ComponentRecord,
        seen: Fences,
    ) -> PortResult<()> {
        if record.fences != seen {
            let mut next = record.clone();
            next.fences = seen;
            self.write(operation, &next).await?;
            *record = next;
        }
        Ok(())
    }

    async fn write(&self, operation: &'static str, record: &ComponentRecord) -> PortResult<()> {
        let (path, written) = (self.folder.record(), record.clone());
        blocking(move || state::write(&path, &written))
            .await
            .map_err(|error| failed(operation, "the component's state could not be written to disk", error))
    }

    /// Starts what is wanted and missing, tells what is not wanted to stop, and puts the wanted routes in force.
    fn settle(self: &Arc<Self>, record: &ComponentRecord) {
        for revision in record.revisions.values() {
            let missing: Vec<u64> = {
                let instances = self.instances();
                let exists = |number: &u64| {
                    instances
                        .values()
                        .any(|it| it.number == *number && *it.revision() == revision.spec.revision)
                };
                revision.instances.iter().filter(|number| !exists(number)).copied().collect()
            };
            let spec = Arc::new(revision.spec.clone());
            for number in missing {
                let instance = Instance::new(Arc::clone(&spec), number, 0);
                instance.want(revision.configuration());
                self.begin(Arc::new(instance), None);
            }
        }
        for instance in self.instances().values() {
            let wanted = record
                .revisions
                .get(instance.revision())
                .filter(|revision| revision.instances.contains(&instance.number));
            match wanted {
                Some(revision) => instance.want(revision.configuration()),
                None => instance.stop.cancel(),
            }
        }
        *self.handed_to.lock().unwrap_or_else(PoisonError::into_inner) = record.handed_to.clone();
        self.was_applied.store(record.endpoint_port.is_some(), Ordering::Release);
        let mut routed = self.routed.lock().unwrap_or_else(PoisonError::into_inner);
        *routed = Routed::of(record, routed.sleep);
        drop(routed);
        self.publish();
    }

    /// Takes up an instance, with the process that was found of it, if one was.
    fn begin(self: &Arc<Self>, instance: Arc<Instance>, found: Option<Found>) {
        self.instances().insert(instance.name.clone(), Arc::clone(&instance));
        self.shared.tasks.spawn(supervisor::supervise(Arc::clone(self), instance, found));
    }

    /// Takes up what an earlier host left of this component.
    pub(crate) async fn resume(self: &Arc<Self>, found: Vec<(Arc<Instance>, Found)>) {
        for (instance, found) in found {
            self.begin(instance, Some(found));
        }
        let mut record = self.record.lock().await;
        self.drop_retired(&mut record).await;
        self.settle(&record);
    }

    /// Makes routes of what is routed and which instances are ready, and puts them in force.
    pub(crate) fn publish(&self) {
        let mut routed = self.routed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready: BTreeMap<RevisionId, Vec<_>> = BTreeMap::new();
        for instance in self.instances().values() {
            if let Some(upstream) = instance.ready_upstream() {
                ready.entry(instance.revision().clone()).or_default().push(upstream);
            }
        }
        let revisions = routed.traffic.as_ref().map(Traffic::revisions).unwrap_or_default();
        if routed.sleep == Sleep::Waking && revisions.iter().any(|revision| ready.contains_key(revision)) {
            routed.sleep = Sleep::Awake;
        }
        let mut table = RoutingTable::new(routed.traffic.clone(), routed.effect, &ready);
        table.sleep = routed.sleep;
        self.proxy.replace(table);
    }

    /// An instance's process and files are gone.
    pub(crate) async fn forget(&self, instance: &Instance) {
        let mut record = self.record.lock().await;
        self.instances().remove(&instance.name);
        self.publish();
        self.drop_retired(&mut record).await;
        drop(record);
        self.instance_gone.notify_waiters();
    }

    /// Drops retired revisions whose last instance is gone, on disk too.
    async fn drop_retired(&self, record: &mut ComponentRecord) {
        if self.prune(record)
            && !self.torn_down.load(Ordering::SeqCst)
            && let Err(error) = self.write("surface.retire", record).await
        {
            tracing::warn!(component = %self.key, %error, "a retired revision stays on disk until the next effect");
        }
    }

    /// Drops retired revisions whose last instance is gone. Answers whether there were any.
    fn prune(&self, record: &mut ComponentRecord) -> bool {
        let before = record.revisions.len();
        let instances = self.instances();
        record.revisions.retain(|revision, it| {
            !it.retiring || instances.values().any(|instance| instance.revision() == revision)
        });
        record.revisions.len() < before
    }

    /// Stops everything and removes every trace. Requests under way get their grace.
    pub(crate) async fn tear_down(self: &Arc<Self>, operation: &'static str) -> PortResult<()> {
        {
            let mut record = self.record.lock().await;
            let mut next = record.clone();
            let revisions: Vec<_> = next.revisions.keys().cloned().collect();
            for revision in &revisions {
                next.retire(revision);
            }
            self.write(operation, &next).await?;
            self.torn_down.store(true, Ordering::SeqCst);
            *record = next;
            self.settle(&record);
        }
        loop {
            let gone = self.instance_gone.notified();
            let mut gone = std::pin::pin!(gone);
            gone.as_mut().enable();
            if self.instances().is_empty() {
                break;
            }
            tokio::select! {
                () = gone => {}
                () = self.shared.stop.cancelled() => {
                    let message = "the surface was shut down while it tore the component down: open it and tear down again";
                    return Err(PortError::new(PortErrorKind::Unavailable, operation, message));
                }
            }
        }
        self.proxy_stop.cancel();
        let folder = self.folder.path().to_path_buf();
        let secrets = self.shared.secrets.component(&self.key);
        blocking(move || state::remove_folder(&secrets).and_then(|()| state::remove_folder(&folder)))
            .await
            .map_err(|error| failed(operation, "the component's files could not be removed", error))
    }

    async fn bind(&self, operation: &'static str, kept: Option<u16>) -> PortResult<TcpListener> {
        let wanted = self.shared.options.endpoint_ports.get(&self.key).copied().or(kept);
        TcpListener::bind((Ipv4Addr::LOCALHOST, wanted.unwrap_or(0))).await.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::AddrInUse => PortErrorKind::Exhausted,
                _ => PortErrorKind::Invalid,
            };
            let message = match wanted {
                Some(port) => format!(
                    "the endpoint of {} must listen on port {port}, which is not to be had ({}): stop the program that has it or \
                     configure another port",
                    self.key.module,
                    error.kind()
                ),
                None => format!("no port is to be had for the endpoint of {}", self.key.module),
            };
            PortError::new(kind, operation, message).caused_by(error)
        })
    }

    fn serve(&self, listener: TcpListener) {
        if let Ok(address) = listener.local_addr() {
            self.proxy.opened(address.port());
        }
        *self.endpoint_trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.tasks.spawn(Arc::clone(&self.proxy).serve(listener, self.proxy_stop.clone()));
    }

    /// Opens the endpoint where the component has one and it is not open.
    pub(crate) async fn open_endpoint(&self) {
        let record = self.record.lock().await;
        let closed = self.proxy.port().is_none() && !self.proxy_stop.is_cancelled();
        if let Some(kept) = record.endpoint_port.filter(|_| closed) {
            match self.bind("surface.open", Some(kept)).await {
                Ok(listener) => self.serve(listener),
                Err(error) => {
                    *self.endpoint_trouble.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(error.message().to_owned());
                }
            }
        }
    }

    /// What is seen of the component now. Traffic is what the data plane has in force, and nothing while it does not listen.
    pub(crate) async fn observe(&self) -> ComponentObservation {
        let record = self.record.lock().await;
        let mut instances: Vec<_> = self.instances().values().cloned().collect();
        instances.sort_by_key(|instance| instance.number);
        let endpoint_trouble = self.endpoint_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let revisions = record.revisions.iter().map(|(id, revision)| {
            let own: Vec<_> = instances.iter().filter(|instance| instance.revision() == id).collect();
            let observed = RevisionObservation {
                image: revision.spec.component.tuple.image.digest().clone(),
                wanted: revision.replicas,
                trouble: own
                    .iter()
                    .find_map(|instance| instance.trouble())
                    .or_else(|| endpoint_trouble.clone()),
                instances: own.iter().map(|instance| instance.observation()).collect(),
            };
            (id.clone(), observed)
        });
        let port = self.proxy.port();
        ComponentObservation {
            key: self.key.clone(),
            observed_at: self.shared.options.clock.now(),
            revisions: revisions.collect(),
            traffic: port.and_then(|_| self.proxy.table().traffic.clone()),
            endpoint: port.map(|port| format!("http://{}:{port}", Ipv4Addr::LOCALHOST)),
        }
    }

    /// The images that its revisions run, by the hexadecimal digits of their digests.
    pub(crate) async fn images(&self) -> Vec<String> {
        let record = self.record.lock().await;
        let images = record.revisions.values().map(|revision| &revision.spec.component.tuple.image);
        images.map(|image| image.digest().hex().to_owned()).collect()
    }

    /// The variables by which an instance's processes are known.
    pub(crate) fn identifying_variables(&self, instance: &Instance) -> [(&'static str, String); 5] {
        [
            (SURFACE_VARIABLE, self.shared.surface.clone()),
            ("FACTORY_TENANT", self.key.tenant.to_string()),
            ("FACTORY_ENVIRONMENT", self.key.environment.to_string()),
            ("FACTORY_MODULE", self.key.module.to_string()),
            ("FACTORY_INSTANCE", instance.name.clone()),
        ]
    }

    /// Everything that the runtime itself tells an instance.
    pub(crate) fn own_variables(
        &self,
        instance: &Instance,
        port: u16,
        start: u32,
    ) -> Vec<(&'static str, String)> {
        let mut own = vec![
            ("PORT", port.to_string()),
            ("FACTORY_REVISION", instance.revision().to_string()),
            ("FACTORY_START", start.to_string()),
            ("FACTORY_STORAGE", storage_of(self.folder.path()).display().to_string()),
        ];
        own.extend(self.identifying_variables(instance));
        own
    }
}
