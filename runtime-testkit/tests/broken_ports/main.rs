//! The suites test adapters; this tests the suites of what a host asks and tells: every trial is failed by an adapter that is broken on
//! purpose, in one way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod desired_states;
mod handovers;
mod job_runners;
mod metric_sources;
mod probers;
mod publishers;
mod registries;
mod signal_sources;

use std::collections::BTreeSet;
use std::fmt::Debug;

use runtime_testkit::conformance::{Report, Verdict};

fn names(report: &Report, is: impl Fn(&Verdict) -> bool) -> BTreeSet<&str> {
    report.trials().iter().filter(|trial| is(&trial.verdict)).map(|trial| trial.name.as_str()).collect()
}

/// Checks that each bug fails its own trials and no other, that nothing fails without a bug, and that every trial is failed by some bug.
///
/// `sound` are adapters without a bug, of such capabilities that between them they leave no trial out.
async fn tried<B: Copy + Debug, R: Future<Output = Report>>(
    sound: Vec<Report>,
    bugs: &[(B, &[&str])],
    suite: impl Fn(B) -> R,
) {
    let (mut all, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for report in &sound {
        report.assert_passed();
        all.extend(names(report, |_| true));
        kept.extend(names(report, |verdict| *verdict == Verdict::Passed));
    }
    assert_eq!(kept, all, "no sound adapter was tried by all of these");
    let (mut caught, mut otherwise) = (BTreeSet::new(), Vec::new());
    for (bug, trials) in bugs {
        let report = suite(*bug).await;
        let failed = names(&report, |verdict| matches!(verdict, Verdict::Failed(_)));
        if failed != trials.iter().copied().collect() {
            otherwise.push(format!("{bug:?} was to be caught by {trials:?}\n{report}"));
        }
        caught.extend(*trials);
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert_eq!(caught, all, "a trial that nothing fails proves nothing");
}
