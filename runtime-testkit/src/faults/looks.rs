//! What is only looked at or read, some of whose calls meet a fault.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::{ImageReference, PinnedImage};
use runtime_domain::drift::Authoritative;
use runtime_domain::metric::{MetricQuery, MetricReading};
use runtime_domain::scaling::{BurnReading, Reading};
use runtime_domain::surface::ComponentKey;
use runtime_domain::value::Measure;
use runtime_ports::PortResult;
use runtime_ports::desired_state::{DesiredPlace, DesiredReleases, DesiredStateSource};
use runtime_ports::metric::MetricSource;
use runtime_ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use runtime_ports::registry::{Bundle, ImageRegistry};
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};

use super::{Call, Faults, Spoil};

impl Faults {
    /// The same prober, whose calls meet these faults.
    pub fn prober(&self, inner: Arc<dyn HealthProber>) -> Arc<dyn HealthProber> {
        Arc::new(Faulty { inner, faults: self.clone() })
    }

    /// The same metrics, whose calls meet these faults.
    pub fn metrics(&self, inner: Arc<dyn MetricSource>) -> Arc<dyn MetricSource> {
        Arc::new(Faulty { inner, faults: self.clone() })
    }

    /// The same signals, whose calls meet these faults.
    pub fn scaling_signals(&self, inner: Arc<dyn ScalingSignals>) -> Arc<dyn ScalingSignals> {
        Arc::new(Faulty { inner, faults: self.clone() })
    }

    /// The same registry, whose calls meet these faults.
    pub fn registry(&self, inner: Arc<dyn ImageRegistry>) -> Arc<dyn ImageRegistry> {
        Arc::new(Faulty { inner, faults: self.clone() })
    }

    /// The same desired state, whose calls meet these faults.
    pub fn desired_state(&self, inner: Arc<dyn DesiredStateSource>) -> Arc<dyn DesiredStateSource> {
        Arc::new(Faulty { inner, faults: self.clone() })
    }
}

struct Faulty<P: ?Sized> {
    inner: Arc<P>,
    faults: Faults,
}

#[async_trait]
impl HealthProber for Faulty<dyn HealthProber> {
    async fn probe(&self, request: &ProbeRequest) -> PortResult<ProbeAnswer> {
        let call = Call::of("prober.probe", format!("{} {:?}", request.address, request.path));
        let garbage = |answer| match answer {
            ProbeAnswer::Answered { latency, .. } => ProbeAnswer::Answered { status: 0, latency },
            silent @ ProbeAnswer::Silent { .. } => silent,
        };
        let part = |_| ProbeAnswer::Silent { reason: "the answer was cut off, on purpose".to_owned() };
        self.faults.read(call, Spoil::part(part).garbage(garbage), self.inner.probe(request)).await
    }
}

fn negative() -> Measure {
    Measure::from_units(-1)
}

#[async_trait]
impl MetricSource for Faulty<dyn MetricSource> {
    async fn read(&self, query: &MetricQuery) -> PortResult<MetricReading> {
        let call = Call::of("metrics.read", format!("{} {}", query.revision, query.metric));
        let part = |reading: MetricReading| MetricReading { samples: reading.samples / 2, ..reading };
        let garbage = |reading: MetricReading| MetricReading { value: Some(negative()), ..reading };
        self.faults.read(call, Spoil::part(part).garbage(garbage), self.inner.read(query)).await
    }
}

fn few(reading: Reading) -> Reading {
    match reading {
        Reading::Measured { value, observed_at, .. } => Reading::Measured { value, observed_at, samples: 0 },
        missing @ Reading::Missing { .. } => missing,
    }
}

fn nonsense(reading: Reading) -> Reading {
    match reading {
        Reading::Measured { observed_at, samples, .. } => {
            Reading::Measured { value: negative(), observed_at, samples }
        }
        missing @ Reading::Missing { .. } => missing,
    }
}

#[async_trait]
impl ScalingSignals for Faulty<dyn ScalingSignals> {
    async fn signal(&self, query: &SignalQuery) -> PortResult<Reading> {
        let call = Call::of("scaling_signals.signal", format!("{} {:?}", query.key, query.metric));
        self.faults.read(call, Spoil::part(few).garbage(nonsense), self.inner.signal(query)).await
    }

    async fn burn(&self, query: &BurnQuery) -> PortResult<BurnReading> {
        let call = Call::of("scaling_signals.burn", &query.key);
        let part = |burn: BurnReading| BurnReading { short: few(burn.short), long: few(burn.long) };
        let garbage =
            |burn: BurnReading| BurnReading { short: nonsense(burn.short), long: nonsense(burn.long) };
        self.faults.read(call, Spoil::part(part).garbage(garbage), self.inner.burn(query)).await
    }

    async fn waiting(&self) -> Vec<ComponentKey> {
        self.faults.wait("scaling_signals.waiting", self.inner.waiting()).await
    }
}

#[async_trait]
impl ImageRegistry for Faulty<dyn ImageRegistry> {
    async fn resolve(&self, reference: &ImageReference) -> PortResult<PinnedImage> {
        let call = Call::of("registry.resolve", reference);
        self.faults.read(call, Spoil::NOTHING, self.inner.resolve(reference)).await
    }

    async fn unpack(&self, image: &PinnedImage, destination: &Path) -> PortResult<Bundle> {
        let call = Call::of("registry.unpack", image.reference());
        self.faults.change(call, || self.inner.unpack(image, destination)).await
    }
}

#[async_trait]
impl DesiredStateSource for Faulty<dyn DesiredStateSource> {
    async fn read(&self, place: &DesiredPlace) -> PortResult<Authoritative<Arc<DesiredReleases>>> {
        let call = Call::of("desired_state.read", format!("{} {}", place.tenant, place.environment));
        // Evidence is not copied, so that it is never stale; half of it would be evidence of what nobody said.
        self.faults.change_once(call, self.inner.read(place)).await
    }
}
