//! Configuration: keys, scopes, values, contents, and the stories of versions.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use runtime_domain::configuration::{
    Checksum, ConfigScope, ConfigVersion, ConfigurationEntries, ConfigurationEntry, ConfigurationValue,
    Consumer, ConsumerName, Decimal, EntryKey, JsonDocument, SecretReference, Sighting,
};
use serde_json::Value;

use crate::plan::Step;
use crate::plan::configuration::{
    Askew, Before, ConfigurationPlan, Content, DOCUMENTS, Ended, Entry, Held, KEYS, Looks, NUMBERS, Names,
    Newer, Publication, Runs, TEXTS, text,
};
use crate::plan::place::{Ground, Whose};
use crate::strategy::text::hostile_text;
use crate::strategy::{reason, story, value};

/// A key, the longest included.
pub fn valid_entry_key() -> BoxedStrategy<EntryKey> {
    let short = value::made("[a-zA-Z_][a-zA-Z0-9._:-]{0,20}[a-zA-Z0-9_]", |text| EntryKey::new(text).ok());
    let longest = value::made("k{128}", |text| EntryKey::new(text).ok());
    prop_oneof![6 => short, 1 => longest].boxed()
}

/// For whom an entry holds.
pub fn valid_config_scope() -> BoxedStrategy<ConfigScope> {
    prop_oneof![
        2 => Just(ConfigScope::Environment),
        2 => value::valid_name().prop_map(ConfigScope::Service),
        1 => value::valid_id().prop_map(ConfigScope::Tenant),
    ]
    .boxed()
}

/// An exact decimal, the longest included.
pub fn valid_decimal() -> BoxedStrategy<Decimal> {
    let usual = value::made("-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,19})?", |text| Decimal::new(text).ok());
    let longest = value::made("-?9{38}", |text| Decimal::new(text).ok());
    prop_oneof![6 => usual, 1 => longest].boxed()
}

/// A JSON document without a secret in it.
pub fn valid_json_document() -> BoxedStrategy<JsonDocument> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map("[a-z]{1,6}", inner, 0..4).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    nested.prop_filter_map("a document", |value| JsonDocument::from_value(&value).ok()).boxed()
}

/// A reference to a secret, by its binding.
pub fn valid_secret_reference() -> BoxedStrategy<SecretReference> {
    (value::valid_id(), prop::option::of("[a-z0-9]{1,16}"))
        .prop_filter_map("a reference", |(binding, version)| match version {
            None => Some(SecretReference::to(binding)),
            Some(version) => SecretReference::pinned(binding, &version).ok(),
        })
        .boxed()
}

/// Text of small words: nobody takes it for a secret, under whatever key.
fn words() -> impl Strategy<Value = String> {
    "[a-z]{0,5}( [a-zé日]{1,5}){0,3}"
}

/// A value that is no secret, under whatever key.
pub fn valid_configuration_value() -> BoxedStrategy<ConfigurationValue> {
    prop_oneof![
        3 => words().prop_map(ConfigurationValue::Text),
        2 => valid_decimal().prop_map(ConfigurationValue::Number),
        1 => any::<bool>().prop_map(ConfigurationValue::Boolean),
        2 => valid_json_document().prop_map(ConfigurationValue::Json),
        1 => valid_secret_reference().prop_map(ConfigurationValue::Secret),
    ]
    .boxed()
}

/// One entry.
pub fn valid_configuration_entry() -> BoxedStrategy<ConfigurationEntry> {
    (valid_config_scope(), valid_entry_key(), valid_configuration_value())
        .prop_map(|(scope, key, value)| ConfigurationEntry { scope, key, value })
        .boxed()
}

/// A content of up to twelve entries.
pub fn valid_configuration_entries() -> BoxedStrategy<ConfigurationEntries> {
    vec(valid_configuration_entry(), 0..12)
        .prop_filter_map("a content", |mut entries| {
            let mut places = BTreeSet::new();
            entries.retain(|entry| places.insert((entry.scope.clone(), entry.key.clone())));
            ConfigurationEntries::new(entries).ok()
        })
        .boxed()
}

