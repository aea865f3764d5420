//! Whether everything has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime_domain::aggregate::{Aggregate, DomainEvent as _};
use runtime_domain::component::RevisionId;
use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::environment::{EnvironmentState, ProvisioningStatus};
use runtime_domain::id::TenantId;
use runtime_domain::surface::Traffic;
use runtime_ports::store::{Loaded, Repository};
use uuid::Uuid;

use super::events::Events;
use super::serving::Serving;
use super::state::State;
use super::{Law, Wrong};
use crate::hosts::Yard;
use crate::records;

/// What of a tenant's has not ended, if anything.
pub(super) async fn unfinished(
    yard: &Yard,
    events: &Events,
    up_to: &mut UpTo,
    state: &State,
) -> Result<Option<String>, Wrong> {
    for environment in state.environments.iter().map(|loaded| &loaded.aggregate) {
        let status = environment.provisioning_status();
        let is_settled = matches!(
            status,
            ProvisioningStatus::Provisioned
                | ProvisioningStatus::ProvisioningFailed
                | ProvisioningStatus::Decommissioned
        );
        if !is_settled {
            let why = match environment.state() {
                EnvironmentState::Decommissioning(state) => state.failure.as_deref(),
                _ => None,
            };
            let why = why.map(|failure| format!(", since {failure}")).unwrap_or_default();
            return Ok(Some(format!("environment {} is still {status:?}{why}", environment.id())));
        }
    }
    for deployment in state.deployments.iter().map(|loaded| &loaded.aggregate) {
        if !deployment.status().is_final() {
            return Ok(Some(format!("deployment {} is still {:?}", deployment.id(), deployment.status())));
        }
    }
    for place in state.places.iter().map(|loaded| &loaded.aggregate) {
        if !place.is_settled() || place.relocation().is_some() {
            return Ok(Some(format!(
                "the tenant's place {} is still {}",
                place.id(),
                place.state().status()
            )));
        }
    }
    let untold = [
        untold(yard, events, up_to, state, &state.environments).await?,
        untold(yard, events, up_to, state, &state.deployments).await?,
        untold(yard, events, up_to, state, &state.configurations).await?,
        untold(yard, events, up_to, state, &state.bindings).await?,
        untold(yard, events, up_to, state, &state.places).await?,
        untold(yard, events, up_to, state, &state.policies).await?,
        untold(yard, events, up_to, state, &state.findings).await?,
    ];
    Ok(untold.into_iter().flatten().next())
}

/// When all has ended, each component's traffic goes to what its newest Completed deployment brought.
pub(super) async fn as_recorded(yard: &Yard, serving: &Serving, state: &State) -> Result<(), Wrong> {
    let provisioned = state.environments.iter().map(|loaded| &loaded.aggregate);
    for environment in provisioned.filter(|it| it.provisioning_status() == ProvisioningStatus::Provisioned) {
        let Ok(seen) = yard.surface.list(state.scope.tenant(), environment.id()).await else { continue };
        for seen in seen.into_iter().filter(|seen| serving.is_expected(&seen.key)) {
            let about = |it: &&RuntimeDeployment| {
                it.environment_id() == environment.id()
                    && it.release().components.contains_key(&seen.key.module)
            };
            let mut newest_first = state.deployments.iter().map(|loaded| &loaded.aggregate).filter(about);
            let newest = newest_first.find(|it| it.status() == DeploymentStatus::Completed);
            let Some(newest) = newest else { continue };
            let revision = RevisionId::new(seen.key.module.clone(), newest.id());
            let routed = seen.traffic.as_ref().map(Traffic::revisions).unwrap_or_default();
            if routed != [&revision] {
                let text = format!("{} should be served by {revision}, and is by {routed:?}", seen.key);
                return Err((Law::EndsAsRecorded, text));
            }
        }
    }
    Ok(())
}

/// Up to where each aggregate's events have come to everybody.
pub(super) type UpTo = BTreeMap<(TenantId, Uuid), u64>;

/// An event that has not come to everybody.
async fn untold<A: Aggregate>(
    yard: &Yard,
    events: &Events,
    up_to: &mut UpTo,
    state: &State,
    of: &[Arc<Loaded<A>>],
) -> Result<Option<String>, Wrong> {
    let store = yard.store.for_tenant(&state.scope);
    let tenant = state.scope.tenant();
    for loaded in of {
        let id = loaded.aggregate.uuid();
        let known = up_to.entry((tenant, id)).or_default();
        if *known == loaded.sequence {
            continue;
        }
        let history = store.history(&Repository::<A>::key(id), *known, 10_000).await;
        let history = history.map_err(|error| (Law::EverythingEnds, records::told(error)))?;
        for entry in history {
            let event: A::Event = serde_json::from_str(&entry.body)
                .map_err(|error| (Law::TrailIsWhole, records::told(error)))?;
            if event.published().is_some() && !events.has_come(tenant, id, entry.sequence) {
                let aggregate = Repository::<A>::key(id);
                return Ok(Some(format!("{} {} of {aggregate} was not told", entry.sequence, entry.event)));
            }
            *known = entry.sequence;
        }
    }
    Ok(None)
}
