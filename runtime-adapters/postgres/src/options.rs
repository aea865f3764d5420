//! How a store is opened.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::time::Span;
use runtime_ports::{PortError, PortErrorKind, PortResult};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Where the server is, and how it is used.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(crate) config: Config,
    pub(crate) tls: Tls,
    pub(crate) passwords: Option<Arc<dyn Passwords>>,
    pub(crate) readers: usize,
    pub(crate) replica: Option<Config>,
    pub(crate) statement_timeout: Span,
    pub(crate) lock_timeout: Span,
}

/// Whether and how the connection is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tls {
    /// As the address's `sslmode` says, trusting the certificates that the system trusts.
    #[default]
    System,
    /// As the address's `sslmode` says, trusting these certificate authorities only, in PEM form.
    Authorities(Vec<u8>),
}

/// A password, or a token that stands in for one. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(hidden)")
    }
}

/// Gives the password for every new connection: for tokens that expire, such as those of a managed identity.
#[async_trait]
pub trait Passwords: Send + Sync + 'static {
    /// The password that is good now.
    ///
    /// # Errors
    /// There is none to be had; the connection is not made.
    async fn password(&self) -> PortResult<Password>;
}

impl PostgresOptions {
    /// The server and the database at `address`: `postgres://login@host:port/database?sslmode=require`, or `key=value` pairs.
    ///
    /// Without `sslmode` a connection over a network is encrypted or refused; one over a Unix socket or the loopback address is not.
    ///
    /// # Errors
    /// [`Invalid`](PortErrorKind::Invalid): it is no address. What it says is not repeated, since it may hold a password.
    pub fn new(address: &str) -> PortResult<Self> {
        Ok(Self {
            config: parsed(address)?,
            tls: Tls::default(),
            passwords: None,
            readers: 4,
            replica: None,
            statement_timeout: Span::from_secs(30),
            lock_timeout: Span::from_secs(10),
        })
    }

    /// Which certificates are trusted.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// Asks for the password anew for every connection. The address's own is not used then.
    #[must_use]
    pub fn passwords(self, passwords: Arc<dyn Passwords>) -> Self {
        Self { passwords: Some(passwords), ..self }
    }

    /// How many connections load aggregates, and how many more list them, from 1 each; 4 unless said. They are made when they are first
    /// needed. Each answers many readers at once: those who load while it is busy by its next call together, those who list one after the
    /// other.
    #[must_use]
    pub fn readers(self, readers: usize) -> Self {
        Self { readers: readers.max(1), ..self }
    }

    /// Lists and histories are read from this server, which may lag behind. Loading an aggregate never is: decisions rest on it.
    ///
    /// # Errors
    /// As [`PostgresOptions::new`].
    pub fn replica(self, address: &str) -> PortResult<Self> {
        Ok(Self { replica: Some(parsed(address)?), ..self })
    }

    /// How long the server works on one call; 30 seconds unless said.
    #[must_use]
    pub fn statement_timeout(self, span: Span) -> Self {
        Self { statement_timeout: span, ..self }
    }

    /// How long a call waits for a row that another has locked; 10 seconds unless said.
    #[must_use]
    pub fn lock_timeout(self, span: Span) -> Self {
        Self { lock_timeout: span, ..self }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .field("login", &self.config.get_user())
            .field("tls", &self.config.get_ssl_mode())
            .finish_non_exhaustive()
    }
}

fn parsed(address: &str) -> PortResult<Config> {
    let mut config = Config::from_str(address).map_err(|_| {
        PortError::new(
            PortErrorKind::Invalid,
            "store.open",
            "this is no address of a PostgreSQL database: write postgres://login@host:port/database",
        )
    })?;
    if !address.contains("sslmode") {
        let mode = if is_on_this_machine(&config) { SslMode::Disable } else { SslMode::Require };
        config.ssl_mode(mode);
    }
    Ok(config)
}

fn is_on_this_machine(config: &Config) -> bool {
    use tokio_postgres::config::Host;
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(address: &str) -> SslMode {
        PostgresOptions::new(address).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn what_crosses_a_network_is_encrypted_unless_the_address_says_otherwise() {
        assert_eq!(mode("postgres://app@db.example/shop"), SslMode::Require);
        assert_eq!(mode("host=db.example hostaddr=192.0.2.1 user=app"), SslMode::Require);
        assert_eq!(mode("postgres://app@db.example/shop?sslmode=disable"), SslMode::Disable);
        for address in
            ["postgres://app@127.0.0.1:5433/shop", "postgres://app@localhost/shop", "host=/run/pg user=app"]
        {
            assert_eq!(mode(address), SslMode::Disable, "{address}");
        }
    }

    #[test]
    fn neither_a_refusal_nor_the_debug_form_repeats_a_password() {
        let refused = PostgresOptions::new("postgres://app:hunter2@:port:/").unwrap_err();
        assert!(!format!("{refused:?}").contains("hunter2"));
        let options = PostgresOptions::new("postgres://app:hunter2@localhost/shop").unwrap();
        assert!(!format!("{options:?} {:?}", Password::new("hunter2")).contains("hunter2"));
    }
}
