//! The key of a vault, in a file for its owner alone.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use runtime_ports::PortErrorKind;
use zeroize::Zeroizing;

use crate::disk::{self, Disk};
use crate::fault::{Fault, Outcome};
use crate::seal::random;

/// The first line of a key's file.
const HEADER: &str = "factory-runtime-vault-key-1";

pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

impl Key {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a key where there is none, on disk before anything is sealed with it.
    pub(crate) fn make(disk: &Disk, path: &Path) -> Outcome<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(&mut *bytes)?;
        let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + 67));
        text.push_str(HEADER);
        text.push('\n');
        for byte in bytes.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text.push('\n');
        disk.write(path, text.as_bytes())?;
        Ok(Self(bytes))
    }

    /// The key of a file; `None` where there is none.
    ///
    /// # Errors
    /// Others can read it, it is another user's, it is no file, or holds no key.
    pub(crate) fn read(path: &Path) -> Outcome<Option<Self>> {
        let Some(found) = disk::look_up(path)? else { return Ok(None) };
        if !found.is_file() {
            let message =
                format!("the key {} is not a file of its own: put the key itself there", path.display());
            return Err(Fault::new(PortErrorKind::Invalid, message));
        }
        let mut file = File::open(path).map_err(|error| Fault::io("open the key", path, error))?;
        // Of the file that was opened, whatever is at its path meanwhile.
        let metadata = file.metadata().map_err(|error| Fault::io("look at the key", path, error))?;
        if metadata.mode() & 0o077 != 0 {
            let message = format!(
                "the key {} can be read or changed by others (mode {:o}): change its mode to 600, and make a new vault if somebody may \
                 have read it",
                path.display(),
                metadata.mode() & 0o777
            );
            return Err(Fault::new(PortErrorKind::Denied, message));
        }
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own && own != 0 {
            let message = format!("the key {} belongs to another user: give it to this one", path.display());
            return Err(Fault::new(PortErrorKind::Denied, message));
        }
        let mut text = Zeroizing::new(String::with_capacity(256));
        let read = file.by_ref().take(256).read_to_string(&mut text);
        read.map_err(|error| Fault::io("read the key", path, error))?;
        parsed(&text).map(|key| Some(Self(key))).ok_or_else(|| {
            let message =
                format!("{} holds no key of this format: restore it from its backup", path.display());
            Fault::new(PortErrorKind::Corrupt, message)
        })
    }
}

fn parsed(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (header, digits) = text.split_once('\n')?;
    let digits = digits.strip_suffix('\n').unwrap_or(digits).as_bytes();
    if header != HEADER || digits.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        let (high, low) = (value(pair.first()?)?, value(pair.last()?)?);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(key)
}
