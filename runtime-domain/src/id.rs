//! Typed identifiers.
//!
//! An identifier prints with its kind (`env_0192…`) and refuses another's prefix, so that a deployment's
//! identifier pasted where an environment's belongs is an error with a clear text, not a lookup that finds nothing.
//! The domain never makes identifiers of its own: they are arguments, made by the `IdGenerator` port.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::value::ModuleId;

/// What an identifier identifies. Implemented by the marker types in [`kind`] only.
pub trait IdKind: sealed::Sealed + 'static {
    /// The prefix that identifiers of this kind print with, without the underscore.
    const PREFIX: &'static str;
    /// The kind in words, for error texts.
    const NAME: &'static str;
}

mod sealed {
    pub trait Sealed {}
}

/// An identifier of one kind: a UUID that knows what it identifies.
///
/// `Display` and [`FromStr`] round-trip (`env_01926e9c7b0a7cc0a7f0c0ffee000001`); serde uses the same text.
pub struct Id<K: IdKind> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

impl<K: IdKind> Id<K> {
    /// Makes an identifier from a UUID. Use it in adapters and tests; services ask the `IdGenerator` port.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// The UUID alone, for a store's key column.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }
}

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}: write `{prefix}_` followed by 32 hexadecimal digits")]
pub struct IdError {
    text: String,
    expected: &'static str,
    prefix: &'static str,
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || IdError {
            text: text.chars().take(64).collect::<String>(),
            expected: K::NAME,
            prefix: K::PREFIX,
        };
        let digits = text
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(refused)?;
        Uuid::try_parse(digits).map(Self::from_uuid).map_err(|_| refused())
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}_{}", K::PREFIX, self.uuid.as_simple())
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl<K: IdKind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: IdKind> Copy for Id<K> {}
impl<K: IdKind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K: IdKind> Eq for Id<K> {}
impl<K: IdKind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: IdKind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K: IdKind> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The one registry of identifier kinds.
pub mod kind {
    use super::{IdKind, sealed};

    /// A tenant of the platform.
    #[derive(Debug)]
    pub enum Tenant {}
    /// A generated product's project.
    #[derive(Debug)]
    pub enum Project {}
    /// A runtime environment.
    #[derive(Debug)]
    pub enum Environment {}
    /// A deployment.
    #[derive(Debug)]
    pub enum Deployment {}
    /// A service in the live inventory.
    #[derive(Debug)]
    pub enum Service {}
    /// A configuration version.
    #[derive(Debug)]
    pub enum Configuration {}
    /// A secret binding.
    #[derive(Debug)]
    pub enum SecretBinding {}
    /// A tenant binding.
    #[derive(Debug)]
    pub enum TenantBinding {}
    /// A health check result.
    #[derive(Debug)]
    pub enum HealthCheckResult {}
    /// A scaling policy.
    #[derive(Debug)]
    pub enum ScalingPolicy {}
    /// A drift finding.
    #[derive(Debug)]
    pub enum DriftFinding {}
    /// An event.
    #[derive(Debug)]
    pub enum Event {}
    /// A chain of work that one request began.
    #[derive(Debug)]
    pub enum Correlation {}
    /// A host process that takes leases.
    #[derive(Debug)]
    pub enum Host {}

