//! Handing endpoints over: another component's proxy answers what comes to a component's listener.
//!
//! The wish is part of the record of the component whose endpoint it is, so one file says who answers, whole or not at all; it is fenced
//! and recognised as every effect on that component. Each request asks anew who answers it, so open connections move too. A component of
//! which nothing runs any more keeps its listener.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use runtime_domain::surface::ComponentKey;
use runtime_ports::handover::EndpointHandover;
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortError, PortErrorKind, PortResult};

use crate::component::{Change, Component};
use crate::surface::ProcessSurface;

const OPERATION: &str = "handover.hand_over";

/// Puts in force who answers at the endpoint of `from`, as far as that component exists now.
pub(crate) fn link(from: &Component, find: impl Fn(&ComponentKey) -> Option<Arc<Component>>) {
    let stand_in = from.handed_to().and_then(|to| find(&to));
    from.proxy.let_answer(stand_in.map_or_else(Weak::new, |to| Arc::downgrade(&to.proxy)));
}

#[async_trait]
impl EndpointHandover for ProcessSurface {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        if from.tenant != to.tenant {
            let message = "X-1: an endpoint is handed over within one tenant: name two of its components";
            return Err(PortError::new(PortErrorKind::Invalid, OPERATION, message));
        }
        let source = self.existing(OPERATION, from)?;
        let target = self.existing(OPERATION, to)?;
        if from != to && target.handed_to().is_some() {
            let message = format!("{to} has handed its own endpoint over: take that back first");
            return Err(PortError::new(PortErrorKind::Invalid, OPERATION, message));
        }
        let to = (from != to).then(|| to.clone());
        source.perform(context, Change::HandOver { to }).await?;
        link(&source, |key| self.component(key));
        Ok(())
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let Some(found) = self.component(component).filter(|found| found.proxy.port().is_some()) else {
            return Ok(None);
        };
        // Told as the data plane does it: a stand-in that is gone does not answer.
        let stand_in = found.handed_to().filter(|_| found.proxy.has_stand_in());
        Ok(Some(stand_in.unwrap_or_else(|| component.clone())))
    }
}
