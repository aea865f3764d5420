//! What an instance has of its configuration, and what it says that it runs with.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use runtime_domain::component::{ConfigurationVersionRef, HttpPath};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::surface::InstanceState;
use runtime_domain::time::Span;
use runtime_ports::prober::{ProbeAnswer, ProbeRequest};

use crate::component::Component;
use crate::instance::Instance;
use crate::proxy::upstream::Upstream;
use crate::state::GivenConfiguration;

/// How often an instance is asked that has not said yes yet, or is looked at that is not ready to be told.
const PERIOD: Duration = Duration::from_millis(100);
/// How long an answer may take.
const TIMEOUT: Span = Span::from_secs(1);

/// Returns, with the later configuration, once the instance should have one and is ready to be told of it. Before it is ready, it may
/// not listen for being told.
pub(crate) async fn outdated(
    instance: &Instance,
    given: Option<&GivenConfiguration>,
) -> Arc<DeliveredConfiguration> {
    let mut wanted = instance.wanted();
    loop {
        let later = wanted.borrow_and_update().clone();
        let later = later.filter(|wanted| given.is_none_or(|given| given.version < wanted.version()));
        match later {
            Some(later) if instance.state() == InstanceState::Ready => return later,
            Some(_) => tokio::time::sleep(PERIOD).await,
            None => {
                if wanted.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Asks an instance that can tell until it says that it runs with what it was given. One that cannot tell is not asked.
pub(crate) async fn confirm(
    component: &Component,
    instance: &Instance,
    upstream: &Upstream,
    given: Option<&GivenConfiguration>,
) -> Infallible {
    let declared = instance.spec.component.configuration.report.as_ref();
    let question = declared.zip(given).and_then(|(path, given)| question(path, &given.reference));
    if let (Some(path), Some(given)) = (question, given) {
        let request = ProbeRequest { address: upstream.address().to_string(), path, timeout: TIMEOUT };
        // The prober keeps the time-out; this one only bounds a prober that does not.
        let patience = TIMEOUT.to_std() * 3;
        loop {
            let asked = component.shared.options.prober.probe(&request);
            if let Ok(Ok(ProbeAnswer::Answered { status: 200..=299, .. })) =
                tokio::time::timeout(patience, asked).await
            {
                instance.set_consumed(Some(given.reference.clone()));
                break;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }
    std::future::pending().await
}

/// `None` where the path has no room for the question: then nobody knows.
fn question(path: &HttpPath, asked: &ConfigurationVersionRef) -> Option<HttpPath> {
    let mark = if path.as_str().contains('?') { '&' } else { '?' };
    HttpPath::new(&format!("{}{mark}checksum={}", path.as_str(), asked.checksum)).ok()
}
