use std::collections::BTreeMap;

use proptest::prelude::*;
use runtime_domain::environment::{EnvironmentStage, IsolationModel};
use runtime_domain::surface::{EffectId, FencingToken};
use runtime_ports::infrastructure::{ResourceChange, ResourceCondition};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn context() -> EffectContext {
    EffectContext { effect: EffectId::of(environment(1), 1), fence: FencingToken(1) }
}

pub(super) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn environment(number: u128) -> EnvironmentId {
    EnvironmentId::from_uuid(Uuid::from_u128(number))
}

pub(super) fn blueprint() -> EnvironmentBlueprint {
    EnvironmentBlueprint {
        tenant: tenant(1),
        environment: environment(1),
        name: "shop".parse().unwrap(),
        stage: EnvironmentStage::Dev,
        region: "local".parse().unwrap(),
        isolation_model: IsolationModel::Silo,
        surfaces: BTreeSet::from([SurfaceKind::Process]),
        egress_allow_list: BTreeSet::from(["api.example.com:443".to_owned()]),
        capacity: runtime_domain::tenancy::ResourceQuota::LARGEST,
    }
}

/// Every path below `root`, relative to it, sorted.
pub(super) fn every_path(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

struct Fixture {
    root: TempDir,
    engine: DirectoryEngine,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = DirectoryEngine::open(root.path()).unwrap();
        Self { root, engine }
    }

    fn folder(&self) -> PathBuf {
        self.engine.place(tenant(1), environment(1)).folder
    }

    async fn preview(&self, blueprint: &EnvironmentBlueprint) -> BTreeMap<String, ResourceChange> {
        let lines = self.engine.preview(blueprint).await.unwrap();
        lines.into_iter().map(|line| (line.resource, line.change)).collect()
    }
}

#[tokio::test]
async fn up_makes_real_folders_and_says_where_they_are() {
    let fixture = Fixture::new();
    let resources = fixture.engine.up(context(), &blueprint()).await.unwrap();
    let stack = format!("directory/{}", environment(1));
    assert_eq!(resources.stack_ref, stack);
    let [target] = resources.compute_targets.as_slice() else { panic!("{resources:?}") };
    assert_eq!(target.surface, SurfaceKind::Process);
    assert_eq!(
        target.resource_ids,
        ["state", "artifacts", "logs"].map(|part| format!("{stack}/process/{part}"))
    );
    for name in ["root", "process.state", "process.artifacts", "process.logs"] {
        assert!(Path::new(&resources.outputs[name]).is_dir(), "{name}");
    }
    assert_eq!(resources.network_boundary.egress_allow_list, blueprint().egress_allow_list);
}

#[tokio::test]
async fn up_again_changes_nothing_and_keeps_what_workloads_wrote() {
    let fixture = Fixture::new();
    let first = fixture.engine.up(context(), &blueprint()).await.unwrap();
    fs::write(Path::new(&first.outputs["process.state"]).join("data"), "precious").unwrap();
    let before = every_path(fixture.root.path());
    let modified = fs::metadata(fixture.folder().join("environment.json")).unwrap().modified().unwrap();
    assert_eq!(fixture.engine.up(context(), &blueprint()).await.unwrap(), first);
    assert_eq!(every_path(fixture.root.path()), before);
    let again = fs::metadata(fixture.folder().join("environment.json")).unwrap().modified().unwrap();
    assert_eq!(again, modified);
}

#[tokio::test]
async fn preview_says_what_up_will_do_and_changes_nothing() {
    let fixture = Fixture::new();
    let before = every_path(fixture.root.path());
    let lines = fixture.preview(&blueprint()).await;
    assert!(lines.values().all(|change| *change == ResourceChange::Create), "{lines:?}");
    assert_eq!(lines.len(), 4);
    assert_eq!(every_path(fixture.root.path()), before);

    fixture.engine.up(context(), &blueprint()).await.unwrap();
    let lines = fixture.preview(&blueprint()).await;
    assert!(lines.values().all(|change| *change == ResourceChange::Keep), "{lines:?}");

    fs::remove_dir(fixture.folder().join("targets/process/logs")).unwrap();
    let lines = fixture.preview(&blueprint()).await;
    let stack = format!("directory/{}", environment(1));
    assert_eq!(lines[&format!("{stack}/process/logs")], ResourceChange::Create);
    assert_eq!(lines[&format!("{stack}/process/state")], ResourceChange::Keep);
    assert!(!fixture.folder().join("targets/process/logs").exists());
}

