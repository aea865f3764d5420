//! Secrets: references, schedules of rotation, what was seen of their users, and the stories of bindings.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use runtime_domain::secrets::{
    Consumer, Consumption, Delivery, KeyVaultReference, ManagedIdentityRef, RotationCause, RotationSchedule,
    SecretReference, SecretVersion, VaultFault,
};
use runtime_domain::time::Span;

use crate::plan::Step;
use crate::plan::place::{Ground, Whose};
use crate::plan::secrets::{Cause, Old, On, SecretPlan, Seen, Times, Turns, Wanted};
use crate::strategy::text::hostile_text;
use crate::strategy::{reason, seconds, value};

/// A secret in a vault of any kind.
pub fn valid_key_vault_reference() -> BoxedStrategy<KeyVaultReference> {
    let parse = |text: &str| text.parse().ok();
    prop_oneof![
        value::made("https://[a-z]([a-z0-9]|-[a-z0-9]){1,11}[.]vault[.]azure[.](net|cn)/secrets/[a-zA-Z0-9-]{1,127}", parse),
        value::made("(vault|openbao)://[a-zA-Z0-9_-]{1,64}(/[a-zA-Z0-9_-]{1,8}){1,8}#[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,63}", parse),
        value::made("local://[a-zA-Z0-9_-]{1,64}/[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,63}", parse),
    ]
    .boxed()
}

/// A version of either kind, the last that can be counted included.
pub fn valid_secret_version() -> BoxedStrategy<SecretVersion> {
    prop_oneof![
        value::made("[1-9][0-9]{0,8}|4294967295", |text| text.parse().ok()),
        value::made("[0-9a-f]{32}", |text| text.parse().ok()),
    ]
    .boxed()
}

/// One version of one secret.
pub fn valid_secret_reference() -> BoxedStrategy<SecretReference> {
    (valid_key_vault_reference(), valid_secret_version(), valid_secret_version())
        .prop_filter_map("a version of that kind of vault", |(secret, one, other)| {
            let version = if secret.takes(one) { one } else { other };
            SecretReference::new(secret, version).ok()
        })
        .boxed()
}

/// As whom a workload asks its vault.
pub fn valid_managed_identity() -> BoxedStrategy<ManagedIdentityRef> {
    let parse = |text: &str| text.parse().ok();
    prop_oneof![
        any::<u128>().prop_filter_map("an identity", move |bits| {
            parse(&format!("azure:{}", uuid::Uuid::from_u128(bits).as_hyphenated()))
        }),
        value::made("kubernetes:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]{1,63}", parse),
        value::made("local:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", parse),
    ]
    .boxed()
}

/// How a workload gets its secret.
pub fn valid_delivery() -> BoxedStrategy<Delivery> {
    prop_oneof![
        value::made("file:[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,63}", |text| text.parse().ok()),
        value::made("env:[A-E][A-Z0-9_]{0,20}", |text| text.parse().ok()),
    ]
    .boxed()
}

/// When a secret is rotated; the shortest period, no grace and the longest are among them.
pub fn valid_rotation_schedule() -> BoxedStrategy<RotationSchedule> {
    let periods =
        prop_oneof![Just(60_u64), 60..10_000_000_u64].prop_map(|seconds| format!("every {seconds}s"));
    let calendar =
        proptest::sample::select(vec!["@hourly", "0 3 * * 0 Europe/Berlin", "*/15 1-5 1,15 * mon"]);
    let schedule = prop_oneof![periods, calendar.prop_map(str::to_owned)];
    let longest = RotationSchedule::LONGEST_GRACE.as_millis();
    let grace = prop_oneof![Just(0), 0..=longest, Just(longest)].prop_map(Span::from_millis);
    (prop::option::of(schedule), grace)
        .prop_filter_map("a schedule", |(schedule, grace)| {
            let schedule = schedule.map(|text| text.parse()).transpose().ok()?;
            RotationSchedule::new(schedule, grace).ok()
        })
        .boxed()
}

/// Why a secret is rotated.
pub fn valid_rotation_cause() -> BoxedStrategy<RotationCause> {
    prop_oneof![
        Just(RotationCause::Scheduled),
        (value::valid_actor(), "[a-z]{1,20}").prop_map(|(by, reason)| RotationCause::OnDemand { by, reason }),
        (value::valid_actor(), "[a-z]{1,20}")
            .prop_map(|(by, reason)| RotationCause::Compromised { by, reason }),
    ]
    .boxed()
}

