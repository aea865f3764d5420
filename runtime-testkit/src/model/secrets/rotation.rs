//! The way of a rotation, from the request to the retirement of the old version.

use super::{
    CONTENT, LIFECYCLE, Life, MOST_FAILURES, MOST_USERS, Rotation, State, Users, X_1, quietly, told,
};
use crate::model::{Foreseen, text};
use crate::plan::secrets::{Cause, Old, On, Seen};

/// How long the first failure waits, and the longest that any does, in seconds.
const BACKOFF: (i64, i64) = (60, 21_600);

impl Life {
    pub(super) fn rotate(&mut self, cause: &Cause, glass: Option<String>, now: i64) -> Foreseen {
        if told(cause).1.is_some_and(|reason| !text::is_reason(&reason)) {
            return CONTENT;
        }
        let is_compromise = matches!(cause, Cause::Compromised(_));
        let rotation = match &mut self.state {
            State::Bound { next } => {
                let is_due = next.is_some_and(|next| next <= now);
                if *cause == Cause::Scheduled && !is_due {
                    return Foreseen::Same;
                }
                let rotation = Rotation { cause: cause.clone(), glass, from: now };
                self.state = State::Requested { rotation, since: now, failures: 0 };
                return quietly();
            }
            State::Retiring { .. } | State::Suspended { .. } | State::Unbound { .. } => return LIFECYCLE,
            State::Grace { rotation, since, until, .. } => {
                if is_compromise && !matches!(rotation.cause, Cause::Compromised(_)) {
                    // No grace from now on, and none that is longer; it never ends before it began, whatever a clock says.
                    *until = now.min(*until).max(*since);
                }
                rotation
            }
            State::Requested { rotation, .. }
            | State::RotationFailed { rotation, .. }
            | State::Distributing { rotation, .. } => rotation,
        };
        if !is_compromise || matches!(rotation.cause, Cause::Compromised(_)) {
            return Foreseen::Same;
        }
        rotation.cause = cause.clone();
        rotation.glass = glass.or(rotation.glass.take());
        quietly()
    }

