//! What an OTLP receiver sees of a host, and what a host feels of a receiver that is slow, full or away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use runtime_domain::envelope::TraceParent;
use runtime_domain::time::Span;
use runtime_ports::telemetry::{Follows, Instrument, Telemetry};
use runtime_system::{SystemClock, UuidV7Generator};
use runtime_telemetry::{Otlp, OtlpError, OtlpOptions};
use tokio::sync::oneshot;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing::{info, info_span};
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use receiver::{Answer, Receiver, text};

mod document;
mod receiver;

/// The exporter at work on this thread.
struct Stage {
    receiver: Receiver,
    otlp: Otlp,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
    _subscriber: DefaultGuard,
}

impl Stage {
    async fn set(answers: impl IntoIterator<Item = Answer>, change: impl FnOnce(&mut OtlpOptions)) -> Self {
        let receiver = Receiver::answering(answers).await;
        let mut options = OtlpOptions::to(&receiver.endpoint(), "tests");
        options.targets = vec![("export".to_owned(), LevelFilter::INFO)];
        options.every = Span::from_millis(10);
        options.metrics_every = Span::from_millis(20);
        change(&mut options);
        let otlp =
            Otlp::new(options, Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new())).unwrap();
        let subscriber = tracing_subscriber::registry().with(otlp.layer()).set_default();
        let (stop, stopped) = oneshot::channel::<()>();
        let exporting = otlp.clone();
        let running = tokio::spawn(async move { exporting.run(async { drop(stopped.await) }).await });
        Self { receiver, otlp, stop, running, _subscriber: subscriber }
    }

    fn telemetry(&self) -> Telemetry {
        self.otlp.telemetry()
    }

    async fn span(&self, name: &str) -> Exported {
        let found = |all: &receiver::Received| all.spans.iter().find(|span| span.name == name).cloned();
        self.receiver.until(name, found).await
    }

    /// Stops the exporter, and waits until it has ended.
    async fn stop(self) -> (Receiver, Otlp) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
        (self.receiver, self.otlp)
    }

    fn dropped(&self, signal: &str, outcome: &str) -> f64 {
        dropped(&self.otlp, signal, outcome)
    }
}

fn dropped(otlp: &Otlp, signal: &str, outcome: &str) -> f64 {
    let wanted = [("factory.signal", signal), ("factory.outcome", outcome)];
    let readings = otlp.telemetry().meter.read();
    let reading = readings.iter().find(|it| it.instrument == Instrument::TelemetryDropped).unwrap();
    let has = |kept: &[(&'static str, String)]| {
        wanted.iter().all(|(n, v)| kept.iter().any(|(k, w)| k == n && w == v))
    };
    let numbers = reading.series.iter().filter(|(kept, _)| has(kept)).map(|(_, series)| match series {
        runtime_ports::telemetry::Series::Number(number) => *number,
        other => panic!("{other:?}"),
    });
    numbers.sum()
}

fn parent() -> TraceParent {
    TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
}

#[tokio::test]
async fn a_span_is_exported_with_its_parent_attributes_and_lines_and_says_whose_it_is() {
    let stage = Stage::set([], |options| {
        options.headers = vec![("x-key".to_owned(), "k-1".to_owned())];
        options.resource = vec![("service.version".to_owned(), "7".to_owned())];
    })
    .await;
    {
        let outer = info_span!("outer", otel.kind = "server", later = Empty);
        let _entered = outer.enter();
        outer.record("later", "said");
        let _inner =
            info_span!("inner", otel.name = "Renamed", otel.status_code = "ERROR", number = 7).entered();
        info!(word = "w", "a line");
    }
    let (outer, inner) = (stage.span("outer").await, stage.span("Renamed").await);
    assert_eq!(inner.trace_id, outer.trace_id);
    assert_eq!(inner.parent_span_id, outer.span_id);
    assert!(outer.parent_span_id.is_empty() && outer.trace_id.len() == 16 && outer.span_id.len() == 8);
    assert_eq!((outer.kind(), inner.kind()), (SpanKind::Server, SpanKind::Internal));
    assert_eq!(text(&outer.attributes, "later"), Some("said"));
    assert_eq!(inner.status.as_ref().unwrap().code, 2);
    assert!(inner.start_time_unix_nano >= outer.start_time_unix_nano);
    assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano);
    let line = stage.receiver.until("the line", |all| all.logs.first().cloned()).await;
    assert_eq!((line.trace_id, line.span_id), (inner.trace_id, inner.span_id));
    assert_eq!((line.severity_number, text(&line.attributes, "word")), (9, Some("w")));
    stage.receiver.look(|all| {
        assert!(all.resources.iter().all(|it| text(&it.attributes, "service.name") == Some("tests")));
        assert!(all.resources.iter().all(|it| text(&it.attributes, "service.version") == Some("7")));
        assert!(all.headers.contains(&("x-key".to_owned(), "k-1".to_owned())));
    });
    assert!(!format!("{:?}", stage.otlp).contains("k-1"), "a key is shown to nobody");
}

