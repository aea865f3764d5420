//! What an environment proves of its calendar.

use crate::calendar::{Activity, BreakGlass, CalendarRefusal, Clearance, Opening};
use crate::environment::{EnvironmentRefusal, RuntimeEnvironment};
use crate::reason;
use crate::time::Timestamp;
use crate::value::Revision;

impl RuntimeEnvironment {
    /// Clears a change of this environment: its calendar is open to the activity now, or someone breaks the glass. `at` is the environment's
    /// stored revision. Glass that is broken while the calendar is open is not kept: nothing was broken.
    ///
    /// # Errors
    /// CALENDAR where it is closed and the glass is whole, CONTENT where the glass is broken without a reason that can be kept, LIFECYCLE
    /// where the environment is being taken down.
    pub fn clear(
        &self,
        activity: Activity,
        at: Revision,
        now: Timestamp,
        break_glass: Option<BreakGlass>,
    ) -> Result<Clearance, EnvironmentRefusal> {
        self.check_stays("ClearChange")?;
        let break_glass = match (self.opening(activity, now), break_glass) {
            (Opening::Open { .. }, _) => None,
            (Opening::Closed { .. }, Some(BreakGlass { by, reason })) => {
                let reason = reason::stated(&reason).ok_or(CalendarRefusal::NoReason)?;
                Some(BreakGlass { by, reason })
            }
            (Opening::Closed { why, opens_at }, None) => {
                return Err(CalendarRefusal::Closed { activity, why, opens_at }.into());
            }
        };
        Ok(Clearance { tenant: self.tenant_id, environment: self.environment_id, activity, break_glass, at })
    }
}
