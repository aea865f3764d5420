//! One evaluation: what is seen becomes a result, and where it says something new, an aggregate.

use runtime_domain::aggregate::{Aggregate as _, Decision};
use runtime_domain::component::ComponentSpec;
use runtime_domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthEvent, HealthStatus, ProbeKind, RecordHealthCheck,
    Thresholds, Verdict,
};
use runtime_domain::id::HealthCheckResultId;
use runtime_domain::inventory::{FRESHNESS, HEARTBEAT, RuntimeService, RuntimeStatus, ServiceState};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::health_results::HealthRecord;
use runtime_ports::store::{CommitError, Lease};

use crate::error::CommandError;
use crate::health::probes::entry;
use crate::health::{HealthError, HealthService};
use crate::unit::{Grounds, commit};

/// How old what the inventory shows may be to be judged: a heartbeat, and another that is late.
const RECENT: Span = HEARTBEAT.times(2);

impl HealthService {
    /// Evaluates a service, under the lease of whoever looks at it, and records the result. `None` where nothing of it can be told, or
    /// somebody else has told it just now.
    pub(crate) async fn record(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        lease: Option<&Lease>,
    ) -> Result<Option<HealthCheckResult>, HealthError> {
        let begun = self.host.now();
        if !was_seen(service, begun) {
            return Ok(None);
        }
        let serving = self.inventory.deployments();
        let declared = serving.serving_version(scope, service.environment(), service.module_id()).await?;
        let component = declared.as_ref().map(|declared| declared.component());
        let Some(entries) = self.entries(scope, service, component).await? else { return Ok(None) };
        let previous = self.latest(scope, service.environment(), service.module_id()).await?;
        let now = self.host.now().max(Span::from_millis(1).after(begun));
        let is_fresh = |record: &&HealthRecord| {
            let evaluated_at = record.result.evaluated_at();
            Span::between(evaluated_at, now).max(Span::between(now, evaluated_at)) <= FRESHNESS
        };
        let current = &service.version().revision;
        let continued = previous
            .as_ref()
            .filter(is_fresh)
            .filter(|previous| previous.revision.as_ref().is_none_or(|revision| revision == current));
        let window = window(continued, begun, now)?;
        let command = RecordHealthCheck {
            health_check_result_id: HealthCheckResultId::from_uuid(self.host.ports().ids.next()),
            tenant_id: scope.tenant(),
            environment_id: service.environment(),
            service_id: service.service_id(),
            module_id: service.module_id().clone(),
            evaluation_window: window,
            entries,
            previous: previous.as_ref().map(|previous| previous.result.verdict()),
            is_continued: continued.is_some(),
            thresholds: thresholds(component),
        };
        let decision = HealthCheckResult::record(command, now).map_err(CommandError::Refused)?;
        let events = decision.events.iter().map(|event| (event, now));
        let result = HealthCheckResult::evolve_all(None, events).ok().flatten();
        let Some(result) = result else { return Err(CommandError::Contended) };
        let is_told = continued.is_none_or(|before| self.is_news(before, result.verdict(), now));
        if is_told && !self.tell(scope, &decision, lease, now).await? {
            return Ok(None);
        }
        if let Some(recorder) = &self.recorder {
            recorder.offer(scope, HealthRecord { result: result.clone(), revision: Some(current.clone()) });
        }
        Ok(Some(result))
    }

    /// Whether a result must be an aggregate. What is believed of a service is always among them; how far it is contradicted is in the
    /// records, where there are any.
    fn is_news(&self, before: &HealthRecord, verdict: Verdict, now: Timestamp) -> bool {
        let before_it = before.result.verdict();
        match &self.recorder {
            Some(_) => before_it.status != verdict.status,
            None => before_it != verdict || Span::between(before.result.evaluated_at(), now) >= HEARTBEAT,
        }
    }

    /// Makes an aggregate of a result. False where another has told the same window.
    async fn tell(
        &self,
        scope: &TenantScope,
        decision: &Decision<HealthEvent>,
        lease: Option<&Lease>,
        now: Timestamp,
    ) -> Result<bool, HealthError> {
        let store = self.host.ports().store.for_tenant(scope);
        let grounds = Grounds { lease, ..Grounds::default() };
        match commit::<HealthCheckResult>(&self.host, &*store, None, decision, grounds, now).await {
            Ok(_) => Ok(true),
            Err(CommitError::AlreadyHandled | CommitError::ClaimHeld { .. }) => Ok(false),
            Err(CommitError::Port(error)) => Err(CommandError::Port(error)),
            Err(_) => Err(CommandError::Contended),
        }
    }

    /// What is seen of a service: its status as a whole, what each instance answers, and how that is which it depends on. `None` where that
    /// does not tell how it is: nothing is known, or what was declared could not be asked and nothing else is wrong.
    async fn entries(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        component: Option<&ComponentSpec>,
    ) -> Result<Option<Vec<CheckEntry>>, HealthError> {
        let Some(whole) = status_of(service.status()) else { return Ok(None) };
        let seen = why(service.state()).map(|why| (CheckEntry::SEEN.to_owned(), why.to_owned()));
        let own =
            Name::new("instances").map(|probe| entry(probe, ProbeKind::Itself, whole, Span::ZERO, seen));
        let mut entries: Vec<CheckEntry> = own.into_iter().collect();
        let Some(component) = component else { return Ok(Some(entries)) };
        let probed = self.probes(service, component).await;
        entries.extend(probed.entries);
        entries.extend(self.dependencies(scope, service, component, entries.len()).await?);
        let worst = HealthStatus::worst(entries.iter().map(CheckEntry::counts_as));
        let is_told = worst.is_some_and(|worst| worst > HealthStatus::Healthy || probed.unasked == 0);
        Ok(is_told.then_some(entries))
    }
}

/// The time since the result before, so that no two results are about the same; that of the looking alone where there is none that counts.
fn window(
    continued: Option<&HealthRecord>,
    begun: Timestamp,
    now: Timestamp,
) -> Result<EvaluationWindow, HealthError> {
    let since = continued.map(|before| before.result.evaluation_window().end());
    let whole = since.and_then(|since| EvaluationWindow::new(since, now).ok());
    whole.map_or_else(|| EvaluationWindow::new(begun, now).map_err(|_| CommandError::Contended), Ok)
}

/// As many failures as the component's readiness says, else the usual.
fn thresholds(component: Option<&ComponentSpec>) -> Thresholds {
    let readiness = component.and_then(|component| component.readiness.as_ref());
    readiness
        .map_or(Thresholds::default(), |readiness| Thresholds::failing_after(readiness.failure_threshold))
}

/// Whether what the inventory shows is recent enough to be judged.
fn was_seen(service: &RuntimeService, now: Timestamp) -> bool {
    service.last_observed_at().is_some_and(|seen| Span::between(seen, now) <= RECENT)
}

/// What the inventory's status means for health; `None` where nothing is known.
const fn status_of(status: RuntimeStatus) -> Option<HealthStatus> {
    match status {
        RuntimeStatus::Running => Some(HealthStatus::Healthy),
        RuntimeStatus::Starting | RuntimeStatus::Degraded => Some(HealthStatus::Degraded),
        RuntimeStatus::Unavailable => Some(HealthStatus::Unhealthy),
        RuntimeStatus::Unknown | RuntimeStatus::Retired => None,
    }
}

/// Why a service is not as it should be, where the inventory says.
fn why(state: &ServiceState) -> Option<&str> {
    match state {
        ServiceState::Degraded(state) => Some(&state.why),
        ServiceState::Unavailable(state) => Some(&state.why),
        _ => None,
    }
}
