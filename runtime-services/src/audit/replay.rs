//! Replaying a history of any kind.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::AggregateKind;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_ports::store::{HistoryEntry, StoredRecord};

/// A state that is built from its history.
pub(super) trait Replay: Send {
    /// Applies the next entry; why not, where it cannot be.
    fn apply(&mut self, entry: &HistoryEntry) -> Result<(), String>;
    /// Whether what was applied comes to this state.
    fn comes_to(&self, stored: &StoredRecord) -> Result<bool, String>;
}

/// Nothing applied yet.
pub(super) fn of(kind: AggregateKind) -> Box<dyn Replay> {
    match kind {
        AggregateKind::RuntimeEnvironment => State::<RuntimeEnvironment>::empty(),
        AggregateKind::RuntimeDeployment => State::<RuntimeDeployment>::empty(),
        AggregateKind::RuntimeService => State::<RuntimeService>::empty(),
        AggregateKind::RuntimeConfiguration => State::<RuntimeConfiguration>::empty(),
        AggregateKind::SecretBinding => State::<SecretBinding>::empty(),
        AggregateKind::RuntimeTenantBinding => State::<RuntimeTenantBinding>::empty(),
        AggregateKind::HealthCheckResult => State::<HealthCheckResult>::empty(),
        AggregateKind::ScalingPolicy => State::<ScalingPolicy>::empty(),
        AggregateKind::RuntimeDriftFinding => State::<RuntimeDriftFinding>::empty(),
    }
}

struct State<A>(Option<A>);

impl<A: Aggregate + 'static> State<A> {
    fn empty() -> Box<dyn Replay> {
        Box::new(Self(None))
    }
}

impl<A: Aggregate> Replay for State<A> {
    fn apply(&mut self, entry: &HistoryEntry) -> Result<(), String> {
        let event = serde_json::from_str(&entry.body).map_err(|error| error.to_string())?;
        let after = A::evolve(self.0.take(), &event, entry.at).map_err(|error| error.to_string())?;
        self.0 = Some(after);
        Ok(())
    }

    fn comes_to(&self, stored: &StoredRecord) -> Result<bool, String> {
        let record = serde_json::from_str(&stored.body).map_err(|error| error.to_string())?;
        let state = A::from_record(stored.schema, record).map_err(|error| error.to_string())?;
        Ok(self.0.as_ref() == Some(&state))
    }
}
