//! One instance from its start to its end, with real processes.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use runtime_domain::surface::{InstanceState, Traffic};
use runtime_domain::time::Span;
use runtime_ports::PortErrorKind;
use runtime_ports::surface::ComputeSurface as _;
use runtime_process::ProcessSurface;

#[path = "fixtures/stage.rs"]
mod stage;
#[path = "fixtures/world.rs"]
mod world;

use stage::{Stage, ask, kill, poll_pause};
use world::{effect, key, revision, spec};

#[tokio::test]
async fn a_revision_serves_once_it_is_ready_and_routed_and_not_before() {
    let stage = Stage::new().await;
    stage.apply(1, "", 2).await;
    let seen = stage.ready(1, 2).await;
    assert_eq!(seen.traffic, None);
    assert_eq!(stage.ask("/").await.0, 503);
    stage.shift(Traffic::all_to(revision(1))).await;
    assert_eq!(stage.observe().await.traffic, Some(Traffic::all_to(revision(1))));
    assert_eq!(stage.ask("/").await, (200, revision(1).to_string()));
    assert_eq!(stage.surface().list(key().tenant, key().environment).await.expect("listed").len(), 1);
}

/// A path as it is named from where this process stands.
fn from_here(path: &Path) -> PathBuf {
    let up = std::env::current_dir()
        .expect("it stands somewhere")
        .components()
        .skip(1)
        .map(|_| "..")
        .collect::<PathBuf>();
    up.join(path.strip_prefix("/").expect("an absolute path"))
}

#[tokio::test]
async fn a_folder_that_is_named_from_where_the_host_stands_serves_as_well() {
    let stage = Stage::with(|options| options.root = from_here(&options.root)).await;
    stage.serve(1, "", 1).await;
    assert_eq!(stage.ask("/").await, (200, revision(1).to_string()));
}

#[tokio::test]
async fn an_image_is_unpacked_once_for_all_instances_and_jobs_of_its_digest() {
    let stage = Stage::new().await;
    let (one, other) = (spec(1, ""), spec(2, ""));
    let (first, second) = tokio::join!(
        stage.surface().apply(effect(1, 1), &one, 2),
        stage.surface().apply(effect(2, 1), &other, 2),
    );
    first.and(second).expect("applied");
    stage.ready(1, 2).await;
    stage.ready(2, 2).await;
    assert_eq!(stage.registry.unpacked.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_instance_sees_its_own_variables_and_nothing_of_the_host() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let (_, text) = stage.ask("/env").await;
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "FACTORY_ENVIRONMENT",
            "FACTORY_INSTANCE",
            "FACTORY_MODULE",
            "FACTORY_REVISION",
            "FACTORY_START",
            "FACTORY_STORAGE",
            "FACTORY_SURFACE",
            "FACTORY_TENANT",
            "FROM_IMAGE",
            "MODE",
            "OVERRIDDEN",
            "PATH",
            "PORT",
        ]
    );
    assert!(text.contains("OVERRIDDEN=component"), "{text}");
    assert!(text.contains(&format!("FACTORY_TENANT={}", key().tenant)), "{text}");
}

#[tokio::test]
async fn an_instance_that_is_never_ready_gets_no_request_and_says_why() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.apply(2, "never-ready", 1).await;
    let seen = stage
        .until("its trouble", |seen| {
            let trouble = seen.revisions.get(&revision(2)).and_then(|it| it.trouble.as_ref());
            trouble.is_some_and(|trouble| trouble.contains("503"))
        })
        .await;
    let broken = seen.revisions.get(&revision(2)).expect("it exists");
    assert_eq!(broken.instances[0].state, InstanceState::Starting);
    stage.shift(Traffic::Weighted(half(1, 2))).await;
    for _ in 0..20 {
        assert_eq!(stage.ask("/").await, (200, revision(1).to_string()));
    }
}

fn half(first: u128, second: u128) -> runtime_domain::surface::TrafficWeights {
    let share = runtime_domain::value::Percent::new(50).expect("a share");
    runtime_domain::surface::TrafficWeights::split(revision(first), share, revision(second))
}

