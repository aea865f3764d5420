//! An address that keys are fetched from.

use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

/// A URL of `https`, or of `http` on the machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_secure: bool,
    /// A name, or an address without brackets, in lower case.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path_and_query: String,
}

impl Endpoint {
    /// Parses a URL; the text says why where it is none that may be asked.
    pub(crate) fn parse(text: &str, allows_loopback: bool) -> Result<Self, &'static str> {
        if text.len() > 2_048 || text.contains('#') {
            return Err("it is longer than 2,048 bytes or has a fragment");
        }
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        let is_secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err("it is not of https"),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it has a user in it");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port =
            match authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':')) {
                Some(digits) => parse_port(digits).ok_or("its port is not one from 1 to 65535")?,
                None => {
                    if is_secure {
                        443
                    } else {
                        80
                    }
                }
            };
        if host.is_empty() {
            return Err("it names no host");
        }
        let is_loopback = is_loopback_name(&host);
        if is_loopback && !allows_loopback {
            return Err("it is the machine itself, which is asked only where `allow_loopback` says so");
        }
        if !is_secure && !is_loopback {
            return Err("it is not of https");
        }
        let path_and_query = uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
        Ok(Self { is_secure, host, port, path_and_query })
    }

    /// Whether the URL names the machine itself.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback_name(&self.host)
    }

    /// The `Host` header's text.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.is_secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| are_digits && *port > 0)
}

fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_as_it_stands() {
        for (text, secure, host, port, path, authority) in [
            ("https://Login.Example.com", true, "login.example.com", 443, "/", "login.example.com"),
            (
                "https://login.example.com:8443/a?b=c",
                true,
                "login.example.com",
                8443,
                "/a?b=c",
                "login.example.com:8443",
            ),
            ("http://127.0.0.1:80/k", false, "127.0.0.1", 80, "/k", "127.0.0.1"),
            ("http://[::1]:8080/", false, "::1", 8080, "/", "[::1]:8080"),
            ("http://localhost:1", false, "localhost", 1, "/", "localhost:1"),
        ] {
            let endpoint = Endpoint::parse(text, true).unwrap();
            let seen =
                (endpoint.is_secure, endpoint.host.as_str(), endpoint.port, endpoint.path_and_query.as_str());
            assert_eq!(seen, (secure, host, port, path), "{text}");
            assert_eq!(endpoint.authority(), authority);
        }
    }

    /// Shows X-12.
    #[test]
    fn only_https_may_be_asked_and_the_machine_itself_where_that_is_allowed() {
        for text in [
            "",
            "login.example.com",
            "/jwks",
            "http://login.example.com",
            "http://10.0.0.1/",
            "http://127.0.0.1.example.com/",
            "http://localhost.example.com",
            "ftp://login.example.com",
            "file:///etc/passwd",
            "https://",
            "https://:443",
            "https://a:0/",
            "https://a:99999/",
            "https://a:+1/",
            "https://a:x/",
            "https://u@login.example.com",
            "https://u:p@login.example.com",
            "https://a/#f",
            "https://a b/",
            "https://a:/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            assert!(Endpoint::parse(text, true).is_err(), "{text}");
        }
        for text in [
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "https://localhost/",
            "http://[::1]/",
            "https://[::ffff:127.0.0.1]/",
        ] {
            assert!(Endpoint::parse(text, false).is_err(), "{text}");
            assert!(Endpoint::parse(text, true).is_ok(), "{text}");
        }
    }
}
