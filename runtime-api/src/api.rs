//! The one door: every call of every wire comes through [`Api::call`].

use std::sync::Arc;

use runtime_domain::bug;
use runtime_domain::id::CorrelationId;
use runtime_ports::authenticator::{Principal, Role};
use runtime_services::{RequestKey, Services, Terms};
use serde_json::Value;

use crate::admission::{Admission, AdmissionOptions};
use crate::call::{Answer, Call, CallOptions, revision_of};
use crate::catalogue::Catalogue;
use crate::operation::Operation;
use crate::problem::{Problem, ProblemKind};
use crate::progress::Followed;

/// The longest key that a caller may name a command by, in bytes.
const LONGEST_KEY: usize = 255;

/// The operations of one host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    /// They are many and large: a call holds them by reference.
    services: Arc<Services>,
    catalogue: Arc<Catalogue>,
    followed: Arc<Followed>,
    admission: Admission,
}

impl Api {
    /// The operations of a host with these services, which takes as much from its callers as [`AdmissionOptions`] says by default.
    pub fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
            catalogue: Arc::new(Catalogue::new()),
            followed: Arc::default(),
            admission: Admission::new(&AdmissionOptions::default()),
        }
    }

    /// The same, for a host that takes so much from its callers.
    #[must_use]
    pub fn admitting(self, options: &AdmissionOptions) -> Self {
        Self { admission: Admission::new(options), ..self }
    }

    /// Lets callers in. Every wire asks it before it reads a request, so that all of them share one budget.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What is offered.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What is followed.
    pub(crate) fn followed(&self) -> &Arc<Followed> {
        &self.followed
    }

    /// The services behind it.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// A fresh chain of work, for a wire that answers before it calls.
    pub fn new_correlation(&self) -> CorrelationId {
        self.services.host().new_correlation()
    }

    /// Performs an operation in the caller's name. Fields that a wire takes from elsewhere, such as HTTP from the path and the query, are
    /// fields of `request`, which is an object.
    ///
    /// The caller's role is judged here and nowhere else, before anything is read.
    ///
    /// # Errors
    /// See [`crate::problem`]. Every problem names the chain of work.
    pub async fn call(
        &self,
        caller: &Principal,
        operation: &str,
        request: Value,
        options: CallOptions,
    ) -> Result<Answer, Problem> {
        let correlation = options.correlation.unwrap_or_else(|| self.new_correlation());
        let answer = self.performed(caller, operation, request, &options, correlation).await;
        answer.map_err(|problem| problem.correlated(correlation))
    }

    async fn performed(
        &self,
        caller: &Principal,
        operation: &str,
        request: Value,
        options: &CallOptions,
        correlation: CorrelationId,
    ) -> Result<Answer, Problem> {
        let operation = self.catalogue.operation(operation).ok_or_else(|| {
            Problem::new(ProblemKind::NotFound, "there is no such operation")
                .remedied_by("look for its name in the description of the host")
        })?;
        self.authorised(caller, operation.descriptor().role)?;
        let mut terms = terms(operation, options)?;
        if let Some(key) = &options.idempotency_key {
            terms.request = keyed(caller, operation, key, &request)?;
        }
        let call = Call { services: self.services.clone(), scope: caller.scope(correlation), terms };
        operation.perform(call, request).await
    }

    /// Whether the caller may follow what happens, now.
    pub(crate) fn may_follow(&self, caller: &Principal) -> Result<(), Problem> {
        self.authorised(caller, Role::Viewer)
    }

    /// Whether the caller may what needs this role, now.
    fn authorised(&self, caller: &Principal, needed: Role) -> Result<(), Problem> {
        if caller.expires_at().is_some_and(|expires_at| expires_at <= self.services.host().now()) {
            let detail = "the credentials have expired: ask the issuer for new ones";
            return Err(Problem::new(ProblemKind::Unauthenticated, detail));
        }
        if caller.may(needed) {
            return Ok(());
        }
        if bug!("credentials-for-every-role") {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Forbidden, format!("the operation needs the role `{needed}`")))
    }
}

/// The key of a command, with what the command is: the operation and its request as its type has it, so that it is the same over every wire,
/// however much a wire says of what was left out. Previews are left out: they do nothing.
fn keyed(
    caller: &Principal,
    operation: &Operation,
    key: &str,
    request: &Value,
) -> Result<Option<RequestKey>, Problem> {
    let is_key =
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_key {
        let detail = format!("an idempotency key is 1 to {LONGEST_KEY} printable ASCII characters");
        return Err(Problem::new(ProblemKind::Malformed, detail));
    }
    if !operation.descriptor().takes_key {
        return Ok(None);
    }
    let mut content = operation.descriptor().id();
    canonical(&operation.normal(request)?, &mut content);
    Ok(Some(RequestKey::new(caller.tenant(), caller.actor(), key, content.as_bytes())))
}

/// The same text for the same request, in whichever order its members came. A member that is `null` is not there.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in members {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn terms(operation: &Operation, options: &CallOptions) -> Result<Terms, Problem> {
    let descriptor = operation.descriptor();
    let mut terms = Terms::default();
    if options.dry_run {
        if !descriptor.previews {
            let detail = "the operation has no preview: ask without `dryRun`";
            return Err(Problem::new(ProblemKind::Malformed, detail));
        }
        terms.preview = true;
    }
    if let Some(tag) = options.if_match.as_deref().filter(|tag| *tag != "*") {
        if descriptor.is_read() || !descriptor.revises {
            let detail = "the operation is not about one revision: ask without `If-Match`";
            return Err(Problem::new(ProblemKind::Malformed, detail));
        }
        let revision = revision_of(tag).ok_or_else(|| {
            Problem::new(ProblemKind::Malformed, "`If-Match` is not one tag that an answer had")
        })?;
        terms.expected = Some(revision);
    }
    Ok(terms)
}
