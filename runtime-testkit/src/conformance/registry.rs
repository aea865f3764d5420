//! The suite of the [image registry's port](runtime_ports::registry).
//!
//! What a full disk leaves is each registry's own to show: nobody from outside can bring it about.

use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use runtime_domain::component::{ImageDigest, ImageReference, PinnedImage};
use runtime_ports::registry::ImageRegistry;
use runtime_ports::{PortErrorKind, PortResult, Retry};
use tokio::task::{JoinSet, yield_now};

use super::adapter::{
    AdapterFactory, Staged, attempted, is_refused, polled_once, staged, try_reopening, try_staged,
};
use super::{Failure, Outcome, Report, Verdict, ensure, equal};

mod images;

pub use images::SampleImage;

use images::{below, holds, image, named, says};

/// What is wrong with an image that somebody pushed in bad faith, or that lay on a bad disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hostile {
    /// A byte of its manifest is another than its digest says.
    DamagedManifest,
    /// A byte of its last layer is another than its digest says. Whatever is before that byte may be sound.
    DamagedLayer,
    /// A layer holds a file `first`, and then one that is named `../../escaped`.
    ClimbingFile,
    /// A layer holds a symbolic link `door` that leads to `../..`, and then a file `door/escaped`.
    FileThroughALink,
}

/// Makes the registries that the suite tries, and plays the one who pushes.
#[async_trait]
pub trait RegistryFactory: AdapterFactory {
    /// A folder on this machine that is there, holds nothing and stays until the suite has ended; another one at each call.
    fn folder(&self) -> PathBuf;
    /// Pushes an image. Equal images have equal digests; a name that meant another image means this one from then on, where names move.
    async fn push(&self, registry: &Self::Adapter, image: &SampleImage) -> PortResult<()>;
    /// Pushes an image that is hostile in this way, and tells what it is pinned as by one who does not notice; `None` where nobody could get
    /// such an image into the registry.
    async fn push_hostile(
        &self,
        registry: &Self::Adapter,
        reference: &ImageReference,
        hostile: Hostile,
    ) -> PortResult<Option<PinnedImage>>;
}

/// What a registry promises that not every registry can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryCapabilities {
    /// It unpacks images on this machine. One whose images are fetched by whoever runs them need not, and answers
    /// [`Unsupported`](PortErrorKind::Unsupported).
    pub unpacks: bool,
    /// A name may come to mean another image than before.
    pub names_move: bool,
}

/// Tries every promise of the port, each against a fresh registry.
pub async fn registry<F>(factory: F, capabilities: RegistryCapabilities) -> Report
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let factory = Arc::new(factory);
    let stage = async || {
        let registry = Arc::new(factory.fresh().await?);
        Ok(Stage { folder: factory.folder(), factory: Arc::clone(&factory), registry, capabilities })
    };
    let mut trials = try_staged(stage, all::<F>()).await;
    let before =
        async |registry: &F::Adapter| Ok(factory.push(registry, &image("shop/cart:1", "one")?).await?);
    let after = async |registry: &F::Adapter| {
        let pinned = registry.resolve(&named("shop/cart:1")?).await?;
        let again = registry.resolve(&named(&format!("shop/cart@{}", pinned.digest()))?).await?;
        equal("the digest", again.digest(), pinned.digest())
    };
    let name = "what was pushed is there after reopening";
    trials.push(try_reopening(&*factory, name, before, after).await);
    Report { suite: "registry", trials }
}

