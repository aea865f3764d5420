//! What must always hold, as far as it can be seen from outside: on the surfaces, on the bus, in the store, in what it acknowledged.

use std::fmt;

use runtime_domain::surface::ComponentKey;
use runtime_domain::time::Span;
use runtime_services::Services;

use crate::coverage::Coverage;
use crate::hosts::Yard;
use crate::simulation::Size;
use crate::story::{EnvironmentAsk, Operation, Place};
use crate::witness::{Changes, Witness};

mod effects;
mod ending;
mod events;
mod serving;
mod state;

/// How often, in steps, everything is looked at that takes long.
const THOROUGHLY_EVERY: u32 = 25;

/// How long after the last fault everything has ended: a deployment's deadline and its rollback's, two leases, and the time that it takes to
/// notice.
pub(crate) const ENDS_WITHIN: Span = Span::from_secs(600 + 120 + 2 * 5 + 60);

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// No part of a host panics.
    NoPanic,
    /// No part of a host is at work without end while no time passes, as far as it is seen: not in the tasks that its workers spawn.
    TimePasses,
    /// No effect changes anything twice.
    NoEffectTwice,
    /// What a deployment has brought goes on serving, whatever happens: traffic goes to what is ready.
    ServedOnceServed,
    /// A lease that another host has taken is worth nothing.
    OneHolder,
    /// What was acknowledged is there.
    AcknowledgedIsKept,
    /// Events of one aggregate come in order, and tell what has happened.
    EventsTellWhatHappened,
    /// At most one deployment of a component is in flight in an environment (DEP-3).
    OneDeployment,
    /// Every gate of a Completed deployment has passed (DEP-1).
    GatesPassed,
    /// No service is Running without a healthy instance (SVC-2), at a version that no deployment brought (SVC-1).
    InventoryIsTrue,
    /// Versions of configuration count up, each once (CFG-1).
    VersionsCountUp,
    /// No two findings are the same one (DRF-2).
    FindingsAreMerged,
    /// Nothing is where its environment is not, and nobody has what is another's.
    EverythingHasItsPlace,
    /// Every state is what its history comes to, and the trail is whole.
    TrailIsWhole,
    /// When nothing fails any more, everything ends.
    EverythingEnds,
    /// When everything has ended, what runs is what the newest Completed deployment brought.
    EndsAsRecorded,
}

impl Law {
    /// Every law.
    pub const ALL: [Self; 16] = [
        Self::NoPanic,
        Self::TimePasses,
        Self::NoEffectTwice,
        Self::ServedOnceServed,
        Self::OneHolder,
        Self::AcknowledgedIsKept,
        Self::EventsTellWhatHappened,
        Self::OneDeployment,
        Self::GatesPassed,
        Self::InventoryIsTrue,
        Self::VersionsCountUp,
        Self::FindingsAreMerged,
        Self::EverythingHasItsPlace,
        Self::TrailIsWhole,
        Self::EverythingEnds,
        Self::EndsAsRecorded,
    ];

    /// Whether it can be broken in the end only.
    pub const fn is_of_the_end(self) -> bool {
        matches!(self, Self::EverythingEnds | Self::EndsAsRecorded)
    }

    /// The law, as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoPanic => "no part of a host panics",
            Self::TimePasses => "no part of a host is at work without end while no time passes",
            Self::NoEffectTwice => "no effect changes anything twice (X-7)",
            Self::ServedOnceServed => "what a deployment has brought goes on being served",
            Self::OneHolder => "a lease that another host has taken is worth nothing (X-7)",
            Self::AcknowledgedIsKept => "what was acknowledged is there",
            Self::EventsTellWhatHappened => "events come in order and tell what has happened (X-4)",
            Self::OneDeployment => "one deployment of a component is in flight at most (DEP-3)",
            Self::GatesPassed => "every gate of a Completed deployment has passed (DEP-1)",
            Self::InventoryIsTrue => {
                "what the inventory calls Running was brought and is healthy (SVC-1, SVC-2)"
            }
            Self::VersionsCountUp => "versions of configuration count up, each once (CFG-1)",
            Self::FindingsAreMerged => "no two open findings are the same one (DRF-2)",
            Self::EverythingHasItsPlace => "nothing is where its environment is not (X-1)",
            Self::TrailIsWhole => "every state is what its history comes to (X-10)",
            Self::EverythingEnds => "when nothing fails any more, everything ends",
            Self::EndsAsRecorded => "what runs in the end is what was deployed last",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence())
    }
}

/// A law that is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    law: Law,
    step: u32,
    what: String,
}

