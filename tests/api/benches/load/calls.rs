//! Unary calls of gRPC, one after another, each client on a connection of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::client::Measured;
use crate::host::Host;

/// What is called.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    Get,
    Change,
}

impl Call {
    pub const ALL: [Self; 2] = [Self::Get, Self::Change];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Change => "change",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::Get => "GetEnvironment",
            Self::Change => "ChangeProtection",
        }
    }

    /// The message in its frame: the environment is the first field, whether it is protected the second.
    fn frame(self, environment: &str, number: u64) -> Bytes {
        let mut message = vec![0x0a, u8::try_from(environment.len()).unwrap()];
        message.extend(environment.as_bytes());
        if matches!(self, Self::Change) {
            message.extend([0x10, u8::from(number.is_multiple_of(2))]);
        }
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame.into()
    }
}

/// One round.
pub async fn measured(
    host: &Host,
    address: SocketAddr,
    call: Call,
    connections: usize,
    lasts: Duration,
) -> Measured {
    let (cpu, begun) = (host.cpu(), Instant::now());
    let clients = host.environments.iter().take(connections).map(|environment| {
        let environment = environment.clone();
        tokio::spawn(async move {
            let (mut sender, mut took) = (connected(address).await, Vec::new());
            let mut number = 0;
            while begun.elapsed() < lasts {
                let asked = Instant::now();
                ask(&mut sender, address, call, &environment, number).await;
                took.push(asked.elapsed());
                number += 1;
            }
            took
        })
    });
    let mut took = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        took.extend(client.await.unwrap());
    }
    Measured::of(took, begun.elapsed(), host.cpu() - cpu)
}

async fn connected(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    address: SocketAddr,
    call: Call,
    environment: &str,
    number: u64,
) {
    let method = call.method();
    let request = hyper::Request::post(format!(
        "http://{address}/factory.runtime.v1.RuntimeEnvironmentService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .header("authorization", "Bearer ada")
    .body(Full::new(call.frame(environment, number)))
    .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    assert_eq!(status.map(|status| status.as_bytes()), Some(&b"0"[..]), "{head:?} {trailers:?}");
}
