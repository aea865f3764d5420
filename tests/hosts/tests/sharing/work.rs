//! Tenants, their environments, and what is released into them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use factory_runtime_hosts::World;
use runtime_domain::component::RevisionId;
use runtime_domain::deployment::{DeploymentEvent, DeploymentStatus};
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::id::{DeploymentId, EnvironmentId, ProjectId};
use runtime_domain::scope::TenantScope;
use runtime_domain::surface::{ComponentKey, EffectId, SurfaceKind, Traffic};
use runtime_domain::tenancy::ResourceQuota;
use runtime_domain::value::Name;
use runtime_ports::manifest::ReleaseManifest;
use runtime_services::Services;
use runtime_services::environments::NewEnvironment;
use runtime_testkit::sample;
use uuid::Uuid;

use crate::site::Site;
use crate::until;

const REPLICAS: u16 = 2;

struct Tenant {
    scope: TenantScope,
    environment: EnvironmentId,
}

/// A deployment that was requested.
struct Requested {
    release: u64,
    tenant: usize,
    module: Name,
    deployment: DeploymentId,
}

/// All tenants; the last is quiet.
pub(crate) struct House {
    services: Services,
    world: World,
    components: u64,
    tenants: Vec<Tenant>,
    requested: Mutex<Vec<Requested>>,
}

/// How long each of a tenant's releases took.
pub(crate) struct Quiet(Vec<Duration>);

impl Quiet {
    pub(crate) fn longest(&self) -> Duration {
        self.0.iter().copied().max().unwrap()
    }
}

impl fmt::Debug for Quiet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort();
        write!(formatter, "{:.2?} at the median, {:.2?} at most", sorted[sorted.len() / 2], self.longest())
    }
}

fn manifest(release: &str, module: &str, number: u64) -> ReleaseManifest {
    let image = format!("shop/{module}@sha256:{number:064x}");
    let manifest = serde_json::json!({
        "release": release,
        "strategy": {"rolling-health-gated": {}},
        "components": {module: {"image": image, "version": number.to_string(), "replicas": REPLICAS}},
    });
    serde_json::from_value(manifest).unwrap()
}

impl House {
    /// Asks for every tenant's environment.
    pub(crate) async fn build(site: &Site, components: u64, tenants: u64) -> Self {
        let services = site.services().await;
        let mut built = Vec::new();
        for number in 1..=tenants {
            let scope = sample::scope(number);
            let wanted = NewEnvironment {
                project_id: ProjectId::from_uuid(Uuid::from_u128(u128::from(number))),
                name: Name::new("shared").unwrap(),
                stage: EnvironmentStage::Dev,
                region: Name::new("local").unwrap(),
                isolation_model: IsolationModel::Silo,
                surfaces: [SurfaceKind::Process].into(),
                egress_allow_list: [].into(),
                capacity: ResourceQuota::LARGEST,
            };
            let environment = services.environments().provision(&scope, wanted).await.unwrap().aggregate.id();
            built.push(Tenant { scope, environment });
        }
        let world = site.world.clone();
        Self { services, world, components, tenants: built, requested: Mutex::default() }
    }

    pub(crate) async fn until_admitted(&self) {
        for tenant in &self.tenants {
            until("an environment is there", async || {
                self.services.environments().admit(&tenant.scope, tenant.environment).await.is_ok()
            })
            .await;
        }
    }

    /// Asks for a release of every component of the tenants that are not quiet.
    pub(crate) async fn release(&self, release: u64) {
        let busy = self.tenants.len() - 1;
        for component in 0..self.components {
            let tenant = usize::try_from(component).unwrap() % busy;
            self.request(tenant, &format!("component-{component}"), release, release).await;
        }
    }

