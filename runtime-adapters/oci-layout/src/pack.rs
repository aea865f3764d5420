//! Packing: the same source gives the same bytes, and a reader sees the image whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};

use runtime_domain::component::{ImageDigest, PinnedImage};
use tar::{Builder, EntryType, Header};

use crate::OciLayout;
use crate::document::{
    CONFIG, Configuration, Descriptor, Execution, LAYER_TAR, MANIFEST, Manifest, RootFs, shown, to_json,
};
use crate::fault::{Fault, Outcome};
use crate::index;
use crate::source::{ImageSource, SourceFile};
use crate::unpack::entry_path::EntryPath;

pub(crate) fn pack(layout: &OciLayout, source: &ImageSource) -> Outcome<PinnedImage> {
    let tag = match (source.reference.tag(), source.reference.digest()) {
        (Some(tag), None) => tag,
        _ => {
            return Err(Fault::invalid(format!(
                "an image is packed under a name such as `{}:1.0.0`: give a tag, and no digest",
                source.reference.repository()
            )));
        }
    };
    let entries = plan(source)?;
    let configuration = execution(source)?;
    // Held from the first byte on: unfinished files have a living owner only while it is.
    let lock = index::lock(&layout.root)?;
    let (layer, layer_size) = layout.blobs.write(|writer| write_layer(&entries, writer))?;
    let configuration = Configuration {
        architecture: layout.platform.architecture.clone(),
        os: layout.platform.os.clone(),
        config: Some(configuration),
        // The layer is not compressed, so it unpacks to itself.
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.to_string()] },
    };
    let (configuration, configuration_size) = write_document(layout, &to_json(&configuration)?)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config: Descriptor::new(CONFIG, &configuration, configuration_size),
        layers: vec![Descriptor::new(LAYER_TAR, &layer, layer_size)],
    };
    let (manifest, manifest_size) = write_document(layout, &to_json(&manifest)?)?;
    let mut descriptor = Descriptor::new(MANIFEST, &manifest, manifest_size);
    descriptor.platform = Some(layout.platform.clone());
    let mut index = index::read(&layout.root)?;
    index::tag(&mut index, &index::full_name(&source.reference, tag), descriptor, &manifest);
    index::write(&layout.root, &index, &lock)?;
    Ok(source.reference.pinned(manifest))
}

fn write_document(layout: &OciLayout, bytes: &[u8]) -> Outcome<(ImageDigest, u64)> {
    layout.blobs.write(|writer| writer.write_all(bytes).map_err(|error| Fault::io("write a blob", error)))
}

/// Every entry of the layer by its path, folders included; ordered, which puts a folder before what it holds.
fn plan(source: &ImageSource) -> Outcome<BTreeMap<Vec<String>, Option<&SourceFile>>> {
    let mut entries: BTreeMap<Vec<String>, Option<&SourceFile>> = BTreeMap::new();
    for file in &source.files {
        let refused =
            |rule: &str| Fault::invalid(format!("file `{}` of the image: {rule}", shown(&file.path)));
        let path = parse_image_path(&file.path).map_err(refused)?;
        if path.is_root() || file.path.ends_with('/') {
            return Err(refused("its path names a folder; name the file itself"));
        }
        if path.parts().iter().any(|part| part.starts_with(".wh.")) {
            return Err(refused("names that begin with `.wh.` mean removal in an image; choose another"));
        }
        for folder in path.folders() {
            if entries.entry(folder.parts().to_vec()).or_default().is_some() {
                return Err(refused("another file has the path of one of its folders; rename one of them"));
            }
        }
        if entries.insert(path.parts().to_vec(), Some(file)).is_some() {
            return Err(refused("the same path is given twice; rename one of them"));
        }
    }
    Ok(entries)
}

fn parse_image_path(text: &str) -> Result<EntryPath, &'static str> {
    EntryPath::parse(text.trim_start_matches('/').as_bytes())
}

fn execution(source: &ImageSource) -> Outcome<Execution> {
    if source.entrypoint.first().is_none_or(String::is_empty) {
        return Err(Fault::invalid("the image has no entry point: name the program that it runs"));
    }
    let texts = source.entrypoint.iter().chain(&source.arguments).chain(source.variables.values());
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(Fault::invalid("an argument or a variable has a null character: remove it"));
    }
    if let Some(name) = source.variables.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(Fault::invalid(format!(
            "`{}` is not a variable's name: write at least one character, and no `=`",
            shown(name)
        )));
    }
    let folder = parse_image_path(&source.working_directory).map_err(|rule| {
        Fault::invalid(format!("working directory `{}`: {rule}", shown(&source.working_directory)))
    })?;
    let present = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    Ok(Execution {
        entrypoint: present(&source.entrypoint),
        cmd: present(&source.arguments),
        env: (!source.variables.is_empty())
            .then(|| source.variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(format!("/{}", folder.parts().join("/"))),
        labels: (!source.labels.is_empty()).then(|| source.labels.clone()),
    })
}

fn write_layer(entries: &BTreeMap<Vec<String>, Option<&SourceFile>>, writer: &mut dyn Write) -> Outcome<()> {
    let mut archive = Builder::new(writer);
    for (path, file) in entries {
        let path = path.join("/");
        let appended = match file {
            None => {
                let mut header = header(EntryType::Directory, 0o755, 0);
                archive.append_data(&mut header, format!("{path}/"), io::empty())
            }
            Some(file) => {
                let (content, size) = open_source(file)?;
                let mut header =
                    header(EntryType::Regular, if file.executable { 0o755 } else { 0o644 }, size);
                let mut content = Exactly { inner: content, left: size };
                archive.append_data(&mut header, &path, &mut content)
            }
        };
        appended.map_err(|error| Fault::io(format!("pack `{}`", shown(&path)), error))?;
    }
    archive.finish().map_err(|error| Fault::io("finish the layer", error))
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn open_source(file: &SourceFile) -> Outcome<(File, u64)> {
    let host_path = file.host_path.display();
    let read = |error| Fault::io(format!("read {host_path} to pack it"), error);
    let metadata = std::fs::metadata(&file.host_path).map_err(read)?;
    if !metadata.is_file() {
        return Err(Fault::invalid(format!("{host_path} is not a regular file: only those can be packed")));
    }
    let opened = File::open(&file.host_path).map_err(read)?;
    let size = opened.metadata().map_err(read)?.len();
    Ok((opened, size))
}

/// As many bytes as the header has promised: a file that changes under the reader must not shift the entries behind it.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was packed",
            ));
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
