//! What the surface keeps on disk, so that the next host knows everything that this one began.
//!
//! ```text
//! root/
//!   surface.lock                     held by the host that has the surface open
//!   surface.json                     the identifier that marks this surface's processes
//!   bundles/<digest>/, <digest>.json an unpacked image, and how it is started
//!   components/<tenant>/<environment>/<module>/
//!     component.json                 what is wanted: revisions, replicas, traffic; fences and effects seen
//!     instances/<name>.json          one process: written before it is spawned, and again with its identity
//!     delivered/<name>/              what it is given beside its image; see `delivery`
//!     logs/<name>.log                its output, then .log.1, .log.2
//!   jobs/<tenant>/<deployment>/<ordinal>/
//!     job.json, output.log
//!     delivered/                     what it is given beside its image; see `delivery`
//!     run/begun, run/status          written by the job itself
//! ```
//!
//! Every file is replaced whole: written beside, flushed to the disk, renamed. A wish is on disk before a process is spawned for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use runtime_domain::component::{ConfigurationVersionRef, RevisionId, SecretVersionRef};
use runtime_domain::configuration::{ConfigVersion, DeliveredConfiguration};
use runtime_domain::id::{ConfigurationId, DeploymentId, ScalingPolicyId};
use runtime_domain::surface::{
    ComponentKey, EffectId, EffectOwner, FencingToken, RevisionSpec, Traffic, TrafficWeights,
};
use runtime_domain::value::Percent;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::delivery::DeliveryFolder;
use crate::os::ProcessIdentity;

/// How many effects one component remembers to recognise a repetition.
const EFFECTS: usize = 256;

/// Who the surface is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SurfaceRecord {
    /// The value that marks its processes.
    pub(crate) surface: String,
}

/// Everything wanted of one component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ComponentRecord {
    pub(crate) key: ComponentKey,
    /// Where its proxy listens; chosen once.
    pub(crate) endpoint_port: Option<u16>,
    pub(crate) revisions: BTreeMap<RevisionId, RevisionRecord>,
    pub(crate) traffic: Option<Traffic>,
    /// The component that answers at its endpoint, where it is another.
    #[serde(default)]
    pub(crate) handed_to: Option<ComponentKey>,
    /// The effect that directed the traffic.
    pub(crate) traffic_effect: Option<EffectId>,
    #[serde(flatten)]
    pub(crate) fences: Fences,
    effects: VecDeque<(EffectId, String)>,
}

/// The greatest fencing tokens seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Fences {
    /// Of a deployment, or of whatever else takes workloads down.
    #[serde(rename = "fence")]
    rollout: FencingToken,
    /// With a delivery: whoever delivers holds another lease than whoever rolls out.
    #[serde(default, rename = "delivery_fence")]
    delivery: FencingToken,
    /// Of a scaling policy.
    #[serde(default, rename = "scaling_fence")]
    scaling: FencingToken,
}

/// What is wanted of one revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RevisionRecord {
    pub(crate) spec: RevisionSpec,
    pub(crate) replicas: u16,
    /// The numbers of the instances that should run, the oldest first. What runs beyond them is on its way out.
    pub(crate) instances: BTreeSet<u64>,
    /// The number that the next instance gets; numbers are not used again.
    pub(crate) next_instance: u64,
    /// Retired: it stays only until its last instance has stopped.
    pub(crate) retiring: bool,
    /// A later configuration than the specification's, given in place.
    #[serde(default)]
    pub(crate) delivered: Option<DeliveredConfiguration>,
}

impl RevisionRecord {
    /// A revision without instances.
    pub(crate) fn new(spec: RevisionSpec) -> Self {
        Self {
            spec,
            replicas: 0,
            instances: BTreeSet::new(),
            next_instance: 1,
            retiring: false,
            delivered: None,
        }
    }

    /// What its instances should have of their configuration.
    pub(crate) fn configuration(&self) -> Option<&DeliveredConfiguration> {
        self.delivered.as_ref().or(self.spec.configuration.as_ref())
    }

    /// Takes a configuration in place, unless it has one that is as late.
    pub(crate) fn deliver(&mut self, configuration: DeliveredConfiguration) {
        if self.configuration().is_none_or(|own| own.version() < configuration.version()) {
            self.delivered = Some(configuration);
        }
    }

