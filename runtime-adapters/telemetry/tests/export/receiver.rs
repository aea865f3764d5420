//! A receiver of OTLP over HTTP, upon the official messages.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What a receiver answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// It takes everything.
    Taken,
    /// It takes all but so many.
    Partly(i64),
    /// A status, and after how many seconds it wants to be asked again.
    Status(u16, Option<u32>),
    /// Nothing, ever.
    Silent,
}

/// All that came.
#[derive(Debug, Default)]
pub struct Received {
    pub resources: Vec<Resource>,
    pub spans: Vec<Span>,
    pub logs: Vec<LogRecord>,
    pub metrics: Vec<Metric>,
    /// Every body, as it came.
    pub bodies: Vec<u8>,
    /// The headers of every request, without their order.
    pub headers: Vec<(String, String)>,
    pub requests: usize,
}

#[derive(Default)]
struct Inner {
    received: Mutex<Received>,
    answers: Mutex<VecDeque<Answer>>,
    arrived: Notify,
}

/// A receiver on a loopback port.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

impl Receiver {
    /// Answers as it is told, one request after the other, and then takes everything.
    pub async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner =
            Arc::new(Inner { answers: Mutex::new(answers.into_iter().collect()), ..Inner::default() });
        let serving = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request| answer(Arc::clone(&serving), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, inner }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at what came.
    pub fn look<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.inner.received.lock().expect("unpoisoned"))
    }

    /// Waits until what came is as it should be, for at most a minute.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&Received) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let arrived = self.inner.arrived.notified();
                if let Some(found) = self.look(&mut look) {
                    return found;
                }
                arrived.await;
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come: {}", self.look(|all| names(&all.spans))),
        }
    }
}

fn names(spans: &[Span]) -> String {
    spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>().join(", ")
}

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    assert_eq!(request.headers().get(CONTENT_TYPE).expect("a type"), "application/x-protobuf");
    let is_gzip = request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let body = if is_gzip { unpacked(&body) } else { body };
    let answer = inner.answers.lock().expect("unpoisoned").pop_front().unwrap_or(Answer::Taken);
    if let Answer::Silent = answer {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(Full::default());
    {
        let mut received = inner.received.lock().expect("unpoisoned");
        received.requests += 1;
        received.headers.extend(headers);
        match answer {
            Answer::Status(status, after) => {
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                if let Some(after) = after {
                    response.headers_mut().insert(RETRY_AFTER, after.into());
                }
            }
            _ => keep(&mut received, &path, body),
        }
        if let Answer::Partly(rejected_spans) = answer {
            let partial_success =
                Some(ExportTracePartialSuccess { rejected_spans, error_message: "no room".to_owned() });
            let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            *response.body_mut() = Full::from(answer);
        }
    }
    inner.arrived.notify_waiters();
    Ok(response)
}

fn unpacked(body: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
    plain.into()
}

fn keep(received: &mut Received, path: &str, body: Bytes) {
    received.bodies.extend_from_slice(&body);
    match path {
        "/v1/traces" => {
            for of in ExportTraceServiceRequest::decode(body).expect("traces").resource_spans {
                received.resources.extend(of.resource);
                received.spans.extend(of.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        "/v1/logs" => {
            for of in ExportLogsServiceRequest::decode(body).expect("logs").resource_logs {
                received.resources.extend(of.resource);
                received.logs.extend(of.scope_logs.into_iter().flat_map(|scope| scope.log_records));
            }
        }
        "/v1/metrics" => {
            for of in ExportMetricsServiceRequest::decode(body).expect("metrics").resource_metrics {
                received.resources.extend(of.resource);
                received.metrics.extend(of.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
            }
        }
        other => panic!("no such path: {other}"),
    }
}

/// An attribute's text.
pub fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}
