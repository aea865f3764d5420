//! Sends what waits to the receiver.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::clock::{Clock, IdGenerator};
use runtime_ports::telemetry::{InProcessMeter, Instrument, Meter, Telemetry};
use tokio::sync::{Notify, watch};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::layer::{Core, Layer, Traces};
use crate::message;
use crate::options::{OtlpError, OtlpOptions};
use crate::prometheus::prometheus;
use crate::queue::Queue;
use crate::trace::Sampler;

/// How long to wait before a request is sent again, the first time; then twice as long each.
const PAUSE: Span = Span::from_millis(200);
/// The longest wait that a receiver is granted.
const LONGEST_PAUSE: Span = Span::from_secs(30);

/// Telemetry of one host, exported by OTLP. Cheap to clone.
#[derive(Clone)]
pub struct Otlp {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    meter: Arc<InProcessMeter>,
    filled: Arc<Notify>,
    client: Client,
    traces: Url,
    logs: Url,
    metrics: Url,
    resource: Resource,
    options: OtlpOptions,
    started: Timestamp,
}

impl std::fmt::Debug for Otlp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Otlp").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

/// Why something was not exported.
enum Lost {
    /// The receiver does not take it.
    Refused,
    /// The receiver could not be reached, or went on being busy.
    Unreachable,
}

impl Lost {
    const fn word(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Otlp {
    /// Telemetry that goes where `options` say. Nothing is sent before it is [run](Self::run).
    ///
    /// # Errors
    /// The address, a header or the share of traces is none, or the client for TLS cannot be made.
    pub fn new(
        options: OtlpOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdGenerator>,
    ) -> Result<Self, OtlpError> {
        if !(0.0..=1.0).contains(&options.sampled) {
            return Err(OtlpError::Share);
        }
        let [traces, logs, metrics] = addresses(&options.endpoint)?;
        let client = Client::builder()
            .default_headers(headers(&options.headers)?)
            .timeout(options.timeout.to_std())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(OtlpError::Client)?;
        let meter = Arc::new(InProcessMeter::default());
        let filled = Arc::new(Notify::new());
        let (room, batch) = (options.room, options.batch);
        let core = Core {
            sampler: Sampler::of(options.sampled),
            keeps_idle: options.idle_passes,
            spans: Queue::new("traces", room, batch, Arc::clone(&meter) as _, Arc::clone(&filled)),
            lines: Queue::new("logs", room, batch, Arc::clone(&meter) as _, Arc::clone(&filled)),
            clock,
            ids,
        };
        let (resource, started) = (message::resource(&options), core.clock.now());
        let core = Arc::new(core);
        let inner = Inner { core, meter, filled, client, traces, logs, metrics, resource, options, started };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The layer of the host's subscriber. It takes what [`OtlpOptions::targets`] name, and nothing of its own exports.
    pub fn layer<S>(&self) -> impl tracing_subscriber::Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    {
        let targets = Targets::new().with_targets(self.inner.options.targets.clone());
        let targets = targets.with_target("runtime_telemetry", LevelFilter::OFF);
        Layer::new(Arc::clone(&self.inner.core)).with_filter(targets)
    }

    /// What the host tells of itself with: give it to the host.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry {
            meter: Arc::clone(&self.inner.meter) as _,
            traces: Arc::new(Traces::new(Arc::clone(&self.inner.core))),
        }
    }

    /// The metrics in Prometheus' text format, as [`prometheus`] writes them.
    pub fn metrics(&self) -> String {
        prometheus(&self.inner.meter.read())
    }

    /// Exports until `shutdown` is ready, then what waits, within [`OtlpOptions::flush_within`]. What cannot be exported by then is dropped and
    /// counted. Let it end after the host has.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let inner = &*self.inner;
        let (stop, stopped) = watch::channel(false);
        let exporting = async {
            inner.export_until(stopped).await;
            inner.export_waiting().await;
            inner.export_metrics().await;
        };
        tokio::pin!(exporting);
        tokio::pin!(shutdown);
        tokio::select! {
            () = &mut shutdown => {}
            () = &mut exporting => {}
        }
        // What is under way is not cut off, but for the deadline.
        stop.send_replace(true);
        let deadline = inner.options.flush_within.after(inner.core.clock.now());
        tokio::select! {
            biased;
            () = exporting => {}
            () = inner.core.clock.sleep_until(deadline) => {}
        }
        inner.core.spans.clear("unreachable");
        inner.core.lines.clear("unreachable");
    }
}

impl Inner {
    async fn export_until(&self, mut stopped: watch::Receiver<bool>) {
        let mut metrics_at = self.options.metrics_every.after(self.core.clock.now());
        loop {
            let until = self.options.every.after(self.core.clock.now());
            tokio::select! {
                _ = stopped.wait_for(|is_so| *is_so) => return,
                () = self.core.clock.sleep_until(until) => {}
                () = self.filled.notified() => {}
            }
            self.export_waiting().await;
            let now = self.core.clock.now();
            if now >= metrics_at {
                metrics_at = self.options.metrics_every.after(now);
                self.export_metrics().await;
            }
        }
    }

