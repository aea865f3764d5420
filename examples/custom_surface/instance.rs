//! One replica: a task that serves HTTP on a loopback port of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factory_runtime::domain::component::HttpProbeSpec;
use factory_runtime::domain::surface::{InstanceObservation, InstanceState, RevisionSpec};
use factory_runtime::domain::time::Span;
use factory_runtime::ports::prober::{HealthProber, ProbeAnswer, ProbeRequest};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What the workload says where it is broken, which is when its readiness fails.
pub const BROKEN: &str = "broken";

/// A replica. Dropped, it ends at once; told to drain, it ends after the requests that it has.
pub struct Instance {
    name: String,
    address: SocketAddr,
    is_ready: Arc<AtomicBool>,
    /// No new requests are taken once this is cancelled.
    drain: CancellationToken,
    /// The requests under way, and whoever takes new ones.
    work: TaskTracker,
    _ended_when_dropped: DropGuard,
}

impl Instance {
    /// Starts a replica that says `greeting`.
    pub async fn start(
        name: String,
        spec: &RevisionSpec,
        greeting: Arc<str>,
        prober: Arc<dyn HealthProber>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (drain, end, work) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        // Without a probe it is ready as soon as it listens.
        let is_ready = Arc::new(AtomicBool::new(spec.component.readiness.is_none()));
        if let Some(probe) = spec.component.readiness.clone() {
            let judged = judge(prober, probe, address, Arc::clone(&is_ready));
            tokio::spawn(end.clone().run_until_cancelled_owned(judged));
        }
        let grace = spec.component.termination_grace;
        let serving = serve(listener, greeting, drain.clone(), work.clone(), grace);
        work.spawn(end.clone().run_until_cancelled_owned(serving));
        work.close();
        Ok(Self { name, address, is_ready, drain, work, _ended_when_dropped: end.drop_guard() })
    }

    /// Takes no new requests, and ends once those under way are answered.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether it was told to end, and has.
    pub fn has_ended(&self) -> bool {
        self.drain.is_cancelled() && self.work.is_empty()
    }

    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Where requests go, where it may be sent any.
    pub fn ready_at(&self) -> Option<SocketAddr> {
        (!self.is_draining() && self.is_ready.load(Ordering::Relaxed)).then_some(self.address)
    }

    pub fn observe(&self, spec: &RevisionSpec) -> InstanceObservation {
        let state = match () {
            () if self.is_draining() => InstanceState::Draining,
            () if self.ready_at().is_some() => InstanceState::Ready,
            () => InstanceState::NotReady,
        };
        InstanceObservation {
            name: self.name.clone(),
            state,
            restarts: 0,
            address: Some(self.address.to_string()),
            configuration: spec.configuration.as_ref().map(|delivered| delivered.to_version_ref()),
            secrets: [].into(),
        }
    }
}

/// Asks again and again whether the replica may be sent requests. Silence and errors say that it may not.
async fn judge(
    prober: Arc<dyn HealthProber>,
    probe: HttpProbeSpec,
    address: SocketAddr,
    is_ready: Arc<AtomicBool>,
) {
    let request = ProbeRequest { address: address.to_string(), path: probe.path, timeout: probe.timeout };
    let mut tick = tokio::time::interval(probe.period.to_std());
    loop {
        tick.tick().await;
        let answer = prober.probe(&request).await;
        let passed = matches!(answer, Ok(ProbeAnswer::Answered { status: 200..=299, .. }));
        is_ready.store(passed, Ordering::Relaxed);
    }
}

async fn serve(
    listener: TcpListener,
    greeting: Arc<str>,
    drain: CancellationToken,
    work: TaskTracker,
    grace: Span,
) {
    loop {
        let accepted = tokio::select! {
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            work.spawn(tokio::time::timeout(grace.to_std(), answer(stream, Arc::clone(&greeting))));
        }
    }
}

/// One connection carries one request, so that whoever is told to drain has nothing to wait for but answers.
async fn answer(stream: TcpStream, greeting: Arc<str>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let is_well = request.uri().path() != "/ready" || &*greeting != BROKEN;
        let mut response = Response::new(Full::new(Bytes::from(greeting.to_string())));
        *response.status_mut() = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that leaves is no concern of the replica.
    drop(http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await);
}
