//! Artifacts that are kept wrongly.

use async_trait::async_trait;
use runtime_domain::id::TenantId;
use runtime_domain::scope::{OperatorScope, TenantScope};
use runtime_domain::time::{Span, Timestamp};
use runtime_memory::MemoryArtifacts;
use runtime_ports::artifacts::{
    Artifact, ArtifactKey, ArtifactQuery, ArtifactReader, ArtifactStore, ArtifactWriter, TenantArtifacts,
};
use runtime_ports::retention::{Pruned, Pruner};
use runtime_ports::store::{Cursor, Page};
use runtime_ports::subject::ContentDigest;
use runtime_ports::{PortErrorKind, PortResult};
use runtime_testkit::conformance::{self, AdapterFactory, Persistence};
use runtime_testkit::sample;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    AcceptsOtherContent,
    AcceptsAnyDigest,
    AcceptsMore,
    ForgetsWhenClosed,
    MixesTenants,
    PagesByOffset,
    PrunesOneMore,
    PrunesWithoutEnd,
    ReversesPages,
    ShowsWhatIsBegun,
    Truncates,
}

struct Broken {
    bug: Bug,
    inner: MemoryArtifacts,
}

struct Handle {
    bug: Bug,
    tenant: TenantId,
    inner: Box<dyn TenantArtifacts>,
    store: MemoryArtifacts,
}

impl ArtifactStore for Broken {
    fn tenant_artifacts(&self, scope: &TenantScope) -> Box<dyn TenantArtifacts> {
        let inner = self.inner.tenant_artifacts(scope);
        Box::new(Handle { bug: self.bug, tenant: scope.tenant(), inner, store: self.inner.clone() })
    }

    fn artifact_pruner(&self, scope: &OperatorScope) -> Box<dyn Pruner> {
        Box::new(Operator(self.bug, self.inner.artifact_pruner(scope)))
    }

    fn largest_artifact(&self) -> u64 {
        let less = u64::from(self.bug == Bug::AcceptsMore) * 1_000;
        self.inner.largest_artifact() - less
    }
}

struct Writer {
    bug: Bug,
    inner: Box<dyn ArtifactWriter>,
    key: ArtifactKey,
    written: Vec<u8>,
    at: Timestamp,
}

#[async_trait]
impl ArtifactWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> PortResult<()> {
        self.written.extend(bytes);
        let most = if self.bug == Bug::Truncates { 65_536 } else { usize::MAX };
        let rest = most.saturating_sub(self.written.len() - bytes.len());
        self.inner.write(bytes.get(..rest).unwrap_or(bytes)).await
    }

    async fn finish(self: Box<Self>, expected: Option<ContentDigest>) -> PortResult<Artifact> {
        let expected = expected.filter(|_| !matches!(self.bug, Bug::AcceptsAnyDigest | Bug::Truncates));
        match self.inner.finish(expected).await {
            Err(error) if self.bug == Bug::AcceptsOtherContent && error.kind() == PortErrorKind::Invalid => {
                let size = u64::try_from(self.written.len()).unwrap();
                let digest = ContentDigest::of(&self.written);
                Ok(Artifact { key: self.key, size, digest, stored_at: self.at })
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl TenantArtifacts for Handle {
    async fn begin(&self, key: &ArtifactKey, at: Timestamp) -> PortResult<Box<dyn ArtifactWriter>> {
        if self.bug == Bug::ShowsWhatIsBegun {
            let begun = self.inner.begin(key, at).await?;
            begun.finish(None).await.ok();
        }
        let inner = self.inner.begin(key, at).await?;
        Ok(Box::new(Writer { bug: self.bug, inner, key: key.clone(), written: Vec::new(), at }))
    }

    async fn open(&self, key: &ArtifactKey) -> PortResult<Option<Box<dyn ArtifactReader>>> {
        if self.bug == Bug::MixesTenants && self.tenant != sample::tenant(1) {
            return self.store.tenant_artifacts(&sample::scope(1)).open(key).await;
        }
        self.inner.open(key).await
    }

    async fn list(&self, query: &ArtifactQuery) -> PortResult<Page<Artifact>> {
        match self.bug {
            Bug::PagesByOffset => {
                let offset = query.after.as_ref().map_or(0, |cursor| cursor.0.parse().unwrap_or(0));
                let all = ArtifactQuery { after: None, limit: 1_000, ..query.clone() };
                let mut items = self.inner.list(&all).await?.items;
                let mut items = items.split_off(offset.min(items.len()));
                let limit = usize::try_from(query.limit).unwrap();
                let next = (items.len() > limit).then(|| Cursor((offset + limit).to_string()));
                items.truncate(limit);
                Ok(Page { items, next })
            }
            Bug::ReversesPages => {
                let mut page = self.inner.list(query).await?;
                page.items.reverse();
                Ok(page)
            }
            _ => self.inner.list(query).await,
        }
    }
}

struct Operator(Bug, Box<dyn Pruner>);

#[async_trait]
impl Pruner for Operator {
    async fn prune(&self, before: Timestamp, most: u32) -> PortResult<Pruned> {
        match self.0 {
            Bug::PrunesOneMore => self.1.prune(Span::from_millis(1).after(before), most).await,
            Bug::PrunesWithoutEnd => self.1.prune(before, u32::MAX).await,
            _ => self.1.prune(before, most).await,
        }
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Broken;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Broken> {
        Ok(Broken { bug: self.0, inner: MemoryArtifacts::with_largest(300_000) })
    }

    async fn reopen(&self, adapter: Broken) -> PortResult<Broken> {
        if self.0 == Bug::ForgetsWhenClosed { self.fresh().await } else { Ok(adapter) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trial_of_artifacts_is_failed_by_a_broken_store() {
    let bugs = [
        (Bug::AcceptsOtherContent, "an artifact never changes"),
        (Bug::AcceptsOtherContent, "of many writers of one artifact one wins"),
        (Bug::AcceptsAnyDigest, "what is not as expected is refused"),
        (Bug::AcceptsMore, "what is too large is refused"),
        (Bug::ForgetsWhenClosed, "what was finished survives reopening"),
        (Bug::MixesTenants, "another tenants artifacts are not there"),
        (Bug::PagesByOffset, "a cursor of another query is invalid"),
        (Bug::PrunesOneMore, "pruning removes exactly what is older"),
        (Bug::PrunesWithoutEnd, "pruning goes step by step"),
        (Bug::ReversesPages, "a subjects artifacts are listed by name"),
        (Bug::ShowsWhatIsBegun, "nothing is shown before it is finished"),
        (Bug::Truncates, "what was written is read"),
    ];
    crate::tried(Bug::None, &bugs, |bug| conformance::artifacts(Factory(bug))).await;
}
