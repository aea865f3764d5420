//! A typical command of each aggregate, made as any host makes it: by the public API alone.

mod content;
mod placement;
mod rollout;
mod upkeep;

use factory_runtime::domain::aggregate::{Aggregate, Decision};
use factory_runtime::domain::id::{Id, IdKind};
use factory_runtime::domain::tenancy::ResourceQuota;
use factory_runtime::domain::time::{Span, Timestamp};
use factory_runtime::domain::value::Name;

pub fn run() {
    placement::run();
    rollout::run();
    content::run();
    upkeep::run();
}

fn id<K: IdKind>(number: u128) -> Id<K> {
    Id::from_uuid(uuid::Uuid::from_u128(number))
}

fn at(seconds: u64) -> Timestamp {
    Span::from_secs(1_800_000_000 + seconds).after(Timestamp::UNIX_EPOCH)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn begun<A: Aggregate>(decision: &Decision<A::Event>) -> A {
    A::evolve_all(None, decision.events.iter().map(|event| (event, at(0)))).unwrap().unwrap()
}

fn after<A: Aggregate>(state: A, decision: &Decision<A::Event>, now: Timestamp) -> A {
    A::evolve_all(Some(state), decision.events.iter().map(|event| (event, now))).unwrap().unwrap()
}

fn quota(units: u64) -> ResourceQuota {
    ResourceQuota::new(units, units, units, units).unwrap()
}