fn all<F>() -> Vec<Staged<Stage<F>>>
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    vec![
        staged(a_name_resolves_to_one_digest_that_stays),
        staged(what_is_asked_for_by_its_digest_is_what_comes),
        staged(a_digest_that_the_name_does_not_mean_is_refused),
        staged(a_name_that_moved_means_the_other_image_from_then_on).where_it(Stage::moves_names),
        staged(what_was_pinned_is_the_same_image_after_its_name_moved).where_it(Stage::moves_names),
        staged(what_is_not_there_is_not_found_and_is_no_empty_image),
        staged(no_name_however_odd_is_anything_but_not_found),
        staged(what_it_does_not_do_is_unsupported).where_it(Stage::does_not_unpack),
        staged(an_image_is_unpacked_as_it_was_pushed).where_it(Stage::unpacks),
        staged(what_exists_is_not_unpacked_over).where_it(Stage::unpacks),
        staged(a_bundle_appears_complete_or_not_at_all).where_it(Stage::unpacks),
        staged(a_call_that_is_dropped_leaves_the_registry_usable).where_it(Stage::unpacks),
        staged(calls_at_once_are_not_taken_for_one_another).where_it(Stage::unpacks),
        staged(of_many_who_unpack_to_one_place_one_does).where_it(Stage::unpacks),
        attempted(a_damaged_image_is_corrupt_and_leaves_nothing),
        attempted(a_layer_that_leads_out_of_its_image_is_corrupt_and_leaves_nothing).where_it(Stage::unpacks),
    ]
}

/// How many times a call is polled at most before it is dropped.
const MOST_POLLS: usize = 6;

/// A fresh registry, who pushes, and a place to unpack to.
struct Stage<F: AdapterFactory> {
    factory: Arc<F>,
    registry: Arc<F::Adapter>,
    capabilities: RegistryCapabilities,
    folder: PathBuf,
}

impl<F> Stage<F>
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    fn unpacks(&self) -> Result<(), &'static str> {
        if self.capabilities.unpacks { Ok(()) } else { Err("it does not unpack, and says so") }
    }

    fn does_not_unpack(&self) -> Result<(), &'static str> {
        if self.capabilities.unpacks { Err("it unpacks, and says so") } else { Ok(()) }
    }

    fn moves_names(&self) -> Result<(), &'static str> {
        if self.capabilities.names_move { Ok(()) } else { Err("names do not move there, and it says so") }
    }

    async fn pushed(&self, reference: &str, text: &str) -> Result<(SampleImage, PinnedImage), Failure> {
        let image = image(reference, text)?;
        self.factory.push(&self.registry, &image).await?;
        let pinned = self.registry.resolve(&image.reference).await?;
        Ok((image, pinned))
    }

    /// A place to unpack to, deep enough that whatever climbs out of it stays below the suite's own folder.
    fn place(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(DEEP);
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        Ok(folder.join(name))
    }

    /// That the suite's folder holds what [`Stage::place`] made, and nothing else.
    fn holds_nothing(&self, after: &str) -> Outcome {
        let left: Vec<String> =
            below(&self.folder)?.into_iter().filter(|name| !format!("{DEEP}/").starts_with(name)).collect();
        ensure(left.is_empty(), format!("{after} left {left:?}"))
    }

    /// Unpacks, and looks whether the files are the image's.
    async fn unpacked(&self, pinned: &PinnedImage, image: &SampleImage, name: &str) -> Outcome {
        let place = self.place(name)?;
        self.registry.unpack(pinned, &place).await?;
        holds(&place, image)
    }
}

const DEEP: &str = "outer/inner/bundles";

async fn a_name_resolves_to_one_digest_that_stays<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, pinned) = stage.pushed("shop/cart:1", "one").await?;
    equal("what is pinned", pinned.to_string(), format!("{}@{}", image.reference, pinned.digest()))?;
    let (_, other) = stage.pushed("shop/cart:2", "two").await?;
    ensure(other.digest() != pinned.digest(), "two images have one digest")?;
    for _ in 0..2 {
        equal("what it resolves to later", &stage.registry.resolve(&image.reference).await?, &pinned)?;
    }
    Ok(())
}

