//! SHA-256 as OCI writes it.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use runtime_domain::component::ImageDigest;
use sha2::{Digest as _, Sha256};

use crate::fault::{Fault, Outcome};

/// Hashes and counts what is written to it.
#[derive(Default)]
pub(crate) struct Digester {
    sha256: Sha256,
    length: u64,
}

impl Digester {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    pub(crate) fn finish(self) -> Outcome<(ImageDigest, u64)> {
        let mut text = String::from("sha256:");
        for byte in self.sha256.finalize() {
            write!(text, "{byte:02x}").map_err(|_| Fault::internal("a digest could not be written"))?;
        }
        let digest = ImageDigest::new(&text).map_err(|error| Fault::internal(error.to_string()))?;
        Ok((digest, self.length))
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> Outcome<ImageDigest> {
    let mut digester = Digester::default();
    digester.update(bytes);
    Ok(digester.finish()?.0)
}

/// Reads `reader` to its end and gives what it held; stops once it is longer than `most`, since then it cannot be what is wanted.
pub(crate) fn digest_of_reader(mut reader: impl Read, most: u64) -> io::Result<Digester> {
    let mut digester = Digester::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(digester),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digester.update(buffer.get(..count).unwrap_or_default());
        if digester.length > most {
            return Ok(digester);
        }
    }
}

/// Passes everything on to `inner`, and hashes what was taken.
pub(crate) struct DigestingWriter<W> {
    inner: W,
    digester: Digester,
}

impl<W: Write> DigestingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, digester: Digester::default() }
    }

    pub(crate) fn into_parts(self) -> (W, Digester) {
        (self.inner, self.digester)
    }
}

impl<W: Write> Write for DigestingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digester.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let digest = digest_of(b"").unwrap();
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
