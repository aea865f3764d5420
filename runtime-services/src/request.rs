//! How a caller's command is done once, however often it is asked for: by a key that the caller names it by.
//!
//! The key becomes durable with what the command does, in the same commit: as an entry of the store's inbox, so that no second commit can carry
//! it, and as the identifier of the first history entry that the command makes, which tells the command's content. So a repetition is
//! recognised on any host and after any crash, another command under the same key is refused, and no store needs a table for it. A command
//! that changed nothing leaves two entries in the inbox, and nothing else.
//!
//! An aggregate that a command with a key makes has an identifier that follows from the key.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::id::{AggregateKind, EventId, TenantId};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::Actor;
use runtime_domain::value::Name;
use runtime_ports::PortResult;
use runtime_ports::store::{
    AggregateKey, Commit, CommitError, HistoryEntry, InboxEntry, Loaded, Repository, TenantStore,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::CommandError;
use crate::host::Host;
use crate::unit::Done;

/// How many history entries are looked through at a time.
const PAGE: u32 = 500;

/// A caller's name for one command, with what the command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    key: [u8; 32],
    fingerprint: [u8; 32],
}

impl RequestKey {
    /// The key `key` of one caller, for the command that `content` tells in full: equal contents are one command. Keys of different callers
    /// are different ones, so that nobody's approval is taken for another's.
    pub fn new(tenant: TenantId, caller: &Actor, key: &str, content: &[u8]) -> Self {
        let named = digest("key", &[tenant.uuid().as_bytes(), caller.as_str().as_bytes(), key.as_bytes()]);
        let fingerprint = digest("content", &[&named, content]);
        Self { key: named, fingerprint }
    }

    /// The identifier of what the command makes.
    pub(crate) fn id_of(&self, kind: AggregateKind) -> Uuid {
        uuid(&digest("identifier", &[&self.key, kind.name().as_bytes()]))
    }

    /// What shows that a command was done under this key.
    pub(crate) fn entry(&self) -> Option<InboxEntry> {
        entry("request-keys", &self.key)
    }

    /// What shows that this very command was done, and changed nothing.
    fn unchanged(&self) -> Option<InboxEntry> {
        entry("unchanged-requests", &self.fingerprint)
    }

    /// The identifier of the first history entry that the command makes.
    pub(crate) fn first_event(&self) -> EventId {
        EventId::from_uuid(uuid(&self.fingerprint))
    }
}

fn digest(purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"factory.runtime/request/1\0");
    for part in [purpose.as_bytes()].iter().chain(parts) {
        // Each part says its length, so that no two sequences of parts read the same.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn uuid(digest: &[u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, hashed)| *byte = *hashed);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn entry(consumer: &str, digest: &[u8; 32]) -> Option<InboxEntry> {
    let consumer = Name::new(consumer).ok()?;
    Some(InboxEntry { consumer, event: EventId::from_uuid(uuid(digest)) })
}

/// What the caller's command came to before, about the aggregate `id`; `None` where it was not done yet, or has no key.
pub(crate) async fn repeated<A: Aggregate, R: Refusal + 'static>(
    host: &Host,
    store: &dyn TenantStore,
    id: Uuid,
) -> Result<Option<Done<A>>, CommandError<R>> {
    let Some(request) = &host.terms().request else { return Ok(None) };
    if !is_handled(store, request.entry()).await? {
        return Ok(None);
    }
    let found: Option<Loaded<A>> = Repository::<A>::new(store).load(id).await?;
    let was_unchanged = is_handled(store, request.unchanged()).await?;
    match found {
        Some(found) if was_unchanged => {
            let explanation = "there was nothing to change when it was asked for first".to_owned();
            Ok(Some(done(found, false, explanation)))
        }
        Some(found) => {
            let key = Repository::<A>::key(id);
            match first_entry(store, &key, found.sequence, request.first_event()).await? {
                Some(entry) => Ok(Some(done(found, true, entry.explanation))),
                None => Err(CommandError::KeyReused),
            }
        }
        // What is there by its natural key is found by that.
        None if was_unchanged => Ok(None),
        None => Err(CommandError::KeyReused),
    }
}

/// Keeps that the caller's command was done and had nothing to change.
pub(crate) async fn unchanged<R: Refusal + 'static>(
    host: &Host,
    store: &dyn TenantStore,
) -> Result<(), CommandError<R>> {
    let terms = host.terms();
    let Some(request) = terms.request.as_ref().filter(|_| !terms.preview) else { return Ok(()) };
    // Its content first: a key alone would be that of another command.
    for inbox in [request.unchanged(), request.entry()] {
        match store.commit(Commit { inbox, ..Commit::default() }).await {
            Ok(_) | Err(CommitError::AlreadyHandled) => {}
            Err(CommitError::Port(error)) => return Err(CommandError::Port(error)),
            Err(_) => return Err(CommandError::Contended),
        }
    }
    Ok(())
}

async fn is_handled(store: &dyn TenantStore, entry: Option<InboxEntry>) -> PortResult<bool> {
    match entry {
        Some(entry) => store.is_handled(&entry).await,
        None => Ok(false),
    }
}

/// The entry with this identifier in a history of so many, the newest looked at first.
async fn first_entry(
    store: &dyn TenantStore,
    key: &AggregateKey,
    newest: u64,
    wanted: EventId,
) -> PortResult<Option<HistoryEntry>> {
    let mut until = newest;
    while until > 0 {
        let after = until.saturating_sub(u64::from(PAGE));
        let entries = store.history(key, after, PAGE).await?;
        if let Some(found) = entries.into_iter().find(|entry| entry.id == wanted) {
            return Ok(Some(found));
        }
        until = after;
    }
    Ok(None)
}

fn done<A>(found: Loaded<A>, changed: bool, explanation: String) -> Done<A> {
    let Loaded { aggregate, revision, .. } = found;
    Done { aggregate, revision, changed, explanation, repeated: true }
}
