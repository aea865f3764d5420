//! Every port has a wrapper whose calls meet faults, and no method of it is left out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runtime_ports::PortErrorKind;
use runtime_ports::authenticator::{AuthenticationError, Authenticator, Credentials, Principal, Role};
use runtime_testkit::faults::{AT_THE_DOOR, Fault, Faults, METHODS};
use runtime_testkit::sample;

/// The traits of the ports, and how their methods are called here. Of each the methods that are waited for may meet a fault.
const PORTS: &[(&str, &[&str])] = &[
    ("ArtifactReader", &["artifacts"]),
    ("ArtifactWriter", &["artifacts"]),
    ("Authenticator", &["authenticator"]),
    ("Clock", &["clock"]),
    ("ComputeSurface", &["surface"]),
    ("DesiredStateSource", &["desired_state"]),
    ("EndpointHandover", &["handover"]),
    ("EventPublisher", &["publisher"]),
    ("HealthProber", &["prober"]),
    ("ImageRegistry", &["registry"]),
    ("InfrastructureEngine", &["infrastructure"]),
    ("JobRunner", &["jobs"]),
    ("MetricSource", &["metrics"]),
    ("OperatorHealthResults", &["health_results"]),
    ("OperatorStore", &["store"]),
    ("Pruner", &["artifacts", "health_results", "snapshots"]),
    ("ScalingSignals", &["scaling_signals"]),
    ("SecretStore", &["secrets"]),
    ("Store", &["store"]),
    ("Subscriber", &["subscriber"]),
    ("TenantArtifacts", &["artifacts"]),
    ("TenantHealthResults", &["health_results"]),
    ("TenantSnapshots", &["snapshots"]),
    ("TenantStore", &["store"]),
    ("WorkloadIsolation", &["isolation"]),
];

/// The methods of a file's traits that are waited for, as faults name them.
fn waited_for(text: &str, found: &mut BTreeSet<String>) {
    let mut of = "";
    for line in text.lines() {
        let word = |rest: &'static str| {
            line.trim_start().strip_prefix(rest).and_then(|rest| rest.split(['(', '<', ':', ' ']).next())
        };
        if let Some(name) = word("pub trait ") {
            of = name;
        } else if line == "}" {
            of = "";
        } else if let Some(method) = word("async fn ").filter(|_| !of.is_empty()) {
            let known = PORTS.iter().find(|(name, _)| *name == of);
            let (_, called) = known.unwrap_or_else(|| panic!("{of} is a port, and nobody wraps it"));
            found.extend(called.iter().map(|port| format!("{port}.{method}")));
        }
    }
}

fn in_sources(folder: &std::path::Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_sources(&path, found);
        } else {
            waited_for(&std::fs::read_to_string(path).unwrap(), found);
        }
    }
}

#[test]
fn whatever_is_waited_for_at_a_port_may_meet_a_fault() {
    let mut found = BTreeSet::new();
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    in_sources(&manifest.with_file_name("runtime-ports").join("src"), &mut found);
    let listed = METHODS.iter().chain(AT_THE_DOOR).map(|method| method.name.to_owned());
    let listed: BTreeSet<String> = listed.collect();
    assert_eq!(found, listed);
}

/// Knows everybody, as the first tenant's caller.
struct Open;

#[async_trait]
impl Authenticator for Open {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal, AuthenticationError> {
        Ok(Principal::verified(sample::tenant(1), sample::caller(1), [Role::Viewer], None))
    }
}

#[tokio::test]
async fn nobody_is_let_in_where_the_answer_of_who_verifies_them_is_lost() {
    for (fault, is_unavailable) in [
        (Fault::Before(PortErrorKind::Denied), true),
        (Fault::After(PortErrorKind::TimedOut), true),
        (Fault::AnswerLost, true),
        (Fault::RequestLost, true),
        (Fault::Stale, false),
        (Fault::Twice, false),
    ] {
        let door = Faults::new(move |call| (call.number == 2).then_some(fault)).authenticator(Arc::new(Open));
        for number in 1..=3 {
            let answer = door.authenticate(&Credentials::bearer("a token")).await;
            match answer {
                Err(AuthenticationError::Unavailable) => assert!(is_unavailable && number == 2, "{fault:?}"),
                answer => assert!(answer.is_ok() && !(is_unavailable && number == 2), "{fault:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_fault_at_the_door_is_told_of_no_credentials() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let faults = Faults::new(move |call| {
        heard.lock().unwrap().push(call.about.clone());
        None
    });
    let door = faults.authenticator(Arc::new(Open));
    door.authenticate(&Credentials::bearer("a-token-that-nobody-may-see")).await.unwrap();
    door.authenticate(&Credentials::Certificate(b"a certificate".to_vec())).await.unwrap();
    door.authenticate(&Credentials::None).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["a bearer token", "a certificate", "nothing"]);
}
