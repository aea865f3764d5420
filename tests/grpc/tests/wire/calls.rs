//! Whole calls over loopback.

use std::time::Duration;

use futures::StreamExt as _;
use prost::Message as _;
use runtime_api::AdmissionOptions;
use runtime_grpc::GrpcOptions;
use runtime_testkit::faults::Fault;
use runtime_testkit::sample;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::client::{Client, channel, told};
use crate::typed;
use crate::world::{Served, served, served_admitting, served_with};

pub(crate) const ADMINISTRATOR: &str = "1-administrator";

fn wanted(name: &str) -> Value {
    json!({
        "projectId": "prj_00000000000000000000000000000001",
        "name": name,
        "stage": "dev",
        "region": "local",
        "isolationModel": "pool",
        "surfaces": ["process"],
    })
}

pub(crate) fn release() -> Value {
    let image = format!("demo/shop@sha256:{}", "7".repeat(64));
    json!({
        "reference": "shop-1",
        "strategy": { "rollingHealthGated": { "maxSurge": 1, "maxUnavailable": 0 } },
        "components": { "shop": { "image": image, "version": "1.0.0", "replicas": 1 } },
    })
}

/// The nine endpoints of spec.md §1, by a client that knows nothing but what reflection tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nine_operations_are_called_by_what_reflection_tells() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;

    let made = client.call("RuntimeEnvironmentService.ProvisionEnvironment", wanted("shop")).await.unwrap();
    assert_eq!((&made["changed"], &made["dryRun"]), (&json!(true), &json!(false)), "{made}");
    let environment = host.environment(1, "shop").await.to_string();
    assert_eq!(made["result"]["environmentId"], json!(environment));
    let asked = json!({ "environmentId": environment });
    let found = client.call("RuntimeEnvironmentService.GetEnvironment", asked.clone()).await.unwrap();
    assert_eq!(found["status"], "provisioned", "{found}");

    let entry =
        json!({ "scope": "environment", "key": "greeting", "value": { "text": { "value": "hello" } } });
    let published = json!({ "environmentId": environment, "entries": [entry] });
    let published = client.call("RuntimeConfigurationService.PublishConfiguration", published).await.unwrap();
    assert_eq!(published["result"]["entries"][0]["value"]["text"]["value"], "hello", "{published}");

    let secret = "local://main/database/1";
    host.vault.keep(&secret.parse().unwrap());
    let bound = json!({
        "environmentId": environment, "module": "shop", "secret": secret,
        "identity": "local:shop", "delivery": "file:database",
    });
    let bound = client.call("SecretBindingService.BindSecret", bound).await.unwrap();
    assert_eq!(bound["result"]["status"], "bound", "{bound}");

    let policy = json!({
        "target": "process", "minReplicas": 1, "maxReplicas": 3,
        "rules": [{ "metric": "request-rate", "threshold": "10" }],
    });
    let policy = json!({ "environmentId": environment, "module": "shop", "policy": policy });
    let applied = client.call("RuntimeScalingService.ApplyScalingPolicy", policy).await.unwrap();
    assert_eq!(applied["result"]["policy"]["maxReplicas"], 3, "{applied}");

    let asked_for = json!({ "environmentId": environment, "release": release() });
    let asked_for = client.call("DeploymentService.RequestDeployment", asked_for).await.unwrap();
    let deployment = json!({ "deploymentId": asked_for["result"]["deploymentId"] });
    let found = client.call("DeploymentService.GetDeployment", deployment).await.unwrap();
    assert_eq!(found["release"]["strategy"]["rollingHealthGated"]["maxUnavailable"], 0, "{found}");

    let drift = client.call("RuntimeDriftDetectionService.GetEnvironmentDrift", asked).await.unwrap();
    assert_eq!(drift["environmentId"], json!(environment), "{drift}");

    let unknown = json!({ "serviceId": applied["result"]["serviceId"] });
    let health = client.call("RuntimeHealthService.GetServiceHealth", unknown).await;
    match health {
        Ok(health) => assert!(health["status"].is_string(), "{health}"),
        // The rollout has not come so far that there is a service.
        Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
    }
}

