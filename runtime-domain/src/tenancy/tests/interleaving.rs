//! Many tenants, many hosts, one environment: commits in any order, hosts that die between any two, and what is left.

use alloc::collections::BTreeMap;

use super::*;
use crate::aggregate::Decision;
use crate::environment::{
    EnvironmentChange, EnvironmentCommand, EnvironmentEvent, EnvironmentStage, ProvisionRuntimeEnvironment,
    QuotaCommand, RuntimeEnvironment,
};
use crate::id::TenantBindingId;
use crate::surface::SurfaceKind;
use crate::testing::name;

const TENANTS: u128 = 3;
const HOSTS: usize = 3;

fn quota(units: [u64; 4]) -> ResourceQuota {
    ResourceQuota::new(units[0], units[1], units[2], units[3]).unwrap()
}

/// A decision that a host has made and not committed yet, with all that its commit re-checks.
#[derive(Debug, Clone)]
struct Prepared {
    write: Write,
    expected: Revision,
    evidence: Vec<EvidenceRef>,
}

#[derive(Debug, Clone)]
enum Write {
    Environment(Decision<EnvironmentEvent>),
    Binding(TenantBindingId, Decision<TenancyEvent>),
}

/// A store of one environment and the bindings to it.
#[derive(Debug)]
struct World {
    environment: (Told<RuntimeEnvironment>, Revision),
    bindings: BTreeMap<TenantBindingId, (Binding, Revision)>,
    now: u64,
}

impl World {
    fn new() -> Self {
        let command = ProvisionRuntimeEnvironment {
            environment_id: id(1),
            tenant_id: id(2),
            project_id: id(3),
            name: name("pool"),
            stage: EnvironmentStage::Prod,
            region: name("westeurope"),
            isolation_model: IsolationModel::Pool,
            surfaces: BTreeSet::from([SurfaceKind::Process]),
            egress_allow_list: BTreeSet::new(),
            capacity: quota([10, 12, 14, 16]),
        };
        let told = Told::begin(RuntimeEnvironment::provision(&command, at(0)), at(0));
        Self { environment: (told, Revision::FIRST), bindings: BTreeMap::new(), now: 0 }
    }

    fn revision(&self, fact: &EvidenceRef) -> Option<Revision> {
        match fact.kind {
            AggregateKind::RuntimeEnvironment => Some(self.environment.1),
            _ => self.bindings.get(&TenantBindingId::from_uuid(fact.id)).map(|(_, revision)| *revision),
        }
    }

    /// Commits as a store does: whole, or not at all.
    fn commit(&mut self, prepared: Prepared) -> bool {
        let fresh = prepared.evidence.iter().all(|fact| self.revision(fact) == Some(fact.revision));
        if !fresh {
            return false;
        }
        let now = at(self.now);
        match prepared.write {
            Write::Environment(decision) => {
                if self.environment.1 != prepared.expected || decision.is_unchanged() {
                    return false;
                }
                self.environment.0.happen(decision, now);
                self.environment.1 = prepared.expected.next();
            }
            Write::Binding(binding, decision) => {
                let before = self.bindings.remove(&binding);
                let revision = before.as_ref().map_or(Revision(0), |(_, revision)| *revision);
                if revision != prepared.expected || decision.is_unchanged() {
                    self.bindings.extend(before.map(|before| (binding, before)));
                    return false;
                }
                let mut told = before.map_or(Told { state: None, history: Vec::new() }, |(told, _)| told);
                told.happen(decision, now);
                self.bindings.insert(binding, (told, revision.next()));
            }
        }
        true
    }

    fn environment(&self) -> (&RuntimeEnvironment, Revision) {
        (self.environment.0.now(), self.environment.1)
    }

    fn on_environment(&self, command: &QuotaCommand) -> Option<Prepared> {
        let (environment, expected) = self.environment();
        let decision = environment.decide_quota(command, at(self.now)).ok()?;
        Some(Prepared { write: Write::Environment(decision), expected, evidence: command.evidence() })
    }