#[tokio::test]
async fn an_instance_that_exits_at_once_is_started_again_with_growing_pauses_and_shows_its_output() {
    let stage = Stage::new().await;
    stage.apply(1, "exits", 1).await;
    let seen = stage
        .until("restarts", |seen| {
            seen.revisions.get(&revision(1)).is_some_and(|it| {
                it.restarts() >= 3 && it.instances[0].state == InstanceState::Exited { code: Some(3) }
            })
        })
        .await;
    let trouble = seen.revisions.get(&revision(1)).and_then(|it| it.trouble.clone()).expect("trouble");
    assert!(trouble.contains("code 3"), "{trouble}");
    assert!(trouble.contains("cannot find its configuration"), "{trouble}");
}

/// Buried: nomad#8439.
#[tokio::test]
async fn a_killed_replica_is_replaced_by_one_of_the_same_revision() {
    let stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    let pids = stage.pids(&revision(1)).await;
    kill(pids[0].parse().expect("a number"));
    stage.restarted(1, 2).await;
    assert_eq!(stage.pids(&revision(1)).await[1], pids[1]);
}

/// Buried: nomad#8439. Theirs: the replacement of a stable allocation came from the version that nobody had promoted yet. Ours: what takes the place of
/// an instance is of its own revision, and the one that comes has as many as before and no traffic.
#[tokio::test]
async fn a_stable_replica_that_is_killed_while_another_revision_comes_is_replaced_by_one_of_its_own() {
    let stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    stage.apply(2, "", 1).await;
    stage.ready(2, 1).await;
    let (stable, coming) = (stage.pids(&revision(1)).await, stage.pids(&revision(2)).await);
    kill(stable[0].parse().expect("a number"));
    let seen = stage.restarted(1, 2).await;
    assert_eq!((seen.ready(&revision(2)), seen.traffic), (1, Some(Traffic::all_to(revision(1)))));
    assert_eq!(stage.pids(&revision(1)).await[1], stable[1]);
    assert_eq!(stage.pids(&revision(2)).await, coming);
    for instance in &seen.revisions[&revision(1)].instances {
        let answer = ask(instance.address.as_ref().expect("it runs"), "/").await;
        assert_eq!(answer, (200, revision(1).to_string()));
    }
}

#[tokio::test]
async fn an_instance_whose_liveness_fails_is_replaced() {
    let stage = Stage::new().await;
    let mut wanted = spec(1, "");
    let mut probe = wanted.component.readiness.clone().expect("a probe");
    probe.path = runtime_domain::component::HttpPath::new("/alive").expect("a path");
    wanted.component.liveness = Some(probe);
    stage.surface().apply(effect(1, 1), &wanted, 1).await.expect("applied");
    let seen = stage.ready(1, 1).await;
    let address = seen.revisions[&revision(1)].instances[0].address.clone().expect("it runs");
    let before = stage.pids(&revision(1)).await;
    ask(&address, "/unwell").await;
    stage.restarted(1, 1).await;
    assert_ne!(stage.pids(&revision(1)).await, before);
}

#[tokio::test]
async fn an_instance_that_ignores_being_asked_to_end_is_killed_after_its_grace() {
    let stage = Stage::new().await;
    let mut wanted = spec(1, "stubborn");
    wanted.component.termination_grace = Span::from_millis(200);
    stage.surface().apply(effect(1, 1), &wanted, 1).await.expect("applied");
    stage.ready(1, 1).await;
    stage.retire(1).await;
    stage.gone(1).await;
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test]
async fn what_an_instance_forked_ends_with_it() {
    let stage = Stage::new().await;
    stage.serve(1, "forks", 1).await;
    assert_eq!(stage.processes().len(), 2);
    stage.retire(1).await;
    stage.gone(1).await;
    assert_eq!(stage.processes(), Vec::<u32>::new());
}

#[tokio::test]
async fn without_a_readiness_probe_an_instance_is_ready_once_it_listens() {
    let stage = Stage::new().await;
    for (number, mode) in [(1, ""), (2, "deaf")] {
        let mut wanted = spec(number, mode);
        wanted.component.readiness = None;
        stage.surface().apply(effect(number, 1), &wanted, 1).await.expect("applied");
    }
    stage.ready(1, 1).await;
    let seen = stage
        .until("trouble", |seen| seen.revisions.get(&revision(2)).is_some_and(|it| it.trouble.is_some()))
        .await;
    assert_eq!(seen.ready(&revision(2)), 0);
}

#[tokio::test]
async fn scaling_down_stops_the_newest_instances() {
    let stage = Stage::new().await;
    stage.serve(1, "", 3).await;
    let before = stage.pids(&revision(1)).await;
    stage.scale(1, 1).await;
    stage
        .until("one instance", |seen| {
            seen.revisions.get(&revision(1)).is_some_and(|it| it.instances.len() == 1 && it.wanted == 1)
        })
        .await;
    assert_eq!(stage.pids(&revision(1)).await, before[..1]);
}

