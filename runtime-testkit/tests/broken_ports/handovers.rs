//! Surfaces whose endpoints change hands in a way that breaks one promise each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_domain::component::ComponentSpec;
use runtime_domain::component::RevisionId;
use runtime_domain::id::DeploymentId;
use runtime_domain::surface::{ComponentKey, EffectId, FencingToken, RevisionSpec};
use runtime_ports::handover::EndpointHandover;
use runtime_ports::surface::{ComputeSurface as _, EffectContext};
use runtime_ports::{PortError, PortErrorKind, PortResult};
use runtime_testkit::conformance::{AdapterFactory, HandoverFactory, Persistence, Report, handover};
use runtime_testkit::sample;
use runtime_testkit::world::{MemorySurface, TokioClock};
use tokio::task::yield_now;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    MakesEndpoints,
    FindsNothingInvalid,
    NeverTakesBack,
    Toggles,
    MovesBothWays,
    FirstOneWins,
    CrossesTenants,
    AnswersInChains,
    KnowsByName,
    IgnoresTokens,
    FencesWhoAnswers,
    EndsWithItsComponent,
    TakesAwayBeforeItGives,
    ForgetsWhenClosed,
}

#[derive(Debug, Default)]
struct Place {
    /// Who is there, whether anything of it runs, who answers for it, and the newest token.
    there: BTreeMap<ComponentKey, (bool, Option<ComponentKey>, FencingToken)>,
}

struct Surface {
    bug: Bug,
    place: Arc<Mutex<Place>>,
}

fn refused(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "handover.hand_over", "it is not done")
}

impl Surface {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }
}

#[async_trait]
impl EndpointHandover for Surface {
    async fn hand_over(
        &self,
        context: EffectContext,
        from: &ComponentKey,
        to: &ComponentKey,
    ) -> PortResult<()> {
        {
            let mut place = self.place.lock().unwrap();
            if from.tenant != to.tenant && !self.is(Bug::CrossesTenants) {
                return Err(refused(PortErrorKind::Invalid));
            }
            if !place.there.contains_key(from) || !place.there.contains_key(to) {
                if self.is(Bug::FindsNothingInvalid) {
                    return Err(refused(PortErrorKind::Invalid));
                }
                if !self.is(Bug::MakesEndpoints) {
                    return Err(refused(PortErrorKind::NotFound));
                }
            }
            let is_passed_on = from != to && place.there.get(to).is_some_and(|(_, to, _)| to.is_some());
            if is_passed_on && !self.is(Bug::AnswersInChains) {
                return Err(refused(PortErrorKind::Invalid));
            }
            let fenced = if self.is(Bug::FencesWhoAnswers) { to } else { from };
            let (_, _, seen) = place.there.entry(fenced.clone()).or_default();
            if *seen > context.fence && !self.is(Bug::IgnoresTokens) {
                return Err(refused(PortErrorKind::Fenced));
            }
            *seen = context.fence;
            if self.is(Bug::TakesAwayBeforeItGives) {
                place.there.retain(|key, _| key != from);
            }
        }
        yield_now().await;
        let mut place = self.place.lock().unwrap();
        let answers = (from != to).then(|| to.clone());
        let by_name: Vec<ComponentKey> = match self.bug {
            Bug::KnowsByName => place.there.keys().filter(|key| key.module == from.module).cloned().collect(),
            _ => vec![from.clone()],
        };
        for key in by_name {
            let (runs, before, _) = place.there.entry(key).or_default();
            *runs = true;
            match self.bug {
                Bug::NeverTakesBack if answers.is_none() => {}
                Bug::FirstOneWins if answers.is_some() && before.is_some() => {}
                Bug::Toggles if *before == answers => *before = None,
                _ => *before = answers.clone(),
            }
        }
        if self.is(Bug::MovesBothWays) && from != to {
            place.there.entry(to.clone()).or_default().1 = Some(from.clone());
        }
        Ok(())
    }

    async fn answered_by(&self, component: &ComponentKey) -> PortResult<Option<ComponentKey>> {
        let place = self.place.lock().unwrap();
        Ok(place.there.get(component).map(|(runs, to, _)| {
            let to = to.clone().filter(|_| *runs || !self.is(Bug::EndsWithItsComponent));
            to.unwrap_or_else(|| component.clone())
        }))
    }
}

struct Factory(Bug);

#[async_trait]
impl AdapterFactory for Factory {
    type Adapter = Surface;

    fn persistence(&self) -> Persistence {
        Persistence::Durable
    }

    async fn fresh(&self) -> PortResult<Surface> {
        Ok(Surface { bug: self.0, place: Arc::default() })
    }