#[tokio::test]
async fn a_span_continues_what_began_elsewhere_or_refers_to_it() {
    let stage = Stage::set([], |_| {}).await;
    let traces = stage.telemetry().traces;
    let child = info_span!("child");
    traces.follow(&child, &parent(), Follows::Child);
    let told = child.in_scope(|| {
        let beneath = info_span!("beneath");
        // Its place is decided, so it stays there, and refers to what comes later.
        let told = traces.current().unwrap();
        traces.follow(
            &child,
            &TraceParent::new("00-00000000000000000000000000000001-0000000000000002-01").unwrap(),
            Follows::Child,
        );
        drop(beneath);
        told
    });
    drop(child);
    let later = info_span!("later");
    traces.follow(&later, &parent(), Follows::Link);
    drop(later);
    assert_eq!(traces.current(), None, "outside of any span");

    let (child, beneath, later) =
        (stage.span("child").await, stage.span("beneath").await, stage.span("later").await);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&child.trace_id), parent().trace_id());
    assert_eq!(hex(&child.parent_span_id), parent().parent_id());
    assert_eq!((told.trace_id(), told.parent_id()), (&*hex(&child.trace_id), &*hex(&child.span_id)));
    assert_eq!((&beneath.trace_id, &beneath.parent_span_id), (&child.trace_id, &child.span_id));
    assert_eq!(child.links.len(), 1);
    assert_ne!(hex(&later.trace_id), parent().trace_id());
    assert_eq!(hex(&later.links.first().unwrap().trace_id), parent().trace_id());
}

#[tokio::test]
async fn a_span_that_only_others_take_is_in_the_trace_around_it() {
    let stage = Stage::set([], |_| {}).await;
    // The exporter takes what is told from `INFO` on; this subscriber takes everything.
    let _wide = tracing_subscriber::registry()
        .with(tracing_subscriber::layer::Identity::new().with_filter(LevelFilter::TRACE))
        .with(stage.otlp.layer())
        .set_default();
    let told = info_span!("around").in_scope(|| {
        tracing::trace_span!("others").in_scope(|| {
            let told = stage.telemetry().traces.current().unwrap();
            drop(info_span!("beneath"));
            told
        })
    });
    let (around, beneath) = (stage.span("around").await, stage.span("beneath").await);
    assert_eq!(beneath.parent_span_id, around.span_id);
    let hex: String = around.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told.parent_id(), hex);
}

#[tokio::test]
async fn what_is_not_recorded_elsewhere_is_not_recorded_here_and_says_so() {
    let stage = Stage::set([], |_| {}).await;
    let traces = stage.telemetry().traces;
    let unrecorded = TraceParent::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
    let span = info_span!("unrecorded");
    traces.follow(&span, &unrecorded, Follows::Child);
    span.in_scope(|| assert!(!traces.current().unwrap().is_sampled()));
    drop(span);
    drop(info_span!("recorded"));
    stage.span("recorded").await;
    let (receiver, _) = stage.stop().await;
    receiver.look(|all| assert_eq!(all.spans.len(), 1));
}

#[tokio::test]
async fn a_pass_that_changes_nothing_is_left_out_with_all_beneath_it() {
    let stage = Stage::set([], |_| {}).await;
    let pass = |name: &'static str| {
        info_span!("pass", otel.name = name, factory.idle = true, otel.status_code = Empty)
    };
    pass("idle").in_scope(|| drop(info_span!("looked")));
    pass("worked").in_scope(|| drop(info_span!("effect", factory.effect.id = "e1")));
    pass("committed").in_scope(|| drop(info_span!("commit", factory.events = 2_u64)));
    pass("nothing").in_scope(|| drop(info_span!("empty", factory.events = 0_u64)));
    pass("failed").in_scope(|| {
        tracing::Span::current().record("otel.status_code", "ERROR");
    });
    stage.span("failed").await;
    let (receiver, _) = stage.stop().await;
    receiver.look(|all| {
        let names: Vec<&str> = all.spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["effect", "worked", "commit", "committed", "failed"]);
    });
}

#[tokio::test]
async fn who_acts_and_what_people_wrote_is_withheld_and_texts_are_cut() {
    let stage = Stage::set([], |_| {}).await;
    let ada = "ada-the-actor";
    let long = "x".repeat(100_000);
    info_span!("told", actor = ada, by = %ada, purpose = ?ada, explanation = ada, long, kept = "kept")
        .in_scope(|| {
            info!(actor = ada, purpose = %ada, "a line");
        });
    let span = stage.span("told").await;
    assert_eq!(text(&span.attributes, "kept"), Some("kept"));
    assert_eq!(text(&span.attributes, "long").unwrap().len(), 1_024);
    let (receiver, _) = stage.stop().await;
    receiver.look(|all| {
        assert!(!all.logs.is_empty());
        assert!(!all.bodies.windows(ada.len()).any(|bytes| bytes == ada.as_bytes()));
    });
}

