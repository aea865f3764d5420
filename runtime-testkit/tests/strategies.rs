//! What the strategies promise: a valid value is one by every way in and out, and a hostile one is refused or legal and never panics.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use proptest::prelude::*;
use runtime_domain::calendar::Opening;
use runtime_domain::component::{
    HttpPath, ImageDigest, ImageReference, PinnedImage, ReleaseReference, RevisionId, VariableName, Version,
};
use runtime_domain::configuration::{
    Checksum, ConfigScope, ConfigurationDiff, ConfigurationEntries, ConfigurationEntry, ConfigurationValue,
    Consumer, ConsumerName, Decimal, EntryKey, JsonDocument, Sighting,
};
use runtime_domain::deployment::Release;
use runtime_domain::drift::compare::{NonEmptyDiff, difference};
use runtime_domain::drift::{DesiredStateRevision, RemediationBudget, RemediationPolicy};
use runtime_domain::envelope::{Envelope, EventType, SchemaUri, Source, Subject, TraceParent};
use runtime_domain::environment::{EnvironmentChange, ProvisionRuntimeEnvironment, RuntimeEnvironment};
use runtime_domain::health::EvaluationWindow;
use runtime_domain::id::{DeploymentId, EnvironmentId, TenantId};
use runtime_domain::refusal::{Refusal, Rule};
use runtime_domain::rollout::{GateCheck, GateSpec};
use runtime_domain::scaling::{PolicySpec, ReplicaBounds};
use runtime_domain::scope::Actor;
use runtime_domain::secrets::{
    Consumption, Delivery, KeyVaultReference, ManagedIdentityRef, RotationCause, RotationSchedule,
    SecretReference, SecretVersion,
};
use runtime_domain::surface::{ComponentObservation, TrafficWeights};
use runtime_domain::tenancy::{PartitionKey, ResourceQuota};
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Measure, Name, Percent, Replicas};
use runtime_testkit::plan::configuration::{Looks, TEXTS, text as planted};
use runtime_testkit::strategy::{
    calendar, component, configuration, drift, envelope, environment, health, json, rollout, scaling,
    secrets, surface, tenancy, text, value,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(given: &T) -> Result<(), TestCaseError> {
    let written = serde_json::to_string(given).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let read: T = serde_json::from_str(&written)
        .map_err(|error| TestCaseError::fail(format!("{written} cannot be read back: {error}")))?;
    prop_assert_eq!(&read, given);
    Ok(())
}

/// The text is refused with a word of what would be right, or is what it says.
fn is_refused_or_the_same<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr + ToString,
    T::Err: ToString,
{
    match text.parse::<T>() {
        Ok(parsed) => prop_assert_eq!(parsed.to_string(), text),
        Err(error) => {
            let said = error.to_string();
            prop_assert!(!said.is_empty() && said.len() < 2_000, "{}", said.len());
        }
    }
    Ok(())
}

/// Any JSON is refused, or gives a value that is written and read back as the same.
fn is_refused_or_legal<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    given: &Value,
) -> Result<(), TestCaseError> {
    // As text, since that is how it comes: a parser goes no deeper than it can write again.
    match serde_json::from_str::<T>(&given.to_string()) {
        Ok(read) => round_trips(&read),
        Err(_) => Ok(()),
    }
}

