//! The suite of the [metric source's port](runtime_ports::metric).
//!
//! How old a reading may be is for whoever judges by it; that its age is told is tried here.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::RevisionId;
use runtime_domain::id::DeploymentId;
use runtime_domain::metric::{MetricName, MetricQuery, MetricReading};
use runtime_domain::surface::ComponentKey;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::PortResult;
use runtime_ports::metric::MetricSource;
use uuid::Uuid;

use super::adapter::{AdapterFactory, Staged, staged, try_staged};
use super::{Failure, Outcome, Report, ensure};
use crate::sample;

mod questions;
mod scope;
mod units;

/// What a revision of a component answers, for the source to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    /// The component.
    pub key: ComponentKey,
    /// The revision that answers.
    pub revision: RevisionId,
    /// How many requests are answered well.
    pub well: u32,
    /// How many are answered with 5xx, or not at all.
    pub failed: u32,
    /// How long each takes to be answered, at least.
    pub takes: Span,
}

/// Makes the metric sources that the suite tries, and plays the ones who ask and answer, and the time.
#[async_trait]
pub trait MetricFactory: AdapterFactory {
    /// Lets these requests be asked and answered, and returns once the source has them all.
    async fn answer(&self, source: &Self::Adapter, requests: &Requests) -> PortResult<()>;
    /// The time that the source goes by.
    fn now(&self, source: &Self::Adapter) -> Timestamp;
    /// Lets so much of that time pass. The suite leaves 10 s between what is told apart, so that a source may be coarse.
    async fn pass(&self, source: &Self::Adapter, span: Span);
}

/// What a metric source promises that not every one can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricCapabilities {
    /// The metrics that it knows. To others it answers [`Unsupported`](runtime_ports::PortErrorKind::Unsupported).
    pub metrics: BTreeSet<MetricName>,
}

/// Tries every promise of the port, each with a fresh source.
pub async fn metrics<F>(factory: F, capabilities: MetricCapabilities) -> Report
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    let (factory, capabilities) = (Arc::new(factory), Arc::new(capabilities));
    let stage = async || {
        let source = Arc::new(factory.fresh().await?);
        Ok(Stage { factory: Arc::clone(&factory), source, capabilities: Arc::clone(&capabilities) })
    };
    Report { suite: "metrics", trials: try_staged(stage, all::<F>()).await }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    vec![
        staged(scope::no_data_is_no_value_and_no_samples).where_it(Stage::knows_any),
        staged(scope::a_metric_that_it_does_not_know_is_unsupported),
        staged(units::the_error_rate_is_the_share_that_failed).where_it(Stage::knows_errors),
        staged(units::the_request_rate_is_by_the_second).where_it(Stage::knows_rates),
        staged(units::latencies_are_in_milliseconds_and_the_median_is_not_the_worst)
            .where_it(Stage::knows_latencies),
        staged(units::every_reading_is_in_its_range).where_it(Stage::knows_any),
        staged(scope::a_reading_is_of_its_own_revision_only).where_it(Stage::knows_any),
        staged(scope::components_environments_and_tenants_do_not_meet).where_it(Stage::knows_any),
        staged(scope::a_reading_is_of_its_own_stretch_of_time_only).where_it(Stage::knows_any),
        staged(scope::the_newest_data_is_that_of_the_stretch).where_it(Stage::knows_any),
        staged(scope::a_stretch_that_is_empty_or_turned_round_is_no_data).where_it(Stage::knows_any),
        staged(questions::asking_changes_nothing).where_it(Stage::knows_any),
        staged(questions::questions_at_once_are_not_taken_for_one_another).where_it(Stage::knows_any),
        staged(questions::a_question_that_is_dropped_leaves_the_source_usable).where_it(Stage::knows_any),
    ]
}

/// How long is waited before and after what is measured.
const GAP: Span = Span::from_secs(10);
/// How much longer than what is measured a stretch is, at either end.
const MARGIN: Span = Span::from_secs(2);

/// A fresh source, and who asks and answers.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    source: Arc<F::Adapter>,
    capabilities: Arc<MetricCapabilities>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    since: Timestamp,
    until: Timestamp,
}

