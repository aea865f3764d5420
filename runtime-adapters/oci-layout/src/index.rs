//! `index.json`: which names there are, and what they name. Replaced as a whole, by one writer at a time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use runtime_domain::component::{ImageDigest, ImageReference};

use crate::blobs::{MOST_DOCUMENT_BYTES, PARTIAL_PREFIX, new_partial, read_bounded, sync_folder};
use crate::document::{Descriptor, Index, Platform, REFERENCE_NAME, parse_json, shown, to_json};
use crate::fault::{Fault, Outcome};

const FILE: &str = "index.json";

/// The right to write to the layout, held across threads and processes until it is dropped or its process dies.
#[derive(Debug)]
pub(crate) struct WriteLock(#[expect(dead_code, reason = "held for its lock, which closing releases")] File);

/// Waits for the right to write, and removes what writers that died have left.
pub(crate) fn lock(root: &Path) -> Outcome<WriteLock> {
    let lock = |error| Fault::io("lock the image layout for writing", error);
    let file =
        File::options().create(true).truncate(false).write(true).open(root.join(".lock")).map_err(lock)?;
    file.lock().map_err(lock)?;
    // Only a holder of the lock has unfinished files, so those that exist now have no owner.
    for entry in fs::read_dir(root).map_err(lock)? {
        let entry = entry.map_err(lock)?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL_PREFIX) {
            fs::remove_file(entry.path()).map_err(lock)?;
        }
    }
    Ok(WriteLock(file))
}

pub(crate) fn read(root: &Path) -> Outcome<Index> {
    let read = |error| Fault::io("read index.json of the image layout", error);
    let file = File::open(root.join(FILE)).map_err(read)?;
    let bytes = read_bounded(file, MOST_DOCUMENT_BYTES).map_err(read)?.ok_or_else(|| {
        Fault::corrupt(format!(
            "index.json is longer than {MOST_DOCUMENT_BYTES} bytes: remove entries that nobody uses"
        ))
    })?;
    let index: Index = parse_json(&bytes, FILE)?;
    if index.schema_version != 2 {
        return Err(Fault::unsupported(format!(
            "index.json has schema version {}: rebuild the layout with version 2",
            index.schema_version
        )));
    }
    Ok(index)
}

pub(crate) fn write(root: &Path, index: &Index, _held: &WriteLock) -> Outcome<()> {
    write_file(root, FILE, &to_json(index)?)
}

pub(crate) fn exists(root: &Path) -> bool {
    root.join(FILE).is_file()
}

/// Replaces a file of the layout: it holds the old content or the new, never a part.
pub(crate) fn write_file(root: &Path, name: &str, bytes: &[u8]) -> Outcome<()> {
    let write = |error| Fault::io(format!("write {name} of the image layout"), error);
    let mut partial = new_partial(root)?;
    partial.write_all(bytes).map_err(write)?;
    partial.as_file().sync_all().map_err(write)?;
    partial.persist(root.join(name)).map_err(|error| write(error.error))?;
    sync_folder(root)
}

/// The entry that `repository:tag` names.
///
/// A plain tag (`1.4.2`), as single-repository layouts carry it, counts where no entry of the index names a repository; else it
/// could be anyone's.
pub(crate) fn find<'index>(
    index: &'index Index,
    reference: &ImageReference,
    tag: &str,
    platform: &Platform,
) -> Outcome<&'index Descriptor> {
    let name = full_name(reference, tag);
    let named = |wanted: &str| -> Vec<&Descriptor> {
        index.manifests.iter().filter(|entry| entry.reference_name() == Some(wanted)).collect()
    };
    let mut found = named(&name);
    let names_a_repository =
        |entry: &Descriptor| entry.reference_name().is_some_and(|it| it.contains([':', '/']));
    if found.is_empty() && !index.manifests.iter().any(names_a_repository) {
        found = named(tag);
    }
    let digests =
        |entries: &[&Descriptor]| entries.iter().map(|entry| entry.digest.clone()).collect::<BTreeSet<_>>();
    if digests(&found).len() > 1 {
        found.retain(|entry| entry.platform.as_ref().is_some_and(|it| it.is_same_machine(platform)));
        if digests(&found).len() != 1 {
            return Err(Fault::invalid(format!(
                "`{name}` names several images in index.json: keep one entry of that name, or one per platform"
            )));
        }
    }
    found.first().copied().ok_or_else(|| {
        Fault::not_found(format!(
            "no image is named `{name}`: {}",
            match known_names(index) {
                names if names.is_empty() => "the layout is empty; push the image first".to_owned(),
                names => format!("push it first, or use one that is there, such as {names}"),
            }
        ))
    })
}

fn known_names(index: &Index) -> String {
    let names: Vec<_> = index
        .manifests
        .iter()
        .filter_map(Descriptor::reference_name)
        .take(5)
        .map(|name| format!("`{}`", shown(name)))
        .collect();
    names.join(", ")
}

/// Makes `name` mean `descriptor`. The image that had the name stays in the index without it, so that a digest that is pinned
/// somewhere is not taken for garbage.
pub(crate) fn tag(index: &mut Index, name: &str, mut descriptor: Descriptor, digest: &ImageDigest) {
    for entry in &mut index.manifests {
        if entry.reference_name() == Some(name) {
            if let Some(annotations) = &mut entry.annotations {
                annotations.remove(REFERENCE_NAME);
            }
            entry.annotations.take_if(|annotations| annotations.is_empty());
        }
    }
    index.manifests.retain(|entry| entry.digest != digest.as_str() || entry.reference_name().is_some());
    let mut seen = BTreeSet::new();
    index.manifests.retain(|entry| entry.reference_name().is_some() || seen.insert(entry.digest.clone()));
    descriptor.annotations.get_or_insert_default().insert(REFERENCE_NAME.to_owned(), name.to_owned());
    index.manifests.push(descriptor);
}

pub(crate) fn full_name(reference: &ImageReference, tag: &str) -> String {
    format!("{}:{tag}", reference.repository())
}
