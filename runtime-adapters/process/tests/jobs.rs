//! Jobs run once, and their end is known.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use runtime_domain::component::JobSpec;
use runtime_domain::surface::{EffectId, FencingToken};
use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_ports::job::{JobRequest, JobRunner as _, JobState};
use serde_json::json;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Stage, kill, poll_pause};
use world::key;

fn request(ordinal: u32, variables: serde_json::Value) -> JobRequest {
    let job: JobSpec = serde_json::from_value(json!({
        "name": "migrate",
        "image": world::image('a'),
        "arguments": ["job"],
        "variables": variables,
        "timeout": "30s",
    }))
    .expect("a job");
    JobRequest {
        effect: EffectId::of(world::deployment(1), ordinal),
        fence: FencingToken(1),
        tenant: key().tenant,
        environment: key().environment,
        job,
    }
}

async fn state(stage: &Stage, request: &JobRequest) -> JobState {
    stage.surface().state(request.tenant, request.effect).await.expect("known")
}

async fn ended(stage: &Stage, request: &JobRequest) -> JobState {
    let ended = tokio::time::timeout(world::PATIENCE, async {
        loop {
            match state(stage, request).await {
                JobState::Running => poll_pause().await,
                ended => return ended,
            }
        }
    });
    ended.await.expect("it ends")
}

