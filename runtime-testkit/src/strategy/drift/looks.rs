//! Comparisons that show what a story needs: the same divergence again, none any more, another of its kind, or anything.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::plan::drift::{Kind, Look, Made, Of, Owner, Subject};

pub(super) fn made() -> BoxedStrategy<Made> {
    (0..2_u8, 1..4_u8, 1..4_u16, 0..3_u8, 0..3_u8)
        .prop_map(|(surface, image, replicas, configuration, secret)| Made {
            surface,
            image,
            replicas,
            configuration,
            secret,
        })
        .boxed()
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![6 => Just(Subject::Cart), 1 => Just(Subject::Pay), 2 => Just(Subject::Queue)]
}

pub(super) fn kind() -> BoxedStrategy<Kind> {
    select(vec![
        Kind::Image,
        Kind::Image,
        Kind::Replicas,
        Kind::Configuration,
        Kind::Configuration,
        Kind::Missing,
        Kind::Unmanaged,
    ])
    .boxed()
}

fn owner() -> BoxedStrategy<Owner> {
    let rollback =
        (1..4_u8, made()).prop_map(|(quarantined, stable)| Owner::Rollback { quarantined, stable });
    let scaling = (0..4_u16, 1..4_u16).prop_map(|(fewest, most)| Owner::Scaling { fewest, most });
    prop_oneof![
        Just(Owner::Rollout),
        (0..3_u8).prop_map(|configuration| Owner::Sync { configuration }),
        Just(Owner::Rotation),
        scaling,
        rollback,
    ]
    .boxed()
}

/// When and of whom a look is, and what else is so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    of: Of,
    owner: Owner,
    revision: u8,
    severity: Option<u8>,
    age: i16,
    delay: u16,
    has_more: bool,
}

/// Mostly what everybody wants: own, fresh, and owned by nobody.
pub(super) fn circumstances() -> BoxedStrategy<Circumstances> {
    let of = prop_oneof![
        24 => Just(Of::Own),
        1 => Just(Of::OtherTenant),
        1 => Just(Of::OtherEnvironment),
        1 => Just(Of::Mixed),
    ];
    let owner = prop_oneof![14 => Just(Owner::Nobody), 1 => owner()];
    let age =
        prop_oneof![14 => Just(0_i16), 2 => 0..20_i16, 1 => select(vec![299_i16, 300, 301, -300, -301])];
    let delay = prop_oneof![14 => Just(0_u16), 1 => select(vec![1_u16, 299, 300, 301])];
    let severity = option::weighted(0.1, 0..5_u8);
    let revision = prop_oneof![4 => Just(1_u8), 1 => 1..4_u8];
    (of, owner, revision, severity, age, delay, prop::bool::weighted(0.9))
        .prop_map(|(of, owner, revision, severity, age, delay, has_more)| Circumstances {
            of,
            owner,
            revision,
            severity,
            age,
            delay,
            has_more,
        })
        .boxed()
}

impl Circumstances {
    /// Own, now, and owned by nobody: a divergence that differs is found.
    pub(super) fn own(self) -> Self {
        Self { of: Of::Own, owner: Owner::Nobody, age: 0, delay: 0, has_more: true, ..self }
    }

    pub(super) fn look(self, subject: Subject, desired: Option<Made>, actual: Option<Made>) -> Look {
        Look {
            of: self.of,
            subject,
            desired,
            actual,
            has_more: self.has_more,
            owner: self.owner,
            revision: self.revision,
            severity: self.severity,
            age: self.age,
            delay: self.delay,
        }
    }
}

/// Any comparison at all.
pub(super) fn any_look() -> BoxedStrategy<Look> {
    let often_owned = prop_oneof![Just(Owner::Nobody), owner()];
    let sides = (option::weighted(0.8, made()), option::weighted(0.8, made()));
    (circumstances(), often_owned, subject(), sides)
        .prop_map(|(circumstances, owner, subject, (desired, actual))| {
            Circumstances { owner, ..circumstances }.look(subject, desired, actual)
        })
        .boxed()
}

