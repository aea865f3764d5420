use runtime_ports::store::Commit;

use super::{Outcome, World, is_invalid, key, loaded, refused};
use crate::conformance::equal;
use crate::sample::Draft;

pub(super) async fn a_history_continues_without_gaps(world: World) -> Outcome {
    let tenant = world.tenant(1);
    let first = Draft::create(1, key(1)).entries(2);
    let numbered = |draft: &Draft, number: u64| {
        let mut write = draft.write();
        write.history.iter_mut().for_each(|entry| entry.sequence = number);
        Commit { writes: vec![write], ..Commit::default() }
    };
    let late = numbered(&Draft::create(1, key(2)), 2);
    refused(&*tenant, late, "a new aggregate's history begins with 2", is_invalid).await?;
    tenant.commit(first.commit()).await?;
    for (number, why) in [(2, "number 2 is there already"), (4, "number 3 is left out")] {
        refused(&*tenant, numbered(&first.next(), number), why, is_invalid).await?;
    }
    equal("the length of the history", loaded(&*tenant, key(1)).await?.sequence, 2)?;
    tenant.commit(first.next().commit()).await?;
    let sequences: Vec<u64> =
        tenant.history(&key(1), 0, 10).await?.iter().map(|entry| entry.sequence).collect();
    equal("the history's numbers", sequences, vec![1, 2, 3])
}

pub(super) async fn a_history_is_read_in_order_and_in_parts(world: World) -> Outcome {
    let tenant = world.tenant(1);
    tenant.commit(Draft::create(1, key(1)).entries(7).commit()).await?;
    for (after, limit, wanted) in [
        (0, 3, vec![1, 2, 3]),
        (3, 3, vec![4, 5, 6]),
        (6, 3, vec![7]),
        (7, 3, vec![]),
        (u64::MAX, 3, vec![]),
        (0, 0, vec![]),
        (0, u32::MAX, vec![1, 2, 3, 4, 5, 6, 7]),
    ] {
        let entries = tenant.history(&key(1), after, limit).await?;
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        equal(&format!("at most {limit} entries after {after}"), numbers, wanted)?;
    }
    Ok(())
}
