//! Configuration, secrets, scaling and drift.

use runtime_domain::aggregate::Aggregate;
use runtime_domain::configuration::ConfigurationEntries;
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::drift::{DriftKind, RemediationMode, RuntimeDriftFinding};
use runtime_domain::scaling::{
    PolicySpec, PolicyTerms, ReplicaBounds, ScalingMetric, ScalingPolicy, ScalingRule,
};
use runtime_domain::secrets::{RotationSchedule, SecretBinding};
use runtime_domain::surface::SurfaceKind;
use runtime_domain::time::Span;
use runtime_domain::value::{Measure, Name, Replicas};
use runtime_services::configuration::Synchronise;
use runtime_services::scaling::NewScalingPolicy;
use runtime_services::secrets::{NewSecretBinding, RotationRequest};
use serde_json::{Value, json};

use super::{Answer, Asking, No, REASON, answer};
use crate::records::told;
use crate::story::{DriftAsk, Operation, Place, ScalingAsk, SecretAsk, component};

/// A policy by the length of a queue.
pub(super) fn policy(target: SurfaceKind, most: u8) -> Result<PolicySpec, String> {
    let most = Replicas::new(u16::from(most)).map_err(told)?;
    let bounds = ReplicaBounds::new(target, 1, most).map_err(told)?;
    let rule = ScalingRule::new(ScalingMetric::QueueLength, Measure::from_units(10));
    PolicySpec::new(PolicyTerms::new(bounds, [rule])).map_err(told)
}

/// Entries, as they are checked where they are read.
pub(super) fn checked(entries: Value) -> Result<ConfigurationEntries, No> {
    let entries = serde_json::from_value(entries).map_err(told)?;
    ConfigurationEntries::new(entries).map_err(|refusal| No::refused(&refusal))
}

