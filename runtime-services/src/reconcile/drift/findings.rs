//! What is seen becomes findings: new ones, the same again, others in their place, and what went.

use std::collections::BTreeMap;

use runtime_domain::aggregate::{Decision, EvidenceRef};
use runtime_domain::deployment::{DeployedVersion, DeploymentStatus, RuntimeDeployment};
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::drift::{
    DetectDrift, DetectedDrift, DriftCommand, DriftEvent, DriftKind, DriftState, FindingHash,
    RemediationAction, RuntimeDriftFinding, Subject,
};
use runtime_domain::id::DriftFindingId;
use runtime_domain::time::Timestamp;
use runtime_ports::store::{Commit, CommitError, Repository};

use super::{Finding, Pass, is_remediating};
use crate::drift::look::Looked;
use crate::drift::remedy::{self, Remedy};
use crate::observed::decided;
use crate::unit::{Grounds, commit, prepare};
use crate::worker::PassError;

/// How many new findings are written at once.
const AT_ONCE: usize = 100;

/// What the findings are after a look.
#[derive(Default)]
pub(super) struct Merged {
    /// Those that are open, and when their divergence was seen in this look.
    pub(super) open: Vec<(Finding, Option<Timestamp>)>,
    /// Those of them that were seen, and what would be done.
    pub(super) due: Vec<(Finding, Remedy)>,
    /// Whether anything diverges that nobody accepts.
    pub(super) is_diverged: bool,
}

impl Merged {
    fn seen(&mut self, finding: Finding, seen_at: Timestamp, remedy: Remedy) {
        self.is_diverged |= !matches!(finding.aggregate.state(), DriftState::Excepted(_));
        if is_remediating(&finding.aggregate) {
            self.open.push((finding, Some(seen_at)));
        } else {
            self.due.push((finding, remedy));
        }
    }
}

/// Findings by what makes them one, and by what they are about.
struct Known {
    by_hash: BTreeMap<FindingHash, Finding>,
}

impl Known {
    fn about(&self, subject: &Subject, kind: DriftKind) -> Option<FindingHash> {
        let is_about =
            |finding: &&Finding| finding.aggregate.subject() == subject && finding.aggregate.kind() == kind;
        self.by_hash.values().find(is_about).map(|finding| finding.aggregate.hash().clone())
    }
}

