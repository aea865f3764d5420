//! One layer: its archive is walked entry by entry, each judged before it is written.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::blobs::read_bounded;
use crate::digest::Digester;
use crate::document::shown;
use crate::fault::{Fault, Outcome};
use crate::resolve::{Compression, Layer};
use crate::unpack::entry_path::{EntryPath, LONGEST_PATH, Rule};
use crate::unpack::tree::{Refusal, Tree};

/// Extended headers hold a path or two; more is an attack on memory.
const MOST_HEADER_BYTES: u64 = 64 * 1024;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const RESERVED: &str = ".wh..wh.";

/// The image unpacks to more bytes than it may.
#[derive(Debug, thiserror::Error)]
#[error("the image unpacks to more bytes than it may")]
struct TooManyBytes;

/// Hashes what is unpacked, and stops at the image's limit.
struct Unpacked<'budget, R> {
    inner: R,
    digester: Digester,
    bytes_left: &'budget mut u64,
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        *self.bytes_left =
            self.bytes_left.checked_sub(count as u64).ok_or_else(|| io::Error::other(TooManyBytes))?;
        self.digester.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Applies a layer whose blob has been verified, and checks what it unpacks to.
pub(crate) fn apply(layer: &Layer, blob: File, tree: &mut Tree, bytes_left: &mut u64) -> Outcome<()> {
    let blob = BufReader::with_capacity(128 * 1024, blob);
    let inner: Box<dyn Read> = match layer.compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(MultiGzDecoder::new(blob)),
    };
    let mut unpacked = Unpacked { inner, digester: Digester::default(), bytes_left };
    tree.begin_layer();
    walk(layer, &mut unpacked, tree)?;
    io::copy(&mut unpacked, &mut io::sink()).map_err(|error| unreadable(layer, error))?;
    let (found, _) = unpacked.digester.finish()?;
    if found != layer.diff_id {
        return Err(Fault::corrupt(format!(
            "layer {} unpacks to {found} where the configuration says {}: rebuild the image",
            layer.digest, layer.diff_id
        )));
    }
    Ok(())
}

fn walk(layer: &Layer, unpacked: &mut impl Read, tree: &mut Tree) -> Outcome<()> {
    let mut archive = Archive::new(unpacked);
    let entries = archive.entries().map_err(|error| unreadable(layer, error))?;
    let mut announced = Announced::default();
    // Raw, because extended headers are bounded and judged here.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| unreadable(layer, error))?;
        let mut name = entry.path_bytes().into_owned();
        if let Some(path) = announced.path.as_ref() {
            name.clone_from(path);
        }
        add(&mut entry, &name, &mut announced, tree).map_err(|refusal| refused(layer, &name, refusal))?;
    }
    if announced.is_empty() {
        Ok(())
    } else {
        Err(refused(
            layer,
            b"(end)",
            Refusal::Rule("an extended header announces an entry that does not follow"),
        ))
    }
}

/// What extended headers say of the entry that follows them.
#[derive(Debug, Default)]
struct Announced {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Announced {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none()
    }

    fn read_extensions(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(|_| "its extended header is malformed")?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => announce(&mut self.path, value)?,
                b"linkpath" => announce(&mut self.link, value)?,
                b"size" => {
                    let text = extension.value().map_err(|_| "its extended header is malformed")?;
                    self.size = Some(text.parse().map_err(|_| "its extended header is malformed")?);
                }
                key if key.starts_with(b"GNU.sparse.") => return Err(Refusal::Rule(SPARSE)),
                _ => {}
            }
        }
        Ok(())
    }
}

const SPARSE: Rule = "it is a sparse file, which cannot be read here: pack it as a plain one";

fn announce(place: &mut Option<Vec<u8>>, value: &[u8]) -> Result<(), Refusal> {
    if value.len() > 4 * LONGEST_PATH {
        return Err(Refusal::Rule("the path is longer than 1,024 bytes"));
    }
    match place.replace(value.to_vec()) {
        None => Ok(()),
        Some(_) => Err(Refusal::Rule("its extended headers say the same thing twice")),
    }
}