    impl sealed::Sealed for Tenant {}
    impl IdKind for Tenant {
        const PREFIX: &'static str = "ten";
        const NAME: &'static str = "a tenant identifier";
    }
    impl sealed::Sealed for Project {}
    impl IdKind for Project {
        const PREFIX: &'static str = "prj";
        const NAME: &'static str = "a project identifier";
    }
    impl sealed::Sealed for Environment {}
    impl IdKind for Environment {
        const PREFIX: &'static str = "env";
        const NAME: &'static str = "an environment identifier";
    }
    impl sealed::Sealed for Deployment {}
    impl IdKind for Deployment {
        const PREFIX: &'static str = "dep";
        const NAME: &'static str = "a deployment identifier";
    }
    impl sealed::Sealed for Service {}
    impl IdKind for Service {
        const PREFIX: &'static str = "svc";
        const NAME: &'static str = "a service identifier";
    }
    impl sealed::Sealed for Configuration {}
    impl IdKind for Configuration {
        const PREFIX: &'static str = "cfg";
        const NAME: &'static str = "a configuration identifier";
    }
    impl sealed::Sealed for SecretBinding {}
    impl IdKind for SecretBinding {
        const PREFIX: &'static str = "sec";
        const NAME: &'static str = "a secret binding identifier";
    }
    impl sealed::Sealed for TenantBinding {}
    impl IdKind for TenantBinding {
        const PREFIX: &'static str = "tbd";
        const NAME: &'static str = "a tenant binding identifier";
    }
    impl sealed::Sealed for HealthCheckResult {}
    impl IdKind for HealthCheckResult {
        const PREFIX: &'static str = "hcr";
        const NAME: &'static str = "a health check result identifier";
    }
    impl sealed::Sealed for ScalingPolicy {}
    impl IdKind for ScalingPolicy {
        const PREFIX: &'static str = "scp";
        const NAME: &'static str = "a scaling policy identifier";
    }
    impl sealed::Sealed for DriftFinding {}
    impl IdKind for DriftFinding {
        const PREFIX: &'static str = "drf";
        const NAME: &'static str = "a drift finding identifier";
    }
    impl sealed::Sealed for Event {}
    impl IdKind for Event {
        const PREFIX: &'static str = "evt";
        const NAME: &'static str = "an event identifier";
    }
    impl sealed::Sealed for Correlation {}
    impl IdKind for Correlation {
        const PREFIX: &'static str = "cor";
        const NAME: &'static str = "a correlation identifier";
    }
    impl sealed::Sealed for Host {}
    impl IdKind for Host {
        const PREFIX: &'static str = "hst";
        const NAME: &'static str = "a host identifier";
    }
}

/// Identifies a tenant.
pub type TenantId = Id<kind::Tenant>;
/// Identifies a project.
pub type ProjectId = Id<kind::Project>;
/// Identifies a runtime environment.
pub type EnvironmentId = Id<kind::Environment>;
/// Identifies a deployment.
pub type DeploymentId = Id<kind::Deployment>;
/// Identifies a service in the inventory.
pub type ServiceId = Id<kind::Service>;
/// Identifies a configuration version.
pub type ConfigurationId = Id<kind::Configuration>;
/// Identifies a secret binding.
pub type SecretBindingId = Id<kind::SecretBinding>;
/// Identifies a tenant binding.
pub type TenantBindingId = Id<kind::TenantBinding>;
/// Identifies a health check result.
pub type HealthCheckResultId = Id<kind::HealthCheckResult>;
/// Identifies a scaling policy.
pub type ScalingPolicyId = Id<kind::ScalingPolicy>;
/// Identifies a drift finding.
pub type DriftFindingId = Id<kind::DriftFinding>;
/// Identifies an event: consumers deduplicate on it.
pub type EventId = Id<kind::Event>;
/// Identifies a chain of work.
pub type CorrelationId = Id<kind::Correlation>;
/// Identifies a host that takes leases.
pub type HostId = Id<kind::Host>;

impl ServiceId {
    /// The identifier of a component in an environment. It is derived, so that secrets can be bound and scaling policies applied before
    /// the first deployment brings the component, and so that every host that hears of it first calls it the same.
    pub fn of(environment: EnvironmentId, module: &ModuleId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"factory.runtime/service/1\0");
        hash.update(environment.uuid().as_bytes());
        hash.update(module.as_str().as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        Self::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// The kind of an aggregate: what a stored record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AggregateKind {
    /// An isolated stage and region slice.
    RuntimeEnvironment,
    /// One rollout.
    RuntimeDeployment,
    /// The live record of one component.
    RuntimeService,
    /// A configuration version.
    RuntimeConfiguration,
    /// A binding to vault secrets.
    SecretBinding,
    /// A tenant's place in an environment.
    RuntimeTenantBinding,
    /// One health evaluation.
    HealthCheckResult,
    /// How a service scales.
    ScalingPolicy,
    /// A divergence from desired state.
    RuntimeDriftFinding,
    /// How an environment is compared with its desired state.
    DriftWatch,
}

impl AggregateKind {
    /// Every kind: the nine of spec.md §1 in its order, then what stands beside them.
    pub const ALL: [Self; 10] = [
        Self::RuntimeEnvironment,
        Self::RuntimeDeployment,
        Self::RuntimeService,
        Self::RuntimeConfiguration,
        Self::SecretBinding,
        Self::RuntimeTenantBinding,
        Self::HealthCheckResult,
        Self::ScalingPolicy,
        Self::RuntimeDriftFinding,
        Self::DriftWatch,
    ];

