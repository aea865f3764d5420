use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Waker};

use async_trait::async_trait;
use runtime_domain::id::{AggregateKind, TenantId};
use runtime_domain::surface::FencingToken;
use runtime_domain::time::Timestamp;
use runtime_domain::value::{Name, Revision};
use runtime_ports::PortResult;
use runtime_ports::publisher::PublishedEvent;
use runtime_ports::store::{
    Lease, LeaseError, LeaseRequest, LeaseTopic, OperatorStore, Outbox, Page, ParkedQuery, ParkedStream,
    Parking, Store, Unpark,
};

use crate::Broken;
use crate::bug::Bug;

pub(crate) struct Handle {
    pub(crate) inner: Box<dyn OperatorStore>,
    pub(crate) store: Broken,
}

impl Handle {
    /// Whether a bug of one topic is of the one that is asked for.
    fn is_meant(&self, request: &LeaseRequest) -> bool {
        let relays = [Bug::RelaysTenantsInTurn, Bug::RelaysTheSameTenantsFirst, Bug::RelaysNewTenantsLast];
        relays.contains(&self.store.bug) == (request.topic == LeaseTopic::Outbox)
    }

    /// Takes all that there is, keeps what comes first, and gives the rest back. A lease is judged by itself and its place among its tenant's.
    async fn preferring<K: Ord + Send>(
        &self,
        request: &LeaseRequest,
        key: impl Fn(&Lease, usize) -> K + Send,
    ) -> PortResult<Vec<Lease>> {
        let all = self.inner.take_leases(&LeaseRequest { limit: u32::MAX, ..request.clone() }).await?;
        let mut places: BTreeMap<TenantId, usize> = BTreeMap::new();
        let judged = all.into_iter().map(|lease| {
            let place = places.entry(lease.tenant).or_default();
            *place += 1;
            (key(&lease, *place), lease)
        });
        let mut judged: Vec<(K, Lease)> = judged.collect();
        judged.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut kept: Vec<Lease> = judged.into_iter().map(|(_, lease)| lease).collect();
        for lease in kept.split_off(kept.len().min(usize::try_from(request.limit).unwrap())) {
            self.inner.release_lease(&lease).await?;
        }
        Ok(kept)
    }
}