/// Entries of which some hold what no configuration may: secrets under whatever key, hostile texts, what is too long, a key twice.
pub fn hostile_configuration_entries() -> BoxedStrategy<Vec<ConfigurationEntry>> {
    // Where a secret begins is seen where no letter stands before it.
    let planted = (number(TEXTS.len()), "([a-z]{0,9}[ \n\"'])?", "([ \n\"'][a-z]{0,9})?")
        .prop_map(|(number, before, after)| [before, text(number).unwrap_or_default(), after].concat())
        .prop_map(ConfigurationValue::Text);
    let key = prop_oneof![
        2 => valid_entry_key(),
        2 => number(KEYS.len()).prop_filter_map("a key", |number| {
            EntryKey::new(KEYS.get(usize::from(number))?.0).ok()
        }),
    ];
    let value = prop_oneof![
        4 => planted,
        2 => hostile_text().prop_map(ConfigurationValue::Text),
        2 => valid_configuration_value(),
    ];
    let entry = (valid_config_scope(), key, value).prop_map(|(scope, key, value)| ConfigurationEntry {
        scope,
        key,
        value,
    });
    (vec(entry, 0..5), any::<bool>())
        .prop_map(|(mut entries, is_twice)| {
            entries.extend(entries.first().filter(|_| is_twice).cloned());
            entries
        })
        .boxed()
}

/// The checksum of some content.
pub fn valid_checksum() -> BoxedStrategy<Checksum> {
    value::made("sha256:[0-9a-f]{64}", |text| Checksum::new(text).ok())
}

/// A version's number, the last one included.
pub fn valid_config_version() -> BoxedStrategy<ConfigVersion> {
    prop_oneof![4 => 1..100_u32, 1 => 1..=u32::MAX, 1 => Just(u32::MAX)]
        .prop_filter_map("a version", |number| ConfigVersion::new(number).ok())
        .boxed()
}

/// Something that runs with configuration.
pub fn valid_consumer() -> BoxedStrategy<Consumer> {
    let name = value::made("[a-zA-Z0-9._@:/-]{1,128}", |text| ConsumerName::new(text).ok());
    (value::valid_name(), name).prop_map(|(module, name)| Consumer { module, name }).boxed()
}

/// What a consumer was observed running with.
pub fn valid_sighting() -> BoxedStrategy<Sighting> {
    (valid_consumer(), valid_checksum(), value::valid_timestamp())
        .prop_map(|(consumer, checksum, observed_at)| Sighting { consumer, checksum, observed_at })
        .boxed()
}

/// Whether nobody takes it for a secret: too short for one, and without what makes a short one of it.
fn is_harmless(text: &str) -> bool {
    let is_short = text.len() <= 24 && !text.contains("://") && !text.contains(['=', '{', '[']);
    is_short || text.bytes().all(|byte| byte == b'a')
}

/// A value under a key that says nothing, or one that looks like no secret under whatever key.
fn plain() -> impl Strategy<Value = (u8, Held)> {
    let usual = prop_oneof![
        8 => text_that(|looks| looks == Looks::Plain),
        4 => number(NUMBERS.len()).prop_map(Held::Number),
        2 => any::<bool>().prop_map(Held::Flag),
        4 => document_that(|looks| looks == Looks::Plain),
        4 => (0..2_u8, 0..2_u8).prop_map(|(binding, pinned)| Held::Secret { binding, pinned }),
    ];
    let others = prop_oneof![
        8 => text_that(|looks| looks < Looks::Secret),
        4 => document_that(|looks| looks < Looks::Secret),
        2 => hostile_text().prop_filter("it is no secret", |text| is_harmless(text)).prop_map(Held::Hostile),
    ];
    prop_oneof![3 => (number(KEYS.len()), usual), 1 => (key_that(|names| names == Names::Other), others)]
}

fn number(count: usize) -> impl Strategy<Value = u8> {
    0..u8::try_from(count).unwrap_or(u8::MAX)
}

fn text_that(is_wanted: fn(Looks) -> bool) -> impl Strategy<Value = Held> {
    chosen(TEXTS.iter().map(|text| text.3), is_wanted).prop_map(Held::Text)
}