    /// The name as in spec.md §1: `RuntimeEnvironment`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RuntimeEnvironment => "RuntimeEnvironment",
            Self::RuntimeDeployment => "RuntimeDeployment",
            Self::RuntimeService => "RuntimeService",
            Self::RuntimeConfiguration => "RuntimeConfiguration",
            Self::SecretBinding => "SecretBinding",
            Self::RuntimeTenantBinding => "RuntimeTenantBinding",
            Self::HealthCheckResult => "HealthCheckResult",
            Self::ScalingPolicy => "ScalingPolicy",
            Self::RuntimeDriftFinding => "RuntimeDriftFinding",
            Self::DriftWatch => "DriftWatch",
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for AggregateKind {
    type Err = UnknownAggregateKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownAggregateKind { text: text.to_owned() })
    }
}

/// A text that names no aggregate kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an aggregate kind")]
pub struct UnknownAggregateKind {
    text: String,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_identifier_prints_with_its_kind_and_parses_back() {
        let id = EnvironmentId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "env_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse::<EnvironmentId>(), Ok(id));
    }

    #[test]
    fn an_identifier_refuses_the_prefix_of_another_kind() {
        let deployment = DeploymentId::from_uuid(Uuid::from_u128(7)).to_string();
        let refused = deployment.parse::<EnvironmentId>().unwrap_err().to_string();
        assert!(refused.contains("not an environment identifier"), "{refused}");
    }

    #[test]
    fn an_identifier_is_its_prefix_and_thirty_two_digits() {
        let text = "env_000000000000000000000000000000ff";
        let id: EnvironmentId = text.parse().unwrap();
        assert_eq!((id, id.uuid()), (EnvironmentId::from_uuid(Uuid::from_u128(255)), Uuid::from_u128(255)));
        assert_eq!((alloc::format!("{id}"), alloc::format!("{id:?}")), (text.into(), text.into()));
        for text in [
            "",
            "env_",
            "env000000000000000000000000000000ff",
            "env_000000000000000000000000000000f",
            "env_000000000000000000000000000000fff",
            "env_000000000000000000000000000000fg",
            "env_00000000-0000-0000-0000-0000000000ff",
            "ENV_000000000000000000000000000000ff",
        ] {
            assert!(text.parse::<EnvironmentId>().is_err(), "{text}");
        }
    }

    #[test]
    fn identifiers_are_ordered_and_told_apart_by_their_uuids() {
        use core::hash::BuildHasher as _;
        let id = |number| TenantId::from_uuid(Uuid::from_u128(number));
        assert!(id(1) < id(2) && id(2) > id(1) && id(1) == id(1) && id(1) != id(2));
        assert_eq!(id(1).partial_cmp(&id(2)), Some(Ordering::Less));
        let state = core::hash::BuildHasherDefault::<Summed>::default();
        assert_eq!(state.hash_one(id(1)), state.hash_one(id(1).uuid()));
        assert_ne!(state.hash_one(id(1)), state.hash_one(id(2)));
    }

    /// A hasher that anyone can check.
    #[derive(Default)]
    struct Summed(u64);

    impl Hasher for Summed {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0 =
                bytes.iter().fold(self.0, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        }
    }

    #[test]
    fn an_aggregate_kind_round_trips_through_its_name() {
        for kind in AggregateKind::ALL {
            assert_eq!(kind.name().parse::<AggregateKind>(), Ok(kind));
        }
    }

    #[test]
    fn a_service_has_one_identifier_in_an_environment_and_keeps_it_across_versions() {
        let of = |environment: u128, module: &str| {
            ServiceId::of(Id::from_uuid(Uuid::from_u128(environment)), &ModuleId::new(module).unwrap())
        };
        assert_eq!(of(1, "orders"), of(1, "orders"));
        assert_ne!(of(1, "orders"), of(2, "orders"));
        assert_ne!(of(1, "orders"), of(1, "orders-2"));
        // Stored identifiers rest on this: it must never change.
        assert_eq!(of(1, "orders").to_string(), "svc_f0c57f4b0ea18c6b8b3578efc82a233f");
    }
}
