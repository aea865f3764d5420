//! Two hosts share one PostgreSQL and one world, and one of them dies, or sleeps too long, in the midst of the work.
//!
//! `HOSTS_COMPONENTS` and `HOSTS_TENANTS` say how much there is to share: 40 components of 5 tenants unless said, 300 of 20 in the whole form.
//! `HOSTS_SEED` repeats a run's choices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so"
)]

mod site;
mod work;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use factory_runtime_hosts::Performed;
use runtime_domain::surface::EffectId;
use site::{Held, Process, Site};
use work::{House, Quiet};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(4);
/// How long anything may take on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(120);
const BEAT: Duration = Duration::from_millis(20);

/// What becomes of a host in the midst of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is killed.
    Dies,
    /// It is stopped until others have taken over, and goes on.
    Sleeps,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// Buried: temporal#7101. Theirs: the ownership of a shard was lost, and its work was stuck. Ours: what a host held when it died or slept is taken
/// over within two leases.
/// Shows X-2.
/// Shows X-7.
/// Shows X-9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_or_sleeps_is_replaced_within_two_leases_nothing_is_doubled_and_a_quiet_tenant_waits_no_longer()
 {
    let seed = number("HOSTS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (components, tenants) =
        (number("HOSTS_COMPONENTS").unwrap_or(40), number("HOSTS_TENANTS").unwrap_or(5));
    println!("HOSTS_SEED={seed} HOSTS_COMPONENTS={components} HOSTS_TENANTS={tenants}");
    let site = Site::start().await;
    let house = House::build(&site, components, tenants).await;
    let mut hosts = vec![site.host("one").await, site.host("two").await];
    house.until_admitted().await;

    let begun = Instant::now();
    house.release(1).await;
    house.until_completed(1).await;
    let first = site.world.record();
    for host in &hosts {
        let share = first.iter().filter(|performed| performed.host == host.name).count();
        println!("{}: {share} of {} effects", host.name, first.len());
        assert!(share * 10 > first.len(), "{} had its share: {share} of {}", host.name, first.len());
    }
    println!("{components} components brought in {:.1?}", begun.elapsed());

    let alone = house.quiet_waits("alone", 5).await;
    println!("the quiet tenant, alone: {alone:?}");
    for (release, fate) in [(2, Fate::Dies), (3, Fate::Sleeps)] {
        let storm = Storm { site: &site, house: &house, release, fate };
        let chosen = usize::try_from((seed + release) % 2).unwrap();
        let quiet = storm.pass_over(&mut hosts, chosen, first.len()).await;
        println!("the quiet tenant, meanwhile: {quiet:?}");
        assert!(
            quiet.longest() <= alone.longest() + 2 * LEASE,
            "the quiet tenant waited {quiet:?}, and {alone:?} alone"
        );
        if fate == Fate::Dies {
            hosts[chosen] = site.host("three").await;
        }
    }
    check_record(&site.world.record());
    house.check_world();
    house.check_histories().await;
}

/// A release of every component, in the midst of which something happens to a host.
struct Storm<'s> {
    site: &'s Site,
    house: &'s House,
    release: u64,
    fate: Fate,
}

