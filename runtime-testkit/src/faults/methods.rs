//! Every method of every port that may meet a fault.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::Fault;

/// One method of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// The port and the method, as in [`Call::method`](super::Call::method).
    pub name: &'static str,
    /// Whether it is to change something outside of the host.
    pub is_change: bool,
    shape: Shape,
}

/// How a method is called, which decides what can happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// It can be made twice.
    Again,
    /// It can be made once only.
    Once,
    /// It is answered, and the answer can be spoilt so.
    Question { part: bool, garbage: bool },
    /// It is waited for, and never fails.
    Wait,
}

/// A [`Fault`] without what it says beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// [`Fault::Before`].
    Before,
    /// [`Fault::After`].
    After,
    /// [`Fault::RequestLost`].
    RequestLost,
    /// [`Fault::AnswerLost`].
    AnswerLost,
    /// [`Fault::Twice`].
    Twice,
    /// [`Fault::Slow`].
    Slow,
    /// [`Fault::Late`].
    Late,
    /// [`Fault::FreezeBefore`].
    FreezeBefore,
    /// [`Fault::FreezeAfter`].
    FreezeAfter,
    /// [`Fault::Stale`].
    Stale,
    /// [`Fault::Partial`].
    Partial,
    /// [`Fault::Garbage`].
    Garbage,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Before,
        Self::After,
        Self::RequestLost,
        Self::AnswerLost,
        Self::Twice,
        Self::Slow,
        Self::Late,
        Self::FreezeBefore,
        Self::FreezeAfter,
        Self::Stale,
        Self::Partial,
        Self::Garbage,
    ];

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "error before",
            Self::After => "error after",
            Self::RequestLost => "request lost",
            Self::AnswerLost => "answer lost",
            Self::Twice => "twice",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::FreezeBefore => "frozen before",
            Self::FreezeAfter => "frozen after",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Garbage => "garbage",
        }
    }
}

impl Fault {
    /// Its kind.
    pub const fn kind(self) -> FaultKind {
        match self {
            Self::Before(_) => FaultKind::Before,
            Self::After(_) => FaultKind::After,
            Self::RequestLost => FaultKind::RequestLost,
            Self::AnswerLost => FaultKind::AnswerLost,
            Self::Twice => FaultKind::Twice,
            Self::Slow { .. } => FaultKind::Slow,
            Self::Late => FaultKind::Late,
            Self::FreezeBefore => FaultKind::FreezeBefore,
            Self::FreezeAfter => FaultKind::FreezeAfter,
            Self::Stale => FaultKind::Stale,
            Self::Partial => FaultKind::Partial,
            Self::Garbage => FaultKind::Garbage,
        }
    }
}

impl Method {
    /// Whether a fault of this kind makes another of a call than it is. Where it does not, the call is left as it is.
    pub const fn may_meet(&self, kind: FaultKind) -> bool {
        match (self.shape, kind) {
            (Shape::Wait, _) => false,
            (Shape::Once, FaultKind::Twice) => false,
            (Shape::Question { .. }, FaultKind::Stale) => true,
            (Shape::Question { part, .. }, FaultKind::Partial) => part,
            (Shape::Question { garbage, .. }, FaultKind::Garbage) => garbage,
            (_, FaultKind::Stale | FaultKind::Partial | FaultKind::Garbage) => false,
            // Who is asked twice answers twice: nothing is otherwise.
            (Shape::Question { .. }, FaultKind::Twice) => false,
            _ => true,
        }
    }

    /// Its answer can be cut.
    const fn cut(self) -> Self {
        let garbage = matches!(self.shape, Shape::Question { garbage: true, .. });
        Self { shape: Shape::Question { part: true, garbage }, ..self }
    }

    /// Its answer can be nonsense.
    const fn nonsense(self) -> Self {
        let part = matches!(self.shape, Shape::Question { part: true, .. });
        Self { shape: Shape::Question { part, garbage: true }, ..self }
    }

    /// It can be made once only.
    const fn once(self) -> Self {
        Self { shape: Shape::Once, ..self }
    }

