//! Calendars: zones, windows and freezes.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use runtime_domain::calendar::{Activity, ChangeCalendar, ChangeWindow, Day, Freeze, LocalTime, TimeZone};
use serde_json::json;

use crate::strategy::value::{made, valid_name};

/// A kind of change.
pub fn valid_activity() -> BoxedStrategy<Activity> {
    proptest::sample::select(Activity::ALL.to_vec()).boxed()
}

/// A time zone: plain ones, and those whose clocks do odd things.
pub fn valid_time_zone() -> BoxedStrategy<TimeZone> {
    const NAMES: [&str; 10] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/St_Johns",
        "Antarctica/Troll",
        "Pacific/Kiritimati",
    ];
    proptest::sample::select(&NAMES[..]).prop_filter_map("a zone", |name| TimeZone::new(name).ok()).boxed()
}

/// A time of day, `24:00` included.
pub fn valid_local_time() -> BoxedStrategy<LocalTime> {
    prop_oneof![
        6 => made("([01][0-9]|2[0-3]):[0-5][0-9]", |text| LocalTime::new(text).ok()),
        1 => made("24:00|00:00", |text| LocalTime::new(text).ok()),
    ]
    .boxed()
}

fn activities() -> impl Strategy<Value = BTreeSet<Activity>> {
    btree_set(valid_activity(), 1..4)
}

/// A window.
pub fn valid_change_window() -> BoxedStrategy<ChangeWindow> {
    use Day::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let day = proptest::sample::select(vec![Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday]);
    (valid_name(), activities(), btree_set(day, 1..8), valid_local_time(), valid_local_time())
        .prop_map(|(name, activities, days, from, to)| ChangeWindow { name, activities, days, from, to })
        .boxed()
}

/// A freeze between 1970 and 9999.
pub fn valid_freeze() -> BoxedStrategy<Freeze> {
    let moment =
        "(197[0-9]|20[0-9]{2}|9999)-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:00";
    (valid_name(), activities(), moment, moment, "[a-z]{1,20}")
        .prop_filter_map("a freeze", |(name, activities, one, other, reason)| {
            let (from, until) = if one < other { (one, other) } else { (other, one) };
            let form = json!({ "name": name, "activities": activities, "from": from, "until": until, "reason": reason });
            (from != until).then(|| serde_json::from_value(form).ok()).flatten()
        })
        .boxed()
}

/// A calendar of up to three windows and three freezes, each with a name of its own.
pub fn valid_change_calendar() -> BoxedStrategy<ChangeCalendar> {
    (valid_time_zone(), vec(valid_change_window(), 0..4), vec(valid_freeze(), 0..4))
        .prop_filter_map("a calendar", |(zone, windows, freezes)| {
            ChangeCalendar::new(zone, windows, freezes).ok()
        })
        .boxed()
}
