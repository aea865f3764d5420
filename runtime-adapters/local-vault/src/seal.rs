//! What the key seals. The format is a version byte, a nonce of 24 random bytes, and what XChaCha20-Poly1305 makes.

use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use runtime_ports::PortErrorKind;

use crate::fault::{Fault, Outcome};
use crate::key::Key;

const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// What is sealed, so that nothing can stand in another's place.
pub(crate) enum Part<'p> {
    Index,
    Anchor,
    Value { vault: &'p str, secret: &'p str, version: u32 },
}

impl Part<'_> {
    fn associated(&self) -> String {
        match self {
            Self::Index => "index".to_owned(),
            Self::Anchor => "anchor".to_owned(),
            // No part of it can hold a line break.
            Self::Value { vault, secret, version } => format!("value\n{vault}\n{secret}\n{version}"),
        }
    }
}

pub(crate) fn seal(key: &Key, part: &Part<'_>, plain: &[u8]) -> Outcome<Vec<u8>> {
    let mut nonce = [0; NONCE];
    random(&mut nonce)?;
    let associated = part.associated();
    let payload = Payload { msg: plain, aad: associated.as_bytes() };
    let sealed = XChaCha20Poly1305::new(key.bytes().into())
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Fault::new(PortErrorKind::Invalid, "the value is too long to be sealed"))?;
    Ok([&[FORMAT], &nonce[..], &sealed].concat())
}

/// What was sealed; refused where it was altered, is something else, or was sealed under another key.
pub(crate) fn open(key: &Key, part: &Part<'_>, path: &Path, sealed: &[u8]) -> Outcome<Zeroizing<Vec<u8>>> {
    let refused = || Fault::tampered(path, "was altered, or belongs to another vault or key");
    let (format, rest) = sealed.split_first().ok_or_else(refused)?;
    if *format != FORMAT {
        return Err(Fault::tampered(path, "is of a format that this version does not know"));
    }
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(refused)?;
    let associated = part.associated();
    let payload = Payload { msg: sealed, aad: associated.as_bytes() };
    let opened = XChaCha20Poly1305::new(key.bytes().into()).decrypt(&XNonce::from(*nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| refused())
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn random(bytes: &mut [u8]) -> Outcome<()> {
    getrandom::fill(bytes).map_err(|error| {
        Fault::new(PortErrorKind::Unavailable, format!("the system gives no random bytes: {error}"))
    })
}
