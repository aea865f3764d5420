//! What a comparison must show, from the context's rules of what is drift and what somebody owns.

use crate::plan::drift::{Kind, Look, Made, Of, Owner, Subject};

/// For how long what was observed says anything, in seconds.
pub(super) const FRESH_FOR: i64 = 300;

/// What tells one divergence from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Divergence {
    pub(super) subject: Subject,
    pub(super) kind: Kind,
    shows: Shows,
}

/// Both sides of what differs, and nothing of what does not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shows {
    Image(u8, u8),
    Replicas(u16, u16),
    Configuration {
        surface: Differs<u8>,
        configuration: Differs<u8>,
        secret: Differs<u8>,
    },
    /// Of a password only whether there is one on each side.
    Document {
        size: Differs<u16>,
        password: Differs<bool>,
    },
    Missing {
        surface: Option<u8>,
    },
    Unmanaged {
        surface: Option<u8>,
        image: Option<u8>,
    },
}

type Differs<T> = Option<(T, T)>;

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Refused(&'static str),
    Diverges(Divergence),
    InSync,
    Unknown,
}

/// Which tenant and which environment.
pub(super) fn place(of: Of) -> (u8, u8) {
    match of {
        Of::Own | Of::Mixed => (1, 1),
        Of::OtherTenant => (2, 1),
        Of::OtherEnvironment => (1, 2),
    }
}

pub(super) fn compared(look: &Look, kind: Kind) -> Seen {
    if look.of == Of::Mixed {
        return Seen::Refused("X-1");
    }
    if look.desired.is_none() && !look.has_more {
        return Seen::Refused("DRF-3");
    }
    if i64::from(look.age).abs() > FRESH_FOR {
        return Seen::Unknown;
    }
    let found = match (look.subject, look.desired, look.actual) {
        (_, None, None) => Found::Nothing,
        (Subject::Queue, Some(desired), Some(actual)) => resource(desired, actual, kind),
        (_, Some(desired), Some(actual)) => component(desired, actual, look.owner, kind),
        (subject, Some(made), None) => one_sided(subject, made, Kind::Missing, look.owner, kind),
        (subject, None, Some(made)) => one_sided(subject, made, Kind::Unmanaged, look.owner, kind),
    };
    match found {
        Found::Nothing => Seen::InSync,
        Found::NotKnown => Seen::Unknown,
        Found::This(shows) => Seen::Diverges(Divergence { subject: look.subject, kind, shows }),
    }
}

enum Found {
    Nothing,
    NotKnown,
    This(Shows),
}

fn differs<T: PartialEq>(desired: T, actual: T) -> Differs<T> {
    (desired != actual).then_some((desired, actual))
}

fn resource(desired: Made, actual: Made, kind: Kind) -> Found {
    if kind != Kind::Configuration {
        return Found::Nothing;
    }
    let size = differs(desired.replicas, actual.replicas);
    let password = (desired.secret != actual.secret).then_some((desired.secret > 0, actual.secret > 0));
    match (size, password) {
        (None, None) => Found::Nothing,
        (size, password) => Found::This(Shows::Document { size, password }),
    }
}

fn one_sided(subject: Subject, made: Made, present: Kind, owner: Owner, kind: Kind) -> Found {
    let is_other =
        matches!((present, kind), (Kind::Missing, Kind::Unmanaged) | (Kind::Unmanaged, Kind::Missing));
    let is_component = subject != Subject::Queue;
    if is_other {
        Found::Nothing
    } else if kind != present || (is_component && owner == Owner::Rollout) {
        Found::NotKnown
    } else {
        let surface = is_component.then_some(made.surface.min(1));
        let image = is_component.then_some(made.image);
        Found::This(match present {
            Kind::Missing => Shows::Missing { surface },
            _ => Shows::Unmanaged { surface, image },
        })
    }
}

fn component(desired: Made, actual: Made, owner: Owner, kind: Kind) -> Found {
    match kind {
        Kind::Missing | Kind::Unmanaged => Found::Nothing,
        Kind::Configuration => configuration(desired, actual, owner),
        Kind::Image | Kind::Replicas => {
            let (is_same, shows) = if kind == Kind::Image {
                (desired.image == actual.image, Shows::Image(desired.image, actual.image))
            } else {
                (desired.replicas == actual.replicas, Shows::Replicas(desired.replicas, actual.replicas))
            };
            let is_meant = match owner {
                Owner::Scaling { fewest, most } => {
                    kind == Kind::Replicas && fewest <= actual.replicas && actual.replicas <= most
                }
                Owner::Rollback { quarantined, stable } => {
                    kind == Kind::Image && quarantined == desired.image && stable.image == actual.image
                }
                _ => false,
            };
            match owner {
                _ if is_same || is_meant => Found::Nothing,
                Owner::Rollout => Found::NotKnown,
                _ => Found::This(shows),
            }
        }
    }
}

fn configuration(desired: Made, actual: Made, owner: Owner) -> Found {
    let surface = differs(desired.surface.min(1), actual.surface.min(1));
    let mut configuration = differs(desired.configuration, actual.configuration);
    let mut secret = differs(desired.secret, actual.secret);
    // What is being changed is neither drift nor known to be none.
    let is_changing = match owner {
        Owner::Sync { configuration: brought } if brought > 0 && brought == desired.configuration => {
            configuration.take().is_some()
        }
        Owner::Rotation => secret.take().is_some(),
        _ => false,
    };
    let is_same = surface.is_none() && configuration.is_none() && secret.is_none();
    let is_meant = match owner {
        Owner::Rollback { quarantined, stable } => {
            quarantined == desired.image
                && surface.is_none()
                && (stable.image, stable.configuration, stable.secret)
                    == (actual.image, actual.configuration, actual.secret)
        }
        _ => false,
    };
    match owner {
        _ if is_changing && is_same => Found::NotKnown,
        _ if is_same || is_meant => Found::Nothing,
        Owner::Rollout => Found::NotKnown,
        _ => Found::This(Shows::Configuration { surface, configuration, secret }),
    }
}