async fn what_is_asked_for_by_its_digest_is_what_comes<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (_, one) = stage.pushed("shop/cart:1", "one").await?;
    let (_, two) = stage.pushed("shop/cart:2", "two").await?;
    for (tag, pinned) in [("1", &one), ("2", &two)] {
        let digest = pinned.digest();
        for asked in [format!("shop/cart@{digest}"), format!("shop/cart:{tag}@{digest}")] {
            let answer = stage.registry.resolve(&named(&asked)?).await?;
            equal("what is pinned", answer.to_string(), asked)?;
        }
    }
    Ok(())
}

async fn a_digest_that_the_name_does_not_mean_is_refused<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    stage.pushed("shop/cart:1", "one").await?;
    let (_, other) = stage.pushed("shop/cart:2", "two").await?;
    for digest in [other.digest(), &nobodys()?] {
        let asked = format!("shop/cart:1@{digest}");
        match stage.registry.resolve(&named(&asked)?).await {
            Ok(answer) => return Err(Failure::new(format!("{asked} was resolved to {answer}"))),
            Err(error) => ensure(
                error.retry() == Retry::Never && !error.message().is_empty(),
                format!("{asked} will never be right, and the error says {:?}: {error}", error.retry()),
            )?,
        }
    }
    Ok(())
}

/// The digest of no image.
fn nobodys() -> Result<ImageDigest, Failure> {
    ImageDigest::new(&format!("sha256:{}", "5".repeat(64))).map_err(|error| Failure::new(error.to_string()))
}

async fn a_name_that_moved_means_the_other_image_from_then_on<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, before) = stage.pushed("shop/cart:latest", "one").await?;
    stage.factory.push(&stage.registry, &self::image("shop/cart:latest", "two")?).await?;
    let after = stage.registry.resolve(&image.reference).await?;
    ensure(after.digest() != before.digest(), "the name still means what was pushed first")?;
    stage.factory.push(&stage.registry, &image).await?;
    equal("the name that moved back", stage.registry.resolve(&image.reference).await?, before)?;
    Ok(())
}

async fn what_was_pinned_is_the_same_image_after_its_name_moved<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, pinned) = stage.pushed("shop/cart:latest", "one").await?;
    stage.factory.push(&stage.registry, &self::image("shop/cart:latest", "two")?).await?;
    let by_digest = named(&format!("shop/cart@{}", pinned.digest()))?;
    equal("the digest", stage.registry.resolve(&by_digest).await?.digest(), pinned.digest())?;
    if stage.capabilities.unpacks {
        stage.unpacked(&pinned, &image, "pinned").await?;
    }
    Ok(())
}

async fn what_is_not_there_is_not_found_and_is_no_empty_image<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let is_not_found = async |asked: &str| {
        let answer = stage.registry.resolve(&named(asked)?).await;
        is_refused(answer, PortErrorKind::NotFound, asked).map(drop)
    };
    let by_digest = format!("shop/cart@{}", nobodys()?);
    for asked in ["shop/cart:1", &by_digest] {
        is_not_found(asked).await?;
    }
    stage.pushed("shop/cart:1", "one").await?;
    for asked in ["shop/cart:2", "shop/pay:1", "shop:1", "shop/cart/more:1", &by_digest] {
        is_not_found(asked).await?;
    }
    if stage.capabilities.unpacks {
        let place = stage.place("nothing")?;
        let pinned = named("shop/cart:1")?.pinned(nobodys()?);
        let answer = stage.registry.unpack(&pinned, &place).await;
        is_refused(answer, PortErrorKind::NotFound, "unpacking an image that nobody pushed")?;
        stage.holds_nothing("unpacking an image that nobody pushed")?;
    }
    Ok(())
}

async fn no_name_however_odd_is_anything_but_not_found<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    stage.pushed("shop/cart:1", "one").await?;
    let (long, longest) = ("a/".repeat(80), "t".repeat(128));
    for odd in [
        format!("shop/cart:{longest}"),
        format!("{long}cart:1"),
        "shop/cart:_..".to_owned(),
        "shop/cart:1.json".to_owned(),
        "shop/cart:CON".to_owned(),
        "shop/index.json:1".to_owned(),
        "blobs/sha256:1".to_owned(),
        "v2/shop/cart/manifests:1".to_owned(),
        "shop/c-a_r.t:1".to_owned(),
    ] {
        let answer = stage.registry.resolve(&named(&odd)?).await;
        is_refused(answer, PortErrorKind::NotFound, &format!("`{odd}`"))?;
    }
    stage.registry.resolve(&named("shop/cart:1")?).await?;
    Ok(())
}

