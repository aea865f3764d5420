//! Registries that break one promise each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::registry::{Hostile, RegistryCapabilities, SampleImage};
use runtime_testkit::conformance::{AdapterFactory, Persistence, RegistryFactory, Report, registry};
use tempfile::TempDir;
use tokio::task::yield_now;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CountsItsAnswers,
    AnswersByName,
    BelievesTheDigestAsked,
    NamesStick,
    UnpacksWhatTheNameMeans,
    UnknownIsEmpty,
    UnknownDigestIsEmpty,
    PanicsAtLongNames,
    UnpacksUnasked,
    LosesVariables,
    LosesTheExecutableBit,
    UnpacksOver,
    WritesInPlace,
    KeepsItsLock,
    AnswersTheCallBefore,
    EveryoneWins,
    BelievesManifests,
    BelievesLayers,
    LeavesHalf,
    FollowsClimbingNames,
    FollowsLinks,
    ForgetsWhenClosed,
}

/// What a digest stands for.
#[derive(Debug, Clone)]
struct Kept {
    image: SampleImage,
    hostile: Option<Hostile>,
}

#[derive(Debug, Default)]
struct Shelf {
    names: BTreeMap<String, ImageDigest>,
    kept: BTreeMap<ImageDigest, Kept>,
    /// What was asked for last.
    last: Option<ImageDigest>,
    /// Whether somebody is unpacking.
    locked: bool,
}

struct Registry {
    bug: Bug,
    unpacks: bool,
    shelf: Arc<Mutex<Shelf>>,
    answers: AtomicU64,
}

fn refused(kind: PortErrorKind, message: &str) -> PortError {
    PortError::new(kind, "registry.test", message)
}

fn hash(image: &SampleImage, hostile: Option<Hostile>, salt: u64) -> ImageDigest {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (format!("{:?}", (&image.files, &image.entrypoint, &image.variables, hostile)), salt).hash(&mut hasher);
    ImageDigest::new(&format!("sha256:{:064x}", hasher.finish())).unwrap()
}

fn empty(reference: &ImageReference) -> SampleImage {
    SampleImage {
        reference: reference.clone(),
        files: BTreeMap::new(),
        entrypoint: Vec::new(),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        working_directory: "/".to_owned(),
    }
}

impl Registry {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn put(&self, image: SampleImage, hostile: Option<Hostile>) -> PinnedImage {
        let mut shelf = self.shelf.lock().unwrap();
        let digest = hash(&image, hostile, 0);
        let name = image.reference.to_string();
        if !(self.is(Bug::NamesStick) && shelf.names.contains_key(&name)) {
            shelf.names.insert(name, digest.clone());
        }
        let pinned = image.reference.pinned(digest.clone());
        shelf.kept.insert(digest, Kept { image, hostile });
        pinned
    }

    fn is_believed(&self, hostile: Hostile) -> bool {
        matches!(
            (self.bug, hostile),
            (Bug::BelievesManifests, Hostile::DamagedManifest) | (Bug::BelievesLayers, Hostile::DamagedLayer)
        )
    }

    /// The digest that is looked for, and that it is there and intact.
    fn find(&self, shelf: &Shelf, reference: &ImageReference) -> PortResult<ImageDigest> {
        let unknown = || refused(PortErrorKind::NotFound, "there is no such image");
        let asked = reference.digest().cloned();
        let name = reference.tag().map(|tag| format!("{}:{tag}", reference.repository()));
        let digest = match (name.map(|name| shelf.names.get(&name).cloned()), asked) {
            (Some(None), _) if self.is(Bug::UnknownIsEmpty) => hash(&empty(reference), None, 0),
            (Some(None), _) => return Err(unknown()),
            (Some(Some(named)), Some(asked)) if named != asked && !self.is(Bug::BelievesTheDigestAsked) => {
                return Err(refused(PortErrorKind::Invalid, "the name means another image"));
            }
            (Some(Some(named)), _) => named,
            (None, asked) if self.is(Bug::AnswersByName) => {
                let is_of_it = |(name, digest): (&String, &ImageDigest)| {
                    name.starts_with(reference.repository()).then(|| digest.clone())
                };
                let known = asked.filter(|asked| shelf.kept.contains_key(asked));
                known.and_then(|_| shelf.names.iter().rev().find_map(is_of_it)).ok_or_else(unknown)?
            }
            (None, asked) => asked.filter(|it| shelf.kept.contains_key(it)).ok_or_else(unknown)?,
        };
        match shelf.kept.get(&digest).and_then(|kept| kept.hostile) {
            Some(hostile @ (Hostile::DamagedManifest | Hostile::DamagedLayer))
                if !self.is_believed(hostile) =>
            {
                Err(refused(PortErrorKind::Corrupt, "it is not what its digest says"))
            }
            _ => Ok(digest),
        }
    }

