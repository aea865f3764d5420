//! A surface in memory, which shows what was planted as it was planted, and what is brought as it is brought.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{DeploymentId, EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectClass, InstanceObservation, InstanceState, RevisionObservation,
    RevisionSpec, SurfaceCapabilities, SurfaceKind, Traffic, TrafficControl,
};
use runtime_domain::time::Timestamp;
use runtime_domain::value::ModuleId;
use runtime_ports::clock::Clock as _;
use runtime_ports::surface::{ComputeSurface, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use uuid::Uuid;

use crate::clock::MovableClock;

pub(crate) struct Surface {
    clock: Arc<MovableClock>,
    components: Mutex<BTreeMap<ComponentKey, ComponentObservation>>,
    /// Whether it shows what was planted.
    pub(crate) is_planted: AtomicBool,
    observed: AtomicU64,
    performed: AtomicU64,
}

/// The deployment that brought the planted component with this number.
pub(crate) fn planted(number: u64) -> DeploymentId {
    DeploymentId::from_uuid(Uuid::from_u128((0xd << 64) | u128::from(number)))
}

/// The number of a component's module.
fn number(module: &ModuleId) -> u64 {
    module.as_str().trim_start_matches("component-").parse().unwrap()
}

fn revision(image: String, replicas: u16) -> RevisionObservation {
    let instance = |number| InstanceObservation {
        name: format!("instance-{number}"),
        state: InstanceState::Ready,
        restarts: 0,
        address: Some("127.0.0.1:1".to_owned()),
        configuration: None,
        secrets: Default::default(),
    };
    let instances = (0..replicas).map(instance).collect();
    RevisionObservation { image: image.parse().unwrap(), wanted: replicas, instances, trouble: None }
}

impl Surface {
    pub(crate) fn of(clock: Arc<MovableClock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            components: Mutex::default(),
            is_planted: AtomicBool::new(false),
            observed: AtomicU64::new(0),
            performed: AtomicU64::new(0),
        })
    }

    pub(crate) fn reset(&self) {
        self.observed.store(0, Ordering::Release);
        self.performed.store(0, Ordering::Release);
    }

    pub(crate) fn observed(&self) -> u64 {
        self.observed.load(Ordering::Acquire)
    }

    pub(crate) fn performed(&self) -> u64 {
        self.performed.load(Ordering::Acquire)
    }

    fn change(&self, key: &ComponentKey, change: impl FnOnce(&mut ComponentObservation)) {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let observed_at = self.clock.now();
        let component = components.entry(key.clone()).or_insert_with(|| ComponentObservation {
            key: key.clone(),
            observed_at,
            revisions: BTreeMap::new(),
            traffic: None,
            endpoint: None,
        });
        change(component);
        self.performed.fetch_add(1, Ordering::AcqRel);
    }

    /// A planted component, as the template's was when it was kept.
    fn planted(key: &ComponentKey, observed_at: Timestamp) -> ComponentObservation {
        let id = RevisionId::new(key.module.clone(), planted(number(&key.module)));
        ComponentObservation {
            key: key.clone(),
            observed_at,
            revisions: [(id.clone(), revision(format!("sha256:{:064x}", 1), 2))].into(),
            traffic: Some(Traffic::all_to(id)),
            endpoint: None,
        }
    }
}

#[async_trait]
impl ComputeSurface for Surface {
    fn capabilities(&self) -> SurfaceCapabilities {
        SurfaceCapabilities {
            kind: SurfaceKind::Process,
            traffic: TrafficControl::Weighted,
            concurrent_revisions: 8,
            metrics_by_revision: true,
            effect_class: EffectClass::Fenced,
        }
    }

    async fn apply(&self, _: EffectContext, spec: &RevisionSpec, replicas: u16) -> PortResult<()> {
        let image = spec.component.tuple.image.digest().to_string();
        self.change(&spec.key, |component| {
            component.revisions.insert(spec.revision.clone(), revision(image, replicas));
        });
        Ok(())
    }

    async fn scale(&self, _: EffectContext, key: &ComponentKey, id: &RevisionId, to: u16) -> PortResult<()> {
        self.change(key, |component| {
            let image = component.revisions.get(id).map(|seen| seen.image.to_string()).unwrap();
            component.revisions.insert(id.clone(), revision(image, to));
        });
        Ok(())
    }

    async fn shift_traffic(&self, _: EffectContext, key: &ComponentKey, traffic: &Traffic) -> PortResult<()> {
        self.change(key, |component| component.traffic = Some(traffic.clone()));
        Ok(())
    }

    async fn deliver(
        &self,
        _: EffectContext,
        _: &ComponentKey,
        _: &RevisionId,
        _: &DeliveredConfiguration,
    ) -> PortResult<()> {
        Err(PortError::new(PortErrorKind::Unsupported, "surface.deliver", "nothing here takes configuration"))
    }

    async fn retire(&self, _: EffectContext, key: &ComponentKey, revision: &RevisionId) -> PortResult<()> {
        self.change(key, |component| drop(component.revisions.remove(revision)));
        Ok(())
    }

    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation> {
        let now = self.clock.now();
        let brought = self.components.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let seen = match brought {
            Some(seen) => ComponentObservation { observed_at: now, ..seen },
            None if self.is_planted.load(Ordering::Acquire) => Self::planted(key, now),
            None => ComponentObservation {
                key: key.clone(),
                observed_at: now,
                revisions: BTreeMap::new(),
                traffic: None,
                endpoint: None,
            },
        };
        self.observed.fetch_add(1, Ordering::AcqRel);
        Ok(seen)
    }

    async fn list(&self, _: TenantId, _: EnvironmentId) -> PortResult<Vec<ComponentObservation>> {
        Ok(Vec::new())
    }
}