fn document_that(is_wanted: fn(Looks) -> bool) -> impl Strategy<Value = Held> {
    chosen(DOCUMENTS.iter().map(|document| document.3), is_wanted).prop_map(Held::Document)
}

fn key_that(is_wanted: fn(Names) -> bool) -> impl Strategy<Value = u8> {
    chosen(KEYS.iter().map(|key| key.1), is_wanted)
}

/// The places of a table whose rows are wanted.
fn chosen<T: Copy>(table: impl Iterator<Item = T>, is_wanted: fn(T) -> bool) -> impl Strategy<Value = u8> {
    let places: Vec<u8> = (0_u8..).zip(table).filter(|(_, row)| is_wanted(*row)).map(|(at, _)| at).collect();
    proptest::sample::select(places)
}

fn entry() -> impl Strategy<Value = Entry> {
    let scope = prop_oneof![9 => 0..4_u8, 1 => Just(4_u8)];
    (scope, plain()).prop_map(|(scope, (key, held))| {
        // A service reads its own secret.
        let held = match (scope, held) {
            (1 | 2, Held::Secret { pinned, .. }) => Held::Secret { binding: scope - 1, pinned },
            (_, held) => held,
        };
        Entry { scope, key, held }
    })
}

/// Anything under any key.
fn odd_entry() -> impl Strategy<Value = Entry> {
    let held = prop_oneof![
        12 => number(TEXTS.len()).prop_map(Held::Text),
        4 => number(DOCUMENTS.len()).prop_map(Held::Document),
        4 => (0..2_u8, 0..3_u8).prop_map(|(binding, pinned)| Held::Secret { binding, pinned }),
        1 => Just(Held::Long(16_385)),
    ];
    (0..5_u8, number(KEYS.len()), held).prop_map(|(scope, key, held)| Entry { scope, key, held })
}

/// Up to four entries that may stand together.
fn small_content() -> BoxedStrategy<Content> {
    let each_once = |mut entries: Vec<Entry>| {
        let mut places = BTreeSet::new();
        entries.retain(|entry| places.insert((entry.scope, entry.key)));
        Content::Entries(entries)
    };
    vec(entry(), 0..5).prop_map(each_once).boxed()
}

fn content() -> BoxedStrategy<Content> {
    let twice = entry().prop_map(|entry| Content::Entries(vec![entry.clone(), entry]));
    let long = Entry { scope: 0, key: 0, held: Held::Long(16_384) };
    prop_oneof![
        3_000 => small_content(),
        400 => (vec(entry(), 0..3), odd_entry()).prop_map(|(mut entries, odd)| {
            entries.push(odd);
            Content::Entries(entries)
        }),
        60 => twice,
        20 => Just(Content::SecretKey),
        4 => Just(Content::Entries(vec![long])),
        4 => Just(Content::Many(2_001)),
        1 => Just(Content::Large(16_097)),
        1 => Just(Content::Large(16_385)),
    ]
    .boxed()
}

/// A content that is as large as can be: a story of it is a long one.
fn largest() -> impl Strategy<Value = Content> {
    prop_oneof![Just(Content::Many(2_000)), Just(Content::Large(16_096))]
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![12 => Just(Whose::Own), 1 => Just(Whose::OtherEnvironment), 1 => Just(Whose::OtherTenant)]
}

fn other() -> impl Strategy<Value = Whose> {
    prop_oneof![Just(Whose::OtherEnvironment), Just(Whose::OtherTenant)]
}

fn before() -> impl Strategy<Value = Before> {
    let number =
        prop_oneof![12 => 1..4_u32, 1 => Just(u32::MAX - 2), 1 => Just(u32::MAX - 1), 1 => Just(u32::MAX)];
    let ended =
        prop_oneof![6 => Just(None), 1 => Just(Some(Ended::Withdrawn)), 1 => Just(Some(Ended::Superseded))];
    (number, ended, prop::bool::weighted(0.1)).prop_map(|(number, ended, is_same)| Before {
        number,
        ended,
        is_same,
    })
}