    /// All that waits by now. What comes meanwhile has its turn later, so that no signal keeps another from being exported.
    async fn export_waiting(&self) {
        let batches = |waiting: usize| waiting.div_ceil(self.options.batch.max(1));
        for _ in 0..batches(self.core.spans.len()) {
            let mut taken = Taken::of(&self.core.spans);
            let spans = std::mem::take(&mut taken.items);
            let many = spans.len();
            let request = message::traces(self.resource.clone(), spans).encode_to_vec();
            let answer = self.send(&self.traces, request).await;
            let rejected = |body: &[u8]| {
                let answer = ExportTraceServiceResponse::decode(body).ok();
                answer.and_then(|it| it.partial_success).map_or(0, |partial| partial.rejected_spans)
            };
            taken.answered(answer, many, rejected);
        }
        for _ in 0..batches(self.core.lines.len()) {
            let mut taken = Taken::of(&self.core.lines);
            let lines = std::mem::take(&mut taken.items);
            let many = lines.len();
            let request = message::logs(self.resource.clone(), lines).encode_to_vec();
            let answer = self.send(&self.logs, request).await;
            let rejected = |body: &[u8]| {
                let answer = ExportLogsServiceResponse::decode(body).ok();
                answer.and_then(|it| it.partial_success).map_or(0, |partial| partial.rejected_log_records)
            };
            taken.answered(answer, many, rejected);
        }
    }

    /// The sums are from the start, so that what is lost once is told the next time.
    async fn export_metrics(&self) {
        let now = self.core.clock.now();
        let readings = self.meter.read();
        if readings.iter().all(|reading| reading.series.is_empty()) {
            return;
        }
        let request = message::metrics(self.resource.clone(), readings, self.started, now).encode_to_vec();
        if let Err(lost) = self.send(&self.metrics, request).await {
            let attributes = [("factory.signal", "metrics"), ("factory.outcome", lost.word())];
            self.meter.record(Instrument::TelemetryDropped, 1.0, &attributes);
        }
    }

    /// Sends a request, and again where the receiver cannot be reached or is busy.
    async fn send(&self, to: &Url, request: Vec<u8>) -> Result<Vec<u8>, Lost> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let (lost, asked) = match self.once(to, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if matches!(lost, Lost::Refused) || attempt >= self.options.attempts {
                tracing::warn!(
                    signal = to.path(),
                    outcome = lost.word(),
                    attempt,
                    "telemetry was not exported"
                );
                return Err(lost);
            }
            let wait = asked.unwrap_or(pause).min(LONGEST_PAUSE);
            self.core.clock.sleep_until(wait.after(self.core.clock.now())).await;
            pause = pause.times(2);
            attempt += 1;
        }
    }

    async fn once(&self, to: &Url, request: Vec<u8>) -> Result<Vec<u8>, (Lost, Option<Span>)> {
        let unreachable = |_| (Lost::Unreachable, None);
        let request = self.client.post(to.clone()).body(request);
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return answer.bytes().await.map(|bytes| bytes.to_vec()).map_err(unreachable);
        }
        let is_busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        if !is_busy.contains(&status) {
            return Err((Lost::Refused, None));
        }
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Err((Lost::Unreachable, asked.and_then(|seconds| seconds.parse().ok()).map(Span::from_secs)))
    }
}

/// What was taken from a queue to be sent. Where nobody is left to see it answered, it counts as dropped.
struct Taken<'q, T> {
    queue: &'q Queue<T>,
    items: Vec<T>,
    unanswered: usize,
}

impl<'q, T> Taken<'q, T> {
    fn of(queue: &'q Queue<T>) -> Self {
        let items = queue.take();
        let unanswered = items.len();
        Self { queue, items, unanswered }
    }

    fn answered(mut self, answer: Result<Vec<u8>, Lost>, many: usize, rejected: impl FnOnce(&[u8]) -> i64) {
        self.unanswered = 0;
        match answer {
            Ok(body) => {
                let rejected = usize::try_from(rejected(&body)).unwrap_or_default();
                self.queue.dropped(rejected.min(many), "refused");
            }
            Err(lost) => self.queue.dropped(many, lost.word()),
        }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.queue.dropped(self.unanswered, "unreachable");
    }
}

fn addresses(endpoint: &str) -> Result<[Url; 3], OtlpError> {
    let base = Url::parse(endpoint.trim_end_matches('/')).ok();
    let refused = |endpoint: &str| OtlpError::Endpoint { endpoint: endpoint.to_owned() };
    let base = base.ok_or_else(|| refused("what was given"))?;
    if base.password().is_some() || !base.username().is_empty() {
        return Err(refused("an address with a password"));
    }
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(refused(endpoint));
    }
    let below = |signal: &str| {
        let mut address = base.clone();
        address.set_path(&format!("{}/v1/{signal}", base.path().trim_end_matches('/')));
        address
    };
    Ok([below("traces"), below("logs"), below("metrics")])
}

fn headers(wanted: &[(String, String)]) -> Result<HeaderMap, OtlpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted {
        let refused = || OtlpError::Header { name: name.clone() };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}
