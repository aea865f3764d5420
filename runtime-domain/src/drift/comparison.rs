//! What is desired of an environment beside what is there: the typed comparison.
//!
//! Nothing is concluded from what is not known: an observation that is too old gives no finding and no resolution, an empty desired
//! state is refused rather than read as "nothing is desired", and what a controller of ours is changing is nobody's drift.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::component::{ComponentSpec, ConfigurationVersionRef, ImageDigest, SecretVersionRef};
use crate::drift::compare::{CompareError, NonEmptyDiff, PathRule, difference};
use crate::drift::{
    Authoritative, DetectedDrift, DriftKind, FindingHash, InSync, Owner, Ownership, Severity, Subject,
};
use crate::id::{EnvironmentId, SecretBindingId, TenantId};
use crate::refusal::{Refusal, Rule};
use crate::scaling::PolicySpec;
use crate::surface::SurfaceKind;
use crate::time::{Span, Timestamp};
use crate::value::{ModuleId, Name, Replicas};

/// The most components and resources of one side.
pub const MOST_SUBJECTS: usize = 20_000;

/// What a component should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredComponent {
    /// The surface that should run it.
    pub surface: SurfaceKind,
    /// The image.
    pub image: ImageDigest,
    /// How many replicas.
    pub replicas: Replicas,
    /// The configuration version.
    pub configuration: Option<ConfigurationVersionRef>,
    /// The secret versions, by reference.
    pub secrets: BTreeSet<SecretVersionRef>,
    /// How it should scale; `None` where that is left open.
    pub scaling: Option<PolicySpec>,
    /// What else it should be started with: arguments, variables, probes; `null` where that is left open. See [`settings`].
    pub settings: Value,
}

/// What a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualComponent {
    /// When the surface looked.
    pub observed_at: Timestamp,
    /// The surface that runs it.
    pub surface: SurfaceKind,
    /// The image that really runs.
    pub image: ImageDigest,
    /// How many replicas the surface keeps.
    pub replicas: u16,
    /// The configuration version.
    pub configuration: Option<ConfigurationVersionRef>,
    /// The secret versions, by reference.
    pub secrets: BTreeSet<SecretVersionRef>,
    /// How it scales, by the policy that is in force; `None` where it has none.
    pub scaling: Option<PolicySpec>,
    /// What else it was started with, as [`settings`] says; `null` where that is not known.
    pub settings: Value,
}

/// What a component is started with besides image, configuration, secrets and replicas, as a document to be compared.
///
/// Values that may be secrets are compared and never shown, as everywhere in a difference.
pub fn settings(component: &ComponentSpec) -> Value {
    json!({
        "version": component.version,
        "type": component.component_type,
        "arguments": component.arguments,
        "variables": component.variables,
        "readiness": component.readiness,
        "liveness": component.liveness,
        "termination_grace": component.termination_grace,
        "configuration": component.configuration,
    })
}

/// What a resource that is no component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualResource {
    /// When somebody looked.
    pub observed_at: Timestamp,
    /// What was seen. Never a secret; whatever may be one is redacted.
    pub document: Value,
}

/// What an environment should hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredState {
    /// Its components.
    pub components: BTreeMap<ModuleId, DesiredComponent>,
    /// Its other resources.
    pub resources: BTreeMap<Name, Value>,
}

/// What an environment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualState {
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentId,
    /// When it was listed what there is: what is not in the lists was not there then.
    pub listed_at: Timestamp,
    /// The components that are there.
    pub components: BTreeMap<ModuleId, ActualComponent>,
    /// The other resources that are there.
    pub resources: BTreeMap<Name, ActualResource>,
}

/// How a comparison judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComparisonPolicy {
    /// How old an observation may be. An older one, or one from further ahead than this, says nothing.
    pub fresh_for: Span,
    /// How grave a kind is, where it is not as [`DriftKind`] says.
    pub severities: BTreeMap<DriftKind, Severity>,
    /// How resources' documents are compared.
    pub rules: Vec<PathRule>,
}

impl Default for ComparisonPolicy {
    /// Observations of the last five minutes; severities as [`DriftKind`] says; every member compared as it is written.
    fn default() -> Self {
        Self { fresh_for: Span::from_secs(300), severities: BTreeMap::new(), rules: Vec::new() }
    }
}

/// A difference that is no drift, because somebody owns what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// What differs.
    pub subject: Subject,
    /// How.
    pub kind: DriftKind,
    /// Who owns it.
    pub owner: Owner,
    /// Where.
    pub diff: NonEmptyDiff,
}

/// Something of which it is not known whether it diverges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCompared {
    /// What.
    pub subject: Subject,
    /// Why.
    pub why: WhyNotCompared,
}

