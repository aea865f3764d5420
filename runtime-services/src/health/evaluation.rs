//! One evaluation: what is seen becomes a result, and where it says something new, an aggregate.

use std::sync::atomic::Ordering;

use runtime_domain::aggregate::{Aggregate as _, Decision};
use runtime_domain::component::RevisionId;
use runtime_domain::health::{
    CheckEntry, EvaluationWindow, HealthCheckResult, HealthEvent, HealthStatus, ProbeKind, RecordHealthCheck,
    Thresholds, Verdict,
};
use runtime_domain::id::HealthCheckResultId;
use runtime_domain::inventory::{Degraded, HEARTBEAT, RuntimeService, RuntimeStatus, ServiceState};
use runtime_domain::scope::TenantScope;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Name;
use runtime_ports::health_results::HealthRecord;
use runtime_ports::store::{CommitError, Lease};

use crate::error::CommandError;
use crate::health::familiar::{Before, Declared, Familiar, Last};
use crate::health::probes::entry;
use crate::health::{HealthError, HealthService};
use crate::observed::decided;
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
        familiar: &mut Familiar,
    ) -> Result<Option<HealthCheckResult>, HealthError> {
        let begun = self.host.now();
        if !was_seen(service, begun) {
            return Ok(None);
        }
        let current = &service.version().revision;
        let declared = self.declared(scope, current, familiar).await?;
        let Some(entries) = self.entries(scope, service, declared.as_ref()).await? else { return Ok(None) };
        let before = self.before(scope, service, familiar).await?;
        let now = self.host.now().max(Span::from_millis(1).after(begun));
        let continued = before.last.as_ref().filter(|last| last.is_continued_by(current, now));
        let window = window(continued, begun, now)?;
        let command = RecordHealthCheck {
            health_check_result_id: HealthCheckResultId::from_uuid(self.host.ports().ids.next()),
            tenant_id: scope.tenant(),
            environment_id: service.environment(),
            service_id: service.service_id(),
            module_id: service.module_id().clone(),
            evaluation_window: window,
            entries,
            previous: before.last.as_ref().map(|last| last.verdict),
            is_continued: continued.is_some(),
            thresholds: declared.as_ref().map_or(Thresholds::default(), Declared::thresholds),
        };
        let decision = decided(|| HealthCheckResult::record(command, now)).map_err(CommandError::Refused)?;
        let events = decision.events.iter().map(|event| (event, now));
        let result = HealthCheckResult::evolve_all(None, events).ok().flatten();
        let Some(result) = result else { return Err(CommandError::Contended) };
        let is_told = continued.is_none_or(|last| self.is_news(last, before.told, result.verdict(), now));
        if is_told {
            // Until it is known what became of it.
            let remembered = std::mem::take(familiar);
            if !self.tell(scope, &decision, lease, now).await? {
                return Ok(None);
            }
            *familiar = remembered;
        }
        let record = HealthRecord { result: result.clone(), revision: Some(current.clone()) };
        familiar.goes_on(&record, is_told);
        if let Some(recorder) = &self.recorder {
            recorder.offer(scope, record);
        }
        Ok(Some(result))
    }

    /// What a revision was declared with; `None` where nothing is known of it.
    async fn declared(
        &self,
        scope: &TenantScope,
        revision: &RevisionId,
        familiar: &mut Familiar,
    ) -> Result<Option<Declared>, HealthError> {
        let asked = self.asked.load(Ordering::Acquire);
        if let Some(declared) = familiar.declared(revision, self.host.now(), asked) {
            return Ok(declared);
        }
        let version = self.inventory.deployments().version_of(scope, revision).await?;
        let declared = version.map(|version| Declared::of(version.component()));
        familiar.learn_declared(revision, declared.clone());
        Ok(declared)
    }

    /// The result before this one, and what the world was told.
    async fn before(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        familiar: &mut Familiar,
    ) -> Result<Before, HealthError> {
        // Counted before it is read: one that is asked for meanwhile has it read again.
        let (now, asked) = (self.host.now(), self.asked.load(Ordering::Acquire));
        if let Some(before) = familiar.before(now, asked) {
            return Ok(before.clone());
        }
        let (environment, module) = (service.environment(), service.module_id());
        if let Some(known) = familiar.known(asked).filter(|known| known.told.is_some()) {
            let told = self.told(scope, environment, module).await?;
            if told.map(|told| told.result.health_check_result_id()) == known.teller {
                let before = known.clone();
                familiar.learn_before(before.clone(), now, asked);
                return Ok(before);
            }
        }
        let latest = self.latest_of_each(scope, environment, module).await?;
        let teller = latest.told.as_ref().map(|told| told.result.health_check_result_id());
        let told = latest.told.as_ref().map(|told| told.result.verdict().status);
        let before = Before { last: latest.newest().as_ref().map(Last::of), told, teller };
        familiar.learn_before(before.clone(), now, asked);
        Ok(before)
    }

    /// Whether a result must be an aggregate. What is believed of a service is always among them; how far it is contradicted is in the
    /// records, where there are any.
    fn is_news(&self, last: &Last, told: Option<HealthStatus>, verdict: Verdict, now: Timestamp) -> bool {
        match &self.recorder {
            Some(_) => told != Some(verdict.status),
            None => last.verdict != verdict || Span::between(last.evaluated_at, now) >= HEARTBEAT,
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

    /// How a service is by what the inventory says of it; `None` where nothing is known. Where as many instances serve as are wanted, and all are
    /// of the version that a rollout in flight brings, its clients lack nothing: a rollout may bake for hours before its version is recorded.
    async fn whole(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
    ) -> Result<Option<HealthStatus>, HealthError> {
        let status = status_of(service.status());
        let ServiceState::Degraded(Degraded { seen, .. }) = service.state() else { return Ok(status) };
        if seen.serving() < usize::from(seen.wanted) || seen.serves(&service.version().revision) {
            return Ok(status);
        }
        let deployments = self.inventory.deployments();
        let in_flight = deployments.in_flight_of(scope, service.environment(), service.module_id()).await?;
        let is_brought = in_flight.is_some_and(|deployment| {
            let mut serving = seen.instances.iter().filter(|instance| instance.serves());
            serving.all(|instance| instance.revision.deployment == deployment.id())
        });
        Ok(if is_brought { Some(HealthStatus::Healthy) } else { status })
    }

    /// What is seen of a service: its status as a whole, what each instance answers, and how that is which it depends on. `None` where that
    /// does not tell how it is: nothing is known, or what was declared could not be asked and nothing else is wrong.
    async fn entries(
        &self,
        scope: &TenantScope,
        service: &RuntimeService,
        declared: Option<&Declared>,
    ) -> Result<Option<Vec<CheckEntry>>, HealthError> {
        let Some(whole) = self.whole(scope, service).await? else { return Ok(None) };
        let seen = why(service.state()).map(|why| (CheckEntry::SEEN.to_owned(), why.to_owned()));
        let own =
            Name::new("instances").map(|probe| entry(probe, ProbeKind::Itself, whole, Span::ZERO, seen));
        let mut entries: Vec<CheckEntry> = own.into_iter().collect();
        let Some(declared) = declared else { return Ok(Some(entries)) };
        let probed = self.probes(service, declared).await;
        entries.extend(probed.entries);
        let needed = self.dependencies(scope, service, declared, entries.len()).await?;
        entries.extend(needed.entries);
        let worst = HealthStatus::worst(entries.iter().map(CheckEntry::counts_as));
        let is_told =
            worst.is_some_and(|worst| worst > HealthStatus::Healthy || probed.unasked + needed.unasked == 0);
        Ok(is_told.then_some(entries))
    }
}

/// The time since the result before, so that no two results are about the same; that of the looking alone where there is none that counts.
fn window(
    continued: Option<&Last>,
    begun: Timestamp,
    now: Timestamp,
) -> Result<EvaluationWindow, HealthError> {
    let whole = continued.and_then(|before| EvaluationWindow::new(before.until, now).ok());
    whole.map_or_else(|| EvaluationWindow::new(begun, now).map_err(|_| CommandError::Contended), Ok)
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