#[tokio::test]
async fn a_port_that_another_program_takes_first_costs_a_start_and_no_restart() {
    let stage = Stage::new().await;
    stage.apply(1, "late", 1).await;
    let seen = stage
        .until("its first port", |seen| {
            seen.revisions.get(&revision(1)).is_some_and(|it| it.instances[0].address.is_some())
        })
        .await;
    let taken = seen.revisions[&revision(1)].instances[0].address.clone().expect("it runs");
    let _thief = TcpListener::bind(&taken).expect("the workload does not listen yet");
    let seen = stage.ready(1, 1).await;
    let instance = &seen.revisions[&revision(1)].instances[0];
    assert_ne!(instance.address.as_ref(), Some(&taken));
    assert_eq!(instance.restarts, 0);
}

#[tokio::test]
async fn an_endpoint_port_in_use_is_named_and_nothing_is_begun() {
    let held = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    let port = held.local_addr().expect("an address").port();
    let mut stage = Stage::empty(|_| {});
    let mut options = stage.options();
    options.endpoint_ports.insert(key(), port);
    let surface = ProcessSurface::open(options).await.expect("opened");
    let error = surface.apply(effect(1, 1), &spec(1, ""), 1).await.expect_err("the port is in use");
    assert_eq!(error.kind(), PortErrorKind::Exhausted);
    assert!(error.message().contains(&format!("port {port}")), "{error}");
    assert_eq!(stage.processes(), Vec::<u32>::new());
    drop(held);
    surface.apply(effect(1, 1), &spec(1, ""), 1).await.expect("the port is free");
    let seen = surface.observe(&key()).await.expect("observed");
    assert_eq!(seen.endpoint, Some(format!("http://127.0.0.1:{port}")));
    surface.destroy_all().await.expect("removed");
}

#[tokio::test]
async fn a_release_that_cannot_be_is_refused_and_the_previous_one_still_serves() {
    let stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    let before = stage.observe().await.revisions;
    let mut unknown = spec(2, "");
    unknown.component.tuple.image = runtime_domain::component::ImageReference::new(&world::image('0'))
        .expect("legal")
        .try_into()
        .expect("pinned");
    let mut elsewhere = spec(2, "");
    elsewhere.component.surface = runtime_domain::surface::SurfaceKind::Kubernetes;
    let mut changed = spec(1, "");
    changed.component.arguments = vec!["other".to_owned()];
    for (wanted, kind) in [
        (unknown, PortErrorKind::NotFound),
        (elsewhere, PortErrorKind::Unsupported),
        (changed, PortErrorKind::Invalid),
    ] {
        let refused = stage.surface().apply(effect(2, 1), &wanted, 1).await.expect_err("it cannot be");
        assert_eq!(refused.kind(), kind, "{refused}");
    }
    let missing = Traffic::all_to(revision(7));
    let refused = stage.surface().shift_traffic(effect(2, 2), &key(), &missing).await;
    assert_eq!(refused.expect_err("it does not exist").kind(), PortErrorKind::NotFound);
    assert_eq!(stage.observe().await.revisions, before);
    assert_eq!(stage.ask("/").await.0, 200);
}

#[tokio::test]
async fn a_host_that_was_replaced_changes_nothing() {
    let stage = Stage::new().await;
    let mut newer = effect(1, 1);
    newer.fence.0 = 7;
    stage.surface().apply(newer, &spec(1, ""), 1).await.expect("applied");
    let refused = stage.surface().scale(effect(1, 2), &key(), &revision(1), 5).await.expect_err("it is old");
    assert_eq!(refused.kind(), PortErrorKind::Fenced);
    assert_eq!(stage.observe().await.revisions[&revision(1)].wanted, 1);
}

