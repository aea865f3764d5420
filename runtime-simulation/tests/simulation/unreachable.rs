//! What is in the code, and no story comes to: each with the reason why. What is here is not counted as missing; where a story comes to it all
//! the same, the reason is wrong, and the run fails.

/// What, and why.
pub(crate) type Unreachable = (&'static str, &'static [&'static str]);

/// Refusals that no operator is told.
pub(crate) const REFUSALS: [Unreachable; 6] = [
    (
        "services take what proves something from the very place that is asked about",
        &[
            "ConfigurationRefusal::ForeignEvidence",
            "ConfigurationRefusal::OtherActivity",
            "DeploymentRefusal::ForeignEvidence",
            "DriftRefusal::ForeignEvidence",
            "DriftRefusal::OtherActivity",
            "EnvironmentRefusal::ForeignBinding",
            "EnvironmentRefusal::ForeignQuota",
            "EnvironmentRefusal::ForeignUpstream",
            "InventoryRefusal::ForeignEnvironment",
            "InventoryRefusal::ForeignModule",
            "InventoryRefusal::ForeignObservation",
            "InventoryRefusal::ForeignTenant",
            "ScalingRefusal::ForeignEvidence",
            "ScalingRefusal::OtherSurface",
            "SecretRefusal::ForeignConsumer",
            "SecretRefusal::ForeignEvidence",
            "SecretRefusal::OtherActivity",
            "TenancyRefusal::ForeignEvidence",
        ],
    ),
    ("an environment is one tenant's, and others do not find it", &["TenancyRefusal::ForeignSilo"]),
    (
        "what is refused so is asked by hosts themselves, and by no operator",
        &[
            "ConfigurationRefusal::Different",
            "ConfigurationRefusal::NotNewer",
            "ConfigurationRefusal::OtherBasis",
            "DeploymentRefusal::GateNotPassed",
            "DriftRefusal::OtherDeployment",
            "DriftRefusal::OtherDivergence",
            "DriftRefusal::Stale",
            "DriftRefusal::UnfitAction",
            "EnvironmentRefusal::BadExpiry",
            "EnvironmentRefusal::Misfit",
            "EnvironmentRefusal::NotCommitted",
            "EnvironmentRefusal::StillHeld",
            "HealthRefusal::Entries",
            "HealthRefusal::WindowNotOver",
            "HealthRefusal::WindowTaken",
            "InventoryRefusal::AlreadyRegistered",
            "SecretRefusal::BadReport",
            "SecretRefusal::FutureReport",
            "SecretRefusal::NotNew",
            "SecretRefusal::OtherVault",
            "SecretRefusal::OtherVersion",
            "TenancyRefusal::NotCommitted",
            "TenancyRefusal::OtherStep",
            "TenancyRefusal::TooEarly",
        ],
    ),
    (
        "a story is too short for so many",
        &[
            "ConfigurationRefusal::NoNumberLeft",
            "ConfigurationRefusal::TooManyConsumers",
            "EnvironmentRefusal::LedgerFull",
        ],
    ),
    ("every host has a source of desired state", &["WatchRefusal::NoSource"]),
    ("promotions are asked for without approvals", &["DeploymentRefusal::OwnPromotion"]),
];

/// Events that nothing brings about.
pub(crate) const EVENTS: [Unreachable; 1] = [(
    "the world's surface is of processes, and only what is driven by events runs no replica (SCL-2)",
    &["ScalingPolicy ScalingActivated"],
)];

/// Everything, each with its reason.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let both = REFUSALS.iter().chain(&EVENTS);
    both.flat_map(|(why, named)| named.iter().map(move |one| (*one, *why)))
}

/// The reason why something is not reached, if there is one.
pub(crate) fn why(what: &str) -> Option<&'static str> {
    all().find(|(one, _)| *one == what).map(|(_, why)| why)
}
