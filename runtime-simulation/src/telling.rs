//! How a story is told.

use runtime_domain::deployment::{DeploymentStatus, RuntimeDeployment};
use runtime_domain::environment::{ProvisioningStatus, RuntimeEnvironment};
use runtime_domain::time::Span;
use runtime_domain::value::Measure;
use runtime_ports::store::RuntimeTenantBindingRepository;
use runtime_services::Services;
use tokio::time::Instant;

use crate::hosts::Yard;
use crate::laws::{Broken, ENDS_WITHIN, Law, Laws};
use crate::operator::{self, APPROVAL, Operator};
use crate::outcome::Told;
use crate::simulation::{Mode, Simulation};
use crate::story::{Event, Hand, Operation, Place, Step, Story, component};
use crate::witness::{Changes, Witness};
use crate::world::World;
use crate::{panics, records};

/// How often the world is looked at while hosts work.
const LOOK: Span = Span::from_millis(250);
/// How often it is when nothing fails any more.
const LOOK_IN_THE_END: Span = Span::from_secs(1);
/// How long an operator waits for an answer.
const OPERATORS_PATIENCE: Span = Span::from_secs(60);

/// Tells a story.
pub(crate) fn tell(simulation: &Simulation, story: &Story) -> Result<Told, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Broken::new(Law::NoPanic, 0, records::told(error)))?;
    let (told, panicked) = panics::kept(|| runtime.block_on(Box::pin(telling(simulation, story))));
    match panicked.first() {
        // What broke first may be no more than what followed from it.
        Some(panicked) => Err(Broken::new(Law::NoPanic, 0, panicked.clone())),
        None => told,
    }
}

async fn telling(simulation: &Simulation, story: &Story) -> Result<Told, Broken> {
    let world = World::new();
    let witness = Witness::default();
    let store = witness.over((simulation.store)(&world));
    let changes = Changes::default();
    let surface = changes.over((simulation.surface)(&world));
    let yard = Yard::new(world, store, surface, story.seed, simulation.size.hosts);
    let no_host = || Broken::new(Law::NoPanic, 0, "no host can be made".to_owned());
    let onlooker = yard.onlooker().ok_or_else(no_host)?;
    let mut teller = Teller {
        laws: Laws::new(&simulation.size, witness, changes),
        components: simulation.size.components,
        tenants: simulation.size.tenants,
        yard,
        onlooker,
    };
    teller.yard.start_all();
    for step in &story.steps {
        teller.step(step).await?;
    }
    let last = story.steps.last().map_or(0, |step| step.number);
    let mut ending = None;
    if simulation.mode == Mode::Liveness {
        // What a host wrote whose clock was ahead is in the future, and is waited for.
        let bound = Span::from_millis(ENDS_WITHIN.as_millis() + story.furthest_ahead().as_millis());
        ending = Some(teller.end(last, bound).await?);
    }
    teller.laws.all(&teller.yard, &teller.onlooker, last).await?;
    let trace = &teller.yard.trace;
    Ok(Told {
        seed: story.seed,
        steps: u64::try_from(story.steps.len()).unwrap_or(u64::MAX),
        calls: trace.calls(),
        trace: trace.hash(),
        coverage: teller.laws.seen(trace.coverage()),
        answers: trace.answers(),
        ending,
        virtual_time: Span::between(runtime_testkit::sample::at(1_800_000_000), now(&teller.yard)),
    })
}

fn now(yard: &Yard) -> runtime_domain::time::Timestamp {
    use runtime_ports::clock::Clock as _;
    yard.world.clock.now()
}

struct Teller {
    yard: Yard,
    /// Who looks past all faults.
    onlooker: Services,
    laws: Laws,
    components: u8,
    tenants: u8,
}

impl Teller {
    async fn step(&mut self, step: &Step) -> Result<(), Broken> {
        match &step.event {
            Event::Asked { host, place, operation } => self.ask(*host, *place, operation),
            Event::ByHand { place, hand } => self.by_hand(*place, hand).await,
            Event::Host { host, trouble } => self.yard.meet(*host, trouble),
        }
        let until = Instant::now() + step.pause.to_std();
        loop {
            let next = until.min(Instant::now() + LOOK.to_std());
            tokio::time::sleep_until(next).await;
            self.yard.bury();
            self.laws.look(&self.yard, step.number).await?;
            if next == until {
                return Ok(());
            }
        }
    }

