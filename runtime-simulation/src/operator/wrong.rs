//! What is to be refused: each asked so that nothing but the rule it breaks stands against it, as far as the state lets it.

use std::collections::BTreeSet;

use runtime_domain::configuration::RuntimeConfiguration;
use runtime_domain::deployment::{DeploymentStatus, Release, RuntimeDeployment};
use runtime_domain::drift::RuntimeDriftFinding;
use runtime_domain::drift::watch::WatchTerms;
use runtime_domain::environment::{EnvironmentChange, IsolationModel};
use runtime_domain::id::EnvironmentId;
use runtime_domain::promotion::{PromotionPolicy, Upstreams};
use runtime_domain::scaling::ScalingPolicy;
use runtime_domain::surface::SurfaceKind;
use runtime_domain::tenancy::{PartitionAssignment, ResourceQuota};
use runtime_domain::time::Span;
use runtime_domain::value::Name;
use runtime_ports::store::RuntimeTenantBindingRepository;
use runtime_services::deployments::Exceptions;
use runtime_services::tenancy::NewBinding;
use runtime_testkit::sample;
use serde_json::{Value, json};

use super::change::{checked, policy};
use super::release::release;
use super::{Answer, Asking, answer, isolation, quota};
use crate::records::{self, told};
use crate::story::{Strategy, Wrong, component};

/// A reason that gives a secret away.
const TELLTALE: &str = "the password=hunter2-hunter2-hunter2 was wrong";
/// The version of what is to be refused.
const VERSION: u8 = 1;

