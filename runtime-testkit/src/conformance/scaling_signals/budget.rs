//! How fast an error budget burns.

use runtime_domain::scaling::Reading;
use runtime_domain::surface::ComponentKey;
use runtime_domain::time::Span;
use runtime_ports::scaling_signals::ScalingSignals;

use super::{SignalFactory, Stage, cart, is_missing, revision};
use crate::conformance::{Failure, Outcome, ensure};

const SHORT: Span = Span::from_secs(60);
const LONG: Span = Span::from_secs(600);

impl<F> Stage<F>
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    async fn answered(&self, key: &ComponentKey, well: u32, failed: u32) -> Outcome {
        Ok(self.factory.answer(&self.source, key, &revision(key, 1), well, failed).await?)
    }

    /// That a budget burns so fast that this share of what is asked fails.
    fn burns(&self, reading: &Reading, failed: u32, of: u32, over: &str) -> Outcome {
        let left = self.capabilities.budget.map_or(1_000_000, |budget| budget.left.micros());
        let wanted = i64::from(failed) * 1_000_000_000_000 / (i64::from(of).max(1) * left.max(1));
        let what = format!("{failed} of {of} failed over the {over} stretch");
        match reading {
            Reading::Measured { value, samples, .. } => {
                ensure(*samples > 0, format!("{what}, and it rests on nothing"))?;
                let off = (value.micros() - wanted).abs();
                ensure(off <= wanted / 100, format!("{what}: {wanted} millionths, and {value} is told"))
            }
            Reading::Missing { why } => Err(Failure::new(format!("{what}, and nothing is known: {why}"))),
        }
    }
}

pub(super) async fn a_budget_burns_as_fast_as_requests_fail<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    for (environment, well, failed) in [(1, 0, 4), (2, 6, 2), (3, 5, 0)] {
        let key = cart(1, environment)?;
        stage.answered(&key, well, failed).await?;
        let burn = stage.source.burn(&stage.burn_query(&key, SHORT, LONG)).await?;
        for (reading, over) in [(&burn.short, "short"), (&burn.long, "long")] {
            stage.burns(reading, failed, well + failed, over)?;
        }
    }
    Ok(())
}

pub(super) async fn each_stretch_burns_by_itself<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let key = cart(1, 1)?;
    stage.answered(&key, 0, 4).await?;
    stage.factory.pass(&stage.source, Span::from_secs(120)).await;
    stage.answered(&key, 4, 0).await?;
    let burn = stage.source.burn(&stage.burn_query(&key, SHORT, LONG)).await?;
    stage.burns(&burn.short, 0, 4, "short")?;
    stage.burns(&burn.long, 4, 8, "long")
}

pub(super) async fn a_budget_that_nothing_is_known_of_is_missing<F>(stage: Stage<F>) -> Outcome
where
    F: SignalFactory,
    F::Adapter: ScalingSignals,
{
    let (key, stranger) = (cart(1, 1)?, cart(2, 1)?);
    let nobody = stage.source.burn(&stage.burn_query(&key, SHORT, LONG)).await?;
    stage.answered(&key, 2, 2).await?;
    let strange = stage.source.burn(&stage.burn_query(&stranger, SHORT, LONG)).await?;
    stage.factory.pass(&stage.source, LONG).await;
    stage.factory.pass(&stage.source, SHORT).await;
    let quiet = stage.source.burn(&stage.burn_query(&key, SHORT, LONG)).await?;
    for (burn, of) in [
        (nobody, "a component that was never there"),
        (strange, "another tenant's component"),
        (quiet, "a component that nobody asks any more"),
    ] {
        for reading in [&burn.short, &burn.long] {
            is_missing(reading, &format!("the budget of {of}"))?;
        }
    }
    Ok(())
}