/// Clients that are generated from the contract know types instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_client_says_and_gets_the_same() {
    let host = served().await;
    let channel = channel(&host).await;
    let authorised = |mut request: Request<()>| {
        let token = format!("Bearer {ADMINISTRATOR}");
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        Ok(request)
    };
    let mut environments =
        typed::runtime_environment_service_client::RuntimeEnvironmentServiceClient::with_interceptor(
            channel, authorised,
        );
    let request = typed::ProvisionEnvironmentRequest {
        project_id: Some("prj_00000000000000000000000000000001".to_owned()),
        name: Some("shop".to_owned()),
        stage: Some("dev".to_owned()),
        region: Some("local".to_owned()),
        isolation_model: Some("pool".to_owned()),
        surfaces: vec!["process".to_owned()],
        ..Default::default()
    };
    let made = environments.provision_environment(request).await.unwrap().into_inner();
    let result = made.result.unwrap();
    assert_eq!(
        (made.changed, result.name.as_deref(), result.is_protected),
        (Some(true), Some("shop"), Some(false))
    );
    assert!(result.created_at.unwrap().seconds > 0);
    let request = typed::GetEnvironmentRequest { environment_id: result.environment_id.clone() };
    let found = environments.get_environment(request).await.unwrap();
    assert!(found.metadata().get("etag").is_some());
    assert_eq!(found.into_inner().environment_id, result.environment_id);
}