/// What a finding is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drift {
    pub(super) subject: Subject,
    pub(super) kind: Kind,
    desired: Option<Made>,
    actual: Option<Made>,
}

/// A divergence of any kind that its subject can show.
pub(super) fn drift() -> BoxedStrategy<Drift> {
    (subject(), kind(), made(), 1..3_u8)
        .prop_map(|(subject, kind, desired, turn)| {
            let is_shown = subject != Subject::Queue || !matches!(kind, Kind::Image | Kind::Replicas);
            let kind = if is_shown { kind } else { Kind::Unmanaged };
            let (desired, actual) = match kind {
                Kind::Missing => (Some(desired), None),
                Kind::Unmanaged => (None, Some(desired)),
                _ => (Some(desired), Some(turned(desired, subject, kind, turn))),
            };
            Drift { subject, kind, desired, actual }
        })
        .boxed()
}

/// The same, but otherwise in the part that this kind is about; a turn of 1 and one of 2 differ.
fn turned(made: Made, subject: Subject, kind: Kind, turn: u8) -> Made {
    let step = |number: u8| (number + turn) % 3;
    match (kind, subject) {
        (Kind::Image | Kind::Unmanaged, _) => Made { image: 1 + step(made.image - 1), ..made },
        (Kind::Replicas, _) | (_, Subject::Queue) => {
            Made { replicas: made.replicas + u16::from(turn), ..made }
        }
        (Kind::Missing, _) => Made { surface: 1 - made.surface.min(1), ..made },
        (Kind::Configuration, _) if turn == 1 => Made { secret: step(made.secret), ..made },
        (Kind::Configuration, _) => Made { configuration: step(made.configuration), ..made },
    }
}

impl Drift {
    /// The same again.
    pub(super) fn again(self, circumstances: Circumstances) -> Look {
        circumstances.look(self.subject, self.desired, self.actual)
    }

    /// None any more, as it was desired; or, for what nothing desires, as it is there or not.
    pub(super) fn none(self, circumstances: Circumstances, is_wanted: bool) -> Look {
        let side = self.desired.or(self.actual).filter(|_| self.desired.is_some() || is_wanted);
        circumstances.look(self.subject, side, side)
    }

    /// Another of its kind.
    pub(super) fn other(self, circumstances: Circumstances, turn: u8) -> Look {
        let turned = |made: Made| turned(made, self.subject, self.kind, turn);
        let (desired, actual) = match self.actual {
            Some(actual) => (self.desired, Some(turned(actual))),
            None => (self.desired.map(turned), None),
        };
        circumstances.look(self.subject, desired, actual)
    }

    /// The same again, and somebody owns it, or almost.
    pub(super) fn owned(self, circumstances: Circumstances, how: u8) -> Look {
        let look = self.again(circumstances.own());
        let (Some(desired), Some(actual)) = (self.desired, self.actual) else {
            return Look { owner: Owner::Rollout, ..look };
        };
        let rollback = |stable: Made| Owner::Rollback { quarantined: desired.image, stable };
        let scaling = |fewest: u16, most: u16| Owner::Scaling { fewest, most };
        let count = actual.replicas;
        let other = |number: u8| (number + 1) % 3;
        let owner = match how {
            0 => Owner::Rollout,
            1 => Owner::Sync { configuration: desired.configuration },
            2 => Owner::Rotation,
            3 => scaling(count, count),
            4 => scaling(count + 1, count + 2),
            5 => scaling(0, count.saturating_sub(1).max(1)),
            6 => rollback(actual),
            7 => rollback(Made { secret: other(actual.secret), ..actual }),
            8 => rollback(Made { configuration: other(actual.configuration), ..actual }),
            9 => rollback(Made { image: actual.image + 1, ..actual }),
            _ => Owner::Rollback { quarantined: desired.image + 1, stable: actual },
        };
        Look { owner, ..look }
    }
}