#[tokio::test]
async fn repeating_an_effect_changes_nothing() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        stage.surface().apply(effect(1, 1), &spec(1, ""), 2).await.expect("applied");
    }
    stage.ready(1, 2).await;
    let pids = stage.pids(&revision(1)).await;
    stage.surface().scale(effect(1, 2), &key(), &revision(1), 2).await.expect("scaled");
    stage.surface().apply(effect(1, 1), &spec(1, ""), 2).await.expect("recognised");
    assert_eq!(stage.pids(&revision(1)).await, pids);
    for _ in 0..2 {
        stage.surface().retire(effect(1, 3), &key(), &revision(1)).await.expect("retired");
    }
    stage.gone(1).await;
    stage.surface().retire(effect(1, 4), &key(), &revision(1)).await.expect("it is gone");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_leave_an_effect_half_done() {
    for polls in 0..6 {
        let stage = Stage::new().await;
        let wanted = spec(1, "");
        {
            let mut apply = stage.surface().apply(effect(1, 1), &wanted, 2);
            for _ in 0..polls {
                let polled = futures::poll!(apply.as_mut());
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        stage.surface().apply(effect(1, 1), &wanted, 2).await.expect("applied");
        stage.ready(1, 2).await;
        assert_eq!(stage.processes().len(), 2, "dropped after {polls} polls");
    }
}

#[tokio::test]
async fn a_log_past_its_limit_is_rotated() {
    let stage = Stage::new().await;
    stage.serve(1, "chatty", 1).await;
    let logs = stage.component_folder().join("logs");
    let rotated = || {
        std::fs::read_dir(&logs)
            .expect("logs")
            .any(|entry| entry.expect("readable").path().extension().is_some_and(|it| it == "1"))
    };
    let seen = tokio::time::timeout(world::PATIENCE, async {
        while !rotated() {
            stage.ask("/").await;
            poll_pause().await;
        }
    });
    seen.await.expect("rotated");
    stage.retire(1).await;
    stage.gone(1).await;
    assert_eq!(std::fs::read_dir(&logs).expect("logs").count(), 0);
}

#[tokio::test]
async fn a_destroyed_environment_leaves_neither_processes_nor_files() {
    let stage = Stage::new().await;
    stage.serve(1, "", 2).await;
    let address = stage.address().await;
    stage.surface().destroy_environment(key().tenant, key().environment).await.expect("destroyed");
    assert_eq!(stage.processes(), Vec::<u32>::new());
    assert!(!stage.component_folder().exists());
    assert!(stage.observe().await.revisions.is_empty());
    assert_eq!(ask(&address, "/").await.0, 0);
    stage.surface().destroy_environment(key().tenant, key().environment).await.expect("nothing is left");
}

#[tokio::test]
async fn a_folder_is_one_host_s_at_a_time() {
    let mut stage = Stage::new().await;
    let options = stage.options();
    let refused = ProcessSurface::open(options).await.expect_err("it is open");
    assert_eq!(refused.kind(), PortErrorKind::Unavailable);
    assert!(refused.message().contains("another host"), "{refused}");
}

#[tokio::test]
async fn a_surface_that_was_shut_down_leaves_the_folder_to_the_next_and_touches_nothing_in_it() {
    let mut stage = Stage::new().await;
    stage.serve(1, "", 1).await;
    stage.surface().shutdown().await;
    let options = stage.options();
    let next = ProcessSurface::open(options).await.expect("the folder is let go of");
    let refused = stage.surface().destroy_all().await.expect_err("it is the next one's");
    assert_eq!(refused.kind(), PortErrorKind::Unavailable);
    assert_eq!(next.observe(&key()).await.expect("observed").revisions.len(), 1);
    assert_eq!(stage.processes().len(), 1);
    next.destroy_all().await.expect("destroyed");
}

/// Where the host is root; elsewhere there is nobody to become.
#[tokio::test]
async fn instances_run_as_their_places_user_through_every_stage_of_their_life() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut stage = Stage::empty(|options| options.isolation.users = Some(220_000..=220_009));
    let open_to_others = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(stage.root(), open_to_others).expect("it is ours");
    stage.open().await;
    stage.serve(1, "", 2).await;
    let users = |stage: &Stage| {
        let of = |pid| std::fs::metadata(format!("/proc/{pid}")).map(|process| process.uid()).ok();
        stage.processes().into_iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(users(&stage), [220_000; 2]);
    // One that died is replaced as the same user, and the next host adopts both.
    kill(stage.processes()[0]);
    stage.restarted(1, 2).await;
    assert_eq!(users(&stage), [220_000; 2]);
    stage.shutdown().await;
    stage.open().await;
    stage.ready(1, 2).await;
    assert_eq!((users(&stage), stage.ask("/").await.0), (vec![220_000; 2], 200));
    stage.retire(1).await;
    stage.gone(1).await;
    assert!(stage.processes().is_empty());
}