async fn what_it_does_not_do_is_unsupported<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (_, pinned) = stage.pushed("shop/cart:1", "one").await?;
    let answer = stage.registry.unpack(&pinned, &stage.place("image")?).await;
    is_refused(answer, PortErrorKind::Unsupported, "unpacking, which it does not promise,")?;
    stage.holds_nothing("a refusal")?;
    Ok(())
}

async fn an_image_is_unpacked_as_it_was_pushed<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, pinned) = stage.pushed("shop/cart:1", "one").await?;
    for place in ["first", "second"] {
        let place = stage.place(place)?;
        let bundle = stage.registry.unpack(&pinned, &place).await?;
        holds(&place, &image)?;
        says(&bundle, &image, &place)?;
    }
    let beside = fs::read_dir(stage.folder.join(DEEP)).map_or(0, Iterator::count);
    equal("how many bundles are there", beside, 2)?;
    Ok(())
}

async fn what_exists_is_not_unpacked_over<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (_, pinned) = stage.pushed("shop/cart:1", "one").await?;
    let (empty, full, file) = (stage.place("empty")?, stage.place("full")?, stage.place("file")?);
    let made = fs::create_dir(&empty).and_then(|()| fs::create_dir(&full));
    made.and_then(|()| fs::write(full.join("diary"), "kept"))
        .and_then(|()| fs::write(&file, "kept"))
        .map_err(|error| Failure::new(error.to_string()))?;
    let before = below(&stage.folder)?;
    for place in [&empty, &full, &file] {
        let answer = stage.registry.unpack(&pinned, place).await;
        ensure(answer.is_err(), format!("{} is there already and was unpacked to", place.display()))?;
    }
    equal("what is there", below(&stage.folder)?, before)?;
    ensure(fs::read(&file).is_ok_and(|held| held == b"kept"), "the file that was there was written to")?;
    Ok(())
}

async fn a_bundle_appears_complete_or_not_at_all<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, pinned) = stage.pushed("shop/cart:1", "one").await?;
    let place = stage.place("image")?;
    let mut unpacking = pin!(stage.registry.unpack(&pinned, &place));
    loop {
        let ended = polled_once(unpacking.as_mut()).await;
        if fs::symlink_metadata(&place).is_ok() {
            holds(&place, &image).map_err(|Failure(how)| Failure(format!("while it is unpacked: {how}")))?;
        }
        if let Some(bundle) = ended {
            bundle?;
            return holds(&place, &image);
        }
        yield_now().await;
    }
}

async fn a_call_that_is_dropped_leaves_the_registry_usable<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let (image, pinned) = stage.pushed("shop/cart:1", "one").await?;
    for polls in 1..=MOST_POLLS {
        let place = stage.place(&format!("dropped-{polls}"))?;
        let mut unpacking = Box::pin(stage.registry.unpack(&pinned, &place));
        let mut resolving = Box::pin(stage.registry.resolve(&image.reference));
        for _ in 0..polls {
            if polled_once(resolving.as_mut()).await.is_some() {
                resolving = Box::pin(stage.registry.resolve(&image.reference));
            }
            if polled_once(unpacking.as_mut()).await.is_some() {
                break;
            }
            yield_now().await;
        }
        drop((unpacking, resolving));
        if fs::symlink_metadata(&place).is_ok() {
            holds(&place, &image)
                .map_err(|Failure(how)| Failure(format!("after a call was dropped: {how}")))?;
        }
        equal("what resolves", &stage.registry.resolve(&image.reference).await?, &pinned)?;
        stage.unpacked(&pinned, &image, &format!("after-{polls}")).await?;
    }
    Ok(())
}

