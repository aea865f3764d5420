//! What a component needs beside itself to be well.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::component::{ComponentSpec, HttpPath};
use crate::configuration::secrecy;
use crate::time::Span;
use crate::value::{Name, TextError};

/// Something that a component needs to be well: another component of its environment, by its module's name, or a service outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DependencySpec {
    /// Whether it cannot do without. While something required is Unhealthy, so is the component; something that is not only degrades it.
    #[serde(default = "yes")]
    pub required: bool,
    /// The service outside that is meant; without it, the component of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<OutsideService>,
}

const fn yes() -> bool {
    true
}

/// A service that is none of the environment's, and tells over HTTP whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutsideService {
    /// Where it is asked. Any answer from 200 to 299 is a yes.
    pub url: ServiceUrl,
    /// How long an answer may take.
    #[serde(default = "OutsideService::default_timeout")]
    pub timeout: Span,
}

impl OutsideService {
    /// A service that has the usual second to answer.
    pub fn at(url: ServiceUrl) -> Self {
        Self { url, timeout: Self::default_timeout() }
    }

    const fn default_timeout() -> Span {
        Span::from_secs(1)
    }
}

/// What a pattern can say of it: an address in brackets may be none, and a part of the path may be a secret.
#[cfg(feature = "schema")]
const URL: &str = r#"^http://(\[[0-9A-Fa-f:.]{2,45}\]|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,63})(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/([!-"$-.0->@-\[\]-~][!-"$->@-\[\]-~]*)?)?$"#;

/// Where a service outside is asked: `http://host:port/path`, the port 80 where none is said.
///
/// It has no user, no password and no query, and no part of its path looks like a secret (X-11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = URL, "maxLength" = 512)))]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl(String);

impl ServiceUrl {
    const SCHEME: &'static str = "http://";

    /// Parses a URL. The error repeats nothing of it: what is refused may be a secret.
    ///
    /// # Errors
    /// Another scheme, a user, a query, a fragment, a host or a port that is none, more than 512 characters, or what looks like a secret.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let is_legal = text.strip_prefix(Self::SCHEME).is_some_and(|rest| {
            let (authority, path) = split(rest);
            text.len() <= 512
                && is_authority(authority)
                && !path.contains('?')
                && HttpPath::new(path).is_ok()
                && path.split('/').all(|part| secrecy::inspect("part", part).is_ok())
        });
        if is_legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(TextError::new(
                "…",
                "the URL of a service that can be asked",
                "http://host:port/path, in small letters, without user, query, fragment or anything secret; probes do not speak TLS",
            ))
        }
    }

    /// Whom to ask: `host:port`.
    pub fn address(&self) -> String {
        let authority = self.parts().0;
        if port_of(authority).is_some() { authority.to_owned() } else { authority.to_owned() + ":80" }
    }

    /// The host alone: a name or an address, an IPv6 one in brackets.
    pub fn host(&self) -> &str {
        let authority = self.parts().0;
        port_of(authority).map_or(authority, |port| &authority[..authority.len() - port.len() - 1])
    }

    /// What to ask for.
    pub fn path(&self) -> Option<HttpPath> {
        HttpPath::new(self.parts().1).ok()
    }

    /// The URL's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        split(self.0.strip_prefix(Self::SCHEME).unwrap_or_default())
    }
}

fn split(rest: &str) -> (&str, &str) {
    rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash))
}

fn port_of(authority: &str) -> Option<&str> {
    match authority.strip_prefix('[') {
        Some(_) => authority.rsplit_once("]:").map(|(_, port)| port),
        None => authority.rsplit_once(':').map(|(_, port)| port),
    }
}

fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| {
        (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok()
    };
    let port = port_of(text);
    let host = port.map_or(text, |port| text.get(..text.len() - port.len() - 1).unwrap_or_default());
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_host = match host.strip_prefix('[') {
        Some(literal) => {
            literal.strip_suffix(']').is_some_and(|literal| literal.parse::<core::net::Ipv6Addr>().is_ok())
        }
        None => host.len() <= 253 && host.split('.').all(is_label),
    };
    is_host && port.is_none_or(is_port)
}

impl TryFrom<String> for ServiceUrl {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}
impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        url.0
    }
}
impl core::fmt::Display for ServiceUrl {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One thing that a component needs, as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'c> {
    /// Its name: the module's, where it is a component.
    pub name: &'c Name,
    /// Whether the component cannot do without.
    pub required: bool,
    /// The service outside that is meant; a component where there is none.
    pub http: Option<&'c OutsideService>,
}

impl ComponentSpec {
    /// All that the component needs to be well, what is required first. What it only has to be rolled out after degrades it at most; the
    /// component itself is never among them.
    pub fn needs(&self) -> impl Iterator<Item = Dependency<'_>> {
        let declared = self.dependencies.iter().map(|(name, needed)| Dependency {
            name,
            required: needed.required,
            http: needed.http.as_ref(),
        });
        let before = self.depends_on.iter().filter(|module| !self.dependencies.contains_key(*module));
        let before = before.map(|name| Dependency { name, required: false, http: None });
        let (required, optional): (Vec<_>, Vec<_>) = declared
            .chain(before)
            .filter(|needed| needed.http.is_some() || *needed.name != self.module)
            .partition(|needed| needed.required);
        required.into_iter().chain(optional)
    }
}
