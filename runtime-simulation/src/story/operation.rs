//! What operators ask for.

use std::fmt;

use super::{Strategy, Wrong, component};

/// What operators ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// An environment.
    Provision,
    /// Its end.
    Decommission,
    /// A release of these components.
    Deploy {
        /// The version of each; every fifth is never ready.
        version: u8,
        /// Which, by number.
        components: Vec<u8>,
        /// How.
        strategy: Strategy,
    },
    /// That the newest deployment waits.
    Pause,
    /// That it goes on.
    Resume,
    /// That it waits for nothing.
    Promote,
    /// That it ends, and what was before serves.
    Abort,
    /// That somebody agrees to it, or does not.
    Approve {
        /// Whether they agree.
        agrees: bool,
    },
    /// That an older deployment serves again: the one before the newest Completed.
    RollBack,
    /// That images which were rolled back may be deployed again.
    ReleaseQuarantine,
    /// A version of configuration.
    Publish {
        /// What it says.
        text: u8,
    },
    /// A version of configuration that gives a secret away, which is refused.
    PublishSecret,
    /// That the newest version of configuration comes to what runs.
    Synchronise,
    /// That the newest version of configuration is taken back.
    Withdraw,
    /// That what serves in the environment before comes to this one.
    BringOn,
    /// That a component gets a secret.
    BindSecret {
        /// Which component.
        component: u8,
    },
    /// A new version of a secret.
    Rotate {
        /// Whose.
        component: u8,
    },
    /// Something else about a secret.
    Secret {
        /// Whose.
        component: u8,
        /// What.
        ask: SecretAsk,
    },
    /// That a component is scaled by what it has to do.
    Scale {
        /// Which.
        component: u8,
    },
    /// Something else about how it scales.
    Scaling {
        /// Which.
        component: u8,
        /// What.
        ask: ScalingAsk,
    },
    /// That the environment is compared with what is desired.
    Watch,
    /// That it is not.
    StopWatching,
    /// Something about what was found.
    Drift {
        /// What.
        ask: DriftAsk,
    },
    /// That nothing is changed any more.
    StopTheLine,
    /// That it is again.
    ResumeTheLine,
    /// Something about the tenant's place.
    Tenancy {
        /// What.
        ask: TenancyAsk,
    },
    /// Something about the environment itself.
    Environment {
        /// What.
        ask: EnvironmentAsk,
    },
    /// That every parked stream of events goes on.
    Unpark,
    /// How everything is.
    Look,
    /// What is to be refused.
    Wrong {
        /// What is wrong with it.
        wrong: Wrong,
    },
}

