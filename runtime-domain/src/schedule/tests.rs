//! What is written, and when it happens.

use alloc::format;
use alloc::string::ToString;

use proptest::prelude::*;
use uuid::Uuid;

use crate::schedule::*;
use crate::time::{Span, Timestamp};

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn next(text: &str, after: &str) -> Option<Timestamp> {
    schedule(text).next_after(time(after))
}

fn fault(text: &str) -> (CronField, FieldFault) {
    match text.parse::<Schedule>() {
        Err(ScheduleError::Field { field, why }) => (field, why),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_period_is_counted_from_the_last_time() {
    assert_eq!(next("every 90m", "2026-01-01T00:00:30Z"), Some(time("2026-01-01T01:30:30Z")));
}

#[test]
fn a_period_shorter_than_a_minute_is_refused() {
    assert_eq!(
        "every 59s999ms".parse::<Schedule>(),
        Err(ScheduleError::TooShort { span: Span::from_millis(59_999) })
    );
    assert_eq!(schedule("every 1m"), Schedule::every(Schedule::SHORTEST).unwrap());
}

#[test]
fn each_field_says_when() {
    for (text, after, expected) in [
        ("30 3 * * *", "2026-01-01T03:30:00Z", "2026-01-02T03:30:00Z"),
        ("30 3 * * *", "2026-01-01T03:29:59.999Z", "2026-01-01T03:30:00Z"),
        ("0 0 1 * *", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"),
        ("*/20 5-6 * * *", "2026-01-01T05:40:00Z", "2026-01-01T06:00:00Z"),
        ("*/20 5-6 * * *", "2026-01-01T06:40:00Z", "2026-01-02T05:00:00Z"),
        ("10-30/7 0 * * *", "2026-01-01T00:17:00Z", "2026-01-01T00:24:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 * * MON,fri", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 * * fri-sun", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("0 0 1 dec *", "2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
        ("0 12 * * * Asia/Tokyo", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
    ] {
        assert_eq!(next(text, after), Some(time(expected)), "{text} after {after}");
    }
}

#[test]
fn nicknames_stand_for_fields() {
    for (nickname, fields) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        assert_eq!(
            next(nickname, "2026-05-17T10:20:30Z"),
            next(fields, "2026-05-17T10:20:30Z"),
            "{nickname}"
        );
    }
    assert_eq!("@reboot".parse::<Schedule>(), Err(ScheduleError::Nickname));
}

#[test]
fn two_restricted_day_fields_mean_either_and_one_with_a_star_means_both() {
    let after = "2026-02-01T00:00:00Z";
    assert_eq!(next("0 0 13 * 1", after), Some(time("2026-02-02T00:00:00Z")));
    assert_eq!(next("0 0 1-9 * *", after), Some(time("2026-02-02T00:00:00Z")));
    assert_eq!(next("0 0 */5 * 1", after), Some(time("2026-02-16T00:00:00Z")));
    assert_eq!(next("0 0 13 * */5", after), Some(time("2026-02-13T00:00:00Z")));
}

#[test]
fn an_expression_that_never_happens_is_refused() {
    for text in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
        assert_eq!(text.parse::<Schedule>(), Err(ScheduleError::Never), "{text}");
    }
    for text in ["0 0 29 2 *", "0 0 30 4 *", "0 0 31 1 *", "0 0 31 2 1", "0 0 31 2,3 *"] {
        schedule(text);
    }
}

#[test]
fn the_rarest_day_is_found_across_a_century_without_a_leap_day() {
    assert_eq!(next("0 0 29 2 *", "2096-02-29T00:00:00Z"), Some(time("2104-02-29T00:00:00Z")));
    // The days `*/28` are the 1st and the 29th, and `*/7` is Sunday: a Sunday that is 1 or 29 February.
    assert_eq!(next("0 0 */28 2 */7", "2026-02-01T00:00:00Z"), Some(time("2032-02-01T00:00:00Z")));
}

#[test]
fn a_skipped_local_time_happens_at_the_first_instant_after_the_gap_and_once() {
    // In 2026 Berlin's clocks go from 02:00 to 03:00 on 29 March, at 01:00 UTC.
    let gap = time("2026-03-29T01:00:00Z");
    assert_eq!(next("30 2 * * * Europe/Berlin", "2026-03-28T12:00:00Z"), Some(gap));
    let often = schedule("15,45 2 * * * Europe/Berlin");
    assert_eq!(often.next_after(time("2026-03-28T12:00:00Z")), Some(gap));
    assert_eq!(often.next_after(gap), Some(time("2026-03-30T00:15:00Z")));
}

#[test]
fn a_repeated_local_time_happens_the_first_time_only() {
    // In 2026 Berlin's clocks go from 03:00 back to 02:00 on 25 October, at 01:00 UTC.
    let first = time("2026-10-25T00:30:00Z");
    let schedule = schedule("30 2 * * * Europe/Berlin");
    assert_eq!(schedule.next_after(time("2026-10-24T12:00:00Z")), Some(first));
    assert_eq!(schedule.next_after(first), Some(time("2026-10-26T01:30:00Z")));
    assert_eq!(next("* * * * * Europe/Berlin", "2026-10-25T00:59:00Z"), Some(time("2026-10-25T02:00:00Z")));
}

#[test]
fn a_field_that_is_wrong_is_named_with_the_reason() {
    use CronField::{DayOfMonth, DayOfWeek, Hour, Minute, Month};
    let out = |value, least, most| FieldFault::OutOfRange { value, least, most };
    for (text, expected) in [
        ("60 * * * *", (Minute, out(60, 0, 59))),
        ("* 24 * * *", (Hour, out(24, 0, 23))),
        ("* * 0 * *", (DayOfMonth, out(0, 1, 31))),
        ("* * 32 * *", (DayOfMonth, out(32, 1, 31))),
        ("* * * 13 *", (Month, out(13, 1, 12))),
        ("* * * 0 *", (Month, out(0, 1, 12))),
        ("* * * * 8", (DayOfWeek, out(8, 0, 7))),
        ("* * * * 300", (DayOfWeek, out(300, 0, 7))),
        ("* * * * moon", (DayOfWeek, FieldFault::Unreadable)),
        ("jan * * * *", (Minute, FieldFault::Unreadable)),
        ("1,,2 * * * *", (Minute, FieldFault::Unreadable)),
        ("0001 * * * *", (Minute, FieldFault::Unreadable)),
        ("+1 * * * *", (Minute, FieldFault::Unreadable)),
        ("9-3 * * * *", (Minute, FieldFault::Backwards { from: 9, to: 3 })),
        ("* * * * 5-2", (DayOfWeek, FieldFault::Backwards { from: 5, to: 2 })),
        ("*/0 * * * *", (Minute, FieldFault::Step)),
        ("5/15 * * * *", (Minute, FieldFault::Step)),
        ("*/x * * * *", (Minute, FieldFault::Step)),
        ("* * *", (Month, FieldFault::Missing)),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    assert_eq!(
        "* 24 * * *".parse::<Schedule>().unwrap_err().to_string(),
        "the hour of the cron expression is wrong: 24 is not from 0 to 23"
    );
    for (field, name) in CronField::ALL_NAMES {
        assert_eq!(field.to_string(), name);
    }
}

impl CronField {
    const ALL_NAMES: [(Self, &'static str); 5] = [
        (Self::Minute, "minute"),
        (Self::Hour, "hour"),
        (Self::DayOfMonth, "day of the month"),
        (Self::Month, "month"),
        (Self::DayOfWeek, "day of the week"),
    ];
}

#[test]
fn what_is_no_schedule_says_what_would_be_one() {
    let refused = |text: &str| text.parse::<Schedule>().unwrap_err();
    assert_eq!(refused(" "), ScheduleError::Form);
    assert_eq!(refused("every 1h UTC"), ScheduleError::Form);
    assert_eq!(refused("* * * * * UTC UTC"), ScheduleError::Form);
    assert_eq!(refused("every"), ScheduleError::Span);
    assert_eq!(refused("every day"), ScheduleError::Span);
    assert_eq!(refused("@daily Mars/Olympus"), ScheduleError::TimeZone);
    let of = |length: usize| format!("@daily{}", " ".repeat(length - 6));
    assert_eq!(refused(&of(257)), ScheduleError::TooLong);
    schedule(&of(256));
}

#[test]
fn a_text_round_trips() {
    for (text, canonical) in [
        ("every  30d", "every 30d"),
        ("0 3  * * 0", "0 3 * * 0 UTC"),
        ("@daily Europe/Berlin", "@daily Europe/Berlin"),
    ] {
        let parsed = schedule(text);
        assert_eq!(parsed.to_string(), canonical);
        assert_eq!(schedule(canonical), parsed);
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(json, format!("\"{canonical}\""));
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), parsed);
    }
}

#[test]
fn nothing_is_known_before_1970_and_beyond_9999() {
    assert_eq!(next("@hourly", "1969-12-31T23:59:59Z"), None);
    assert_eq!(next("@hourly", "1970-01-01T00:00:00Z"), Some(time("1970-01-01T01:00:00Z")));
    assert_eq!(next("@hourly", "9999-12-31T23:30:00Z"), None);
    assert_eq!(next("every 1h", "9999-12-31T23:30:00Z"), None);
    assert_eq!(schedule("every 1h").next_after(Timestamp::MAX_UTC), None);
}

#[test]
fn jitter_is_fixed_for_a_key_spread_over_keys_and_bounded() {
    for (text, most) in
        [("every 10m", 60_000), ("every 30d", 3_600_000), ("@hourly", 360_000), ("@yearly", 3_600_000)]
    {
        let schedule = schedule(text);
        let after = time("2026-01-01T00:00:00Z");
        let base = schedule.next_after(after).unwrap();
        let put_off: alloc::collections::BTreeSet<u64> = (0..200)
            .map(|key| {
                let jittered = schedule.next_jittered(after, Uuid::from_u128(key)).unwrap();
                assert_eq!(schedule.next_jittered(after, Uuid::from_u128(key)), Some(jittered));
                assert!(jittered >= base);
                (jittered - base).num_milliseconds().try_into().unwrap()
            })
            .collect();
        assert!(put_off.iter().all(|millis| *millis < most), "{text}: {put_off:?}");
        assert!(put_off.last().unwrap() > &(most * 9 / 10), "{text}");
        assert!(put_off.len() > 190, "{text}");
    }
}

fn expression() -> impl Strategy<Value = String> {
    let field = |least: u32, most: u32| {
        prop_oneof![
            4 => Just("*".to_string()),
            2 => (1..15u32).prop_map(|step| format!("*/{step}")),
            3 => proptest::collection::vec(least..=most, 1..4)
                .prop_map(|list| list.iter().map(ToString::to_string).collect::<alloc::vec::Vec<_>>().join(",")),
            2 => (least..=most, least..=most, 1..5u32)
                .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        ]
    };
    (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

proptest! {
    #[test]
    fn the_next_time_lies_after_and_rises_and_nothing_between_is_missed(
        text in expression(), seconds in 0..2_000_000_000u64, back in 0..100_000u64
    ) {
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
            let schedule = schedule(&format!("{text} {zone}"));
            let after = Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH);
            let found = schedule.next_after(after).unwrap();
            prop_assert!(found > after);
            let between = found - chrono::TimeDelta::seconds(back as i64 + 1);
            if between >= after {
                prop_assert_eq!(schedule.next_after(between), Some(found));
            }
            prop_assert!(schedule.next_after(found).unwrap() > found);
        }
    }

    #[test]
    fn hostile_texts_are_refused_or_parsed_but_never_panic(text in "(every |@|[0-9*,/-]{1,6} ){0,5}\\PC{0,20}") {
        if let Ok(schedule) = text.parse::<Schedule>() {
            prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule));
        }
    }
}
