//! The next time of a schedule beside croner, which somebody else wrote, where the two are defined alike.
//!
//! They differ on purpose at two places. A day field that begins with `*` and takes a step, such as `*/5`, asks for both day fields here, as
//! Vixie cron has it. Where clocks are changed, a schedule here happens once, and croner repeats what is written with `*`: days of a
//! change are left to the tests beside the module.

#![allow(clippy::expect_used, reason = "a test that cannot go on says so")]

use chrono::{DateTime, Days, NaiveDate, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use proptest::prelude::*;
use runtime_domain::schedule::Schedule;

/// A field's values as text: `*`, steps, ranges and lists.
fn field(least: u8, most: u8, stepped_star: bool) -> BoxedStrategy<String> {
    let value = (least..=most).prop_map(|value| value.to_string());
    let ends = move || (least..=most).prop_flat_map(move |from| (Just(from), from..=most));
    let range = ends().prop_map(|(from, to)| format!("{from}-{to}"));
    let stepped = (ends(), 1..=most).prop_map(|((from, to), step)| format!("{from}-{to}/{step}"));
    let part = prop_oneof![3 => value, 2 => range, 1 => stepped];
    let list = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(","));
    let star = Just("*".to_owned());
    if stepped_star {
        let step = (1..=most).prop_map(|step| format!("*/{step}"));
        prop_oneof![2 => star, 2 => step, 5 => list].boxed()
    } else {
        prop_oneof![4 => star, 5 => list].boxed()
    }
}

fn expressions() -> impl Strategy<Value = String> {
    let fields =
        (field(0, 59, true), field(0, 23, true), field(1, 31, false), field(1, 12, true), field(0, 7, false));
    fields.prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

fn zones() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![
        Tz::UTC,
        Tz::Asia__Kolkata,
        Tz::Asia__Tokyo,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::Pacific__Apia,
    ])
}

/// Whether clocks are changed on that local day, the day before or the day after.
fn clocks_change_near(zone: Tz, day: NaiveDate) -> bool {
    let offset =
        |day: NaiveDate| zone.offset_from_utc_datetime(&day.and_hms_opt(0, 0, 0).expect("midnight")).fix();
    let (before, after) = (day.checked_sub_days(Days::new(1)), day.checked_add_days(Days::new(2)));
    before.zip(after).is_none_or(|(before, after)| offset(before) != offset(after))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_next_times_are_those_that_croner_finds(
        fields in expressions(), zone in zones(), seconds in 1_600_000_000_i64..2_200_000_000, millis in 0..1_000_u32,
    ) {
        let cron = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(&fields);
        let schedule = format!("{fields} {}", zone.name()).parse::<Schedule>();
        // What never happens is refused here, and croner searches for it in vain.
        let (Ok(cron), Ok(schedule)) = (cron, schedule.clone()) else {
            let is_day_missing = fields.split(' ').nth(4) == Some("*");
            prop_assert!(schedule.is_err() && is_day_missing, "{fields}: {schedule:?}");
            return Ok(());
        };
        let mut after = DateTime::<Utc>::from_timestamp(seconds, millis * 1_000_000).expect("a time");
        for _ in 0..5 {
            let found = schedule.next_after(after).expect("another time");
            let local = after.with_timezone(&zone);
            let theirs = cron.find_next_occurrence(&local, false).expect("another time").with_timezone(&zone);
            let days = [local.date_naive(), theirs.date_naive(), found.with_timezone(&zone).date_naive()];
            if !days.iter().any(|day| clocks_change_near(zone, *day)) {
                prop_assert_eq!(found, theirs.with_timezone(&Utc), "{} in {} after {}", fields, zone, local);
            }
            after = found;
        }
    }
}
