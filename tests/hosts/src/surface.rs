//! The surface through which a host acts on the world.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic,
    TrafficControl,
};
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult, Retry};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::UnixStream;

use crate::world::{Answer, Asked, Change, Question};

/// A surface whose workloads are in a [`World`](crate::World) that another process keeps.
#[derive(Debug)]
pub struct WorldSurface {
    socket: PathBuf,
    host: String,
    idle: Mutex<Vec<BufStream<UnixStream>>>,
}

impl WorldSurface {
    /// The world behind `socket`, for the host of this name.
    pub fn new(socket: impl Into<PathBuf>, host: &str) -> Self {
        Self { socket: socket.into(), host: host.to_owned(), idle: Mutex::default() }
    }

    async fn ask(&self, asked: Asked) -> PortResult<Answer> {
        self.exchange(asked).await.map_err(|error| {
            PortError::new(PortErrorKind::Unavailable, "surface.ask", "the world did not answer")
                .with_retry(Retry::OutcomeUnknown)
                .caused_by(error)
        })
    }

    async fn exchange(&self, asked: Asked) -> std::io::Result<Answer> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = match kept {
            Some(stream) => stream,
            None => BufStream::new(UnixStream::connect(&self.socket).await?),
        };
        let mut line = serde_json::to_vec(&Question { host: self.host.clone(), asked })?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        stream.flush().await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let answer = serde_json::from_str(&line)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        Ok(answer)
    }

    async fn perform(&self, context: EffectContext, key: &ComponentKey, change: Change) -> PortResult<()> {
        let (effect, fence) = (context.effect, context.fence.0);
        let asked = Asked::Perform { effect, fence, key: key.clone(), change };
        let refused = match self.ask(asked).await? {
            Answer::Done => return Ok(()),
            Answer::Fenced => (PortErrorKind::Fenced, "another host has taken over"),
            Answer::NotFound => (PortErrorKind::NotFound, "there is no such revision: apply it first"),
            _ => return Err(beside_the_point()),
        };
        Err(PortError::new(refused.0, "surface.perform", refused.1))
    }
}

fn beside_the_point() -> PortError {
    PortError::new(PortErrorKind::Corrupt, "surface.ask", "the world answered another question")
}

#[async_trait]
impl ComputeSurface for WorldSurface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: false,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let change = Change::Apply { spec: Box::new(revision.clone()), replicas };
        self.perform(context, &revision.key, change).await
    }

    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()> {
        self.perform(context, key, Change::Scale { revision: revision.clone(), replicas }).await
    }

    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()> {
        self.perform(context, key, Change::Shift { traffic: traffic.clone() }).await
    }

    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()> {
        self.perform(context, key, Change::Retire { revision: revision.clone() }).await
    }

    async fn deliver(
        &self,
        _: EffectContext,
        _: &ComponentKey,
        _: &RevisionId,
        _: &DeliveredConfiguration,
    ) -> PortResult<()> {
        let message = "nothing in this world takes configuration: release it without any";
        Err(PortError::new(PortErrorKind::Unsupported, "surface.deliver", message))
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        match self.ask(Asked::Observe { key: key.clone() }).await? {
            Answer::Seen(seen) => Ok(*seen),
            _ => Err(beside_the_point()),
        }
    }

    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>> {
        match self.ask(Asked::List { tenant, environment }).await? {
            Answer::Listed(listed) => Ok(listed),
            _ => Err(beside_the_point()),
        }
    }
}