impl Broken {
    pub(crate) fn new(law: Law, step: u32, what: String) -> Self {
        Self { law, step, what }
    }

    /// Which law.
    pub fn law(&self) -> Law {
        self.law
    }

    /// After which step that was seen; 0 where it is not known.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// What was seen.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl std::error::Error for Broken {}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}, seen after step {}", self.law, self.what, self.step)
    }
}

/// A law that is broken, before it is said when.
type Wrong = (Law, String);

/// Looks whether everything holds, and remembers what it saw.
pub(crate) struct Laws {
    size: Size,
    witness: Witness,
    effects: effects::Effects,
    serving: serving::Serving,
    events: events::Events,
    looked: u32,
    told: ending::UpTo,
}

impl Laws {
    pub(crate) fn new(size: &Size, witness: Witness, changes: Changes) -> Self {
        Self {
            size: size.clone(),
            witness,
            effects: effects::Effects::default(),
            serving: serving::Serving::new(changes),
            events: events::Events::default(),
            looked: 0,
            told: ending::UpTo::default(),
        }
    }

    /// And what the store was given.
    pub(crate) fn seen(&self, coverage: Coverage) -> Coverage {
        let (states, events) = self.witness.committed();
        Coverage { states, events, ..coverage }
    }

    fn tenants(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.size.tenants
    }

    /// An operator has asked for something.
    pub(crate) fn asked(&mut self, place: Place, operation: &Operation) {
        match operation {
            Operation::Decommission | Operation::Environment { ask: EnvironmentAsk::LiveFor { .. } } => {
                self.serving.leaves(place);
            }
            _ => {}
        }
    }

    /// Somebody has changed a component behind the hosts' backs.
    pub(crate) fn touched(&mut self, yard: &Yard, key: &ComponentKey) {
        self.effects.touched(key);
        self.serving.touched(yard, key);
    }

    /// A quick look; now and then a thorough one.
    pub(crate) async fn look(&mut self, yard: &Yard, step: u32) -> Result<(), Broken> {
        self.quickly(yard).await.map_err(|(law, what)| Broken::new(law, step, what))?;
        if step >= self.looked + THOROUGHLY_EVERY {
            self.looked = step;
            self.thoroughly(yard).await.map_err(|(law, what)| Broken::new(law, step, what))?;
        }
        Ok(())
    }

    /// Everything there is to look at.
    pub(crate) async fn all(&mut self, yard: &Yard, onlooker: &Services, step: u32) -> Result<(), Broken> {
        let wrong = |(law, what)| Broken::new(law, step, what);
        self.quickly(yard).await.map_err(wrong)?;
        self.thoroughly(yard).await.map_err(wrong)?;
        for tenant in self.tenants() {
            state::trail(onlooker, tenant).await.map_err(wrong)?;
        }
        Ok(())
    }

    async fn quickly(&mut self, yard: &Yard) -> Result<(), Wrong> {
        if let Some(whose) = yard.pace.stood_still() {
            let wrong = format!("hosts are at work without end at one instant, above all {whose}");
            return Err((Law::TimePasses, wrong));
        }
        if let Some(wrong) = self.witness.wrong() {
            return Err((Law::OneHolder, wrong));
        }
        state::acknowledged(yard, &self.witness).await?;
        self.effects.look(&yard.world)?;
        self.events.look(yard).await?;
        self.serving.look(yard).await
    }

    async fn thoroughly(&mut self, yard: &Yard) -> Result<(), Wrong> {
        for tenant in self.tenants() {
            let state = state::State::of(yard, tenant).await?;
            state.check()?;
            state.placed(yard).await?;
            self.serving.expect(yard, tenant, &state).await;
        }
        Ok(())
    }

    /// Whether what has ended is as it should be.
    pub(crate) async fn ended(&mut self, yard: &Yard, step: u32) -> Result<(), Broken> {
        let wrong = |(law, what)| Broken::new(law, step, what);
        self.thoroughly(yard).await.map_err(wrong)?;
        for tenant in self.tenants() {
            let state = state::State::of(yard, tenant).await.map_err(wrong)?;
            ending::as_recorded(yard, &self.serving, &state).await.map_err(wrong)?;
        }
        Ok(())
    }

    /// What has not ended, if anything.
    pub(crate) async fn unfinished(&mut self, yard: &Yard) -> Result<Option<String>, Broken> {
        let wrong = |(law, what)| Broken::new(law, 0, what);
        for tenant in self.tenants() {
            let state = state::State::of(yard, tenant).await.map_err(wrong)?;
            if let Some(what) =
                ending::unfinished(yard, &self.events, &mut self.told, &state).await.map_err(wrong)?
            {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }
}