    /// Sets the number of replicas: new numbers at the end, or the newest ones given up.
    pub(crate) fn resize(&mut self, replicas: u16) {
        self.replicas = replicas;
        while self.instances.len() > usize::from(replicas) {
            self.instances.pop_last();
        }
        while self.instances.len() < usize::from(replicas) {
            self.instances.insert(self.next_instance);
            self.next_instance += 1;
        }
    }
}

/// Whether an effect is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It was not done before, or it was the last one: doing it brings about what should be.
    Perform,
    /// It was done before and others came after it: doing it again would undo them.
    AlreadyDone,
}

impl ComponentRecord {
    /// A component of which nothing is wanted yet.
    pub(crate) fn new(key: ComponentKey) -> Self {
        Self {
            key,
            endpoint_port: None,
            revisions: BTreeMap::new(),
            traffic: None,
            handed_to: None,
            traffic_effect: None,
            fences: Fences::default(),
            effects: VecDeque::new(),
        }
    }

    /// Checks an effect's fencing token, and remembers it.
    pub(crate) fn admit_token(
        &mut self,
        operation: &'static str,
        owner: EffectOwner,
        fence: FencingToken,
    ) -> PortResult<()> {
        let seen = [
            (EffectOwner::Deployment(DeploymentId::from_uuid(Uuid::nil())), self.fences.rollout),
            (EffectOwner::ScalingPolicy(ScalingPolicyId::from_uuid(Uuid::nil())), self.fences.scaling),
            (EffectOwner::Configuration(ConfigurationId::from_uuid(Uuid::nil())), self.fences.delivery),
        ];
        let first =
            seen.iter().filter(|(other, _)| owner.gives_way_to(*other)).map(|(_, token)| *token).max();
        if let Some(first) = first.filter(|first| *first > fence) {
            return Err(outdated(operation, fence, first));
        }
        match owner {
            EffectOwner::Configuration(_) => self.fences.delivery = fence,
            EffectOwner::ScalingPolicy(_) => self.fences.scaling = fence,
            EffectOwner::Deployment(_)
            | EffectOwner::RuntimeEnvironment(_)
            | EffectOwner::RuntimeTenantBinding(_)
            | EffectOwner::DriftFinding(_) => self.fences.rollout = fence,
        }
        Ok(())
    }

    /// Checks whether an effect is a repetition, and remembers it. `change` tells what the effect does; the same effect with another change is
    /// no repetition.
    pub(crate) fn admit(&mut self, effect: EffectId, change: &str) -> Admitted {
        let done = (effect, change.to_owned());
        match self.effects.iter().position(|known| *known == done) {
            Some(at) if at + 1 < self.effects.len() => Admitted::AlreadyDone,
            Some(_) => Admitted::Perform,
            None => {
                self.effects.push_back(done);
                while self.effects.len() > EFFECTS {
                    self.effects.pop_front();
                }
                Admitted::Perform
            }
        }
    }

    /// Marks a revision as retired and takes it out of the traffic; the others share what it had.
    pub(crate) fn retire(&mut self, revision: &RevisionId) {
        if let Some(record) = self.revisions.get_mut(revision) {
            record.resize(0);
            record.retiring = true;
        }
        self.traffic = self.traffic.take().and_then(|traffic| without(traffic, revision));
    }
}

fn outdated(operation: &'static str, fence: FencingToken, seen: FencingToken) -> PortError {
    let message = format!(
        "the effect carries fencing token {} and {} was seen already: another host has taken over this component, so let it work",
        fence.0, seen.0
    );
    PortError::new(PortErrorKind::Fenced, operation, message)
}