impl Pass<'_> {
    /// Brings the findings in line with what was seen.
    pub(super) async fn merge(
        &self,
        looked: &Looked,
        detected: Vec<DetectedDrift>,
        open: Vec<Finding>,
        terms: &WatchTerms,
        guard: Option<&str>,
    ) -> Result<Merged, PassError> {
        let by_hash = open.into_iter().map(|finding| (finding.aggregate.hash().clone(), finding));
        let mut known = Known { by_hash: by_hash.collect() };
        let mut merged = Merged::default();
        let mut new = Vec::new();
        for drift in detected {
            if let Some(finding) = known.by_hash.remove(drift.hash()) {
                let now = self.host.now();
                let decision = finding.aggregate.detect_again(&drift, now).map_err(PassError::failed)?;
                let Some(finding) = self.record(finding, &decision, &[]).await? else { continue };
                let Some(finding) = self.tick(finding).await? else { continue };
                let now = self.host.now();
                let remedy = remedy::of(looked, terms, &drift, Some(&finding.aggregate), guard, now);
                merged.seen(finding, drift.seen_at(), remedy);
                continue;
            }
            let remedy = remedy::of(looked, terms, &drift, None, guard, self.host.now());
            if let Some(drift) = self.replaces(&mut known, drift, &mut merged).await? {
                new.push((drift, remedy));
            }
        }
        for (_, finding) in known.by_hash {
            if let Some(finding) = self.see_in_sync(looked, finding).await? {
                merged.open.push((finding, None));
            }
        }
        self.detect(new, terms, &mut merged).await?;
        Ok(merged)
    }

    /// A divergence that no finding is of: where another of its kind was there before, that one has gone. `None` where a repair of that one is
    /// under way, which changes it.
    async fn replaces(
        &self,
        known: &mut Known,
        drift: DetectedDrift,
        merged: &mut Merged,
    ) -> Result<Option<DetectedDrift>, PassError> {
        let Some(hash) = known.about(drift.subject(), drift.kind()) else { return Ok(Some(drift)) };
        let Some(finding) = known.by_hash.remove(&hash) else { return Ok(Some(drift)) };
        if is_remediating(&finding.aggregate) {
            let seen_at = drift.seen_at();
            if let Some(finding) = self.tick(finding).await? {
                merged.is_diverged = true;
                merged.open.push((finding, Some(seen_at)));
            }
            return Ok(None);
        }
        let command = DriftCommand::SeeReplaced { drift };
        let decision =
            decided(|| finding.aggregate.decide(&command, self.host.now())).map_err(PassError::failed)?;
        self.record(finding, &decision, &[]).await?;
        match command {
            DriftCommand::SeeReplaced { drift } => Ok(Some(drift)),
            _ => Ok(None),
        }
    }

    /// New findings, many in one commit.
    async fn detect(
        &self,
        new: Vec<(DetectedDrift, Remedy)>,
        terms: &WatchTerms,
        merged: &mut Merged,
    ) -> Result<(), PassError> {
        let mut rest = new.into_iter().peekable();
        while rest.peek().is_some() {
            let mut whole = Commit { lease: Some(self.lease.clone()), ..Commit::default() };
            let mut begun = Vec::new();
            for (drift, remedy) in rest.by_ref().take(AT_ONCE) {
                let mode = terms.remediation.mode(drift.kind());
                let drift_finding_id = DriftFindingId::from_uuid(self.host.ports().ids.next());
                let command = DetectDrift { drift_finding_id, drift, mode };
                let now = self.host.now();
                let decision =
                    decided(|| RuntimeDriftFinding::detect(&command, now)).map_err(PassError::failed)?;
                let prepared = prepare::<RuntimeDriftFinding>(
                    self.host,
                    self.scope,
                    None,
                    &decision,
                    Grounds::default(),
                    now,
                );
                let (commit, finding) = prepared.map_err(PassError::failed)?;
                whole.writes.extend(commit.writes);
                begun.push((finding, command.drift.seen_at(), remedy));
            }
            match self.store.commit(whole).await {
                Ok(_) => {
                    for (finding, seen_at, remedy) in begun {
                        merged.seen(finding, seen_at, remedy);
                    }
                }
                Err(CommitError::LeaseLost { .. }) => return Err(PassError::LeaseLost),
                Err(error) => return Err(PassError::failed(error)),
            }
        }
        Ok(())
    }

    /// What no look shows any more has gone, or was repaired; what is not known stays as it is. The finding where it is open still.
    async fn see_in_sync(&self, looked: &Looked, finding: Finding) -> Result<Option<Finding>, PassError> {
        let (subject, kind) = (finding.aggregate.subject().clone(), finding.aggregate.kind());
        let finding = match looked.comparison.in_sync(&subject, kind) {
            Some(in_sync) => {
                let deployed = self.deployed(&finding.aggregate).await?.map(Box::new);
                let command = DriftCommand::SeeInSync { in_sync, deployed };
                let decision = decided(|| finding.aggregate.decide(&command, self.host.now()))
                    .map_err(PassError::failed)?;
                self.record(finding, &decision, &command.evidence()).await?
            }
            None => Some(finding),
        };
        match finding.filter(|finding| finding.aggregate.state().is_open()) {
            Some(finding) => self.tick(finding).await,
            None => Ok(None),
        }
    }

    /// Proof that the planned deployment brought the component, once it is Completed.
    async fn deployed(&self, finding: &RuntimeDriftFinding) -> Result<Option<DeployedVersion>, PassError> {
        let (DriftState::Remediating(remediating), Some(module)) =
            (finding.state(), finding.subject().module())
        else {
            return Ok(None);
        };
        let RemediationAction::Redeploy { deployment } = remediating.action else { return Ok(None) };
        let loaded = Repository::<RuntimeDeployment>::new(self.store).load(deployment.uuid()).await;
        let completed = loaded
            .map_err(PassError::failed)?
            .filter(|loaded| loaded.aggregate.status() == DeploymentStatus::Completed);
        Ok(completed.and_then(|loaded| loaded.aggregate.deployed_version(module, loaded.revision)))
    }

    /// What has ended by the clock. The finding where it can be gone on with.
    pub(super) async fn tick(&self, finding: Finding) -> Result<Option<Finding>, PassError> {
        let decision = decided(|| finding.aggregate.decide(&DriftCommand::Tick, self.host.now()));
        let decision = decision.map_err(PassError::failed)?;
        self.record(finding, &decision, &[]).await
    }

    /// Commits a decision about a finding under the lease; `None` where somebody changed it meanwhile, which the next pass sees.
    pub(super) async fn record(
        &self,
        finding: Finding,
        decision: &Decision<DriftEvent>,
        facts: &[EvidenceRef],
    ) -> Result<Option<Finding>, PassError> {
        let grounds = Grounds { lease: Some(self.lease), ..Grounds::at_least(facts) };
        self.record_on(finding, decision, grounds).await
    }

    pub(super) async fn record_on(
        &self,
        finding: Finding,
        decision: &Decision<DriftEvent>,
        grounds: Grounds<'_>,
    ) -> Result<Option<Finding>, PassError> {
        match commit(self.host, self.store, Some(finding), decision, grounds, self.host.now()).await {
            Ok(after) => Ok(after),
            Err(CommitError::Conflict { .. } | CommitError::EvidenceStale { .. }) => Ok(None),
            Err(CommitError::LeaseLost { .. }) => Err(PassError::LeaseLost),
            Err(error) => Err(PassError::failed(error)),
        }
    }
}
