//! The JSON documents of an image layout, as far as this crate reads them.
//!
//! Maps are ordered, so that equal images give equal bytes and therefore equal digests. What is not understood is kept where a
//! document is written back (`index.json`), and ignored where it is only read.

use std::collections::BTreeMap;

use runtime_domain::component::ImageDigest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{Fault, Outcome};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The annotation of an index entry that names it.
pub(crate) const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

/// The version of the image layout that this crate reads and writes.
pub(crate) const LAYOUT_VERSION: &str = "1.0.0";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutMarker {
    pub(crate) image_layout_version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

impl Platform {
    pub(crate) fn new(os: &str, architecture: &str) -> Self {
        Self { architecture: architecture.to_owned(), os: os.to_owned(), rest: BTreeMap::new() }
    }

    /// The machine that this process runs on, in the names that OCI took from Go.
    pub(crate) fn of_this_machine() -> Self {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "loongarch64" => "loong64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        Self::new(os, architecture)
    }

    pub(crate) fn is_same_machine(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: &ImageDigest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size,
            annotations: None,
            platform: None,
            rest: BTreeMap::new(),
        }
    }

    pub(crate) fn digest(&self) -> Outcome<ImageDigest> {
        ImageDigest::new(&self.digest).map_err(|error| {
            Fault::unsupported(format!("only sha256 digests can be read: {error}"))
                .caused_by(invalid_data(error))
        })
    }

    pub(crate) fn reference_name(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REFERENCE_NAME).map(String::as_str)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.to_owned()),
            manifests: Vec::new(),
            rest: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<String>,
}

/// What the image runs with. Go writes absent lists as `null`, hence the options.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Configuration {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: Option<Execution>,
    pub(crate) rootfs: RootFs,
}

/// A manifest document: one image, or an index of them.
#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Parses a manifest or an index, and refuses what two readers could take for two different things.
pub(crate) fn parse_document(
    bytes: &[u8],
    digest: &ImageDigest,
    declared: Option<&str>,
) -> Outcome<Document> {
    let value: Value = parse_json(bytes, &format!("manifest {digest}"))?;
    let has = |field: &str| value.get(field).is_some_and(|value| !value.is_null());
    let is_index = has("manifests");
    if is_index == (has("layers") || has("config")) {
        return Err(Fault::corrupt(format!(
            "manifest {digest} must hold either `manifests`, or `config` and `layers`, so that every reader takes it for the same thing"
        )));
    }
    let kinds = if is_index { [INDEX, DOCKER_INDEX] } else { [MANIFEST, DOCKER_MANIFEST] };
    let written = value.get("mediaType").and_then(Value::as_str);
    for media_type in [written, declared].into_iter().flatten() {
        if !kinds.contains(&media_type) {
            return Err(Fault::corrupt(format!(
                "manifest {digest} is declared as `{}`, and its content is that of `{}`: rebuild the image",
                shown(media_type),
                kinds[0]
            )));
        }
    }
    let parse_as = format!("manifest {digest}");
    let document = if is_index {
        Document::Index(parse_value(value, &parse_as)?)
    } else {
        Document::Manifest(parse_value(value, &parse_as)?)
    };
    let version = match &document {
        Document::Manifest(manifest) => manifest.schema_version,
        Document::Index(index) => index.schema_version,
    };
    if version != 2 {
        return Err(Fault::unsupported(format!(
            "manifest {digest} has schema version {version}: rebuild the image with version 2"
        )));
    }
    Ok(document)
}

pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Outcome<T> {
    serde_json::from_slice(bytes).map_err(|error| malformed(what, error))
}

fn parse_value<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> Outcome<T> {
    serde_json::from_value(value).map_err(|error| malformed(what, error))
}

fn malformed(what: &str, error: serde_json::Error) -> Fault {
    Fault::corrupt(format!("{what} is not the JSON document that the OCI image format describes: rebuild it"))
        .caused_by(invalid_data(error))
}

fn invalid_data(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, error)
}

pub(crate) fn to_json(document: &impl Serialize) -> Outcome<Vec<u8>> {
    serde_json::to_vec(document)
        .map_err(|error| Fault::internal("a document could not be written as JSON").caused_by(error))
}

/// A stranger's text, cut and without control characters, fit for an error message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    shown
}