    pub(super) fn made(&mut self, by: i8, is_odd: bool, now: i64) -> Foreseen {
        let number = self.newest().saturating_add_signed(i64::from(by));
        match &self.state {
            State::Requested { rotation, .. } | State::RotationFailed { rotation, .. } => {
                let runs_back = self.counts() && number < self.current;
                if is_odd || runs_back || self.has_seen(number) {
                    return Foreseen::Refused("SEC-2");
                }
                let rotation = rotation.clone();
                self.state = State::Distributing { rotation, version: number, since: now, seen: None };
                quietly()
            }
            State::Unbound { .. } => LIFECYCLE,
            _ if number == self.newest() && !is_odd => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }

    pub(super) fn look(&mut self, at: i64, seen: &Seen, now: i64) -> Foreseen {
        if at > now {
            return CONTENT;
        }
        let users = match seen {
            Seen::Instances(instances) if instances.is_empty() => return CONTENT,
            Seen::Crowd { count, .. } if !(1..=MOST_USERS).contains(count) => return CONTENT,
            Seen::Foreign => return X_1,
            Seen::Nobody | Seen::Instances(_) | Seen::Crowd { .. } => self.users(seen),
        };
        let is_whole = users.values().all(|on| *on == Some(self.newest()));
        match &mut self.state {
            State::Distributing { seen: known, since, .. } if at >= *since && !is_whole => {
                if known.as_ref() == Some(&users) {
                    return Foreseen::Same;
                }
                *known = Some(users);
                quietly()
            }
            State::Distributing { rotation, version, since, .. } if at >= *since => {
                if matches!(rotation.cause, Cause::Compromised(_)) {
                    return self.rotated(now);
                }
                let until = now + i64::from(self.times.grace) * 1_000;
                self.state =
                    State::Grace { rotation: rotation.clone(), version: *version, since: now, until };
                quietly()
            }
            State::Grace { rotation, version, since, .. } if at >= *since && !is_whole => {
                let (rotation, version) = (rotation.clone(), *version);
                self.state = State::Distributing { rotation, version, since: now, seen: Some(users) };
                quietly()
            }
            State::Grace { since, until, .. } if at >= *since && at >= *until => self.rotated(now),
            _ => Foreseen::Same,
        }
    }

    fn users(&self, seen: &Seen) -> Users {
        let on = |on: &On| match on {
            On::Newest => Some(self.newest()),
            On::Current => Some(self.current),
            On::Unknown => None,
        };
        match seen {
            Seen::Nobody | Seen::Foreign => Users::new(),
            Seen::Instances(instances) => (0..).zip(instances.iter().map(on)).collect(),
            Seen::Crowd { count, is_whole } => {
                let last =
                    |number: u16| if *is_whole || number + 1 < *count { On::Newest } else { On::Unknown };
                (0..*count).map(|number| (number, on(&last(number)))).collect()
            }
        }
    }

    fn rotated(&mut self, now: i64) -> Foreseen {
        self.set_aside("Completed", now);
        let (old, new) = (self.current, self.newest());
        self.current = new;
        self.state = State::Retiring { version: old, retry_at: now, failures: 0 };
        Foreseen::Changes(vec!["SecretRotated"])
    }

    pub(super) fn fail(&mut self, fault: u8, retry_after: Option<u32>, now: i64) -> Foreseen {
        let failures = match &self.state {
            State::Requested { failures, .. } | State::Retiring { failures, .. } => *failures,
            State::RotationFailed { .. } | State::Suspended { .. } => return Foreseen::Same,
            _ => return LIFECYCLE,
        };
        let unretired = match &self.state {
            State::Retiring { version, .. } => Some(*version),
            _ => None,
        };
        let failed = failures + 1;
        if fault >= 5 || failed >= MOST_FAILURES {
            self.set_aside("Suspended", now);
            self.state = State::Suspended { why: format!("fault {fault}"), unretired };
            return quietly();
        }
        let (first, longest) = BACKOFF;
        let waits = (first << failures).min(longest).max(i64::from(retry_after.unwrap_or(0)).min(longest));
        let retry_at = now + waits * 1_000;
        self.state = match (&self.state, unretired) {
            (_, Some(version)) => State::Retiring { version, retry_at, failures: failed },
            (State::Requested { rotation, .. }, None) => {
                State::RotationFailed { rotation: rotation.clone(), retry_at, failures: failed }
            }
            (_, None) => return LIFECYCLE,
        };
        quietly()
    }

    pub(super) fn retired(&mut self, old: Old, now: i64) -> Foreseen {
        let replaced =
            || self.past.iter().filter(|past| past.outcome == "Completed").map(|past| past.previous);
        let waits = match &self.state {
            State::Retiring { version, .. } => Some(*version),
            State::Suspended { unretired, .. } => *unretired,
            _ => None,
        };
        let version = match old {
            Old::Last => waits.or(replaced().next_back()),
            Old::First => replaced().next(),
            Old::Current => None,
        };
        let version = version.unwrap_or(self.current);
        match &self.state {
            State::Retiring { version: own, .. } if *own == version => {
                self.await_next(now);
                self.state = State::Bound { next: None };
                quietly()
            }
            State::Retiring { .. } => CONTENT,
            State::Bound { .. } if replaced().any(|past| past == version) => Foreseen::Same,
            _ => LIFECYCLE,
        }
    }

    pub(super) fn abort(&mut self, reason: &str, now: i64) -> Foreseen {
        match &self.state {
            State::Bound { .. } | State::Suspended { .. } => Foreseen::Same,
            State::Grace { .. } | State::Retiring { .. } | State::Unbound { .. } => LIFECYCLE,
            _ if !text::is_reason(reason) => CONTENT,
            // What was made for nothing must not stay valid.
            State::Distributing { version, .. } => {
                let version = *version;
                self.set_aside("Aborted", now);
                self.state = State::Retiring { version, retry_at: now, failures: 0 };
                quietly()
            }
            State::Requested { .. } | State::RotationFailed { .. } => {
                self.set_aside("Aborted", now);
                self.await_next(now);
                self.state = State::Bound { next: None };
                quietly()
            }
        }
    }
}
