//! Who gets the next request: a value that is made once, and replaced whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::component::RevisionId;
use runtime_domain::surface::{EffectId, Traffic};

use super::upstream::{InFlight, Upstream};

/// Whether a component runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sleep {
    /// It runs, or should.
    #[default]
    Awake,
    /// No replica of what is routed is wanted.
    Asleep,
    /// Replicas are wanted again, and none has been ready yet.
    Waking,
}

/// One component's routes.
///
/// Weighted shares are dealt by a fixed round of 100 turns (smooth weighted round robin), so that any 100 requests in a row that meet the
/// same weights are divided exactly, and a small share comes evenly spaced rather than in a burst.
#[derive(Debug, Default)]
pub(crate) struct RoutingTable {
    /// What was asked for, and is in force by this table.
    pub(crate) traffic: Option<Traffic>,
    /// The effect that asked for it.
    pub(crate) effect: Option<EffectId>,
    /// Whether the component runs at all.
    pub(crate) sleep: Sleep,
    routes: Vec<Route>,
    /// Which route each turn of a round takes, by its place in `routes`.
    round: Vec<usize>,
}

#[derive(Debug)]
struct Route {
    revision: RevisionId,
    upstreams: Vec<Arc<Upstream>>,
}

impl RoutingTable {
    /// Routes for `traffic` over the instances that are ready.
    pub(crate) fn new(
        traffic: Option<Traffic>,
        effect: Option<EffectId>,
        ready: &BTreeMap<RevisionId, Vec<Arc<Upstream>>>,
    ) -> Self {
        let shares: Vec<(RevisionId, usize)> = match &traffic {
            None => Vec::new(),
            Some(Traffic::Weighted(weights)) => weights
                .iter()
                .filter(|(_, share)| share.get() > 0)
                .map(|(revision, share)| (revision.clone(), usize::from(share.get())))
                .collect(),
            Some(Traffic::PerInstance(revisions)) => revisions
                .iter()
                .map(|revision| (revision.clone(), ready.get(revision).map_or(0, Vec::len)))
                .collect(),
        };
        // Where no instance is ready, a turn still names the revision that the request was meant for.
        let none_ready = shares.iter().all(|(_, share)| *share == 0);
        let weights: Vec<usize> =
            shares.iter().map(|(_, share)| if none_ready { 1 } else { *share }).collect();
        let routes = shares
            .into_iter()
            .map(|(revision, _)| Route {
                upstreams: ready.get(&revision).cloned().unwrap_or_default(),
                revision,
            })
            .collect();
        Self { traffic, effect, sleep: Sleep::Awake, routes, round: smooth_round(&weights) }
    }

    /// The revision that this turn is meant for, whether or not it can take it.
    pub(crate) fn intended(&self, turn: u64) -> Option<&RevisionId> {
        self.route(turn, 0).and_then(|route| self.routes.get(route)).map(|route| &route.revision)
    }

    fn route(&self, turn: u64, step: usize) -> Option<usize> {
        let length = u64::try_from(self.round.len()).ok().filter(|length| *length > 0)?;
        let start = usize::try_from(turn % length).ok()?;
        self.round.get((start + step) % self.round.len()).copied()
    }

    /// Enters an instance of another revision than `but`; `None` where no other is routed and ready.
    pub(crate) fn enter_beside(&self, turn: u64, but: &RevisionId) -> Option<InFlight> {
        let others = self.routes.iter().filter(|route| route.revision != *but);
        others.into_iter().find_map(|route| route.enter(turn, &[]))
    }

    /// Enters an instance for this turn: of the revision that the turn is meant for, or where none of it is ready, of the next in the
    /// round. Instances that were `tried` are left out.
    pub(crate) fn enter(&self, turn: u64, tried: &[Arc<Upstream>]) -> Option<InFlight> {
        let mut looked_at = vec![false; self.routes.len()];
        for step in 0..self.round.len() {
            let place = self.route(turn, step)?;
            let Some(seen) = looked_at.get_mut(place) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            if let Some(entered) = self.routes.get(place).and_then(|route| route.enter(turn, tried)) {
                return Some(entered);
            }
        }
        None
    }
}

impl Route {
    /// The instance with the fewest requests under way; among equals, in turn.
    fn enter(&self, turn: u64, tried: &[Arc<Upstream>]) -> Option<InFlight> {
        let count = self.upstreams.len();
        let start = usize::try_from(turn).unwrap_or_default().checked_rem(count)?;
        let mut candidates: Vec<&Arc<Upstream>> = (0..count)
            .filter_map(|step| self.upstreams.get((start + step) % count))
            .filter(|upstream| !tried.iter().any(|tried| Arc::ptr_eq(tried, upstream)))
            .collect();
        candidates.sort_by_key(|upstream| upstream.in_flight());
        candidates.into_iter().find_map(Upstream::enter)
    }
}