impl Asking<'_> {
    pub(super) async fn wrong(&self, wrong: Wrong) -> Answer {
        match wrong {
            Wrong::NoReasonToDecommission
            | Wrong::NoDestination
            | Wrong::NoSurface
            | Wrong::NameOfAnother
            | Wrong::AnotherName
            | Wrong::LostSurface
            | Wrong::NoCapacity
            | Wrong::UnknownUpstream => self.wrong_environment(wrong).await,
            Wrong::NoReasonToReleaseHold
            | Wrong::EmptyRelease
            | Wrong::OtherSurface
            | Wrong::ScalesElsewhere
            | Wrong::SecretVariable
            | Wrong::SilentReload
            | Wrong::OverQuota
            | Wrong::Strangers
            | Wrong::RolledBackAgain
            | Wrong::OtherConfiguration
            | Wrong::OldConfiguration
            | Wrong::PartBefore => self.wrong_release(wrong).await,
            Wrong::NoReasonToWithdraw
            | Wrong::SameContent
            | Wrong::KeyTwice
            | Wrong::LongText
            | Wrong::TooManyEntries
            | Wrong::TooLargeEntries
            | Wrong::OthersEntry
            | Wrong::KeyIsNoVariable => self.wrong_configuration(wrong).await,
            Wrong::NoReasonToCordon | Wrong::OtherIsolation | Wrong::OtherQuota | Wrong::TooSmallQuota => {
                self.wrong_place(wrong).await
            }
            Wrong::NoReasonToSuspendRotation
            | Wrong::OtherDelivery
            | Wrong::NoReasonToSuspendScaling
            | Wrong::OtherPolicy
            | Wrong::PolicyOfOtherSurface => self.wrong_component(wrong).await,
            Wrong::NoReasonToAccept
            | Wrong::SecretReasonToAccept
            | Wrong::AcceptedUntilYesterday
            | Wrong::NoReasonToStopWatching
            | Wrong::SecretReasonToStopWatching
            | Wrong::EndlessInterval => self.wrong_drift(wrong).await,
        }
    }

    async fn wrong_environment(&self, wrong: Wrong) -> Answer {
        let (environments, scope, at) = (self.services().environments(), &self.scope, self.environment);
        let mut change = EnvironmentChange::default();
        match wrong {
            Wrong::NoReasonToDecommission => {
                return answer(environments.decommission(scope, at, String::new()).await);
            }
            Wrong::NoSurface => {
                let mut wanted = self.operator.wanted()?;
                wanted.name = Name::new("bare").map_err(told)?;
                wanted.surfaces.clear();
                return answer(environments.provision(scope, wanted).await);
            }
            Wrong::NameOfAnother => {
                let mut wanted = self.operator.wanted()?;
                wanted.region = Name::new("elsewhere").map_err(told)?;
                return answer(environments.provision(scope, wanted).await);
            }
            Wrong::UnknownUpstream => {
                let upstream = BTreeSet::from([EnvironmentId::from_uuid(sample::host(77).uuid())]);
                let policy =
                    PromotionPolicy::new(upstream, Upstreams::All, Span::from_secs(2)).map_err(told)?;
                return answer(environments.change_promotion_policy(scope, at, Some(policy)).await);
            }
            Wrong::NoDestination => {
                change.egress_allow_list = Some(BTreeSet::from(["no destination!".to_owned()]));
            }
            Wrong::AnotherName => change.name = Some(Name::new("another").map_err(told)?),
            Wrong::LostSurface => change.surfaces = Some(BTreeSet::from([SurfaceKind::Functions])),
            _ => change.capacity = Some(quota(1)?),
        }
        answer(environments.change(scope, at, change).await)
    }

    async fn wrong_release(&self, wrong: Wrong) -> Answer {
        let (deployments, scope, at) = (self.services().deployments(), &self.scope, self.environment);
        let all = self.operator.records.deployments(scope, at).await;
        let all: Vec<&RuntimeDeployment> = all.iter().map(|loaded| &loaded.aggregate).collect();
        if wrong == Wrong::PartBefore {
            let completed = all.iter().filter(|it| it.status() == DeploymentStatus::Completed);
            let part =
                completed.min_by_key(|it| it.release().components.len()).ok_or("nothing has completed")?;
            return answer(deployments.roll_back(scope, at, part.id()).await);
        }
        if wrong == Wrong::RolledBackAgain {
            let rolled_back = all.iter().find(|it| it.status() == DeploymentStatus::RolledBack);
            let release = rolled_back.ok_or("nothing was rolled back")?.release().clone();
            return answer(deployments.request(scope, at, release).await);
        }
        let mut wanted = release(VERSION, &[0], Strategy::Rolling)?;
        // Unlike what serves, so that it is not the same once more.
        wanted["reference"] = json!(format!("{wrong:?}"));
        let known = all.last().map(|it| it.release().configuration_id);
        let module = component(0);
        match wrong {
            Wrong::EmptyRelease => wanted["components"] = json!({}),
            Wrong::OtherSurface => wanted["components"][module]["surface"] = json!("functions"),
            Wrong::ScalesElsewhere => {
                wanted["components"][module]["tuple"]["scaling"] = json!(policy(SurfaceKind::Functions, 5)?);
            }
            Wrong::SecretVariable => {
                wanted["components"][module]["variables"] = json!({ "PASSWORD": "hunter2-hunter2-hunter2" });
            }
            Wrong::SilentReload => {
                wanted["components"][module]["configuration"] = json!({ "reload": "signal" });
            }
            Wrong::OverQuota => {
                let resources = json!({ "cpu_millicores": 90_000, "memory_bytes": 1 << 20 });
                wanted["components"][module]["resources"] = resources;
            }
            Wrong::Strangers => {
                let check = json!({ "approval": { "required": 1, "approvers": ["user:nobody"] } });
                let gate = json!({ "name": super::APPROVAL, "at": "before-rollout", "check": check });
                wanted["gates"] = json!([gate]);
            }
            Wrong::OtherConfiguration => {
                let newest = self.services().configuration().newest(scope, at).await.map_err(told)?;
                let newest = newest.ok_or("nothing is published")?;
                wanted["components"][module]["tuple"]["configuration"] = json!(newest.id());
            }
            Wrong::OldConfiguration => {
                let all = self.operator.records.all::<RuntimeConfiguration>(scope).await?;
                let mut own =
                    all.iter().map(|loaded| &loaded.aggregate).filter(|it| it.environment_id() == at);
                wanted["configuration_id"] = json!(own.next_back().ok_or("nothing is published")?.id());
            }
            _ => {}
        }
        // What keeps to the environment's configuration does not change it.
        if let (None, Some(Some(configuration))) = (wanted.get("configuration_id"), known) {
            wanted["configuration_id"] = json!(configuration);
        }
        let release: Release = serde_json::from_value(wanted).map_err(told)?;
        let exceptions = Exceptions {
            release_hold: (wrong == Wrong::NoReasonToReleaseHold).then(String::new),
            ..Exceptions::default()
        };
        answer(deployments.request_with(scope, at, release, exceptions).await)
    }

    async fn wrong_configuration(&self, wrong: Wrong) -> Answer {
        let (configuration, scope, at) = (self.services().configuration(), &self.scope, self.environment);
        let newest = configuration.newest(scope, at).await.map_err(told)?;
        let entry = |of: &str, key: &str, value: &str| json!({ "scope": of, "key": key, "value": { "type": "text", "value": value } });
        let greeting = |key: &str| entry("environment", key, "good day");
        let entries: Value = match wrong {
            Wrong::NoReasonToWithdraw => {
                let newest = newest.ok_or("nothing is published")?.id();
                return answer(configuration.withdraw(scope, newest, String::new()).await);
            }
            Wrong::SameContent => {
                let newest = newest.ok_or("nothing is published")?;
                return answer(configuration.publish(scope, at, newest.entries().clone()).await);
            }
            Wrong::KeyTwice => json!([greeting("greeting"), greeting("greeting")]),
            Wrong::LongText => json!([entry("environment", "greeting", &"good day ".repeat(2_000))]),
            Wrong::TooManyEntries => {
                (0..2_001).map(|number| greeting(&format!("greeting_{number}"))).collect()
            }
            Wrong::TooLargeEntries => {
                let long = "good day ".repeat(1_800);
                (0..100).map(|number| entry("environment", &format!("greeting_{number}"), &long)).collect()
            }
            Wrong::OthersEntry => {
                let other = records::scope(self.operator.place.tenant + 1).tenant();
                json!([entry(&format!("tenant:{other}"), "greeting", "good day")])
            }
            _ => json!([greeting("greeting-of:the.day")]),
        };
        answer(configuration.publish(scope, at, checked(entries)?).await)
    }

    async fn wrong_place(&self, wrong: Wrong) -> Answer {
        let (tenancy, scope, at) = (self.services().tenancy(), &self.scope, self.environment);
        let own = isolation(self.operator.place);
        let other = if own == IsolationModel::Pool { IsolationModel::Silo } else { IsolationModel::Pool };
        let isolation_model = if wrong == Wrong::OtherIsolation { other } else { own };
        if matches!(wrong, Wrong::OtherIsolation | Wrong::OtherQuota) {
            let partitions = PartitionAssignment::derived(scope.tenant(), at, isolation_model);
            let wanted = NewBinding { environment: at, isolation_model, quota: quota(41)?, partitions };
            return answer(tenancy.bind(scope, wanted).await);
        }
        let store = self.operator.records.store().for_tenant(scope);
        let found = RuntimeTenantBindingRepository::new(&*store).current(at).await.map_err(told)?;
        let found = found.ok_or("its tenant is not bound")?.aggregate.id();
        if wrong == Wrong::NoReasonToCordon {
            return answer(tenancy.cordon(scope, found, String::new()).await);
        }
        let little = ResourceQuota::new(100, 1 << 32, 1 << 32, 100).map_err(told)?;
        answer(tenancy.adjust_quota(scope, found, little).await)
    }

    async fn wrong_component(&self, wrong: Wrong) -> Answer {
        let (scope, nothing) = (&self.scope, String::new());
        let policies = self.services().scaling();
        match wrong {
            Wrong::NoReasonToSuspendRotation => {
                let binding = self.bound(0).await?.id();
                answer(self.services().secrets().suspend(scope, binding, nothing).await)
            }
            Wrong::OtherDelivery => {
                let mut wanted = self.wanted_binding(0)?;
                wanted.delivery = "file:other".parse().map_err(told)?;
                answer(self.services().secrets().bind(scope, wanted).await)
            }
            Wrong::NoReasonToSuspendScaling => {
                let policy = self.newest(|_: &ScalingPolicy| true).await?.ok_or("it has no policy")?.id();
                answer(policies.suspend(scope, policy, nothing).await)
            }
            Wrong::OtherPolicy => {
                answer(policies.apply(scope, self.wanted_policy(0, SurfaceKind::Process, 5)?).await)
            }
            _ => answer(policies.apply(scope, self.wanted_policy(0, SurfaceKind::Functions, 6)?).await),
        }
    }

    async fn wrong_drift(&self, wrong: Wrong) -> Answer {
        let (drift, scope, at) = (self.services().drift(), &self.scope, self.environment);
        let reason = match wrong {
            Wrong::NoReasonToStopWatching | Wrong::NoReasonToAccept => "",
            Wrong::SecretReasonToStopWatching | Wrong::SecretReasonToAccept => TELLTALE,
            _ => super::REASON,
        };
        match wrong {
            Wrong::NoReasonToStopWatching | Wrong::SecretReasonToStopWatching => {
                answer(drift.stop_watching(scope, at, reason).await)
            }
            Wrong::EndlessInterval => {
                let mut terms = WatchTerms::new("shop".parse().map_err(told)?);
                terms.interval = Span::ZERO;
                answer(drift.watch(scope, at, terms).await)
            }
            _ => {
                let found =
                    self.newest(|_: &RuntimeDriftFinding| true).await?.ok_or("nothing was found")?.id();
                let now = self.services().host().now();
                let past = wrong == Wrong::AcceptedUntilYesterday;
                let until =
                    if past { Span::from_secs(60).before(now) } else { Span::from_secs(60).after(now) };
                answer(drift.accept_exception(scope, found, reason.to_owned(), until).await)
            }
        }
    }
}
