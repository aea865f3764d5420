//! Repairs: planned durably, then begun, then followed to their end.

use std::collections::{BTreeMap, BTreeSet};

use runtime_domain::calendar::CalendarRefusal;
use runtime_domain::deployment::{DeploymentRefusal, DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::drift::{
    DriftCommand, DriftRefusal, DriftState, PlanRemediation, Remediating, RemediationAction,
};
use runtime_domain::environment::EnvironmentRefusal;
use runtime_domain::id::DeploymentId;
use runtime_domain::refusal::Refusal as _;
use runtime_domain::surface::EffectId;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::ModuleId;
use runtime_ports::store::Repository;
use runtime_ports::surface::EffectContext;
use runtime_ports::{PortErrorKind, Retry};

use super::{Finding, Pass};
use crate::deployments::RepairError;
use crate::drift::look::Looked;
use crate::drift::remedy::Remedy;
use crate::error::CommandError;
use crate::observed::decided;
use crate::reconcile::in_words;
use crate::unit::Grounds;
use crate::worker::PassError;

/// How long a repair that may not begin is put off at the most, before it is asked again whether it may.
const PUT_OFF: Span = Span::from_secs(900);

impl Pass<'_> {
    /// Carries on with the repairs that are under way, and tells whether any is.
    pub(super) async fn follow(
        &self,
        looked: &Looked,
        open: Vec<(Finding, Option<Timestamp>)>,
    ) -> Result<bool, PassError> {
        let mut deployments: BTreeMap<DeploymentId, Vec<(Finding, Option<Timestamp>)>> = BTreeMap::new();
        let mut is_repairing = false;
        for (finding, seen_at) in open {
            let DriftState::Remediating(remediating) = finding.aggregate.state() else { continue };
            match remediating.action {
                RemediationAction::Redeploy { deployment } => {
                    deployments.entry(deployment).or_default().push((finding, seen_at));
                }
                RemediationAction::Prune => {
                    is_repairing = true;
                    if seen_at.is_some() {
                        self.prune(looked, finding).await?;
                    }
                }
            }
        }
        for (deployment, findings) in deployments {
            is_repairing |= self.follow_deployment(looked, deployment, findings).await?;
        }
        Ok(is_repairing)
    }

    async fn follow_deployment(
        &self,
        looked: &Looked,
        deployment: DeploymentId,
        findings: Vec<(Finding, Option<Timestamp>)>,
    ) -> Result<bool, PassError> {
        let loaded = Repository::<RuntimeDeployment>::new(self.store).load(deployment.uuid()).await;
        let Some(begun) = loaded.map_err(PassError::failed)? else {
            let findings = findings.into_iter().map(|(finding, _)| finding).collect();
            return self.begin(looked, deployment, findings).await;
        };
        let begun = begun.aggregate;
        match (begun.status(), begun.completed_at()) {
            (DeploymentStatus::Completed, Some(completed_at)) => {
                for (finding, seen_at) in findings {
                    if seen_at.is_some_and(|seen_at| seen_at > completed_at) {
                        let why = "the deployment was completed, and what runs diverges still";
                        self.fail(finding, why).await?;
                    }
                }
                Ok(true)
            }
            (status, Some(_)) => {
                let why = format!("the deployment ended as {status:?}: its history says why");
                for (finding, _) in findings {
                    self.fail(finding, &why).await?;
                }
                Ok(true)
            }
            (_, None) => Ok(true),
        }
    }

    /// Plans what is due, and begins it. Tells whether anything was begun.
    pub(super) async fn plan(
        &self,
        looked: &Looked,
        due: Vec<(Finding, Remedy)>,
        terms: &WatchTerms,
    ) -> Result<bool, PassError> {
        let mut documents: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
        let mut pruned = Vec::new();
        for (finding, remedy) in due {
            match remedy {
                Remedy::Redeploy { document } => documents.entry(document).or_default().push(finding),
                Remedy::Prune => pruned.push(finding),
                Remedy::HeldBack { why } => {
                    let until = PUT_OFF.after(self.host.now());
                    self.postpone(finding, until, &why).await?;
                }
                Remedy::Report { .. } | Remedy::Waits { .. } => {}
            }
        }
        let mut is_repairing = false;
        for finding in pruned {
            if let Some(planned) = self.intend(looked, finding, RemediationAction::Prune, terms).await? {
                is_repairing = true;
                self.prune(looked, planned).await?;
            }
        }
        for findings in documents.into_values() {
            let deployment = DeploymentId::from_uuid(self.host.ports().ids.next());
            let mut planned = Vec::new();
            for finding in findings {
                let action = RemediationAction::Redeploy { deployment };
                planned.extend(self.intend(looked, finding, action, terms).await?);
            }
            if !planned.is_empty() {
                is_repairing |= self.begin(looked, deployment, planned).await?;
            }
        }
        Ok(is_repairing)
    }

    /// Makes the intention durable; `None` where it may not be carried out now.
    async fn intend(
        &self,
        looked: &Looked,
        finding: Finding,
        action: RemediationAction,
        terms: &WatchTerms,
    ) -> Result<Option<Finding>, PassError> {
        let clearance = match self.drift.cleared(self.scope, self.environment).await {
            Ok(clearance) => clearance,
            Err(CommandError::Refused(refusal)) => {
                let put_off = PUT_OFF.after(self.host.now());
                let until = opens_at(&refusal).map_or(put_off, |opens| opens.min(put_off));
                self.postpone(finding, until, &refusal.to_string()).await?;
                return Ok(None);
            }
            Err(error) => return Err(PassError::failed(error)),
        };
        let facts = [clearance.evidence()];
        let module = finding.aggregate.subject().module();
        let command = DriftCommand::PlanRemediation(PlanRemediation {
            action,
            policy: terms.remediation.clone(),
            requested_by: None,
            quarantined: module
                .and_then(|module| looked.quarantined.get(module))
                .cloned()
                .unwrap_or_default(),
            clearance,
        });
        match decided(|| finding.aggregate.decide(&command, self.host.now())) {
            Ok(decision) => {
                let grounds = Grounds { lease: Some(self.lease), ..Grounds::exactly(&facts) };
                self.record_on(finding, &decision, grounds).await
            }
            Err(refusal) => {
                let why = format!("{refusal}: {}", refusal.remedy());
                self.postpone(finding, PUT_OFF.after(self.host.now()), &why).await?;
                Ok(None)
            }
        }
    }

    async fn postpone(&self, finding: Finding, until: Timestamp, why: &str) -> Result<(), PassError> {
        let command = |reason: &str| DriftCommand::PostponeRemediation { until, reason: reason.to_owned() };
        let now = self.host.now();
        let decided = match decided(|| finding.aggregate.decide(&command(why), now)) {
            Err(DriftRefusal::SecretReason | DriftRefusal::BadReason) => decided(|| {
                finding.aggregate.decide(&command("it may not begin now: compare it to see why"), now)
            }),
            decided => decided,
        };
        let decision = decided.map_err(PassError::failed)?;
        self.record(finding, &decision, &[]).await.map(|_| ())
    }

    /// Begins the deployment that repairs these findings, or finds that it was begun. Tells whether it is under way.
    async fn begin(
        &self,
        looked: &Looked,
        deployment: DeploymentId,
        findings: Vec<Finding>,
    ) -> Result<bool, PassError> {
        let modules: BTreeSet<ModuleId> =
            findings.iter().filter_map(|finding| finding.aggregate.subject().module().cloned()).collect();
        let release = modules.iter().find_map(|module| looked.release_of(module)).map(|(_, release)| release);
        let part = release.map(|release| release.part(&modules)).filter(|part| !part.components.is_empty());
        let Some(part) = part else {
            for finding in findings {
                self.fail(finding, "nothing desires it any more").await?;
            }
            return Ok(false);
        };
        let deployments = self.drift.deployments();
        let error = match deployments.repair(self.scope, self.environment, deployment, part, self.lease).await
        {
            Ok(_) => return Ok(true),
            Err(RepairError::LeaseLost) => return Err(PassError::LeaseLost),
            Err(RepairError::Deployment(error)) => error,
        };
        let is_passing = match &error {
            CommandError::Refused(DeploymentRefusal::InFlight { .. }) | CommandError::Contended => true,
            CommandError::Port(error) => error.retry() != Retry::Never,
            _ => false,
        };
        if is_passing {
            // It is tried again with the next pass, until the attempt's time is over.
            tracing::info!(%deployment, %error, "a repair waits to begin");
            return Ok(true);
        }
        let why = match &error {
            CommandError::Refused(refusal) => {
                format!("the deployment was refused: {refusal}; {}", refusal.remedy())
            }
            CommandError::Port(error) => in_words(error),
            error => error.to_string(),
        };
        for finding in findings {
            self.fail(finding, &why).await?;
        }
        Ok(true)
    }

    /// Removes what nothing desires, revision by revision. Each may be done again.
    async fn prune(&self, looked: &Looked, finding: Finding) -> Result<(), PassError> {
        let (Some(module), DriftState::Remediating(Remediating { attempt, .. })) =
            (finding.aggregate.subject().module(), finding.aggregate.state())
        else {
            return Ok(());
        };
        let shown = looked.shown.get(module).map(Vec::as_slice).unwrap_or_default();
        let mut retired = Vec::new();
        for (kind, observation) in shown {
            retired.extend(observation.revisions.keys().map(|revision| (*kind, &observation.key, revision)));
        }
        // What is done under a finding's name is numbered by attempt and revision: the same intention has the same number on every host.
        let first = attempt.saturating_mul(1_000);
        for (ordinal, (kind, key, revision)) in (first..).zip(retired) {
            let effect = EffectId::of(finding.aggregate.id(), ordinal);
            let context = EffectContext { effect, fence: self.lease.token };
            let Some(surface) = self.host.surface(kind) else { continue };
            let call = surface.retire(context, key, revision);
            match self.host.effect("surface.retire", effect, call).await {
                Ok(()) => {}
                Err(error) if error.kind() == PortErrorKind::Fenced => return Err(PassError::LeaseLost),
                Err(error) if error.retry() == Retry::Never => {
                    let why = in_words(&error);
                    return self.fail(finding, &why).await;
                }
                Err(error) => {
                    tracing::warn!(%effect, %error, "it was not removed; it is tried again with the next pass");
                    return Ok(());
                }
            }
        }
        let why = "nothing desires it: it was pruned";
        let inventory = self.drift.inventory().retire(self.scope, self.environment, module, why);
        inventory.await.map_err(PassError::failed)
    }

    async fn fail(&self, finding: Finding, why: &str) -> Result<(), PassError> {
        let DriftState::Remediating(Remediating { attempt, .. }) = *finding.aggregate.state() else {
            return Ok(());
        };
        let command = DriftCommand::RecordRemediationFailed { attempt, reason: why.to_owned() };
        let decision =
            decided(|| finding.aggregate.decide(&command, self.host.now())).map_err(PassError::failed)?;
        self.record(finding, &decision, &[]).await.map(|_| ())
    }
}

fn opens_at(refusal: &DriftRefusal) -> Option<Timestamp> {
    match refusal {
        DriftRefusal::NotCleared(EnvironmentRefusal::Calendar(CalendarRefusal::Closed {
            opens_at, ..
        })) => *opens_at,
        _ => None,
    }
}
