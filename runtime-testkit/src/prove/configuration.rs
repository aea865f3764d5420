//! Configurations: the driver and the checker.

use std::collections::BTreeSet;

use proptest::strategy::BoxedStrategy;
use runtime_domain::calendar::Activity;
use runtime_domain::configuration::{
    Checksum, ConfigScope, ConfigurationCommand, ConfigurationEntries, ConfigurationEntry,
    ConfigurationEvent, ConfigurationValue, Consumer, ConsumerName, EntryKey, JsonDocument,
    PublishConfiguration, RuntimeConfiguration, SecretReference,
};
use runtime_domain::environment::IsolationModel;
use runtime_domain::time::{Span, Timestamp};
use runtime_domain::value::{Name, Revision};

use crate::model::{ConfigurationModel, Facts};
use crate::plan::Step;
use crate::plan::configuration::{
    Askew, CONSUMERS, ConfigurationPlan, Content, DOCUMENTS, Entry, Held, KEYS, NUMBERS, Newer, Publication,
    Runs, SCOPES, text,
};
use crate::plan::place::Whose;
use crate::prove::environment::numbered;
use crate::prove::place::{Place, Shown};
use crate::prove::tenancy::isolation;
use crate::prove::{Answer, Driver, Fault, Provable};
use crate::strategy::configuration::configuration_stories;

mod check;
mod evidence;

/// Drives configurations: the environment, the versions before and the secrets are brought about for every question.
#[derive(Debug, Clone)]
pub struct ConfigurationDriver;

impl Driver<RuntimeConfiguration> for ConfigurationDriver {
    type Plan = ConfigurationPlan;

    fn begin() -> Self {
        Self
    }

    fn ask(
        &self,
        state: Option<&RuntimeConfiguration>,
        plan: &ConfigurationPlan,
        now: Timestamp,
    ) -> Answer<ConfigurationEvent> {
        match (state, plan) {
            (None, ConfigurationPlan::Publish(asked)) => match publish(asked, now) {
                Ok(command) => Answer::of(RuntimeConfiguration::publish(&command, now)),
                Err(answer) => answer,
            },
            (None, _) => Answer::Nothing,
            (Some(configuration), ConfigurationPlan::Publish(asked)) => match publish(asked, now) {
                Ok(command) => Answer::of(configuration.publish_again(&command)),
                Err(answer) => answer,
            },
            (Some(configuration), ConfigurationPlan::Again { whose, is_changed }) => {
                again(configuration, *whose, *is_changed, now)
                    .map_or(Answer::Nothing, |command| Answer::of(configuration.publish_again(&command)))
            }
            (Some(configuration), plan) => command(configuration, plan, now)
                .map_or(Answer::Nothing, |command| Answer::of(configuration.decide(&command, now))),
        }
    }
}

/// The identifier's number of the version that a story is about.
const NUMBER: u128 = 10;

fn publish(asked: &Publication, now: Timestamp) -> Shown<PublishConfiguration, ConfigurationEvent> {
    let place = Place::of(asked.whose, isolation(asked.isolation));
    let entries = match ConfigurationEntries::new(entries(&asked.content).ok_or(Answer::Nothing)?) {
        Ok(entries) => entries,
        Err(refusal) => return Err(Answer::refused(&refusal)),
    };
    let environment = place.environment(asked.ground, now).ok_or(Answer::Nothing)?;
    let environment = environment.host(Revision::FIRST).map_err(|refusal| Answer::refused(&refusal))?;
    let askew = |wanted: fn(Whose) -> Askew| {
        let all = [Whose::OtherEnvironment, Whose::OtherTenant];
        all.into_iter().find(|whose| wanted(*whose) == asked.askew).unwrap_or(Whose::Own)
    };
    let activity = if asked.askew == Askew::Activity { Activity::Rotation } else { Activity::Configuration };
    let clearance = place.seen_by(askew(Askew::Clearance)).clearance(
        asked.ground,
        asked.glass.as_deref(),
        activity,
        now,
    )?;
    let previous = match &asked.before {
        None => None,
        Some(before) => {
            let place = place.seen_by(askew(Askew::Before));
            Some(place.before(before, &entries, now).ok_or(Answer::Nothing)?)
        }
    };
    let mut secrets: Vec<_> =
        (0..2).filter(|bit| asked.shown >> bit & 1 == 1).map(|bit| (bit, place)).collect();
    if let Askew::Secret(whose) = asked.askew {
        secrets.push((0, place.seen_by(whose)));
    }
    let secrets = secrets.into_iter().map(|(number, place)| place.secret(number, now));
    Ok(PublishConfiguration {
        configuration_id: numbered(NUMBER),
        environment,
        clearance,
        previous,
        secrets: secrets.collect::<Option<_>>().ok_or(Answer::Nothing)?,
        entries,
    })
}

