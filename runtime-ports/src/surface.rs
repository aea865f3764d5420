//! Where workloads run.

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::surface::{
    ComponentKey, ComponentObservation, EffectId, FencingToken, RevisionSpec, SurfaceCapabilities, Traffic,
};

use crate::PortResult;

/// Who does an effect, and which: what a surface needs to recognise a repetition and to refuse a host that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EffectContext {
    /// The effect.
    pub effect: EffectId,
    /// The token of the lease that the host holds.
    pub fence: FencingToken,
}

/// A compute surface: it brings revisions of components about, and tells what it sees.
///
/// # Flow
/// `apply` a revision → `observe` until enough instances are ready → `shift_traffic` → `observe` until the data plane shows it →
/// `retire` the old revision → `observe` until it is gone. Every call returns once the surface has accepted the wish; only
/// `observe` tells facts.
///
/// # Guarantees
/// - Effects are level-triggered: each says what should be, not what to change, and repeating one changes nothing. One that was refused is
///   not done: it is tried when it is asked for again.
/// - A fencing token counts from when it is seen, whatever becomes of its effect, also where there was nothing to do: what a later host
///   retired before it began, an earlier one does not begin any more.
/// - A revision is what it was first applied as until it has gone. One that is applied again while it goes stays.
/// - A retired or scaled-down instance gets no new requests, finishes those it has within its grace period, and is then stopped.
/// - Traffic is never sent to an instance that is not ready while another one that is routed is ready.
/// - Traffic that is shifted is shifted atomically: no request sees half a table, and none is lost to the change itself.
/// - Instances outlive the host process; a surface that starts again finds and adopts them.
/// - An instance that ends by itself is started again, of the same revision, with back-off.
/// - What a revision gets of its configuration is complete for each instance before that is started, however often it is started again.
/// - Nothing outside the given tenant, environment and component is touched or shown.
///
/// # Assumptions
/// One host at a time works on a deployment or a scaling policy, kept by its lease; `fence` tells the surface where that broke.
///
/// # Errors
/// [`Unsupported`](crate::PortErrorKind::Unsupported) for what the capabilities do not declare,
/// [`Fenced`](crate::PortErrorKind::Fenced) for a token that is older than one already seen for the same component, of an owner that the
/// effect's [gives way to](runtime_domain::surface::EffectOwner::gives_way_to),
/// [`NotFound`](crate::PortErrorKind::NotFound) where the revision does not exist or is about to go (retiring what is gone is not an error),
/// [`Invalid`](crate::PortErrorKind::Invalid) for a revision that exists with other content, [`Exhausted`](crate::PortErrorKind::Exhausted) for
/// one more than the capabilities declare; those that go still count. A call that was cut off
/// answers with [`Retry::OutcomeUnknown`](crate::Retry::OutcomeUnknown).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ComputeSurface: Send + Sync + 'static {
    /// What the surface can do. Constant for its life.
    fn capabilities(&self) -> SurfaceCapabilities;

    /// Brings a revision about with this number of replicas, creating it where it does not exist. It gets no traffic by this.
    async fn apply(&self, context: EffectContext, revision: &RevisionSpec, replicas: u16) -> PortResult<()>;

    /// Changes how many replicas an existing revision has. Instances beyond the number drain and stop, the newest first.
    async fn scale(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        replicas: u16,
    ) -> PortResult<()>;

    /// Directs the component's traffic. Every revision named must exist.
    async fn shift_traffic(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        traffic: &Traffic,
    ) -> PortResult<()>;

    /// Drains and removes a revision with all its instances. A revision that is gone, or never was, is a success.
    async fn retire(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
    ) -> PortResult<()>;

    /// Gives the instances of an existing revision a later version of its configuration in place, as its component declares: what each has
    /// is replaced as a whole, and it is told. Instances that are started from now on begin with it. A version that is not later than the
    /// one that the revision has changes nothing. Its effects are of [a configuration](runtime_domain::surface::EffectOwner::Configuration),
    /// whose fencing token is compared with those of other deliveries only: a rollout that goes on meanwhile is another's work.
    ///
    /// [`Unsupported`](crate::PortErrorKind::Unsupported) where the component takes no configuration in place.
    async fn deliver(
        &self,
        context: EffectContext,
        key: &ComponentKey,
        revision: &RevisionId,
        configuration: &DeliveredConfiguration,
    ) -> PortResult<()>;

    /// What the surface sees of one component now. A component that was never applied is an observation without revisions.
    async fn observe(&self, key: &ComponentKey) -> PortResult<ComponentObservation>;

    /// Every component that exists in an environment, with what the surface sees of it; the ones nobody remembers, too.
    async fn list(
        &self,
        tenant: TenantId,
        environment: EnvironmentId,
    ) -> PortResult<Vec<ComponentObservation>>;
}
