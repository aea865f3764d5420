//! The outbox: events that wait, and destinations that are behind.

use runtime_domain::id::TenantId;
use runtime_domain::time::Timestamp;
use runtime_domain::value::Name;

use crate::error::{PortError, PortErrorKind, PortResult};
use crate::publisher::PublishedEvent;
use crate::store::{AggregateKey, Cursor};

/// What a stream has to relay.
///
/// An aggregate's events are one stream with one place: what lies before it has gone to every destination. A destination that could not
/// take an event is *held* there, at a place of its own, while the others go on; the store keeps the events that it has yet to get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outbox {
    /// The events that nobody has got yet, in order: for every destination that is not held.
    pub events: Vec<PublishedEvent>,
    /// The destinations that are held, by name.
    pub held: Vec<Held>,
}

/// A destination that is behind in one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which destination.
    pub destination: Name,
    /// False while the stream is parked for it; true once it may catch up ([`OperatorStore::outbox_missed`](super::OperatorStore::outbox_missed)).
    pub is_resumed: bool,
}

/// What a parked stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkedUntil {
    /// An operator: its first event was refused for good, or failed too often. Once the cause is mended, it is unparked.
    Unparked,
    /// The destination: it could not be reached. The relay unparks it when it can be.
    Reachable,
}

impl ParkedUntil {
    /// The name under which stores keep it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unparked => "unparked",
            Self::Reachable => "reachable",
        }
    }

    /// What has this name.
    ///
    /// # Errors
    /// [`Corrupt`](PortErrorKind::Corrupt): nothing has.
    pub fn named(name: &str) -> PortResult<Self> {
        [Self::Unparked, Self::Reachable].into_iter().find(|until| until.name() == name).ok_or_else(|| {
            let message = format!("a parked stream waits for `{name}`, which no version has written");
            PortError::new(PortErrorKind::Corrupt, "store.outbox_parked", message)
        })
    }
}

/// Sets a stream aside for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// Which destination.
    pub destination: Name,
    /// The first event that it has not got.
    pub sequence: u64,
    /// Why, for people. Never a secret.
    pub reason: String,
    /// What it waits for.
    pub until: ParkedUntil,
    /// The present time.
    pub at: Timestamp,
}

/// One destination's place in one aggregate's stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The aggregate.
    pub key: AggregateKey,
    /// Who is behind.
    pub destination: Name,
}

impl StreamKey {
    /// The cursor that goes on after this stream, the same in every store.
    pub fn cursor(&self) -> Cursor {
        let Self { tenant, key, destination } = self;
        Cursor(format!("parked/{}/{key}/{destination}", tenant.uuid().as_simple()))
    }

    fn parsed(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.0.split('/');
        let (Some("parked"), Some(tenant), Some(kind), Some(id), Some(destination), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self {
            tenant: TenantId::from_uuid(tenant.parse().ok()?),
            key: AggregateKey { kind: kind.parse().ok()?, id: id.parse().ok()? },
            destination: Name::new(destination).ok()?,
        })
    }
}

/// A stream that is set aside for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedStream {
    /// Which.
    pub stream: StreamKey,
    /// The first event that the destination has not got.
    pub sequence: u64,
    /// Why.
    pub reason: String,
    /// What it waits for.
    pub until: ParkedUntil,
    /// Since when, to the microsecond.
    pub since: Timestamp,
}

/// Asks for a list of parked streams, in an order of the store's own. Every filter that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedQuery {
    /// Only for this destination.
    pub destination: Option<Name>,
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only what waits for this.
    pub until: Option<ParkedUntil>,
    /// Where to go on; `None` at the beginning. It may be any page's cursor, with any filters.
    pub after: Option<Cursor>,
    /// How many at most: 1 to 1,000.
    pub limit: u32,
}

impl ParkedQuery {
    /// All, 100 to a page.
    pub fn all() -> Self {
        Self { destination: None, tenant: None, until: None, after: None, limit: 100 }
    }

    /// For stores: the stream after which this page begins, `None` at the beginning.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid) where [`ParkedQuery::after`] is no cursor of such a list, and where the limit is not 1 to 1,000.
    pub fn position(&self) -> PortResult<Option<StreamKey>> {
        let invalid = |message| PortError::new(PortErrorKind::Invalid, "store.outbox_parked", message);
        if !(1..=1_000).contains(&self.limit) {
            return Err(invalid("the limit is out of range: ask for 1 to 1,000 to a page"));
        }
        let parsed = self.after.as_ref().map(|cursor| {
            StreamKey::parsed(cursor)
                .ok_or_else(|| invalid("the cursor belongs to another list: begin again without one"))
        });
        parsed.transpose()
    }
}

/// Which parked streams go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unpark {
    /// This one.
    One(StreamKey),
    /// Every one, or every one of a destination.
    All {
        /// The destination; `None` for all.
        destination: Option<Name>,
    },
}

#[cfg(test)]
mod tests {
    use runtime_domain::id::AggregateKind;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_stream_and_others_are_refused() {
        let stream = StreamKey {
            tenant: TenantId::from_uuid(Uuid::from_u128(7)),
            key: AggregateKey { kind: AggregateKind::RuntimeService, id: Uuid::from_u128(8) },
            destination: Name::new("billing").unwrap(),
        };
        let asked = |after| ParkedQuery { after: Some(after), ..ParkedQuery::all() };
        assert_eq!(asked(stream.cursor()).position().unwrap(), Some(stream.clone()));
        for text in ["", "parked", "parked/x/y/z/q", &format!("{}/more", stream.cursor().0)] {
            let refused = asked(Cursor(text.to_owned())).position().unwrap_err();
            assert_eq!(refused.kind(), PortErrorKind::Invalid);
        }
        for limit in [0, 1_001] {
            assert!(ParkedQuery { limit, ..ParkedQuery::all() }.position().is_err());
        }
    }
}
