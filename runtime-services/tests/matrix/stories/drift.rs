//! What somebody did by hand.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::drift::watch::{Outlook, WatchTerms};
use runtime_domain::drift::{DriftKind, RemediationMode};
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::DeploymentId;
use runtime_domain::surface::EffectOwner;
use runtime_domain::value::Name;
use runtime_ports::desired_state::DesiredReleases;
use runtime_ports::manifest::ReleaseManifest;
use runtime_testkit::faults::Call;
use runtime_testkit::sample;
use serde_json::json;

use super::{FENCED, Story, image, is_commit_of, owner};
use crate::stage::Stage;

/// Replicas are taken away, and a component is started that nothing desires.
pub(crate) struct Repaired;

fn desired() -> DesiredReleases {
    let manifest: ReleaseManifest = serde_json::from_value(json!({
        "release": "shop-1",
        "strategy": super::rolling(),
        "components": { "web": { "image": image("web", 1), "version": "1", "replicas": 3 } },
    }))
    .unwrap();
    DesiredReleases::new(BTreeMap::from([("shop.yaml".to_owned(), manifest)])).unwrap()
}

async fn is_in_sync(stage: &Stage) -> bool {
    let watched = stage.caller().drift().watched(&stage.scope, stage.environment("shop")).await.unwrap();
    matches!(watched.outlook(), Some(Outlook::InSync { .. }))
}

#[async_trait(?Send)]
impl Story for Repaired {
    fn name(&self) -> &'static str {
        "drift: repaired"
    }
    fn class(&self) -> &'static str {
        FENCED
    }
    fn is_own(&self, call: &Call) -> bool {
        is_commit_of(call, "drift") || matches!(owner(call), Some(EffectOwner::DriftFinding(_)))
    }
    async fn prepare(&self, stage: &Stage) {
        stage.provision("shop", IsolationModel::Silo).await;
        stage.world.said.desires(format!("git:{:040x}", 1).parse().unwrap(), desired());
        let mut terms = WatchTerms::new("shop".parse().unwrap());
        terms.remediation.modes = DriftKind::ALL.map(|kind| (kind, RemediationMode::Remediate)).into();
        stage.caller().drift().watch(&stage.scope, stage.environment("shop"), terms).await.unwrap();
        stage.work_until("it is in sync", async || is_in_sync(stage).await).await;
    }
    async fn begin(&self, stage: &Stage) {
        let web = stage.key("shop", "web");
        let revision = stage.running(&web).into_keys().next().unwrap();
        let mut spec = stage.world.surface.spec(&web, &revision).unwrap();
        stage.world.surface.scale_by_hand(&web, 1);
        let name = Name::new("stranger").unwrap();
        spec.key = stage.key("shop", "stranger");
        spec.revision = RevisionId::new(name.clone(), DeploymentId::from_uuid(sample::host(77).uuid()));
        spec.component.module = name;
        stage.world.surface.start_by_hand(spec, 1);
    }
    async fn is_settled(&self, stage: &Stage) -> bool {
        let replicas: u16 =
            stage.running(&stage.key("shop", "web")).into_values().map(|(replicas, _)| replicas).sum();
        let is_alone = stage.running(&stage.key("shop", "stranger")).is_empty();
        let open =
            stage.caller().drift().open_findings(&stage.scope, stage.environment("shop")).await.unwrap();
        replicas == 3 && is_alone && open.is_empty() && is_in_sync(stage).await
    }
}
