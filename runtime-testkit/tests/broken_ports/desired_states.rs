//! Sources of desired state that break one promise each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::drift::{Authoritative, DesiredStateRevision};
use runtime_domain::id::TenantId;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::manifest::ReleaseManifest;
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use runtime_testkit::conformance::desired_state::{DesiredStateCapabilities, Document, Documents};
use runtime_testkit::conformance::{AdapterFactory, DesiredStateFactory, Persistence, Report, desired_state};
use runtime_testkit::sample;
use tokio::task::yield_now;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    IsOfOneEnvironment,
    NamesOneRevision,
    NothingIsNotFound,
    NotFoundIsNothing,
    LooksAbove,
    LeavesOutTheBroken,
    DoesNotSayWhich,
    TakesTheFirst,
    PanicsAtNoText,
    RepeatsTheDocument,
    ReadsTheNeighbour,
    ForgetsTheTenant,
    TellsOfOthers,
    KeepsOneTenants,
    AnswersWhatIsBegun,
    BegunWillNeverBe,
    ReadsInParts,
    KeepsItsLock,
    ForgetsWhenClosed,
}

/// What a place says: which number this word has, and whether it is only begun.
#[derive(Debug, Clone, Default)]
struct Word {
    number: u64,
    documents: Documents,
    begun: bool,
}

type Words = BTreeMap<(TenantId, String), Word>;

#[derive(Debug, Default)]
struct Book {
    words: Words,
    said: u64,
    locked: bool,
}

struct Source {
    bug: Bug,
    many: bool,
    book: Arc<Mutex<Book>>,
}

fn refused(kind: PortErrorKind, message: impl Into<String>) -> PortError {
    PortError::new(kind, "desired_state.read", message)
}

impl Source {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn key(&self, place: &DesiredPlace) -> (TenantId, String) {
        let tenant = if self.is(Bug::ForgetsTheTenant) { sample::tenant(1) } else { place.tenant };
        let path = place.path.as_str();
        let path = if self.is(Bug::ReadsTheNeighbour) { path.trim_end_matches("-2") } else { path };
        (tenant, path.to_owned())
    }

    fn found(&self, place: &DesiredPlace) -> PortResult<Word> {
        let book = self.book.lock().unwrap();
        let key = self.key(place);
        let word = book.words.get(&key).or_else(|| {
            let above = key.1.split('/').next().unwrap_or_default().to_owned();
            book.words.get(&(key.0, above)).filter(|_| self.is(Bug::LooksAbove))
        });
        let nothing = |word: &&Word| !(self.is(Bug::NothingIsNotFound) && word.documents.is_empty());
        match word.filter(nothing) {
            Some(word) => Ok(word.clone()),
            None if self.is(Bug::NotFoundIsNothing) && place.tenant == sample::tenant(1) => {
                Ok(Word::default())
            }
            None => {
                let others = book.words.keys().any(|(_, path)| path == place.path.as_str());
                let told = if others && self.is(Bug::TellsOfOthers) { "it is another's" } else { "nothing" };
                Err(refused(PortErrorKind::NotFound, format!("at `{}` there is {told}", place.path)))
            }
        }
    }

    fn release(&self, name: &str, document: &Document) -> PortResult<Option<ReleaseManifest>> {
        match document {
            Document::Release(release) => Ok(Some((**release).clone())),
            Document::Garbage(_) if self.is(Bug::LeavesOutTheBroken) && name == "broken" => Ok(None),
            Document::Garbage(bytes) => {
                let text = std::str::from_utf8(bytes);
                assert!(text.is_ok() || !self.is(Bug::PanicsAtNoText), "it is text");
                let name = if self.is(Bug::DoesNotSayWhich) { "it" } else { name };
                let said = text.unwrap_or_default().get(..80).or(text.ok()).unwrap_or_default();
                let said = if self.is(Bug::RepeatsTheDocument) { said } else { "" };
                Err(refused(PortErrorKind::Corrupt, format!("`{name}` cannot be read {said}")))
            }
        }
    }
}

