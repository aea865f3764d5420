//! Configuration, published and brought to real workloads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factory_runtime::domain::configuration::{
    ConfigurationEntries, ConfigurationState, RuntimeConfiguration,
};
use factory_runtime::domain::envelope::Envelope;
use factory_runtime::domain::id::ConfigurationId;
use factory_runtime::domain::refusal::Rule;
use factory_runtime::domain::surface::InstanceState;
use factory_runtime::prelude::*;
use factory_runtime::services::configuration::Synchronise;
use runtime_memory::Observed;
use serde_json::{Value, json};

use crate::bench::{Bench, WEB, get, release_of, says, until};

/// Entries as they are written: scope, key, text.
fn entries(written: &[(&str, &str, &str)]) -> ConfigurationEntries {
    let entry = |(scope, key, text): &(&str, &str, &str)| json!({ "scope": scope, "key": key, "value": { "type": "text", "value": text } });
    serde_json::from_value(Value::Array(written.iter().map(entry).collect())).expect("entries")
}

fn greeting(text: &str) -> ConfigurationEntries {
    entries(&[("environment", "greeting", text)])
}

async fn published(bench: &Bench, entries: ConfigurationEntries) -> RuntimeConfiguration {
    let done = bench.runtime().configuration().publish(bench.scope(), bench.environment(), entries).await;
    done.expect("published").aggregate
}

async fn configuration(bench: &Bench, id: ConfigurationId) -> RuntimeConfiguration {
    bench.runtime().configuration().configuration(bench.scope(), id).await.expect("there")
}

async fn synced(bench: &Bench, id: ConfigurationId) -> RuntimeConfiguration {
    until("the configuration is synchronised", async || {
        let found = configuration(bench, id).await;
        matches!(found.state(), ConfigurationState::Synced(_)).then_some(found)
    })
    .await
}

/// A release of `web` at a version, with a configuration, where one is named.
fn carrying(version: &str, configuration: Option<ConfigurationId>, declared: &str) -> String {
    let yaml = release_of(version);
    let yaml = match configuration {
        Some(configuration) => format!("configuration: {configuration}\n{yaml}"),
        None => yaml,
    };
    if declared.is_empty() { yaml } else { format!("{yaml}    configuration: {declared}\n") }
}

async fn rolled_out(bench: &Bench, version: &str, configuration: ConfigurationId, declared: &str) {
    bench.pack(version, "").await;
    let release = bench.resolve(&carrying(version, Some(configuration), declared)).await.expect("resolved");
    let ended = bench.deploy(release).await;
    assert_eq!(ended.status(), DeploymentStatus::Completed, "{:#?}", bench.history(ended.id()).await);
}

async fn asked(bench: &Bench, module: &str, path: &str) -> String {
    let endpoint = bench.observe(module).await.endpoint.expect("an endpoint");
    get(endpoint.trim_start_matches("http://"), path).await.expect("an answer")
}

const BY_SIGNAL: &str = "{ reload: signal, report: /configuration }";

