//! Commands on what exists: load, decide, commit, and again where others were quicker.

use runtime_domain::aggregate::{Aggregate, Decision, EvidenceRef};
use runtime_domain::refusal::Refusal;
use runtime_domain::scope::TenantScope;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{Loaded, Repository, TenantStore};
use uuid::Uuid;

use crate::error::{CommandError, Refused, sort};
use crate::host::Host;
use crate::observed;
use crate::request;
use crate::unit::{Done, Grounds, prepare};

/// How often a command is decided again because others changed what it rests on.
pub(crate) const TRIES: usize = 8;

/// One aggregate of the store's tenant; `what` names it in the error where there is none.
pub(crate) async fn find<A: Aggregate + 'static, R: Refusal + 'static>(
    store: &dyn TenantStore,
    id: Uuid,
    what: &str,
) -> Result<Loaded<A>, CommandError<R>> {
    let found = Repository::<A>::new(store).load(id).await?;
    found.ok_or_else(|| CommandError::NotFound { what: what.to_owned() })
}

/// Decides the command of this name against an aggregate's newest state, in its [lane](crate::lane), and commits what comes of it.
pub(crate) async fn command<A: Aggregate + 'static, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    name: &'static str,
    id: Uuid,
    what: &str,
    decide: impl Fn(&A, Timestamp) -> Result<Decision<A::Event>, R> + Send + Sync,
) -> Result<Done<A>, CommandError<R>> {
    command_on(host, scope, name, id, what, &[], decide).await
}

/// As [`command`], on facts about other aggregates that the commit checks again.
pub(crate) async fn command_on<A: Aggregate + 'static, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    name: &'static str,
    id: Uuid,
    what: &str,
    facts: &[EvidenceRef],
    decide: impl Fn(&A, Timestamp) -> Result<Decision<A::Event>, R> + Send + Sync,
) -> Result<Done<A>, CommandError<R>> {
    observed::command(host, scope, name, in_lane(host, scope, id, what, facts, decide)).await
}

async fn in_lane<A: Aggregate + 'static, R: Refusal + 'static>(
    host: &Host,
    scope: &TenantScope,
    id: Uuid,
    what: &str,
    facts: &[EvidenceRef],
    decide: impl Fn(&A, Timestamp) -> Result<Decision<A::Event>, R> + Send + Sync,
) -> Result<Done<A>, CommandError<R>> {
    let store = host.ports().store.for_tenant(scope);
    let lane = host.lanes().of(scope.tenant(), Repository::<A>::key(id));
    let mut tries = 0;
    while tries < TRIES {
        if let Some(done) = request::repeated(host, &*store, id).await? {
            return Ok(done);
        }
        let turn = lane.turn().await;
        let (loaded, mut built_upon) = match turn.newest::<A>() {
            Some((loaded, written)) => (loaded, Some(written)),
            None => (find::<A, R>(&*store, id, what).await?, None),
        };
        host.terms().admit(loaded.revision)?;
        let now = host.now();
        let decision = match observed::decided(|| decide(&loaded.aggregate, now)) {
            Ok(decision) if !decision.is_unchanged() => decision,
            answer => {
                drop(turn);
                // An answer that changes nothing is as good as what it was told of.
                if let Some(written) = &mut built_upon
                    && !written.is_durable().await
                {
                    continue;
                }
                let decision = answer.map_err(CommandError::Refused)?;
                request::unchanged(host, &*store).await?;
                return Ok(Done::of(loaded, &decision));
            }
        };
        let grounds = Grounds::exactly(facts).asked(host);
        let (commit, after) = prepare(host, scope, Some(loaded), &decision, grounds, now)?;
        if host.terms().preview {
            return Ok(Done::of(after, &decision));
        }
        let (written, verdict) = turn.submit(after.clone(), built_upon.as_ref(), store.commit(commit)).await;
        verdict.tell(written.is_ok());
        match written.map_err(sort) {
            Ok(_) => return Ok(Done::of(after, &decision)),
            // What it was built upon may have come to nothing: then that was another caller's try.
            Err(Refused::Again) => {
                let was_sound = match &mut built_upon {
                    Some(before) => before.is_durable().await,
                    None => true,
                };
                tries += usize::from(was_sound);
            }
            Err(Refused::Claim(_)) => return Err(CommandError::Contended),
            Err(Refused::Stop(error)) => return Err(CommandError::Port(error)),
        }
    }
    Err(CommandError::Contended)
}
