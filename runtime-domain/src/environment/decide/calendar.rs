//! What a command on when the environment may be changed comes to.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::Decided;
use crate::aggregate::Decision;
use crate::calendar::ChangeCalendar;
use crate::environment::{EnvironmentEvent, EnvironmentRefusal, EnvironmentState, RuntimeEnvironment};
use crate::reason;
use crate::scope::Actor;

impl RuntimeEnvironment {
    pub(super) fn change_calendar(&self, calendar: &ChangeCalendar) -> Decided {
        self.check_stays("ChangeCalendar")?;
        if *calendar == self.calendar {
            return Ok(Decision::unchanged("this is its calendar already"));
        }
        let calendar = calendar.clone();
        Ok(Decision::of(
            vec![EnvironmentEvent::CalendarChanged { calendar }],
            "it may be changed at other times",
        ))
    }

    pub(super) fn stop_the_line(&self, by: &Actor, reason: &str) -> Decided {
        self.check_stays("StopTheLine")?;
        let reason = stated(reason)?;
        if let Some(stopped) = &self.stopped_line {
            return Ok(Decision::unchanged(format!("{} stopped the line before", stopped.by)));
        }
        let explanation = format!("{by} stopped the line: {reason}");
        Ok(Decision::of(vec![EnvironmentEvent::LineStopped { by: by.clone(), reason }], explanation))
    }

    pub(super) fn resume_the_line(&self, by: &Actor, reason: &str) -> Decided {
        self.check_stays("ResumeTheLine")?;
        let reason = stated(reason)?;
        if self.stopped_line.is_none() {
            return Ok(Decision::unchanged("nobody has stopped the line"));
        }
        let explanation = format!("{by} resumed the line: {reason}");
        Ok(Decision::of(vec![EnvironmentEvent::LineResumed { by: by.clone(), reason }], explanation))
    }

    /// An environment that is being taken down has no calendar to keep.
    pub(in crate::environment) fn check_stays(
        &self,
        command: &'static str,
    ) -> Result<(), EnvironmentRefusal> {
        match &self.state {
            EnvironmentState::Decommissioning(_) | EnvironmentState::Decommissioned(_) => {
                Err(self.lifecycle(command, "ask it of an environment that is not being taken down"))
            }
            EnvironmentState::Requested(_)
            | EnvironmentState::Provisioning(_)
            | EnvironmentState::ProvisioningFailed(_)
            | EnvironmentState::Provisioned(_) => Ok(()),
        }
    }
}

fn stated(reason: &str) -> Result<String, EnvironmentRefusal> {
    reason::stated(reason).ok_or(EnvironmentRefusal::BadReason)
}
