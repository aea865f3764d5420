//! What a binding and its environment settle about its quota, one commit at a time (TEN-2).

use runtime_domain::aggregate::Decision;
use runtime_domain::environment::{EnvironmentRefusal, QuotaCommand, RuntimeEnvironment};
use runtime_domain::id::{EnvironmentId, TenantBindingId};
use runtime_domain::scope::TenantScope;
use runtime_domain::tenancy::{
    BindingState, RuntimeTenantBinding, TenancyCommand, TenancyEvent, TenancyRefusal,
};
use runtime_domain::time::Timestamp;
use runtime_ports::store::{CommitError, Loaded, TenantStore};

use super::{TenancyError, TenancyService, refused};
use crate::error::{CommandError, Refused, sort};
use crate::existing::{self, TRIES};
use crate::observed::decided;
use crate::unit::{Grounds, commit};

impl TenancyService {
    /// The binding, once nothing is left to settle. Every step can be done twice, and by several hosts at once.
    pub(crate) async fn settled(
        &self,
        scope: &TenantScope,
        binding: TenantBindingId,
    ) -> Result<Loaded<RuntimeTenantBinding>, TenancyError> {
        let store = self.host.ports().store.for_tenant(scope);
        // Three commits settle anything; each may be overtaken.
        for _ in 0..3 * TRIES {
            let found = self.binding(&*store, binding).await?;
            if found.aggregate.is_settled() || self.host.terms().preview {
                return Ok(found);
            }
            let environment = self.environment(&*store, found.aggregate.environment_id()).await?;
            let now = self.host.now();
            match owed(&found, &environment, now)? {
                Owed::ByEnvironment(command) => {
                    self.keep(&*store, environment, &command, now).await?;
                }
                Owed::ByBinding(command) => {
                    let decision =
                        decided(|| found.aggregate.decide(&command, now)).map_err(CommandError::Refused)?;
                    if decision.is_unchanged() {
                        return Err(CommandError::Contended);
                    }
                    self.note(&*store, found, &command, &decision, now).await?;
                }
            }
        }
        Err(CommandError::Contended)
    }

    pub(super) async fn binding(
        &self,
        store: &dyn TenantStore,
        binding: TenantBindingId,
    ) -> Result<Loaded<RuntimeTenantBinding>, TenancyError> {
        existing::find(store, binding.uuid(), &format!("tenant binding {binding}")).await
    }

    pub(super) async fn environment(
        &self,
        store: &dyn TenantStore,
        environment: EnvironmentId,
    ) -> Result<Loaded<RuntimeEnvironment>, TenancyError> {
        existing::find(store, environment.uuid(), &format!("environment {environment}")).await
    }

    /// Commits what a ledger's command comes to; `None` where others were quicker.
    pub(super) async fn keep(
        &self,
        store: &dyn TenantStore,
        environment: Loaded<RuntimeEnvironment>,
        command: &QuotaCommand,
        now: Timestamp,
    ) -> Result<Option<Loaded<RuntimeEnvironment>>, TenancyError> {
        let decision = environment.aggregate.decide_quota(command, now).map_err(refused)?;
        let grounds = Grounds::exactly(&command.evidence());
        overtaken(commit(&self.host, store, Some(environment), &decision, grounds, now).await)
    }

    /// Commits what a binding's command came to; `None` where others were quicker.
    pub(super) async fn note(
        &self,
        store: &dyn TenantStore,
        found: Loaded<RuntimeTenantBinding>,
        command: &TenancyCommand,
        decision: &Decision<TenancyEvent>,
        now: Timestamp,
    ) -> Result<Option<Loaded<RuntimeTenantBinding>>, TenancyError> {
        let grounds = match command {
            // A quota that is more is asked for with its reservation; what settles it is nobody's command.
            TenancyCommand::AdjustQuota { .. } | TenancyCommand::BeginMove { .. } => {
                Grounds::exactly(&command.evidence()).asked(&self.host)
            }
            _ => Grounds::exactly(&command.evidence()),
        };
        overtaken(commit(&self.host, store, Some(found), decision, grounds, now).await)
    }
}

fn overtaken<A>(committed: Result<Option<A>, CommitError>) -> Result<Option<A>, TenancyError> {
    match committed {
        Ok(after) => Ok(after),
        Err(error) => match sort(error) {
            Refused::Again => Ok(None),
            Refused::Claim(_) => Err(CommandError::Contended),
            Refused::Stop(error) => Err(CommandError::Port(error)),
        },
    }
}

/// Whose turn it is.
enum Owed {
    ByEnvironment(QuotaCommand),
    ByBinding(TenancyCommand),
}

fn owed(
    found: &Loaded<RuntimeTenantBinding>,
    environment: &Loaded<RuntimeEnvironment>,
    now: Timestamp,
) -> Result<Owed, TenancyError> {
    let (binding, ledger) = (&found.aggregate, &environment.aggregate);
    if let BindingState::Released(_) = binding.state() {
        return Ok(match ledger.returned(binding.id(), environment.revision) {
            Ok(returned) => Owed::ByBinding(TenancyCommand::RecordQuotaReturned { returned }),
            Err(_) => {
                let released = binding.released(found.revision).map_err(CommandError::Refused)?;
                Owed::ByEnvironment(QuotaCommand::ReleaseQuota { released })
            }
        });
    }
    let claimed = binding.claim(found.revision).map_err(CommandError::Refused)?;
    if let Ok(committed) = ledger.commitment(binding.id(), environment.revision)
        && committed.quota() == claimed.quota()
    {
        return Ok(Owed::ByBinding(TenancyCommand::ConfirmQuota { committed }));
    }
    let command = QuotaCommand::CommitQuota { claimed };
    match ledger.decide_quota(&command, now) {
        Ok(_) => Ok(Owed::ByEnvironment(command)),
        // What it waits for is not reserved any more, or cannot be had: the binding gives it up.
        Err(EnvironmentRefusal::NotReserved { .. }) => Ok(Owed::ByBinding(TenancyCommand::Tick)),
        Err(refusal) => Err(CommandError::Refused(TenancyRefusal::NotHosted(refusal))),
    }
}
