//! Those who follow: a thousand of them, one more, and one who does not read.

use std::time::Duration;

use futures::future::join_all;
use runtime_domain::time::Span;

use crate::client::{Conversation, Follower, Told, request};
use crate::here::Here;

const CLIENTS: usize = 1_000;

/// Stops and resumes the line so often, for this reason: two events each.
async fn happen(conversation: &mut Conversation, environment: &str, times: usize, reason: &str) {
    let body = format!("{{\"reason\":\"{reason}\"}}");
    for _ in 0..times {
        for what in ["stop-the-line", "resume-the-line"] {
            let path = format!("/runtime/environments/{environment}/{what}");
            assert_eq!(conversation.status(&request("POST", &path, "ada", "", &body)).await, 200);
        }
    }
}

/// A follower, as soon as there is a place.
async fn admitted(here: &Here) -> Follower {
    let begun = tokio::time::Instant::now();
    loop {
        match Follower::begin(here.address, None).await {
            Ok(follower) => return follower,
            Err(refused) => {
                assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
                assert!(begun.elapsed() < Duration::from_secs(60), "places are given back");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// As many as there are places follow, are told the same in the same order, and leave.
async fn followed(here: &Here, after: u64) {
    let mut conversation = Conversation::begin(here.address).await.unwrap();
    let followers = join_all((0..CLIENTS).map(|_| admitted(here))).await;
    let Err(refused) = Follower::begin(here.address, None).await else { panic!("there is no place") };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.contains("\r\nretry-after: 1\r\n") && refused.contains("as many streams as it takes"),
        "{refused}"
    );
    let reading = followers.into_iter().map(async |mut follower| {
        let mut told = Vec::new();
        while told.len() < 10 {
            told.push(follower.next().await);
        }
        (told, follower)
    });
    let happening = happen(&mut conversation, &here.environments[0], 5, "load");
    let (read, ()) = futures::join!(join_all(reading), happening);
    let expected: Vec<Told> = (after + 1..=after + 10).map(Told::Event).collect();
    for (told, _) in &read {
        assert_eq!(told, &expected);
    }
    drop(read);
    // Who comes next is let in: that the others have gone has been seen.
    drop(join_all((0..CLIENTS).map(|_| admitted(here))).await);
    for _ in 0..50 {
        conversation.status(&request("GET", "/livez", "ada", "", "")).await;
    }
}

/// What they all take in memory is given back, to the byte as the allocator counts them.
#[test]
fn a_thousand_followers_are_told_everything_in_order_and_leave_nothing_behind() {
    let here = Here::start(|admission, _, _| admission.streams = CLIENTS);
    // The first event is that the environment was asked for.
    here.run(followed(&here, 1));
    let mut kept = Vec::new();
    for time in 1..=3 {
        let counted = here.kept(followed(&here, 1 + 10 * time));
        println!("{} bytes for each follower and its client", counted.bytes_max / CLIENTS as u64);
        assert!(counted.bytes_max > 1_000 * CLIENTS as u64, "what followers take is counted: {counted:?}");
        kept.push(counted.bytes_current);
        // The store and the ring keep ten events more.
        if counted.bytes_current < 100 * CLIENTS as i64 {
            return;
        }
    }
    panic!("bytes that were kept: {kept:?}");
}

/// The ring keeps 4,096 events; the sockets' buffers hold some megabytes more, and so the events are long.
#[test]
fn who_does_not_read_holds_nobody_up_and_is_told_to_read_anew() {
    const TIMES: usize = 3_200;
    let long = "x".repeat(1_900);
    let here = Here::start(|_, http, bounds| {
        // That it is let go after a while is another test's.
        http.stream_heartbeat = Duration::from_secs(600);
        bounds.stalled_for = Span::from_secs(600);
    });
    here.run(async {
        let mut conversation = Conversation::begin(here.address).await.unwrap();
        let mut slow = Follower::begin(here.address, Some(4_096)).await.unwrap();
        let mut quick = Follower::begin(here.address, None).await.unwrap();
        let reading = async {
            for number in 2..=TIMES as u64 * 2 + 1 {
                assert_eq!(quick.next().await, Told::Event(number));
            }
        };
        futures::join!(reading, happen(&mut conversation, &here.environments[0], TIMES, &long));
        // What was on its way comes in order, then that something is missing, then what happens after that.
        let mut number = 2;
        loop {
            match slow.next().await {
                Told::Event(told) => assert_eq!(told, number),
                other => {
                    assert_eq!(other, Told::Reset);
                    break;
                }
            }
            number += 1;
        }
        assert!(number < TIMES as u64 * 2, "{number} events were on their way");
        happen(&mut conversation, &here.environments[0], 1, &long).await;
        let next = TIMES as u64 * 2 + 2;
        assert_eq!((slow.next().await, slow.next().await), (Told::Event(next), Told::Event(next + 1)));
    });
}
