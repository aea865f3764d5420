//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use super::ServerOptions;
use super::body::{Activity, Answering, Timely};
use super::stream::Guarded;
use super::tls::Tls;
use crate::access::{ClientCertificate, Peer};

const MOST_HEADERS: usize = 100;

/// How many streams a client may have reset that nobody has looked at yet (CVE-2023-44487).
const MOST_RESETS: usize = 20;

/// How much of one HTTP/2 stream's answer is kept for a client that reads slowly: of all streams of a connection, a few megabytes.
const MOST_UNSENT: usize = 32 * 1_024;

/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Returns when the server is told to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// What every connection needs.
pub(super) struct Served {
    pub(super) router: Router,
    pub(super) options: ServerOptions,
    pub(super) tls: Option<Tls>,
}

impl Served {
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stopped: watch::Receiver<bool>,
    ) {
        drop(stream.set_nodelay(true));
        let (head_within, stalled_for) =
            (self.options.head_within.to_std(), self.options.stalled_for.to_std());
        let Some(tls) = &self.tls else {
            return self.converse(Guarded::new(stream, head_within, stalled_for), peer, None, stopped).await;
        };
        let Ok(Ok(stream)) = timeout(head_within, tls.accept(stream)).await else { return };
        let certificates = stream.get_ref().1.peer_certificates();
        let leaf = certificates.and_then(<[_]>::first).map(|leaf| ClientCertificate(leaf.to_vec()));
        self.converse(Guarded::new(stream, head_within, stalled_for), peer, leaf, stopped).await;
    }

    async fn converse<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        leaf: Option<ClientCertificate>,
        mut stopped: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let body_within = self.options.body_within.to_std();
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = activity.begin();
            let mut request = request.map(|body| Timely::new(body, body_within));
            request.extensions_mut().insert(Peer(peer));
            if let Some(leaf) = &leaf {
                request.extensions_mut().insert(leaf.clone());
            }
            let answered = self.router.clone().oneshot(request);
            async move {
                let response: Response<Body> = answered.await?;
                Ok::<_, Infallible>(response.map(|body| Answering::new(body, in_flight)))
            }
        });
        let builder = self.builder();
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let idle_for = self.options.idle_for.to_std();
        let mut look_again = Instant::now() + idle_for;
        loop {
            tokio::select! {
                // How a client's connection fails is the client's affair.
                _ended = connection.as_mut() => return,
                () = told(&mut stopped) => {
                    connection.as_mut().graceful_shutdown();
                    // How long that may take is the server's to say.
                    drop(connection.await);
                    return;
                }
                () = tokio::time::sleep_until(look_again) => match activity.idle_at(idle_for) {
                    Some(idle) if idle <= Instant::now() => {
                        connection.as_mut().graceful_shutdown();
                        drop(timeout(GOODBYE, connection).await);
                        return;
                    }
                    Some(idle) => look_again = idle,
                    None => look_again = Instant::now() + idle_for,
                },
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        let head_bytes = self.options.head_bytes.max(8 * 1_024);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_within.to_std())
            .max_buf_size(head_bytes as usize)
            .max_headers(MOST_HEADERS)
            .half_close(false);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.options.streams.get())
            .max_header_list_size(head_bytes)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_RESETS)
            .max_send_buf_size(MOST_UNSENT)
            .keep_alive_interval(self.options.stalled_for.to_std())
            .keep_alive_timeout(self.options.stalled_for.to_std());
        builder
    }
}
