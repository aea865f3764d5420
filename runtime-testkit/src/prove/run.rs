//! Plays cases, shrinks the ones that break something, and reports.

use std::collections::{BTreeMap, BTreeSet};

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::conformance::{Report, Trial, Verdict};
use crate::prove::case::{Case, cases};
use crate::prove::walk::{Broken, Walk};
use crate::prove::{Cases, Property, Provable};

/// How often a story is played to make it smaller.
const MOST_SHRINKS: u32 = 4_000;

pub(super) fn run<A: Provable>(cases_wanted: Cases) -> Report {
    let strategy = cases::<A>();
    let mut pending: BTreeSet<Property> = Property::ALL.into();
    let mut failures: BTreeMap<Property, String> = BTreeMap::new();
    let mut played = 0_u64;
    for seed in cases_wanted.seeds() {
        played += 1;
        // A story can break several properties; each is told with its own smallest story.
        while let Some((property, told)) = play::<A>(&strategy, seed, &pending) {
            pending.remove(&property);
            failures.insert(property, format!("{told} (found in case {played})"));
        }
    }
    let verdict = |property: Property| match failures.remove(&property) {
        Some(told) => Verdict::Failed(told),
        None if played == 0 => Verdict::Skipped("no case was asked for"),
        None => Verdict::Passed,
    };
    let mut verdict = verdict;
    let trials = Property::ALL
        .into_iter()
        .map(|property| Trial { name: property.sentence().to_owned(), verdict: verdict(property) })
        .collect();
    Report::of(A::KIND.name(), trials)
}

/// Plays one case; where it breaks a property, the smallest story that does, told.
fn play<A: Provable>(
    strategy: &BoxedStrategy<Case<A::Plan>>,
    seed: u64,
    pending: &BTreeSet<Property>,
) -> Option<(Property, String)> {
    if pending.is_empty() {
        return None;
    }
    let mut runner = TestRunner::new_with_rng(Config::default(), generator(seed));
    let Ok(mut tree) = strategy.new_tree(&mut runner) else {
        return None;
    };
    let mut broken = Walk::<A>::play(&tree.current(), pending)?;
    let only = BTreeSet::from([broken.property]);
    let mut smallest = tree.current();
    for _ in 0..MOST_SHRINKS {
        let is_smaller = match Walk::<A>::play(&tree.current(), &only) {
            Some(again) => {
                (broken, smallest) = (again, tree.current());
                tree.simplify()
            }
            None => tree.complicate(),
        };
        if !is_smaller {
            break;
        }
    }
    Some((broken.property, told::<A>(seed, &broken, &smallest)))
}

fn told<A: Provable>(seed: u64, broken: &Broken, smallest: &Case<A::Plan>) -> String {
    let mut text = broken.why.clone();
    for line in Walk::<A>::tell(smallest, &BTreeSet::from([broken.property])) {
        text.push_str("\n             ");
        text.push_str(&line);
    }
    text.push_str(&format!("\n           play it again with RUNTIME_TESTKIT_SEED={seed:016x}"));
    text
}

fn generator(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    for (part, number) in bytes.chunks_mut(8).zip(1_u64..) {
        part.copy_from_slice(&seed.wrapping_mul(number).to_le_bytes());
    }
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}
