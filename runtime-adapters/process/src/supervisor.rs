//! The life of one instance: started, judged, started again where it ends by itself, drained and stopped when it should.
//!
//! ```text
//!          ┌────────── back-off ◀── ended by itself, or unwell
//!          ▼                                ▲
//!  wish on disk ─▶ spawned ─▶ identity on disk ─▶ judged ─▶ told to stop ─▶ drained ─▶ asked to end ─▶ killed ─▶ gone
//! ```
//!
//! When the host stops, the task ends and the process stays.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use runtime_domain::component::ConfigurationVersionRef;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::secrets::DeliveredSecret;
use runtime_domain::surface::InstanceState;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio::time::Instant;

use crate::component::Component;
use crate::delivery::secrets::SecretFolder;
use crate::delivery::{self, Parcel};
use crate::instance::Instance;
use crate::isolation::{self, Place};
use crate::ports::{PortLease, is_free};
use crate::probe::{unwell, watch_readiness};
use crate::proxy::upstream::Upstream;
use crate::spawn::{self, Running};
use crate::state::{GivenConfiguration, InstanceRecord, blocking, failed};
use crate::{bundle, logs, os, state};

/// How often in a row an instance is started again at once because another program took its port.
const PORT_RETRIES: u32 = 5;

/// How long to wait before a delivery that failed is tried again.
const DELIVERY_RETRY: Duration = Duration::from_secs(1);
/// How often an instance's control group is tried to be removed: what was killed is in it until the kernel has let go of it.
const UNLIMIT_TRIES: u32 = 50;
/// The wait before it is tried again.
const UNLIMIT_RETRY: Duration = Duration::from_millis(20);

/// A process of the instance that was found running.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: InstanceRecord,
    pub(crate) process: Option<os::Process>,
}

/// Follows an instance to its end, beginning with the process that was found of it, if one was.
pub(crate) async fn supervise(component: Arc<Component>, instance: Arc<Instance>, found: Option<Found>) {
    let (record, process) = match found {
        Some(Found { record, process }) => (record, process),
        None => (new_record(&instance), None),
    };
    let life = Life { component, instance, record, port_retries: 0, delay: Duration::ZERO };
    life.run(process).await;
}

fn new_record(instance: &Instance) -> InstanceRecord {
    InstanceRecord {
        revision: instance.revision().clone(),
        number: instance.number,
        start: 0,
        port: 0,
        restarts: 0,
        process: None,
        given: None,
        secrets: BTreeSet::new(),
    }
}

fn given(configuration: &DeliveredConfiguration, from_start: bool) -> GivenConfiguration {
    GivenConfiguration {
        version: configuration.version(),
        reference: configuration.to_version_ref(),
        from_start,
    }
}

struct Life {
    component: Arc<Component>,
    instance: Arc<Instance>,
    record: InstanceRecord,
    port_retries: u32,
    /// The wait before the next start, where the last process did not live long.
    delay: Duration,
}

/// A running process with what belongs to it.
struct Attended {
    running: Running,
    upstream: Arc<Upstream>,
    port: PortLease,
    since: Instant,
}

/// Why an instance is not attended to any longer.
enum Attention {
    HostStops,
    ToldToStop,
    Unwell(String),
    /// It should have a later configuration.
    Outdated(Arc<DeliveredConfiguration>),
    EndedByItself(Option<ExitStatus>),
}

impl Life {
    async fn run(mut self, process: Option<os::Process>) {
        let mut attended = process.map(|process| self.adopt(process));
        loop {
            let mut current = match attended.take() {
                Some(current) => current,
                None if self.instance.stop.is_cancelled() => break,
                None if self.host_stops() => return,
                None => match self.launch().await {
                    Ok(launched) => launched,
                    Err(error) => {
                        self.instance.set_trouble(error.message());
                        self.instance.judged.cancel();
                        self.back_off(Duration::ZERO).await;
                        continue;
                    }
                },
            };
            match self.attend(&mut current).await {
                Attention::HostStops => return,
                Attention::ToldToStop => {
                    if !self.finish(&mut current).await {
                        return;
                    }
                    break;
                }
                Attention::Unwell(reason) => {
                    if !self.finish(&mut current).await {
                        return;
                    }
                    self.ended(None, reason).await;
                    self.back_off(current.since.elapsed()).await;
                }
                Attention::Outdated(configuration) => {
                    self.deliver(&configuration).await;
                    attended = Some(current);
                }
                Attention::EndedByItself(status) => self.ended_by_itself(status, &current).await,
            }
        }
        self.gone().await;
    }