async fn calls_at_once_are_not_taken_for_one_another<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let images = [stage.pushed("shop/cart:1", "one").await?, stage.pushed("shop/pay:1", "two").await?];
    let stage = Arc::new(stage);
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let (stage, (image, pinned)) = (Arc::clone(&stage), images[number % 2].clone());
        calls.spawn(async move {
            equal("what it resolves to", &stage.registry.resolve(&image.reference).await?, &pinned)?;
            stage.unpacked(&pinned, &image, &format!("at-once-{number}")).await
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))??;
    }
    Ok(())
}

async fn of_many_who_unpack_to_one_place_one_does<F>(stage: Stage<F>) -> Outcome
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let images = [stage.pushed("shop/cart:1", "one").await?, stage.pushed("shop/pay:1", "two").await?];
    let place = stage.place("image")?;
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let (registry, place) = (Arc::clone(&stage.registry), place.clone());
        let (image, pinned) = images[number % 2].clone();
        calls.spawn(async move { registry.unpack(&pinned, &place).await.map(|_| image) });
    }
    let mut winners = Vec::new();
    while let Some(ended) = calls.join_next().await {
        let ended = ended.map_err(|panicked| Failure::new(format!("the adapter panicked: {panicked}")))?;
        winners.extend(ended);
    }
    let [winner] = winners.as_slice() else {
        return Err(Failure::new(format!("{} of 8 were told that they did", winners.len())));
    };
    holds(&place, winner)?;
    let beside = fs::read_dir(stage.folder.join(DEEP)).map_or(0, Iterator::count);
    equal("what is there beside", beside, 1)?;
    Ok(())
}

async fn a_damaged_image_is_corrupt_and_leaves_nothing<F>(stage: Stage<F>) -> Result<Verdict, Failure>
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let mut is_tried = false;
    for (hostile, reference) in
        [(Hostile::DamagedManifest, "shop/manifest:1"), (Hostile::DamagedLayer, "shop/layer:1")]
    {
        let reference = named(reference)?;
        let Some(pinned) = stage.factory.push_hostile(&stage.registry, &reference, hostile).await? else {
            continue;
        };
        is_tried = true;
        let what = format!("what has a {hostile:?}");
        is_refused(stage.registry.resolve(&reference).await, PortErrorKind::Corrupt, &what)?;
        if stage.capabilities.unpacks {
            let answer = stage.registry.unpack(&pinned, &stage.place("image")?).await;
            is_refused(answer, PortErrorKind::Corrupt, &format!("unpacking {what}"))?;
            stage.holds_nothing(&format!("unpacking {what}"))?;
        }
    }
    Ok(if is_tried { Verdict::Passed } else { Verdict::Skipped("nothing in it can be damaged") })
}

async fn a_layer_that_leads_out_of_its_image_is_corrupt_and_leaves_nothing<F>(
    stage: Stage<F>,
) -> Result<Verdict, Failure>
where
    F: RegistryFactory,
    F::Adapter: ImageRegistry,
{
    let mut is_tried = false;
    for (hostile, reference) in
        [(Hostile::ClimbingFile, "shop/climbing:1"), (Hostile::FileThroughALink, "shop/through:1")]
    {
        let pushed = stage.factory.push_hostile(&stage.registry, &named(reference)?, hostile).await?;
        let Some(pinned) = pushed else { continue };
        is_tried = true;
        let answer = stage.registry.unpack(&pinned, &stage.place("image")?).await;
        // What left something behind is told before what it said about that.
        stage.holds_nothing(&format!("unpacking a {hostile:?}"))?;
        is_refused(answer, PortErrorKind::Corrupt, &format!("unpacking a {hostile:?}"))?;
    }
    Ok(if is_tried { Verdict::Passed } else { Verdict::Skipped("nobody can push such a layer") })
}