impl Storm<'_> {
    /// Answers how long the quiet tenant waited meanwhile.
    async fn pass_over(&self, hosts: &mut [Process], chosen: usize, usual: usize) -> Quiet {
        let before = self.site.world.count();
        let requested = self.house.release(self.release);
        let module = format!("storm-{}", self.release);
        let struck = async {
            let is_at_work = |host: &Process| self.site.held_by(host).iter().any(|held| held.is_due);
            until("the work is under way, and the chosen one is at it", async || {
                self.site.world.count() - before > usual / 4 && is_at_work(&hosts[chosen])
            })
            .await;
            let host = &mut hosts[chosen];
            match self.fate {
                Fate::Dies => host.kill().await,
                Fate::Sleeps => host.stop(),
            }
            let (at, held) = (Instant::now(), self.site.held_by(host));
            // Callers go on asking meanwhile.
            let (quiet, taken) = tokio::join!(self.house.quiet_waits(&module, 5), self.takeover(at, &held));
            (at, held, quiet, taken)
        };
        let ((), (at, held, quiet, taken)) = tokio::join!(requested, struck);
        let host = &hosts[chosen];
        if self.fate == Fate::Sleeps {
            host.resume();
        }
        self.house.until_completed(self.release).await;
        self.tell(host, at, &held, taken, before);
        quiet
    }

    /// How long it takes until everything that was held is taken by another.
    async fn takeover(&self, at: Instant, held: &[Held]) -> Duration {
        let waiting: Vec<&Held> = held.iter().filter(|held| held.is_due).collect();
        assert!(!waiting.is_empty(), "it was at work");
        let mut left = waiting.len();
        until("another host takes over", async || {
            let still = self.site.still_held(&waiting);
            if still < left {
                println!("  after {:.2?} {still} of {} are still held", at.elapsed(), waiting.len());
            }
            left = still;
            still == 0
        })
        .await;
        at.elapsed()
    }

    fn tell(&self, host: &Process, at: Instant, held: &[Held], taken: Duration, before: usize) {
        let due = held.iter().filter(|held| held.is_due).count();
        println!(
            "{:?}: {} held {due} leases on what is due (and {} on what is not); the last was taken after {taken:.2?}: {:.2} leases",
            self.fate,
            host.name,
            held.len() - due,
            taken.as_secs_f64() / LEASE.as_secs_f64()
        );
        for held in held {
            println!("  {}", held.about);
        }
        assert!(taken <= 2 * LEASE, "another host takes over within two leases, not {taken:?}");
        let record = self.site.world.record();
        let storm = &record[before..];
        for held in held {
            let own = storm.iter().filter(|performed| {
                held.token.is_some_and(|token| performed.fence == token) && performed.host == host.name
            });
            let own: Vec<&Performed> = own.collect();
            let Some(last) = own.last() else { continue };
            let next = storm.iter().find(|performed| {
                performed.effect.owner == last.effect.owner
                    && performed.at > at
                    && performed.host != host.name
            });
            if let Some(next) = next {
                let after = next.at.duration_since(at);
                println!("  {}: the next effect came after {after:.2?}", last.effect.owner);
            }
        }
        if self.fate == Fate::Dies {
            assert!(!storm.iter().any(|performed| performed.host == host.name && performed.at > at));
        }
    }
}

/// No effect changes the world twice, and no token that was replaced is accepted.
fn check_record(record: &[Performed]) {
    let mut effects: BTreeMap<EffectId, Vec<&Performed>> = BTreeMap::new();
    let mut fences = BTreeMap::new();
    let mut refused = 0;
    for performed in record {
        if performed.is_refused {
            assert!(!performed.has_changed, "{performed:?}");
            refused += 1;
            continue;
        }
        let newest = fences.entry(&performed.key).or_insert(0);
        assert!(performed.fence >= *newest, "a token that was replaced was accepted: {performed:?}");
        *newest = performed.fence;
        effects.entry(performed.effect).or_default().push(performed);
    }
    let repeated: Vec<_> = effects.values().filter(|performed| performed.len() > 1).collect();
    let doubled: Vec<_> = effects
        .values()
        .filter(|performed| performed.iter().filter(|performed| performed.has_changed).count() > 1)
        .collect();
    println!(
        "{} effects, {} asked for again without changing anything, {refused} refused for an old token, {} doubled",
        effects.len(),
        repeated.len(),
        doubled.len()
    );
    assert!(doubled.is_empty(), "the world was changed twice by one effect: {doubled:?}");
}

/// Asks again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "it did not happen that {what}");
        tokio::time::sleep(BEAT).await;
    }
}