/// The cart of a tenant's environment.
fn cart(tenant: u64, environment: u64) -> Result<ComponentKey, Failure> {
    let module = "cart".parse().map_err(|error| Failure::new(format!("{error}")))?;
    Ok(ComponentKey { tenant: sample::tenant(tenant), environment: sample::environment(environment), module })
}

fn revision(key: &ComponentKey, number: u64) -> RevisionId {
    RevisionId::new(key.module.clone(), DeploymentId::from_uuid(Uuid::from_u128(u128::from(number))))
}

/// So many requests to the first tenant's cart, answered at once by its revision of this number.
fn requests(number: u64, well: u32, failed: u32) -> Result<Requests, Failure> {
    let key = cart(1, 1)?;
    let revision = revision(&key, number);
    Ok(Requests { key, revision, well, failed, takes: Span::ZERO })
}

fn question(of: &Requests, metric: &MetricName, over: Stretch) -> MetricQuery {
    MetricQuery {
        key: of.key.clone(),
        revision: of.revision.clone(),
        metric: metric.clone(),
        since: over.since,
        until: over.until,
    }
}

/// That a reading says what there is of nothing.
fn is_no_data(reading: &MetricReading, what: &str) -> Outcome {
    let nothing = MetricReading { value: None, samples: 0, newest: None };
    ensure(*reading == nothing, format!("{what} is no data, and the answer is {reading:?}"))
}

impl<F> Stage<F>
where
    F: MetricFactory,
    F::Adapter: MetricSource,
{
    fn knows(&self, metrics: &[MetricName], why: &'static str) -> Result<(), &'static str> {
        if metrics.iter().all(|metric| self.capabilities.metrics.contains(metric)) {
            Ok(())
        } else {
            Err(why)
        }
    }

    fn knows_any(&self) -> Result<(), &'static str> {
        if self.capabilities.metrics.is_empty() { Err("it knows no metric, and says so") } else { Ok(()) }
    }

    fn knows_errors(&self) -> Result<(), &'static str> {
        self.knows(&[MetricName::ErrorRate], "it knows no error rate, and says so")
    }

    fn knows_rates(&self) -> Result<(), &'static str> {
        self.knows(&[MetricName::RequestRate], "it knows no request rate, and says so")
    }

    fn knows_latencies(&self) -> Result<(), &'static str> {
        let latencies = [MetricName::LatencyP50, MetricName::LatencyP99];
        self.knows(&latencies, "it knows no latencies, and says so")
    }

    /// Lets these be asked and answered; the stretch that they lie in alone.
    async fn answered(&self, requests: &[Requests]) -> Result<Stretch, Failure> {
        self.factory.pass(&self.source, GAP).await;
        let since = MARGIN.before(self.factory.now(&self.source));
        for requests in requests {
            self.factory.answer(&self.source, requests).await?;
        }
        let until = MARGIN.after(self.factory.now(&self.source));
        self.factory.pass(&self.source, GAP).await;
        Ok(Stretch { since, until })
    }

    async fn read(
        &self,
        of: &Requests,
        metric: &MetricName,
        over: Stretch,
    ) -> Result<MetricReading, Failure> {
        Ok(self.source.read(&question(of, metric, over)).await?)
    }

    /// That of every metric that it knows there is no data.
    async fn tells_nothing(&self, of: &Requests, over: Stretch, what: &str) -> Outcome {
        for metric in &self.capabilities.metrics {
            is_no_data(&self.read(of, metric, over).await?, &format!("the {metric} of {what}"))?;
        }
        Ok(())
    }

    /// That of every metric that it knows there is data.
    async fn tells_something(&self, of: &Requests, over: Stretch, what: &str) -> Outcome {
        for metric in &self.capabilities.metrics {
            let reading = self.read(of, metric, over).await?;
            let something = reading.value.is_some() && reading.samples > 0 && reading.newest.is_some();
            ensure(something, format!("the {metric} of {what} is there, and the answer is {reading:?}"))?;
        }
        Ok(())
    }
}