#[tokio::test]
async fn refresh_tells_what_was_removed_and_what_was_added_behind_the_engines_back() {
    let fixture = Fixture::new();
    let findings = async || {
        let found = fixture.engine.refresh(&blueprint()).await.unwrap();
        found.into_iter().map(|finding| (finding.resource, finding.condition)).collect::<BTreeMap<_, _>>()
    };
    let stack = format!("directory/{}", environment(1));
    assert!(findings().await.values().all(|condition| *condition == ResourceCondition::Missing));
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    assert!(findings().await.values().all(|condition| *condition == ResourceCondition::Present));
    fs::remove_dir(fixture.folder().join("targets/process/logs")).unwrap();
    for foreign in ["notes", "targets/notes", "targets/process/notes"] {
        fs::write(fixture.folder().join(foreign), "").unwrap();
    }
    let before = every_path(fixture.root.path());
    let found = findings().await;
    assert_eq!(found[&format!("{stack}/process/logs")], ResourceCondition::Missing);
    assert_eq!(found[&format!("{stack}/process/state")], ResourceCondition::Present);
    for foreign in ["notes", "targets/notes", "process/notes"] {
        assert_eq!(found[&format!("{stack}/{foreign}")], ResourceCondition::Foreign);
    }
    assert_eq!(every_path(fixture.root.path()), before);
    fs::remove_dir_all(fixture.folder()).unwrap();
    let found = findings().await;
    assert!(found.len() == 4 && found.values().all(|condition| *condition == ResourceCondition::Missing));
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    assert!(findings().await.values().all(|condition| *condition == ResourceCondition::Present));
}

#[tokio::test]
async fn a_surface_that_is_no_longer_wanted_is_previewed_as_deleted_and_then_is() {
    let mut fixture = Fixture::new();
    fixture.engine = fixture.engine.with_surfaces([SurfaceKind::Process, SurfaceKind::Functions]);
    let mut wider = blueprint();
    wider.surfaces.insert(SurfaceKind::Functions);
    fixture.engine.up(context(), &wider).await.unwrap();
    let lines = fixture.preview(&blueprint()).await;
    assert_eq!(lines[&format!("directory/{}/functions", environment(1))], ResourceChange::Delete);
    let resources = fixture.engine.up(context(), &blueprint()).await.unwrap();
    assert_eq!(resources.compute_targets.len(), 1);
    assert!(!fixture.folder().join("targets/functions").exists());
    assert!(fixture.folder().join("targets/process/state").exists());
}

#[tokio::test]
async fn foreign_entries_keep_a_surface_that_is_no_longer_wanted_from_being_removed() {
    let mut fixture = Fixture::new();
    fixture.engine = fixture.engine.with_surfaces([SurfaceKind::Process, SurfaceKind::Functions]);
    let mut wider = blueprint();
    wider.surfaces.insert(SurfaceKind::Functions);
    fixture.engine.up(context(), &wider).await.unwrap();
    fs::write(fixture.folder().join("targets/functions/notes"), "precious").unwrap();
    let before = every_path(fixture.root.path());
    let error = fixture.engine.up(context(), &blueprint()).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Invalid);
    assert_eq!(every_path(fixture.root.path()), before);
}

#[tokio::test]
async fn a_damaged_mark_protects_the_folder_from_being_removed() {
    let fixture = Fixture::new();
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    fs::write(fixture.folder().join(".factory-runtime.json"), "{").unwrap();
    let before = every_path(fixture.root.path());
    let error = fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Corrupt);
    assert!(error.message().contains("move the environment's folder away"), "{error}");
    assert_eq!(every_path(fixture.root.path()), before);
}

#[tokio::test]
async fn another_stage_or_region_is_refused_by_env_2_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    let before = every_path(fixture.root.path());
    let prod = EnvironmentBlueprint { stage: EnvironmentStage::Prod, ..blueprint() };
    let elsewhere = EnvironmentBlueprint { region: "elsewhere".parse().unwrap(), ..blueprint() };
    for changed in [prod, elsewhere] {
        let up = fixture.engine.up(context(), &changed).await.unwrap_err();
        let preview = fixture.engine.preview(&changed).await.unwrap_err();
        for error in [up, preview] {
            assert_eq!(error.kind(), PortErrorKind::Invalid);
            assert!(error.message().contains("ENV-2"), "{error}");
        }
    }
    assert_eq!(every_path(fixture.root.path()), before);
    fixture.engine.up(context(), &blueprint()).await.unwrap();
}

#[tokio::test]
async fn a_surface_that_is_not_supported_is_refused_before_anything_is_made() {
    let fixture = Fixture::new();
    let mut wanted = blueprint();
    wanted.surfaces.insert(SurfaceKind::Kubernetes);
    let error = fixture.engine.up(context(), &wanted).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Unsupported);
    assert!(error.message().contains("kubernetes") && error.message().contains("[process]"), "{error}");
    wanted.surfaces.clear();
    assert_eq!(fixture.engine.up(context(), &wanted).await.unwrap_err().kind(), PortErrorKind::Invalid);
    assert!(every_path(fixture.root.path()).is_empty());
}

