//! The environment itself, its tenant's place, and the relay.

use std::collections::BTreeSet;

use runtime_domain::calendar::ChangeCalendar;
use runtime_domain::environment::{EnvironmentChange, EnvironmentStage};
use runtime_domain::id::EnvironmentId;
use runtime_domain::promotion::{PromotionPolicy, Upstreams};
use runtime_domain::tenancy::PartitionAssignment;
use runtime_domain::time::Span;
use runtime_ports::health_results::HealthResultQuery;
use runtime_ports::store::{ParkedQuery, RuntimeTenantBindingRepository, Unpark};
use runtime_services::tenancy::NewBinding;
use runtime_testkit::sample;
use serde_json::json;

use super::{Answer, Asking, REASON, answer, isolation, quota};
use crate::records::told;
use crate::story::{EnvironmentAsk, Operation, Place, TenancyAsk};

/// How long the target of a move is watched.
const WATCHED_FOR: Span = Span::from_secs(5);

fn calendar(is_frozen: bool) -> Result<ChangeCalendar, String> {
    let freeze = json!({
        "name": "sale",
        "activities": ["deployment", "configuration", "rotation", "remediation"],
        "from": "2000-01-01T00:00:00",
        "until": "2099-01-01T00:00:00",
        "reason": "the sale",
    });
    let freezes = if is_frozen { vec![freeze] } else { Vec::new() };
    serde_json::from_value(json!({ "freezes": freezes })).map_err(told)
}

impl Asking<'_> {
    /// The tenant's environment beside this one: the one before the second and later ones, the one after the first.
    async fn other(&self) -> Result<EnvironmentId, String> {
        let Place { tenant, environment } = self.operator.place;
        let other = if environment == 1 { 2 } else { environment - 1 };
        let other = self.operator.records.environment(Place { tenant, environment: other }).await;
        Ok(other.ok_or("there is no other environment")?.aggregate.id())
    }

    pub(super) async fn govern(&self, operation: &Operation) -> Answer {
        let (environments, scope, at) = (self.services().environments(), &self.scope, self.environment);
        match operation {
            Operation::StopTheLine => answer(environments.stop_the_line(scope, at, REASON).await),
            Operation::ResumeTheLine => answer(environments.resume_the_line(scope, at, REASON).await),
            _ => answer(environments.decommission(scope, at, REASON.to_owned()).await),
        }
    }

    pub(super) async fn environment(&self, ask: EnvironmentAsk) -> Answer {
        let (environments, scope, at) = (self.services().environments(), &self.scope, self.environment);
        match ask {
            EnvironmentAsk::Retry => answer(environments.retry(scope, at).await),
            EnvironmentAsk::Protect { is_on } => answer(environments.protect(scope, at, is_on).await),
            EnvironmentAsk::Freeze { is_on } => {
                answer(environments.change_calendar(scope, at, calendar(is_on)?).await)
            }
            EnvironmentAsk::LiveFor { seconds } => {
                let span = (seconds > 0).then(|| Span::from_secs(u64::from(seconds)));
                answer(environments.live_for(scope, at, span).await)
            }
            EnvironmentAsk::Refresh => answer(environments.refresh(scope, at).await),
            EnvironmentAsk::Change { may_be } => {
                let egress = BTreeSet::from(["mail.example.com:443".to_owned()]);
                let change = EnvironmentChange {
                    egress_allow_list: may_be.then_some(egress),
                    stage: (!may_be).then_some(EnvironmentStage::Test),
                    ..EnvironmentChange::default()
                };
                answer(environments.change(scope, at, change).await)
            }
            EnvironmentAsk::Promotion { is_on } => {
                let policy = if is_on {
                    let upstream = BTreeSet::from([self.other().await?]);
                    let policy = PromotionPolicy::new(upstream, Upstreams::All, Span::from_secs(2));
                    Some(policy.map_err(told)?)
                } else {
                    None
                };
                answer(environments.change_promotion_policy(scope, at, policy).await)
            }
        }
    }

    pub(super) async fn tenancy(&self, ask: TenancyAsk) -> Answer {
        let (tenancy, scope, at) = (self.services().tenancy(), &self.scope, self.environment);
        if ask == TenancyAsk::Bind {
            let isolation_model = isolation(self.operator.place);
            let partitions = PartitionAssignment::derived(scope.tenant(), at, isolation_model);
            let wanted = NewBinding { environment: at, isolation_model, quota: quota(40)?, partitions };
            return answer(tenancy.bind(scope, wanted).await);
        }
        let store = self.operator.records.store().for_tenant(scope);
        let found = RuntimeTenantBindingRepository::new(&*store).current(at).await.map_err(told)?;
        let found = found.ok_or("its tenant is not bound")?.aggregate.id();
        let reason = REASON.to_owned();
        match ask {
            TenancyAsk::Grow { units } => {
                answer(tenancy.adjust_quota(scope, found, quota(u64::from(units.max(1)))?).await)
            }
            TenancyAsk::Cordon => answer(tenancy.cordon(scope, found, reason).await),
            TenancyAsk::Uncordon => answer(tenancy.uncordon(scope, found).await),
            TenancyAsk::Protect { is_on } => answer(tenancy.protect(scope, found, is_on).await),
            TenancyAsk::Move => {
                answer(tenancy.move_to_silo(scope, found, self.other().await?, WATCHED_FOR).await)
            }
            TenancyAsk::AbortMove => answer(tenancy.abort_move(scope, found, reason).await),
            _ => answer(tenancy.release(scope, found, reason).await),
        }
    }

    /// All that a person looks at: nothing of it changes anything.
    pub(super) async fn look(&self) -> Answer {
        let (services, scope, at) = (self.services(), &self.scope, self.environment);
        let wanted = self.operator.wanted()?;
        let looked = [
            services.health().product_health(scope, at).await.map(drop).map_err(told),
            services.health().results(scope, &HealthResultQuery::of(at)).await.map(drop).map_err(told),
            services.environments().outputs(scope, at).await.map(drop).map_err(told),
            services.environments().preview(scope, wanted).await.map(drop).map_err(told),
            services.relay().parked(&sample::operator(), &ParkedQuery::all()).await.map(drop).map_err(told),
        ];
        let readiness = services.readiness().await;
        let failed = looked.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |text| Err(format!("{text}; readiness: {readiness:?}").into()))
    }

    pub(super) async fn unpark(&self) -> Answer {
        let all = Unpark::All { destination: None };
        let unparked = self.services().relay().unpark(&sample::operator(), &all).await;
        unparked.map(drop).map_err(|error| told(error).into())
    }
}
