//! What is desired, and the revision that says so (DRF-3).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentId, TenantId};
use crate::value::{TextError, is_dns_label};

/// The revision of an authoritative desired state: `git:<commit>` with all 40 or 64 lower-case hexadecimal digits,
/// `pulumi:<stack>@<version>`, or `directory:<digest>` with the 64 lower-case hexadecimal digits of what a plain directory holds. A branch, a
/// tag, a shortened commit or a tree with uncommitted changes is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct DesiredStateRevision(String);

impl DesiredStateRevision {
    /// The revision's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_content(text: &str) -> bool {
    text.len() == 64 && is_commit(text)
}

fn is_stack_version(text: &str) -> bool {
    let Some((stack, version)) = text.split_once('@') else { return false };
    let parts = stack.split('/').count();
    parts <= 3
        && stack.split('/').all(|part| is_dns_label(part, 100))
        && version.parse::<u64>().is_ok_and(|number| number > 0 && format!("{number}") == version)
}

impl FromStr for DesiredStateRevision {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = text.strip_prefix("git:").is_some_and(is_commit)
            || text.strip_prefix("directory:").is_some_and(is_content)
            || text.strip_prefix("pulumi:").is_some_and(is_stack_version);
        if legal {
            return Ok(Self(text.to_owned()));
        }
        let rule = "`git:` and a whole commit of 40 or 64 lower-case hexadecimal digits, `directory:` and a digest of 64, or \
                    `pulumi:<stack>@<version>`; commit what is not committed";
        Err(TextError::new(text, "a revision of desired state", rule))
    }
}
impl TryFrom<String> for DesiredStateRevision {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl From<DesiredStateRevision> for String {
    fn from(revision: DesiredStateRevision) -> Self {
        revision.0
    }
}
impl fmt::Display for DesiredStateRevision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Proof that a value was read from authoritative desired state, and at which revision (DRF-3).
///
/// It cannot be deserialised, defaulted, copied or altered.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "evidence proves something to the command that takes it"]
pub struct Authoritative<T> {
    tenant: TenantId,
    environment: EnvironmentId,
    revision: DesiredStateRevision,
    value: T,
}

impl<T> Authoritative<T> {
    /// The value that an adapter of the desired-state port read at `revision`.
    ///
    /// Call it where the repository or the stack was read and nowhere else; searching for this name finds every place that vouches.
    pub fn from_revision(
        revision: DesiredStateRevision,
        tenant: TenantId,
        environment: EnvironmentId,
        value: T,
    ) -> Self {
        Self { tenant, environment, revision, value }
    }

    /// The tenant.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The environment.
    pub fn environment(&self) -> EnvironmentId {
        self.environment
    }

    /// The revision it was read at.
    pub fn revision(&self) -> &DesiredStateRevision {
        &self.revision
    }

    /// What is desired.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The same proof about what follows from the value: a part of it, or the same in other terms.
    ///
    /// Whoever calls it vouches that nothing else decides what comes of it but what never changes, such as what a digest names.
    pub fn map<U>(self, follows: impl FnOnce(T) -> U) -> Authoritative<U> {
        let Self { tenant, environment, revision, value } = self;
        Authoritative { tenant, environment, revision, value: follows(value) }
    }
}
