//! What stories store and publish.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use runtime_domain::aggregate::{Aggregate, DomainEvent};
use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::RuntimeDeployment;
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::drift::watch::{DriftWatch, Outlook, WatchTerms};
use runtime_domain::envelope::{Binding, Envelope, EventType, SchemaUri, Source, Subject, TraceParent};
use runtime_domain::environment::RuntimeEnvironment;
use runtime_domain::health::HealthCheckResult;
use runtime_domain::id::CorrelationId;
use runtime_domain::inventory::RuntimeService;
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::secrets::SecretBinding;
use runtime_domain::tenancy::RuntimeTenantBinding;
use runtime_domain::time::{Span, Timestamp};
use runtime_testkit::prove::{Answer, Driver, Provable};
use runtime_testkit::sample;
use serde_json::Value;
use uuid::Uuid;

use super::Seeds;

/// Stories that are told.
const STORIES: usize = 60;

/// The smallest stored form of each status, of an aggregate's stories.
pub fn records(name: &str) -> Seeds {
    match name {
        "environment" => stored::<RuntimeEnvironment>(),
        "deployment" => stored::<RuntimeDeployment>(),
        "inventory" => stored::<RuntimeService>(),
        "configuration" => stored::<RuntimeConfiguration>(),
        "secrets" => stored::<SecretBinding>(),
        "tenancy" => stored::<RuntimeTenantBinding>(),
        "health" => stored::<HealthCheckResult>(),
        "scaling" => stored::<ScalingPolicy>(),
        "drift" => stored::<RuntimeDriftFinding>(),
        "drift_watch" => watches(),
        other => panic!("nothing is stored of {other}"),
    }
}

/// The smallest envelope of each published event.
pub fn envelopes() -> Seeds {
    PUBLISHED.iter().map(|(name, envelope)| (name.clone(), serde_json::to_vec(envelope).unwrap())).collect()
}

/// Some of them in the binary mode of each binding.
pub fn binary() -> Seeds {
    let mut seeds = Seeds::new();
    for ((name, envelope), binding) in PUBLISHED.iter().zip(Binding::ALL.iter().cycle()).take(9) {
        let event = envelope.to_binary(*binding).unwrap();
        let binding = format!("{binding:?}").to_lowercase();
        let headers: String =
            event.headers.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
        let seed = [binding.as_bytes(), headers.as_bytes(), b"\n\n", &event.body].concat();
        seeds.insert(format!("{name}.{binding}"), seed);
    }
    seeds
}

fn stored<A: Provable>() -> Seeds {
    let mut smallest = Seeds::new();
    play::<A>(|_, state, is_whole| {
        if !is_whole {
            return;
        }
        let record = serde_json::to_vec(&state.to_record()).unwrap();
        // What is empty and what is not are two ways to be in one status.
        for key in [state.status().to_owned(), format!("{}-{}", state.status(), record.len().ilog2())] {
            let known = smallest.entry(key).or_insert_with(|| record.clone());
            if record.len() < known.len() {
                known.clone_from(&record);
            }
        }
    });
    smallest
}

fn watches() -> Seeds {
    let terms = WatchTerms::new("shop".parse().unwrap());
    let (at, mut state, mut seeds) = (sample::at(1_800_000_000), None, Seeds::new());
    let begun = DriftWatch::begin(sample::tenant(1), sample::environment(1), &terms).unwrap();
    let outlook = Outlook::InSync { revision: "pulumi:shop@7".parse().unwrap() };
    for (name, number) in [("watching", 0), ("in-sync", 1), ("not-compared", 2), ("stopped", 3)] {
        let watch: Option<&DriftWatch> = state.as_ref();
        let decision = match (number, watch) {
            (1, Some(watch)) => watch.record_outlook(outlook.clone()).unwrap(),
            (2, Some(watch)) => {
                let reason = "the tree is dirty".to_owned();
                watch.record_outlook(Outlook::NotCompared { reason }).unwrap()
            }
            (3, Some(watch)) => watch.stop("the shop moves").unwrap(),
            _ => begun.clone(),
        };
        state = DriftWatch::evolve_all(state, decision.events.iter().map(|event| (event, at))).unwrap();
        seeds.insert(name.to_owned(), serde_json::to_vec(&state.as_ref().unwrap().to_record()).unwrap());
    }
    seeds
}

/// They are asked for twice.
static PUBLISHED: LazyLock<BTreeMap<String, Envelope<Value>>> = LazyLock::new(|| {
    let mut smallest = BTreeMap::new();
    publish::<RuntimeEnvironment>(&mut smallest);
    publish::<RuntimeDeployment>(&mut smallest);
    publish::<RuntimeService>(&mut smallest);
    publish::<RuntimeConfiguration>(&mut smallest);
    publish::<SecretBinding>(&mut smallest);
    publish::<RuntimeTenantBinding>(&mut smallest);
    publish::<HealthCheckResult>(&mut smallest);
    publish::<ScalingPolicy>(&mut smallest);
    publish::<RuntimeDriftFinding>(&mut smallest);
    smallest
});

fn publish<A: Provable>(smallest: &mut BTreeMap<String, Envelope<Value>>) {
    play::<A>(|event, state, _| {
        let Some(version) = event.published() else { return };
        let data = serde_json::to_value(event).unwrap();
        let known = smallest.get(event.name()).map(|envelope| envelope.data.to_string().len());
        if known.is_none_or(|known| data.to_string().len() < known) {
            smallest.insert(event.name().to_owned(), enveloped::<A>(event, version, state, data));
        }
    });
}

fn enveloped<A: Aggregate>(event: &A::Event, version: u16, state: &A, data: Value) -> Envelope<Value> {
    Envelope {
        id: sample::event(1),
        source: Source::new("/runtime/host-1").unwrap(),
        event_type: EventType::new(event.name(), version).unwrap(),
        time: sample::at(1_800_000_000),
        subject: Subject { kind: A::KIND, id: state.uuid() },
        data_schema: SchemaUri::new("https://schemas.example.com/runtime/v1.json").ok(),
        tenant: state.tenant(),
        environment: state.environment(),
        correlation: CorrelationId::from_uuid(Uuid::from_u128(6)),
        causation: Some(sample::event(2)),
        trace_parent: TraceParent::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").ok(),
        sequence: 7,
        data,
    }
}

/// The same stories every time: each event with the state that it made, and whether that is stored, since it is the last of a decision.
fn play<A: Provable>(mut tell: impl FnMut(&A::Event, &A, bool)) {
    let chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), chance);
    let strategy = A::stories();
    for _ in 0..STORIES {
        let (mut driver, mut seconds, mut state) = (A::Driver::begin(), 1_800_000_000_i64, None::<A>);
        for step in strategy.new_tree(&mut runner).unwrap().current() {
            seconds += step.seconds;
            let now = Span::from_secs(seconds.unsigned_abs()).after(Timestamp::UNIX_EPOCH);
            let before = state.clone();
            match driver.ask(state.as_ref(), &step.plan, now) {
                Answer::Refused(_) => continue,
                Answer::Nothing => {}
                Answer::Decided(decision) => {
                    for (number, event) in decision.events.iter().enumerate() {
                        let after = A::evolve(state, event, now).unwrap();
                        tell(event, &after, number + 1 == decision.events.len());
                        state = Some(after);
                    }
                }
            }
            driver.follow(before.as_ref(), &step.plan, now);
        }
    }
}
