//! What a command comes to.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::aggregate::Decision;
use crate::drift::secrecy;
use crate::drift::watch::{DriftWatch, Outlook, WatchEvent, WatchRefusal, WatchState, WatchTerms};
use crate::id::{EnvironmentId, TenantId};
use crate::reason;

type Decided = Result<Decision<WatchEvent>, WatchRefusal>;

impl DriftWatch {
    /// Decides to watch an environment that was never watched.
    ///
    /// # Errors
    /// CONTENT where the terms are outside their bounds.
    pub fn begin(tenant: TenantId, environment: EnvironmentId, terms: &WatchTerms) -> Decided {
        if !terms.is_sound() {
            return Err(WatchRefusal::BadTerms);
        }
        let begun = WatchEvent::DriftWatchBegun {
            tenant_id: tenant,
            environment_id: environment,
            terms: Box::new(terms.clone()),
        };
        let explanation = format!("compared with `{}` every {}", terms.path, terms.interval);
        Ok(Decision::of(vec![begun], explanation))
    }

    /// Decides to watch again, or on these terms. Asking twice changes nothing.
    ///
    /// # Errors
    /// CONTENT where the terms are outside their bounds.
    pub fn watch(&self, terms: &WatchTerms) -> Decided {
        if matches!(self.state, WatchState::Watching(_)) && self.terms == *terms {
            return Ok(Decision::unchanged("it is watched on these terms"));
        }
        Self::begin(self.tenant_id, self.environment_id, terms)
    }

    /// Decides to compare no more. Findings stay as they are.
    ///
    /// # Errors
    /// CONTENT where no reason is given, X-11 where it may hold a secret.
    pub fn stop(&self, why: &str) -> Decided {
        if matches!(self.state, WatchState::Stopped { .. }) {
            return Ok(Decision::unchanged("it is not watched"));
        }
        let reason = reason::stated(why).ok_or(WatchRefusal::BadReason)?;
        if secrecy::is_like_a_secret(&reason) {
            return Err(WatchRefusal::SecretReason);
        }
        Ok(Decision::of(vec![WatchEvent::DriftWatchStopped { reason }], "it is compared no more"))
    }

    /// Decides on what a comparison came to. What is the same as before is not written again.
    ///
    /// # Errors
    /// LIFECYCLE where it is stopped.
    pub fn record_outlook(&self, outlook: Outlook) -> Decided {
        let WatchState::Watching(watch) = &self.state else {
            return Err(WatchRefusal::Lifecycle { command: "RecordOutlook", status: self.status() });
        };
        let outlook = kept(outlook);
        if watch.outlook == outlook {
            return Ok(Decision::unchanged("the comparison comes to the same"));
        }
        let explanation = told(&outlook);
        Ok(Decision::of(vec![WatchEvent::DriftOutlookChanged { outlook }], explanation))
    }
}

/// What a source or a surface says is never refused, and is hidden where it may hold a secret.
fn kept(outlook: Outlook) -> Outlook {
    match outlook {
        Outlook::NotCompared { reason } if secrecy::is_like_a_secret(&reason) => {
            Outlook::NotCompared { reason: "what was said may hold a secret, and is not kept".into() }
        }
        Outlook::NotCompared { reason } => Outlook::NotCompared { reason: reason::reported(&reason) },
        outlook @ (Outlook::Unknown | Outlook::InSync { .. } | Outlook::Diverged { .. }) => outlook,
    }
}

fn told(outlook: &Outlook) -> String {
    match outlook {
        Outlook::Unknown => "nothing was compared".into(),
        Outlook::InSync { revision } => format!("what runs is what {revision} says"),
        Outlook::Diverged { revision } => format!("something is not what {revision} says"),
        Outlook::NotCompared { reason } => format!("not known: {reason}"),
    }
}
