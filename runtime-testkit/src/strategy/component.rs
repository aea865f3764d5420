//! Images, components and what they run with.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use runtime_domain::component::{
    ComponentSpec, ComponentType, ConfigurationDelivery, ConfigurationReload, ConfigurationVersionRef,
    DependencySpec, HttpPath, HttpProbeSpec, ImageDigest, ImageReference, JobSpec, OutsideService,
    PinnedImage, ReleaseReference, ReleaseTuple, RevisionId, SecretVersionRef, ServiceUrl, VariableName,
    Version,
};

use runtime_domain::secrets::SecretVersion;

use crate::strategy::environment::valid_surface_kind;
use crate::strategy::scaling::valid_policy_spec;
use crate::strategy::text::hostile_text;
use crate::strategy::value::{made, valid_id, valid_name, valid_replicas, valid_span};

/// A digest.
pub fn valid_image_digest() -> BoxedStrategy<ImageDigest> {
    made("sha256:[0-9a-f]{64}", |text| ImageDigest::new(text).ok())
}

/// A reference with a tag, a digest or both, with and without a registry.
pub fn valid_image_reference() -> BoxedStrategy<ImageReference> {
    let repository =
        "([a-z0-9]{1,8}(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,8}([._-][a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,8}){0,2}";
    let tagged = (repository, "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", option::of(valid_image_digest()));
    tagged
        .prop_filter_map("an image", |(repository, tag, digest)| {
            let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
            // A port needs a path behind it, or it is a tag.
            let is_legal = repository.contains('/') || !repository.contains(':');
            ImageReference::new(&format!("{repository}:{tag}{digest}")).ok().filter(|_| is_legal)
        })
        .boxed()
}

/// An image whose content is known.
pub fn valid_pinned_image() -> BoxedStrategy<PinnedImage> {
    (valid_image_reference(), valid_image_digest()).prop_map(|(image, digest)| image.pinned(digest)).boxed()
}

/// A version.
pub fn valid_version() -> BoxedStrategy<Version> {
    made("[a-zA-Z0-9._+-]{1,64}", |text| Version::new(text).ok())
}

/// The name of an environment variable.
pub fn valid_variable_name() -> BoxedStrategy<VariableName> {
    made("[A-Z_][A-Z0-9_]{0,30}", |text| VariableName::new(text).ok())
}

/// A path for probes.
pub fn valid_http_path() -> BoxedStrategy<HttpPath> {
    made("/([a-z0-9?=&%._-]{1,10}/?){0,4}", |text| HttpPath::new(text).ok())
}

/// A release's name.
pub fn valid_release_reference() -> BoxedStrategy<ReleaseReference> {
    made("[a-zA-Z0-9._+/@:-]{1,128}", |text| ReleaseReference::new(text).ok())
}

/// A revision of a component.
pub fn valid_revision_id() -> BoxedStrategy<RevisionId> {
    (valid_name(), valid_id()).prop_map(|(module, deployment)| RevisionId::new(module, deployment)).boxed()
}

/// A part that a component plays.
pub fn valid_component_type() -> BoxedStrategy<ComponentType> {
    use ComponentType::{AdminPortal, CustomerPortal, Gateway, Microservice, MobileBackend, Worker};
    prop_oneof![
        Just(Gateway),
        Just(Microservice),
        Just(Worker),
        Just(AdminPortal),
        Just(CustomerPortal),
        Just(MobileBackend)
    ]
    .boxed()
}

/// A probe of an instance.
pub fn valid_http_probe() -> BoxedStrategy<HttpProbeSpec> {
    (valid_http_path(), valid_span(), valid_span(), any::<u16>())
        .prop_map(|(path, period, timeout, failure_threshold)| HttpProbeSpec {
            path,
            period,
            timeout,
            failure_threshold,
        })
        .boxed()
}

/// A vault's name for one version of a secret, of either kind.
pub fn valid_secret_version() -> BoxedStrategy<SecretVersion> {
    prop_oneof![
        (1..=u32::MAX).prop_filter_map("a number", |number| number.to_string().parse().ok()),
        made("[0-9a-f]{32}", |text| text.parse().ok()),
    ]
    .boxed()
}