/// What went wrong at a vault.
pub fn valid_vault_fault() -> BoxedStrategy<VaultFault> {
    use VaultFault::{Failing, Forbidden, NotFound, OutcomeUnknown, Throttled, Unreachable, Unsupported};
    proptest::sample::select(vec![
        Unreachable,
        Throttled,
        Forbidden,
        Failing,
        OutcomeUnknown,
        NotFound,
        Unsupported,
    ])
    .boxed()
}

/// Who uses a secret.
pub fn valid_consumption() -> BoxedStrategy<Consumption> {
    let consumer = (
        value::valid_name(),
        value::valid_id::<runtime_domain::id::kind::Deployment>(),
        "[a-zA-Z0-9_.:-]{1,128}",
    )
        .prop_filter_map("a consumer", |(module, deployment, instance)| {
            format!("{module}@{deployment}/{instance}").parse::<Consumer>().ok()
        });
    let instances = btree_map(consumer, prop::option::of(valid_secret_version()), 1..6);
    prop_oneof![1 => Just(Consumption::Nobody), 4 => instances.prop_map(Consumption::Instances)].boxed()
}

/// Texts that are nearly references, versions, identities or ways to deliver: each is refused, or is what it says.
pub fn hostile_reference() -> BoxedStrategy<String> {
    let spoilt = (valid_secret_reference(), any::<prop::sample::Index>(), "[ -~]{0,2}").prop_map(
        |(valid, at, with)| {
            let mut text = valid.to_string();
            let at = at.index(text.len());
            text.replace_range(at..=at, &with);
            text
        },
    );
    let chosen = prop_oneof![
        Just("https://shop.vault.azure.net:443/secrets/db"),
        Just("https://user:pass@shop.vault.azure.net/secrets/db"),
        Just("https://shop.vault.azure.net.evil.example/secrets/db"),
        Just("https://shop.vault.azure.net/secrets/db?x=1"),
        Just("https://SHOP.vault.azure.net/secrets/db"),
        Just("http://shop.vault.azure.net/secrets/db"),
        Just("https://shop.vault.azure.net/secrets/../keys/db"),
        Just("vault://kv/../sys/raw#value"),
        Just("vault://kv/shop%2fdb#password"),
        Just("vault://kv/a/b/c/d/e/f/g/h/i#password"),
        Just("local://vault/.hidden"),
        Just("file:../../etc/passwd"),
        Just("env:FACTORY_TOKEN"),
        Just("env:LD PRELOAD"),
        Just("azure:00000000-0000-0000-0000-00000000000G"),
        Just("00000000000000000000000000000000"),
        Just("4294967296"),
        Just("01"),
    ];
    prop_oneof![3 => spoilt, 3 => chosen.prop_map(str::to_owned), 2 => hostile_text()].boxed()
}

fn times() -> impl Strategy<Value = Times> {
    let turns = prop_oneof![
        2 => Just(Turns::Never),
        3 => Just(Turns::Every(60)),
        2 => Just(Turns::Every(3_600)),
        1 => Just(Turns::Every(2_592_000)),
        2 => Just(Turns::Hourly),
    ];
    let grace =
        prop_oneof![2 => Just(0_u32), 3 => Just(60_u32), 2 => Just(600_u32), 1 => Just(2_592_000_u32)];
    (turns, grace).prop_map(|(turns, grace)| Times { turns, grace })
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![12 => Just(Whose::Own), 1 => Just(Whose::OtherEnvironment), 1 => Just(Whose::OtherTenant)]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let version = prop_oneof![3 => Just(1_u32), 2 => Just(3_u32), 1 => Just(u32::MAX - 2)];
    let rarely = || prop_oneof![9 => Just(0_u8), 1 => Just(1_u8)];
    let vault = prop_oneof![2 => Just(0_u8), 1 => Just(1_u8), 1 => Just(2_u8), 2 => Just(3_u8)];
    (whose(), prop::bool::weighted(0.03), 0..2_u8, rarely(), vault, version, rarely(), rarely(), times())
        .prop_map(|(whose, is_gone, binding, module, vault, version, identity, delivery, times)| Wanted {
            whose,
            is_gone,
            binding,
            module,
            vault,
            version,
            identity,
            delivery,
            times,
        })
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        2 => Just(Cause::Scheduled),
        4 => reason().prop_map(Cause::OnDemand),
        2 => reason().prop_map(Cause::Compromised),
    ]
}

