//! Hosts that die at every action of every reconciler, and come back or not: what they began ends as if nobody had died.
//!
//! A story is told once without a fault, so that its actions are known: effects on the world, and commits. Then it is told again for each of
//! them, each side of it and each way in which things go on, with hosts of the whole library on one store, one surface and one clock:
//!
//! | who goes on | |
//! |---|---|
//! | same host | the only host dies there, and is started again at once |
//! | other host | of two hosts that share the work, the one that comes there dies |
//! | zombie, soon | of two hosts, the one that comes there freezes, and goes on when the other has done the next action |
//! | zombie, late | the same, but it goes on when all is done |
//!
//! Each must end as the undisturbed one: the same is on every surface and in every vault, the same aggregates are in the same states with the
//! same claims, the same events were published, as many instances and jobs were started; and no effect has changed anything twice.
//!
//! `MATRIX=whole` tells all of them; otherwise every action is met, and every side and every way of going on at some action of each story.
//! `MATRIX_STORY=…` and `MATRIX_CELL=…` tell one again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

mod afterwards;
mod cell;
mod end;
mod releases;
mod stage;
mod stories;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cell::{Cell, Comes, Side, Told};
use stories::Story;

/// One story, as far as it was told.
struct Summary {
    actions: usize,
    cells: usize,
    fenced: usize,
    wrong: Vec<String>,
}

fn told(story: &'static dyn Story, cell: Option<Cell>) -> Told {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(cell::tell(story, cell))
}

/// Every action with one side and one way of going on, or with all of them.
fn cells(actions: usize, is_whole: bool) -> Vec<Cell> {
    let ways: Vec<(Side, Comes)> =
        Side::ALL.into_iter().flat_map(|side| Comes::ALL.map(|comes| (side, comes))).collect();
    let of_action = |action: usize| {
        let ways = ways.clone();
        let chosen: Vec<(Side, Comes)> = if is_whole { ways } else { vec![ways[action * 3 % ways.len()]] };
        chosen.into_iter().map(move |(side, comes)| Cell { action, side, comes })
    };
    (0..actions).flat_map(of_action).collect()
}

fn summary(story: &'static dyn Story, is_whole: bool, only: Option<&str>) -> Summary {
    let undisturbed = told(story, None);
    let again = told(story, None);
    assert_eq!(undisturbed.actions, again.actions, "{}: the same story has the same actions", story.name());
    assert_eq!(undisturbed.end, again.end, "{}: the same story has the same end", story.name());
    if let Some(doubled) = &undisturbed.doubled {
        panic!("{}: nobody died, and yet {doubled}", story.name());
    }
    let mut cells = cells(undisturbed.actions.len(), is_whole || only.is_some());
    cells.retain(|cell| only.is_none_or(|only| cell.to_string() == only));
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = told(story, Some(*cell));
                    results.lock().unwrap().insert(*cell, told);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let mut summary =
        Summary { actions: undisturbed.actions.len(), cells: results.len(), fenced: 0, wrong: Vec::new() };
    for (cell, told) in results {
        summary.fenced += told.fenced;
        let at = told.died_at.clone();
        let how = match () {
            () if at.is_none() => Some("nobody came to the action".to_owned()),
            () if !told.is_settled => Some(format!("it does not end: {:#?}", told.end)),
            () if told.doubled.is_some() => told.doubled,
            () => undisturbed.end.difference(&told.end),
        };
        if let Some(how) = how {
            let at = at.unwrap_or_default();
            summary.wrong.push(format!("MATRIX_STORY={} MATRIX_CELL={cell} ({at}): {how}", story.name()));
        }
    }
    summary
}

/// Buried: steno#66. Theirs: a node that ended with an error after a success that was not recorded left an orphan. Ours: an effect carries an
/// identifier that the state gave it: whoever goes on finds it done, and ends as if nobody had died.
/// Shows X-7.
#[test]
fn whoever_dies_at_any_action_of_any_reconciler_leaves_what_others_end_as_if_nobody_had_died() {
    let is_whole = std::env::var("MATRIX").is_ok_and(|which| which == "whole");
    let story = std::env::var("MATRIX_STORY").ok();
    let only = std::env::var("MATRIX_CELL").ok();
    let mut wrong = Vec::new();
    println!("{:<28} {:>8} {:>6} {:>8}  class", "story", "actions", "cells", "fenced");
    for told in
        stories::ALL.iter().filter(|told| story.as_ref().is_none_or(|story| told.name().contains(story)))
    {
        let Summary { actions, cells, fenced, wrong: of_story } = summary(*told, is_whole, only.as_deref());
        println!("{:<28} {actions:>8} {cells:>6} {fenced:>8}  {}", told.name(), told.class());
        wrong.extend(of_story);
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the matrix found: where a host died while all traffic went to the new revision, the service was called ill, though its clients lacked
/// nothing; and so it was without any death, where a rollout was watched for a while.
#[test]
fn a_service_is_not_ill_while_only_the_version_serves_that_a_rollout_brings() {
    let told = told(stories::LONG_BAKE, None);
    assert!(told.is_settled && told.end.has_published("RuntimeDeploymentCompleted"));
    assert!(!told.end.has_published("HealthDegraded"), "{:#?}", told.end);
}
