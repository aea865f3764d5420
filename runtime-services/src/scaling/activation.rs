//! Listens for what waits at services that run no replica, and has their policies evaluated at once.
//!
//! What is told is made durable before anything is done about it: whichever host has the policy's lease acts.

use std::sync::Arc;

use runtime_domain::scope::TenantScope;
use runtime_ports::scaling_signals::ScalingSignals;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::scaling::ScalingService;

/// Listens to one source until it is told to stop.
pub(crate) async fn listen(
    host: Host,
    scaling: ScalingService,
    source: Arc<dyn ScalingSignals>,
    stop: CancellationToken,
) {
    let operator = host.operator("scaling");
    loop {
        let waiting = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            waiting = source.waiting() => waiting,
        };
        for key in waiting {
            let scope: TenantScope = operator.for_tenant(key.tenant, host.new_correlation());
            if let Err(error) = scaling.activate(&scope, key.environment, &key.module).await {
                tracing::warn!(%key, %error, "what waits could not be noted; trying again");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = host.ports().clock.sleep_until(host.options().poll.after(host.now())) => {}
        }
    }
}
