//! From a reference to an image whose every part is known to be there and intact.

use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};

use crate::OciLayout;
use crate::document::{
    Configuration, Descriptor, Document, Index, LAYER_TAR, Manifest, parse_document, parse_json, shown,
};
use crate::fault::{Fault, Outcome};
use crate::index;

/// An index may hold indexes; more levels than this is no image that anyone builds.
const DEEPEST_INDEX: usize = 4;

/// No builder makes images of more layers; the field's own limit is 127.
const MOST_LAYERS: usize = 256;

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

/// One layer of an image whose manifest and configuration agree.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) digest: ImageDigest,
    pub(crate) size: u64,
    pub(crate) compression: Compression,
    pub(crate) diff_id: ImageDigest,
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    pub(crate) configuration: Configuration,
}

pub(crate) fn resolve(layout: &OciLayout, reference: &ImageReference) -> Outcome<PinnedImage> {
    let (manifest, digest) = match reference.tag() {
        Some(tag) => {
            let index = index::read(&layout.root)?;
            let entry = index::find(&index, reference, tag, &layout.platform)?;
            let named = entry.digest()?;
            let (chosen, manifest) = read_manifest(layout, &named, Some(entry))?;
            match reference.digest() {
                // An index and the image chosen from it are both what the tag names; what was asked for is what is pinned.
                Some(asked) if *asked == named || *asked == chosen => (manifest, asked.clone()),
                Some(asked) => return Err(moved(reference, tag, asked, &named)),
                None => (manifest, chosen),
            }
        }
        None => {
            let asked = reference.digest().ok_or_else(|| {
                Fault::invalid(format!("`{reference}` has neither a tag nor a digest: add one"))
            })?;
            (read_manifest(layout, asked, None)?.1, asked.clone())
        }
    };
    for layer in read_image(layout, &manifest)?.layers {
        layout.blobs.open_verified(&layer.digest, layer.size)?;
    }
    Ok(reference.pinned(digest))
}

fn moved(reference: &ImageReference, tag: &str, asked: &ImageDigest, named: &ImageDigest) -> Fault {
    let repository = reference.repository();
    Fault::invalid(format!(
        "`{repository}:{tag}` names {named}, not {asked}: write `{repository}@{asked}` for that content, or leave the digest out"
    ))
}

pub(crate) fn read_pinned(layout: &OciLayout, image: &PinnedImage) -> Outcome<Image> {
    let (_, manifest) = read_manifest(layout, image.digest(), None)?;
    read_image(layout, &manifest)
}

/// Reads the manifest that `digest` names, through indexes to the one for this machine.
fn read_manifest(
    layout: &OciLayout,
    digest: &ImageDigest,
    entry: Option<&Descriptor>,
) -> Outcome<(ImageDigest, Manifest)> {
    let mut digest = digest.clone();
    let mut declared = entry.map(|entry| (entry.size, entry.media_type.clone()));
    for _ in 0..DEEPEST_INDEX {
        let bytes = layout.blobs.read_document(&digest, declared.as_ref().map(|(size, _)| *size))?;
        let media_type = declared.as_ref().map(|(_, media_type)| media_type.as_str());
        match parse_document(&bytes, &digest, media_type)? {
            Document::Manifest(manifest) => return Ok((digest, manifest)),
            Document::Index(index) => {
                let chosen = choose(layout, &digest, &index)?;
                digest = chosen.digest()?;
                declared = Some((chosen.size, chosen.media_type.clone()));
            }
        }
    }
    Err(Fault::corrupt(format!("index {digest} is nested more than {DEEPEST_INDEX} deep: rebuild the image")))
}

fn choose<'index>(
    layout: &OciLayout,
    digest: &ImageDigest,
    index: &'index Index,
) -> Outcome<&'index Descriptor> {
    let wanted = &layout.platform;
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|it| it.is_same_machine(wanted));
    index.manifests.iter().find(fits).ok_or_else(|| {
        let mut there: Vec<_> = index
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .map(|it| shown(&format!("{}/{}", it.os, it.architecture)))
            .take(8)
            .collect();
        there.sort();
        there.dedup();
        Fault::not_found(format!(
            "index {digest} has no image for {}/{}, only for [{}]: build it for this machine",
            wanted.os,
            wanted.architecture,
            there.join(", ")
        ))
    })
}

/// Reads the configuration, and checks that it and the manifest speak of the same layers.
fn read_image(layout: &OciLayout, manifest: &Manifest) -> Outcome<Image> {
    let digest = manifest.config.digest()?;
    let bytes = layout.blobs.read_document(&digest, Some(manifest.config.size))?;
    let configuration: Configuration = parse_json(&bytes, &format!("configuration {digest}"))?;
    let diff_ids = &configuration.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() || diff_ids.len() > MOST_LAYERS {
        return Err(Fault::corrupt(format!(
            "configuration {digest} lists {} layers and its manifest {}: they must be the same, and at most {MOST_LAYERS}; rebuild the image",
            diff_ids.len(),
            manifest.layers.len()
        )));
    }
    let layers = manifest.layers.iter().zip(diff_ids).map(|(descriptor, diff_id)| {
        Ok(Layer {
            digest: descriptor.digest()?,
            size: descriptor.size,
            compression: compression(descriptor)?,
            diff_id: ImageDigest::new(diff_id).map_err(|error| {
                Fault::corrupt(format!("configuration {digest} has a bad layer identifier: {error}"))
            })?,
        })
    });
    Ok(Image { layers: layers.collect::<Outcome<_>>()?, configuration })
}

fn compression(descriptor: &Descriptor) -> Outcome<Compression> {
    match descriptor.media_type.as_str() {
        LAYER_TAR | DOCKER_LAYER => Ok(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        other => Err(Fault::unsupported(format!(
            "layer {} is of the type `{}`: build the image with uncompressed or gzip-compressed tar layers",
            shown(&descriptor.digest),
            shown(other)
        ))),
    }
}
