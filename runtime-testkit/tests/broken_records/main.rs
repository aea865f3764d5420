//! The suites test adapters; this tests the suites: every trial of the records' suites is failed by an adapter that is broken on purpose.

#![allow(clippy::unwrap_used, reason = "what a test calls is a test too")]

mod artifacts;
mod health_results;
mod snapshots;

use std::collections::BTreeSet;

use runtime_testkit::conformance::Report;

fn failed(report: &Report) -> BTreeSet<String> {
    report.failed().map(|trial| trial.name.clone()).collect()
}

/// Checks that every bug is caught by its trial, that nothing fails without one, and that every trial is failed by some bug.
async fn tried<B: Copy + std::fmt::Debug, R: Future<Output = Report>>(
    none: B,
    bugs: &[(B, &str)],
    suite: impl Fn(B) -> R,
) {
    let sound = suite(none).await;
    sound.assert_passed();
    let mut untested: BTreeSet<String> = sound.trials().iter().map(|trial| trial.name.clone()).collect();
    for (bug, trial) in bugs {
        let report = suite(*bug).await;
        let failed = failed(&report);
        assert!(failed.contains(*trial), "{bug:?} was not caught by `{trial}`\n{report}");
        untested.retain(|trial| !failed.contains(trial));
    }
    assert_eq!(untested, BTreeSet::new(), "no broken adapter fails these trials");
}
