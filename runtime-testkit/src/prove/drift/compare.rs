//! What is desired and what is there, as an adapter reads the one and a surface shows the other.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use runtime_domain::component::{
    ConfigurationVersionRef, ImageDigest, ImageReference, ReleaseTuple, SecretVersionRef,
};
use runtime_domain::configuration::Checksum;
use runtime_domain::drift::{
    ActualComponent, ActualResource, ActualState, Authoritative, Comparison, ComparisonPolicy,
    ComparisonRefusal, DesiredComponent, DesiredState, DriftKind, Owner as DomainOwner, Ownership, Severity,
    Subject as DomainSubject, compare_states,
};
use runtime_domain::id::SecretBindingId;
use runtime_domain::secrets::SecretVersion;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Replicas};
use serde_json::{Value, json};

use crate::plan::drift::{CANARY, Kind, Look, Made, Of, Owner, Subject};
use crate::prove::environment::numbered;

/// What a comparison came to, or why it came to nothing; `None` where the look cannot be taken.
pub(super) fn compared(look: &Look, now: Timestamp) -> Option<Result<Comparison, ComparisonRefusal>> {
    let compared_at = earlier(now, i64::from(look.delay))?;
    let seen_at = earlier(compared_at, i64::from(look.age))?;
    let (tenant, environment) = match look.of {
        Of::Own | Of::Mixed => (1, 1),
        Of::OtherTenant => (2, 1),
        Of::OtherEnvironment => (1, 2),
    };
    let revision = format!("pulumi:shop@{}", look.revision).parse().ok()?;
    let desired =
        Authoritative::from_revision(revision, numbered(tenant), numbered(environment), desired(look)?);
    let actual = ActualState {
        tenant: numbered(tenant),
        environment: numbered(if look.of == Of::Mixed { 2 } else { environment }),
        listed_at: seen_at,
        components: actual_components(look, seen_at)?,
        resources: actual_resources(look, seen_at)?,
    };
    let severities =
        look.severity.map(|severity| DriftKind::ALL.map(|kind| (kind, self::severity(severity))));
    let policy = ComparisonPolicy {
        severities: severities.map(BTreeMap::from).unwrap_or_default(),
        ..ComparisonPolicy::default()
    };
    Some(compare_states(&desired, &actual, &owners(look)?, &policy, compared_at))
}

fn earlier(now: Timestamp, seconds: i64) -> Option<Timestamp> {
    let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
    Some(Span::from_millis(millis.checked_add_signed(-seconds * 1_000)?).after(Timestamp::UNIX_EPOCH))
}

fn name(subject: Subject) -> Option<Name> {
    let text = match subject {
        Subject::Cart => "cart",
        Subject::Pay => "pay",
        Subject::Queue => "queue",
    };
    Name::new(text).ok()
}

pub(super) fn subject(subject: Subject) -> Option<DomainSubject> {
    let name = name(subject)?;
    Some(match subject {
        Subject::Cart | Subject::Pay => DomainSubject::Component(name),
        Subject::Queue => DomainSubject::Resource(name),
    })
}

pub(super) const fn kind(kind: Kind) -> DriftKind {
    match kind {
        Kind::Image => DriftKind::ImageVersionMismatch,
        Kind::Replicas => DriftKind::ReplicaMismatch,
        Kind::Configuration => DriftKind::ConfigDrift,
        Kind::Missing => DriftKind::MissingResource,
        Kind::Unmanaged => DriftKind::UnmanagedResource,
    }
}

const fn severity(number: u8) -> Severity {
    match number {
        0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        _ => Severity::Critical,
    }
}

const fn surface(number: u8) -> SurfaceKind {
    if number == 0 { SurfaceKind::Process } else { SurfaceKind::Kubernetes }
}

pub(super) fn image(number: u8) -> Option<ImageDigest> {
    ImageDigest::new(&format!("sha256:{number:064x}")).ok()
}

