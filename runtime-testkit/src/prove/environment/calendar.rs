//! Calendars of a story, and what they clear.

use std::collections::BTreeSet;

use runtime_domain::aggregate::Decision;
use runtime_domain::calendar::{
    Activity, BreakGlass, ChangeCalendar, ChangeWindow, Day, Freeze, LocalTime, TimeZone,
};
use runtime_domain::environment::{EnvironmentEvent, RuntimeEnvironment};
use runtime_domain::scope::Actor;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};

use crate::plan::environment::{Calendar, Window};
use crate::prove::Answer;

/// When every story begins, in seconds of Unix time.
const BEGINNING: u64 = 1_800_000_000;

const DAYS: [Day; 7] =
    [Day::Monday, Day::Tuesday, Day::Wednesday, Day::Thursday, Day::Friday, Day::Saturday, Day::Sunday];

pub(super) fn of(wanted: &Calendar) -> Option<ChangeCalendar> {
    let windows = wanted.windows.iter().enumerate().map(|(number, window)| self::window(number, window));
    let freezes = wanted.freeze.iter().map(|freeze| {
        let from = BEGINNING.checked_add_signed(i64::from(freeze.from) * 3_600)?;
        let moment = |seconds| Span::from_secs(seconds).after(Timestamp::UNIX_EPOCH).naive_utc();
        Some(Freeze {
            name: Name::new("freeze").ok()?,
            activities: activities(freeze.activities),
            from: moment(from),
            until: moment(from + u64::from(freeze.hours) * 3_600),
            reason: "holidays".to_owned(),
        })
    });
    ChangeCalendar::new(TimeZone::default(), windows.collect::<Option<_>>()?, freezes.collect::<Option<_>>()?)
        .ok()
}

fn window(number: usize, window: &Window) -> Option<ChangeWindow> {
    let days = DAYS.into_iter().enumerate().filter(|(bit, _)| window.days >> bit & 1 == 1);
    let time = |minute: u16| LocalTime::new(&format!("{:02}:{:02}", minute / 60, minute % 60)).ok();
    Some(ChangeWindow {
        name: Name::new(&format!("window-{number}")).ok()?,
        activities: activities(window.activities),
        days: days.map(|(_, day)| day).collect(),
        from: time(window.from)?,
        to: time(window.to)?,
    })
}

fn activities(bits: u8) -> BTreeSet<Activity> {
    let named = Activity::ALL.into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    named.map(|(_, activity)| activity).collect()
}

/// Asks for a clearance: it changes nothing, and is handed out or refused.
pub(super) fn clear(
    environment: &RuntimeEnvironment,
    activity: u8,
    glass: Option<&String>,
    now: Timestamp,
) -> Answer<EnvironmentEvent> {
    let (Some(activity), Ok(by)) = (Activity::ALL.get(usize::from(activity)), Actor::new("operator")) else {
        return Answer::Nothing;
    };
    let glass = glass.map(|reason| BreakGlass { by, reason: reason.clone() });
    match environment.clear(*activity, Revision::FIRST, now, glass) {
        Ok(_) => Answer::Decided(Decision::unchanged("it is cleared")),
        Err(refusal) => Answer::refused(&refusal),
    }
}
