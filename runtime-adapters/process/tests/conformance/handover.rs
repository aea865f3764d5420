//! The handover's suite.

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::surface::{ComponentKey, EffectId, FencingToken};
use runtime_ports::PortResult;
use runtime_ports::surface::{ComputeSurface as _, EffectContext};
use runtime_process::ProcessSurface;
use runtime_testkit::conformance::{AdapterFactory, HandoverFactory, Persistence, Verdict, handover};

use crate::{Folders, serve, stage, world};

struct Surfaces(Folders);

fn revision(key: &ComponentKey) -> RevisionId {
    RevisionId::new(key.module.clone(), world::deployment(1))
}

#[async_trait]
impl AdapterFactory for Surfaces {
    type Adapter = ProcessSurface;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<ProcessSurface> {
        Ok(self.0.fresh().await)
    }

    async fn reopen(&self, surface: ProcessSurface) -> PortResult<ProcessSurface> {
        Ok(self.0.reopen(surface).await)
    }
}

#[async_trait]
impl HandoverFactory for Surfaces {
    async fn begin(&self, surface: &ProcessSurface, key: &ComponentKey) -> PortResult<()> {
        serve(surface, key, &revision(key), "", 1).await.map(drop)
    }

    async fn end(&self, surface: &ProcessSurface, key: &ComponentKey) -> PortResult<()> {
        let effect = EffectId::of(world::deployment(1), 9);
        surface.retire(EffectContext { effect, fence: FencingToken(1) }, key, &revision(key)).await?;
        let gone = async {
            while !surface.observe(key).await?.revisions.is_empty() {
                stage::poll_pause().await;
            }
            Ok(())
        };
        tokio::time::timeout(world::PATIENCE, gone).await.expect("it goes")
    }
}

#[tokio::test]
async fn it_keeps_every_promise_of_the_handovers_port() {
    let report = handover(Surfaces(Folders::with(|_| {}))).await;
    report.assert_passed();
    assert!(report.trials().iter().all(|trial| trial.verdict == Verdict::Passed), "{report}");
}