/// What the contract cannot say is no value of its own: nothing, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_absent_is_not_zero() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let listed = client.call("RuntimeEnvironmentService.ListEnvironments", json!({})).await;
    assert!(listed.is_ok(), "{listed:?}");
    let none =
        client.call("RuntimeEnvironmentService.ListEnvironments", json!({ "limit": 0 })).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument, "{none}");
    assert!(none.message().contains("limit"), "{none}");
    let missing = client.call("RuntimeEnvironmentService.GetEnvironment", json!({})).await.unwrap_err();
    assert!(missing.message().contains("environmentId"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_the_rule_and_the_remedy_and_where_the_log_has_it() {
    let host = served().await;
    host.faults.choose(|call| {
        (call.method == "infrastructure.up")
            .then_some(Fault::Before(runtime_ports::PortErrorKind::Unavailable))
    });
    let client = Client::of(&host, ADMINISTRATOR).await;
    let made = client.call("RuntimeEnvironmentService.ProvisionEnvironment", wanted("shop")).await.unwrap();
    let asked = json!({ "environmentId": made["result"]["environmentId"], "release": release() });
    let correlation = "cor_000000000000000000000000000000ff";
    let said = [("x-correlation-id", correlation)];
    let refused = client.call_with("DeploymentService.RequestDeployment", asked, &said).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(refused.metadata().get("x-correlation-id").unwrap(), correlation);
    let details = refused.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("REFUSED", "factory-runtime"));
    assert_eq!(info.metadata["rule"], "ENV-1");
    assert_eq!(info.metadata["correlationId"], correlation);
    assert!(!info.metadata["remedy"].is_empty());
    let measured = host.services.host().telemetry().meter.read();
    let told = format!("{measured:?}");
    assert!(
        told.contains("DeploymentService/RequestDeployment") && told.contains("FAILED_PRECONDITION"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_revisions_and_keys_travel_beside_the_message() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let provision = "RuntimeEnvironmentService.ProvisionEnvironment";
    let previewed =
        client.call_with(provision, wanted("shop"), &[("dry-run", "true")]).await.unwrap().into_inner();
    assert_eq!(previewed["dryRun"], true);
    let listed = client.call("RuntimeEnvironmentService.ListEnvironments", json!({})).await.unwrap();
    assert_eq!(listed.get("items").and_then(Value::as_array).map_or(0, Vec::len), 0, "{listed}");

    let key = [("idempotency-key", "once")];
    let first = client.call_with(provision, wanted("shop"), &key).await.unwrap();
    let again = client.call_with(provision, wanted("shop"), &key).await.unwrap();
    assert!(first.metadata().get("idempotency-replayed").is_none());
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    let other = client.call_with(provision, wanted("other"), &key).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument, "{other}");

    let environment = host.environment(1, "shop").await.to_string();
    let asked = json!({ "environmentId": environment });
    let found = client.call_with("RuntimeEnvironmentService.GetEnvironment", asked, &[]).await.unwrap();
    let etag = found.metadata().get("etag").unwrap().to_str().unwrap().to_owned();
    let stop = json!({ "environmentId": environment, "reason": "a storm" });
    let stopped =
        client.call_with("RuntimeEnvironmentService.StopTheLine", stop.clone(), &[("if-match", &etag)]).await;
    assert!(stopped.is_ok(), "{stopped:?}");
    let resume =
        client.call_with("RuntimeEnvironmentService.ResumeTheLine", stop, &[("if-match", &etag)]).await;
    assert_eq!(resume.unwrap_err().code(), Code::Aborted);
    for said in [("dry-run", "yes"), ("if-match", "r1"), ("grpc-timeout", "soon")] {
        let refused = client.call_with(provision, wanted("other"), &[said]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{said:?}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_none_and_such_as_are_too_much_are_refused_and_the_host_goes_on() {
    let mut options = GrpcOptions::default();
    (options.message_bytes, options.message_fields) = (4_096, 260);
    let host = served_with(options).await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let method = client.method("DeploymentService.RequestDeployment");
    let canary = prost_reflect::DynamicMessage::deserialize(
        method.input(),
        json!({ "release": { "strategy": { "canary": { "steps": vec![json!({}); 300] } } } }),
    );
    let text = |length: usize| {
        [vec![0x0a, 0x80 | (length & 0x7f) as u8, (length >> 7) as u8], vec![b'x'; length]].concat()
    };
    for (what, message, code) in [
        ("no fields", vec![0xff; 40], Code::InvalidArgument),
        ("cut off", vec![0x0a, 0x20, b'e'], Code::InvalidArgument),
        ("no text", vec![0x0a, 0x02, 0xff, 0xfe], Code::InvalidArgument),
        ("another type", vec![0x08, 0x01], Code::InvalidArgument),
        ("a field that the contract has not", vec![0xfa, 0x3e, 0x01, b'x'], Code::InvalidArgument),
        ("too long", text(5_000), Code::ResourceExhausted),
        ("too much", canary.unwrap().encode_to_vec(), Code::ResourceExhausted),
        ("groups without an end", vec![0x0b; 4_000], Code::ResourceExhausted),
        ("parts within parts", nested(120), Code::InvalidArgument),
    ] {
        let refused = client.send(&method, message, &[]).await.unwrap_err();
        assert_eq!(refused.code(), code, "{what}: {refused}");
        assert!(refused.get_error_details().error_info().is_some(), "{what}");
    }
    let twice = client.send_all(&method, vec![Vec::new(), Vec::new()]).await.unwrap_err();
    assert_eq!(twice.code(), Code::InvalidArgument, "{twice}");
    let none = client.send_all(&method, Vec::new()).await.unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument, "{none}");
    let listed = client.call("RuntimeEnvironmentService.ListEnvironments", json!({})).await;
    assert!(listed.is_ok(), "{listed:?}");
}

/// Groups of a field that is not known, within one another.
fn nested(depth: usize) -> Vec<u8> {
    [vec![0x1b; depth], vec![0x1c; depth]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_works_on_as_much_as_it_can_says_when_to_come_again() {
    let mut options = AdmissionOptions::default();
    options.requests = 0;
    let host = served_admitting(GrpcOptions::default(), &options).await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let refused = client.call("RuntimeEnvironmentService.ListEnvironments", json!({})).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_takes_longer_than_the_host_lets_it() {
    let mut options = GrpcOptions::default();
    options.timeout = Duration::from_millis(200);
    let host = served_with(options).await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    host.faults.freeze();
    let asked = json!({ "environmentId": sample::environment(1).to_string() });
    let refused = client.call("RuntimeEnvironmentService.GetEnvironment", asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    host.faults.thaw();
}

/// Shows X-13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_health_follows_its_store_and_needs_no_credentials() {
    let mut options = GrpcOptions::default();
    (options.health_period, options.health_watchers) = (Duration::from_millis(20), 1);
    let host = served_with(options).await;
    let mut health = HealthClient::new(channel(&host).await);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "factory.runtime.v1.DeploymentService"] {
        let told = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health.check(of("another")).await.unwrap_err().code(), Code::NotFound);
    let mut changes = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(changes.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let another = health.watch(of("")).await.unwrap_err();
    assert_eq!(another.code(), Code::ResourceExhausted, "{another}");
    let unavailable = Fault::Before(runtime_ports::PortErrorKind::Unavailable);
    host.faults.choose(move |call| (call.method == "store.check").then_some(unavailable));
    assert_eq!(changes.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(health.check(of("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    host.faults.choose(|_| None);
    assert_eq!(changes.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_may_keep_its_contract_to_itself() {
    let mut options = GrpcOptions::default();
    options.reflection = false;
    let host = served_with(options).await;
    assert_eq!(told(channel(&host).await).await.unwrap_err().code(), Code::Unimplemented);
}

/// REST, health checks of an orchestrator and gRPC, on one port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_and_grpc_are_served_on_one_port() {
    let host = served().await;
    let answer = rest(&host, "GET", "/readyz", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let client = Client::of(&host, ADMINISTRATOR).await;
    let unknown = client.method("RuntimeEnvironmentService.GetEnvironment");
    for path in ["/factory.runtime.v1.RuntimeEnvironmentService/Nothing", "/nobody.Knows/Nothing"] {
        let refused = post(&client, path).await;
        assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused}");
    }
    assert_eq!(client.send(&unknown, Vec::new(), &[]).await.unwrap_err().code(), Code::InvalidArgument);
    // A browser cannot send a message without being asked for leave.
    let plain =
        rest(&host, "GET", "/factory.runtime.v1.RuntimeEnvironmentService/GetEnvironment", "", "").await;
    assert!(!plain.starts_with("HTTP/1.1 200"), "{plain}");
}

async fn post(client: &Client, path: &'static str) -> Status {
    let mut health = tonic::client::Grpc::new(client.channel.clone());
    health.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
    let request = Request::new(HealthCheckRequest::default());
    health.unary(request, axum::http::uri::PathAndQuery::from_static(path), codec).await.unwrap_err()
}

pub(crate) async fn rest(host: &Served, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(host.address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A deployment is followed from its beginning, and on after any position, without loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_followed_and_goes_on_where_it_was_left() {
    let host = served().await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let environment = host.environment(1, "shop").await.to_string();
    let asked = json!({ "environmentId": environment, "release": release() });
    let asked = client.call("DeploymentService.RequestDeployment", asked).await.unwrap();
    let deployment = asked["result"]["deploymentId"].clone();
    let abort = json!({ "deploymentId": deployment, "reason": "to see it end" });
    client.call("DeploymentService.AbortDeployment", abort).await.unwrap();
    let watch = "DeploymentService.WatchDeployment";
    let mut followed = client.follow(watch, json!({ "deploymentId": deployment })).await.unwrap();
    let first = followed.next().await.unwrap().unwrap();
    let second = followed.next().await.unwrap().unwrap();
    assert_eq!((&first["happened"]["sequence"], &second["happened"]["sequence"]), (&json!(1), &json!(2)));
    assert_eq!(first["happened"]["id"], deployment);
    let after = json!({ "deploymentId": deployment, "after": first["position"] });
    let mut again = client.follow(watch, after).await.unwrap();
    assert_eq!(again.next().await.unwrap().unwrap(), second);

    let foreign = client.with(Some("2-administrator"));
    let refused = foreign.follow(watch, json!({ "deploymentId": deployment })).await.err().unwrap();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    host.grpc.end_streams();
    let ended = loop {
        if let Err(status) = again.next().await.unwrap() {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
}

/// Shows X-9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_asks_too_often_is_told_when_to_come_again_and_others_are_not() {
    let mut options = AdmissionOptions::default();
    (options.tenant_rate, options.tenant_burst) =
        (std::num::NonZeroU32::MIN, std::num::NonZeroU32::new(2).unwrap());
    let host = served_admitting(GrpcOptions::default(), &options).await;
    let client = Client::of(&host, ADMINISTRATOR).await;
    let list = "RuntimeEnvironmentService.ListEnvironments";
    client.call(list, json!({})).await.unwrap();
    // What is asked over REST counts as well.
    let authorization = format!("authorization: Bearer {ADMINISTRATOR}\r\n");
    let answer = rest(&host, "GET", "/runtime/environments", &authorization, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let refused = client.call(list, json!({})).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.get_error_details().retry_info().unwrap().retry_delay.is_some());
    client.with(Some("2-viewer")).call(list, json!({})).await.unwrap();
}