fn rotate() -> impl Strategy<Value = SecretPlan> {
    let ground = prop_oneof![16 => Just(Ground::Open), 4 => Just(Ground::Stopped), 1 => Just(Ground::Gone)];
    let glass = prop_oneof![3 => "[a-z]{1,6}".prop_map(Some), 1 => reason().prop_map(Some), 1 => Just(None)];
    (cause(), ground, glass, whose(), prop::bool::weighted(0.95)).prop_map(
        |(cause, ground, glass, whose, is_rotation)| {
            let glass = glass.filter(|_| ground != Ground::Open || cause == Cause::Scheduled);
            SecretPlan::Rotate { cause, ground, glass, whose, is_rotation }
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    let on = prop_oneof![4 => Just(On::Newest), 1 => Just(On::Current), 1 => Just(On::Unknown)];
    prop_oneof![
        300 => (1..4_usize).prop_map(|count| Seen::Instances(vec![On::Newest; count])),
        200 => vec(on, 1..4).prop_map(Seen::Instances),
        60 => Just(Seen::Nobody),
        20 => Just(Seen::Instances(Vec::new())),
        20 => Just(Seen::Foreign),
        1 => any::<bool>().prop_map(|is_whole| Seen::Crowd { count: 2_000, is_whole }),
        1 => any::<bool>().prop_map(|is_whole| Seen::Crowd { count: 2_001, is_whole }),
    ]
}

fn fail() -> impl Strategy<Value = SecretPlan> {
    let fault = prop_oneof![12 => 0..5_u8, 1 => 5..7_u8];
    let after =
        prop_oneof![4 => Just(None), 1 => Just(Some(90)), 1 => Just(Some(21_600)), 1 => Just(Some(21_601))];
    (fault, after).prop_map(|(fault, retry_after)| SecretPlan::Fail { fault, retry_after })
}

/// What may be asked of a secret binding, or reported to it.
pub fn secret_plans() -> BoxedStrategy<SecretPlan> {
    let by = prop_oneof![6 => Just(1_i8), 2 => Just(2_i8), 2 => Just(0_i8), 1 => Just(-1_i8)];
    let age = prop_oneof![8 => Just(0_i64), 2 => 1..120_i64, 1 => Just(-1_i64)];
    let old = prop_oneof![5 => Just(Old::Last), 1 => Just(Old::First), 1 => Just(Old::Current)];
    prop_oneof![
        8 => rotate(),
        6 => (by, prop::bool::weighted(0.1)).prop_map(|(by, is_odd)| SecretPlan::Made { by, is_odd }),
        10 => (age, seen()).prop_map(|(age, seen)| SecretPlan::Look { age, seen }),
        6 => fail(),
        4 => old.prop_map(SecretPlan::Retired),
        2 => times().prop_map(SecretPlan::Reschedule),
        2 => reason().prop_map(|reason| SecretPlan::Abort { reason }),
        2 => reason().prop_map(|reason| SecretPlan::Suspend { reason }),
        3 => Just(SecretPlan::Resume),
        1 => reason().prop_map(|reason| SecretPlan::Unbind { reason }),
        4 => Just(SecretPlan::Tick),
        1 => wanted().prop_map(SecretPlan::Bind),
    ]
    .boxed()
}

type Steps = Vec<Step<SecretPlan>>;

fn step(seconds: i64, plan: SecretPlan) -> Step<SecretPlan> {
    Step { seconds, plan }
}

fn all_on_newest() -> SecretPlan {
    SecretPlan::Look { age: 0, seen: Seen::Instances(vec![On::Newest; 2]) }
}

fn straight(cause: Cause) -> SecretPlan {
    SecretPlan::Rotate { cause, ground: Ground::Open, glass: None, whose: Whose::Own, is_rotation: true }
}

/// A whole rotation, but for what its times and somebody's odd words make of it.
fn rotation() -> impl Strategy<Value = Steps> {
    let waits = proptest::sample::select(vec![0_i64, 1, 59, 60, 61, 599, 600, 2_591_999, 2_592_000]);
    let causes = prop_oneof![
        3 => Just(Cause::OnDemand("audit".to_owned())),
        3 => Just(Cause::Scheduled),
        1 => Just(Cause::Compromised("leaked".to_owned())),
    ];
    let due = proptest::sample::select(vec![0_i64, 59, 60, 66, 3_599, 3_600, 3_960, 2_592_000, 2_595_600]);
    let odd = prop::option::weighted(0.3, (0..6_usize, secret_plans()));
    let behind = prop::option::weighted(0.3, prop_oneof![Just(On::Current), Just(On::Unknown)]);
    (causes, due, (waits, 0..5_i64), behind, odd).prop_map(|(cause, due, (wait, between), behind, odd)| {
        let mut steps = vec![
            step(due, straight(cause)),
            step(between, SecretPlan::Made { by: 1, is_odd: false }),
            step(between, all_on_newest()),
            step(wait, all_on_newest()),
            step(between, SecretPlan::Retired(Old::Last)),
        ];
        if let Some(on) = behind {
            // One falls back, during the grace or at its end, and comes again.
            let falls_back = SecretPlan::Look { age: 0, seen: Seen::Instances(vec![On::Newest, on]) };
            steps.insert(3, step(wait, falls_back));
            steps.insert(4, step(between, all_on_newest()));
        }
        if let Some((at, plan)) = odd {
            steps.insert(at.min(steps.len()), step(0, plan));
        }
        steps
    })
}

/// A rotation that nothing holds up, whatever its grace.
fn clean_rotation() -> Steps {
    vec![
        step(1, straight(Cause::OnDemand("audit".to_owned()))),
        step(1, SecretPlan::Made { by: 1, is_odd: false }),
        step(1, all_on_newest()),
        step(2_592_000, all_on_newest()),
        step(1, SecretPlan::Retired(Old::Last)),
    ]
}

/// A vault that fails again and again: each time it is asked when it is due, or a second too early.
fn failures() -> impl Strategy<Value = Steps> {
    let flags = (prop::bool::weighted(0.9), any::<bool>(), any::<bool>());
    (1..9_u32, flags).prop_map(|(count, (is_due, is_retiring, is_resumed))| {
        let fail = || SecretPlan::Fail { fault: 0, retry_after: None };
        let mut steps = clean_rotation();
        steps.truncate(if is_retiring { 4 } else { 1 });
        for failure in 0..count {
            let wait = 60 << failure;
            steps.push(step(0, fail()));
            steps.push(step(if is_due { wait } else { wait - 1 }, SecretPlan::Tick));
        }
        if is_resumed {
            steps.push(step(0, SecretPlan::Resume));
            steps.push(step(0, SecretPlan::Retired(Old::Last)));
        }
        steps
    })
}

/// A rotation that is called off, and one after it that is told of a version that was seen, or of a new one.
fn called_off() -> impl Strategy<Value = Steps> {
    let by = prop_oneof![2 => Just(1_i8), 1 => Just(0_i8), 1 => Just(-1_i8), 2 => Just(2_i8)];
    (by, 0..3_usize).prop_map(|(by, made)| {
        let mut steps = clean_rotation();
        steps.truncate(made.min(2));
        steps.push(step(1, SecretPlan::Abort { reason: "not now".to_owned() }));
        if made == 2 {
            steps.push(step(0, SecretPlan::Retired(Old::Last)));
        }
        steps.push(step(1, straight(Cause::OnDemand("audit".to_owned()))));
        steps.push(step(1, SecretPlan::Made { by, is_odd: false }));
        steps
    })
}

/// Stories of a secret binding; one in some thousands is of more rotations than are kept.
pub fn secret_stories() -> BoxedStrategy<Vec<Step<SecretPlan>>> {
    let single = (seconds(), secret_plans()).prop_map(|(seconds, plan)| step(seconds, plan)).boxed();
    let phrase = prop_oneof![
        8 => rotation(),
        2 => failures(),
        1 => called_off(),
        10 => vec(single.clone(), 1..5),
    ];
    let legal = wanted().prop_map(|wanted| Wanted { is_gone: false, whose: Whose::Own, ..wanted });
    let begin = prop_oneof![9 => legal, 1 => wanted()];
    let usual = vec(phrase, 0..5).prop_map(|phrases| phrases.into_iter().flatten().collect());
    let old = (20..24_usize, vec(-26..2_i8, 0..4), vec(single, 0..4)).prop_map(|(count, versions, rest)| {
        let mut steps: Steps = std::iter::repeat_with(clean_rotation).take(count).flatten().collect();
        steps.push(step(1, straight(Cause::OnDemand("audit".to_owned()))));
        steps.extend(versions.into_iter().map(|by| step(1, SecretPlan::Made { by, is_odd: false })));
        steps.extend(rest);
        steps
    });
    let steps: BoxedStrategy<Steps> = prop_oneof![2_000 => usual, 1 => old].boxed();
    // The same is asked again somewhere, whichever version it was bound with.
    let again = prop::option::weighted(0.4, (any::<prop::sample::Index>(), 1..4_u32));
    (begin, steps, again)
        .prop_map(|(begin, mut steps, again)| {
            if let Some((at, version)) = again {
                let asked = Wanted { version, ..begin };
                steps.insert(at.index(steps.len() + 1), step(0, SecretPlan::Bind(asked)));
            }
            steps.insert(0, step(0, SecretPlan::Bind(begin)));
            steps
        })
        .boxed()
}