/// Shows X-6.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_brings_its_configuration_as_a_file_and_as_variables_before_an_instance_starts() {
    let bench = Bench::with_a_release().await;
    let content = entries(&[
        ("environment", "greeting", "hello"),
        ("service:web", "db.pool-size", "5"),
        ("service:other", "greeting", "not for web"),
    ]);
    let version = published(&bench, content).await;
    rolled_out(&bench, "2.0.0", version.id(), "").await;

    let tuple = asked(&bench, WEB, "/tuple").await;
    says(&tuple, &["2.0.0", version.checksum().as_str(), r#""greeting":"hello""#, r#""version":1"#]);
    assert!(!tuple.contains("not for web"), "{tuple}");
    assert_eq!(asked(&bench, WEB, "/variable/greeting").await, "hello");
    assert_eq!(asked(&bench, WEB, "/variable/db__pool_size").await, "5");
    let told = asked(&bench, WEB, "/variable/FACTORY_CONFIGURATION_CHECKSUM").await;
    assert_eq!(told, version.checksum().as_str());

    let synced = synced(&bench, version.id()).await;
    let consumers = bench.runtime().configuration().consumers(bench.scope(), bench.environment()).await;
    let consumers = consumers.expect("read");
    assert_eq!(consumers.len(), 1, "{consumers:?}");
    let standing = consumers.values().next().expect("a consumer");
    assert_eq!((standing.expected, standing.version), (Some(synced.version()), Some(synced.version())));
}

/// Buried: argo-rollouts#1297, argo-rollouts#2669. Theirs: a rollout that was aborted went back to the old image, and the new configuration stayed:
/// old code ran with it. Ours: what goes back is the release tuple, and no client ever meets one half of it.
/// Shows X-6.
#[tokio::test(flavor = "multi_thread")]
async fn code_and_configuration_go_back_as_one_where_argo_rollouts_left_the_new_configuration() {
    let bench = Bench::with_a_release().await;
    let old = published(&bench, greeting("old")).await;
    rolled_out(&bench, "2.0.0", old.id(), "").await;
    let (first, _, _) = bench.listing().await[0];
    let new = published(&bench, greeting("new")).await;

    let watching = Arc::new(AtomicBool::new(true));
    let endpoint = bench.observe(WEB).await.endpoint.expect("an endpoint");
    let (watch, address) = (Arc::clone(&watching), endpoint.trim_start_matches("http://").to_owned());
    let watcher = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while watch.load(Ordering::SeqCst) {
            seen.insert(get(&address, "/tuple").await.expect("no request is lost"));
        }
        seen
    });

    // It serves half of the requests, and is found to be bad only then.
    bench.pack("3.0.0", "").await;
    let canary = carrying("3.0.0", Some(new.id()), "")
        .replace("rolling-health-gated: {}", "canary: { steps: [{ weight: 50, hold: until-resumed }] }");
    let release = bench.resolve(&canary).await.expect("resolved");
    let deployments = bench.runtime().deployments();
    let begun = deployments.request(bench.scope(), bench.environment(), release).await.expect("accepted");
    until("the new release is asked, too", async || {
        asked(&bench, WEB, "/tuple").await.starts_with("3.0.0").then_some(())
    })
    .await;
    let id = begun.aggregate.id();
    deployments.abort(bench.scope(), id, "it greets wrongly".to_owned()).await.expect("aborted");
    assert_eq!(bench.ended(id).await.status(), DeploymentStatus::RolledBack);
    says(&asked(&bench, WEB, "/tuple").await, &["2.0.0", r#""greeting":"old""#]);

    // The same by a rollback on purpose, after it was completed.
    rolled_out(&bench, "4.0.0", new.id(), "").await;
    says(&asked(&bench, WEB, "/tuple").await, &["4.0.0", r#""greeting":"new""#]);
    let back = deployments.roll_back(bench.scope(), bench.environment(), first);
    let back = bench.ended(back.await.expect("accepted").aggregate.id()).await;
    assert_eq!(back.status(), DeploymentStatus::Completed);
    says(&asked(&bench, WEB, "/tuple").await, &["2.0.0", r#""greeting":"old""#]);

    watching.store(false, Ordering::SeqCst);
    let seen = watcher.await.expect("every request was answered");
    for tuple in &seen {
        let is_old = tuple.starts_with("2.0.0") && tuple.contains(old.checksum().as_str());
        let is_new = !tuple.starts_with("2.0.0") && tuple.contains(new.checksum().as_str());
        assert!(is_old || is_new, "half of a release: {tuple}");
    }
    assert!(seen.len() >= 3, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_configuration_alone_rolls_the_same_image_through_its_gates_and_leaves_others_alone() {
    let bench = Bench::with_a_release().await;
    let content = |text| entries(&[("service:web", "greeting", text), ("service:api", "limit", "7")]);
    let old = published(&bench, content("old")).await;
    bench.pack("2.0.0", "").await;
    let yaml = format!(
        "{}  api:
    image: test/web:2.0.0
    version: 2.0.0
    readiness: {{ path: /ready, period: 50ms }}
    termination_grace: 300ms
gates:
  answers:
    at: after-rollout
    check: {{ probe: {{ path: /, timeout: 1s, interval: 50ms, successes: 2 }} }}
",
        carrying("2.0.0", Some(old.id()), "")
    );
    let ended = bench.deploy(bench.resolve(&yaml).await.expect("resolved")).await;
    assert_eq!(ended.status(), DeploymentStatus::Completed, "{:#?}", bench.history(ended.id()).await);
    let (web, api) = (asked(&bench, WEB, "/pid").await, asked(&bench, "api", "/pid").await);

    let new = published(&bench, content("new")).await;
    let configuration = bench.runtime().configuration();
    let ask = async || {
        let wanted = Synchronise::to(new.id());
        configuration.synchronise(bench.scope(), bench.environment(), wanted).await.expect("begun")
    };
    let begun = ask().await;
    let unconcerned: Vec<_> = begun.unconcerned.iter().map(Name::as_str).collect();
    assert_eq!(unconcerned, ["api"]);
    assert_eq!(begun.deployments.len(), 1);
    let ended = bench.ended(begun.deployments[0].aggregate.id()).await;
    assert_eq!(ended.status(), DeploymentStatus::Completed, "{:#?}", bench.history(ended.id()).await);
    let gates: BTreeSet<_> = ended.gates().iter().map(|gate| gate.name.to_string()).collect();
    assert!(gates.contains("answers"), "{gates:?}");
    says(&asked(&bench, WEB, "/tuple").await, &["2.0.0", r#""greeting":"new""#]);
    assert_ne!(asked(&bench, WEB, "/pid").await, web, "a new revision");
    assert_eq!(asked(&bench, "api", "/pid").await, api, "what the change does not concern goes on");
    synced(&bench, new.id()).await;

    let again = ask().await;
    assert!(again.deployments.is_empty() && again.in_place.is_empty(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_reloads_by_signal_takes_a_version_in_place_and_says_so_itself() {
    let mut bench = Bench::with_a_release().await;
    let old = published(&bench, greeting("old")).await;
    rolled_out(&bench, "2.0.0", old.id(), BY_SIGNAL).await;
    synced(&bench, old.id()).await;
    let pid = asked(&bench, WEB, "/pid").await;
    let mut events = bench.embedded().bus().observe();

    let new = published(&bench, greeting("new")).await;
    let configuration = bench.runtime().configuration().clone();
    let wanted = Synchronise::to(new.id());
    let begun = configuration.synchronise(bench.scope(), bench.environment(), wanted).await.expect("begun");
    assert_eq!((begun.deployments.len(), begun.in_place.len()), (0, 1));
    synced(&bench, new.id()).await;
    says(&asked(&bench, WEB, "/tuple").await, &["2.0.0", new.checksum().as_str(), "new"]);
    assert_eq!(asked(&bench, WEB, "/pid").await, pid, "nothing was started again");
    until("the old version has given way", async || {
        let old = configuration.configuration(bench.scope(), old.id()).await.expect("there");
        matches!(old.state(), ConfigurationState::Superseded(_)).then_some(())
    })
    .await;
    let event = loop {
        let Some(Observed::Event(event)) = events.next().await else { panic!("the bus ended or lagged") };
        let envelope: Envelope<Value> = serde_json::from_str(&event.envelope).expect("an envelope");
        if envelope.event_type.name() == "ConfigurationSynced" {
            break envelope;
        }
    };
    assert_eq!(event.data["checksum"], new.checksum().as_str());

    // Whatever is started of it from now on has the later version, whoever starts it.
    bench.reopen(|options| options).await;
    assert_eq!(asked(&bench, WEB, "/pid").await, pid, "adopted");
    let killed = rustix::process::Pid::from_raw(pid.parse().expect("a number")).expect("a process");
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).expect("killed");
    until("it was started again", async || {
        let seen = bench.observe(WEB).await;
        let mut instances = seen.revisions.values().flat_map(|revision| &revision.instances);
        instances.any(|it| it.restarts > 0 && it.state == InstanceState::Ready).then_some(())
    })
    .await;
    says(&asked(&bench, WEB, "/tuple").await, &["2.0.0", new.checksum().as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_workload_does_not_take_up_is_never_called_synchronised() {
    let bench = Bench::with_a_release().await;
    let old = published(&bench, greeting("old")).await;
    bench.pack("2.0.0", "deaf").await;
    let release = bench.resolve(&carrying("2.0.0", Some(old.id()), BY_SIGNAL)).await.expect("resolved");
    assert_eq!(bench.deploy(release).await.status(), DeploymentStatus::Completed);
    synced(&bench, old.id()).await;

    let new = published(&bench, greeting("new")).await;
    let configuration = bench.runtime().configuration();
    let wanted = Synchronise::to(new.id());
    configuration.synchronise(bench.scope(), bench.environment(), wanted.clone()).await.expect("begun");
    let file = asked(&bench, WEB, "/variable/FACTORY_CONFIGURATION").await;
    until("the file is there", async || {
        let text = std::fs::read_to_string(&file).expect("there is always one");
        text.contains(new.checksum().as_str()).then_some(())
    })
    .await;
    // It was told and asked, and goes on with what it had: nobody knows that it runs the new one.
    until("nobody knows what it runs with", async || {
        let seen = bench.observe(WEB).await;
        seen.revisions
            .values()
            .flat_map(|it| &it.instances)
            .all(|it| it.configuration.is_none())
            .then_some(())
    })
    .await;
    let wanted_id = new.id();
    let new = configuration.configuration(bench.scope(), new.id()).await.expect("there");
    assert!(matches!(new.state(), ConfigurationState::Published(_)), "{:?}", new.state());
    let old = configuration.configuration(bench.scope(), old.id()).await.expect("there");
    assert!(!matches!(old.state(), ConfigurationState::Superseded(_)), "{:?}", old.state());

    // Rolled out instead of told, it takes it up.
    let wanted = Synchronise { in_place: false, ..wanted };
    let begun = configuration.synchronise(bench.scope(), bench.environment(), wanted).await.expect("begun");
    assert_eq!(begun.deployments.len(), 1, "{begun:?}");
    bench.ended(begun.deployments[0].aggregate.id()).await;
    synced(&bench, wanted_id).await;
}

/// Shows CFG-1, X-3.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_publishers_at_once_each_gets_one_version_and_no_number_is_left_out() {
    let bench = Bench::with_a_release().await;
    let configuration = bench.runtime().configuration();
    let publishers = (0..6).map(|number| {
        let (configuration, scope) = (configuration.clone(), bench.scope().clone());
        let environment = bench.environment();
        tokio::spawn(async move {
            let content = greeting(&format!("hello {number}"));
            loop {
                match configuration.publish(&scope, environment, content.clone()).await {
                    Ok(done) => return done.aggregate.version().get(),
                    Err(CommandError::Contended) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    let mut numbers = Vec::new();
    for publisher in publishers.collect::<Vec<_>>() {
        numbers.push(publisher.await.expect("published"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let newest = configuration.newest(bench.scope(), bench.environment()).await.expect("read");
    let newest = newest.expect("there is one");
    let again = published(&bench, newest.entries().clone()).await;
    assert_eq!((again.id(), again.version()), (newest.id(), newest.version()));
}

/// Shows CFG-2, X-11.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_refuse_reaches_the_caller_with_its_rule_and_without_a_value() {
    let bench = Bench::with_a_release().await;
    let configuration = bench.runtime().configuration();
    let (scope, environment) = (bench.scope(), bench.environment());
    let secret = json!([{ "scope": "environment", "key": "db.password", "value": {
        "type": "secret", "value": { "binding": "sec_00000000000000000000000000000001" } } }]);
    let secret: ConfigurationEntries = serde_json::from_value(secret).expect("a reference is legal");
    let refused = configuration.publish(scope, environment, secret).await.expect_err("nothing is bound");
    assert_eq!(refused.rule(), Some(Rule::Cfg2), "{refused}");

    let version = published(&bench, greeting("hello")).await;
    let preview = configuration.preview(scope, environment, greeting("hello")).await;
    assert_eq!(preview.expect_err("nothing would be published").rule(), Some(Rule::X3));
    let preview = configuration.preview(scope, environment, greeting("goodbye")).await.expect("legal");
    assert_eq!((preview.version.get(), preview.changes.changes().len()), (2, 1));

    let withdrawn = configuration.withdraw(scope, version.id(), "a typo".to_owned()).await;
    withdrawn.expect("nobody ran it");
    bench.pack("2.0.0", "").await;
    let release = bench.resolve(&carrying("2.0.0", Some(version.id()), "")).await.expect("resolved");
    let refused = bench.runtime().deployments().request(scope, environment, release).await;
    assert_eq!(refused.expect_err("it is not in force").rule(), Some(Rule::Lifecycle));

    let silent = carrying("2.0.0", None, "{ reload: signal }");
    let release = bench.resolve(&silent).await.expect("resolved");
    let refused = bench.runtime().deployments().request(scope, environment, release).await;
    says(&refused.expect_err("it could not tell").remedy(), &["report"]);

    let clash = published(&bench, entries(&[("environment", "a.b", "1"), ("environment", "a:b", "2")])).await;
    let release = bench.resolve(&carrying("2.0.0", Some(clash.id()), "")).await.expect("resolved");
    let refused = bench.runtime().deployments().request(scope, environment, release).await;
    says(&refused.expect_err("one variable for two keys").remedy(), &["variables: false"]);
    rolled_out(&bench, "2.0.0", clash.id(), "{ variables: false }").await;
    synced(&bench, clash.id()).await;
    let refused = configuration.withdraw(scope, clash.id(), "too late".to_owned()).await;
    assert_eq!(refused.expect_err("it runs").rule(), Some(Rule::Lifecycle));

    environments_stop(&bench).await;
    let refused = configuration.publish(scope, environment, greeting("frozen")).await;
    assert_eq!(refused.expect_err("the line is stopped").rule(), Some(Rule::Calendar));
    let glass = Some("it cannot wait".to_owned());
    let broken = configuration.publish_with(scope, environment, greeting("frozen"), glass).await;
    assert!(broken.expect("kept with its reason").aggregate.break_glass().is_some());
}

async fn environments_stop(bench: &Bench) {
    let environments = bench.runtime().environments();
    environments.stop_the_line(bench.scope(), bench.environment(), "payments fail").await.expect("stopped");
}