    fn on_binding(&self, binding: TenantBindingId, command: &TenancyCommand) -> Option<Prepared> {
        let (told, expected) = self.bindings.get(&binding)?;
        let decision = told.now().decide(command, at(self.now)).ok()?;
        Some(Prepared {
            write: Write::Binding(binding, decision),
            expected: *expected,
            evidence: command.evidence(),
        })
    }

    /// What a host decides, by what it sees now.
    fn prepare(&self, kind: u8, number: u128, quota: ResourceQuota, lasts: u64) -> Option<Prepared> {
        let binding: TenantBindingId = id(100 + number);
        let (environment, revision) = self.environment();
        match kind {
            0 | 1 => self.on_environment(&QuotaCommand::ReserveQuota {
                binding,
                tenant: id(number),
                quota,
                expires_at: at(self.now + lasts),
            }),
            2 | 3 => {
                let reservation = environment.reservation(binding, revision, at(self.now)).ok()?;
                if self.bindings.contains_key(&binding) {
                    let (quota, reservation) = (reservation.quota(), Some(reservation));
                    return self.on_binding(binding, &TenancyCommand::AdjustQuota { quota, reservation });
                }
                let command = BindTenant {
                    tenant_binding_id: binding,
                    place: TenantPlace {
                        tenant_id: id(number),
                        quota: reservation.quota(),
                        ..place(IsolationModel::Pool)
                    },
                    environment: environment.host(revision).ok()?,
                    reservation,
                };
                let decision = RuntimeTenantBinding::bind(&command, at(self.now)).ok()?;
                let evidence = command.evidence();
                Some(Prepared { write: Write::Binding(binding, decision), expected: Revision(0), evidence })
            }
            4 | 5 => {
                let (told, at) = self.bindings.get(&binding)?;
                let claimed = told.now().claim(*at).ok()?;
                self.on_environment(&QuotaCommand::CommitQuota { claimed })
            }
            6 | 7 => {
                let committed = environment.commitment(binding, revision).ok()?;
                self.on_binding(binding, &TenancyCommand::ConfirmQuota { committed })
            }
            8 => self.on_binding(binding, &TenancyCommand::AdjustQuota { quota, reservation: None }),
            9 => self.on_binding(binding, &cordon()).or_else(|| self.on_binding(binding, &release())),
            10 => self.on_binding(binding, &release()),
            11 => {
                let (told, at) = self.bindings.get(&binding)?;
                let released = told.now().released(*at).ok()?;
                self.on_environment(&QuotaCommand::ReleaseQuota { released })
            }
            12 => {
                let returned = environment.returned(binding, revision).ok()?;
                self.on_binding(binding, &TenancyCommand::RecordQuotaReturned { returned })
            }
            13 => self.on_binding(binding, &TenancyCommand::Tick),
            14 => self.on_environment(&QuotaCommand::Tick),
            _ => {
                let more = |unit| quota.of(unit) + 8;
                let [cpu, memory, storage, throughput] = QuotaUnit::ALL.map(more);
                let capacity = ResourceQuota::new(cpu, memory, storage, throughput).ok();
                let change = EnvironmentChange { capacity, ..EnvironmentChange::default() };
                let command = EnvironmentCommand::ChangeEnvironment(change);
                let decision = environment.decide(&command, at(self.now)).ok()?;
                Some(Prepared {
                    write: Write::Environment(decision),
                    expected: revision,
                    evidence: Vec::new(),
                })
            }
        }
    }

    /// TEN-2, summed from what the bindings themselves say, and not from the ledger.
    fn check(&self) -> Result<(), TestCaseError> {
        let ledger = self.environment().0.ledger();
        for unit in QuotaUnit::ALL {
            let used: u64 = self
                .bindings
                .values()
                .filter_map(|(told, _)| told.now().quota())
                .map(|quota| quota.of(unit))
                .sum();
            prop_assert!(used <= ledger.allocated(unit), "{unit}: {used}");
            prop_assert!(ledger.allocated(unit) <= ledger.capacity().of(unit), "{unit}");
        }
        for (binding, (told, _)) in &self.bindings {
            let committed = ledger.entries().get(binding).and_then(|entry| entry.committed);
            let is_covered =
                |quota| committed.is_some_and(|committed: ResourceQuota| committed.covers(quota));
            prop_assert!(told.now().quota().is_none_or(is_covered), "{binding}: {committed:?}");
        }
        Ok(())
    }

