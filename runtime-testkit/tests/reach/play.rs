//! Plays stories, and tells what comes of them.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use runtime_domain::time::{Span, Timestamp};
use runtime_testkit::prove::{Answer, Driver, Provable};

/// What can be told of a story.
pub enum Moment<'s, A: Provable> {
    /// Something was refused, by this rule.
    Refused(&'static str),
    /// An event happened, and made this state.
    Happened(&'s A::Event, &'s A),
    /// Something was decided, for this reason.
    Explained(String),
}

/// The same stories every time.
pub fn play<A: Provable>(stories: u32, mut tell: impl FnMut(Moment<'_, A>)) {
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let strategy = A::stories();
    for _ in 0..stories {
        let (mut driver, mut seconds, mut state) = (A::Driver::begin(), 1_800_000_000_i64, None::<A>);
        for step in strategy.new_tree(&mut runner).unwrap().current() {
            seconds += step.seconds;
            let now = Span::from_secs(seconds.unsigned_abs()).after(Timestamp::UNIX_EPOCH);
            let before = state.clone();
            match driver.ask(state.as_ref(), &step.plan, now) {
                Answer::Refused(refused) => tell(Moment::Refused(refused.rule)),
                Answer::Nothing => driver.follow(before.as_ref(), &step.plan, now),
                Answer::Decided(decision) => {
                    for event in &decision.events {
                        let after = A::evolve(state, event, now).unwrap();
                        tell(Moment::Happened(event, &after));
                        state = Some(after);
                    }
                    driver.follow(before.as_ref(), &step.plan, now);
                    tell(Moment::Explained(decision.explanation));
                }
            }
        }
    }
}