#[tokio::test]
async fn destroy_removes_the_environment_alone_and_succeeds_again() {
    let fixture = Fixture::new();
    let neighbour = EnvironmentBlueprint { environment: environment(2), ..blueprint() };
    fixture.engine.up(context(), &neighbour).await.unwrap();
    let before = every_path(fixture.root.path());
    let resources = fixture.engine.up(context(), &blueprint()).await.unwrap();
    fs::write(Path::new(&resources.outputs["process.logs"]).join("log"), "line").unwrap();
    for _ in 0..2 {
        fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap();
        assert_eq!(every_path(fixture.root.path()), before);
    }
    fixture.engine.destroy(context(), tenant(9), environment(9)).await.unwrap();
    let others = format!("{}", tenant(9));
    let mut after = every_path(fixture.root.path());
    after.retain(|path| !path.starts_with(&others));
    assert_eq!(after, before);
}

/// Buried: Capsule CVE-2024-39690.
#[tokio::test]
async fn another_tenant_cannot_destroy_or_take_over_an_environment() {
    let fixture = Fixture::new();
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    let before = every_path(fixture.root.path());
    fixture.engine.destroy(context(), tenant(2), environment(1)).await.unwrap();
    // Its own folder keeps the token that it came with.
    let mut after = every_path(fixture.root.path());
    after.retain(|path| !path.starts_with(&tenant(2).to_string()));
    assert_eq!(after, before);
    let theirs = EnvironmentBlueprint { tenant: tenant(2), stage: EnvironmentStage::Prod, ..blueprint() };
    let resources = fixture.engine.up(context(), &theirs).await.unwrap();
    assert!(!Path::new(&resources.outputs["root"]).starts_with(fixture.folder()));
}

/// Buried: Capsule CVE-2024-39690. Theirs: a tenant's owner could take over a namespace that nobody owned. Ours: what does not carry our mark for
/// this tenant and environment is neither adopted nor removed.
#[tokio::test]
async fn a_folder_without_the_mark_is_neither_adopted_nor_removed() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.folder().join("targets")).unwrap();
    fs::write(fixture.folder().join("diary"), "precious").unwrap();
    let errors = [
        fixture.engine.up(context(), &blueprint()).await.unwrap_err(),
        fixture.engine.preview(&blueprint()).await.unwrap_err(),
        fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), PortErrorKind::Invalid);
        assert!(error.message().contains("does not carry the mark"), "{error}");
    }
    assert_eq!(fs::read_to_string(fixture.folder().join("diary")).unwrap(), "precious");
}

#[tokio::test]
async fn a_copied_environment_is_not_taken_for_the_one_whose_place_it_has() {
    let fixture = Fixture::new();
    let other = EnvironmentBlueprint { environment: environment(2), ..blueprint() };
    fixture.engine.up(context(), &other).await.unwrap();
    fs::rename(fixture.engine.place(tenant(1), environment(2)).folder, fixture.folder()).unwrap();
    let error = fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap_err();
    assert!(error.message().contains("mark of another environment"), "{error}");
    assert!(fixture.folder().exists());
}

#[tokio::test]
async fn foreign_entries_stop_destroy_before_anything_is_removed() {
    for foreign in ["notes", "targets/notes", "targets/process/notes"] {
        let fixture = Fixture::new();
        fixture.engine.up(context(), &blueprint()).await.unwrap();
        fs::write(fixture.folder().join(foreign), "precious").unwrap();
        let before = every_path(fixture.root.path());
        let error = fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Invalid);
        assert!(error.message().contains("notes"), "{error}");
        assert_eq!(every_path(fixture.root.path()), before);
        fs::remove_file(fixture.folder().join(foreign)).unwrap();
        fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_planted_link_is_refused_and_nothing_behind_it_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(outside.path().join("process/state")).unwrap();
    fs::write(outside.path().join("process/state/data"), "precious").unwrap();
    let before = every_path(outside.path());
    let place = Fixture::new().engine.place(tenant(1), environment(1));
    let inside = place.folder.strip_prefix(place.tenant_folder.parent().unwrap()).unwrap().to_owned();
    for victim in
        [inside.parent().unwrap(), &inside, &inside.join("targets"), &inside.join("targets/process")]
    {
        let fixture = Fixture::new();
        fixture.engine.up(context(), &blueprint()).await.unwrap();
        let victim = fixture.root.path().join(victim);
        fs::remove_dir_all(&victim).unwrap();
        std::os::unix::fs::symlink(outside.path(), &victim).unwrap();
        let up = fixture.engine.up(context(), &blueprint()).await.unwrap_err();
        let destroy = fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap_err();
        for error in [up, destroy] {
            assert_eq!(error.kind(), PortErrorKind::Invalid, "{error}");
        }
        assert_eq!(every_path(outside.path()), before);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn destroy_removes_links_that_workloads_made_and_not_what_they_lead_to() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("data"), "precious").unwrap();
    let resources = fixture.engine.up(context(), &blueprint()).await.unwrap();
    std::os::unix::fs::symlink(outside.path(), Path::new(&resources.outputs["process.state"]).join("door"))
        .unwrap();
    fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("data")).unwrap(), "precious");
}