#[async_trait]
impl DesiredStateSource for Source {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let word = self.found(place)?;
        if word.begun && !self.is(Bug::AnswersWhatIsBegun) {
            let error = refused(PortErrorKind::Unavailable, "it is being changed");
            let never = self.is(Bug::BegunWillNeverBe);
            return Err(if never { error.with_retry(Retry::Never) } else { error });
        }
        let was_locked = std::mem::replace(&mut self.book.lock().unwrap().locked, true);
        if was_locked && self.is(Bug::KeepsItsLock) {
            return Err(refused(PortErrorKind::Unavailable, "somebody reads"));
        }
        let mut releases: BTreeMap<String, ReleaseManifest> = BTreeMap::new();
        for name in word.documents.keys() {
            for _ in 0..2 {
                yield_now().await;
            }
            let now = self.found(place).unwrap_or_else(|_| word.clone());
            let word = if self.is(Bug::ReadsInParts) { &now } else { &word };
            let Some(document) = word.documents.get(name) else { continue };
            let release = match self.release(name, document) {
                Ok(release) => release,
                Err(error) => {
                    self.book.lock().unwrap().locked = false;
                    return Err(error);
                }
            };
            releases.extend(release.map(|release| (format!("{name}.book"), release)));
        }
        self.book.lock().unwrap().locked = false;
        if self.is(Bug::TakesTheFirst) {
            releases.remove("twice.book");
        }
        let releases = DesiredReleases::new(releases)
            .map_err(|twice| refused(PortErrorKind::Corrupt, twice.to_string()))?;
        let number = match self.bug {
            Bug::NamesOneRevision => 1,
            _ => word.number,
        };
        let revision: DesiredStateRevision = format!("directory:{number:064x}").parse().unwrap();
        let environment = match self.bug {
            Bug::IsOfOneEnvironment => sample::environment(1),
            _ => place.environment,
        };
        Ok(Authoritative::from_revision(revision, place.tenant, environment, Arc::new(releases)))
    }
}

struct Factory {
    bug: Bug,
    many: bool,
    begins: bool,
}

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Source;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Source> {
        Ok(Source { bug: self.bug, many: self.many, book: Arc::default() })
    }

    async fn reopen(&self, source: Source) -> PortResult<Source> {
        if self.bug == Bug::ForgetsWhenClosed {
            // What was said is there, and the numbers begin anew.
            source.book.lock().unwrap().words.values_mut().for_each(|word| word.number += 100);
        }
        Ok(source)
    }
}

impl Source {
    fn put(&self, place: &DesiredPlace, documents: &Documents, begun: bool) -> PortResult<()> {
        let key = (place.tenant, place.path.as_str().to_owned());
        let mut book = self.book.lock().unwrap();
        if self.is(Bug::KeepsOneTenants) && place.tenant != sample::tenant(1) {
            return Ok(());
        }
        assert!(self.many || place.tenant == sample::tenant(1), "it keeps one tenant's");
        book.said += 1;
        let number = book.said;
        book.words.insert(key, Word { number, documents: documents.clone(), begun });
        Ok(())
    }
}

#[async_trait]
impl DesiredStateFactory for Factory {
    async fn say(&self, source: &Source, place: &DesiredPlace, documents: &Documents) -> PortResult<()> {
        source.put(place, documents, false)
    }

    async fn remove(&self, source: &Source, place: &DesiredPlace) -> PortResult<()> {
        source.book.lock().unwrap().words.remove(&(place.tenant, place.path.as_str().to_owned()));
        Ok(())
    }

    async fn begin(&self, source: &Source, place: &DesiredPlace, documents: &Documents) -> PortResult<bool> {
        if self.begins {
            source.put(place, documents, true)?;
        }
        Ok(self.begins)
    }
}

async fn of(bug: Bug) -> Report {
    let capabilities = DesiredStateCapabilities { many_tenants: true };
    desired_state(Factory { bug, many: true, begins: true }, capabilities).await
}

async fn of_one_tenant() -> Report {
    let capabilities = DesiredStateCapabilities { many_tenants: false };
    desired_state(Factory { bug: Bug::None, many: false, begins: false }, capabilities).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_source_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await, of_one_tenant().await];
    let (read, revision) = ("what is said is what is read", "a revision stands for one content");
    let not_there = "a place that is not there is not found and is not empty";
    let unreadable = "one document that cannot be read makes all of them unreadable";
    let (strangers, own) =
        ("another tenants place is as one that is not there", "tenants are told their own");
    let begun = "what is not authoritative is not answered";
    let changing = "what is read while it changes is of one revision";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::IsOfOneEnvironment, &[read]),
        (Bug::NamesOneRevision, &[revision, changing]),
        (Bug::NothingIsNotFound, &["a place that says nothing is empty and no error"]),
        (Bug::NotFoundIsNothing, &[not_there]),
        (Bug::LooksAbove, &[not_there]),
        (Bug::LeavesOutTheBroken, &[unreadable]),
        (Bug::DoesNotSayWhich, &[unreadable]),
        (Bug::TakesTheFirst, &["a component in two documents is corrupt"]),
        (Bug::PanicsAtNoText, &["no document however hostile is anything but an error"]),
        (Bug::RepeatsTheDocument, &["no error tells what a document holds"]),
        (Bug::ReadsTheNeighbour, &["places do not meet"]),
        (Bug::ForgetsTheTenant, &[strangers, own]),
        (Bug::TellsOfOthers, &[strangers]),
        (Bug::KeepsOneTenants, &[own]),
        (Bug::AnswersWhatIsBegun, &[begun]),
        (Bug::BegunWillNeverBe, &[begun]),
        (Bug::ReadsInParts, &[changing]),
        (Bug::KeepsItsLock, &["a read that is dropped leaves the source readable"]),
        (Bug::ForgetsWhenClosed, &["what was said is read at the same revision after reopening"]),
    ];
    crate::tried(sound, bugs, of).await;
}