    /// It is waited for.
    const fn wait(self) -> Self {
        Self { shape: Shape::Wait, ..self }
    }
}

const fn change(name: &'static str) -> Method {
    Method { name, is_change: true, shape: Shape::Again }
}

const fn question(name: &'static str) -> Method {
    Method { name, is_change: false, shape: Shape::Question { part: false, garbage: false } }
}

/// Every method of every port that is asynchronous, but those [at the door](AT_THE_DOOR). The others answer from memory (capabilities, kinds,
/// identifiers), and meet no fault.
pub const METHODS: &[Method] = &[
    question("artifacts.list").cut(),
    question("artifacts.open").once(),
    question("artifacts.read").once(),
    change("artifacts.begin"),
    change("artifacts.finish").once(),
    change("artifacts.prune"),
    change("artifacts.write").once(),
    question("clock.sleep_until").wait(),
    question("desired_state.read").once(),
    change("handover.hand_over"),
    question("handover.answered_by").cut(),
    change("health_results.append"),
    change("health_results.prepare"),
    change("health_results.prune"),
    question("health_results.latest").cut(),
    question("health_results.latest_of_all").cut(),
    question("health_results.query").cut(),
    change("infrastructure.destroy"),
    change("infrastructure.up"),
    question("infrastructure.outputs").cut(),
    question("infrastructure.preview").cut(),
    question("infrastructure.refresh").cut().nonsense(),
    question("isolation.usage").cut().nonsense(),
    change("jobs.start"),
    question("jobs.state").cut().nonsense(),
    question("metrics.read").cut().nonsense(),
    question("prober.probe").cut().nonsense(),
    change("publisher.publish"),
    question("publisher.check"),
    question("registry.resolve"),
    change("registry.unpack"),
    question("scaling_signals.burn").cut().nonsense(),
    question("scaling_signals.signal").cut().nonsense(),
    question("scaling_signals.waiting").wait(),
    change("secrets.create_version"),
    change("secrets.deliver").once(),
    change("secrets.retire_version"),
    question("secrets.check"),
    question("secrets.versions").cut().nonsense(),
    change("snapshots.capture"),
    change("snapshots.prune"),
    question("snapshots.as_of").cut(),
    question("snapshots.latest").cut(),
    question("snapshots.list").cut(),
    change("store.commit"),
    change("store.defer_lease"),
    change("store.outbox_caught_up"),
    change("store.outbox_park"),
    change("store.outbox_published"),
    change("store.outbox_unpark"),
    change("store.release_lease"),
    change("store.renew_lease"),
    change("store.take_leases"),
    question("store.check"),
    question("store.history").cut(),
    question("store.is_handled"),
    question("store.load"),
    question("store.next_due"),
    question("store.outbox").cut(),
    question("store.outbox_missed").cut(),
    question("store.outbox_parked").cut(),
    question("store.query").cut(),
    question("store.work_arrived").wait(),
    change("subscriber.handle"),
    change("surface.apply"),
    change("surface.deliver"),
    change("surface.retire"),
    change("surface.scale"),
    change("surface.shift_traffic"),
    question("surface.list").cut().nonsense(),
    question("surface.observe").cut().nonsense(),
];

/// What is asked of who lets callers in, before a host is asked for anything: no part of what a host does by itself.
pub const AT_THE_DOOR: &[Method] = &[question("authenticator.authenticate").once()];

/// Every call is looked up.
static BY_NAME: LazyLock<BTreeMap<&'static str, Method>> =
    LazyLock::new(|| METHODS.iter().chain(AT_THE_DOOR).map(|method| (method.name, *method)).collect());

pub(super) fn is_change(method: &str) -> bool {
    BY_NAME.get(method).is_some_and(|known| known.is_change)
}

/// Whether a method is listed with the shape that it is called with.
pub(super) fn is_listed(method: &str, shape: Shape) -> bool {
    BY_NAME.get(method).is_some_and(|known| known.shape == shape)
}