    /// What a reconciler does for each binding, hour after hour, when nothing goes wrong any more.
    fn converge(&mut self) {
        for _ in 0..4 {
            self.now += 4_000;
            self.prepare(14, 0, quota([1; 4]), 0).map(|prepared| self.commit(prepared));
            for number in 0..TENANTS {
                for kind in [4, 7, 4, 7, 13, 4, 7, 11, 12] {
                    let prepared = self.prepare(kind, number, quota([1; 4]), 0);
                    prepared.map(|prepared| self.commit(prepared));
                }
            }
        }
    }
}

fn any_quota() -> impl Strategy<Value = ResourceQuota> {
    [1..9u64, 1..9u64, 1..9u64, 1..9u64].prop_map(quota)
}

proptest! {
    /// Shows TEN-2.
    #[test]
    fn no_interleaving_of_hosts_that_die_overbooks_an_environment_and_all_of_it_settles(
        moments in proptest::collection::vec(
            (0..HOSTS, any::<bool>(), 0..17u8, 0..TENANTS, any_quota(), 1..60u64, 0..20u64), 0..160)
    ) {
        let mut world = World::new();
        let mut hosts: [Option<Prepared>; HOSTS] = [const { None }; HOSTS];
        for (host, is_prompt, kind, number, quota, lasts, seconds) in moments {
            world.now += seconds;
            // Whatever the host had decided before is committed late, or, where it died, never.
            if let Some(late) = hosts[host].take() && kind % 3 != 0 {
                world.commit(late);
                world.check()?;
            }
            hosts[host] = world.prepare(kind, number, quota, lasts);
            if is_prompt && let Some(prepared) = hosts[host].take() {
                world.commit(prepared);
                world.check()?;
            }
        }
        world.converge();
        world.check()?;
        world.environment.0.check_replay_and_record();
        let ledger = world.environment().0.ledger();
        for (binding, (told, _)) in &world.bindings {
            told.check_replay_and_record();
            prop_assert!(told.now().is_settled(), "{told:?}");
            let entry = ledger.entries().get(binding);
            prop_assert_eq!(entry.and_then(|entry| entry.committed), told.now().quota());
            prop_assert!(entry.is_none_or(|entry| entry.reserved.is_none()));
        }
        prop_assert!(ledger.entries().keys().all(|binding| world.bindings.contains_key(binding)));
    }
}

/// What the property reaches: without this, a world in which nothing ever happens would pass it.
#[test]
fn a_quota_goes_all_the_way_there_and_back() {
    let mut world = World::new();
    for (kind, units, used) in [
        (0, 4, None),
        (2, 4, None),
        (4, 4, None),
        (6, 4, Some(4)),
        (0, 9, Some(4)),
        (2, 9, Some(4)),
        (4, 9, Some(4)),
        (6, 9, Some(9)),
        (8, 2, Some(2)),
        (4, 2, Some(2)),
        (6, 2, Some(2)),
        (9, 2, Some(2)),
        (10, 2, None),
        (11, 2, None),
        (12, 2, None),
    ] {
        let prepared = world.prepare(kind, 1, quota([units; 4]), 50).unwrap();
        assert!(world.commit(prepared), "{kind}");
        let (told, _) = match world.bindings.get(&id(101)) {
            Some(binding) => binding,
            None => continue,
        };
        assert_eq!(told.now().quota(), used.map(|used| quota([used; 4])), "{kind}");
    }
    assert!(world.environment().0.ledger().entries().is_empty());
}

/// Shows TEN-2.
#[test]
fn a_zombie_that_binds_after_its_reservation_ended_is_refused_by_the_revision() {
    let mut world = World::new();
    let reserve = world.prepare(0, 1, quota([9; 4]), 10).unwrap();
    assert!(world.commit(reserve));
    let zombie = world.prepare(2, 1, quota([9; 4]), 10).unwrap();
    world.now = 10;
    let rival = world.prepare(0, 2, quota([9; 4]), 10).unwrap();
    assert!(world.commit(rival), "what ended is free for others");
    assert!(!world.commit(zombie));
}
