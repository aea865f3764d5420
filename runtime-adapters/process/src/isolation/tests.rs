use runtime_domain::id::{EnvironmentId, TenantId};
use runtime_domain::value::Name;
use uuid::Uuid;

use super::*;

fn key(tenant: u128, environment: u128) -> ComponentKey {
    ComponentKey {
        tenant: TenantId::from_uuid(Uuid::from_u128(tenant)),
        environment: EnvironmentId::from_uuid(Uuid::from_u128(environment)),
        module: Name::new("cart").expect("a name"),
    }
}

fn folder(root: &Path, key: &ComponentKey) -> PathBuf {
    let below = format!("components/{}/{}/{}", key.tenant, key.environment, key.module);
    root.join(below)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn every_tenant_and_environment_has_ports_of_its_own_and_keeps_them() {
    let root = tempfile::tempdir().expect("a folder");
    let options = IsolationOptions { ports_each: Some(10), ..IsolationOptions::default() };
    let open = || Isolation::open(&options, root.path(), Some(40_000..=40_029), "surface").expect("opens");
    let ports = |isolation: &Isolation, key: &ComponentKey| {
        isolation.place(key, &folder(root.path(), key)).map(|place| place.ports)
    };
    let first = open();
    assert_eq!(ports(&first, &key(1, 1)).expect("a place"), Some(40_000..=40_009));
    assert_eq!(ports(&first, &key(2, 1)).expect("a place"), Some(40_010..=40_019));
    assert_eq!(ports(&first, &key(1, 1)).expect("the same"), Some(40_000..=40_009));
    let second = open();
    assert_eq!(ports(&second, &key(2, 1)).expect("the same"), Some(40_010..=40_019));
    assert_eq!(ports(&second, &key(1, 2)).expect("a place"), Some(40_020..=40_029));
    let none = ports(&second, &key(3, 3)).expect_err("nothing is left");
    assert!(none.to_string().contains("widen the range"), "{none}");
}

#[test]
fn storage_is_for_its_user_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let isolation =
        Isolation::open(&IsolationOptions::default(), root.path(), None, "surface").expect("opens");
    let at = folder(root.path(), &key(1, 1));
    let place = isolation.place(&key(1, 1), &at).expect("a place");
    assert_eq!(place, Place { user: None, ports: None });
    assert_eq!(mode(&storage_of(&at)), 0o700);
    assert!(matches!(isolation.users, Users::Hosts { .. }));
}

/// Where the host is root the users are used; where it is not, the surface says so. Both are shown where each can be.
#[test]
fn users_are_used_where_root_allows_and_said_not_to_be_elsewhere() {
    let options = IsolationOptions { users: Some(200_000..=200_001), ..IsolationOptions::default() };
    let base = tempfile::tempdir().expect("a folder");
    let closed = base.path().join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    set_mode(base.path(), 0o700).expect("closed to others");
    let isolation = Isolation::open(&options, &closed, None, "surface").expect("opens");
    let Users::Hosts { why } = &isolation.users else { panic!("{isolation:?}") };
    if !rustix::process::geteuid().is_root() {
        assert!(why.contains("not root"), "{why}");
        return;
    }
    assert!(why.contains("may not pass"), "{why}");
    set_mode(base.path(), 0o711).expect("opened to others");
    let isolation = Isolation::open(&options, &closed, None, "surface").expect("opens");
    assert_eq!(isolation.users, Users::Own(200_000..=200_001));
    let at = folder(&closed, &key(1, 1));
    let place = isolation.place(&key(1, 1), &at).expect("a place");
    assert_eq!(place.user, Some(200_000));
    assert_eq!((mode(&closed), mode(&closed.join("components")), mode(&at)), (0o711, 0o711, 0o710));
    assert_eq!(
        isolation.place(&key(1, 2), &folder(&closed, &key(1, 2))).expect("a place").user,
        Some(200_001)
    );
    let none = isolation.place(&key(2, 2), &folder(&closed, &key(2, 2))).expect_err("nobody is left");
    assert!(none.to_string().contains("set aside more"), "{none}");

    // As another place's user, what is this one's can be neither listed nor read.
    let secret = storage_of(&at).join("secret");
    std::fs::write(&secret, "precious").expect("written");
    let read_as = |user: u32| {
        use std::os::unix::process::CommandExt as _;
        let read = std::process::Command::new("/bin/cat").arg(&secret).uid(user).gid(user).output();
        read.expect("started").status.success()
    };
    chown(&secret, Some(200_000), Some(200_000)).expect("given");
    assert!(read_as(200_000) && !read_as(200_001));
}

#[test]
fn compute_that_cannot_be_limited_is_said_not_to_be_and_why() {
    let root = tempfile::tempdir().expect("a folder");
    let told = |group: Option<&Path>| {
        let options =
            IsolationOptions { compute_group: group.map(Path::to_path_buf), ..IsolationOptions::default() };
        let isolation = Isolation::open(&options, root.path(), None, "surface").expect("opens");
        match isolation.compute {
            Compute::Limited(groups) => panic!("{groups:?}"),
            Compute::Unlimited { why } => why,
        }
    };
    assert!(told(None).contains("no control group was set aside"));
    assert!(told(Some(&root.path().join("nowhere"))).contains("may not make control groups"));
    let plain = root.path().join("plain");
    std::fs::create_dir(&plain).expect("a folder");
    let why = told(Some(&plain));
    assert!(why.contains("no controller of compute: enable `cpu`"), "{why}");
    assert_eq!(state::entries(&plain).expect("listed"), Vec::<PathBuf>::new(), "the trial is taken away");
}
