//! Sources that say what they are told.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, PinnedImage};
use runtime_domain::drift::{Authoritative, DesiredStateRevision};
use runtime_domain::metric::{MetricName, MetricQuery, MetricReading};
use runtime_domain::scaling::{BurnReading, Reading};
use runtime_domain::surface::ComponentKey;
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::clock::Clock;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::metric::MetricSource;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use runtime_ports::{PortError, PortErrorKind, PortResult};

use super::lock;

/// Says what it is told: to every place the same desired state, of every component the same measure, of every request the same success. It
/// resolves images that are named by digest, and unpacks none. It measures nothing, and so makes no distinction that the suites of
/// [metrics](crate::conformance::metrics()) and [signals](crate::conformance::scaling_signals()) try.
#[derive(Clone)]
pub struct Said {
    clock: Arc<dyn Clock>,
    word: Arc<Mutex<Word>>,
}

#[derive(Debug)]
struct Word {
    desired: Option<(DesiredStateRevision, Arc<DesiredReleases>)>,
    measured: Measure,
    status: u16,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Said").field("word", &lock(&self.word)).finish_non_exhaustive()
    }
}

impl Said {
    /// Desires nothing, measures 0, and is answered 200.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let word = Word { desired: None, measured: Measure::from_units(0), status: 200 };
        Self { clock, word: Arc::new(Mutex::new(word)) }
    }

    /// From now on this is desired, everywhere.
    pub fn desires(&self, revision: DesiredStateRevision, releases: DesiredReleases) {
        lock(&self.word).desired = Some((revision, Arc::new(releases)));
    }

    /// From now on this is what services are scaled by.
    pub fn measures(&self, measured: Measure) {
        lock(&self.word).measured = measured;
    }

    /// From now on probes are answered with this status.
    pub fn answers(&self, status: u16) {
        lock(&self.word).status = status;
    }

    fn reading(&self) -> Reading {
        Reading::Measured { value: lock(&self.word).measured, observed_at: self.clock.now(), samples: 100 }
    }
}

#[async_trait]
impl DesiredStateSource for Said {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let said = lock(&self.word).desired.clone();
        let (revision, releases) = said.ok_or_else(|| {
            let message = "nothing was said to be desired: say it first";
            PortError::new(PortErrorKind::Unavailable, "desired_state.read", message)
        })?;
        Ok(Authoritative::from_revision(revision, place.tenant, place.environment, releases))
    }
}

#[async_trait]
impl ScalingSignals for Said {
    async fn signal(&self, _query: &SignalQuery) -> PortResult<Reading> {
        Ok(self.reading())
    }

    async fn burn(&self, _query: &BurnQuery) -> PortResult<BurnReading> {
        Ok(BurnReading { short: self.reading(), long: self.reading() })
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        std::future::pending().await
    }
}

#[async_trait]
impl MetricSource for Said {
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        let units = match &query.metric {
            MetricName::ErrorRate => 0,
            MetricName::RequestRate => 100,
            MetricName::LatencyP50 | MetricName::LatencyP99 | MetricName::Custom(_) => 1,
        };
        Ok(MetricReading {
            value: Some(Measure::from_units(units)),
            samples: 1_000,
            newest: Some(self.clock.now()),
        })
    }
}

#[async_trait]
impl HealthProber for Said {
    async fn probe(&self, _request: &ProbeRequest) -> PortResult<ProbeAnswer> {
        Ok(ProbeAnswer::Answered { status: lock(&self.word).status, latency: Span::from_millis(1) })
    }
}

#[async_trait]
impl ImageRegistry for Said {
    async fn resolve(&self, reference: &ImageReference) -> PortResult<PinnedImage> {
        reference.clone().try_into().map_err(|error| {
            let message = "only images that are named by digest are known here: name it so";
            PortError::new(PortErrorKind::NotFound, "registry.resolve", message).caused_by(error)
        })
    }

    async fn unpack(&self, _image: &PinnedImage, _destination: &Path) -> PortResult<Bundle> {
        Err(PortError::new(
            PortErrorKind::Unsupported,
            "registry.unpack",
            "nothing is run here: unpack nothing",
        ))
    }
}
