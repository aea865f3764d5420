//! The address of a probe: `host:port`.

use std::net::IpAddr;

/// Who is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address, written as such.
    Literal(IpAddr),
    /// A name, in lower case and without a closing dot.
    Name(String),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Address {
    /// Parses `name:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; the port is from 1.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let legal_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| legal_port && *port > 0)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(literal) => Host::Literal(IpAddr::V6(literal.parse().ok()?)),
            None => match host.parse() {
                Ok(literal) => Host::Literal(IpAddr::V4(literal)),
                Err(_) => Host::Name(parse_name(host)?),
            },
        };
        Some(Self { host, port })
    }

    /// The address as the `Host` header writes it.
    pub(crate) fn authority(&self) -> String {
        match &self.host {
            Host::Literal(IpAddr::V6(literal)) => format!("[{literal}]:{}", self.port),
            Host::Literal(IpAddr::V4(literal)) => format!("{literal}:{}", self.port),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

/// Parses a host name, in lower case and without a closing dot.
///
/// Refuses what system resolvers take for a number (`127.1`, `0x7f.1`, `2130706433`): a literal is to be written as one.
pub(crate) fn parse_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| {
        let digits = label.strip_prefix("0x").unwrap_or(label);
        let hexadecimal = digits.len() < label.len();
        digits.bytes().all(|byte| byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit()))
    };
    let last = name.rsplit('.').next()?;
    (name.len() <= 253 && name.split('.').all(is_label) && !is_number(last)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_as_people_write_them() {
        for (text, authority) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            ("Cart.Shop.svc.:8080", "cart.shop.svc:8080"),
            ("localhost:1", "localhost:1"),
            ("a_b-c.d2:65535", "a_b-c.d2:65535"),
        ] {
            assert_eq!(Address::parse(text).map(|it| it.authority()).as_deref(), Some(authority), "{text}");
        }
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for text in [
            "",
            "cart",
            ":80",
            "cart:",
            "cart:0",
            "cart:65536",
            "cart:+80",
            "cart: 80",
            "cart:80:80",
            "::1:80",
            "[::1]",
            "[::1%eth0]:80",
            "[127.0.0.1]:80",
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "0x7f.0x1:80",
            "0177.0.0.1:80",
            "user@cart:80",
            "cart/x:80",
            "cart\r\nx:80",
            "http://cart:80",
            "-cart:80",
            "cart..svc:80",
            "cart?:80",
            "ca rt:80",
            "cärt:80",
        ] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }
}