/// Why something was not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WhyNotCompared {
    /// What was observed is too old, or from the future.
    #[error("what was observed is not fresh: observe it again")]
    Stale,
    /// It is too large.
    #[error(transparent)]
    Document(#[from] CompareError),
}

/// What a comparison came to.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a comparison changes nothing until findings are made of it"]
pub struct Comparison {
    /// What diverges.
    pub detected: Vec<DetectedDrift>,
    /// What differs and is no drift.
    pub suppressed: Vec<Suppressed>,
    /// What is not known.
    pub not_compared: Vec<NotCompared>,
    tenant: TenantId,
    environment: EnvironmentId,
    fresh_for: Span,
    absent_since: Option<Timestamp>,
    present: BTreeMap<Subject, (Timestamp, BTreeSet<DriftKind>)>,
}

impl Comparison {
    /// Proof that `subject` was seen not to diverge in this kind of way; `None` where it does, or where that is not known.
    ///
    /// What is neither desired nor there diverges in no way.
    pub fn in_sync(&self, subject: &Subject, kind: DriftKind) -> Option<InSync> {
        let seen_at = match self.present.get(subject) {
            Some((seen_at, kinds)) => kinds.contains(&kind).then_some(*seen_at)?,
            None => self.absent_since?,
        };
        Some(InSync {
            tenant: self.tenant,
            environment: self.environment,
            subject: subject.clone(),
            kind,
            seen_at,
            until: self.fresh_for.after(seen_at),
        })
    }
}

/// Why nothing was compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonRefusal {
    /// What was observed is of another tenant or environment than what is desired.
    #[error("what was observed is of another tenant or environment than what is desired")]
    OtherEnvironment,
    /// Nothing is desired, so that everything there would count as unmanaged.
    #[error("the desired state is empty, so everything that runs would count as unmanaged")]
    NothingDesired,
    /// There is too much.
    #[error("there are more than {MOST_SUBJECTS} components and resources")]
    TooMany,
}

impl Refusal for ComparisonRefusal {
    fn rule(&self) -> Rule {
        match self {
            Self::OtherEnvironment => Rule::X1,
            Self::NothingDesired => Rule::Drf3,
            Self::TooMany => Rule::Content,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::OtherEnvironment => "observe the environment whose desired state was read",
            Self::NothingDesired => {
                "read the desired state from where it is kept; to remove everything, decommission the environment"
            }
            Self::TooMany => "divide the environment",
        }
        .to_string()
    }
}

/// What a component runs with, by reference, each part to be taken out by who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ComponentDocument {
    pub(super) surface: SurfaceKind,
    pub(super) configuration: Option<Value>,
    pub(super) bindings: BTreeMap<SecretBindingId, Value>,
    scaling: Option<PolicySpec>,
    settings: Value,
}

impl ComponentDocument {
    fn of(
        surface: SurfaceKind,
        configuration: Option<&ConfigurationVersionRef>,
        secrets: &BTreeSet<SecretVersionRef>,
        scaling: Option<&PolicySpec>,
        settings: Value,
    ) -> Self {
        let configuration = configuration
            .map(|version| json!({"id": version.configuration, "checksum": version.checksum.as_str()}));
        let mut versions: BTreeMap<SecretBindingId, Vec<String>> = BTreeMap::new();
        for secret in secrets {
            versions.entry(secret.binding).or_default().push(secret.version.to_string());
        }
        let bindings = versions.into_iter().map(|(binding, versions)| (binding, json!(versions))).collect();
        Self { surface, configuration, bindings, scaling: scaling.cloned(), settings }
    }

    fn value(self) -> Value {
        // `bindings` and not `secrets`: these are references, and are shown.
        let bindings: Map<String, Value> =
            self.bindings.into_iter().map(|(binding, versions)| (binding.to_string(), versions)).collect();
        json!({
            "surface": self.surface,
            "configuration": self.configuration,
            "bindings": bindings,
            "scaling": self.scaling,
            "settings": self.settings,
        })
    }
}

/// Compares what is desired with what is there.
///
/// # Errors
/// X-1 where the two are of different environments; DRF-3 where nothing is desired; CONTENT where there is too much.
pub fn compare_states(
    desired: &Authoritative<DesiredState>,
    actual: &ActualState,
    owners: &Ownership,
    policy: &ComparisonPolicy,
    now: Timestamp,
) -> Result<Comparison, ComparisonRefusal> {
    if desired.tenant() != actual.tenant || desired.environment() != actual.environment {
        return Err(ComparisonRefusal::OtherEnvironment);
    }
    let wanted = desired.value();
    let subjects = |components: usize, resources: usize| components.saturating_add(resources);
    let desired_subjects = subjects(wanted.components.len(), wanted.resources.len());
    if desired_subjects == 0 {
        return Err(ComparisonRefusal::NothingDesired);
    }
    if desired_subjects.max(subjects(actual.components.len(), actual.resources.len())) > MOST_SUBJECTS {
        return Err(ComparisonRefusal::TooMany);
    }
    let mut judge = Judge::new(desired, actual, owners, policy, now);
    let modules: BTreeSet<&ModuleId> = wanted.components.keys().chain(actual.components.keys()).collect();
    for module in modules {
        judge.component(module);
    }
    let names: BTreeSet<&Name> = wanted.resources.keys().chain(actual.resources.keys()).collect();
    for name in names {
        judge.resource(name);
    }
    Ok(judge.comparison)
}

