//! One document from an issuer, on one fresh connection, within bounds.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::Builder;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::endpoint::Endpoint;

/// The status line and the headers together.
const MOST_HEADER_BYTES: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;

/// More than 64 keys of 8,192 bits with their certificates.
pub(crate) const MOST_DOCUMENT_BYTES: usize = 512 * 1024;

/// How long one address of a name is tried, where it has others.
const LONGEST_CONNECT: Duration = Duration::from_secs(2);

/// Why there is no document, in words of ours: nothing that the other side sent is repeated.
pub(crate) type Silence = &'static str;

/// Fetches a document. The caller bounds the time; a dropped fetch closes its connection.
pub(crate) async fn fetch(endpoint: &Endpoint, tls: &Arc<ClientConfig>) -> Result<Vec<u8>, Silence> {
    let stream = connect(endpoint).await?;
    if !endpoint.is_secure {
        return exchange(endpoint, stream).await;
    }
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| "its host is no name that a certificate has")?;
    let secured = TlsConnector::from(tls.clone()).connect(name, stream).await;
    exchange(endpoint, secured.map_err(|error| describe_tls(&error))?).await
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Silence> {
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| "its host's name cannot be resolved")?.collect();
    // Without TLS nothing but the address says who answers.
    if !endpoint.is_secure && addresses.iter().any(|address| !address.ip().to_canonical().is_loopback()) {
        return Err("its host's name leads beyond the machine, and it is not of https");
    }
    let mut silence = "its host's name has no address";
    for address in addresses {
        match tokio::time::timeout(LONGEST_CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                silence = "the connection was refused"
            }
            Ok(Err(_)) => silence = "the connection failed",
            Err(_) => silence = "no connection in time",
        }
    }
    Err(silence)
}

/// Redirects are answers like others: not the document.
async fn exchange<S>(endpoint: &Endpoint, stream: S) -> Result<Vec<u8>, Silence>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = Builder::new()
        .max_buf_size(MOST_HEADER_BYTES)
        .max_headers(MOST_HEADERS)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&error))?;
    let request = Request::get(&endpoint.path_and_query)
        .header(HOST, endpoint.authority())
        .header(ACCEPT, "application/json, application/jwk-set+json")
        .header(USER_AGENT, concat!("factory-runtime-oidc/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| "its path cannot be sent over HTTP")?;
    let mut answer = pin!(async {
        let mut answer = sender.send_request(request).await.map_err(|error| describe(&error))?;
        match answer.status().as_u16() {
            200 => {}
            300..=399 => return Err("it answered with a redirect, which is not followed"),
            _ => return Err("it did not answer with status 200"),
        }
        let mut document = Vec::new();
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| describe(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if document.len() + data.len() > MOST_DOCUMENT_BYTES {
                return Err("its answer is longer than 512 KiB");
            }
            document.extend_from_slice(data);
        }
        Ok(document)
    });
    let mut connection = pin!(connection);
    // The connection is driven here and not by a task of its own, so that it ends with the fetch, however that ends.
    tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

fn describe(error: &hyper::Error) -> Silence {
    let causes = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    let is_cut_off = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        matches!(
            cause.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    });
    if error.is_parse_too_large() {
        "its answer's headers are longer than 16 KiB or more than 100"
    } else if error.is_parse() {
        "its answer is not HTTP/1.1"
    } else if is_cut_off || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "it closed the connection before the answer was complete"
    } else {
        "the exchange failed"
    }
}

fn describe_tls(error: &io::Error) -> Silence {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "its certificate is not one of an authority that is trusted, for its name and this time"
        }
        Some(_) => "TLS with it failed",
        None => "it closed the connection while TLS began",
    }
}
