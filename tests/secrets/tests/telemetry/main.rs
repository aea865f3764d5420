//! One trace, seen in an OTLP receiver, from the request to the event; and nothing in it, nor in anything else that is exported, that says who
//! acted or what a secret is worth.
//!
//! It is a program of its own, since it takes every span of its process. Where `OTLP_COLLECTOR` names the program of a collector (`rotel start`'s
//! command line), all that is exported goes through it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

#[allow(dead_code, reason = "the receiver is shared, and this test asks for less of it")]
#[path = "../../../../runtime-adapters/telemetry/tests/export/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "the stage is shared, and this test asks for less of it")]
#[path = "../secrets/stage.rs"]
mod stage;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::Arc;

use factory_runtime::domain::envelope::{Envelope, TraceParent};
use factory_runtime::domain::secrets::SecretStatus;
use factory_runtime::ports::telemetry::{Follows, Instrument};
use factory_runtime::prelude::*;
use factory_runtime::services::secrets::RotationRequest;
use factory_runtime::telemetry::{Otlp, OtlpOptions};
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime_memory::Observed;
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_testkit::canary::Canary;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::receiver::{Receiver, text};
use crate::stage::{FIRST, ROTATED, Stage};

/// Who acts, and why, in words that are nowhere else.
const ACTOR: &str = "ada.lovelace-acts";
const REASON: &str = "because-charles-babbage-said-so";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A collector between the host and the receiver, ended with it.
struct Collector(Child);

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the collector that the environment names, and says where it listens; else the receiver itself is where to export to.
fn collector(receiver: &Receiver) -> (String, Option<Collector>) {
    let Some(program) = std::env::var_os("OTLP_COLLECTOR") else { return (receiver.endpoint(), None) };
    let free = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let (http, grpc) = (free(), free());
    let mut command = Command::new(program);
    command.args([
        "start",
        "--exporter",
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--batch-timeout",
        "200ms",
    ]);
    command.args(["--otlp-exporter-endpoint", &receiver.endpoint()]);
    command.args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()]);
    let child = command.spawn().expect("the collector starts");
    (format!("http://{http}"), Some(Collector(child)))
}

/// Shows.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_request_to_the_event_and_says_nothing_of_whoever_asked() {
    let receiver = Receiver::answering([]).await;
    let (endpoint, _collector) = collector(&receiver);
    let mut options = OtlpOptions::to(&endpoint, "deployment-service");
    options.targets.push(("telemetry".to_owned(), LevelFilter::INFO));
    options.every = Span::from_millis(50);
    options.metrics_every = Span::from_millis(200);
    options.attempts = 20;
    let otlp = Otlp::new(options, Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new()))
        .expect("an exporter");
    tracing_subscriber::registry().with(otlp.layer()).init();
    let (stop, stopped) = oneshot::channel::<()>();
    let exporting = otlp.clone();
    let exporting = tokio::spawn(async move { exporting.run(async { drop(stopped.await) }).await });

    let telemetry = otlp.telemetry();
    let mut stage = Stage::telling(Span::from_secs(60), telemetry.clone()).await;
    let actor = Actor::new(ACTOR).expect("an actor");
    let correlation = stage.runtime().host().new_correlation();
    stage.scope = TenantScope::authenticated(stage.scope.tenant(), actor, correlation);
    let binding = stage.bind("file:password", Span::from_millis(300)).await;
    let mut events = stage.embedded.bus().observe();

    // What a host does with a request that somebody else's trace comes with.
    let caller =
        TraceParent::new("00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01").expect("a parent");
    let request = info_span!("POST /runtime/deployments", otel.kind = "server", http.request.method = "POST");
    telemetry.traces.follow(&request, &caller, Follows::Child);
    let deployment = stage.request("1.0.0", "", 2, None).instrument(request).await;

    let mut published = Vec::new();
    while !published
        .iter()
        .any(|it: &Envelope<serde_json::Value>| it.event_type.name() == "RuntimeDeploymentCompleted")
    {
        let Observed::Event(event) = events.next().await.expect("an event") else {
            panic!("an event was missed")
        };
        let envelope = serde_json::from_str(&event.envelope).expect("an envelope");
        if event.aggregate_id == deployment.uuid() {
            published.push(envelope);
        }
    }
    let trace = receiver
        .until("the inventory's part of the trace, and every span's parent", |all| {
            let mine = all.spans.iter().filter(|it| hex(&it.trace_id) == caller.trace_id());
            let trace = Trace { spans: mine.cloned().collect(), caller: caller.clone() };
            let is_whole = trace.spans.iter().any(|span| {
                span.name == "process RuntimeDeploymentCompleted"
                    && text(&span.attributes, "messaging.destination.name") == Some("inventory")
            }) && trace.spans.iter().any(|span| {
                span.name.starts_with("RuntimeService") || {
                    span.name == "commit"
                        && text(&span.attributes, "factory.aggregate.kind") == Some("RuntimeService")
                }
            });
            // What is published is told before the span that it was committed in has ended.
            (is_whole && trace.orphan().is_none()).then_some(trace)
        })
        .await;
    trace.is_sound();
    trace.leads_from_the_request_to_the_event(&stage);
    for envelope in &published {
        let parent = envelope.trace_parent.as_ref().expect("a trace");
        assert_eq!(parent.trace_id(), trace.caller.trace_id());
        let of: Vec<_> = trace.spans.iter().filter(|span| hex(&span.span_id) == parent.parent_id()).collect();
        assert_eq!(of.len(), 1, "{} says which span raised it", envelope.event_type);
    }

    // The rest of a life: a rotation, a failure, and what people say.
    let (secrets, scope) = (stage.runtime().secrets(), &stage.scope);
    secrets.rotate(scope, binding, RotationRequest::because(REASON)).await.expect("accepted");
    stage.becomes(binding, SecretStatus::Bound).await;
    let failing = stage.request("2.0.0", "refuses-rotated", 1, None).await;
    let aborted = stage.runtime().deployments().abort(scope, failing, REASON.to_owned()).await;
    assert!(aborted.expect("aborted").changed);
    assert!(stage.runtime().deployments().pause(scope, failing, REASON.to_owned()).await.is_err(), "refused");
    drop(stage.close().await);
    stop.send(()).expect("the exporter runs");
    exporting.await.expect("the exporter ends");

    let metrics = otlp.metrics();
    tells_all_that_is_documented(&receiver, &metrics).await;
    tells_nothing_personal(&receiver, &metrics).await;
}