struct Judge<'a> {
    desired: &'a Authoritative<DesiredState>,
    actual: &'a ActualState,
    owners: &'a Ownership,
    policy: &'a ComparisonPolicy,
    now: Timestamp,
    comparison: Comparison,
}

/// One kind of difference of one subject, to be judged.
struct Question<'q> {
    subject: &'q Subject,
    kind: DriftKind,
    seen_at: Timestamp,
    image: Option<&'q ImageDigest>,
    owner: Option<&'q Owner>,
}

impl<'a> Judge<'a> {
    fn new(
        desired: &'a Authoritative<DesiredState>,
        actual: &'a ActualState,
        owners: &'a Ownership,
        policy: &'a ComparisonPolicy,
        now: Timestamp,
    ) -> Self {
        let comparison = Comparison {
            detected: Vec::new(),
            suppressed: Vec::new(),
            not_compared: Vec::new(),
            tenant: desired.tenant(),
            environment: desired.environment(),
            fresh_for: policy.fresh_for,
            absent_since: None,
            present: BTreeMap::new(),
        };
        let mut judge = Self { desired, actual, owners, policy, now, comparison };
        judge.comparison.absent_since = judge.is_fresh(actual.listed_at).then_some(actual.listed_at);
        judge
    }

    fn is_fresh(&self, observed_at: Timestamp) -> bool {
        let apart = Span::between(observed_at, self.now).max(Span::between(self.now, observed_at));
        apart <= self.policy.fresh_for
    }

    /// Whether there is something to judge: it was seen, or seen not to be there, a short while ago.
    fn begin(&mut self, subject: &Subject, observed_at: Option<Timestamp>) -> Option<Timestamp> {
        let seen_at = observed_at.unwrap_or(self.actual.listed_at);
        self.comparison.present.insert(subject.clone(), (seen_at, BTreeSet::new()));
        if self.is_fresh(seen_at) {
            return Some(seen_at);
        }
        self.not_compared(subject, WhyNotCompared::Stale);
        None
    }

    fn component(&mut self, module: &ModuleId) {
        let subject = Subject::Component(module.clone());
        let (desired, actual) =
            (self.desired.value().components.get(module), self.actual.components.get(module));
        let owners = self.owners.of(module);
        let rollout = owners.iter().find(|owner| matches!(owner, Owner::Rollout { .. }));
        let Some(seen_at) = self.begin(&subject, actual.map(|actual| actual.observed_at)) else { return };
        let question = |kind, owner| Question {
            subject: &subject,
            kind,
            seen_at,
            image: desired.map(|desired| &desired.image),
            owner,
        };
        match (desired, actual) {
            (Some(desired), Some(actual)) => {
                self.synchronised(&subject, DriftKind::MissingResource);
                self.synchronised(&subject, DriftKind::UnmanagedResource);
                let owner = |kind| owners.iter().find(|owner| owner.owns(kind, desired, actual));
                let kind = DriftKind::ImageVersionMismatch;
                let image = |image: &ImageDigest| json!({"image": image.as_str()});
                self.judge(question(kind, owner(kind)), &image(&desired.image), &image(&actual.image));
                let kind = DriftKind::ReplicaMismatch;
                let replicas = |count: u16| json!({"replicas": count});
                let (wanted, found) = (replicas(desired.replicas.get()), replicas(actual.replicas));
                self.judge(question(kind, owner(kind)), &wanted, &found);
                let kind = DriftKind::ConfigDrift;
                self.configuration(&question(kind, owner(kind)), owners, desired, actual);
            }
            (Some(desired), None) => {
                self.synchronised(&subject, DriftKind::UnmanagedResource);
                let wanted = json!({"surface": desired.surface});
                self.judge(question(DriftKind::MissingResource, rollout), &wanted, &json!({}));
            }
            (None, Some(actual)) => {
                self.synchronised(&subject, DriftKind::MissingResource);
                let found = json!({"surface": actual.surface, "image": actual.image.as_str()});
                self.judge(question(DriftKind::UnmanagedResource, rollout), &json!({}), &found);
            }
            (None, None) => {}
        }
    }