impl Asking<'_> {
    /// The newest of a kind that is as wanted, in this environment.
    pub(super) async fn newest<A: Aggregate + 'static>(
        &self,
        is_it: impl Fn(&A) -> bool,
    ) -> Result<Option<A>, String> {
        let all = self.operator.records.all::<A>(&self.scope).await?;
        let mut all = all.iter().map(|loaded| &loaded.aggregate);
        Ok(all.find(|found| found.environment() == self.environment && is_it(found)).cloned())
    }

    pub(super) async fn configure(&self, operation: &Operation) -> Answer {
        let (service, scope) = (self.services().configuration(), &self.scope);
        let entry = match operation {
            Operation::Publish { text } => Some(("greeting", format!("greeting {text}"))),
            Operation::PublishSecret => Some(("database_password", "hunter2-hunter2-hunter2".to_owned())),
            _ => None,
        };
        if let Some((key, value)) = entry {
            let value = json!({ "type": "text", "value": value });
            let entries = json!([{ "scope": "environment", "key": key, "value": value }]);
            return answer(service.publish(scope, self.environment, checked(entries)?).await);
        }
        let newest = service.newest(scope, self.environment).await.map_err(told)?;
        let newest = newest.ok_or("nothing is published")?.id();
        if *operation == Operation::Withdraw {
            return answer(service.withdraw(scope, newest, REASON.to_owned()).await);
        }
        answer(service.synchronise(scope, self.environment, Synchronise::to(newest)).await)
    }

    pub(super) async fn bind(&self, number: u8) -> Answer {
        let wanted = self.wanted_binding(number)?;
        if self.operator.vault.all(wanted.secret.key_vault_ref()).is_empty() {
            self.operator.vault.keep(&wanted.secret);
        }
        answer(self.services().secrets().bind(&self.scope, wanted).await)
    }

    /// The secret of a component.
    pub(super) fn wanted_binding(&self, number: u8) -> Result<NewSecretBinding, String> {
        let Place { tenant, environment } = self.operator.place;
        let module = component(number);
        let secret = format!("local://main/tenant-{tenant}-shop-{environment}-{module}/1");
        Ok(NewSecretBinding {
            environment: self.environment,
            module: Name::new(module).map_err(told)?,
            secret: secret.parse().map_err(told)?,
            identity: "local:shop".parse().map_err(told)?,
            delivery: "file:password".parse().map_err(told)?,
            rotation_schedule: RotationSchedule::new(None, Span::from_secs(10)).map_err(told)?,
        })
    }

    pub(super) async fn bound(&self, number: u8) -> Result<SecretBinding, String> {
        let module = Name::new(component(number)).map_err(told)?;
        let found = self.newest(|it: &SecretBinding| *it.module() == module).await?;
        found.ok_or_else(|| "it has no secret".to_owned())
    }

    pub(super) async fn rotate(&self, number: u8) -> Answer {
        let binding = self.bound(number).await?.id();
        answer(
            self.services().secrets().rotate(&self.scope, binding, RotationRequest::because("audit")).await,
        )
    }

    pub(super) async fn secret(&self, number: u8, ask: SecretAsk) -> Answer {
        let binding = self.bound(number).await?.id();
        let (secrets, scope, reason) = (self.services().secrets(), &self.scope, REASON.to_owned());
        match ask {
            SecretAsk::Compromised => {
                answer(secrets.rotate(scope, binding, RotationRequest::compromised(reason)).await)
            }
            SecretAsk::Schedule { seconds } => {
                let schedule = json!(format!("every {seconds}s"));
                let schedule = serde_json::from_value(schedule).map_err(told)?;
                let schedule = RotationSchedule::new(Some(schedule), Span::from_secs(10)).map_err(told)?;
                answer(secrets.change_schedule(scope, binding, schedule).await)
            }
            SecretAsk::Abort => answer(secrets.abort(scope, binding, reason).await),
            SecretAsk::Suspend => answer(secrets.suspend(scope, binding, reason).await),
            SecretAsk::Resume => answer(secrets.resume(scope, binding).await),
            SecretAsk::Unbind => answer(secrets.unbind(scope, binding, reason).await),
        }
    }

    pub(super) async fn scale(&self, number: u8) -> Answer {
        let wanted = self.wanted_policy(number, SurfaceKind::Process, 6)?;
        answer(self.services().scaling().apply(&self.scope, wanted).await)
    }

    /// How a component is to scale.
    pub(super) fn wanted_policy(
        &self,
        number: u8,
        target: SurfaceKind,
        most: u8,
    ) -> Result<NewScalingPolicy, String> {
        let module = Name::new(component(number)).map_err(told)?;
        Ok(NewScalingPolicy { environment: self.environment, module, policy: policy(target, most)? })
    }

    pub(super) async fn scaling(&self, number: u8, ask: ScalingAsk) -> Answer {
        let module = Name::new(component(number)).map_err(told)?;
        let found = self.newest(|it: &ScalingPolicy| it.modules().contains(&module)).await?;
        let found = found.ok_or("it has no policy")?.id();
        let (scaling, scope, reason) = (self.services().scaling(), &self.scope, REASON.to_owned());
        match ask {
            ScalingAsk::Change { most } => {
                answer(scaling.change(scope, found, policy(SurfaceKind::Process, most)?).await)
            }
            ScalingAsk::Suspend => answer(scaling.suspend(scope, found, reason).await),
            ScalingAsk::Resume => answer(scaling.resume(scope, found).await),
            ScalingAsk::Retire => answer(scaling.retire(scope, found, reason).await),
        }
    }

    pub(super) async fn watch(&self, operation: &Operation) -> Answer {
        let (drift, scope) = (self.services().drift(), &self.scope);
        if *operation == Operation::StopWatching {
            return answer(drift.stop_watching(scope, self.environment, REASON).await);
        }
        let mut terms = WatchTerms::new("shop".parse().map_err(told)?);
        // In the first environment divergences are repaired, in the others people are asked.
        if self.operator.place.environment == 1 {
            terms.remediation.modes = DriftKind::ALL.map(|kind| (kind, RemediationMode::Remediate)).into();
        }
        answer(drift.watch(scope, self.environment, terms).await)
    }

    pub(super) async fn drift(&self, ask: DriftAsk) -> Answer {
        let found = self.newest(|_: &RuntimeDriftFinding| true).await?.ok_or("nothing was found")?.id();
        let (drift, scope, reason) = (self.services().drift(), &self.scope, REASON.to_owned());
        match ask {
            DriftAsk::Accept => {
                let until = Span::from_secs(60).after(self.services().host().now());
                answer(drift.accept_exception(scope, found, reason, until).await)
            }
            DriftAsk::Revoke => answer(drift.revoke_exception(scope, found, reason).await),
            DriftAsk::Retry => answer(drift.retry(scope, found).await),
            DriftAsk::Remediate => answer(drift.remediate(scope, found).await),
        }
    }
}
