use runtime_ports::PortErrorKind;
use runtime_ports::store::{AggregateWrite, Commit, LeaseTopic, ParkedQuery, Parking, Query, Unpark};

use super::outbox::parking;
use super::{
    KIND, NOBODY, Outcome, World, ensure, is_absent, is_claim_held, is_invalid, key, loaded, refused,
    take_one,
};
use crate::conformance::equal;
use crate::sample::{Draft, exclusive};

/// A text that comes where a person or another program chooses it.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\0",
        "before\0after",
        "\u{1F600}\u{10FFFF}\u{FFFD}",
        "e\u{301}\u{e9}",
        "\u{202E}desrever\u{200B}\u{FEFF}",
        "'; DROP TABLE aggregates; --",
        "\\\"\\u0000$1 %s {} ?1 :a @b",
        "line\r\nline\ttab\u{7f}\u{1b}[2J",
        "NULL",
    ]
    .map(str::to_owned)
    .into();
    texts.push("long \u{1F600}".repeat(2_000));
    texts
}

type Place = (&'static str, fn(&mut AggregateWrite, &str));

/// Where a write carries text; its state and events carry it within JSON.
const PLACES: [Place; 8] = [
    ("the status", |write, text| write.facets.status = text.to_owned()),
    ("the state", |write, text| write.record.body = json(text)),
    ("a claim", |write, text| write.claims = [exclusive(text)].into()),
    ("an event's name", |write, text| {
        write.history.iter_mut().for_each(|entry| entry.event = text.to_owned())
    }),
    ("an event", |write, text| write.history.iter_mut().for_each(|entry| entry.body = json(text))),
    ("an explanation", |write, text| {
        write.history.iter_mut().for_each(|entry| entry.explanation = text.to_owned());
    }),
    ("an event's type", |write, text| {
        write.outbox.iter_mut().for_each(|event| event.event_type = text.to_owned());
    }),
    ("an envelope", |write, text| write.outbox.iter_mut().for_each(|event| event.envelope = json(text))),
];

fn json(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|letter| match letter {
            '"' | '\\' => format!("\\{letter}"),
            letter if u32::from(letter) < 0x20 => format!("\\u{:04x}", u32::from(letter)),
            letter => letter.to_string(),
        })
        .collect();
    format!("{{\"text\":\"{escaped}\"}}")
}

/// Kept to the last character or refused as invalid, and a harmless commit that goes with it is neither refused nor changed.
pub(super) async fn a_hostile_text_is_kept_exactly_or_refused(world: World) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    let mut number = 0;
    for text in hostile() {
        let shown: String = text.escape_debug().take(40).collect();
        for (place, spoil) in PLACES {
            number += 2;
            let what = format!("{place}, \"{shown}\"");
            let mut write = Draft::create(1, key(number)).publishing().write();
            spoil(&mut write, &text);
            let commit = Commit { writes: vec![write.clone()], ..Commit::default() };
            let harmless = Draft::create(1, key(number + 1));
            let (answer, beside) = tokio::join!(tenant.commit(commit), tenant.commit(harmless.commit()));
            beside?;
            match answer {
                Err(error) => {
                    ensure(is_invalid(&error), format!("{what} was refused otherwise: {error:?}"))?;
                    is_absent(&*tenant, key(number)).await?;
                    continue;
                }
                Ok(_) => equal(&what, loaded(&*tenant, key(number)).await?.record, write.record.clone())?,
            }
            equal(&what, tenant.history(&key(number), 0, 10).await?, write.history)?;
            let relay = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
            equal(&what, operator.outbox(&relay, 10).await?.events, write.outbox)?;
            operator.outbox_published(&relay, 1, &NOBODY).await?;
            operator.release_lease(&relay).await?;
            if let Some(claim) = write.claims.first() {
                let contender = Draft::create(1, key(number + 1_000)).claiming([claim.clone()]);
                refused(&*tenant, contender.commit(), &what, is_claim_held).await?;
            }
        }
        // Listed by exactly that status, or by none.
        match tenant.query(&Query::all(KIND).with_status(&[&text])).await {
            Ok(page) => {
                ensure(page.items.len() <= 1, format!("the status \"{shown}\" finds others as well"))?
            }
            Err(error) => {
                let is_invalid = error.kind() == PortErrorKind::Invalid;
                ensure(is_invalid, format!("a list by the status \"{shown}\": {error:?}"))?;
            }
        }
    }
    parked_for(&world, 5_000).await
}

/// A stream that is parked for a hostile reason waits, or parking is refused and it goes on.
async fn parked_for(world: &World, first: u64) -> Outcome {
    let (tenant, operator) = (world.tenant(1), world.operator());
    for (number, text) in (first..).zip(hostile()) {
        tenant.commit(Draft::create(1, key(number)).publishing().commit()).await?;
        let relay = take_one(&*operator, LeaseTopic::Outbox, 1, 0).await?;
        let parking = Parking { reason: text.clone(), ..parking("hostile", 1)? };
        let is_parked = operator.outbox_park(&relay, &parking).await.is_ok();
        let parked = operator.outbox_parked(&ParkedQuery::all()).await?.items;
        let reasons: Vec<_> = parked.into_iter().map(|stream| stream.reason).collect();
        equal(
            "the hostile reasons that a stream is parked for",
            reasons,
            Vec::from_iter(is_parked.then_some(text)),
        )?;
        operator.outbox_unpark(&Unpark::All { destination: None }).await?;
        operator.outbox_published(&relay, 1, &NOBODY).await?;
        operator.outbox_caught_up(&relay, &parking.destination, 1).await?;
        operator.release_lease(&relay).await?;
    }
    Ok(())
}