    async fn reopen(&self, surface: Surface) -> PortResult<Surface> {
        if self.0 == Bug::ForgetsWhenClosed {
            surface.place.lock().unwrap().there.values_mut().for_each(|(_, to, _)| *to = None);
        }
        Ok(surface)
    }
}

#[async_trait]
impl HandoverFactory for Factory {
    async fn begin(&self, surface: &Surface, key: &ComponentKey) -> PortResult<()> {
        surface.place.lock().unwrap().there.entry(key.clone()).or_default().0 = true;
        Ok(())
    }

    async fn end(&self, surface: &Surface, key: &ComponentKey) -> PortResult<()> {
        surface.place.lock().unwrap().there.entry(key.clone()).or_default().0 = false;
        Ok(())
    }
}

async fn of(bug: Bug) -> Report {
    handover(Factory(bug)).await
}

#[tokio::test]
async fn every_trial_is_failed_by_a_surface_that_breaks_its_promise() {
    let sound = vec![of(Bug::None).await];
    let never = "what was never there has no endpoint to hand over";
    let back =
        "an endpoint is answered by its own component until it is handed over and when it is taken back";
    let again = "repeating a handover changes nothing";
    let on = "an endpoint that was handed on moves at once";
    let tenants = "no endpoint is handed to another tenant";
    let chain = "who has handed its own endpoint over answers no other";
    let name = "components of the same name do not meet";
    let (older, outlives) =
        ("an older token hands nothing over", "an endpoint that was handed over outlives its own component");
    let dropped = "a handover that is dropped may be repeated";
    let reopened = "an endpoint that was handed over is so after reopening";
    let bugs: &[(Bug, &[&str])] = &[
        (Bug::MakesEndpoints, &[never]),
        (Bug::FindsNothingInvalid, &[never]),
        (Bug::NeverTakesBack, &[back, again, older, dropped, reopened]),
        (Bug::Toggles, &[again, dropped]),
        (Bug::MovesBothWays, &[back, again, on, chain, older, dropped, reopened]),
        (Bug::FirstOneWins, &[on]),
        (Bug::CrossesTenants, &[tenants]),
        (Bug::AnswersInChains, &[chain]),
        (Bug::KnowsByName, &[name]),
        (Bug::IgnoresTokens, &[older]),
        (Bug::FencesWhoAnswers, &[older]),
        (Bug::EndsWithItsComponent, &[outlives]),
        (Bug::TakesAwayBeforeItGives, &[older, dropped]),
        (Bug::ForgetsWhenClosed, &[reopened]),
    ];
    crate::tried(sound, bugs, of).await;
}

/// The surface of the testkit's own world, which has no bug.
struct Memory;

fn spec(key: &ComponentKey) -> RevisionSpec {
    let component: ComponentSpec = serde_json::from_value(serde_json::json!({
        "module": key.module, "component_type": "microservice", "version": "1.0.0",
        "tuple": { "image": format!("shop/web@sha256:{}", "a".repeat(64)) }, "surface": "process", "replicas": 1,
    }))
    .unwrap();
    let deployment = DeploymentId::from_uuid(uuid::Uuid::from_u128(1));
    let revision = RevisionId::new(key.module.clone(), deployment);
    RevisionSpec { key: key.clone(), revision, component, configuration: None, secrets: Default::default() }
}

fn effect(ordinal: u32) -> EffectContext {
    let owner = DeploymentId::from_uuid(uuid::Uuid::from_u128(1));
    EffectContext { effect: EffectId::of(owner, ordinal), fence: FencingToken(1) }
}

#[async_trait]
impl AdapterFactory for Memory {
    type Adapter = MemorySurface;

    fn persistence(&self) -> Persistence {
        Persistence::Volatile
    }

    async fn fresh(&self) -> PortResult<MemorySurface> {
        Ok(MemorySurface::new(Arc::new(TokioClock::at(sample::at(1_000)))))
    }

    async fn reopen(&self, surface: MemorySurface) -> PortResult<MemorySurface> {
        Ok(surface)
    }
}

#[async_trait]
impl HandoverFactory for Memory {
    async fn begin(&self, surface: &MemorySurface, key: &ComponentKey) -> PortResult<()> {
        surface.apply(effect(1), &spec(key), 1).await
    }

    async fn end(&self, surface: &MemorySurface, key: &ComponentKey) -> PortResult<()> {
        surface.retire(effect(2), key, &spec(key).revision).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_surface_that_is_in_memory_keeps_every_promise_of_the_port() {
    handover(Memory).await.assert_passed();
}