    fn host_stops(&self) -> bool {
        self.component.shared.stop.is_cancelled()
    }

    fn grace(&self) -> Duration {
        self.instance.spec.component.termination_grace.to_std()
    }

    fn attended(&self, running: Running, port: PortLease) -> Attended {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.port()));
        let upstream = Arc::new(Upstream::new(self.instance.revision().clone(), address));
        let (secrets, process) = (self.record.secrets.clone(), running.identity().cloned());
        self.instance.set_running(Arc::clone(&upstream), self.started_with(), secrets, process);
        Attended { running, upstream, port, since: Instant::now() }
    }

    fn adopt(&self, process: os::Process) -> Attended {
        let port = self.component.shared.ports.adopt(self.record.port);
        self.attended(Running::adopted(process), port)
    }

    /// Starts a process: the wish to disk, the process, its identity to disk. Wherever the host dies in between, the next one finds
    /// the wish, and the process by its marker.
    async fn launch(&mut self) -> PortResult<Attended> {
        const OPERATION: &str = "surface.apply";
        let shared = Arc::clone(&self.component.shared);
        let spec = Arc::clone(&self.instance.spec);
        let unpacked = shared.bundles.ensure(OPERATION, &spec.component.tuple.image).await?;
        let line = bundle::command_line(OPERATION, &unpacked, &spec.component.arguments)?;
        let place = self.place(OPERATION).await?;
        let port = shared
            .ports
            .reserve_within(place.ports.as_ref())
            .map_err(|error| PortError::new(PortErrorKind::Exhausted, OPERATION, error.to_string()))?;
        self.record.start = self.record.start.saturating_add(1);
        self.record.port = port.port();
        self.record.process = None;
        let configuration = self.instance.wanted().borrow().clone();
        let folder = self.component.folder.delivery(&self.instance.name);
        let parcel = Parcel::of(OPERATION, &spec, configuration.as_deref(), &folder, &self.secrets())?;
        self.record.secrets = spec.secrets.iter().map(DeliveredSecret::to_version_ref).collect();
        self.record.given = configuration.map(|it| given(&it, true));
        self.write().await.map_err(|error| {
            failed(
                OPERATION,
                format!("what is known of instance {} could not be written", self.instance.name),
                error,
            )
        })?;

        let mut own = self.component.own_variables(&self.instance, port.port(), self.record.start);
        own.extend(parcel.own_variables());
        let parcel = delivery::put(OPERATION, folder, parcel).await?;
        self.give(OPERATION, &place).await?;
        let log = self.component.folder.log(&self.instance.name);
        let program = line.program.clone();
        let secrets = self.secrets().fill(OPERATION, &shared.options.secret_stores, &spec).await?;
        if let Some(user) = place.user {
            self.secrets().lend(user).map_err(|error| {
                failed(OPERATION, "the instance's secrets could not be given to its user", error)
            })?;
        }
        let command =
            spawn::command(&line, &unpacked, parcel.variables(), spec.component.variables.iter(), &own, &log);
        let started = command.and_then(|mut command| {
            secrets.apply(&mut command);
            isolation::confine(&mut command, place.user);
            Running::start(command)
        });
        let (running, identity) = started.map_err(|error| {
            let shown = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let message = format!("`{shown}` could not be started: {error}");
            PortError::new(PortErrorKind::Invalid, OPERATION, message).caused_by(error)
        })?;
        self.record.process = identity;
        self.limit().await;
        if let Err(error) = self.write().await {
            // The wish is on disk, so the next host finds the process by its marker.
            tracing::warn!(instance = self.instance.name, %error, "the identity of a process could not be written");
        }
        Ok(self.attended(running, port))
    }

    /// What belongs to the instance's tenant and environment.
    async fn place(&self, operation: &'static str) -> PortResult<Place> {
        let component = Arc::clone(&self.component);
        let place =
            blocking(move || component.shared.isolation.place(&component.key, component.folder.path())).await;
        place.map_err(|error| {
            let message = format!("its place could not be prepared: {error}");
            failed(operation, message, error)
        })
    }

    /// Lets the system limit what its process may use.
    async fn limit(&self) {
        let (component, instance) = (Arc::clone(&self.component), Arc::clone(&self.instance));
        let process = self.record.process.clone();
        let limited = blocking(move || {
            let whose = (&component.key, instance.name.as_str());
            component.shared.isolation.limit(whose, process.as_ref(), instance.spec.component.resources);
            Ok(())
        });
        if let Err(error) = limited.await {
            tracing::warn!(instance = self.instance.name, %error, "what a process may use could not be limited");
        }
    }

    /// What was limited is forgotten, once the kernel has let go of what was limited.
    async fn unlimit(&self) -> std::io::Result<()> {
        for _ in 0..UNLIMIT_TRIES {
            let (component, name) = (Arc::clone(&self.component), self.instance.name.clone());
            if blocking(move || component.shared.isolation.forget(&component.key, &name)).await? {
                return Ok(());
            }
            tokio::time::sleep(UNLIMIT_RETRY).await;
        }
        // Who opens the surface next removes it.
        Ok(())
    }

    /// Lets the instance, and nobody else but the host, read what it was given.
    async fn give(&self, operation: &'static str, place: &Place) -> PortResult<()> {
        let Some(user) = place.user else { return Ok(()) };
        let (component, path) =
            (Arc::clone(&self.component), self.component.folder.deliveries().join(&self.instance.name));
        let given = blocking(move || component.shared.isolation.give(&path, user)).await;
        given.map_err(|error| failed(operation, "what the instance is given could not be given to it", error))
    }

    /// The version that its process counts as running with where it cannot tell: what it was started with.
    fn started_with(&self) -> Option<ConfigurationVersionRef> {
        let can_tell = self.instance.spec.component.configuration.report.is_some();
        let given = self.record.given.as_ref().filter(|given| given.from_start && !can_tell)?;
        Some(given.reference.clone())
    }

    /// Gives the process a later configuration, and tells it. Where that fails, it is tried again.
    async fn deliver(&mut self, configuration: &DeliveredConfiguration) {
        let Err(error) = self.hand_over(configuration).await else { return };
        tracing::warn!(instance = self.instance.name, %error, "a later configuration could not be given: trying again");
        tokio::select! {
            () = self.component.shared.stop.cancelled() => {}
            () = self.instance.stop.cancelled() => {}
            () = tokio::time::sleep(DELIVERY_RETRY) => {}
        }
    }

    /// What it has is replaced, then it is told, then that is noted: a host that dies in between leaves the rest to the next one, which
    /// does all of it again.
    async fn hand_over(&mut self, configuration: &DeliveredConfiguration) -> PortResult<()> {
        const OPERATION: &str = "surface.deliver";
        let folder = self.component.folder.delivery(&self.instance.name);
        let parcel =
            Parcel::of(OPERATION, &self.instance.spec, Some(configuration), &folder, &self.secrets())?;
        delivery::put(OPERATION, folder, parcel).await?;
        let place = self.place(OPERATION).await?;
        self.give(OPERATION, &place).await?;
        // What it was seen to run with before says nothing from here on.
        self.instance.set_consumed(None);
        let told = self.record.process.as_ref().map_or(Ok(false), os::hang_up);
        told.map_err(|error| failed(OPERATION, "the process could not be told of its configuration", error))?;
        self.record.given = Some(given(configuration, false));
        self.write().await.map_err(|error| failed(OPERATION, "that could not be noted", error))
    }

    /// Where its secrets are.
    fn secrets(&self) -> SecretFolder {
        self.component.shared.secrets.instance(&self.component.key, &self.instance.name)
    }

    async fn write(&self) -> std::io::Result<()> {
        let (path, record) = (self.component.folder.instance(&self.instance.name), self.record.clone());
        blocking(move || state::write(&path, &record)).await
    }

    async fn attend(&self, current: &mut Attended) -> Attention {
        let (component, instance, upstream) = (&self.component, &self.instance, &current.upstream);
        tokio::select! {
            biased;
            () = component.shared.stop.cancelled() => Attention::HostStops,
            () = instance.stop.cancelled() => Attention::ToldToStop,
            status = current.running.exited() => Attention::EndedByItself(status),
            reason = unwell(component, instance, upstream) => Attention::Unwell(reason),
            later = delivery::outdated(instance, self.record.given.as_ref()) => Attention::Outdated(later),
            never = delivery::confirm(component, instance, upstream, self.record.given.as_ref()) => match never {},
            never = watch_readiness(component, instance, upstream) => match never {},
        }
    }

    /// Takes the instance out of the routes, lets its requests finish, and ends it. Answers false where the host stops meanwhile: the
    /// next one finishes.
    async fn finish(&self, current: &mut Attended) -> bool {
        self.instance.set_state(InstanceState::Draining);
        self.instance.judged.cancel();
        self.component.publish();
        let grace = self.grace();
        let Attended { running, upstream, .. } = current;
        tokio::select! {
            biased;
            () = self.component.shared.stop.cancelled() => return false,
            _ = running.exited() => {}
            _ = tokio::time::timeout(grace, upstream.drained()) => {}
        }
        tokio::select! {
            biased;
            () = self.component.shared.stop.cancelled() => return false,
            () = running.end(grace) => {}
        }
        self.sweep().await;
        true
    }

    /// Ends what the instance's process left behind.
    async fn sweep(&self) {
        let component = &self.component;
        let own = component.identifying_variables(&self.instance);
        os::sweep(&component.shared.surface, |variables| {
            own.iter().all(|(name, value)| variables.get(*name) == Some(value))
        })
        .await;
    }

    async fn ended_by_itself(&mut self, status: Option<ExitStatus>, current: &Attended) {
        let was_ready = self.instance.state() == InstanceState::Ready;
        current.upstream.close();
        self.instance.set_state(InstanceState::NotReady);
        self.component.publish();
        self.sweep().await;
        let lived = current.since.elapsed();
        if !was_ready && self.port_retries < PORT_RETRIES && !is_free(current.port.port()) {
            self.port_retries += 1;
            self.instance.set_trouble(&format!("port {} was taken by another program", current.port.port()));
            return;
        }
        self.port_retries = 0;
        let code = status.and_then(spawn::exit_code);
        let how = match code {
            Some(code) if code > 128 => format!("it was ended by signal {}", code - 128),
            Some(code) => format!("it exited with code {code}"),
            None => "it ended while no host watched it".to_owned(),
        };
        let log = self.component.folder.log(&self.instance.name);
        let reason = logs::ended(how, &log, !self.instance.spec.secrets.is_empty());
        self.ended(code, reason).await;
        self.back_off(lived).await;
    }

    async fn ended(&mut self, code: Option<i32>, reason: String) {
        self.record.restarts = self.record.restarts.saturating_add(1);
        self.record.process = None;
        self.instance.set_exited(code, self.record.restarts, reason);
        self.instance.judged.cancel();
        self.component.publish();
        if let Err(error) = self.write().await {
            tracing::warn!(instance = self.instance.name, %error, "an instance's restarts could not be written");
        }
    }

    /// Waits before the next start, longer each time, unless the last process lived long.
    async fn back_off(&mut self, lived: Duration) {
        let options = &self.component.shared.options;
        let (first, longest) = (options.restart_delay.to_std(), options.restart_delay_limit.to_std());
        self.delay = if lived > longest { first } else { (self.delay * 2).clamp(first, longest.max(first)) };
        tokio::select! {
            () = self.component.shared.stop.cancelled() => {}
            () = self.instance.stop.cancelled() => {}
            () = tokio::time::sleep(self.delay) => {}
        }
    }

    async fn gone(self) {
        let path = self.component.folder.instance(&self.instance.name);
        let log = self.component.folder.log(&self.instance.name);
        let files = self.component.shared.options.log_files;
        let delivery = self.component.folder.delivery(&self.instance.name);
        let secrets = self.secrets();
        let removed = blocking(move || {
            secrets.remove()?;
            delivery.remove()?;
            state::remove(&path)?;
            logs::remove(&log, files)
        });
        if let Err(error) = removed.await {
            tracing::warn!(instance = self.instance.name, %error, "the files of a stopped instance could not be removed");
        }
        if let Err(error) = self.unlimit().await {
            tracing::warn!(instance = self.instance.name, %error, "the control group of a stopped instance could not be removed");
        }
        self.component.forget(&self.instance).await;
    }
}