proptest! {
    #[test]
    fn every_valid_small_value_is_written_and_read_back(
        id in value::valid_id::<runtime_domain::id::kind::Tenant>(), name in value::valid_name(),
        actor in value::valid_actor(), at in value::valid_timestamp(), span in value::valid_span(),
        replicas in value::valid_replicas(), percent in value::valid_percent(), measure in value::valid_measure(),
        revision in value::valid_revision(), kind in value::valid_aggregate_kind(),
    ) {
        round_trips(&(id, name, actor, at, span))?;
        round_trips(&(replicas, percent, measure, revision, kind))?;
        prop_assert_eq!(id.to_string().parse::<TenantId>(), Ok(id));
        prop_assert!(id.to_string().parse::<DeploymentId>().is_err(), "an identifier of another kind");
    }

    #[test]
    fn every_valid_component_is_written_and_read_back(
        image in component::valid_pinned_image(), component in component::valid_component(),
        job in component::valid_job(), revision in component::valid_revision_id(),
    ) {
        round_trips(&(image, component, job, revision))?;
    }

    #[test]
    fn every_valid_release_is_written_and_read_back(release in rollout::valid_release()) {
        round_trips(&release)?;
    }

    #[test]
    fn a_part_of_a_release_names_nothing_that_is_left_out(
        release in rollout::valid_release(), chosen in proptest::collection::vec(any::<bool>(), 3), judged in any::<[bool; 4]>(),
    ) {
        let modules: Vec<_> = release.components.keys().cloned().collect();
        let mut release = release;
        for (gate, judges_one) in release.gates.iter_mut().zip(judged) {
            gate.modules.extend(modules.first().cloned().filter(|_| judges_one));
        }
        for component in release.components.values_mut() {
            let others = modules.iter().filter(|module| **module < component.module);
            component.depends_on = others.cloned().collect();
        }
        let kept: BTreeSet<_> = modules.iter().zip(chosen).filter(|(_, is_kept)| *is_kept).map(|(module, _)| module.clone()).collect();
        let part = release.part(&kept);
        prop_assert!(part.components.keys().eq(&kept));
        let named = part.components.values().flat_map(|component| &component.depends_on);
        let judged = part.gates.iter().flat_map(|gate| &gate.modules);
        let works_for = part.gates.iter().filter_map(|gate| match &gate.check {
            GateCheck::Job(job) => job.component.as_ref(),
            _ => None,
        });
        prop_assert!(named.chain(judged).chain(works_for).all(|module| kept.contains(module)));
        prop_assert_eq!(release.part(&modules.into_iter().collect()), release);
    }

    #[test]
    fn every_valid_look_at_the_world_is_written_and_read_back(
        observation in surface::valid_observation(), capabilities in surface::valid_capabilities(),
        traffic in surface::valid_traffic(), effect in surface::valid_effect_id(),
        token in surface::valid_fencing_token(), reading in rollout::valid_metric_reading(),
        sample in rollout::valid_sample(), entry in health::valid_check_entry(),
        window in health::valid_evaluation_window(),
    ) {
        round_trips(&(observation, capabilities, traffic, effect, token))?;
        round_trips(&(reading, sample, entry, window))?;
    }

    #[test]
    fn every_valid_environment_is_accepted(
        asked in environment::valid_provision(), change in environment::valid_environment_change(),
        blueprint in environment::valid_blueprint(),
    ) {
        prop_assert!(RuntimeEnvironment::provision(&asked, Timestamp::UNIX_EPOCH).is_ok(), "{asked:?}");
        round_trips(&(asked, change, blueprint))?;
    }

    #[test]
    fn every_valid_place_is_written_and_read_back(
        quota in tenancy::valid_resource_quota(), partitions in tenancy::valid_partition_assignment(),
    ) {
        round_trips(&(quota, partitions))?;
    }

    #[test]
    fn every_valid_configuration_is_written_and_read_back(
        entries in configuration::valid_configuration_entries(), scope in configuration::valid_config_scope(),
        key in configuration::valid_entry_key(), value in configuration::valid_configuration_value(),
        number in configuration::valid_decimal(), document in configuration::valid_json_document(),
        version in configuration::valid_config_version(), sighting in configuration::valid_sighting(),
        reference in configuration::valid_secret_reference(),
    ) {
        prop_assert_eq!(number.to_string().parse::<Decimal>(), Ok(number.clone()));
        prop_assert_eq!(&JsonDocument::parse(&document.to_string()), &Ok(document.clone()));
        let named = ConfigurationEntry { scope: scope.clone(), key, value: ConfigurationValue::Secret(reference) };
        round_trips(&(scope, named, value))?;
        round_trips(&(number, document, version, sighting))?;
        round_trips(&entries)?;
    }

    #[test]
    fn what_differs_between_two_contents_leads_from_one_to_the_other(
        old in configuration::valid_configuration_entries(), new in configuration::valid_configuration_entries(),
    ) {
        let diff = ConfigurationDiff::between(&old, &new);
        prop_assert_eq!(diff.is_empty(), old.checksum() == new.checksum());
        prop_assert_eq!(diff.apply(&old), Ok(new));
    }

    #[test]
    fn of_the_scopes_that_set_a_key_the_strongest_holds(
        set in proptest::collection::btree_set(0..3_u8, 0..4), module in value::valid_name(), id in value::valid_id(),
    ) {
        let scopes = [ConfigScope::Environment, ConfigScope::Service(module.clone()), ConfigScope::Tenant(id)];
        let key = EntryKey::new("limit").map_err(|error| TestCaseError::fail(error.to_string()))?;
        let entry = |number: &u8| {
            let value = ConfigurationValue::Text(number.to_string());
            ConfigurationEntry { scope: scopes[usize::from(*number)].clone(), key: key.clone(), value }
        };
        let entries = ConfigurationEntries::new(set.iter().map(entry).collect())
            .map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        for (tenant, most) in [(Some(id), 3), (None, 2)] {
            let strongest = set.iter().copied().filter(|number| *number < most).max();
            let effective = entries.effective(&module, tenant);
            let held = effective.entries.get(&key);
            prop_assert_eq!(held.map(|held| held.scope), strongest.map(|number| &scopes[usize::from(number)]));
        }
    }

    /// Shows CFG-2, X-11.
    #[test]
    fn a_planted_secret_is_refused_wherever_it_stands_and_never_repeated(
        at in 0..TEXTS.len(), before in "[a-z]{0,9} ", scope in configuration::valid_config_scope(),
        key in configuration::valid_entry_key(),
    ) {
        let secret = planted(u8::try_from(at).unwrap_or_default()).unwrap_or_default();
        prop_assume!(TEXTS[at].3 == Looks::Secret);
        let value = ConfigurationValue::Text([before.as_str(), &secret].concat());
        let told = format!("{value:?}");
        prop_assert!(!told.contains(&secret), "{}", told);
        let refusal = ConfigurationEntries::new(vec![ConfigurationEntry { scope, key, value }]);
        let Err(refusal) = refusal else { return Err(TestCaseError::fail(format!("{secret} was let through"))) };
        prop_assert_eq!(refusal.rule(), Rule::Cfg2);
        let told = format!("{refusal} {refusal:?} {}", refusal.remedy());
        prop_assert!(!told.contains(&secret), "{}", told);
    }

    #[test]
    fn hostile_entries_are_refused_without_a_word_of_them_or_hold_no_secret(
        entries in configuration::hostile_configuration_entries(),
    ) {
        let secrets = (0_u8..).zip(TEXTS).filter(|(_, (.., looks))| *looks == Looks::Secret);
        let secrets: Vec<String> = secrets.filter_map(|(number, _)| planted(number)).collect();
        let holds_one = |text: &str| secrets.iter().any(|secret| text.contains(secret));
        match ConfigurationEntries::new(entries) {
            Ok(entries) => {
                let written = serde_json::to_string(&entries).unwrap_or_default();
                prop_assert!(!holds_one(&written), "{}", written);
                round_trips(&entries)?;
            }
            Err(refusal) => {
                let told = format!("{refusal} {refusal:?} {}", refusal.remedy());
                prop_assert!(!holds_one(&told), "{}", told);
            }
        }
    }

    #[test]
    fn every_valid_secret_is_written_and_read_back(
        reference in secrets::valid_secret_reference(), identity in secrets::valid_managed_identity(),
        delivery in secrets::valid_delivery(), schedule in secrets::valid_rotation_schedule(),
        cause in secrets::valid_rotation_cause(), fault in secrets::valid_vault_fault(),
        consumption in secrets::valid_consumption(),
    ) {
        prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
        let secret = reference.key_vault_ref();
        prop_assert_eq!(secret.to_string().parse(), Ok(secret.clone()));
        round_trips(&(reference, identity, delivery))?;
        round_trips(&(schedule, cause, fault, consumption))?;
    }

    /// Shows SEC-1.
    #[test]
    fn a_hostile_reference_is_refused_and_not_repeated_or_is_what_it_says(text in secrets::hostile_reference()) {
        is_refused_or_the_same::<KeyVaultReference>(&text)?;
        is_refused_or_the_same::<SecretReference>(&text)?;
        is_refused_or_the_same::<SecretVersion>(&text)?;
        is_refused_or_the_same::<ManagedIdentityRef>(&text)?;
        is_refused_or_the_same::<Delivery>(&text)?;
        is_refused_or_the_same::<runtime_domain::secrets::Consumer>(&text)?;
        if let Err(error) = text.parse::<SecretReference>() {
            let said = format!("{error} {error:?}");
            prop_assert!(text.len() < 12 || !said.contains(&text), "{}", said);
        }
        if let Ok(reference) = text.parse::<KeyVaultReference>() {
            let climbs = reference.secret_name().split(['/', '#']).any(|part| part.is_empty() || part.starts_with('.'));
            prop_assert!(!climbs && !text.contains(['@', '?', '%', ' ']), "{}", text);
        }
    }

    #[test]
    fn every_valid_calendar_is_written_read_back_and_opens_when_it_says(
        calendar in calendar::valid_change_calendar(), activity in calendar::valid_activity(),
        now in value::valid_timestamp(),
    ) {
        round_trips(&calendar)?;
        let turns = match calendar.at(activity, now, None) {
            Opening::Open { until } => until.map(|until| (until, false)),
            Opening::Closed { opens_at, .. } => opens_at.map(|opens_at| (opens_at, true)),
        };
        if let Some((turn, is_open)) = turns {
            prop_assert!(turn > now);
            prop_assert_eq!(calendar.at(activity, turn, None).is_open(), is_open);
            let before = turn - chrono::TimeDelta::milliseconds(1);
            prop_assert_eq!(calendar.at(activity, before.max(now), None).is_open(), !is_open);
        }
    }

    #[test]
    fn every_valid_envelope_is_written_and_read_back(whole in envelope::valid_envelope(any::<u32>())) {
        round_trips(&whole)?;
    }

    #[test]
    fn what_an_engine_made_of_a_blueprint_fits_it(
        (asked, made) in environment::valid_blueprint().prop_flat_map(|blueprint| {
            let made = environment::valid_resources_of(&blueprint);
            (Just(blueprint), made)
        })
    ) {
        let targets: Vec<_> = made.compute_targets.iter().map(|target| target.surface).collect();
        prop_assert!(asked.surfaces.iter().eq(targets.iter()));
        prop_assert_eq!(made.network_boundary.egress_allow_list, asked.egress_allow_list);
    }

    #[test]
    fn a_hostile_text_is_refused_or_is_what_it_says(text in text::hostile_text()) {
        is_refused_or_the_same::<Name>(&text)?;
        is_refused_or_the_same::<Version>(&text)?;
        is_refused_or_the_same::<ImageDigest>(&text)?;
        is_refused_or_the_same::<ImageReference>(&text)?;
        is_refused_or_the_same::<PartitionKey>(&text)?;
        is_refused_or_the_same::<EntryKey>(&text)?;
        is_refused_or_the_same::<Checksum>(&text)?;
        prop_assert!(ConsumerName::new(&text).map_or(true, |name| name.as_str() == text));
        is_refused_or_the_same::<RevisionId>(&text)?;
        prop_assert!(VariableName::new(&text).map_or(true, |name| name.as_str() == text));
        prop_assert!(HttpPath::new(&text).map_or(true, |path| path.as_str() == text));
        prop_assert!(ReleaseReference::new(&text).map_or(true, |name| name.as_str() == text));
        prop_assert!(Actor::new(&text).map_or(true, |actor| actor.as_str() == text));
        prop_assert!(Source::new(&text).map_or(true, |source| source.as_str() == text));
        prop_assert!(SchemaUri::new(&text).map_or(true, |uri| uri.as_str() == text));
        prop_assert!(TraceParent::new(&text).map_or(true, |trace| trace.as_str() == text));
        // These have several spellings; what is read is written in one of them.
        prop_assert!(text.parse::<Span>().map_or(true, |span| span.to_string().parse() == Ok(span)));
        prop_assert!(text.parse::<Measure>().map_or(true, |measure| measure.to_string().parse() == Ok(measure)));
        prop_assert!(text.parse::<Decimal>().map_or(true, |number| number.to_string().parse() == Ok(number)));
        prop_assert!(text.parse::<ConfigScope>().map_or(true, |scope| scope.to_string().parse() == Ok(scope)));
        prop_assert!(JsonDocument::parse(&text).map_or(true, |json| JsonDocument::parse(&json.to_string()) == Ok(json)));
        prop_assert!(text.parse::<EnvironmentId>().map_or(true, |id| id.to_string() == text.to_lowercase()));
        let _ = (text.parse::<Subject>(), text.parse::<EventType>());
    }

    #[test]
    fn a_hostile_image_is_refused_or_is_what_it_says(text in component::hostile_image()) {
        is_refused_or_the_same::<ImageReference>(&text)?;
        if let Ok(image) = ImageReference::new(&text) {
            let climbs = image.repository().split('/').any(|part| part.is_empty() || part.contains(".."));
            prop_assert!(!climbs, "{text}");
        }
    }

    #[test]
    fn hostile_json_is_refused_or_legal(given in json::hostile_json()) {
        is_refused_or_legal::<Name>(&given)?;
        is_refused_or_legal::<PinnedImage>(&given)?;
        is_refused_or_legal::<Span>(&given)?;
        is_refused_or_legal::<Measure>(&given)?;
        is_refused_or_legal::<Percent>(&given)?;
        is_refused_or_legal::<Replicas>(&given)?;
        is_refused_or_legal::<ResourceQuota>(&given)?;
        is_refused_or_legal::<EvaluationWindow>(&given)?;
        is_refused_or_legal::<TrafficWeights>(&given)?;
        is_refused_or_legal::<Release>(&given)?;
        is_refused_or_legal::<GateSpec>(&given)?;
        is_refused_or_legal::<ComponentObservation>(&given)?;
        is_refused_or_legal::<ProvisionRuntimeEnvironment>(&given)?;
        is_refused_or_legal::<EnvironmentChange>(&given)?;
        is_refused_or_legal::<RotationSchedule>(&given)?;
        is_refused_or_legal::<RotationCause>(&given)?;
        is_refused_or_legal::<Consumption>(&given)?;
        is_refused_or_legal::<ConfigurationEntries>(&given)?;
        is_refused_or_legal::<ConfigurationValue>(&given)?;
        is_refused_or_legal::<ConfigScope>(&given)?;
        is_refused_or_legal::<Consumer>(&given)?;
        is_refused_or_legal::<Decimal>(&given)?;
        is_refused_or_legal::<JsonDocument>(&given)?;
        is_refused_or_legal::<Sighting>(&given)?;
    }

    #[test]
    fn every_valid_policy_is_written_and_read_back(
        policy in scaling::valid_policy_spec(), bounds in scaling::valid_replica_bounds(),
        cooldown in scaling::valid_cooldown(),
    ) {
        round_trips(&(policy, bounds, cooldown))?;
    }

    #[test]
    fn every_valid_value_of_drift_is_written_and_read_back(
        revision in drift::valid_desired_state_revision(), subject in drift::valid_subject(),
        kind in drift::valid_drift_kind(), severity in drift::valid_severity(),
        policy in drift::valid_remediation_policy(), diff in drift::valid_difference(),
        hash in drift::valid_finding_hash(),
    ) {
        is_refused_or_the_same::<DesiredStateRevision>(revision.as_str())?;
        round_trips(&(revision, subject, kind, severity))?;
        round_trips(&(policy, diff, hash))?;
    }

    #[test]
    fn a_document_differs_from_itself_in_nothing_and_from_another_both_ways(
        one in drift::valid_document(), other in drift::valid_document(),
    ) {
        prop_assert_eq!(difference(&one, &one, &[]), Ok(None));
        let there = difference(&one, &other, &[]);
        let back = difference(&other, &one, &[]);
        let paths = |diff: &Option<NonEmptyDiff>| {
            let entries = diff.iter().flat_map(NonEmptyDiff::entries);
            entries.map(|entry| entry.path.clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(there.as_ref().map(paths), back.as_ref().map(paths));
    }

    #[test]
    fn a_hostile_value_of_drift_is_refused_or_legal(
        text in drift::hostile_desired_state_revision(), diff in drift::hostile_difference(),
        given in json::hostile_json(),
    ) {
        is_refused_or_the_same::<DesiredStateRevision>(&text)?;
        is_refused_or_legal::<NonEmptyDiff>(&diff)?;
        is_refused_or_legal::<RemediationBudget>(&given)?;
        is_refused_or_legal::<RemediationPolicy>(&given)?;
    }

    #[test]
    fn a_hostile_policy_is_refused_or_legal(given in scaling::hostile_policy()) {
        is_refused_or_legal::<PolicySpec>(&given)?;
        is_refused_or_legal::<ReplicaBounds>(given.get("bounds").unwrap_or(&Value::Null))?;
    }

    #[test]
    fn a_hostile_envelope_is_refused_or_legal(given in envelope::hostile_envelope()) {
        is_refused_or_legal::<Envelope<Value>>(&given)?;
    }
}
