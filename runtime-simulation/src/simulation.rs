//! What a user says of a simulation.

use std::sync::Arc;

use runtime_ports::store::Store;
use runtime_ports::surface::ComputeSurface;

use crate::outcome::{Failure, Outcome, Told};
use crate::story::Story;
use crate::world::World;
use crate::{shrink, story, telling};

/// How much there is in a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// How many steps a story has.
    pub steps: u32,
    /// How many hosts share the work.
    pub hosts: u8,
    /// How many tenants there are.
    pub tenants: u8,
    /// How many environments each of them has.
    pub environments: u8,
    /// How many components each of these has, at most 12.
    pub components: u8,
}

impl Default for Size {
    fn default() -> Self {
        Self { steps: 500, hosts: 3, tenants: 2, environments: 2, components: 3 }
    }
}

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whatever fails, nothing wrong ever happens.
    Safety,
    /// And when nothing fails any more, everything ends: within its deadline and two leases, and as much longer as a clock was ahead, since what
    /// was written by it is in the future.
    Liveness,
}

type OwnSurface = Arc<dyn Fn(&World) -> Arc<dyn ComputeSurface> + Send + Sync>;
type OwnStore = Arc<dyn Fn(&World) -> Arc<dyn Store> + Send + Sync>;

/// Hosts in a simulated world, from one seed or from many. Cheap to clone.
#[derive(Clone)]
pub struct Simulation {
    pub(crate) seed: u64,
    pub(crate) size: Size,
    pub(crate) mode: Mode,
    pub(crate) surface: OwnSurface,
    pub(crate) store: OwnStore,
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, size, mode, .. } = self;
        formatter
            .debug_struct("Simulation")
            .field("seed", seed)
            .field("size", size)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// The simulation of a seed, or the first of many: liveness, on the surface and the store in memory.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            size: Size::default(),
            mode: Mode::Liveness,
            surface: Arc::new(|world| Arc::new(world.surface.clone())),
            store: Arc::new(|world| Arc::new(world.store.clone())),
        }
    }

    /// Of another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With so many steps.
    #[must_use]
    pub fn steps(mut self, steps: u32) -> Self {
        self.size.steps = steps;
        self
    }

    /// With so much in it.
    #[must_use]
    pub fn size(self, size: Size) -> Self {
        Self { size, ..self }
    }

    /// To show this.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// On a surface of your own, of kind [`Process`](runtime_domain::surface::SurfaceKind::Process). It is made anew for each story, may be built
    /// over [`World::surface`], and must go by tokio's time alone and start no thread, or equal seeds do not tell equal stories.
    #[must_use]
    pub fn surface(
        self,
        surface: impl Fn(&World) -> Arc<dyn ComputeSurface> + Send + Sync + 'static,
    ) -> Self {
        Self { surface: Arc::new(surface), ..self }
    }

    /// On a store of your own, empty each time; on the same terms as [`Simulation::surface`].
    #[must_use]
    pub fn store(self, store: impl Fn(&World) -> Arc<dyn Store> + Send + Sync + 'static) -> Self {
        Self { store: Arc::new(store), ..self }
    }

    /// What happens in it.
    pub fn story(&self) -> Story {
        story::story(self.seed, &self.size)
    }

    /// Tells it.
    ///
    /// # Errors
    /// Something that must hold did not: with the shortest story found in which it does not.
    pub fn run(&self) -> Result<Told, Box<Failure>> {
        let story = self.story();
        self.tell(&story).map_err(|broken| Box::new(shrink::shortest(self, story, broken)))
    }

    /// Tells a story of yours, or a part of one.
    ///
    /// # Errors
    /// Something that must hold did not.
    pub fn tell(&self, story: &Story) -> Result<Told, crate::Broken> {
        telling::tell(self, story)
    }

    /// Tells so many seeds from its own on, on as many threads as there are processors, each story on one of them.
    ///
    /// `SIMULATION_SEEDS` says how many instead, `SIMULATION_STEPS` how long they are. `SIMULATION_SEED` tells that one only, and
    /// `SIMULATION_ONLY` some of its steps, such as `3,17,40-44`.
    pub fn seeds(&self, many: u64) -> Outcome {
        crate::outcome::of_seeds(self, many)
    }
}