impl Operation {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Provision => "Provision",
            Self::Decommission => "Decommission",
            Self::Deploy { .. } => "Deploy",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Promote => "Promote",
            Self::Abort => "Abort",
            Self::Approve { .. } => "Approve",
            Self::RollBack => "RollBack",
            Self::ReleaseQuarantine => "ReleaseQuarantine",
            Self::Publish { .. } => "Publish",
            Self::PublishSecret => "PublishSecret",
            Self::Synchronise => "Synchronise",
            Self::Withdraw => "Withdraw",
            Self::BringOn => "BringOn",
            Self::BindSecret { .. } => "BindSecret",
            Self::Rotate { .. } => "Rotate",
            Self::Secret { ask, .. } => ask.name(),
            Self::Scale { .. } => "Scale",
            Self::Scaling { ask, .. } => ask.name(),
            Self::Watch => "Watch",
            Self::StopWatching => "StopWatching",
            Self::Drift { ask, .. } => ask.name(),
            Self::StopTheLine => "StopTheLine",
            Self::ResumeTheLine => "ResumeTheLine",
            Self::Tenancy { ask, .. } => ask.name(),
            Self::Environment { ask, .. } => ask.name(),
            Self::Unpark => "Unpark",
            Self::Look => "Look",
            Self::Wrong { .. } => "Wrong",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provision => formatter.write_str("provision it"),
            Self::Decommission => formatter.write_str("decommission it"),
            Self::Deploy { version, components, strategy } => {
                let names: Vec<&str> = components.iter().map(|number| component(*number)).collect();
                write!(formatter, "deploy version {version} of {}, {strategy:?}", names.join(", "))
            }
            Self::Pause => formatter.write_str("pause the newest deployment"),
            Self::Resume => formatter.write_str("resume it"),
            Self::Promote => formatter.write_str("promote it"),
            Self::Abort => formatter.write_str("abort it"),
            Self::Approve { agrees } => write!(formatter, "agree to it: {agrees}"),
            Self::RollBack => formatter.write_str("roll back to the deployment before"),
            Self::ReleaseQuarantine => formatter.write_str("release its images from quarantine"),
            Self::Publish { text } => write!(formatter, "publish configuration {text}"),
            Self::PublishSecret => formatter.write_str("publish a secret as configuration"),
            Self::Synchronise => formatter.write_str("synchronise the newest configuration"),
            Self::Withdraw => formatter.write_str("withdraw the newest configuration"),
            Self::BringOn => formatter.write_str("bring on what serves in the environment before"),
            Self::BindSecret { component: of } => write!(formatter, "bind a secret to {}", component(*of)),
            Self::Rotate { component: of } => write!(formatter, "rotate the secret of {}", component(*of)),
            Self::Secret { component: of, ask } => write!(formatter, "secret of {}: {ask}", component(*of)),
            Self::Scale { component: of } => write!(formatter, "scale {} by its load", component(*of)),
            Self::Scaling { component: of, ask } => write!(formatter, "policy of {}: {ask}", component(*of)),
            Self::Watch => formatter.write_str("watch it for drift"),
            Self::StopWatching => formatter.write_str("stop watching it"),
            Self::Drift { ask } => write!(formatter, "{ask}"),
            Self::StopTheLine => formatter.write_str("stop the line"),
            Self::ResumeTheLine => formatter.write_str("resume the line"),
            Self::Tenancy { ask } => write!(formatter, "{ask}"),
            Self::Environment { ask } => write!(formatter, "{ask}"),
            Self::Unpark => formatter.write_str("unpark every stream"),
            Self::Look => formatter.write_str("look at everything"),
            Self::Wrong { wrong } => write!(formatter, "{wrong}"),
        }
    }
}

/// What is asked of a tenant's place in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenancyAsk {
    /// That the tenant is bound to it.
    Bind,
    /// That it may use more, or less, by its number.
    Grow {
        /// In units; 200 is more than there is.
        units: u8,
    },
    /// That its place takes no new deployments.
    Cordon,
    /// That it takes them again.
    Uncordon,
    /// That its place is not given up, or that it may be.
    Protect {
        /// Whether it is protected.
        is_on: bool,
    },
    /// That it moves into the next environment, which is a silo.
    Move,
    /// That it stays.
    AbortMove,
    /// That its place is given up.
    Release,
}

impl TenancyAsk {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bind => "Tenancy.Bind",
            Self::Grow { .. } => "Tenancy.Grow",
            Self::Cordon => "Tenancy.Cordon",
            Self::Uncordon => "Tenancy.Uncordon",
            Self::Protect { .. } => "Tenancy.Protect",
            Self::Move => "Tenancy.Move",
            Self::AbortMove => "Tenancy.AbortMove",
            Self::Release => "Tenancy.Release",
        }
    }
}

impl fmt::Display for TenancyAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind => formatter.write_str("bind its tenant"),
            Self::Grow { units } => write!(formatter, "let its tenant use {units} units"),
            Self::Cordon => formatter.write_str("cordon its tenant"),
            Self::Uncordon => formatter.write_str("uncordon its tenant"),
            Self::Protect { is_on } => write!(formatter, "protect its tenant: {is_on}"),
            Self::Move => formatter.write_str("move its tenant into the next environment"),
            Self::AbortMove => formatter.write_str("abort the move of its tenant"),
            Self::Release => formatter.write_str("release its tenant"),
        }
    }
}

/// What is asked of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironmentAsk {
    /// That what could not be provisioned is tried again.
    Retry,
    /// That it is not decommissioned, or that it may be.
    Protect {
        /// Whether it is protected.
        is_on: bool,
    },
    /// That nobody changes it, or that everybody may.
    Freeze {
        /// Whether it is frozen.
        is_on: bool,
    },
    /// That it ends by itself after so long, or never.
    LiveFor {
        /// 0 for never.
        seconds: u16,
    },
    /// Whether all that it is made of is there.
    Refresh,
    /// What may be changed of it, or what may not.
    Change {
        /// Whether it may be changed.
        may_be: bool,
    },
    /// That a release comes by the environment before it only, or that it need not.
    Promotion {
        /// Whether it must.
        is_on: bool,
    },
}