/// The same traffic without one revision, the rest scaled to a whole again; `None` where nothing is left.
fn without(traffic: Traffic, revision: &RevisionId) -> Option<Traffic> {
    match traffic {
        Traffic::PerInstance(mut revisions) => {
            revisions.remove(revision);
            (!revisions.is_empty()).then_some(Traffic::PerInstance(revisions))
        }
        Traffic::Weighted(weights) if weights.share(revision) == Percent::NONE => {
            let kept = weights
                .iter()
                .filter(|(other, _)| *other != revision)
                .map(|(other, share)| (other.clone(), share))
                .collect();
            TrafficWeights::new(kept).ok().map(Traffic::Weighted)
        }
        Traffic::Weighted(weights) => {
            let kept: Vec<_> = weights
                .iter()
                .filter(|(other, share)| *other != revision && *share > Percent::NONE)
                .map(|(other, share)| (other.clone(), u32::from(share.get())))
                .collect();
            let whole: u32 = kept.iter().map(|(_, share)| share).sum();
            let mut left = 100;
            let count = kept.len();
            let mut rescaled = BTreeMap::new();
            for (at, (other, share)) in kept.into_iter().enumerate() {
                let share = if at + 1 == count { left } else { share * 100 / whole };
                left -= share;
                rescaled.insert(other, Percent::new(u8::try_from(share).ok()?).ok()?);
            }
            TrafficWeights::new(rescaled).ok().map(Traffic::Weighted)
        }
    }
}

/// One instance's process, as far as it got.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    pub(crate) revision: RevisionId,
    /// Its number within the revision.
    pub(crate) number: u64,
    /// How often a process was spawned for it, this one included.
    pub(crate) start: u32,
    /// Where the process listens.
    pub(crate) port: u16,
    /// How often it was started again after it ended by itself.
    pub(crate) restarts: u32,
    /// The process; absent where the host ended between the wish and the process.
    pub(crate) process: Option<ProcessIdentity>,
    /// The configuration version that the process was given last, and told of.
    #[serde(default)]
    pub(crate) given: Option<GivenConfiguration>,
    /// The secret versions that the process was started with. References only: what they are worth is never here.
    #[serde(default)]
    pub(crate) secrets: BTreeSet<SecretVersionRef>,
}

/// Which configuration version a process was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenConfiguration {
    pub(crate) version: ConfigVersion,
    pub(crate) reference: ConfigurationVersionRef,
    /// Whether the process was started with it. It was told of any other.
    pub(crate) from_start: bool,
}

/// Where one component's files are.
#[derive(Debug, Clone)]
pub(crate) struct ComponentFolder(PathBuf);

impl ComponentFolder {
    /// The folder of one component. Every part of the key is safe as a folder's name by its type.
    pub(crate) fn of(root: &Path, key: &ComponentKey) -> Self {
        Self(environment_folder(root, key).join(key.module.as_str()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("component.json")
    }
    pub(crate) fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }
    pub(crate) fn instance(&self, name: &str) -> PathBuf {
        self.instances().join(format!("{name}.json"))
    }
    pub(crate) fn deliveries(&self) -> PathBuf {
        self.0.join("delivered")
    }
    pub(crate) fn delivery(&self, name: &str) -> DeliveryFolder {
        DeliveryFolder::new(self.deliveries().join(name))
    }
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }
}

fn environment_folder(root: &Path, key: &ComponentKey) -> PathBuf {
    root.join("components").join(key.tenant.to_string()).join(key.environment.to_string())
}