fn askew() -> impl Strategy<Value = Askew> {
    prop_oneof![
        40 => Just(Askew::Nothing),
        1 => other().prop_map(Askew::Clearance),
        1 => Just(Askew::Activity),
        1 => other().prop_map(Askew::Before),
        1 => other().prop_map(Askew::Secret),
    ]
}

fn publication(content: BoxedStrategy<Content>) -> impl Strategy<Value = Publication> {
    let ground = prop_oneof![20 => Just(Ground::Open), 4 => Just(Ground::Stopped), 1 => Just(Ground::Gone)];
    let glass = prop_oneof![4 => reason().prop_map(Some), 1 => Just(None)];
    let shown = prop_oneof![3 => Just(3_u8), 1 => 0..3_u8];
    (whose(), 0..3_u8, ground, glass, prop::option::weighted(0.6, before()), askew(), shown, content)
        .prop_map(|(whose, isolation, ground, glass, before, askew, shown, content)| {
            let glass = glass.filter(|_| ground == Ground::Stopped || isolation == 0);
            Publication { whose, isolation, ground, glass, before, askew, shown, content }
        })
}

/// What may be asked of a configuration, or reported to it.
pub fn configuration_plans() -> BoxedStrategy<ConfigurationPlan> {
    let runs = || prop_oneof![5 => Just(Runs::This), 1 => (0..3_u8).prop_map(Runs::Other)];
    let age = || prop_oneof![6 => Just(0_i64), 2 => 0..10_i64, 1 => Just(-60_i64), 1 => 60..4_000_i64];
    let who = || prop_oneof![5 => 0..2_u8, 2 => 2..4_u8];
    let expected = || prop_oneof![4 => 1..4_u8, 2 => 0..16_u8];
    let newer = || {
        prop_oneof![
            4 => (1..4_u8).prop_map(Newer::After),
            2 => Just(Newer::Itself),
            2 => Just(Newer::First),
            2 => other().prop_map(Newer::Foreign),
        ]
    };
    prop_oneof![
        300 => publication(content()).prop_map(ConfigurationPlan::Publish),
        150 => (whose(), prop::bool::weighted(0.2))
            .prop_map(|(whose, is_changed)| ConfigurationPlan::Again { whose, is_changed }),
        700 => expected().prop_map(ConfigurationPlan::Expect),
        1_600 => (who(), runs(), age()).prop_map(|(who, runs, age)| ConfigurationPlan::Observe { who, runs, age }),
        150 => newer().prop_map(ConfigurationPlan::Supersede),
        200 => reason().prop_map(|reason| ConfigurationPlan::Withdraw { reason }),
        1 => Just(ConfigurationPlan::Crowd(10_001)),
    ]
    .boxed()
}

/// A version that is published, as all but a few are.
fn straight(content: BoxedStrategy<Content>) -> impl Strategy<Value = ConfigurationPlan> {
    publication(content).prop_map(|mut asked| {
        asked.askew = Askew::Nothing;
        asked.shown = 3;
        // An entry for tenant 2 has its place where tenants share.
        asked.isolation = asked.isolation.max(1);
        asked.before = asked.before.map(|before| Before { is_same: false, ..before });
        if asked.ground != Ground::Open {
            (asked.ground, asked.glass) = (Ground::Stopped, Some(" it burns ".to_owned()));
        }
        ConfigurationPlan::Publish(asked)
    })
}

/// Stories of a configuration; one in some thousands is of the largest that can be.
pub fn configuration_stories() -> BoxedStrategy<Vec<Step<ConfigurationPlan>>> {
    let begin = || {
        prop_oneof![
            6 => straight(small_content()),
            1 => publication(content()).prop_map(ConfigurationPlan::Publish),
        ]
    };
    let crowded = prop_oneof![1 => Just(ConfigurationPlan::Crowd(10_000)), 3 => configuration_plans()];
    prop_oneof![
        6_000 => story(begin(), configuration_plans(), 18),
        1 => story(straight(largest().boxed()), configuration_plans(), 2),
        1 => story(begin(), crowded, 2),
    ]
    .boxed()
}