/// The spans of one trace.
struct Trace {
    spans: Vec<Exported>,
    caller: TraceParent,
}

impl Trace {
    fn known(&self) -> BTreeSet<&[u8]> {
        self.spans.iter().map(|span| span.span_id.as_slice()).collect()
    }

    /// A span whose parent is neither in the trace nor the caller.
    fn orphan(&self) -> Option<&Exported> {
        let known = self.known();
        self.spans.iter().find(|span| {
            hex(&span.parent_span_id) != self.caller.parent_id()
                && !known.contains(span.parent_span_id.as_slice())
        })
    }

    fn is_sound(&self) {
        assert_eq!(self.known().len(), self.spans.len(), "no span is told twice");
        assert!(self.spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
    }

    fn beneath<'t>(&'t self, parent: &'t Exported, name: &'t str) -> impl Iterator<Item = &'t Exported> {
        self.spans.iter().filter(move |span| span.parent_span_id == parent.span_id && span.name == name)
    }

    fn one<'t>(&'t self, parent: &'t Exported, name: &'t str) -> &'t Exported {
        let found = self.beneath(parent, name).next();
        found.unwrap_or_else(|| panic!("{name} is not beneath {}: {:?}", parent.name, self.names()))
    }

    fn names(&self) -> Vec<&str> {
        self.spans.iter().map(|span| span.name.as_str()).collect()
    }

    fn leads_from_the_request_to_the_event(&self, stage: &Stage) {
        let request =
            self.spans.iter().find(|span| span.name == "POST /runtime/deployments").expect("the request");
        assert_eq!(hex(&request.parent_span_id), self.caller.parent_id());
        assert_eq!(request.kind(), SpanKind::Server);
        let command = self.one(request, "RuntimeDeployment.Request");
        let told = |span: &Exported, name: &str| text(&span.attributes, name).map(str::to_owned);
        assert_eq!(told(command, "factory.tenant.id"), Some(stage.scope.tenant().to_string()));
        assert_eq!(told(command, "factory.correlation.id"), Some(stage.scope.correlation().to_string()));
        assert_eq!(told(command, "factory.environment.id"), Some(stage.environment.to_string()));
        assert_eq!(told(command, "factory.outcome").as_deref(), Some("done"));
        assert_eq!(
            told(self.one(command, "decide"), "factory.event").as_deref(),
            Some("RuntimeDeploymentRequested")
        );
        assert_eq!(told(self.one(command, "commit"), "factory.outcome").as_deref(), Some("committed"));
        // The reconciler's passes come of the command, by what was committed and nothing else.
        let passes: Vec<_> = self.beneath(command, "reconcile deployment").collect();
        assert!(!passes.is_empty(), "{:?}", self.names());
        for operation in ["surface.apply", "surface.shift_traffic"] {
            let effect = passes.iter().find_map(|pass| self.beneath(pass, operation).next());
            let effect = effect.unwrap_or_else(|| panic!("no {operation}: {:?}", self.names()));
            assert!(told(effect, "factory.effect.id").is_some());
            assert_eq!(told(effect, "factory.outcome").as_deref(), Some("ok"));
        }
        let last = passes
            .iter()
            .find(|pass| self.beneath(pass, "publish RuntimeDeploymentCompleted").next().is_some());
        let last = last.unwrap_or_else(|| panic!("no event comes of a pass: {:?}", self.names()));
        assert!(self.beneath(last, "commit").next().is_some());
        for (destination, name) in [
            ("bus", "publish RuntimeDeploymentCompleted"),
            ("inventory", "process RuntimeDeploymentCompleted"),
        ] {
            let mut published = self.beneath(last, name);
            let published = published
                .find(|span| told(span, "messaging.destination.name").as_deref() == Some(destination));
            assert_eq!(told(published.expect("published"), "factory.outcome").as_deref(), Some("taken"));
        }
    }
}

