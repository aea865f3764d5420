//! The suite of the [scaling signals' port](runtime_ports::scaling_signals).
//!
//! What is made of a signal is the autoscaler's; here it is tried that none is made up.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::id::DeploymentId;
use runtime_domain::scaling::{Reading, ScalingMetric};
use runtime_domain::surface::{ComponentKey, SurfaceKind};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::Measure;
use runtime_ports::PortResult;
use runtime_ports::scaling_signals::{BurnQuery, ScalingSignals, SignalQuery};
use tokio::time::Instant;
use uuid::Uuid;

use super::adapter::{AdapterFactory, Staged, staged, try_staged};
use super::{Failure, Outcome, Report, ensure};
use crate::sample;

mod budget;
mod questions;
mod readings;
mod waiting;

/// Makes the sources that the suite tries, and plays the services, those who ask them, and the time.
#[async_trait]
pub trait SignalFactory: AdapterFactory {
    /// What the components run on.
    fn target(&self) -> SurfaceKind;
    /// How long anything may take to be seen.
    fn patience(&self) -> Duration;
    /// How long a rate is measured over, at the most.
    fn window(&self) -> Duration;
    /// The time that the source goes by.
    fn now(&self, source: &Self::Adapter) -> Timestamp;
    /// Lets so much of that time pass, at least.
    async fn pass(&self, source: &Self::Adapter, span: Span);
    /// Brings a component about that has nothing to do and no replica, and is routed to this revision.
    async fn idle(&self, source: &Self::Adapter, key: &ComponentKey, revision: &RevisionId)
    -> PortResult<()>;
    /// Makes a component busy, which nobody knew: one replica of this revision is ready, and of this metric there is something. Tells what a right
    /// reading of it is; it may take the [patience](SignalFactory::patience) to be read.
    async fn busy(
        &self,
        source: &Self::Adapter,
        key: &ComponentKey,
        revision: &RevisionId,
        metric: ScalingMetric,
    ) -> PortResult<RangeInclusive<Measure>>;
    /// Lets a revision of a component answer so many requests well and so many with 5xx, and returns once the source has them all. Called only
    /// where budgets are known.
    async fn answer(
        &self,
        source: &Self::Adapter,
        key: &ComponentKey,
        revision: &RevisionId,
        well: u32,
        failed: u32,
    ) -> PortResult<()>;
    /// Makes something wait for an idle component, or nothing any more. Called only where it is told what waits.
    async fn wait(&self, source: &Self::Adapter, key: &ComponentKey, waits: bool) -> PortResult<()>;
}

/// What a source knows of error budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetCapabilities {
    /// The share of requests that may fail by the objective: more than 0, at most 1.
    pub left: Measure,
    /// How far it looks back; at least ten minutes. To longer stretches it answers [`Unsupported`](runtime_ports::PortErrorKind::Unsupported).
    pub longest: Span,
}

/// What a source promises that not every one can. To all else it answers [`Unsupported`](runtime_ports::PortErrorKind::Unsupported).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalCapabilities {
    /// The metrics that it knows.
    pub metrics: BTreeSet<ScalingMetric>,
    /// What it knows of error budgets.
    pub budget: Option<BudgetCapabilities>,
    /// It tells what waits for a component without replicas. One that does not never answers that.
    pub waits: bool,
}

/// Tries every promise of the port, each with a fresh source.
pub async fn scaling_signals<F>(factory: F, capabilities: SignalCapabilities) -> Report
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let (factory, capabilities) = (Arc::new(factory), Arc::new(capabilities));
    let stage = async || {
        let source = Arc::new(factory.fresh().await?);
        Ok(Stage { factory: Arc::clone(&factory), source, capabilities: Arc::clone(&capabilities) })
    };
    Report { suite: "scaling signals", trials: try_staged(stage, all::<F>()).await }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    vec![
        staged(readings::what_it_does_not_know_is_unsupported),
        staged(readings::no_data_is_missing_and_says_why).where_it(Stage::knows_any),
        staged(readings::a_reading_is_in_the_unit_of_its_metric).where_it(Stage::knows_any),
        staged(readings::a_reading_says_when_it_was_measured_and_on_how_much).where_it(Stage::knows_any),
        staged(readings::what_nobody_uses_is_missing_and_not_zero).where_it(Stage::knows_utilization),
        staged(readings::no_request_is_zero_only_where_the_whole_window_was_watched)
            .where_it(Stage::knows_rates),
        staged(readings::an_empty_queue_is_zero).where_it(Stage::knows_queues),
        staged(readings::what_replicas_use_is_of_the_revision_that_is_asked_for)
            .where_it(Stage::knows_utilization),
        staged(readings::components_environments_and_tenants_do_not_meet).where_it(Stage::knows_any),
        staged(budget::a_budget_burns_as_fast_as_requests_fail).where_it(Stage::knows_budgets),
        staged(budget::each_stretch_burns_by_itself).where_it(Stage::knows_budgets),
        staged(budget::a_budget_that_nothing_is_known_of_is_missing).where_it(Stage::knows_budgets),
        staged(waiting::what_waits_is_told_with_all_others_and_again).where_it(Stage::waits),
        staged(waiting::who_waits_for_what_does_not_wait_is_not_answered),
        staged(waiting::what_begins_to_wait_is_told_though_others_gave_up).where_it(Stage::waits),
        staged(questions::questions_at_once_are_not_taken_for_one_another).where_it(Stage::knows_any),
        staged(questions::a_question_that_is_dropped_leaves_the_source_usable).where_it(Stage::knows_any),
    ]
}

