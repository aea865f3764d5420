//! Where an artifact lives. Every name is an identifier's text, a parsed name or a constant, so no path can lead elsewhere.

use std::path::{Path, PathBuf};

use runtime_domain::id::TenantId;
use runtime_ports::artifacts::ArtifactKey;
use runtime_ports::subject::{KeptName, Subject};

pub(crate) const CONTENT: &str = "content";
pub(crate) const MANIFEST: &str = "artifact.json";
/// What the folders of unfinished artifacts begin with.
pub(crate) const WRITING: &str = ".writing-";
/// What the folders of artifacts that are being removed begin with.
pub(crate) const REMOVING: &str = ".removing-";

/// Written instead of `/`, which no name holds otherwise.
const SLASH: &str = "+";

fn file_name(name: &KeptName) -> String {
    name.as_str().replace('/', SLASH)
}

/// The name that a folder stands for; `None` where it is none of this store's.
pub(crate) fn name_of(folder: &str) -> Option<KeptName> {
    let is_plain = !folder.contains('/');
    is_plain.then(|| KeptName::new(&folder.replace(SLASH, "/")).ok()).flatten()
}

/// The folder of a subject's artifacts.
pub(crate) fn subject_folder(root: &Path, tenant: TenantId, subject: &Subject) -> PathBuf {
    root.join(tenant.to_string()).join(subject.environment.to_string()).join(file_name(&subject.name))
}

/// The folder of an artifact.
pub(crate) fn folder(root: &Path, tenant: TenantId, key: &ArtifactKey) -> PathBuf {
    subject_folder(root, tenant, &key.subject).join(file_name(&key.name))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn two_names_never_share_a_folder_and_none_leads_out_of_it() {
        let names = ["a", "a/b", "a-b", "a.b", "a_b", "a/b/c", "0"];
        for one in names {
            let name = KeptName::new(one).unwrap();
            let file = file_name(&name);
            assert_eq!(Path::new(&file).components().count(), 1, "{file}");
            assert_eq!(name_of(&file), Some(name));
        }
        for foreign in ["", ".", "..", ".writing-x", ".removing-x", "a/b", "a+", "+a", "A", "a++b"] {
            assert_eq!(name_of(foreign), None, "{foreign}");
        }
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let environment = runtime_domain::id::EnvironmentId::from_uuid(Uuid::from_u128(2));
        let subject = Subject { environment, name: KeptName::new("a/b").unwrap() };
        let key = ArtifactKey { subject, name: KeptName::new("c/d").unwrap() };
        let path = folder(Path::new("root"), tenant, &key);
        assert_eq!(
            path,
            Path::new("root").join(tenant.to_string()).join(environment.to_string()).join("a+b/c+d")
        );
    }
}
