//! One request and its answer, on one fresh connection.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::Builder;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use runtime_domain::component::HttpPath;
use tokio::net::TcpStream;

/// The status line and the headers together.
const MOST_HEADER_BYTES: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;

/// The longest body that is read, and thrown away, before the answer counts as not complete.
pub(crate) const MOST_BODY_BYTES: usize = 64 * 1024;

/// Why there was no complete answer, in words of ours: nothing that a workload sent is repeated.
pub(crate) type Silence = &'static str;

/// Sends one request to the first of `addresses` that accepts a connection, and gives its status once the whole answer is there.
pub(crate) async fn exchange(
    addresses: &[SocketAddr],
    authority: &str,
    path: &HttpPath,
) -> Result<u16, Silence> {
    let stream = connect(addresses).await?;
    let (mut sender, connection) = Builder::new()
        .max_buf_size(MOST_HEADER_BYTES)
        .max_headers(MOST_HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let request = Request::get(path.as_str())
        .header(HOST, authority)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, concat!("factory-runtime-probe/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| "the path cannot be sent over HTTP")?;
    let mut answer = pin!(async {
        let mut answer = sender.send_request(request).await.map_err(|error| describe(&error))?;
        let mut length = 0;
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| describe(&error))?;
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > MOST_BODY_BYTES {
                return Err("the answer's body is longer than 64 KiB");
            }
        }
        Ok(answer.status().as_u16())
    });
    let mut connection = pin!(connection);
    // The connection is driven here and not by a task of its own, so that it ends with the probe, however that ends.
    tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Silence> {
    let mut silence = "the name has no address";
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => silence = describe_io(&error),
        }
    }
    Err(silence)
}

fn describe(error: &hyper::Error) -> Silence {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return describe_io(cause);
        }
        source = cause.source();
    }
    if error.is_parse_too_large() {
        "the answer's headers are longer than 16 KiB or more than 100"
    } else if error.is_parse() {
        "the answer is not HTTP/1.1"
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "the connection was closed before the answer was complete"
    } else {
        "the exchange failed"
    }
}

fn describe_io(error: &io::Error) -> Silence {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "connection reset"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "host unreachable",
        io::ErrorKind::TimedOut => "no answer in time",
        io::ErrorKind::UnexpectedEof => "the connection was closed before the answer was complete",
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => "the answer is not HTTP/1.1",
        _ => "the connection failed",
    }
}