/// Each place as often as its weight says, spread evenly.
fn smooth_round(weights: &[usize]) -> Vec<usize> {
    let whole: usize = weights.iter().sum();
    let signed = |weight: usize| i64::try_from(weight).unwrap_or(i64::MAX);
    let mut credit = vec![0_i64; weights.len()];
    let mut round = Vec::with_capacity(whole);
    for _ in 0..whole {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += signed(*weight);
        }
        let mut best: Option<(usize, i64)> = None;
        for (place, credit) in credit.iter().enumerate() {
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((place, *credit));
            }
        }
        let Some((place, _)) = best else { break };
        if let Some(credit) = credit.get_mut(place) {
            *credit -= signed(whole);
        }
        round.push(place);
    }
    round
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use runtime_domain::id::DeploymentId;
    use runtime_domain::surface::TrafficWeights;
    use runtime_domain::value::{Name, Percent};
    use uuid::Uuid;

    use super::*;

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(Name::new("cart").expect("a name"), DeploymentId::from_uuid(Uuid::from_u128(number)))
    }

    fn upstreams(number: u128, count: u16) -> (RevisionId, Vec<Arc<Upstream>>) {
        let upstreams = (0..count)
            .map(|port| Arc::new(Upstream::new(revision(number), ([127, 0, 0, 1], port + 1).into())))
            .collect();
        (revision(number), upstreams)
    }

    fn split(first: u8) -> Traffic {
        let share = Percent::new(first).expect("a share");
        Traffic::Weighted(TrafficWeights::split(revision(1), share, revision(2)))
    }

    proptest! {
        #[test]
        fn any_hundred_requests_in_a_row_are_divided_exactly(share in 0_u8..=100, start in any::<u32>()) {
            let ready = BTreeMap::from([upstreams(1, 2), upstreams(2, 3)]);
            let table = RoutingTable::new(Some(split(share)), None, &ready);
            let first = (u64::from(start)..u64::from(start) + 100)
                .filter(|turn| table.enter(*turn, &[]).is_some_and(|entered| *entered.revision() == revision(1)))
                .count();
            prop_assert_eq!(first, usize::from(share));
        }

        #[test]
        fn a_share_is_spread_and_never_a_burst(share in 1_u8..=50) {
            let round = smooth_round(&[usize::from(share), usize::from(100 - share)]);
            let longest = round.split(|place| *place == 1).map(<[usize]>::len).max().unwrap_or(0);
            prop_assert!(longest <= 1, "{round:?}");
        }
    }

    #[test]
    fn a_revision_without_ready_instances_leaves_its_share_to_the_other() {
        let ready = BTreeMap::from([upstreams(2, 1)]);
        let table = RoutingTable::new(Some(split(90)), None, &ready);
        assert!((0..100).all(|turn| table.enter(turn, &[]).is_some_and(|it| *it.revision() == revision(2))));
        assert!((0..100).any(|turn| table.intended(turn) == Some(&revision(1))));
    }

    #[test]
    fn a_revision_that_is_not_routed_gets_nothing_even_where_it_alone_is_ready() {
        let ready = BTreeMap::from([upstreams(2, 1)]);
        let table = RoutingTable::new(Some(split(100)), None, &ready);
        assert!((0..100).all(|turn| table.enter(turn, &[]).is_none()));
    }

    #[test]
    fn per_instance_traffic_gives_every_instance_an_equal_share() {
        let ready = BTreeMap::from([upstreams(1, 1), upstreams(2, 3)]);
        let traffic = Traffic::PerInstance(BTreeSet::from([revision(1), revision(2)]));
        let table = RoutingTable::new(Some(traffic), None, &ready);
        let first =
            (0..400).filter(|turn| table.enter(*turn, &[]).is_some_and(|it| *it.revision() == revision(1)));
        assert_eq!(first.count(), 100);
    }

    #[test]
    fn nobody_enters_an_instance_that_drains_or_was_tried() {
        let ready = BTreeMap::from([upstreams(1, 2)]);
        let table = RoutingTable::new(Some(split(100)), None, &ready);
        let tried = table.enter(0, &[]).expect("one is ready").upstream().clone();
        let other =
            table.enter(0, std::slice::from_ref(&tried)).expect("the other is ready").upstream().clone();
        assert!(!Arc::ptr_eq(&tried, &other));
        other.close();
        assert!(table.enter(0, &[tried]).is_none());
    }

    #[test]
    fn the_instance_with_the_fewest_requests_is_next() {
        let ready = BTreeMap::from([upstreams(1, 2)]);
        let table = RoutingTable::new(Some(split(100)), None, &ready);
        let busy = table.enter(0, &[]).expect("one is ready");
        for turn in 0..10 {
            let next = table.enter(turn, &[]).expect("one is ready");
            assert!(!Arc::ptr_eq(next.upstream(), busy.upstream()));
        }
    }
}
