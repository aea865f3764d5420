//! The table, the paths, the record.

use alloc::format;
use alloc::string::ToString;

use crate::aggregate::Aggregate as _;
use crate::drift::watch::*;
use crate::refusal::Rule;
use crate::testing::{Answer, Told, answer, assert_refused, assert_schema_is_kept, assert_text, at, id};
use crate::time::Span;

type Watched = Told<DriftWatch>;

fn terms(path: &str) -> WatchTerms {
    WatchTerms::new(path.parse().unwrap())
}

fn begun() -> Watched {
    Watched::begin(DriftWatch::begin(id(1), id(2), &terms("shop")), at(0))
}

fn stopped() -> Watched {
    let mut watched = begun();
    let decision = watched.now().stop("the shop moves").unwrap();
    watched.happen(decision, at(1));
    watched
}

fn in_sync() -> Outlook {
    Outlook::InSync { revision: "pulumi:shop@7".parse().unwrap() }
}

fn not_compared(reason: &str) -> Outlook {
    Outlook::NotCompared { reason: reason.to_string() }
}

#[test]
fn commands_are_answered_as_the_table_says() {
    let (watching, stopped) = (begun(), stopped());
    let (watching, stopped) = (watching.now(), stopped.now());
    assert_eq!(answer(&watching.watch(&terms("shop"))), Answer::Same);
    assert_eq!(answer(&watching.watch(&terms("other"))), Answer::Changes);
    assert_eq!(answer(&watching.stop("enough")), Answer::Changes);
    assert_eq!(answer(&watching.stop(" ")), Answer::Refused(Rule::Content));
    assert_eq!(answer(&watching.stop("password=hunter2")), Answer::Refused(Rule::X11));
    assert_eq!(answer(&watching.record_outlook(Outlook::Unknown)), Answer::Same);
    assert_eq!(answer(&watching.record_outlook(in_sync())), Answer::Changes);
    assert_eq!(answer(&stopped.watch(&terms("shop"))), Answer::Changes);
    assert_eq!(answer(&stopped.watch(&terms("other"))), Answer::Changes);
    assert_eq!(answer(&stopped.stop("enough")), Answer::Same);
    assert_eq!(answer(&stopped.record_outlook(in_sync())), Answer::Refused(Rule::Lifecycle));
    let hasty = WatchTerms { interval: Span::from_millis(99), ..terms("shop") };
    assert_eq!(answer(&DriftWatch::begin(id(1), id(2), &hasty)), Answer::Refused(Rule::Content));
}

#[test]
fn what_a_comparison_comes_to_is_written_once_and_survives_other_terms() {
    let mut watched = begun();
    for (seconds, outlook) in [(1, in_sync()), (2, not_compared("the tree is dirty")), (3, in_sync())] {
        let decision = watched.now().record_outlook(outlook.clone()).unwrap();
        watched.happen(decision, at(seconds));
        assert_eq!(watched.now().outlook(), Some(&outlook));
        assert!(watched.now().record_outlook(outlook).unwrap().is_unchanged());
    }
    let decision = watched.now().watch(&terms("other")).unwrap();
    watched.happen(decision, at(4));
    assert_eq!(watched.now().outlook(), Some(&in_sync()));
    assert_eq!(watched.now().wake_at(), Some(at(4)), "it is due at once");
    watched.check_replay_and_record();
    let stopped = stopped();
    assert_eq!((stopped.now().outlook(), stopped.now().wake_at()), (None, None));
    stopped.check_replay_and_record();
}

/// Shows X-11.
#[test]
fn what_a_source_says_is_kept_without_what_may_be_a_secret() {
    let mut watched = begun();
    let decision = watched.now().record_outlook(not_compared("https://ann:hunter2@git.test/shop")).unwrap();
    watched.happen(decision, at(1));
    let told = format!("{:?}", watched.now());
    assert!(told.contains("is not kept") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_path_leads_nowhere_else() {
    let long = ["a"; 128].join("/");
    let legal = [".", "shop", "shop/staging", "a.b_c-D/9", &long];
    let longer = format!("{long}/aa");
    let refused = [
        "",
        "..",
        "../shop",
        "shop/..",
        "shop/../other",
        "/shop",
        "shop/",
        "shop//a",
        ".git",
        "shop/.git",
        "-x",
        "shop/-x",
        "a\\b",
        "a b",
        "a:b",
        "a\0b",
        "ä",
        &longer,
    ];
    assert_text(
        |path: &DesiredStatePath| alloc::vec![path.to_string(), path.as_str().to_string()],
        &legal,
        &refused,
    );
    assert_eq!(DesiredStatePath::whole().parts().count(), 0);
    let path: DesiredStatePath = "shop/staging".parse().unwrap();
    assert!(path.parts().eq(["shop", "staging"]));
}

#[test]
fn a_stored_watch_that_was_edited_is_refused() {
    let watched = begun();
    assert_schema_is_kept(watched.now());
    assert_refused(watched.now(), "CONTENT", |record| record["terms"]["interval"] = "10ms".into());
    assert_refused(watched.now(), "SCHEMA", |record| record["terms"]["path"] = "../other".into());
    let stopped = stopped();
    assert_refused(stopped.now(), "X-11", |record| {
        record["state"]["Stopped"]["reason"] = "password=hunter2".into()
    });
    assert_refused(stopped.now(), "CONTENT", |record| record["state"]["Stopped"]["reason"] = " ".into());
}