/// What is exported and what an endpoint shows are what the list says, and the measurements are there.
async fn tells_all_that_is_documented(receiver: &Receiver, metrics: &str) {
    let wanted = [
        Instrument::CommandDuration,
        Instrument::CommitDuration,
        Instrument::Events,
        Instrument::Leases,
        Instrument::PassDuration,
        Instrument::PassesActive,
        Instrument::DueLag,
        Instrument::PortCallDuration,
        Instrument::Rollouts,
        Instrument::Gates,
        Instrument::HealthVerdicts,
        Instrument::Rotations,
        Instrument::RelayLag,
        Instrument::RelayDeliveries,
    ];
    for instrument in wanted {
        let is_there = |all: &receiver::Received| {
            all.metrics.iter().any(|it| it.name == instrument.name()).then_some(())
        };
        receiver.until(instrument.name(), is_there).await;
        let name = factory_runtime::telemetry::prometheus_name(instrument);
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} is not shown");
    }
    receiver.look(|all| {
        for metric in &all.metrics {
            assert!(
                Instrument::ALL.iter().any(|it| it.name() == metric.name),
                "{} is in no list",
                metric.name
            );
        }
    });
    for line in [
        "factory_rollouts_total{factory_outcome=\"completed\"}",
        "factory_rotations_total{factory_outcome=\"rotated\"} 1",
        "factory_command=\"Request\",factory_outcome=\"done\"",
        "factory_operation=\"apply\",factory_outcome=\"ok\",factory_port=\"surface\"",
    ] {
        assert!(metrics.contains(line), "{line} is not in: {metrics}");
    }
}

/// Whatever is exported, and whatever an endpoint shows.
async fn tells_nothing_personal(receiver: &Receiver, metrics: &str) {
    let exported = receiver.look(|all| all.bodies.clone());
    assert!(exported.len() > 50_000, "too little was exported to show anything: {} bytes", exported.len());
    for (what, bytes) in [("what was exported", &exported[..]), ("the metrics endpoint", metrics.as_bytes())]
    {
        for secret in [FIRST, ROTATED] {
            assert_eq!(Canary::new(secret).expect("a canary").in_bytes(what, bytes), []);
        }
        for said in [ACTOR, REASON] {
            assert!(!contains(bytes, said), "{said} is in {what}");
        }
    }
    // Neither the endpoint nor an exported measurement says whose it is.
    for whose in ["ten_", "env_", "dep_", "svc_", "sec_"] {
        assert!(!metrics.contains(whose), "{whose} is in: {metrics}");
    }
    // The same look finds what is there.
    assert!(contains(&exported, "RuntimeDeploymentRequested"));
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
