//! Handing a component's endpoint over to another component, so that its clients keep their address.

use async_trait::async_trait;
use runtime_domain::surface::ComponentKey;

use crate::PortResult;
use crate::surface::EffectContext;

/// Hands endpoints over: requests that come to the endpoint of one component are answered by another one of the same tenant.
///
/// # Flow
/// Bring the other component about until it is ready → `hand_over` → look with `answered_by` until the data plane shows it. To go back, hand
/// over to the component itself.
///
/// # Guarantees
/// - A handover is atomic: each request is answered by the one or by the other, on connections that are open already too, and none is lost
///   to the change itself. Requests under way are finished where they began.
/// - The endpoint keeps its address, whichever component answers, over restarts of the host, and where nothing runs of its own component
///   any more.
/// - A handover is level-triggered: repeating it changes nothing.
/// - Traffic of the component that answers is divided as it would be at its own endpoint.
///
/// # Errors
/// [`NotFound`](crate::PortErrorKind::NotFound) where either does not exist, [`Invalid`](crate::PortErrorKind::Invalid) where they are of different
/// tenants or the one that would answer has handed its own endpoint over, [`Fenced`](crate::PortErrorKind::Fenced) for a token that is older
/// than one already seen for the component whose endpoint it is.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EndpointHandover: Send + Sync + 'static {
    /// From now on `to` answers what comes to the endpoint of `from`.
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()>;

    /// Which component answers now what comes to a component's endpoint; `None` where it has no endpoint.
    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>>;
}
