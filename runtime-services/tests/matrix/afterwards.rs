//! What a rollout that came to nothing leaves behind: what served before, as it was brought, and nothing charged.

use std::time::Duration;

use runtime_domain::component::{ImageDigest, RevisionId};
use runtime_domain::deployment::DeploymentStatus;
use runtime_domain::environment::IsolationModel;
use runtime_domain::id::ConfigurationId;
use runtime_domain::surface::{EffectId, FencingToken};
use runtime_domain::tenancy::WorkloadDemand;
use runtime_domain::value::Name;
use runtime_ports::surface::{ComputeSurface as _, EffectContext};
use runtime_testkit::faults::Faults;
use runtime_testkit::sample;

use crate::stage::Stage;
use crate::stories::{component, first, release, rolling, tenancy};

/// Every instance of this number's image is never ready.
fn break_image(stage: &Stage, number: u8) {
    stage.world.surface.breaks(ImageDigest::new(&format!("sha256:{number:064x}")).unwrap());
}

/// nomad#8439: an instance of the stable version was lost while another was rolled out, and was replaced by one of the version that nobody had
/// promoted.
#[tokio::test(start_paused = true)]
async fn what_is_lost_of_the_old_revision_comes_back_as_it_was_brought() {
    let stage = Stage::new();
    break_image(&stage, 2);
    let served = stage.serving(first()).await;
    let old = RevisionId::new(Name::new("web").unwrap(), served);
    let key = stage.key("shop", "web");
    let brought = stage.world.surface.spec(&key, &old).unwrap();
    let asked = stage.request("shop", release(2, rolling(), &[component("web", 2, 2)])).await;
    let host = stage.host(Faults::none());
    let is = async |status| stage.status(asked).await == status;
    let patience = Duration::from_secs(600);
    assert!(stage.until(patience, async || is(DeploymentStatus::InProgress).await).await);
    // A delivery's tokens are compared with those of no rollout that comes later.
    let stranger = EffectId::of(ConfigurationId::from_uuid(sample::host(9).uuid()), 1);
    let by_hand = EffectContext { effect: stranger, fence: FencingToken(u64::MAX) };
    stage.world.surface.retire(by_hand, &key, &old).await.unwrap();
    assert!(stage.until(patience, async || stage.world.surface.spec(&key, &old).is_none()).await);
    assert!(stage.until(patience, async || is(DeploymentStatus::RolledBack).await).await);
    host.stop().await;
    assert_eq!(stage.world.surface.spec(&key, &old), Some(brought));
}

/// kubernetes#70563: what could not be created stayed charged to its quota.
///
/// Shows TEN-2.
#[tokio::test(start_paused = true)]
async fn what_a_deployment_was_charged_that_rolled_back_is_given_back() {
    let stage = Stage::new();
    break_image(&stage, 2);
    stage.provision("shop", IsolationModel::Pool).await;
    tenancy::bind(&stage, "shop", IsolationModel::Pool).await;
    let charged = async || {
        let bindings = tenancy::bindings(&stage).await;
        bindings.iter().map(|binding| binding.workloads().charged()).collect::<Vec<WorkloadDemand>>()
    };
    stage.rolled_out(first()).await;
    let before = charged().await;
    let asked = stage.request("shop", release(2, rolling(), &[component("web", 2, 4)])).await;
    assert_ne!(charged().await, before, "what is on its way is charged");
    let ended = async || stage.status(asked).await == DeploymentStatus::RolledBack;
    stage.work_until("it rolls back", ended).await;
    let host = stage.host(Faults::none());
    assert!(stage.until(Duration::from_secs(600), async || charged().await == before).await);
    host.stop().await;
}
