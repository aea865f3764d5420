//! What runs, and the record of who did what to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectId, InstanceObservation, InstanceState, RevisionObservation,
    RevisionSpec, Traffic,
};
use runtime_ports::clock::Clock as _;
use runtime_system::SystemClock;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// How long an instance takes until it is ready.
const READY_AFTER: Duration = Duration::from_millis(20);

/// What a host asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) host: String,
    pub(crate) asked: Asked,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Asked {
    Perform { effect: EffectId, fence: u64, key: ComponentKey, change: Change },
    Observe { key: ComponentKey },
    List { tenant: TenantId, environment: EnvironmentId },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Apply { spec: Box<RevisionSpec>, replicas: u16 },
    Scale { revision: RevisionId, replicas: u16 },
    Shift { traffic: Traffic },
    Retire { revision: RevisionId },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Fenced,
    NotFound,
    Seen(Box<ComponentObservation>),
    Listed(Vec<ComponentObservation>),
}

/// An effect that the world accepted or refused.
#[derive(Debug, Clone)]
pub struct Performed {
    /// When it came.
    pub at: Instant,
    /// The host that asked for it, by the name that it was given.
    pub host: String,
    /// Which effect.
    pub effect: EffectId,
    /// Under which token.
    pub fence: u64,
    /// On which component.
    pub key: ComponentKey,
    /// True where the world was not so before.
    pub has_changed: bool,
    /// True where the token was older than one already seen: then nothing was done.
    pub is_refused: bool,
}

/// What runs of a component.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// The revisions with the number of their instances.
    pub revisions: BTreeMap<RevisionId, usize>,
    /// Where its traffic goes.
    pub traffic: Option<Traffic>,
}

/// What runs, and what was done. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    components: BTreeMap<ComponentKey, Component>,
    record: Vec<Performed>,
}

#[derive(Debug, Default)]
struct Component {
    revisions: BTreeMap<RevisionId, Revision>,
    traffic: Option<Traffic>,
    fence: u64,
}

#[derive(Debug)]
struct Revision {
    image: ImageDigest,
    /// Since when each instance is there.
    instances: Vec<Instant>,
}

impl Revision {
    fn scale(&mut self, replicas: u16) -> bool {
        let before = self.instances.len();
        self.instances.resize(usize::from(replicas), Instant::now());
        before != self.instances.len()
    }
}

impl World {
    /// Answers hosts for as long as it is polled.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(&self, listener: UnixListener) -> std::io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            let world = self.clone();
            // A host that is killed leaves a broken line behind, which is nobody's fault.
            tokio::spawn(async move { world.converse(stream).await });
        }
    }

    /// Everything that hosts asked it to do, in order.
    pub fn record(&self) -> Vec<Performed> {
        self.state().record.clone()
    }

    /// How many effects were asked for so far.
    pub fn count(&self) -> usize {
        self.state().record.len()
    }

    /// What runs.
    pub fn running(&self) -> BTreeMap<ComponentKey, Running> {
        let state = self.state();
        let running = state.components.iter().map(|(key, component)| {
            let revisions = component.revisions.iter();
            let revisions = revisions.map(|(id, revision)| (id.clone(), revision.instances.len())).collect();
            (key.clone(), Running { revisions, traffic: component.traffic.clone() })
        });
        running.collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn converse(&self, stream: UnixStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await? {
            let question: Question = serde_json::from_str(&line)?;
            let answer = self.state().answer(question);
            let mut line = serde_json::to_vec(&answer)?;
            line.push(b'\n');
            writer.write_all(&line).await?;
        }
        Ok(())
    }
}

impl State {
    fn answer(&mut self, question: Question) -> Answer {
        match question.asked {
            Asked::Perform { effect, fence, key, change } => {
                let component = self.components.entry(key.clone()).or_default();
                let is_refused = fence < component.fence;
                let changed = if is_refused { Some(false) } else { component.perform(fence, change) };
                let has_changed = changed == Some(true);
                let at = Instant::now();
                let host = question.host;
                self.record.push(Performed { at, host, effect, fence, key, has_changed, is_refused });
                match changed {
                    _ if is_refused => Answer::Fenced,
                    Some(_) => Answer::Done,
                    None => Answer::NotFound,
                }
            }
            Asked::Observe { key } => Answer::Seen(Box::new(self.seen(&key))),
            Asked::List { tenant, environment } => {
                let keys = self.components.keys();
                let own = keys.filter(|key| (key.tenant, key.environment) == (tenant, environment));
                Answer::Listed(own.map(|key| self.seen(key)).collect())
            }
        }
    }

    fn seen(&self, key: &ComponentKey) -> ComponentObservation {
        let component = self.components.get(key);
        let revisions = component.into_iter().flat_map(|component| &component.revisions);
        ComponentObservation {
            key: key.clone(),
            observed_at: SystemClock::new().now(),
            revisions: revisions.map(|(id, revision)| (id.clone(), revision.seen())).collect(),
            traffic: component.and_then(|component| component.traffic.clone()),
            endpoint: None,
        }
    }
}

impl Component {
    /// Whether anything changed; `None` where the revision does not exist.
    fn perform(&mut self, fence: u64, change: Change) -> Option<bool> {
        self.fence = fence;
        match change {
            Change::Apply { spec, replicas } => {
                let image = spec.component.tuple.image.digest().clone();
                let new = Revision { image, instances: Vec::new() };
                let is_new = !self.revisions.contains_key(&spec.revision);
                let is_scaled = self.revisions.entry(spec.revision).or_insert(new).scale(replicas);
                Some(is_new || is_scaled)
            }
            Change::Scale { revision, replicas } => Some(self.revisions.get_mut(&revision)?.scale(replicas)),
            Change::Shift { traffic } => {
                if traffic.revisions().into_iter().any(|revision| !self.revisions.contains_key(revision)) {
                    return None;
                }
                let before = self.traffic.replace(traffic);
                Some(before != self.traffic)
            }
            Change::Retire { revision } => Some(self.revisions.remove(&revision).is_some()),
        }
    }
}

impl Revision {
    fn seen(&self) -> RevisionObservation {
        let instances = self.instances.iter().enumerate().map(|(number, since)| InstanceObservation {
            name: format!("instance-{number}"),
            state: if since.elapsed() < READY_AFTER { InstanceState::Starting } else { InstanceState::Ready },
            restarts: 0,
            address: None,
            configuration: None,
            secrets: Default::default(),
        });
        let instances: Vec<_> = instances.collect();
        let wanted = u16::try_from(instances.len()).unwrap_or(u16::MAX);
        RevisionObservation { image: self.image.clone(), wanted, instances, trouble: None }
    }
}