    fn content(&self, image: &PinnedImage) -> PortResult<Kept> {
        let mut shelf = self.shelf.lock().unwrap();
        let name = image.reference().to_string();
        let name = name.split('@').next().unwrap_or_default();
        let named = shelf.names.get(name).cloned();
        let mut digest = image.digest().clone();
        if let Some(named) =
            named.filter(|_| self.is(Bug::UnpacksWhatTheNameMeans) && shelf.kept.contains_key(&digest))
        {
            digest = named;
        }
        let before = shelf.last.replace(digest.clone());
        if let Some(before) = before.filter(|_| self.is(Bug::AnswersTheCallBefore) && shelf.locked) {
            digest = before;
        }
        match shelf.kept.get(&digest) {
            Some(kept) => Ok(kept.clone()),
            None if self.is(Bug::UnknownDigestIsEmpty) => {
                Ok(Kept { image: empty(image.reference()), hostile: None })
            }
            None => Err(refused(PortErrorKind::NotFound, "there is no such image")),
        }
    }

    /// Writes the files, one after the other; leaves what it has written where it fails.
    async fn write(&self, kept: &Kept, root: &Path) -> PortResult<()> {
        let write = |path: &Path, content: &[u8]| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        fs::create_dir_all(root).unwrap();
        for (name, content) in &kept.image.files {
            write(&root.join(name), content);
            yield_now().await;
        }
        fs::create_dir_all(root.join(kept.image.working_directory.trim_start_matches('/'))).unwrap();
        if let Some(run) = kept.image.entrypoint.first().filter(|_| !self.is(Bug::LosesTheExecutableBit)) {
            use std::os::unix::fs::PermissionsExt as _;
            let run = root.join(run.trim_start_matches('/'));
            fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let corrupt = |message| Err(refused(PortErrorKind::Corrupt, message));
        match kept.hostile {
            Some(hostile) if self.is_believed(hostile) => Ok(()),
            Some(Hostile::ClimbingFile) if self.is(Bug::FollowsClimbingNames) => {
                write(&root.join("../../escaped"), b"out");
                Ok(())
            }
            Some(Hostile::FileThroughALink) if self.is(Bug::FollowsLinks) => {
                std::os::unix::fs::symlink("../..", root.join("door")).unwrap();
                write(&root.join("door/escaped"), b"out");
                corrupt("it leads out")
            }
            Some(_) => corrupt("it is not what it says"),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ImageRegistry for Registry {
    async fn resolve(&self, reference: &ImageReference) -> PortResult<PinnedImage> {
        let long = reference.tag().is_some_and(|tag| tag.len() > 100);
        assert!(!(long && self.is(Bug::PanicsAtLongNames)), "a name this long");
        let digest = self.find(&self.shelf.lock().unwrap(), reference)?;
        yield_now().await;
        if self.is(Bug::CountsItsAnswers) && reference.digest().is_none() && reference.tag() == Some("1") {
            let answers = self.answers.fetch_add(1, Ordering::SeqCst);
            if answers == 1 {
                return Ok(reference.pinned(hash(&empty(reference), None, answers)));
            }
        }
        Ok(reference.pinned(digest))
    }

    async fn unpack(&self, image: &PinnedImage, destination: &Path) -> PortResult<Bundle> {
        if !self.unpacks && !self.is(Bug::UnpacksUnasked) {
            return Err(refused(PortErrorKind::Unsupported, "it does not unpack"));
        }
        let kept = self.content(image)?;
        let is_there = fs::symlink_metadata(destination).is_ok();
        if is_there && !self.is(Bug::UnpacksOver) {
            return Err(refused(PortErrorKind::Invalid, "the destination is there"));
        }
        if is_there && fs::metadata(destination).unwrap().is_file() {
            return Err(refused(PortErrorKind::Invalid, "the destination is a file"));
        }
        let was_locked = std::mem::replace(&mut self.shelf.lock().unwrap().locked, true);
        if was_locked && self.is(Bug::KeepsItsLock) {
            return Err(refused(PortErrorKind::Unavailable, "somebody unpacks"));
        }
        let beside = tempfile::Builder::new().prefix(".beside").tempdir_in(destination.parent().unwrap());
        let beside = beside.unwrap();
        let root = match self.bug {
            Bug::WritesInPlace => destination.to_owned(),
            _ => beside.path().join("root"),
        };
        let written = self.write(&kept, &root).await;
        self.shelf.lock().unwrap().locked = false;
        if self.is(Bug::LeavesHalf) && written.is_err() {
            fs::rename(&root, destination).unwrap();
        }
        written?;
        if root != destination {
            let is_there = fs::symlink_metadata(destination).is_ok();
            match fs::rename(&root, destination) {
                _ if is_there && self.is(Bug::EveryoneWins) => {}
                Err(_) if self.is(Bug::UnpacksOver) => {}
                moved => {
                    moved.map_err(|_| refused(PortErrorKind::Invalid, "the destination is there"))?;
                }
            }
        }
        let mut variables: Vec<(String, String)> = kept.image.variables.into_iter().collect();
        if self.is(Bug::LosesVariables) {
            variables.retain(|(_, value)| !value.contains('='));
        }
        Ok(Bundle {
            root: destination.to_owned(),
            entrypoint: kept.image.entrypoint,
            arguments: kept.image.arguments,
            variables,
            working_directory: PathBuf::from(kept.image.working_directory.trim_start_matches('/')),
        })
    }
}

struct Factory {
    bug: Bug,
    unpacks: bool,
    folders: Mutex<Vec<TempDir>>,
}

fn factory(bug: Bug, unpacks: bool) -> Factory {
    Factory { bug, unpacks, folders: Mutex::default() }
}

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Registry;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Registry> {
        Ok(Registry {
            bug: self.bug,
            unpacks: self.unpacks,
            shelf: Arc::default(),
            answers: AtomicU64::default(),
        })
    }

    async fn reopen(&self, registry: Registry) -> PortResult<Registry> {
        if self.bug == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(registry) }
    }
}

#[async_trait]
impl RegistryFactory for Factory {
    fn folder(&self) -> PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        self.folders.lock().unwrap().push(folder);
        path
    }

    async fn push(&self, registry: &Registry, image: &SampleImage) -> PortResult<()> {
        registry.put(image.clone(), None);
        Ok(())
    }

    async fn push_hostile(
        &self,
        registry: &Registry,
        reference: &ImageReference,
        hostile: Hostile,
    ) -> PortResult<Option<PinnedImage>> {
        let files = BTreeMap::from([("first".to_owned(), b"sound".to_vec())]);
        Ok(Some(registry.put(SampleImage { files, ..empty(reference) }, Some(hostile))))
    }
}

async fn of(bug: Bug, unpacks: bool) -> Report {
    let capabilities = RegistryCapabilities { unpacks, names_move: true };
    registry(factory(bug, unpacks), capabilities).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_registry_that_breaks_its_promise() {
    let sound = vec![of(Bug::None, true).await, of(Bug::None, false).await];
    let damaged = "a damaged image is corrupt and leaves nothing";
    let leads_out = "a layer that leads out of its image is corrupt and leaves nothing";
    let (pushed, missing) =
        ("an image is unpacked as it was pushed", "what is not there is not found and is no empty image");
    let (odd, over) = ("no name however odd is anything but not found", "what exists is not unpacked over");
    let (dropped, at_once) =
        ("a call that is dropped leaves the registry usable", "calls at once are not taken for one another");
    let moved = "what was pinned is the same image after its name moved";
    let one_does = "of many who unpack to one place one does";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::CountsItsAnswers, &["a name resolves to one digest that stays", dropped, at_once]),
        (Bug::AnswersByName, &["what is asked for by its digest is what comes", moved]),
        (Bug::BelievesTheDigestAsked, &["a digest that the name does not mean is refused"]),
        (Bug::NamesStick, &["a name that moved means the other image from then on"]),
        (Bug::UnpacksWhatTheNameMeans, &[moved]),
        (Bug::UnknownIsEmpty, &[missing, odd]),
        (Bug::UnknownDigestIsEmpty, &[missing]),
        (Bug::PanicsAtLongNames, &[odd]),
        (Bug::UnpacksUnasked, &["what it does not do is unsupported"]),
        (Bug::LosesVariables, &[pushed]),
        (Bug::LosesTheExecutableBit, &[pushed]),
        (Bug::UnpacksOver, &[over, one_does]),
        (Bug::WritesInPlace, &["a bundle appears complete or not at all", dropped, damaged, leads_out]),
        (Bug::KeepsItsLock, &[dropped, at_once]),
        (Bug::AnswersTheCallBefore, &[at_once]),
        (Bug::EveryoneWins, &[one_does]),
        (Bug::BelievesManifests, &[damaged]),
        (Bug::BelievesLayers, &[damaged]),
        (Bug::LeavesHalf, &[damaged, leads_out]),
        (Bug::FollowsClimbingNames, &[leads_out]),
        (Bug::FollowsLinks, &[leads_out]),
        (Bug::ForgetsWhenClosed, &["what was pushed is there after reopening"]),
    ];
    crate::tried(sound, bugs, |bug| of(bug, bug != Bug::UnpacksUnasked)).await;
}