#[cfg(unix)]
#[tokio::test]
async fn folders_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::new();
    let resources = fixture.engine.up(context(), &blueprint()).await.unwrap();
    for path in resources.outputs.values() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700, "{path}");
    }
}

#[tokio::test]
async fn a_damaged_manifest_is_corrupt_and_does_not_prevent_destroying() {
    for damage in [Some("{"), Some("{}"), None] {
        let fixture = Fixture::new();
        fixture.engine.up(context(), &blueprint()).await.unwrap();
        let path = fixture.folder().join("environment.json");
        match damage {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = fixture.engine.up(context(), &blueprint()).await.unwrap_err();
        assert_eq!(error.kind(), PortErrorKind::Corrupt);
        assert!(error.message().contains("destroy the environment"), "{error}");
        fixture.engine.destroy(context(), tenant(1), environment(1)).await.unwrap();
        assert!(!fixture.folder().exists());
    }
}

#[tokio::test]
async fn a_manifest_of_a_later_format_is_unsupported() {
    let fixture = Fixture::new();
    fixture.engine.up(context(), &blueprint()).await.unwrap();
    let path = fixture.folder().join("environment.json");
    let later = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&path, later).unwrap();
    let error = fixture.engine.up(context(), &blueprint()).await.unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Unsupported);
}

#[tokio::test]
async fn a_root_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for root in ["file", "file/below"] {
        let error = DirectoryEngine::open(folder.path().join(root)).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (PortErrorKind::Invalid, "infrastructure.open"));
    }
}

#[test]
fn many_contenders_leave_one_whole_environment_or_none() {
    let fixture = Fixture::new();
    let run = |destroys: bool| {
        let engine = DirectoryEngine::open(fixture.root.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..10 {
                if destroys {
                    engine.destroy(context(), tenant(1), environment(1)).await.unwrap();
                } else {
                    engine.up(context(), &blueprint()).await.unwrap();
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for contender in 0..6 {
            let run = &run;
            scope.spawn(move || run(contender % 2 == 0));
        }
    });
    run(false);
    let clean = Fixture::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(clean.engine.up(context(), &blueprint())).unwrap();
    assert_eq!(every_path(fixture.root.path()), every_path(clean.root.path()));
}

#[derive(Debug, Clone)]
enum Step {
    Up { environment: u128, functions: bool },
    Destroy { environment: u128 },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u128..4, any::<bool>()).prop_map(|(environment, functions)| Step::Up { environment, functions }),
        (1_u128..4).prop_map(|environment| Step::Destroy { environment }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_there_is_what_the_last_call_asked_for(steps in prop::collection::vec(any_step(), 1..10)) {
        let mut fixture = Fixture::new();
        fixture.engine = fixture.engine.with_surfaces([SurfaceKind::Process, SurfaceKind::Functions]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut model: BTreeMap<u128, bool> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Up { environment: number, functions } => {
                    let mut wanted = EnvironmentBlueprint { environment: environment(number), ..blueprint() };
                    if functions {
                        wanted.surfaces.insert(SurfaceKind::Functions);
                    }
                    runtime.block_on(fixture.engine.up(context(), &wanted)).unwrap();
                    let lines = runtime.block_on(fixture.preview(&wanted));
                    prop_assert!(lines.values().all(|change| *change == ResourceChange::Keep));
                    model.insert(number, functions);
                }
                Step::Destroy { environment: number } => {
                    runtime.block_on(fixture.engine.destroy(context(), tenant(1), environment(number))).unwrap();
                    model.remove(&number);
                }
            }
        }
        for number in 1..4 {
            let folder = fixture.engine.place(tenant(1), environment(number)).folder;
            prop_assert_eq!(folder.exists(), model.contains_key(&number));
            let functions = folder.join("targets/functions").exists();
            prop_assert_eq!(functions, model.get(&number).copied().unwrap_or(false));
        }
    }
}