/// A fresh source, and who plays the world around it.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    source: Arc<F::Adapter>,
    capabilities: Arc<SignalCapabilities>,
}

/// The cart of a tenant's environment.
fn cart(tenant: u64, environment: u64) -> Result<ComponentKey, Failure> {
    let module = "cart".parse().map_err(|error| Failure::new(format!("{error}")))?;
    Ok(ComponentKey { tenant: sample::tenant(tenant), environment: sample::environment(environment), module })
}

fn revision(key: &ComponentKey, number: u64) -> RevisionId {
    RevisionId::new(key.module.clone(), DeploymentId::from_uuid(Uuid::from_u128(u128::from(number))))
}

/// That there is no reading, and why.
fn is_missing(reading: &Reading, what: &str) -> Outcome {
    match reading {
        Reading::Missing { why } => {
            ensure(!why.trim().is_empty(), format!("{what} is missing and nobody says why"))
        }
        measured @ Reading::Measured { .. } => {
            Err(Failure::new(format!("{what} is not known, and the answer is {measured:?}")))
        }
    }
}

impl<F> Stage<F>
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    fn knows_any(&self) -> Result<(), &'static str> {
        if self.capabilities.metrics.is_empty() { Err("it knows no metric, and says so") } else { Ok(()) }
    }

    fn knows_utilization(&self) -> Result<(), &'static str> {
        let utilization = self.capabilities.metrics.iter().any(|metric| metric.is_utilization());
        if utilization { Ok(()) } else { Err("it does not know what replicas use, and says so") }
    }

    fn knows_rates(&self) -> Result<(), &'static str> {
        let known = self.capabilities.metrics.contains(&ScalingMetric::RequestRate);
        if known { Ok(()) } else { Err("it knows no request rate, and says so") }
    }

    fn knows_queues(&self) -> Result<(), &'static str> {
        let known = self.capabilities.metrics.contains(&ScalingMetric::QueueLength);
        if known { Ok(()) } else { Err("it knows no queue, and says so") }
    }

    fn knows_budgets(&self) -> Result<(), &'static str> {
        if self.capabilities.budget.is_some() { Ok(()) } else { Err("it knows no error budget, and says so") }
    }

    fn waits(&self) -> Result<(), &'static str> {
        if self.capabilities.waits { Ok(()) } else { Err("it does not know what waits, and says so") }
    }

    fn query(&self, key: &ComponentKey, number: u64, metric: ScalingMetric) -> SignalQuery {
        SignalQuery {
            key: key.clone(),
            target: self.factory.target(),
            revision: revision(key, number),
            metric,
            at: self.factory.now(&self.source),
        }
    }

    fn burn_query(&self, key: &ComponentKey, short: Span, long: Span) -> BurnQuery {
        // What was answered just now is behind whoever asks.
        let at = Span::from_secs(1).after(self.factory.now(&self.source));
        let (target, revision) = (self.factory.target(), revision(key, 1));
        BurnQuery { key: key.clone(), target, revision, short, long, at }
    }

    async fn signal(
        &self,
        key: &ComponentKey,
        number: u64,
        metric: ScalingMetric,
    ) -> Result<Reading, Failure> {
        Ok(self.source.signal(&self.query(key, number, metric)).await?)
    }

    /// A component of the first tenant, one for each metric, and what a right reading of it is.
    async fn busy(&self, metric: ScalingMetric) -> Result<(ComponentKey, RangeInclusive<Measure>), Failure> {
        let number = ScalingMetric::ALL.iter().position(|other| *other == metric).unwrap_or_default();
        let key = cart(1, 1 + u64::try_from(number).unwrap_or_default())?;
        let right = self.factory.busy(&self.source, &key, &revision(&key, 1), metric).await?;
        Ok((key, right))
    }

    /// Reads until it is right, and never nonsense.
    async fn right(
        &self,
        key: &ComponentKey,
        metric: ScalingMetric,
        right: &RangeInclusive<Measure>,
    ) -> Result<Reading, Failure> {
        let deadline = Instant::now() + self.factory.patience();
        loop {
            let reading = self.signal(key, 1, metric).await?;
            if let Reading::Measured { value, .. } = &reading {
                ensure(value.micros() >= 0, format!("the {metric} is negative: {reading:?}"))?;
                if right.contains(value) {
                    return Ok(reading);
                }
            }
            let now = Instant::now();
            ensure(now < deadline, format!("the {metric} is {right:?}, and the answer is {reading:?}"))?;
            tokio::time::sleep_until(now + Duration::from_millis(10)).await;
        }
    }
}
