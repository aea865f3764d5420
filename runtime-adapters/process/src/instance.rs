//! One replica of a revision, as the surface sees it now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_domain::component::{ConfigurationVersionRef, RevisionId};
use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::secrets::DeliveredSecret;
use runtime_domain::surface::{InstanceObservation, InstanceState, RevisionSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::proxy::upstream::Upstream;

/// The longest text of trouble that an observation carries, in characters.
const TROUBLE_LIMIT: usize = 600;

/// One replica. Its task alone changes the view; everybody else reads it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) spec: Arc<RevisionSpec>,
    view: Mutex<View>,
    /// What it should have of its configuration.
    wanted: watch::Sender<Option<Arc<DeliveredConfiguration>>>,
    /// Set when it should drain and stop for good.
    pub(crate) stop: CancellationToken,
    /// Set once its readiness was looked at for the first time.
    pub(crate) judged: CancellationToken,
}

#[derive(Debug)]
struct View {
    state: InstanceState,
    restarts: u32,
    trouble: Option<String>,
    upstream: Option<Arc<Upstream>>,
    /// The configuration version that its process was seen to run with.
    consumed: Option<ConfigurationVersionRef>,
}

impl Instance {
    pub(crate) fn new(spec: Arc<RevisionSpec>, number: u64, restarts: u32) -> Self {
        let name = instance_name(&spec.revision, number);
        let view =
            View { state: InstanceState::Starting, restarts, trouble: None, upstream: None, consumed: None };
        let wanted = watch::Sender::new(spec.configuration.clone().map(Arc::new));
        Self {
            name,
            number,
            spec,
            view: Mutex::new(view),
            wanted,
            stop: CancellationToken::new(),
            judged: CancellationToken::new(),
        }
    }

    pub(crate) fn revision(&self) -> &RevisionId {
        &self.spec.revision
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> InstanceState {
        self.view().state.clone()
    }

    pub(crate) fn set_state(&self, state: InstanceState) {
        let mut view = self.view();
        if state == InstanceState::Ready {
            view.trouble = None;
        }
        view.state = state;
    }

    /// Says what it should have of its configuration.
    pub(crate) fn want(&self, configuration: Option<&DeliveredConfiguration>) {
        self.wanted.send_if_modified(|wanted| {
            let is_other = wanted.as_deref() != configuration;
            if is_other {
                *wanted = configuration.cloned().map(Arc::new);
            }
            is_other
        });
    }

    /// What it should have of its configuration, now and from time to time.
    pub(crate) fn wanted(&self) -> watch::Receiver<Option<Arc<DeliveredConfiguration>>> {
        self.wanted.subscribe()
    }

    /// Its process was seen to run with this version; with `None`, nobody knows with which.
    pub(crate) fn set_consumed(&self, consumed: Option<ConfigurationVersionRef>) {
        self.view().consumed = consumed;
    }

    /// A process runs, and is reached there.
    pub(crate) fn set_running(&self, upstream: Arc<Upstream>, consumed: Option<ConfigurationVersionRef>) {
        let mut view = self.view();
        view.consumed = consumed;
        view.state = InstanceState::Starting;
        view.upstream = Some(upstream);
    }

    /// Its process has ended.
    pub(crate) fn set_exited(&self, code: Option<i32>, restarts: u32, trouble: String) {
        let mut view = self.view();
        view.state = InstanceState::Exited { code };
        view.restarts = restarts;
        view.upstream = None;
        view.consumed = None;
        view.trouble = Some(bounded(&trouble));
    }

    pub(crate) fn set_trouble(&self, trouble: &str) {
        self.view().trouble = Some(bounded(trouble));
    }

    /// What keeps it from being ready, where that is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        let view = self.view();
        view.trouble.clone().filter(|_| view.state != InstanceState::Ready)
    }

    /// Where requests go, while it is ready for them.
    pub(crate) fn ready_upstream(&self) -> Option<Arc<Upstream>> {
        let view = self.view();
        view.upstream.clone().filter(|_| view.state == InstanceState::Ready)
    }

    pub(crate) fn observation(&self) -> InstanceObservation {
        let view = self.view();
        InstanceObservation {
            name: self.name.clone(),
            state: view.state.clone(),
            restarts: view.restarts,
            address: view.upstream.as_ref().map(|upstream| upstream.address().to_string()),
            secrets: self.spec.secrets.iter().map(DeliveredSecret::to_version_ref).collect(),
            configuration: view.consumed.clone(),
        }
    }
}

/// An instance's name within its component: the module, the end of the deployment's identifier, which differs most, and the number.
pub(crate) fn instance_name(revision: &RevisionId, number: u64) -> String {
    let deployment = revision.deployment.uuid().as_simple().to_string();
    let (_, end) = deployment.split_at(deployment.len().saturating_sub(12));
    format!("{}-{end}-{number}", revision.module)
}

fn bounded(text: &str) -> String {
    text.chars().take(TROUBLE_LIMIT).collect()
}
