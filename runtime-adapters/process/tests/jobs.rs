//! Jobs run once, and their end is known.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use runtime_domain::component::JobSpec;
use runtime_domain::surface::{EffectId, FencingToken};
use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_ports::job::{JobRequest, JobRunner as _, JobState};
use runtime_process::ProcessSurface;
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
        works_for: None,
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
    std::fs::remove_file(folder.join("run/status")).expect("its exit code is kept");
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
    std::fs::remove_file(folder.join("run/begun")).expect("that it was begun is kept");
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

/// A surface on which each place has a user of its own, whose image is a shell. `None` where the host is not root, and may not change users.
async fn of_many_users(folder: &tempfile::TempDir) -> Option<ProcessSurface> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let open_to_others = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder.path(), open_to_others).expect("it is ours");
    let (mut options, _) = world::options(&folder.path().join("surface"), Path::new("/bin/sh"));
    options.isolation.users = Some(210_000..=210_009);
    Some(ProcessSurface::open(options).await.expect("opened"))
}

async fn told_by(surface: &ProcessSurface, request: &JobRequest) -> JobState {
    surface.start(request).await.expect("started");
    let ended = tokio::time::timeout(world::PATIENCE, async {
        loop {
            match surface.state(request.tenant, request.effect).await.expect("known") {
                JobState::Running => poll_pause().await,
                ended => return ended,
            }
        }
    });
    ended.await.expect("it ends")
}

#[tokio::test]
async fn a_job_runs_as_its_tenants_user_and_reads_nothing_of_anothers() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(surface) = of_many_users(&folder).await else { return };
    let script = |ordinal, text: &str| {
        let mut request = request(ordinal, json!({}));
        request.job.arguments = vec!["-c".to_owned(), text.to_owned()];
        request
    };
    // One that goes well leaves its exit code, and a file of its own for the next.
    let first = script(1, "echo precious >\"$(tr '\\0' '\\n' </proc/$PPID/cmdline | grep '/begun$')-kept\"");
    assert_eq!(told_by(&surface, &first).await, JobState::Succeeded);
    let told = told_by(&surface, &script(2, "id -u; id -G; exit 3")).await;
    let JobState::Failed { detail } = &told else { panic!("{told:?}") };
    assert!(detail.contains("210000 | 210000"), "{detail}");
    // Neither the other tenant's files nor the host's can be read.
    let kept = format!("jobs/{}/{}/1/run/begun-kept", first.tenant, first.effect.owner);
    let kept = folder.path().join("surface").join(kept);
    assert_eq!(std::fs::read_to_string(&kept).expect("it is there"), "precious\n");
    let mut other = script(1, &format!("id -u; cat {} 2>&1", kept.display()));
    other.tenant = runtime_domain::id::TenantId::from_uuid(uuid::Uuid::from_u128(77));
    let told = told_by(&surface, &other).await;
    let JobState::Failed { detail } = &told else { panic!("{told:?}") };
    assert!(
        detail.contains("210001") && detail.contains("denied") && !detail.contains("precious"),
        "{detail}"
    );
    surface.shutdown().await;
}

/// It may do with its own files what it likes.
#[tokio::test]
async fn whatever_a_job_leaves_in_place_of_its_exit_code_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0\n").expect("written");
    let Some(surface) = of_many_users(&folder).await else { return };
    let link = format!("ln -s {} $s", secret.display());
    let hostile = [
        "mkfifo $s",
        "mkdir $s",
        &link,
        "yes >$s & p=$!; while ! test -s $s; do :; done; kill $p",
        "printf 0 >$s",
    ];
    for (ordinal, make) in (1..).zip(hostile) {
        let find = "s=$(tr '\\0' '\\n' </proc/$PPID/cmdline | grep '/status$')";
        let mut request = request(ordinal, json!({}));
        request.job.arguments = vec!["-c".to_owned(), format!("{find}; {make}; kill -9 $PPID")];
        let told = told_by(&surface, &request).await;
        assert!(matches!(told, JobState::Unknown { .. }), "{make}: {told:?}");
    }
    surface.shutdown().await;
}
