//! What callers follow, as it happens: streams that go on where they ended.
//!
//! They are no operations of the catalogue, which are asked and answered once; REST offers the same as server-sent events.

use std::sync::Arc;

use futures::Stream;
use futures::stream::unfold;
use prost_reflect::MessageDescriptor;
use runtime_api::{Api, Place, Problem, ProblemKind, Progress, ProgressEvent, ProgressItem, ProgressKind};
use runtime_domain::id::{CorrelationId, DeploymentId};
use runtime_ports::authenticator::{Principal, Role};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::message::message;
use crate::status::status;

/// Asks to follow a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchDeployment {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// The position to go on after; from the beginning where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Asks to follow everything of the caller's tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WatchTenant {
    /// The position to go on after; from now on where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What who follows is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Progress")]
pub struct ProgressDocument {
    /// Where to go on: what `after` takes.
    pub position: String,
    /// What happened; nothing where there is a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<ProgressEvent>,
    /// Whether what lies between what was told and what comes now is not known any more: whoever shows something reads it anew.
    pub is_gap: bool,
}

impl From<ProgressItem> for ProgressDocument {
    fn from(item: ProgressItem) -> Self {
        let happened = match item.kind {
            ProgressKind::Happened(event) => Some(ProgressEvent::clone(&event)),
            ProgressKind::Reset => None,
        };
        Self { position: item.id, is_gap: happened.is_none(), happened }
    }
}

/// What can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watch {
    /// One deployment.
    Deployment,
    /// Everything of the caller's tenant.
    Tenant,
}

impl Watch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Deployment, Self::Tenant];

    /// The service that offers it.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Deployment => "DeploymentService",
            Self::Tenant => "RuntimeProgressService",
        }
    }

    /// Its method's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "WatchDeployment",
            Self::Tenant => "WatchTenant",
        }
    }

    /// What it does, in a sentence.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Deployment => {
                "Tells what happened to a deployment and goes on with what happens, without loss."
            }
            Self::Tenant => "Tells what happens to everything of the tenant.",
        }
    }

    /// The role that it needs.
    pub const fn role(self) -> Role {
        Role::Viewer
    }

    /// The schema of its request.
    pub fn request_schema(self, schemas: &mut SchemaGenerator) -> Schema {
        match self {
            Self::Deployment => schemas.subschema_for::<WatchDeployment>(),
            Self::Tenant => schemas.subschema_for::<WatchTenant>(),
        }
    }

    /// The schema of what it tells, again and again.
    pub fn answer_schema(self, schemas: &mut SchemaGenerator) -> Schema {
        schemas.subschema_for::<ProgressDocument>()
    }

    /// Begins to follow.
    pub(crate) async fn begin(
        self,
        api: &Api,
        caller: &Principal,
        request: Value,
        correlation: CorrelationId,
    ) -> Result<Progress, Problem> {
        let malformed = |error: serde_json::Error| Problem::new(ProblemKind::Malformed, error.to_string());
        match self {
            Self::Deployment => {
                let asked: WatchDeployment = serde_json::from_value(request).map_err(malformed)?;
                let (deployment, after) = (asked.deployment_id, asked.after.as_deref());
                api.follow_deployment(caller, deployment, after, correlation).await
            }
            Self::Tenant => {
                let asked: WatchTenant = serde_json::from_value(request).map_err(malformed)?;
                api.follow_tenant(caller, asked.after.as_deref(), correlation).await
            }
        }
    }
}

/// A stream that was begun.
pub(crate) struct Following {
    pub(crate) progress: Progress,
    pub(crate) of: MessageDescriptor,
    pub(crate) correlation: CorrelationId,
    /// When the caller wants it to end.
    pub(crate) until: Option<Instant>,
    /// The host stops.
    pub(crate) end: CancellationToken,
    pub(crate) _place: Arc<Place>,
}

impl Following {
    /// What is told, message by message. It ends with a status that says why: the credentials have ended, the host stops, the store failed,
    /// or the caller's time is over.
    pub(crate) fn messages(self) -> impl Stream<Item = Result<bytes::Bytes, Status>> {
        unfold(Some(self), |following| async move {
            let mut following = following?;
            match following.next().await {
                Ok(message) => Some((Ok(message), Some(following))),
                Err(problem) => Some((Err(status(&problem, following.correlation)), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<bytes::Bytes, Problem> {
        let until = self.until;
        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let item = tokio::select! {
            biased;
            () = self.end.cancelled() => {
                let problem = Problem::new(ProblemKind::Unavailable, "the host stops");
                return Err(problem.remedied_by("go on after the last position").retry_after(1));
            }
            () = over => return Err(Problem::new(ProblemKind::RequestTimeout, "the time is over that was asked for")),
            item = self.progress.next() => item,
        };
        let Some(item) = item else {
            let detail = "the credentials have expired: ask the issuer for new ones";
            return Err(Problem::new(ProblemKind::Unauthenticated, detail));
        };
        let document = serde_json::to_string(&ProgressDocument::from(item?)).map_err(|error| {
            tracing::error!(%error, "progress cannot be written as JSON");
            Problem::from_kind(ProblemKind::Internal)
        })?;
        message(self.of.clone(), &document)
    }
}