#[async_trait]
impl OperatorStore for Handle {
    async fn take_leases(&self, request: &LeaseRequest) -> PortResult<Vec<Lease>> {
        let leases = match self.store.bug {
            Bug::IgnoresTime => {
                let now = runtime_testkit::sample::at(1_000_000);
                self.inner.take_leases(&LeaseRequest { now, ..request.clone() }).await?
            }
            Bug::ServesTenantsInTurn | Bug::RelaysTenantsInTurn if self.is_meant(request) => {
                self.preferring(request, |lease, _| lease.tenant).await?
            }
            Bug::ServesTheSameTenantsFirst | Bug::RelaysTheSameTenantsFirst if self.is_meant(request) => {
                self.preferring(request, |lease, place| (place, lease.tenant)).await?
            }
            Bug::ServesNewTenantsLast | Bug::RelaysNewTenantsLast if self.is_meant(request) => {
                let leases = self.store.notes.lock().unwrap().leases.clone();
                let known: BTreeSet<_> = leases.iter().map(|lease| lease.tenant).collect();
                let is_new = |lease: &Lease| !known.contains(&lease.tenant);
                self.preferring(request, |lease, place| (is_new(lease), place, lease.tenant)).await?
            }
            Bug::ServesKindsInTurn => {
                let mut leases = Vec::new();
                for kind in &request.kinds {
                    let left = request.limit - u32::try_from(leases.len()).unwrap();
                    let of_kind = LeaseRequest { kinds: vec![*kind], limit: left, ..request.clone() };
                    leases.extend(self.inner.take_leases(&of_kind).await?);
                }
                leases
            }
            Bug::TokensGrowByAggregate => {
                let leases = self.inner.take_leases(request).await?;
                let mut notes = self.store.notes.lock().unwrap();
                let own = leases.into_iter().map(|lease| {
                    let before = notes.leases.iter().filter(|other| other.key == lease.key).count();
                    let token = FencingToken(u64::try_from(before).unwrap() + 1);
                    notes.leases.push(lease.clone());
                    Lease { token, ..lease }
                });
                return Ok(own.collect());
            }
            Bug::TokensNeverGrow => {
                let leases = self.inner.take_leases(request).await?;
                leases.into_iter().map(|lease| Lease { token: FencingToken(1), ..lease }).collect()
            }
            Bug::HidesPreviousLeases => {
                let leases = self.inner.take_leases(request).await?;
                leases.into_iter().map(|lease| Lease { previous: None, ..lease }).collect()
            }
            Bug::TellsOldRevisions => {
                let leases = self.inner.take_leases(request).await?;
                let first =
                    |lease: Lease| Lease { revision: lease.revision.map(|_| Revision::FIRST), ..lease };
                leases.into_iter().map(first).collect()
            }
            Bug::HangsAfterADroppedTake => {
                self.store.enter().await;
                self.inner.take_leases(request).await?
            }
            Bug::LeasesAgainToTheNext if request.limit == 5 => {
                let mut leases = self.inner.take_leases(request).await?;
                let notes = self.store.notes.lock().unwrap();
                leases.extend(notes.leases.last().map(|last| Lease { host: request.host, ..last.clone() }));
                leases
            }
            Bug::TakesOverTwice => {
                let leases = self.inner.take_leases(request).await?;
                let notes = self.store.notes.lock().unwrap();
                let is_take_over = |lease: &&Lease| {
                    lease.host != request.host
                        && notes.leases.iter().filter(|other| other.key == lease.key).count() > 1
                };
                let newest =
                    notes.leases.last().filter(is_take_over).filter(|_| notes.latest == Some(request.now));
                match newest.filter(|lease| leases.is_empty() && lease.topic == request.topic) {
                    Some(newest) => vec![Lease { host: request.host, ..newest.clone() }],
                    None => leases,
                }
            }
            Bug::TakesTheGreatestForNone if request.limit == u32::MAX => Vec::new(),
            Bug::TrustsTheLatestClock => {
                let now = self.store.notes.lock().unwrap().latest.max(Some(request.now)).unwrap();
                let leases = self.inner.take_leases(&LeaseRequest { now, ..request.clone() }).await?;
                self.store.notes.lock().unwrap().latest = Some(now);
                leases
            }
            _ => self.inner.take_leases(request).await?,
        };
        if self.store.bug == Bug::TakesOverTwice && !leases.is_empty() {
            self.store.notes.lock().unwrap().latest = Some(request.now);
        }
        self.store.notes.lock().unwrap().leases.extend(leases.iter().cloned());
        Ok(leases)
    }

    async fn renew_lease(&self, lease: &Lease, until: Timestamp) -> Result<Lease, LeaseError> {
        let pretended = Lease { until, ..lease.clone() };
        match self.store.bug {
            Bug::PretendsToRenew => Ok(pretended),
            Bug::RenewsLostLeases => Ok(self.inner.renew_lease(lease, until).await.unwrap_or(pretended)),
            _ => self.inner.renew_lease(lease, until).await,
        }
    }

    async fn release_lease(&self, lease: &Lease) -> PortResult<()> {
        match self.store.bug {
            Bug::NeverReleases => Ok(()),
            Bug::ReleasesEveryTopic => {
                let noted = self.store.notes.lock().unwrap().leases.clone();
                for other in noted.iter().filter(|other| other.key == lease.key) {
                    self.inner.release_lease(other).await?;
                }
                Ok(())
            }
            _ => self.inner.release_lease(lease).await,
        }
    }

    async fn defer_lease(&self, lease: &Lease, seen: Revision, wake_at: Timestamp) -> PortResult<()> {
        let noted =
            || self.store.notes.lock().unwrap().leases.iter().rfind(|other| other.key == lease.key).cloned();
        match self.store.bug {
            Bug::ForgetsDeferring => self.inner.release_lease(lease).await,
            Bug::DefersWhateverChanged => self.inner.defer_lease(lease, seen.next(), wake_at).await,
            Bug::DefersLostLeases => match noted() {
                Some(newest) => self.inner.defer_lease(&newest, seen, wake_at).await,
                None => Ok(()),
            },
            _ => self.inner.defer_lease(lease, seen, wake_at).await,
        }
    }