    /// Somebody asks, and goes away: the next thing happens meanwhile.
    fn ask(&mut self, host: u8, place: Place, operation: &Operation) {
        let (records, trace) = (self.yard.records.clone(), self.yard.trace.clone());
        let (vault, pace) = (self.yard.world.vault.clone(), self.yard.pace.clone());
        self.laws.asked(place, operation);
        let Some((services, tasks)) = self.yard.host(host) else { return };
        let (operator, operation) = (Operator { services, records, vault, place }, operation.clone());
        tasks.spawn(async move {
            let asked = Box::pin(pace.keep(operation.name(), operator.ask(&operation)));
            let answer = tokio::time::timeout(OPERATORS_PATIENCE.to_std(), asked).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer".into()));
            trace.answered(operation.name(), &answer);
        });
    }

    async fn by_hand(&mut self, place: Place, hand: &Hand) {
        let (surface, said) = (&self.yard.world.surface, &self.yard.world.said);
        match hand {
            Hand::Load { units } => said.measures(Measure::from_units(i64::from(*units))),
            Hand::Desire { version } => {
                let revision = format!("git:{:040x}", *version).parse();
                if let (Ok(revision), Ok(releases)) = (revision, operator::desired(*version, self.components))
                {
                    said.desires(revision, releases);
                }
            }
            Hand::Scale { component: of, .. }
            | Hand::Crash { component: of }
            | Hand::Ill { component: of, .. } => {
                let there = surface.everything();
                let environment = self.yard.records.environment(place).await;
                let is_it = |key: &runtime_domain::surface::ComponentKey| {
                    key.module.as_str() == component(*of)
                        && environment.as_ref().is_some_and(|found| found.aggregate.id() == key.environment)
                };
                let Some(seen) = there.into_iter().find(|seen| is_it(&seen.key)) else { return };
                self.laws.touched(&self.yard, &seen.key);
                let first = seen.revisions.values().flat_map(|revision| &revision.instances).next();
                match (hand, first) {
                    (Hand::Scale { replicas, .. }, _) => {
                        surface.scale_by_hand(&seen.key, u16::from(*replicas));
                    }
                    (Hand::Ill { is_ill, .. }, _) => surface.is_ill(&seen.key, *is_ill),
                    (_, Some(instance)) => drop(surface.crash(&seen.key, &instance.name)),
                    (_, None) => {}
                }
            }
        }
    }

    /// Somebody looks after what waits for a person.
    async fn attend(&self) {
        for tenant in 1..=self.tenants {
            let scope = records::scope(tenant);
            let Ok(all) = self.yard.records.all::<RuntimeDeployment>(&scope).await else { continue };
            for deployment in all.iter().map(|loaded| &loaded.aggregate).filter(|it| !it.status().is_final())
            {
                // Whoever was quicker has ended it.
                if deployment.status() == DeploymentStatus::Paused {
                    drop(self.onlooker.deployments().resume(&scope, deployment.id()).await);
                }
                let gate = deployment.gates().iter().find(|gate| gate.name.as_str() == APPROVAL);
                if let Some(gate) = gate.filter(|gate| !gate.has_passed()) {
                    let name = gate.name.clone();
                    drop(self.onlooker.deployments().approve(&scope, deployment.id(), name).await);
                }
            }
            // What is taken down while its tenant's place is protected waits until somebody takes that away.
            let store = self.yard.store.for_tenant(&scope);
            let places = RuntimeTenantBindingRepository::new(&*store);
            let environments = self.yard.records.all::<RuntimeEnvironment>(&scope).await.unwrap_or_default();
            let all = environments.iter().map(|loaded| &loaded.aggregate);
            for environment in
                all.filter(|it| it.provisioning_status() == ProvisioningStatus::Decommissioning)
            {
                if let Ok(Some(place)) = places.current(environment.id()).await
                    && place.aggregate.is_protected()
                {
                    drop(self.onlooker.tenancy().protect(&scope, place.aggregate.id(), false).await);
                }
            }
        }
    }

    /// Nothing fails any more: everything ends.
    async fn end(&mut self, last: u32, bound: Span) -> Result<(Span, String), Broken> {
        let began = now(&self.yard);
        let mut latest = "nothing was left".to_owned();
        self.yard.recover();
        for seen in self.yard.world.surface.everything() {
            self.yard.world.surface.is_ill(&seen.key, false);
        }
        let deadline = Instant::now() + bound.to_std();
        loop {
            let until = Instant::now() + Span::from_secs(5).to_std();
            while Instant::now() < until {
                tokio::time::sleep_until(Instant::now() + LOOK_IN_THE_END.to_std()).await;
                self.laws.look(&self.yard, last).await?;
            }
            self.attend().await;
            match self.laws.unfinished(&self.yard).await? {
                None => {
                    self.laws.ended(&self.yard, last).await?;
                    return Ok((Span::between(began, now(&self.yard)), latest));
                }
                Some(what) if Instant::now() > deadline => {
                    return Err(Broken::new(Law::EverythingEnds, last, what));
                }
                Some(what) => latest = what,
            }
        }
    }
}