/// What rolls forward and back as one.
pub fn valid_release_tuple() -> BoxedStrategy<ReleaseTuple> {
    let configuration =
        (valid_id(), "sha256:[0-9a-f]{64}").prop_filter_map("a checksum", |(configuration, text)| {
            text.parse().ok().map(|checksum| ConfigurationVersionRef { configuration, checksum })
        });
    let secret = (valid_id(), valid_secret_version())
        .prop_map(|(binding, version)| SecretVersionRef { binding, version });
    let versions = (option::of(configuration), btree_set(secret, 0..3));
    (valid_pinned_image(), versions, option::of(valid_id()), option::of(valid_policy_spec()))
        .prop_map(|(image, (configuration, secrets), scaling_policy, scaling)| ReleaseTuple {
            image,
            configuration,
            secrets,
            scaling_policy,
            scaling,
        })
        .boxed()
}

/// How a component gets its configuration.
pub fn valid_configuration_delivery() -> BoxedStrategy<ConfigurationDelivery> {
    let reload = prop_oneof![Just(ConfigurationReload::Restart), Just(ConfigurationReload::Signal)];
    (any::<bool>(), reload, option::of(valid_http_path()))
        .prop_map(|(variables, reload, report)| ConfigurationDelivery { variables, reload, report })
        .boxed()
}

/// Where a service outside is asked.
pub fn valid_service_url() -> BoxedStrategy<ServiceUrl> {
    let url = "http://([a-z][a-z0-9]{0,8}(\\.[a-z]{1,5}){0,2}|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9]\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?(/[a-z%:@]{1,8}){0,3}";
    made(url, |text| ServiceUrl::new(text).ok())
}

/// What a component needs to be well.
pub fn valid_dependency() -> BoxedStrategy<DependencySpec> {
    let outside =
        (valid_service_url(), valid_span()).prop_map(|(url, timeout)| OutsideService { url, timeout });
    (any::<bool>(), option::of(outside))
        .prop_map(|(required, http)| DependencySpec { required, http })
        .boxed()
}

/// A component that may be rolled out at once.
pub fn valid_component() -> BoxedStrategy<ComponentSpec> {
    let what = (valid_name(), valid_component_type(), valid_version(), valid_release_tuple());
    let how = (valid_surface_kind(), valid_replicas(), vec("\\PC{0,12}", 0..3));
    let variables = btree_map(valid_variable_name(), "\\PC{0,16}", 0..3);
    let probes = (option::of(valid_http_probe()), option::of(valid_http_probe()), valid_span());
    let dependencies = btree_map(valid_name(), valid_dependency(), 0..3);
    (what, how, (variables, valid_configuration_delivery(), dependencies), probes)
        .prop_map(
            |(what, (surface, replicas, arguments), (variables, configuration, dependencies), probes)| {
                let (module, component_type, version, mut tuple) = what;
                // It scales on the surface that runs it.
                tuple.scaling = tuple.scaling.filter(|policy| policy.bounds().target() == surface);
                let (readiness, liveness, termination_grace) = probes;
                ComponentSpec {
                    module,
                    component_type,
                    version,
                    tuple,
                    surface,
                    replicas,
                    resources: None,
                    arguments,
                    variables,
                    configuration,
                    readiness,
                    liveness,
                    termination_grace,
                    depends_on: std::collections::BTreeSet::new(),
                    dependencies,
                }
            },
        )
        .boxed()
}

/// A short task.
pub fn valid_job() -> BoxedStrategy<JobSpec> {
    (valid_name(), valid_pinned_image(), vec("\\PC{0,12}", 0..3), 1..100_000_u64)
        .prop_map(|(name, image, arguments, millis)| JobSpec {
            name,
            image,
            arguments,
            variables: std::collections::BTreeMap::new(),
            component: None,
            timeout: runtime_domain::time::Span::from_millis(millis),
        })
        .boxed()
}

/// Texts that pretend to be images: climbing, shouting, with nothing where something must be, or with too much of it.
pub fn hostile_image() -> BoxedStrategy<String> {
    let near = prop_oneof![
        Just("shop/../cart:1"),
        Just("../cart:1"),
        Just("Shop/cart:1"),
        Just("cart"),
        Just("cart:"),
        Just("cart@"),
        Just("cart@sha256:"),
        Just("a:0/b:1"),
        Just("a:65536/b:1"),
        Just("host:5000"),
        Just("cart:1@sha256:1@sha256:2"),
        Just("//cart:1"),
        Just("сart:1"),
        Just("cart:-1"),
    ];
    prop_oneof![2 => near.prop_map(str::to_owned), 2 => "[a-zA-Z0-9:/@._-]{0,300}", 1 => hostile_text()]
        .boxed()
}
