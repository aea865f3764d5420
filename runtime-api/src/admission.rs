//! How much callers may take of a host, whatever the wire: places, and how often a tenant may ask.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use runtime_domain::id::TenantId;

use crate::problem::{Problem, ProblemKind};

/// After how many admissions tenants are forgotten that did not ask for a while.
const FORGET_EVERY: u64 = 4_096;

/// How much a host takes from its callers. The defaults suit operators and pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionOptions {
    /// How many requests are worked on at once; more are told to come again. Streams do not count.
    pub requests: usize,
    /// How many of them may be of one tenant.
    pub tenant_requests: usize,
    /// How many streams of progress there may be at once.
    pub streams: usize,
    /// How many of them may be of one tenant.
    pub tenant_streams: usize,
    /// How many requests in a second one tenant may make, over a time.
    pub tenant_rate: NonZeroU32,
    /// How many it may make at once.
    pub tenant_burst: NonZeroU32,
}

const fn many(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self {
            requests: 512,
            tenant_requests: 128,
            streams: 4_096,
            tenant_streams: 1_024,
            tenant_rate: many(100),
            tenant_burst: many(200),
        }
    }
}

/// Lets callers in, and keeps one of them, or many, from taking all of a host. Clones count together.
#[derive(Clone)]
pub struct Admission(Arc<Counted>);

struct Counted {
    requests: Room,
    streams: Room,
    rates: DefaultKeyedRateLimiter<TenantId>,
    clock: DefaultClock,
    admitted: AtomicU64,
}

/// Places of one kind.
struct Room {
    /// What they are for.
    what: &'static str,
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of: HashMap<TenantId, usize>,
}

/// Which kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Stream,
}

impl fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Room {
    fn new(what: &'static str, most: usize, most_of_one: usize) -> Self {
        Self { what, most, most_of_one, taken: Mutex::default() }
    }

    fn enter(&self) -> Result<(), Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most {
            let detail = format!("the host has as many {} as it takes", self.what);
            return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(1));
        }
        taken.all += 1;
        Ok(())
    }

    fn belongs_to(&self, tenant: TenantId) -> Result<(), Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.of.entry(tenant).or_default();
        if *theirs >= self.most_of_one {
            let detail = format!("the tenant has as many {} as one may have at once", self.what);
            return Err(Problem::new(ProblemKind::TooManyRequests, detail).retry_after(1));
        }
        *theirs += 1;
        Ok(())
    }

    fn leave(&self, tenant: Option<TenantId>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(tenant) = tenant else { return };
        if let Some(theirs) = taken.of.get_mut(&tenant) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.of.remove(&tenant);
            }
        }
    }
}

impl Admission {
    /// Admits so much.
    pub fn new(options: &AdmissionOptions) -> Self {
        let quota = Quota::per_second(options.tenant_rate).allow_burst(options.tenant_burst);
        Self(Arc::new(Counted {
            requests: Room::new("requests", options.requests, options.tenant_requests),
            streams: Room::new("streams", options.streams, options.tenant_streams),
            rates: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            admitted: AtomicU64::new(0),
        }))
    }

    /// A place among the requests that are worked on, for a caller who is not known yet.
    ///
    /// # Errors
    /// [`ProblemKind::Unavailable`] where all are taken.
    pub fn request(&self) -> Result<Place, Problem> {
        self.enter(Kind::Request)
    }

    /// A place among the streams, for a caller who is not known yet.
    ///
    /// # Errors
    /// As [`Admission::request`].
    pub fn stream(&self) -> Result<Place, Problem> {
        self.enter(Kind::Stream)
    }

    fn enter(&self, kind: Kind) -> Result<Place, Problem> {
        self.0.room(kind).enter()?;
        Ok(Place { counted: self.0.clone(), kind, tenant: None })
    }
}

impl Counted {
    fn room(&self, kind: Kind) -> &Room {
        match kind {
            Kind::Request => &self.requests,
            Kind::Stream => &self.streams,
        }
    }

    fn count(&self, tenant: TenantId) -> Result<(), Problem> {
        if self.admitted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.rates.retain_recent();
        }
        self.rates.check_key(&tenant).map_err(|too_soon| {
            let wait = too_soon.wait_time_from(self.clock.now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::from_kind(ProblemKind::TooManyRequests).retry_after(seconds.max(1))
        })
    }
}

/// A place that is taken, until it is dropped.
#[must_use = "whoever drops it has left"]
pub struct Place {
    counted: Arc<Counted>,
    kind: Kind,
    tenant: Option<TenantId>,
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Place").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Place {
    /// It is this tenant's, now that the caller is known: counts one request of it, and one of the places that it may have.
    ///
    /// # Errors
    /// [`ProblemKind::TooManyRequests`], with when to come again.
    pub fn of(mut self, tenant: TenantId) -> Result<Self, Problem> {
        self.counted.count(tenant)?;
        self.counted.room(self.kind).belongs_to(tenant)?;
        self.tenant = Some(tenant);
        Ok(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted.room(self.kind).leave(self.tenant);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn options(most: usize, most_of_one: usize) -> AdmissionOptions {
        AdmissionOptions {
            requests: most,
            tenant_requests: most_of_one,
            streams: most,
            tenant_streams: most_of_one,
            ..AdmissionOptions::default()
        }
    }

    fn refused(outcome: Result<Place, Problem>) -> ProblemKind {
        outcome.unwrap_err().kind()
    }

    /// Shows X-9.
    #[test]
    fn one_tenant_cannot_take_every_place() {
        let admission = Admission::new(&options(4, 2));
        for enter in [Admission::request, Admission::stream] {
            let greedy: Vec<_> = (0..2).map(|_| enter(&admission).unwrap().of(tenant(1)).unwrap()).collect();
            assert_eq!(refused(enter(&admission).unwrap().of(tenant(1))), ProblemKind::TooManyRequests);
            let quiet = enter(&admission).unwrap().of(tenant(2)).unwrap();
            drop(greedy);
            let again = enter(&admission).unwrap().of(tenant(1)).unwrap();
            drop((quiet, again));
        }
    }

    #[test]
    fn a_place_is_taken_before_it_is_known_by_whom_and_comes_back_however_it_ends() {
        let admission = Admission::new(&options(2, 1));
        let unknown = admission.request().unwrap();
        let known = admission.request().unwrap().of(tenant(1)).unwrap();
        assert_eq!(refused(admission.request()), ProblemKind::Unavailable);
        assert!(admission.stream().is_ok(), "streams have places of their own");
        drop(known);
        // Refused as its tenant's, it is nobody's.
        let held = admission.request().unwrap().of(tenant(2)).unwrap();
        drop(unknown);
        assert_eq!(refused(admission.request().unwrap().of(tenant(2))), ProblemKind::TooManyRequests);
        drop(held);
        assert!(admission.0.requests.taken.lock().unwrap().of.is_empty(), "nobody is remembered");
        assert_eq!(admission.0.requests.taken.lock().unwrap().all, 0);
    }
}
