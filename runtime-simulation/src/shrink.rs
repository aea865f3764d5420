//! How a story is made shorter.

use crate::laws::Broken;
use crate::outcome::Failure;
use crate::simulation::{Mode, Simulation};
use crate::story::Story;

/// How many times as many steps as it has are told to make a story shorter.
const MOST: usize = 30;

/// The shortest story found that breaks the same law: steps after the one that broke it are left out, then ever smaller parts of the rest,
/// as long as that law is still broken.
pub(crate) fn shortest(simulation: &Simulation, whole: Story, broken: Broken) -> Failure {
    let (length, steps) = (whole.steps.len(), simulation.size.steps);
    // What is broken before the end is told without it.
    let mode = if broken.law().is_of_the_end() { simulation.mode } else { Mode::Safety };
    let simulation = &simulation.clone().mode(mode);
    let mut left = length * MOST;
    let mut best = Failure { broken, story: whole, whole: length, steps };
    let mut attempt = |best: &mut Failure, numbers: &[u32]| {
        left = left.saturating_sub(numbers.len().max(1));
        if left == 0 {
            return false;
        }
        let story = best.story.only(numbers);
        match simulation.tell(&story) {
            Err(broken) if broken.law() == best.broken.law() => {
                *best = Failure { broken, story, whole: length, steps };
                true
            }
            _ => false,
        }
    };
    let numbers = |best: &Failure| best.story.steps.iter().map(|step| step.number).collect::<Vec<u32>>();
    let all = numbers(&best);
    let until: Vec<u32> = all.iter().copied().filter(|number| *number <= best.broken.step()).collect();
    if until.len() < all.len() {
        attempt(&mut best, &until);
    }
    let mut part = best.story.steps.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < best.story.steps.len() {
            let all = numbers(&best);
            let kept = all.iter().enumerate().filter(|(place, _)| !(at..at + part).contains(place));
            let kept: Vec<u32> = kept.map(|(_, number)| *number).collect();
            if attempt(&mut best, &kept) {
                has_shrunk = true;
            } else {
                at += part;
            }
        }
        part = if part == 1 && has_shrunk { 1 } else { part / 2 };
    }
    best
}
