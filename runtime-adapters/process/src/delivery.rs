//! What an instance or a job is given beside its image: complete before it is started, and an instance's replaced as a whole while it runs.
//!
//! ```text
//! delivered/INSTANCE/current ─► 2     one rename moves it, so nobody finds files of two deliveries behind it
//! delivered/INSTANCE/2/configuration.json
//! ```
//!
//! Every part of a delivery is a room here: it adds its files and variables to the one [`Parcel`] that is put down as a whole (X-6).

mod configuration;
mod report;
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use runtime_domain::configuration::DeliveredConfiguration;
use runtime_domain::surface::RevisionSpec;
use runtime_ports::PortResult;

use crate::delivery::secrets::SecretFolder;
use crate::state::{self, blocking, failed};

pub(crate) use report::{confirm, outdated};

/// The name under which an instance finds its latest delivery.
const CURRENT: &str = "current";

/// All that one instance or job is given at once.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    files: BTreeMap<String, Vec<u8>>,
    /// What the release says by variables: its component's own variables of the same names stand above them.
    variables: BTreeMap<String, String>,
    /// What the runtime itself tells the instance of it.
    own: Vec<(&'static str, String)>,
}

impl Parcel {
    /// What instances of a revision are given, at this configuration.
    ///
    /// # Errors
    /// It cannot be delivered in the way that the component declares.
    pub(crate) fn of(
        operation: &'static str,
        spec: &RevisionSpec,
        configuration: Option<&DeliveredConfiguration>,
        folder: &DeliveryFolder,
        secrets: &SecretFolder,
    ) -> PortResult<Self> {
        let mut parcel = Self::default();
        if let Some(configuration) = configuration {
            let places = secrets.places(spec);
            configuration::add(&mut parcel, operation, spec, configuration, folder, &places)?;
        }
        Ok(parcel)
    }

    /// What the release says by variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&String, &String)> {
        self.variables.iter()
    }

    /// What the runtime itself tells of it, by variables.
    pub(crate) fn own_variables(&self) -> Vec<(&'static str, String)> {
        self.own.clone()
    }
}

/// Where the deliveries of one instance or job are.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryFolder(PathBuf);

impl DeliveryFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where the instance finds a file of its latest delivery.
    pub(crate) fn current(&self, name: &str) -> PathBuf {
        self.0.join(CURRENT).join(name)
    }

    /// Puts a parcel down as the latest delivery: whole and on disk, or not at all.
    pub(crate) fn put(&self, parcel: &Parcel) -> io::Result<()> {
        if parcel.files.is_empty() {
            return self.remove();
        }
        private_folder(&self.0)?;
        let before = self.generations()?;
        let generation = before.last().map_or(1, |last| last.0 + 1);
        let beside = self.0.join(format!("{generation}.new"));
        state::remove_folder(&beside)?;
        private_folder(&beside)?;
        for (name, content) in &parcel.files {
            let mut file =
                File::options().write(true).create_new(true).mode(0o600).open(beside.join(name))?;
            file.write_all(content)?;
            file.sync_all()?;
        }
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, self.0.join(generation.to_string()))?;
        let link = self.0.join(format!("{CURRENT}.new"));
        state::remove(&link)?;
        symlink(generation.to_string(), &link)?;
        fs::rename(&link, self.0.join(CURRENT))?;
        File::open(&self.0)?.sync_all()?;
        for (_, path) in before {
            state::remove_folder(&path)?;
        }
        Ok(())
    }

    /// Removes every delivery.
    pub(crate) fn remove(&self) -> io::Result<()> {
        state::remove_folder(&self.0)
    }

    /// The complete deliveries on disk, the oldest first.
    fn generations(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let numbered = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
        let mut found: Vec<_> = state::entries(&self.0)?.into_iter().filter_map(numbered).collect();
        found.sort();
        Ok(found)
    }
}

/// As [`DeliveryFolder::put`], beside everything else that is done. Gives the parcel back.
pub(crate) async fn put(
    operation: &'static str,
    folder: DeliveryFolder,
    parcel: Parcel,
) -> PortResult<Parcel> {
    blocking(move || folder.put(&parcel).map(|()| parcel)).await.map_err(|error| {
        failed(operation, "what the workload should be given could not be written to disk", error)
    })
}

/// Removes the deliveries of instances that are not among these.
pub(crate) fn keep_only(deliveries: &Path, instances: &[String]) -> io::Result<()> {
    for path in state::entries(deliveries)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if !instances.iter().any(|kept| Some(kept.as_str()) == name) {
            state::remove_folder(&path)?;
        }
    }
    Ok(())
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(files: &[(&str, &str)]) -> Parcel {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        Parcel { files: files.collect(), ..Parcel::default() }
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_delivery_is_replaced_as_a_whole_and_leaves_nothing_of_the_one_before() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = DeliveryFolder::new(root.path().join("cart-1"));
        folder.put(&parcel(&[("one", "1"), ("both", "1")])).expect("put");
        folder.put(&parcel(&[("two", "2"), ("both", "2")])).expect("put");
        assert_eq!(fs::read_to_string(folder.current("both")).expect("there"), "2");
        assert_eq!(names(&root.path().join("cart-1/current")), ["both", "two"]);
        assert_eq!(names(&root.path().join("cart-1")), ["2", "current"]);
    }

    #[test]
    fn what_a_host_left_half_way_is_not_seen_and_goes() {
        let root = tempfile::tempdir().expect("a folder");
        let at = root.path().join("cart-1");
        let folder = DeliveryFolder::new(at.clone());
        folder.put(&parcel(&[("one", "1")])).expect("put");
        fs::create_dir_all(at.join("2.new")).expect("half a delivery");
        fs::write(at.join("2.new/one"), "ha").expect("half a file");
        symlink("9", at.join("current.new")).expect("a link that was not moved");
        assert_eq!(fs::read_to_string(folder.current("one")).expect("there"), "1");
        folder.put(&parcel(&[("one", "2")])).expect("put");
        assert_eq!(fs::read_to_string(folder.current("one")).expect("there"), "2");
        assert_eq!(names(&at), ["2", "current"]);
    }

    #[test]
    fn a_delivery_that_cannot_be_put_down_leaves_the_one_before() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = DeliveryFolder::new(root.path().join("cart-1"));
        folder.put(&parcel(&[("one", "1")])).expect("put");
        folder.put(&parcel(&[("one", "2"), ("missing/folder", "2")])).expect_err("there is no such folder");
        assert_eq!(fs::read_to_string(folder.current("one")).expect("there"), "1");
    }

    #[test]
    fn deliveries_are_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("a folder");
        let folder = DeliveryFolder::new(root.path().join("cart-1"));
        folder.put(&parcel(&[("one", "1")])).expect("put");
        let mode = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(folder.current("one")), 0o600);
        assert_eq!(mode(root.path().join("cart-1/1")), 0o700);
    }
}
