//! An operation: what it is called, who may ask for it, and what performs it. Declared once, as data; every wire is derived from it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use runtime_domain::refusal::Rule;
use runtime_ports::authenticator::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::{Answer, Call, Reply};
use crate::problem::{Problem, ProblemKind};

/// How an operation is asked for over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// It looks.
    Get,
    /// It changes.
    Post,
}

impl Method {
    /// The method's word: `GET`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What is known of an operation without performing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The service as spec.md §1 names it: `RuntimeEnvironmentService`.
    pub service: &'static str,
    /// Its own name, a verb and a noun: `ProvisionEnvironment`.
    pub name: &'static str,
    /// How it is asked for over HTTP.
    pub method: Method,
    /// Its path; `{environmentId}` is the request's field of that name.
    pub path: &'static str,
    /// The role that it needs.
    pub role: Role,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Whether it may make something that was not there: then it answers that it was created, and where.
    pub creates: bool,
    /// Whether it can be asked what it would do.
    pub previews: bool,
    /// Whether its answer is of one revision of an aggregate, which callers can name to be sure of what they change.
    pub revises: bool,
    /// Whether a caller's key makes it be done once. Where it does not, the operation is such that doing it again is harmless.
    pub takes_key: bool,
    /// Rules that it may be refused by, besides those of its content.
    pub refusals: &'static [Rule],
}

impl Descriptor {
    /// An operation that looks: every role may.
    pub(crate) const fn read(
        service: &'static str,
        name: &'static str,
        path: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            service,
            name,
            method: Method::Get,
            path,
            role: Role::Viewer,
            summary,
            creates: false,
            previews: false,
            revises: false,
            takes_key: false,
            refusals: &[],
        }
    }

    /// An operation that changes, and needs `role`. It can be previewed.
    pub(crate) const fn command(
        service: &'static str,
        name: &'static str,
        path: &'static str,
        role: Role,
        summary: &'static str,
    ) -> Self {
        Self {
            method: Method::Post,
            role,
            previews: true,
            takes_key: true,
            ..Self::read(service, name, path, summary)
        }
    }

    pub(crate) const fn creates(self) -> Self {
        Self { creates: true, ..self }
    }

    pub(crate) const fn revises(self) -> Self {
        Self { revises: true, ..self }
    }

    pub(crate) const fn needing(self, role: Role) -> Self {
        Self { role, ..self }
    }

    pub(crate) const fn without_key(self) -> Self {
        Self { takes_key: false, ..self }
    }

    pub(crate) const fn without_preview(self) -> Self {
        Self { previews: false, ..self }
    }

    pub(crate) const fn refused_by(self, refusals: &'static [Rule]) -> Self {
        Self { refusals, ..self }
    }

    /// The identifier, unique in the catalogue: `RuntimeEnvironmentService.ProvisionEnvironment`.
    pub fn id(&self) -> String {
        format!("{}.{}", self.service, self.name)
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        self.method == Method::Get
    }

    /// The request's fields that are in the path, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.path.split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The operation, performed by this handler.
    pub(crate) fn performed_by<R, D, F, P>(self, perform: F) -> Operation
    where
        R: Serialize + DeserializeOwned + JsonSchema + Send + 'static,
        D: Serialize + JsonSchema + 'static,
        F: Fn(Call, R) -> P + Send + Sync + 'static,
        P: Future<Output = Result<Reply<D>, Problem>> + Send + 'static,
    {
        let perform = move |call: Call, request: Value| -> Performing {
            match parsed::<R>(request) {
                Ok(request) => {
                    let performing = perform(call, request);
                    Box::pin(async move { performing.await?.into_answer() })
                }
                Err(problem) => Box::pin(std::future::ready(Err(problem))),
            }
        };
        Operation {
            descriptor: self,
            request: |schemas| schemas.subschema_for::<R>(),
            answer: |schemas| schemas.subschema_for::<D>(),
            normal: normal::<R>,
            perform: Box::new(perform),
        }
    }
}

type Performing = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// An operation of the catalogue.
pub struct Operation {
    descriptor: Descriptor,
    request: fn(&mut SchemaGenerator) -> Schema,
    answer: fn(&mut SchemaGenerator) -> Schema,
    normal: fn(&Value) -> Result<Value, Problem>,
    perform: Box<dyn Fn(Call, Value) -> Performing + Send + Sync>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Operation").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl Operation {
    /// What is known of it.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The schema of its request: one object, with the fields that HTTP takes from the path, the query and the body.
    pub fn request_schema(&self, schemas: &mut SchemaGenerator) -> Schema {
        (self.request)(schemas)
    }

    /// The schema of its answer.
    pub fn answer_schema(&self, schemas: &mut SchemaGenerator) -> Schema {
        (self.answer)(schemas)
    }

    /// The request with everything said that may be left out: the same for all ways of saying it.
    pub(crate) fn normal(&self, request: &Value) -> Result<Value, Problem> {
        (self.normal)(request)
    }

    pub(crate) fn perform(&self, call: Call, request: Value) -> Performing {
        (self.perform)(call, request)
    }
}

fn normal<R: Serialize + DeserializeOwned>(request: &Value) -> Result<Value, Problem> {
    serde_json::to_value(parsed::<R>(request.clone())?).map_err(|error| {
        tracing::error!(%error, "a request cannot be written as JSON");
        Problem::from_kind(ProblemKind::Internal)
    })
}

/// The largest whole number that every JSON library can say.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The same request, with `1.0` and `1e3` as the whole numbers that they are (JSON Schema).
fn whole(request: Value) -> Value {
    match request {
        Value::Number(number) => {
            let exact =
                number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0 && it.abs() <= MOST_EXACT);
            // Written without a fraction it is read as a whole number again.
            exact
                .and_then(|it| format!("{it:.0}").parse::<i64>().ok())
                .map_or(Value::Number(number), Value::from)
        }
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

/// The request, or where it is not one.
fn parsed<R: DeserializeOwned>(request: Value) -> Result<R, Problem> {
    serde_path_to_error::deserialize(whole(request)).map_err(|error| {
        let place = error.path().to_string();
        let why = error.into_inner();
        let detail = if place == "." { why.to_string() } else { format!("{place}: {why}") };
        Problem::new(ProblemKind::Malformed, detail).remedied_by("write the request as its schema says")
    })
}