fn configuration(number: u8) -> Option<Option<ConfigurationVersionRef>> {
    if number == 0 {
        return Some(None);
    }
    let checksum = Checksum::new(&format!("sha256:{number:064x}")).ok()?;
    Some(Some(ConfigurationVersionRef { configuration: numbered(60 + u128::from(number)), checksum }))
}

fn binding() -> SecretBindingId {
    numbered(70)
}

fn secrets(number: u8) -> BTreeSet<SecretVersionRef> {
    let version = NonZeroU32::new(number.into()).map(SecretVersion::numbered);
    version.map(|version| SecretVersionRef { binding: binding(), version }).into_iter().collect()
}

fn document(made: Made) -> Value {
    let password = (made.secret > 0).then(|| format!("{CANARY}-{}", made.secret));
    json!({"size": made.replicas, "password": password})
}

fn more() -> Option<Name> {
    Name::new("vnet").ok()
}

fn desired(look: &Look) -> Option<DesiredState> {
    let mut state = DesiredState::default();
    if look.has_more {
        state.resources.insert(more()?, json!({"cidr": "10.0.0.0/16"}));
    }
    match look.desired {
        None => {}
        Some(made) if look.subject == Subject::Queue => {
            state.resources.insert(name(look.subject)?, document(made));
        }
        Some(made) => {
            let component = DesiredComponent {
                surface: surface(made.surface),
                image: image(made.image)?,
                replicas: Replicas::new(made.replicas).ok()?,
                configuration: configuration(made.configuration)?,
                secrets: secrets(made.secret),
                scaling: None,
                settings: Value::Null,
            };
            state.components.insert(name(look.subject)?, component);
        }
    }
    Some(state)
}

fn actual_components(look: &Look, observed_at: Timestamp) -> Option<BTreeMap<Name, ActualComponent>> {
    let mut components = BTreeMap::new();
    if let Some(made) = look.actual.filter(|_| look.subject != Subject::Queue) {
        let component = ActualComponent {
            observed_at,
            surface: surface(made.surface),
            image: image(made.image)?,
            replicas: made.replicas,
            configuration: configuration(made.configuration)?,
            secrets: secrets(made.secret),
            scaling: None,
            settings: Value::Null,
        };
        components.insert(name(look.subject)?, component);
    }
    Some(components)
}

fn actual_resources(look: &Look, observed_at: Timestamp) -> Option<BTreeMap<Name, ActualResource>> {
    let mut resources = BTreeMap::new();
    if look.has_more {
        let document = json!({"cidr": "10.0.0.0/16"});
        resources.insert(more()?, ActualResource { observed_at, document });
    }
    if let Some(made) = look.actual.filter(|_| look.subject == Subject::Queue) {
        resources.insert(name(look.subject)?, ActualResource { observed_at, document: document(made) });
    }
    Some(resources)
}

fn owners(look: &Look) -> Option<Ownership> {
    let owner = match look.owner {
        Owner::Nobody => return Some(Ownership::nobody()),
        Owner::Rollout => DomainOwner::Rollout { deployment: numbered(80) },
        Owner::Sync { configuration } => {
            DomainOwner::ConfigurationSync { configuration: numbered(60 + u128::from(configuration)) }
        }
        Owner::Rotation => DomainOwner::Rotation { binding: binding() },
        Owner::Scaling { fewest, most } => {
            DomainOwner::Scaling { policy: numbered(81), fewest, most: Replicas::new(most).ok()? }
        }
        Owner::Rollback { quarantined, stable } => DomainOwner::Rollback {
            quarantined: image(quarantined)?,
            stable: Box::new(ReleaseTuple {
                image: ImageReference::new("shop/cart:1").ok()?.pinned(image(stable.image)?),
                configuration: configuration(stable.configuration)?,
                secrets: secrets(stable.secret),
                scaling_policy: None,
                scaling: None,
            }),
        },
    };
    Some(Ownership::nobody().with(name(look.subject)?, owner))
}
