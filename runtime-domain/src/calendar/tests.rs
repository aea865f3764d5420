//! The calendar beside an oracle that looks at every minute, and its edges one by one.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use chrono::{NaiveDateTime, TimeDelta};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::refusal::{Refusal, Rule};
use crate::testing::{assert_text, name};

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::new(name).unwrap()
}

fn window(label: &str, days: &[Day], from: &str, to: &str) -> ChangeWindow {
    ChangeWindow {
        name: name(label),
        activities: [Activity::Deployment].into(),
        days: days.iter().copied().collect(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn freeze(label: &str, from: &str, until: &str) -> Freeze {
    Freeze {
        name: name(label),
        activities: [Activity::Deployment, Activity::Rotation].into(),
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
        reason: "the year ends".to_string(),
    }
}

fn calendar(zone: &str, windows: Vec<ChangeWindow>, freezes: Vec<Freeze>) -> ChangeCalendar {
    ChangeCalendar::new(self::zone(zone), windows, freezes).unwrap()
}

const WEEKDAYS: [Day; 5] = [Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday];
const EVERY_DAY: [Day; 7] =
    [Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday, Day::Saturday, Day::Sunday];

fn deployment(calendar: &ChangeCalendar, at: &str) -> Opening {
    calendar.at(Activity::Deployment, moment(at), None)
}

fn open_until(at: &str) -> Opening {
    Opening::Open { until: Some(moment(at)) }
}

fn opens_at(opening: &Opening) -> Option<Timestamp> {
    match opening {
        Opening::Closed { opens_at, .. } => *opens_at,
        Opening::Open { .. } => panic!("it is open"),
    }
}

#[test]
fn a_calendar_that_says_nothing_is_open_to_everything() {
    for activity in Activity::ALL {
        let opening = ChangeCalendar::default().at(activity, moment("2026-11-21T12:00:00Z"), None);
        assert_eq!(opening, Opening::Open { until: None });
        assert!(opening.is_open());
    }
}

#[test]
fn an_activity_is_allowed_in_its_windows_and_one_that_none_names_always() {
    let calendar = calendar("Europe/Berlin", vec![window("office", &WEEKDAYS, "09:00", "17:00")], vec![]);
    // 2026-11-20 is a Friday; Berlin is an hour ahead.
    assert_eq!(deployment(&calendar, "2026-11-20T08:00:00Z"), open_until("2026-11-20T16:00:00Z"));
    assert_eq!(deployment(&calendar, "2026-11-20T15:59:59.999Z"), open_until("2026-11-20T16:00:00Z"));
    let closed = deployment(&calendar, "2026-11-20T16:00:00Z");
    assert_eq!(opens_at(&closed), Some(moment("2026-11-23T08:00:00Z")), "the weekend passes");
    assert!(!closed.is_open());
    assert_eq!(
        opens_at(&deployment(&calendar, "2026-11-20T07:59:59.999Z")),
        Some(moment("2026-11-20T08:00:00Z"))
    );
    let rotation = calendar.at(Activity::Rotation, moment("2026-11-21T12:00:00Z"), None);
    assert_eq!(rotation, Opening::Open { until: None });
}

#[test]
fn a_window_may_last_past_midnight_or_around_the_clock() {
    let night = calendar("UTC", vec![window("night", &[Day::Friday], "22:00", "02:00")], vec![]);
    assert_eq!(deployment(&night, "2026-11-20T22:00:00Z"), open_until("2026-11-21T02:00:00Z"));
    assert_eq!(deployment(&night, "2026-11-21T01:59:00Z"), open_until("2026-11-21T02:00:00Z"));
    assert_eq!(opens_at(&deployment(&night, "2026-11-21T02:00:00Z")), Some(moment("2026-11-27T22:00:00Z")));
    let day = calendar("UTC", vec![window("day", &[Day::Friday], "00:00", "24:00")], vec![]);
    assert_eq!(deployment(&day, "2026-11-20T00:00:00Z"), open_until("2026-11-21T00:00:00Z"));
    let same = calendar("UTC", vec![window("same", &[Day::Friday], "12:00", "12:00")], vec![]);
    assert_eq!(deployment(&same, "2026-11-21T11:00:00Z"), open_until("2026-11-21T12:00:00Z"));
    let always = calendar("UTC", vec![window("always", &EVERY_DAY, "00:00", "24:00")], vec![]);
    assert_eq!(deployment(&always, "2026-11-21T11:00:00Z"), Opening::Open { until: None });
}

#[test]
fn a_freeze_closes_what_windows_open_and_what_has_none() {
    let frozen = freeze("christmas", "2026-12-20T18:00:00", "2027-01-04T08:00:00");
    let calendar = calendar("UTC", vec![window("office", &WEEKDAYS, "09:00", "17:00")], vec![frozen]);
    assert_eq!(deployment(&calendar, "2026-12-18T10:00:00Z"), open_until("2026-12-18T17:00:00Z"));
    let closed = deployment(&calendar, "2026-12-20T18:00:00Z");
    assert_eq!(opens_at(&closed), Some(moment("2027-01-04T09:00:00Z")), "the window after the freeze");
    let Opening::Closed { why, .. } = closed else { panic!() };
    assert_eq!(why, "frozen by `christmas`: the year ends");
    let rotation = |at| calendar.at(Activity::Rotation, moment(at), None);
    assert_eq!(rotation("2026-12-20T17:59:00Z"), open_until("2026-12-20T18:00:00Z"));
    assert_eq!(opens_at(&rotation("2027-01-04T07:59:59Z")), Some(moment("2027-01-04T08:00:00Z")));
    assert_eq!(rotation("2027-01-04T08:00:00Z"), Opening::Open { until: None });
    let remediation = calendar.at(Activity::Remediation, moment("2026-12-24T00:00:00Z"), None);
    assert!(remediation.is_open(), "a freeze closes what it names");
}

#[test]
fn freezes_that_overlap_or_touch_are_one() {
    let freezes = vec![
        freeze("one", "2026-12-01T00:00:00", "2026-12-05T00:00:00"),
        freeze("two", "2026-12-04T00:00:00", "2026-12-08T00:00:00"),
        freeze("three", "2026-12-08T00:00:00", "2026-12-09T00:00:00"),
    ];
    let calendar = calendar("UTC", vec![], freezes);
    assert_eq!(
        opens_at(&deployment(&calendar, "2026-12-02T00:00:00Z")),
        Some(moment("2026-12-09T00:00:00Z"))
    );
    let openings = calendar.openings(
        Activity::Deployment,
        moment("2026-11-30T00:00:00Z"),
        moment("2026-12-10T00:00:00Z"),
        10,
    );
    let expected =
        [("2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"), ("2026-12-09T00:00:00Z", "2026-12-10T00:00:00Z")];
    assert_eq!(openings, expected.map(|(from, until)| (moment(from), moment(until))));
}

#[test]
fn a_stopped_line_closes_everything_until_a_person_resumes_it() {
    let stopped = StoppedLine {
        by: Actor::new("ada").unwrap(),
        reason: "payments fail".to_string(),
        since: moment("2026-11-21T11:00:00Z"),
    };
    for activity in Activity::ALL {
        let opening = ChangeCalendar::default().at(activity, moment("2026-11-21T12:00:00Z"), Some(&stopped));
        let why = "ada stopped the line: payments fail".to_string();
        assert_eq!(opening, Opening::Closed { why, opens_at: None });
    }
}

#[test]
fn clocks_that_are_put_forward_or_back_neither_lose_nor_double_a_window() {
    // Berlin: at 2026-03-29 02:00 clocks show 03:00; at 2026-10-25 03:00 they show 02:00 again.
    let calendar = calendar("Europe/Berlin", vec![window("small", &[Day::Sunday], "02:15", "02:45")], vec![]);
    let openings =
        |from: &str, until: &str| calendar.openings(Activity::Deployment, moment(from), moment(until), 9);
    let spring = openings("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_eq!(spring, [], "clocks never show that half hour on that day");
    let autumn = openings("2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
    assert_eq!(autumn, [(moment("2026-10-25T00:15:00Z"), moment("2026-10-25T01:45:00Z"))]);
    let longer =
        self::calendar("Europe/Berlin", vec![window("longer", &[Day::Sunday], "02:15", "04:00")], vec![]);
    let spring = longer.openings(
        Activity::Deployment,
        moment("2026-03-28T00:00:00Z"),
        moment("2026-03-31T00:00:00Z"),
        9,
    );
    assert_eq!(spring, [(moment("2026-03-29T01:00:00Z"), moment("2026-03-29T02:00:00Z"))]);
}

#[test]
fn a_closed_calendar_says_what_rule_it_keeps_and_what_would_be_legal() {
    let closed = CalendarRefusal::Closed {
        activity: Activity::Deployment,
        why: "frozen".to_string(),
        opens_at: Some(moment("2026-11-21T12:00:00Z")),
    };
    assert_eq!((closed.rule(), closed.to_string().as_str()), (Rule::Calendar, "no deployment now: frozen"));
    assert!(closed.remedy().contains("2026-11-21 12:00:00 UTC, or break the glass"), "{}", closed.remedy());
    let stopped =
        CalendarRefusal::Closed { activity: Activity::Rotation, why: "stopped".to_string(), opens_at: None };
    assert!(stopped.remedy().contains("have the line resumed"));
    assert_eq!(CalendarRefusal::NoReason.rule(), Rule::Content);
    assert!(CalendarRefusal::NoReason.remedy().contains("say why"));
}

#[test]
fn a_calendar_that_cannot_be_kept_cannot_be_written() {
    let office = || window("office", &WEEKDAYS, "09:00", "17:00");
    let frozen = || freeze("frozen", "2026-12-20T18:00:00", "2027-01-04T08:00:00");
    let refused = |windows: Vec<ChangeWindow>, freezes: Vec<Freeze>| {
        let refused = ChangeCalendar::new(TimeZone::default(), windows.clone(), freezes.clone()).unwrap_err();
        let stored = json!({ "windows": windows, "freezes": freezes });
        assert!(serde_json::from_value::<ChangeCalendar>(stored).is_err(), "{refused}");
        refused
    };
    let label = name("office");
    assert_eq!(refused(vec![office(), office()], vec![]), CalendarError::Twice { name: label.clone() });
    let same_name = Freeze { name: label.clone(), ..frozen() };
    assert_eq!(refused(vec![office()], vec![same_name]), CalendarError::Twice { name: label.clone() });
    let nothing = ChangeWindow { activities: [].into(), ..office() };
    assert_eq!(refused(vec![nothing], vec![]), CalendarError::NoActivity { name: label.clone() });
    let never = ChangeWindow { days: [].into(), ..office() };
    assert_eq!(refused(vec![never], vec![]), CalendarError::NoDay { name: label });
    let frozen_name = || name("frozen");
    let nothing = Freeze { activities: [].into(), ..frozen() };
    assert_eq!(refused(vec![], vec![nothing]), CalendarError::NoActivity { name: frozen_name() });
    let empty = Freeze { until: frozen().from, ..frozen() };
    assert_eq!(refused(vec![], vec![empty]), CalendarError::EndsFirst { name: frozen_name() });
    let early = Freeze { from: "1969-12-31T00:00:00".parse().unwrap(), ..frozen() };
    assert_eq!(refused(vec![], vec![early]), CalendarError::FarAway { name: frozen_name() });
    let late = Freeze { until: NaiveDateTime::MAX, ..frozen() };
    assert_eq!(refused(vec![], vec![late]), CalendarError::FarAway { name: frozen_name() });
    let silent = Freeze { reason: " ".to_string(), ..frozen() };
    assert_eq!(refused(vec![], vec![silent]), CalendarError::NoReason { name: frozen_name() });
    let many = |count: usize| {
        let one = |number| ChangeWindow { name: name(&alloc::format!("w{number}")), ..office() };
        (0..count).map(one).collect::<Vec<_>>()
    };
    assert!(ChangeCalendar::new(TimeZone::default(), many(100), vec![]).is_ok());
    assert_eq!(refused(many(101), vec![]), CalendarError::TooMany);
}

#[test]
fn a_calendar_reads_as_a_person_writes_it_and_round_trips() {
    let text = json!({
        "time_zone": "Europe/Berlin",
        "windows": [{ "name": "office", "activities": ["deployment"], "days": ["monday"], "from": "09:00", "to": "24:00" }],
        "freezes": [{ "name": "frozen", "activities": ["rotation"], "from": "2026-12-20T18:00:00", "until": "2027-01-04T08:00:00", "reason": "quiet" }],
    });
    let calendar: ChangeCalendar = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(
        (calendar.time_zone().name(), calendar.windows().len(), calendar.freezes().len()),
        ("Europe/Berlin", 1, 1)
    );
    assert_eq!(serde_json::to_value(&calendar).unwrap(), text);
    let mut more = text;
    more["more"] = Value::from(1);
    assert!(serde_json::from_value::<ChangeCalendar>(more).is_err());
    assert_eq!(serde_json::from_value::<ChangeCalendar>(json!({})).unwrap(), ChangeCalendar::default());
}

#[test]
fn times_of_day_and_zones_are_what_people_write() {
    let shown = |time: &LocalTime| vec![time.to_string()];
    let refused = ["", "9:00", "09:0", "0900", "24:01", "25:00", "09:60", "+9:00", "09:+1", "09:00:00"];
    assert_text(shown, &["00:00", "09:05", "23:59", "24:00"], &refused);
    let shown = |zone: &TimeZone| vec![zone.to_string(), zone.name().to_string()];
    assert_text(
        shown,
        &["UTC", "Europe/Berlin", "Australia/Lord_Howe"],
        &["", "Berlin", "europe/berlin!", "+01:00"],
    );
    assert_eq!(TimeZone::default().name(), "UTC");
}

#[test]
fn activities_are_called_the_same_everywhere() {
    for activity in Activity::ALL {
        assert_eq!(serde_json::to_value(activity).unwrap(), activity.name());
        assert_eq!(activity.to_string(), activity.name());
    }
}

/// What a calendar says of every minute of a stretch of time, found by looking at what clocks show and by nothing else.
fn oracle(calendar: &ChangeCalendar, from: Timestamp, minutes: i64) -> Vec<bool> {
    let zone = calendar.time_zone();
    // Windows of the days before may still last.
    let early = 3 * 24 * 60;
    let minute = |number: i64| from + TimeDelta::minutes(number - early);
    let clocks: Vec<NaiveDateTime> =
        (0..minutes + 2 * early).map(|number| zone.local(minute(number))).collect();
    let mut open = vec![calendar.windows().is_empty(); clocks.len()];
    for window in calendar.windows() {
        let mut day = clocks[0].date() + TimeDelta::days(1);
        while day < clocks[clocks.len() - 1].date() - TimeDelta::days(2) {
            let named = json!(alloc::format!("{}", day.format("%A")).to_lowercase());
            if window.days.iter().any(|own| json!(own) == named) {
                let at = |time: LocalTime, day: chrono::NaiveDate| {
                    let text = time.to_string();
                    let (hours, minutes): (i64, i64) =
                        (text[..2].parse().unwrap(), text[3..].parse().unwrap());
                    day.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(hours * 60 + minutes)
                };
                let last = if window.to > window.from { day } else { day + TimeDelta::days(1) };
                let first = clocks.iter().position(|clock| *clock >= at(window.from, day)).unwrap();
                let end = clocks.iter().rposition(|clock| *clock < at(window.to, last)).unwrap();
                (first..=end).for_each(|minute| open[minute] = true);
            }
            day += TimeDelta::days(1);
        }
    }
    for freeze in calendar.freezes() {
        let first = clocks.iter().position(|clock| *clock >= freeze.from).unwrap_or(clocks.len());
        let end = clocks.iter().rposition(|clock| *clock < freeze.until).map_or(0, |last| last + 1);
        (first..end).for_each(|minute| open[minute] = false);
    }
    open[early as usize..(early + minutes) as usize].to_vec()
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago"];
/// Around the changes of clocks in those zones.
const STARTS: [&str; 6] = [
    "2026-03-27T00:00:00Z",
    "2026-10-23T00:00:00Z",
    "2026-03-06T00:00:00Z",
    "2026-10-30T00:00:00Z",
    "2026-04-03T00:00:00Z",
    "2026-09-04T00:00:00Z",
];

fn windows() -> impl Strategy<Value = Vec<ChangeWindow>> {
    let time = || (0..24u8, prop_oneof![Just(0u8), Just(15), Just(30), Just(45)]);
    let one = (1..128u8, time(), time());
    proptest::collection::vec(one, 0..3).prop_map(|windows| {
        let made = windows.into_iter().enumerate().map(|(index, (days, from, to))| {
            let days: Vec<Day> = EVERY_DAY
                .into_iter()
                .enumerate()
                .filter(|(day, _)| days >> day & 1 == 1)
                .map(|(_, day)| day)
                .collect();
            let text = |(hours, minutes): (u8, u8)| alloc::format!("{hours:02}:{minutes:02}");
            window(&alloc::format!("w{index}"), &days, &text(from), &text(to))
        });
        made.collect()
    })
}

fn freezes() -> impl Strategy<Value = Vec<(i64, i64)>> {
    proptest::collection::vec((0..6 * 24 * 4i64, 1..2 * 24 * 4i64), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_minute_is_as_the_clocks_say_and_every_turn_is_where_it_is_told(
        zone in 0..ZONES.len(), start in 0..STARTS.len(), windows in windows(), freezes in freezes(),
    ) {
        let from = moment(STARTS[start]);
        let frozen = freezes.iter().enumerate().map(|(index, (begin, length))| {
            let begin = self::zone(ZONES[zone]).local(from) + TimeDelta::minutes(begin * 15);
            Freeze { name: name(&alloc::format!("f{index}")), from: begin, until: begin + TimeDelta::minutes(length * 15), ..freeze("f", "2026-01-01T00:00:00", "2026-01-02T00:00:00") }
        });
        let calendar = calendar(ZONES[zone], windows, frozen.collect());
        let minutes = 7 * 24 * 60;
        let expected = oracle(&calendar, from, minutes);
        for number in (0..minutes).step_by(7) {
            let now = from + TimeDelta::minutes(number);
            let here = expected[number as usize];
            let opening = calendar.at(Activity::Deployment, now, None);
            prop_assert_eq!(opening.is_open(), here, "{} in {}", now, ZONES[zone]);
            let turn = match opening {
                Opening::Open { until } => until,
                Opening::Closed { opens_at, .. } => opens_at,
            };
            let told = expected[number as usize..].iter().position(|open| *open != here);
            match told {
                Some(distance) => prop_assert_eq!(turn, Some(now + TimeDelta::minutes(distance as i64))),
                None => prop_assert!(turn.is_none_or(|turn| turn >= from + TimeDelta::minutes(minutes))),
            }
        }
        let openings = calendar.openings(Activity::Deployment, from, from + TimeDelta::minutes(minutes), 1_000);
        let open: i64 = openings.iter().map(|(from, until)| (*until - *from).num_minutes()).sum();
        prop_assert_eq!(open, expected.iter().filter(|open| **open).count() as i64);
    }
}