fn runs(stage: &Stage) -> Vec<String> {
    let text = std::fs::read_to_string(stage.root().join("runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Buried: good_job#274.
#[tokio::test]
async fn a_job_runs_once_for_its_effect_however_often_it_is_started() {
    let mut stage = Stage::new().await;
    let request = request(1, json!({ "RUNS": stage.root().join("runs") }));
    assert_eq!(state(&stage, &request).await, JobState::Absent);
    let (first, second) = tokio::join!(stage.surface().start(&request), stage.surface().start(&request));
    first.and(second).expect("started");
    assert_eq!(ended(&stage, &request).await, JobState::Succeeded);
    stage.shutdown().await;
    stage.open().await;
    stage.surface().start(&request).await.expect("it is known");
    assert_eq!(state(&stage, &request).await, JobState::Succeeded);
    assert_eq!(runs(&stage).len(), 1);
}

#[tokio::test]
async fn arguments_reach_a_job_as_they_are_and_are_never_interpreted() {
    let stage = Stage::new().await;
    let mut request = request(1, json!({ "RUNS": stage.root().join("runs") }));
    let hostile = ["$(exit 9)", "a b", "'", "\"; exit 8; \"", "*", "$1"];
    request.job.arguments.extend(hostile.map(str::to_owned));
    stage.surface().start(&request).await.expect("started");
    assert_eq!(ended(&stage, &request).await, JobState::Succeeded);
    assert_eq!(runs(&stage), [format!("ran {hostile:?}")]);
}

#[tokio::test]
async fn a_job_that_fails_shows_its_exit_code_and_its_last_output() {
    let stage = Stage::new().await;
    let request = request(1, json!({ "CODE": "5" }));
    stage.surface().start(&request).await.expect("started");
    let JobState::Failed { detail } = ended(&stage, &request).await else { panic!("it fails") };
    assert!(detail.contains("code 5") && detail.contains("did what it could"), "{detail}");
}

#[tokio::test]
async fn a_job_that_runs_out_of_its_time_is_stopped_and_has_failed() {
    let stage = Stage::new().await;
    let mut request = request(1, json!({ "MILLIS": "600000" }));
    request.job.timeout = Span::from_millis(100);
    stage.surface().start(&request).await.expect("started");
    let JobState::Failed { detail } = ended(&stage, &request).await else { panic!("it fails") };
    assert!(detail.contains("within 100ms"), "{detail}");
    let gone = tokio::time::timeout(world::PATIENCE, async {
        while !stage.processes().is_empty() {
            poll_pause().await;
        }
    });
    gone.await.expect("nothing of it is left");
}

#[tokio::test]
async fn a_job_goes_on_without_its_host_and_its_time_is_not_begun_anew() {
    let mut stage = Stage::new().await;
    let mut request = request(1, json!({ "MILLIS": "600000" }));
    request.job.timeout = Span::from_millis(700);
    stage.surface().start(&request).await.expect("started");
    stage.shutdown().await;
    let began = std::time::Instant::now();
    stage.open().await;
    assert_eq!(state(&stage, &request).await, JobState::Running);
    assert!(matches!(ended(&stage, &request).await, JobState::Failed { .. }));
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn a_job_that_ended_while_no_host_watched_is_known() {
    let mut stage = Stage::new().await;
    let request = request(1, json!({ "MILLIS": "200", "CODE": "4" }));
    stage.surface().start(&request).await.expect("started");
    stage.shutdown().await;
    let gone = tokio::time::timeout(world::PATIENCE, async {
        while !stage.processes().is_empty() {
            poll_pause().await;
        }
    });
    gone.await.expect("it ends");
    stage.open().await;
    assert!(
        matches!(state(&stage, &request).await, JobState::Failed { detail } if detail.contains("code 4"))
    );
}

#[tokio::test]
async fn a_job_whose_process_vanished_is_unknown_and_neither_failed_nor_done() {
    let mut stage = Stage::new().await;
    let request = request(1, json!({ "MILLIS": "600000" }));
    stage.surface().start(&request).await.expect("started");
    stage.shutdown().await;
    stage.processes().into_iter().for_each(kill);
    stage.open().await;
    assert!(matches!(state(&stage, &request).await, JobState::Unknown { .. }));
    stage.surface().start(&request).await.expect("it was started before");
    assert!(matches!(state(&stage, &request).await, JobState::Unknown { .. }));
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_job_of_a_host_that_was_replaced_is_not_started() {
    let stage = Stage::new().await;
    let mut newer = request(1, json!({}));
    newer.fence = FencingToken(7);
    stage.surface().start(&newer).await.expect("started");
    let older = request(2, json!({}));
    let refused = stage.surface().start(&older).await.expect_err("it is old");
    assert_eq!(refused.kind(), PortErrorKind::Fenced);
    assert_eq!(state(&stage, &older).await, JobState::Absent);
    ended(&stage, &newer).await;
}

#[tokio::test]
async fn a_destroyed_environment_takes_its_jobs_with_it() {
    let stage = Stage::new().await;
    let request = request(1, json!({ "MILLIS": "600000" }));
    stage.surface().start(&request).await.expect("started");
    stage.surface().destroy_environment(key().tenant, key().environment).await.expect("destroyed");
    assert_eq!(stage.processes(), Vec::<u32>::new());
    assert_eq!(state(&stage, &request).await, JobState::Absent);
}

/// What is on disk where a host died after it wrote the job down and before it knew the process.
fn forget_the_process(stage: &Stage, request: &JobRequest) -> std::path::PathBuf {
    let deployment = stage.root().join("jobs").join(request.tenant.to_string());
    let folder = deployment.join(request.effect.owner.to_string()).join(request.effect.ordinal.to_string());
    let text = std::fs::read_to_string(folder.join("job.json")).expect("its record");
    let mut record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let process = record.pointer_mut("/process").expect("its process is kept");
    *process = serde_json::Value::Null;
    std::fs::write(folder.join("job.json"), record.to_string()).expect("written");
    std::fs::remove_file(folder.join("status")).expect("its exit code is kept");
    folder
}

#[tokio::test]
async fn a_job_whose_host_died_before_its_command_was_run_is_started_by_the_next() {
    let mut stage = Stage::new().await;
    let file = stage.root().join("runs").display().to_string();
    let request = request(1, json!({ "RUNS": file }));
    stage.surface().start(&request).await.expect("started");
    assert_eq!(ended(&stage, &request).await, JobState::Succeeded);
    stage.shutdown().await;
    let folder = forget_the_process(&stage, &request);
    std::fs::remove_file(folder.join("begun")).expect("that it was begun is kept");
    let before = runs(&stage).len();
    stage.open().await;
    assert_eq!(state(&stage, &request).await, JobState::Absent);
    stage.surface().start(&request).await.expect("started");
    assert_eq!(ended(&stage, &request).await, JobState::Succeeded);
    assert_eq!(runs(&stage).len(), before + 1);
}

#[tokio::test]
async fn a_job_whose_command_was_run_is_not_started_again_though_its_process_is_not_known() {
    let mut stage = Stage::new().await;
    let file = stage.root().join("runs").display().to_string();
    let request = request(1, json!({ "RUNS": file }));
    stage.surface().start(&request).await.expect("started");
    assert_eq!(ended(&stage, &request).await, JobState::Succeeded);
    stage.shutdown().await;
    forget_the_process(&stage, &request);
    let before = runs(&stage).len();
    stage.open().await;
    stage.surface().start(&request).await.expect("it was started before");
    assert!(matches!(state(&stage, &request).await, JobState::Unknown { .. }));
    assert_eq!(runs(&stage).len(), before);
}