fn again(
    configuration: &RuntimeConfiguration,
    whose: Whose,
    is_changed: bool,
    now: Timestamp,
) -> Option<PublishConfiguration> {
    let mut entries = Vec::from(configuration.entries().clone());
    entries.reverse();
    if is_changed {
        entries.pop();
        entries.push(shared("one.more", ConfigurationValue::Boolean(true))?);
    }
    let entries = ConfigurationEntries::new(entries).ok()?;
    Place::of(whose, IsolationModel::Pool).publish(NUMBER + 1, None, entries, now)
}

fn command(
    configuration: &RuntimeConfiguration,
    plan: &ConfigurationPlan,
    now: Timestamp,
) -> Option<ConfigurationCommand> {
    Some(match plan {
        ConfigurationPlan::Publish(_) | ConfigurationPlan::Again { .. } => return None,
        ConfigurationPlan::Expect(bits) => {
            let consumers = (0..8).filter(|who| bits >> who & 1 == 1).map(consumer);
            ConfigurationCommand::ExpectConsumers { consumers: consumers.collect::<Option<_>>()? }
        }
        ConfigurationPlan::Crowd(count) => {
            let module = Name::new("cart").ok()?;
            let one = |number| {
                let name = ConsumerName::new(&format!("crowd-{number:05}")).ok()?;
                Some(Consumer { module: module.clone(), name })
            };
            let consumers: Option<BTreeSet<_>> = (0..*count).map(one).collect();
            ConfigurationCommand::ExpectConsumers { consumers: consumers? }
        }
        ConfigurationPlan::Observe { who, runs, age } => {
            let millis = Span::between(Timestamp::UNIX_EPOCH, now).as_millis();
            let millis = millis.checked_add_signed(age.checked_mul(-1_000)?)?;
            ConfigurationCommand::RecordConsumption {
                consumer: consumer(*who)?,
                checksum: match runs {
                    Runs::This => configuration.checksum().clone(),
                    Runs::Other(number) => Checksum::new(&format!("sha256:{number:064x}")).ok()?,
                },
                observed_at: Span::from_millis(millis).after(Timestamp::UNIX_EPOCH),
            }
        }
        ConfigurationPlan::Supersede(newer) => {
            let newer = self::newer(configuration, *newer, now)?;
            ConfigurationCommand::Supersede { newer: newer.prove(Revision::FIRST).ok()? }
        }
        ConfigurationPlan::Withdraw { reason } => ConfigurationCommand::Withdraw { reason: reason.clone() },
    })
}

fn newer(
    configuration: &RuntimeConfiguration,
    wanted: Newer,
    now: Timestamp,
) -> Option<RuntimeConfiguration> {
    let place = Place::at(configuration);
    match wanted {
        Newer::Itself => Some(configuration.clone()),
        Newer::First => place.version(1, small(1)?, now),
        Newer::Foreign(Whose::Own) => None,
        Newer::Foreign(whose) => place.seen_by(whose).version(4, small(4)?, now),
        Newer::After(more) => {
            let mut newest = configuration.clone();
            for number in 1..=more {
                let previous = Some(newest.used_version(Revision::FIRST));
                newest = place.following(previous, small(100 + u32::from(number))?, now)?;
            }
            (more > 0).then_some(newest)
        }
    }
}