#[tokio::test]
async fn metrics_are_exported_as_they_are_shown_at_an_endpoint() {
    let stage = Stage::set([], |_| {}).await;
    let meter = stage.telemetry().meter;
    meter.record(Instrument::Gates, 1.0, &[("factory.outcome", "passed")]);
    meter.record(Instrument::RelayLag, 0.3, &[("factory.destination", "bus")]);
    let names = |all: &receiver::Received| {
        let find = |name: &str| all.metrics.iter().find(|metric| metric.name == name).cloned();
        find("factory.gates").zip(find("factory.relay.lag"))
    };
    let (gates, lag) = stage.receiver.until("metrics", names).await;
    assert_eq!((gates.unit.as_str(), lag.unit.as_str()), ("{gate}", "s"));
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let Some(Data::Sum(sum)) = gates.data else { panic!("{gates:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let Some(Data::Histogram(histogram)) = lag.data else { panic!("{lag:?}") };
    let point = histogram.data_points.first().unwrap();
    assert_eq!((point.count, point.bucket_counts.len()), (1, point.explicit_bounds.len() + 1));
    assert!(stage.otlp.metrics().contains("factory_gates_total{factory_outcome=\"passed\"} 1"));
}

#[tokio::test]
async fn a_busy_receiver_is_asked_again_and_what_it_refuses_is_counted() {
    let answers = [
        Answer::Status(503, None),
        Answer::Status(429, Some(0)),
        Answer::Taken,
        Answer::Partly(1),
        Answer::Status(400, None),
    ];
    let stage = Stage::set(answers, |options| options.metrics_every = Span::from_secs(3_600)).await;
    drop(info_span!("first"));
    stage.span("first").await;
    stage.receiver.look(|all| assert_eq!(all.requests, 3));
    drop(info_span!("second"));
    stage.span("second").await;
    drop(info_span!("third"));
    stage.receiver.until("the third request", |all| (all.requests == 5).then_some(())).await;
    drop(info_span!("fourth"));
    stage.span("fourth").await;
    assert_eq!(stage.dropped("traces", "refused"), 2.0, "one partly, one wholly");
    assert_eq!(stage.dropped("traces", "unreachable"), 0.0);
    stage.receiver.look(|all| assert_eq!(all.spans.iter().filter(|span| span.name == "first").count(), 1));
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_nobody_and_stopping_is_bounded() {
    let silent = std::iter::repeat_n(Answer::Silent, 1_000);
    let stage = Stage::set(silent, |options| {
        options.room = 100;
        options.batch = 50;
        options.timeout = Span::from_secs(600);
        options.flush_within = Span::from_millis(100);
    })
    .await;
    let began = std::time::Instant::now();
    for _ in 0..10_000 {
        drop(info_span!("spoken"));
    }
    assert!(began.elapsed().as_secs() < 20, "nobody waited");
    tokio::task::yield_now().await;
    let (_, otlp) = stage.stop().await;
    assert!(began.elapsed().as_secs() < 30, "stopping was bounded");
    let lost = dropped(&otlp, "traces", "full") + dropped(&otlp, "traces", "unreachable");
    assert_eq!(lost, 10_000.0, "all that was not exported is counted");
}

#[tokio::test]
async fn what_waits_is_exported_before_the_host_ends() {
    let stage = Stage::set([], |options| {
        options.every = Span::from_secs(3_600);
        options.metrics_every = Span::from_secs(3_600);
    })
    .await;
    for _ in 0..700 {
        drop(info_span!("late"));
    }
    stage.telemetry().meter.record(Instrument::Gates, 1.0, &[]);
    let (receiver, otlp) = stage.stop().await;
    receiver.look(|all| {
        assert_eq!(all.spans.len(), 700);
        assert_eq!(all.metrics.iter().filter(|metric| metric.name == "factory.gates").count(), 1);
    });
    assert_eq!(dropped(&otlp, "traces", "full"), 0.0);
}

#[test]
fn what_cannot_be_exported_to_is_refused_and_no_password_is_told() {
    let refused = |change: &dyn Fn(&mut OtlpOptions)| {
        let mut options = OtlpOptions::to("http://127.0.0.1:4318", "tests");
        change(&mut options);
        Otlp::new(options, Arc::new(SystemClock::new()), Arc::new(UuidV7Generator::new())).unwrap_err()
    };
    for endpoint in ["", "collector", "ftp://collector", "http://", "http://user:pass-word@collector"] {
        let error = refused(&|options| options.endpoint = endpoint.to_owned());
        assert!(matches!(error, OtlpError::Endpoint { .. }), "{endpoint}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("pass-word"));
    }
    let header = refused(&|options| options.headers = vec![("x-key".to_owned(), "sec\nret".to_owned())]);
    assert!(matches!(header, OtlpError::Header { .. }) && !format!("{header:?}").contains("ret\""));
    assert!(matches!(refused(&|options| options.sampled = 1.5), OtlpError::Share));
    assert!(matches!(refused(&|options| options.sampled = f64::NAN), OtlpError::Share));
}