    async fn next_due(&self, kinds: &[AggregateKind]) -> PortResult<Option<Timestamp>> {
        if self.store.bug == Bug::NextDueIsNothing { Ok(None) } else { self.inner.next_due(kinds).await }
    }

    async fn work_arrived(&self, topic: LeaseTopic, kinds: &[AggregateKind]) {
        if self.store.bug == Bug::NeverWakes {
            std::future::pending::<()>().await;
        }
        if self.store.bug == Bug::MissesWhatCameBefore {
            let operator = self.store.inner.for_operator(&runtime_testkit::sample::operator());
            return operator.work_arrived(topic, kinds).await;
        }
        self.inner.work_arrived(topic, kinds).await;
        if self.store.bug == Bug::TakesOthersWakeUps {
            for topic in [LeaseTopic::Work, LeaseTopic::Outbox] {
                for kind in AggregateKind::ALL {
                    let mut context = Context::from_waker(Waker::noop());
                    let _ = pin!(self.inner.work_arrived(topic, &[kind])).poll(&mut context);
                }
            }
        }
    }

    async fn outbox(&self, lease: &Lease, limit: u32) -> PortResult<Outbox> {
        let mut outbox = self.inner.outbox(lease, limit).await?;
        match self.store.bug {
            Bug::ReversesOutbox => outbox.events.reverse(),
            Bug::ShowsEventsLate => {
                let mut notes = self.store.notes.lock().unwrap();
                let many = outbox.events.len();
                // The first of several, once, as what is committed later than what follows it.
                if let Some(first) = outbox.events.first().filter(|event| event.sequence > 20 && many > 1)
                    && notes.shown.insert((lease.key, first.sequence))
                {
                    outbox.events.remove(0);
                }
            }
            _ => {}
        }
        Ok(outbox)
    }

    async fn outbox_published(
        &self,
        lease: &Lease,
        sequence: u64,
        without: &BTreeSet<Name>,
    ) -> Result<(), LeaseError> {
        let more = u64::from(self.store.bug == Bug::MarksOneEventMore);
        let nobody = BTreeSet::new();
        let without = if self.store.bug == Bug::BelievesWhoWasPassedOver { &nobody } else { without };
        match self.inner.outbox_published(lease, sequence.saturating_add(more), without).await {
            Err(_) if self.store.bug == Bug::IgnoresRelaysLease => Ok(()),
            answer => answer,
        }
    }

    async fn outbox_park(&self, lease: &Lease, parking: &Parking) -> Result<(), LeaseError> {
        if self.store.bug == Bug::IgnoresParking {
            return Ok(());
        }
        self.inner.outbox_park(lease, parking).await
    }

    async fn outbox_missed(
        &self,
        lease: &Lease,
        destination: &Name,
        limit: u32,
    ) -> PortResult<Vec<PublishedEvent>> {
        self.inner.outbox_missed(lease, destination, limit).await
    }

    async fn outbox_caught_up(
        &self,
        lease: &Lease,
        destination: &Name,
        sequence: u64,
    ) -> Result<(), LeaseError> {
        if self.store.bug == Bug::CatchesUpEverybody {
            for held in self.inner.outbox(lease, 1).await?.held {
                self.inner.outbox_caught_up(lease, &held.destination, sequence).await?;
            }
        }
        self.inner.outbox_caught_up(lease, destination, sequence).await
    }

    async fn outbox_parked(&self, query: &ParkedQuery) -> PortResult<Page<ParkedStream>> {
        let mut page = self.inner.outbox_parked(query).await?;
        if self.store.bug == Bug::ForgetsReasons {
            page.items.iter_mut().for_each(|parked| parked.reason.clear());
        }
        Ok(page)
    }

    async fn outbox_unpark(&self, which: &Unpark) -> PortResult<u32> {
        let unparked = self.inner.outbox_unpark(which).await?;
        if self.store.bug == Bug::EndsHoldsWhenUnparked {
            let noted = self.store.notes.lock().unwrap().leases.clone();
            for lease in noted {
                for held in self.inner.outbox(&lease, 1).await?.held {
                    let _lost = self.inner.outbox_caught_up(&lease, &held.destination, 0).await;
                }
            }
        }
        Ok(unparked)
    }
}