/// Writes a file whole, or leaves the old one: beside, flushed, renamed.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Reads a file; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file; that it is gone already is what was wanted.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all it holds; that it is gone already is what was wanted.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The entries of a folder; none where there is no such folder.
pub(crate) fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Runs file work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A failed file operation in the ports' terms.
pub(crate) fn failed(operation: &'static str, what: impl Into<String>, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PortErrorKind::Exhausted,
        io::ErrorKind::InvalidData => PortErrorKind::Corrupt,
        io::ErrorKind::PermissionDenied => PortErrorKind::Denied,
        _ => PortErrorKind::Internal,
    };
    PortError::new(kind, operation, what).caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use runtime_domain::id::{EnvironmentId, TenantId};
    use runtime_domain::value::Name;

    use super::*;

    fn record() -> ComponentRecord {
        ComponentRecord::new(ComponentKey {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            environment: EnvironmentId::from_uuid(Uuid::from_u128(2)),
            module: Name::new("cart").expect("a name"),
        })
    }

    fn effect(deployment: u128, ordinal: u32) -> EffectId {
        EffectId::of(DeploymentId::from_uuid(Uuid::from_u128(deployment)), ordinal)
    }

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(Name::new("cart").expect("a name"), DeploymentId::from_uuid(Uuid::from_u128(number)))
    }

    #[test]
    fn an_older_token_is_fenced_whichever_deployment_it_works_on() {
        let mut record = record();
        let mut admit = |deployment, token| {
            record.admit_token("surface.apply", effect(deployment, 1).owner, FencingToken(token))
        };
        assert!(admit(1, 5).is_ok());
        assert_eq!(admit(1, 4).expect_err("it is older").kind(), PortErrorKind::Fenced);
        assert!(admit(2, 6).is_ok());
        assert_eq!(admit(1, 5).expect_err("it is older").kind(), PortErrorKind::Fenced);
    }

    #[test]
    fn a_rollout_goes_on_past_a_scaling_policy_and_a_policy_that_was_overtaken_does_not() {
        let mut record = record();
        let mut admit = |owner: EffectOwner, token| {
            let admitted = record.admit_token("surface.scale", owner, FencingToken(token));
            admitted.map_err(|error| error.kind())
        };
        let rollout = EffectOwner::Deployment(DeploymentId::from_uuid(Uuid::from_u128(1)));
        let policy = EffectOwner::ScalingPolicy(ScalingPolicyId::from_uuid(Uuid::from_u128(2)));
        assert!(admit(rollout, 5).is_ok());
        assert!(admit(policy, 7).is_ok());
        assert!(admit(rollout, 5).is_ok(), "its lease is as good as it was");
        assert_eq!(admit(policy, 6), Err(PortErrorKind::Fenced), "another host has the policy");
        assert!(admit(rollout, 9).is_ok());
        assert_eq!(
            admit(policy, 8),
            Err(PortErrorKind::Fenced),
            "it was decided before the rollout's latest"
        );
        assert!(admit(policy, 10).is_ok());
    }

    #[test]
    fn an_effect_that_others_followed_is_not_done_again() {
        let mut record = record();
        let mut admit = |ordinal, change: &str| record.admit(effect(1, ordinal), change);
        assert_eq!(admit(1, "a"), Admitted::Perform);
        assert_eq!(admit(1, "a"), Admitted::Perform);
        assert_eq!(admit(2, "b"), Admitted::Perform);
        assert_eq!(admit(1, "a"), Admitted::AlreadyDone);
        assert_eq!(admit(1, "another change"), Admitted::Perform);
    }

    proptest! {
        #[test]
        fn scaling_down_gives_up_the_newest_and_numbers_are_never_used_again(
            sizes in proptest::collection::vec(0_u16..12, 1..12),
        ) {
            let mut instances = BTreeSet::new();
            let mut next = 1;
            let mut revision = RevisionRecord::new(RevisionSpec {
                key: record().key,
                revision: revision(1),
                component: crate::tests::component("cart"),
                secrets: BTreeSet::new(),
                configuration: None,
            });
            for size in sizes {
                let before = revision.instances.clone();
                revision.resize(size);
                prop_assert_eq!(revision.instances.len(), usize::from(size));
                let kept: Vec<_> = before.iter().take(usize::from(size)).collect();
                prop_assert!(kept.iter().all(|number| revision.instances.contains(number)));
                for number in revision.instances.difference(&before) {
                    prop_assert!(*number >= next);
                    prop_assert!(instances.insert(*number));
                }
                next = revision.next_instance;
            }
        }

        #[test]
        fn traffic_without_a_retired_revision_is_whole_again(first in 0_u8..=100, second in 0_u8..=100) {
            let second = second.min(100 - first);
            let share = |percent| Percent::new(percent).expect("a share");
            let weights = TrafficWeights::new(BTreeMap::from([
                (revision(1), share(first)),
                (revision(2), share(second)),
                (revision(3), share(100 - first - second)),
            ]))
            .expect("a whole");
            match without(Traffic::Weighted(weights), &revision(1)) {
                Some(left) => prop_assert!(!left.revisions().contains(&&revision(1))),
                None => prop_assert_eq!(first, 100),
            }
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/component.json");
        assert!(read::<ComponentRecord>(&path).expect("readable").is_none());
        write(&path, &record()).expect("written");
        assert_eq!(read::<ComponentRecord>(&path).expect("readable").expect("there").key, record().key);
        fs::write(&path, "{").expect("damaged");
        let error = read::<ComponentRecord>(&path).expect_err("damaged");
        assert_eq!(failed("surface.open", "damaged", error).kind(), PortErrorKind::Corrupt);
    }
}