    async fn request(&self, tenant: usize, module: &str, release: u64, number: u64) -> DeploymentId {
        let Tenant { scope, environment } = &self.tenants[tenant];
        let manifest = manifest(&format!("{module}-{number}"), module, number);
        let resolved = self.services.deployments().resolve(&manifest).await.unwrap();
        let done = self.services.deployments().request(scope, *environment, resolved).await.unwrap();
        let (module, deployment) = (Name::new(module).unwrap(), done.aggregate.id());
        self.requested.lock().unwrap().push(Requested { release, tenant, module, deployment });
        deployment
    }

    async fn until_deployed(&self, tenant: usize, deployment: DeploymentId) {
        let scope = &self.tenants[tenant].scope;
        until("a deployment ends", async || {
            let found = self.services.deployments().deployment(scope, deployment).await.unwrap();
            let status = found.status();
            assert!(!status.is_final() || status == DeploymentStatus::Completed, "{found:?}");
            status == DeploymentStatus::Completed
        })
        .await;
    }

    pub(crate) async fn until_completed(&self, release: u64) {
        let requested: Vec<(usize, DeploymentId)> = {
            let requested = self.requested.lock().unwrap();
            let of_release = requested.iter().filter(|requested| requested.release == release);
            of_release.map(|requested| (requested.tenant, requested.deployment)).collect()
        };
        for (tenant, deployment) in requested {
            self.until_deployed(tenant, deployment).await;
        }
    }

    /// The quiet tenant's releases, one after the other.
    pub(crate) async fn quiet_waits(&self, module: &str, times: u64) -> Quiet {
        let tenant = self.tenants.len() - 1;
        let mut waits = Vec::new();
        for number in 1..=times {
            let begun = Instant::now();
            let deployment = self.request(tenant, module, 0, number).await;
            self.until_deployed(tenant, deployment).await;
            waits.push(begun.elapsed());
        }
        Quiet(waits)
    }

    /// Of every component exactly what was released last runs, and gets all the traffic.
    pub(crate) fn check_world(&self) {
        let mut last = BTreeMap::new();
        for Requested { tenant, module, deployment, .. } in &*self.requested.lock().unwrap() {
            let Tenant { scope, environment } = &self.tenants[*tenant];
            let key =
                ComponentKey { tenant: scope.tenant(), environment: *environment, module: module.clone() };
            last.insert(key, RevisionId::new(module.clone(), *deployment));
        }
        let running = self.world.running();
        assert!(running.keys().eq(last.keys()), "nothing runs that was not asked for");
        for (key, revision) in last {
            let running = &running[&key];
            assert_eq!(running.revisions, [(revision.clone(), usize::from(REPLICAS))].into(), "{key}");
            let routed = running.traffic.as_ref().map(Traffic::revisions);
            assert_eq!(routed, Some(vec![&revision]), "{key}");
        }
    }

    /// Every deployment's history is without gaps, and records every effect once, after it was intended.
    pub(crate) async fn check_histories(&self) {
        let deployments: Vec<(usize, DeploymentId)> = {
            let requested = self.requested.lock().unwrap();
            requested.iter().map(|requested| (requested.tenant, requested.deployment)).collect()
        };
        for (tenant, deployment) in deployments {
            let scope = &self.tenants[tenant].scope;
            let history = self.services.deployments().history(scope, deployment, 0, 1_000).await.unwrap();
            let mut is_open: BTreeMap<EffectId, bool> = BTreeMap::new();
            for (entry, number) in history.iter().zip(1..) {
                assert_eq!(entry.sequence, number, "{deployment}: no gaps");
                let (effect, is_intention) = match serde_json::from_str(&entry.body).unwrap() {
                    DeploymentEvent::EffectIntended { effect, .. } => (effect, true),
                    DeploymentEvent::EffectPerformed { effect } => (effect, false),
                    _ => continue,
                };
                let before = is_open.insert(effect, is_intention);
                assert_eq!(before, if is_intention { None } else { Some(true) }, "{effect} is recorded once");
            }
            assert!(is_open.values().all(|is_open| !is_open), "{deployment}: nothing is left undone");
        }
    }
}
