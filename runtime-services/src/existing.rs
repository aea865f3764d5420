//! Commands on what exists: load, decide, commit, and again where others were quicker.

use runtime_domain::aggregate::{Aggregate, Decision, EvidenceRef};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{Loaded, Repository, TenantStore};
use uuid::Uuid;

use crate::error::{CommandError, Refused, sort};
use crate::host::Host;
use crate::unit::{Done, Grounds, commit};

/// How often a command is decided again because others changed what it rests on.
pub(crate) const TRIES: usize = 8;

/// One aggregate of the store's tenant; `what` names it in the error where there is none.
pub(crate) async fn find<A: Aggregate, R: Refusal + 'static>(
    store: &dyn TenantStore,
    id: Uuid,
    what: &str,
) -> Result<Loaded<A>, CommandError<R>> {
    let found = Repository::<A>::new(store).load(id).await?;
    found.ok_or_else(|| CommandError::NotFound { what: what.to_owned() })
}

/// Decides a command against an aggregate's newest state and commits what comes of it.
pub(crate) async fn command<A: Aggregate, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    id: Uuid,
    what: &str,
    decide: impl Fn(&A, Timestamp) -> Result<Decision<A::Event>, R>,
) -> Result<Done<A>, CommandError<R>> {
    command_on(host, scope, id, what, &[], decide).await
}

/// As [`command`], on facts about other aggregates that the commit checks again.
pub(crate) async fn command_on<A: Aggregate, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    id: Uuid,
    what: &str,
    facts: &[EvidenceRef],
    decide: impl Fn(&A, Timestamp) -> Result<Decision<A::Event>, R>,
) -> Result<Done<A>, CommandError<R>> {
    let store = host.ports().store.for_tenant(scope);
    for _ in 0..TRIES {
        let loaded = find::<A, R>(&*store, id, what).await?;
        let now = host.now();
        let decision = decide(&loaded.aggregate, now).map_err(CommandError::Refused)?;
        match commit(host, &*store, Some(loaded), &decision, Grounds::exactly(facts), now).await {
            Ok(Some(loaded)) => return Ok(Done::of(loaded, &decision)),
            Ok(None) => return Err(CommandError::NotFound { what: what.to_owned() }),
            Err(error) => match sort(error) {
                Refused::Again => {}
                Refused::Claim(_) => return Err(CommandError::Contended),
                Refused::Stop(error) => return Err(CommandError::Port(error)),
            },
        }
    }
    Err(CommandError::Contended)
}