fn add<R: Read>(
    entry: &mut Entry<'_, R>,
    name: &[u8],
    announced: &mut Announced,
    tree: &mut Tree,
) -> Result<(), Refusal> {
    tree.count_entry()?;
    let kind = entry.header().entry_type();
    let long_text = |bytes: Vec<u8>| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    match kind {
        EntryType::XHeader => return announced.read_extensions(&read_header(entry)?),
        EntryType::GNULongName => return announce(&mut announced.path, &long_text(read_header(entry)?)),
        EntryType::GNULongLink => return announce(&mut announced.link, &long_text(read_header(entry)?)),
        EntryType::XGlobalHeader => {
            let mut global = Announced::default();
            global.read_extensions(&read_header(entry)?)?;
            let harmless = global.is_empty();
            return if harmless { Ok(()) } else { Err(Refusal::Rule("a global header renames every entry")) };
        }
        _ => {}
    }
    let Announced { link, size: announced_size, .. } = std::mem::take(announced);
    let size = entry.header().entry_size().map_err(|_| "its size is not a number")?;
    if announced_size.is_some_and(|announced| announced != size) {
        return Err(Refusal::Rule("its size is given twice, and differs"));
    }
    let path = EntryPath::parse(name)?;
    if path.parent().parts().iter().any(|part| part.starts_with(WHITEOUT)) {
        return Err(Refusal::Rule("a folder's name begins with the reserved `.wh.`"));
    }
    if path.name().starts_with(WHITEOUT) {
        return hide(&path, kind, tree);
    }
    let mode = entry.header().mode().map_err(|_| "its mode is not a number")?;
    let link_target = |entry: &Entry<'_, R>| {
        link.or_else(|| entry.link_name_bytes().map(|bytes| bytes.into_owned()))
            .ok_or("it is a link without a target")
    };
    match kind {
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
            Err(Refusal::Rule("it is a file whose path is a folder's"))
        }
        EntryType::Regular | EntryType::Continuous => tree.add_file(&path, mode, size, entry),
        EntryType::Directory => tree.add_directory(&path, mode),
        EntryType::Symlink => tree.add_symbolic_link(&path, &link_target(entry)?),
        EntryType::Link => tree.add_hard_link(&path, &EntryPath::parse(&link_target(entry)?)?),
        EntryType::Char | EntryType::Block => Err(Refusal::Rule("it is a device, and bundles hold none")),
        EntryType::Fifo => Err(Refusal::Rule("it is a named pipe, and bundles hold none")),
        EntryType::GNUSparse => Err(Refusal::Rule(SPARSE)),
        _ => Err(Refusal::Rule("it is of an unknown type")),
    }
}

/// Obeys a whiteout: an empty file whose name says what of the lower layers is gone.
fn hide(path: &EntryPath, kind: EntryType, tree: &mut Tree) -> Result<(), Refusal> {
    if kind != EntryType::Regular {
        return Err(Refusal::Rule("it is a whiteout that is not a regular file"));
    }
    let name = path.name();
    if name == OPAQUE {
        return tree.hide_below(&path.parent());
    }
    if name.starts_with(RESERVED) {
        // Bookkeeping of a union file system, without meaning here.
        return Ok(());
    }
    match name.strip_prefix(WHITEOUT) {
        None | Some("" | "." | "..") => Err(Refusal::Rule("it is a whiteout that names no file")),
        Some(hidden) => tree.hide(&path.parent().child(hidden)),
    }
}

fn read_header(entry: &mut impl Read) -> Result<Vec<u8>, Refusal> {
    let bytes = read_bounded(entry, MOST_HEADER_BYTES).map_err(Refusal::Read)?;
    bytes.ok_or(Refusal::Rule("its extended header is longer than 64 KiB"))
}

fn refused(layer: &Layer, name: &[u8], refusal: Refusal) -> Fault {
    let name = shown(&String::from_utf8_lossy(name));
    let digest = &layer.digest;
    match refusal {
        Refusal::Rule(rule) => {
            Fault::corrupt(format!("layer {digest}, entry `{name}`: {rule}; rebuild the image without it"))
        }
        Refusal::TooManyEntries => Fault::over_limit(format!(
            "layer {digest}, entry `{name}`: the image has more entries than it may; make it smaller, or allow more in `UnpackLimits`"
        )),
        Refusal::Read(error) => unreadable(layer, error),
        Refusal::Write(error) => Fault::io(format!("unpack layer {digest}, entry `{name}`"), error),
    }
}

/// The blob was verified, so a failed read is the layer's fault, unless it is the disk's.
fn unreadable(layer: &Layer, error: io::Error) -> Fault {
    let digest = &layer.digest;
    if error.get_ref().is_some_and(|inner| inner.is::<TooManyBytes>()) || is_too_many_bytes(&error) {
        return Fault::over_limit(format!(
            "layer {digest}: the image unpacks to more bytes than it may; make it smaller, or allow more in `UnpackLimits`"
        ));
    }
    if error.raw_os_error().is_some() {
        return Fault::io(format!("read layer {digest}"), error);
    }
    Fault::corrupt(format!("layer {digest} is not the archive that its type says: rebuild the image"))
        .caused_by(error)
}

/// The archive reader wraps errors of what it reads from.
fn is_too_many_bytes(error: &io::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = source {
        if inner.is::<TooManyBytes>() {
            return true;
        }
        let wrapped = inner.downcast_ref::<io::Error>().is_some_and(is_too_many_bytes);
        if wrapped {
            return true;
        }
        source = inner.source();
    }
    false
}