impl EnvironmentAsk {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Retry => "Environment.Retry",
            Self::Protect { .. } => "Environment.Protect",
            Self::Freeze { .. } => "Environment.Freeze",
            Self::LiveFor { .. } => "Environment.LiveFor",
            Self::Refresh => "Environment.Refresh",
            Self::Change { .. } => "Environment.Change",
            Self::Promotion { .. } => "Environment.Promotion",
        }
    }
}

impl fmt::Display for EnvironmentAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => formatter.write_str("provision it again"),
            Self::Protect { is_on } => write!(formatter, "protect it: {is_on}"),
            Self::Freeze { is_on } => write!(formatter, "freeze it: {is_on}"),
            Self::LiveFor { seconds } => write!(formatter, "let it end after {seconds} s"),
            Self::Refresh => formatter.write_str("refresh it"),
            Self::Change { may_be } => write!(formatter, "change what may be changed: {may_be}"),
            Self::Promotion { is_on } => write!(formatter, "releases come by promotion only: {is_on}"),
        }
    }
}

/// What is asked of a component's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretAsk {
    /// A new version at once, since others know the old one.
    Compromised,
    /// That it is rotated by itself.
    Schedule {
        /// How often.
        seconds: u16,
    },
    /// That the rotation is called off.
    Abort,
    /// That it is not rotated.
    Suspend,
    /// That it is rotated again.
    Resume,
    /// That the component gets it no longer.
    Unbind,
}

impl SecretAsk {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Compromised => "Secret.Compromised",
            Self::Schedule { .. } => "Secret.Schedule",
            Self::Abort => "Secret.Abort",
            Self::Suspend => "Secret.Suspend",
            Self::Resume => "Secret.Resume",
            Self::Unbind => "Secret.Unbind",
        }
    }
}

impl fmt::Display for SecretAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compromised => formatter.write_str("rotate what is compromised"),
            Self::Schedule { seconds } => write!(formatter, "rotate every {seconds} s"),
            Self::Abort => formatter.write_str("abort the rotation"),
            Self::Suspend => formatter.write_str("suspend rotation"),
            Self::Resume => formatter.write_str("resume rotation"),
            Self::Unbind => formatter.write_str("unbind it"),
        }
    }
}

/// What is asked of a component's scaling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScalingAsk {
    /// Other bounds.
    Change {
        /// How many replicas at most.
        most: u8,
    },
    /// That the replicas stay as they are.
    Suspend,
    /// That it scales again.
    Resume,
    /// That it ends.
    Retire,
}

impl ScalingAsk {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Change { .. } => "Scaling.Change",
            Self::Suspend => "Scaling.Suspend",
            Self::Resume => "Scaling.Resume",
            Self::Retire => "Scaling.Retire",
        }
    }
}

impl fmt::Display for ScalingAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change { most } => write!(formatter, "scale to {most} at most"),
            Self::Suspend => formatter.write_str("suspend scaling"),
            Self::Resume => formatter.write_str("resume scaling"),
            Self::Retire => formatter.write_str("retire scaling"),
        }
    }
}

/// What is asked of the newest open finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriftAsk {
    /// That it is accepted for a while.
    Accept,
    /// That it is accepted no longer.
    Revoke,
    /// That its repair is tried again.
    Retry,
    /// That it is repaired.
    Remediate,
}

impl DriftAsk {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept => "Drift.Accept",
            Self::Revoke => "Drift.Revoke",
            Self::Retry => "Drift.Retry",
            Self::Remediate => "Drift.Remediate",
        }
    }
}

impl fmt::Display for DriftAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accept the newest finding"),
            Self::Revoke => formatter.write_str("accept it no longer"),
            Self::Retry => formatter.write_str("try its repair again"),
            Self::Remediate => formatter.write_str("repair it"),
        }
    }
}