fn consumer(who: u8) -> Option<Consumer> {
    let (module, letter, length) = CONSUMERS.get(usize::from(who))?;
    let name = ConsumerName::new(&letter.repeat(*length)).ok()?;
    Some(Consumer { module: Name::new(module).ok()?, name })
}

/// A small content, another for each number.
fn small(number: u32) -> Option<ConfigurationEntries> {
    let entry = shared("story.version", ConfigurationValue::Number(number.to_string().parse().ok()?))?;
    ConfigurationEntries::new(vec![entry]).ok()
}

fn shared(key: &str, value: ConfigurationValue) -> Option<ConfigurationEntry> {
    Some(ConfigurationEntry { scope: ConfigScope::Environment, key: EntryKey::new(key).ok()?, value })
}

/// The entries of a content, as they are written.
fn entries(content: &Content) -> Option<Vec<ConfigurationEntry>> {
    let letters = |length: usize| ConfigurationValue::Text("x".repeat(length));
    match content {
        Content::Entries(entries) => entries.iter().map(entry).collect(),
        Content::SecretKey => Some(vec![shared(&text(20)?, ConfigurationValue::Boolean(true))?]),
        Content::Many(count) => (0..*count)
            .map(|number| shared(&format!("filler.{number}"), ConfigurationValue::Boolean(true)))
            .collect(),
        Content::Large(last) => (0..16)
            .map(|number| {
                let length = if number == 15 { usize::from(*last) } else { ConfigurationValue::LONGEST_TEXT };
                shared(&format!("bulk.{number:02}"), letters(length))
            })
            .collect(),
    }
}

fn entry(entry: &Entry) -> Option<ConfigurationEntry> {
    let (key, _) = KEYS.get(usize::from(entry.key))?;
    let value = match &entry.held {
        Held::Text(number) => ConfigurationValue::Text(text(*number)?),
        Held::Hostile(text) => ConfigurationValue::Text(text.clone()),
        Held::Long(length) => ConfigurationValue::Text("x".repeat(usize::from(*length))),
        Held::Number(number) => {
            ConfigurationValue::Number(NUMBERS.get(usize::from(*number))?.0.parse().ok()?)
        }
        Held::Flag(flag) => ConfigurationValue::Boolean(*flag),
        Held::Document(number) => {
            let (head, tail, _, _) = DOCUMENTS.get(usize::from(*number))?;
            ConfigurationValue::Json(JsonDocument::parse(&[*head, *tail].concat()).ok()?)
        }
        Held::Secret { binding, pinned } => {
            let binding = numbered(30 + u128::from(*binding));
            ConfigurationValue::Secret(match pinned {
                0 => SecretReference::to(binding),
                1 => SecretReference::pinned(binding, "7").ok()?,
                _ => SecretReference::pinned(binding, &text(20)?).ok()?,
            })
        }
    };
    let scope = SCOPES.get(usize::from(entry.scope))?.parse().ok()?;
    Some(ConfigurationEntry { scope, key: EntryKey::new(key).ok()?, value })
}

impl Provable for RuntimeConfiguration {
    type Plan = ConfigurationPlan;
    type Driver = ConfigurationDriver;
    type Model = ConfigurationModel;

    const FINAL: &'static [&'static str] = &["Superseded", "Withdrawn"];
    /// A version's number stays used for ever (CFG-1).
    const KEPT: &'static [&'static str] = &["configuration-version/"];

    fn stories() -> BoxedStrategy<Vec<Step<ConfigurationPlan>>> {
        configuration_stories()
    }

    fn is_idempotent(_plan: &ConfigurationPlan) -> bool {
        true
    }

    fn check(before: Option<&Self>, after: &Self) -> Result<(), Fault> {
        check::check(before, after)
    }

    fn facts(&self, facts: Facts) -> Facts {
        check::facts(self, facts)
    }
}