    /// What a component runs with, without the parts that somebody is changing.
    fn configuration(
        &mut self,
        question: &Question<'_>,
        owners: &[Owner],
        desired: &DesiredComponent,
        actual: &ActualComponent,
    ) {
        // What nobody states as desired is nobody's drift.
        let settings = if desired.settings.is_null() { Value::Null } else { actual.settings.clone() };
        let scaling = desired.scaling.as_ref().and(actual.scaling.as_ref());
        let mut wanted = ComponentDocument::of(
            desired.surface,
            desired.configuration.as_ref(),
            &desired.secrets,
            desired.scaling.as_ref(),
            desired.settings.clone(),
        );
        let mut found = ComponentDocument::of(
            actual.surface,
            actual.configuration.as_ref(),
            &actual.secrets,
            scaling,
            settings,
        );
        let mut is_changing = false;
        for owner in owners {
            if let Some((wanted, found)) = owner.take(desired, &mut wanted, &mut found)
                && let Ok(Some(diff)) = difference(&wanted, &found, &[])
            {
                is_changing = true;
                self.suppress(question, owner, diff);
            }
        }
        self.judge(Question { ..*question }, &wanted.value(), &found.value());
        if is_changing && let Some((_, kinds)) = self.comparison.present.get_mut(question.subject) {
            kinds.remove(&question.kind);
        }
    }

    fn resource(&mut self, name: &Name) {
        let subject = Subject::Resource(name.clone());
        let (desired, actual) = (self.desired.value().resources.get(name), self.actual.resources.get(name));
        let Some(seen_at) = self.begin(&subject, actual.map(|actual| actual.observed_at)) else { return };
        let question = |kind| Question { subject: &subject, kind, seen_at, image: None, owner: None };
        match (desired, actual) {
            (Some(desired), Some(actual)) => {
                for kind in DriftKind::ALL {
                    self.synchronised(&subject, kind);
                }
                if let Some((_, kinds)) = self.comparison.present.get_mut(&subject) {
                    kinds.remove(&DriftKind::ConfigDrift);
                }
                self.judge(question(DriftKind::ConfigDrift), desired, &actual.document);
            }
            (Some(_), None) => {
                self.synchronised(&subject, DriftKind::UnmanagedResource);
                let wanted = json!({"present": true});
                self.judge(question(DriftKind::MissingResource), &wanted, &json!({}));
            }
            (None, Some(_)) => {
                self.synchronised(&subject, DriftKind::MissingResource);
                let found = json!({"present": true});
                self.judge(question(DriftKind::UnmanagedResource), &json!({}), &found);
            }
            (None, None) => {}
        }
    }

    fn judge(&mut self, question: Question<'_>, wanted: &Value, found: &Value) {
        let rules: &[PathRule] = match question.subject {
            Subject::Component(_) => &[],
            Subject::Resource(_) => &self.policy.rules,
        };
        match (difference(wanted, found, rules), question.owner) {
            (Err(error), _) => self.not_compared(question.subject, error.into()),
            (Ok(None), _) => self.synchronised(question.subject, question.kind),
            (Ok(Some(diff)), Some(owner)) => self.suppress(&question, owner, diff),
            (Ok(Some(diff)), None) => self.detect(&question, diff),
        }
    }

    fn detect(&mut self, question: &Question<'_>, diff: NonEmptyDiff) {
        let (tenant, environment) = (self.desired.tenant(), self.desired.environment());
        let kind = question.kind;
        self.comparison.detected.push(DetectedDrift {
            tenant,
            environment,
            subject: question.subject.clone(),
            kind,
            severity: self.policy.severities.get(&kind).copied().unwrap_or(kind.severity()),
            revision: self.desired.revision().clone(),
            hash: FindingHash::of(environment, question.subject, kind, &diff),
            diff,
            desired_image: question.image.cloned(),
            seen_at: question.seen_at,
            until: self.policy.fresh_for.after(question.seen_at),
        });
    }

    fn suppress(&mut self, question: &Question<'_>, owner: &Owner, diff: NonEmptyDiff) {
        if owner.stands() {
            self.synchronised(question.subject, question.kind);
        }
        self.comparison.suppressed.push(Suppressed {
            subject: question.subject.clone(),
            kind: question.kind,
            owner: owner.clone(),
            diff,
        });
    }

    fn synchronised(&mut self, subject: &Subject, kind: DriftKind) {
        if let Some((_, kinds)) = self.comparison.present.get_mut(subject) {
            kinds.insert(kind);
        }
    }

    fn not_compared(&mut self, subject: &Subject, why: WhyNotCompared) {
        self.comparison.not_compared.push(NotCompared { subject: subject.clone(), why });
    }
}
