//! Making a connection.

use std::sync::Arc;

use runtime_domain::time::Span;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, NoTls, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{During, corrupt, no_answer};
use crate::options::{Passwords, PostgresOptions, Tls};

/// How long the server waits for the rest of a transaction, which is sent at once: of a host that stands still in the midst of it, nothing stays
/// locked for longer.
const REST_WITHIN: Span = Span::from_secs(2);
/// How long the server may take to accept a connection.
const PATIENCE: Span = Span::from_secs(10);

/// As whom a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// For one tenant at a time.
    Tenant,
    /// Across tenants.
    Operator,
    /// As the login itself: for migrating and listening.
    Login,
}

impl Role {
    /// The server's name for it; `None` where the login's own is kept.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Tenant => Some("factory_runtime_tenant"),
            Self::Operator => Some("factory_runtime_operator"),
            Self::Login => None,
        }
    }
}

/// What tells a session of the server's from all others that it has or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// The number of its process, which another may get after it.
    pub(crate) process: i32,
    /// When it began, in microseconds since 1970.
    pub(crate) begun: i64,
}

const PRESENT_SESSION: &str = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint
    FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Makes connections to one server.
#[derive(Clone)]
pub(crate) struct Dialler {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    passwords: Option<Arc<dyn Passwords>>,
    settings: String,
}

impl Dialler {
    /// To the primary.
    pub(crate) fn primary(options: &PostgresOptions) -> PortResult<Self> {
        Self::new(options, options.config.clone())
    }

    /// To where lists are read from.
    pub(crate) fn for_lists(options: &PostgresOptions) -> PortResult<Self> {
        Self::new(options, options.replica.as_ref().unwrap_or(&options.config).clone())
    }

    fn new(options: &PostgresOptions, mut config: Config) -> PortResult<Self> {
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(&options.tls)?)),
        };
        config.application_name("factory-runtime").connect_timeout(PATIENCE.to_std());
        // Every statement looks rows up by an index. Plans that are made while tables are small must do so too: they are kept. None is worth compiling.
        let settings = format!(
            "SET search_path = factory_runtime, pg_temp; SET statement_timeout = {}; SET lock_timeout = {};
             SET idle_in_transaction_session_timeout = {}; SET plan_cache_mode = force_generic_plan;
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET enable_memoize = off; SET jit = off",
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis(),
            REST_WITHIN.as_millis(),
        );
        Ok(Self { config, tls, passwords: options.passwords.clone(), settings })
    }

    /// A new connection, ready to work as `role`. It is driven by a task that ends with it.
    pub(crate) async fn dial(&self, operation: &'static str, role: Role) -> PortResult<Client> {
        self.dial_session(operation, role).await.map(|(client, _)| client)
    }

    /// As [`Dialler::dial`], and which of the server's sessions it is.
    pub(crate) async fn dial_session(
        &self,
        operation: &'static str,
        role: Role,
    ) -> PortResult<(Client, Session)> {
        let (client, connection) = self.open(operation).await?;
        tokio::spawn(connection);
        let take_on = role.name().map(|name| format!("; SET ROLE {name}")).unwrap_or_default();
        let prepared = format!("{}; {PRESENT_SESSION}{take_on}", self.settings);
        let answers = tokio::time::timeout(PATIENCE.to_std(), client.simple_query(&prepared)).await;
        let answers = answers.map_err(|_elapsed| no_answer(operation, PATIENCE))?.during(operation)?;
        let session = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => {
                Some(Session { process: row.get(0)?.parse().ok()?, begun: row.get(1)?.parse().ok()? })
            }
            _ => None,
        });
        let session = session.ok_or_else(|| corrupt(operation, "no session"))?;
        Ok((client, session))
    }

    /// A new connection as the login, and what drives it and hands on what it is notified of.
    pub(crate) async fn dial_listening(
        &self,
        operation: &'static str,
        notified: impl Fn(&str) + Send + 'static,
    ) -> PortResult<(Client, tokio::task::JoinHandle<()>)> {
        let config = self.configured().await?;
        let dialled = async {
            match &self.tls {
                None => config
                    .connect(NoTls)
                    .await
                    .map(|(client, connection)| (client, tokio::spawn(listen(connection, notified)))),
                Some(tls) => config
                    .connect(tls.clone())
                    .await
                    .map(|(client, connection)| (client, tokio::spawn(listen(connection, notified)))),
            }
        };
        let patience = tokio::time::timeout(PATIENCE.to_std(), dialled).await;
        patience.map_err(|_elapsed| no_answer(operation, PATIENCE))?.during(operation)
    }

    async fn open(&self, operation: &'static str) -> PortResult<(Client, Driving)> {
        let config = self.configured().await?;
        let dialled = async {
            match &self.tls {
                None => driven(&config, NoTls).await,
                Some(tls) => driven(&config, tls.clone()).await,
            }
        };
        let patience = tokio::time::timeout(PATIENCE.to_std(), dialled).await;
        patience.map_err(|_elapsed| no_answer(operation, PATIENCE))?.during(operation)
    }

    async fn configured(&self) -> PortResult<Config> {
        let mut config = self.config.clone();
        if let Some(passwords) = &self.passwords {
            config.password(passwords.password().await?.as_str());
        }
        Ok(config)
    }
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialler").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}

/// What moves bytes for a connection, until that ends.
type Driving = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn driven<T>(config: &Config, tls: T) -> Result<(Client, Driving), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await?;
    let driving = async {
        // Whoever waits for an answer is told by the client.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    };
    Ok((client, Box::pin(driving)))
}

async fn listen<S, T>(mut connection: Connection<S, T>, notified: impl Fn(&str))
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(Ok(message)) = futures::StreamExt::next(&mut messages).await {
        if let tokio_postgres::AsyncMessage::Notification(told) = message {
            notified(told.payload());
        }
    }
}

fn client_config(tls: &Tls) -> PortResult<ClientConfig> {
    let refused = |message: &str| PortError::new(PortErrorKind::Invalid, "store.open", message);
    let mut roots = RootCertStore::empty();
    match tls {
        Tls::System => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
        Tls::Authorities(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate =
                    certificate.map_err(|_| refused("the certificate authorities are not in PEM form"))?;
                roots.add(certificate).map_err(|_| refused("a certificate authority cannot be read"))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(refused("no certificate authority is trusted: install the system's, or name yours"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("the TLS library offers no protocol").caused_by(error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
