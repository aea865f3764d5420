//! The stored forms: whoever can write to the store can write anything there.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use runtime_domain::aggregate::Aggregate;
use runtime_domain::aggregate::RecordError;
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::drift::watch::DriftWatch;
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::refusal::Rule;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_testkit::prove::Provable;

use crate::hold::panic_of;

/// A stored environment, as JSON.
pub fn record_environment(data: &[u8]) -> bool {
    record::<RuntimeEnvironment>(data)
}

/// A stored deployment, as JSON.
pub fn record_deployment(data: &[u8]) -> bool {
    record::<RuntimeDeployment>(data)
}

/// A stored service, as JSON.
pub fn record_inventory(data: &[u8]) -> bool {
    record::<RuntimeService>(data)
}

/// A stored configuration, as JSON.
pub fn record_configuration(data: &[u8]) -> bool {
    record::<RuntimeConfiguration>(data)
}

/// A stored secret binding, as JSON.
pub fn record_secrets(data: &[u8]) -> bool {
    record::<SecretBinding>(data)
}

/// A stored tenant binding, as JSON.
pub fn record_tenancy(data: &[u8]) -> bool {
    record::<RuntimeTenantBinding>(data)
}

/// A stored health result, as JSON.
pub fn record_health(data: &[u8]) -> bool {
    record::<HealthCheckResult>(data)
}

/// A stored scaling policy, as JSON.
pub fn record_scaling(data: &[u8]) -> bool {
    record::<ScalingPolicy>(data)
}

/// A stored drift finding, as JSON.
pub fn record_drift(data: &[u8]) -> bool {
    record::<RuntimeDriftFinding>(data)
}

/// A stored watch of an environment's drift, as JSON.
pub fn record_drift_watch(data: &[u8]) -> bool {
    believed::<DriftWatch>(data).is_some()
}

/// A record is refused by a rule, or gives an aggregate that keeps every invariant.
fn record<A: Provable>(data: &[u8]) -> bool {
    let Some(loaded) = believed::<A>(data) else { return false };
    if let Err(fault) = A::check(None, &loaded) {
        panic_of(format!("{loaded:?} is believed, and breaks {fault}"));
    }
    assert!(!loaded.is_at_rest() || loaded.wake_at().is_none(), "{loaded:?} is at rest, and still wakes");
    true
}

/// What is believed can be stored again, as it was, and is what was believed. What is not names the rule that it breaks.
fn believed<A: Aggregate>(data: &[u8]) -> Option<A> {
    let record = serde_json::from_slice::<A::Record>(data).ok()?;
    let loaded = match A::from_record(A::SCHEMA, record) {
        Ok(loaded) => loaded,
        Err(refused) => {
            is_said::<A>(&refused);
            return None;
        }
    };
    let written = stored(&loaded);
    assert_eq!(read::<A>(A::SCHEMA, &written).as_ref(), Ok(&loaded), "{written} is read otherwise");
    for schema in [0, A::SCHEMA + 1, u16::MAX] {
        let refused = read::<A>(schema, &written).map_err(|refused| refused.rule);
        assert_eq!(refused.err(), Some("SCHEMA"), "a schema is read that nobody has written");
    }
    // Every question that a store asks has an answer.
    let _ = (loaded.uuid(), loaded.claims(), loaded.modules(), loaded.wake_at(), loaded.status());
    Some(loaded)
}

fn stored<A: Aggregate>(loaded: &A) -> String {
    let written = serde_json::to_string(&loaded.to_record());
    written.unwrap_or_else(|error| panic_of(format!("{loaded:?} cannot be stored: {error}")))
}

fn read<A: Aggregate>(schema: u16, written: &str) -> Result<A, RecordError> {
    let record = serde_json::from_str(written);
    A::from_record(schema, record.unwrap_or_else(|error| panic_of(format!("{written} is stored: {error}"))))
}

fn is_said<A: Aggregate>(refused: &RecordError) {
    static KNOWN: LazyLock<BTreeSet<&str>> =
        LazyLock::new(|| Rule::ALL.into_iter().map(Rule::number).chain(["SCHEMA"]).collect());
    assert_eq!(refused.aggregate, A::KIND.name());
    assert!(KNOWN.contains(refused.rule), "{refused} names no rule");
    assert!(!refused.why.trim().is_empty(), "{refused} says nothing");
}
