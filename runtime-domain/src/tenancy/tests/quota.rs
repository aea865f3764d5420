//! How a quota comes and goes, and what partitions are derived.

use super::*;

fn mixed(cpu: u64, memory: u64) -> ResourceQuota {
    ResourceQuota::new(cpu, memory, 10, 10).unwrap()
}

/// Shows TEN-2.
#[test]
fn a_tenant_uses_nothing_before_its_quota_is_committed() {
    let mut told = pending(IsolationModel::Pool);
    assert_eq!((told.now().quota(), told.now().bound_at(), told.now().is_settled()), (None, None, false));
    told.command(&confirm(1_000), 3).unwrap();
    assert_eq!((told.now().quota(), told.now().bound_at()), (Some(units(1_000)), Some(at(3))));
    assert!(told.now().is_settled());
}

/// Shows TEN-2.
#[test]
fn a_place_needs_a_reservation_that_lasts_and_covers_it() {
    for (reserved, seconds, expected) in [
        (units(1_000), 59, Answer::Changes),
        (units(1_000), 60, TEN2),
        (units(1_001), 0, Answer::Changes),
        (units(999), 0, TEN2),
        (ResourceQuota::new(1_000, 1_000, 999, 1_000).unwrap(), 0, TEN2),
    ] {
        let command = BindTenant { reservation: reservation(reserved), ..bind(IsolationModel::Pool) };
        let decided = RuntimeTenantBinding::bind(&command, at(seconds));
        assert_eq!(answer(&decided), expected, "{reserved:?} at {seconds}");
    }
    let told = in_state(BindingStatus::Bound);
    assert_eq!(told.asked(&adjust(1_001, Some(1_001)), 59), Answer::Changes);
    assert_eq!(told.asked(&adjust(1_001, Some(1_001)), 60), TEN2);
    assert_eq!(told.asked(&adjust(1_001, Some(1_002)), 59), Answer::Changes);
}

/// Shows TEN-2.
#[test]
fn more_is_used_once_it_is_committed_and_not_before() {
    let mut told = in_state(BindingStatus::Bound);
    told.command(&adjust(1_200, Some(1_200)), 2).unwrap();
    assert_eq!(told.now().quota(), Some(units(1_000)));
    assert_eq!(told.now().claim(Revision(1)).unwrap().quota(), units(1_200));
    assert_eq!((told.now().wake_at(), told.now().is_settled()), (Some(at(60)), false));
    assert_eq!(told.asked(&adjust(1_200, Some(1_200)), 3), Answer::Same);
    assert_eq!(told.asked(&adjust(1_100, Some(1_200)), 3), NO);
    assert_eq!(told.asked(&adjust(900, None), 3), NO);
    assert_eq!(told.asked(&confirm(1_199), 3), TEN2);
    told.command(&confirm(1_200), 70).unwrap();
    assert_eq!((told.now().quota(), told.now().wake_at()), (Some(units(1_200)), None));
    let BindingState::Bound(state) = told.now().state() else { panic!("{told:?}") };
    assert_eq!(state.allocation.allocated_at, at(70));
    told.check_replay_and_record();
}

#[test]
fn an_increase_that_is_larger_in_one_thing_and_less_in_another_claims_both_until_it_is_settled() {
    let mut told = in_state(BindingStatus::Bound);
    let wide = |cpu, memory| TenancyCommand::ConfirmQuota {
        committed: CommittedQuota { quota: mixed(cpu, memory), ..committed(1) },
    };
    told.command(&TenancyCommand::AdjustQuota { quota: mixed(10, 20), reservation: None }, 2).unwrap();
    told.command(&wide(10, 20), 2).unwrap();
    let more =
        TenancyCommand::AdjustQuota { quota: mixed(20, 10), reservation: Some(reservation(mixed(20, 10))) };
    told.command(&more, 3).unwrap();
    assert_eq!(told.now().claim(Revision(1)).unwrap().quota(), mixed(20, 20));
    told.command(&wide(20, 20), 4).unwrap();
    assert_eq!(told.now().quota(), Some(mixed(20, 10)));
    assert!(!told.now().is_settled());
    assert_eq!(told.now().wake_at(), Some(at(4)));
    assert_eq!(told.now().claim(Revision(1)).unwrap().quota(), mixed(20, 10));
    assert_eq!(told.asked(&wide(20, 20), 5), TEN2, "more is committed than is used");
    told.command(&wide(20, 10), 5).unwrap();
    assert!(told.now().is_settled());
    told.check_replay_and_record();
}

#[test]
fn less_is_used_at_once_and_the_rest_is_given_back() {
    let mut told = in_state(BindingStatus::Bound);
    told.command(&adjust(900, None), 2).unwrap();
    assert_eq!(told.now().quota(), Some(units(900)));
    assert_eq!((told.now().wake_at(), told.now().is_settled()), (Some(at(2)), false));
    assert_eq!(told.now().claim(Revision(1)).unwrap().quota(), units(900));
    // More again is claimed in place of what was to be given back.
    assert_eq!(told.asked(&adjust(950, Some(950)), 3), Answer::Changes);
    told.command(&confirm(900), 3).unwrap();
    assert_eq!((told.now().wake_at(), told.now().is_settled()), (None, true));
    told.check_replay_and_record();
}

#[test]
fn what_is_not_committed_in_time_is_given_up() {
    let mut told = in_state(BindingStatus::Pending);
    assert_eq!(told.asked(&TenancyCommand::Tick, 59), Answer::Same);
    told.command(&TenancyCommand::Tick, 60).unwrap();
    assert_eq!(told.now().state().status(), BindingStatus::Released);
    assert_eq!(told.now().bound_at(), None);
    assert!(!told.now().is_settled(), "the environment may have committed it");
    told.check_replay_and_record();

    let mut told = in_state(BindingStatus::Cordoned);
    told.command(&adjust(1_200, Some(1_200)), 2).unwrap();
    assert_eq!(told.asked(&TenancyCommand::Tick, 59), Answer::Same);
    told.command(&TenancyCommand::Tick, 60).unwrap();
    assert_eq!(told.now().quota(), Some(units(1_000)));
    assert!(!told.now().is_settled(), "the environment may have committed it");
    assert_eq!(told.now().claim(Revision(1)).unwrap().quota(), units(1_000));
    told.check_replay_and_record();
}

#[test]
fn a_stored_increase_is_more_than_is_used() {
    let mut told = in_state(BindingStatus::Bound);
    told.command(&adjust(1_200, Some(1_200)), 2).unwrap();
    assert_refused(told.now(), "TEN-2", |record| {
        let quota = record["state"]["Bound"]["allocation"]["quota"].clone();
        record["state"]["Bound"]["exchange"]["Increase"]["quota"] = quota;
    });
}

#[test]
fn a_quota_that_nothing_could_run_with_cannot_be_written() {
    assert!(ResourceQuota::new(0, 1, 1, 1).is_err());
    assert!(ResourceQuota::new(1, 0, 1, 1).is_err());
    assert!(ResourceQuota::new(1, 1, 1, 0).is_err());
    assert!(ResourceQuota::new(1, 1, 0, 1).is_ok());
    assert!(ResourceQuota::new(u64::MAX, 1, 1, 1).unwrap_err().to_string().contains("cpu_millicores"));
    let (most, bytes) = (1 << 43, 1 << 53);
    assert_eq!(ResourceQuota::new(most, bytes, bytes, most), Ok(ResourceQuota::LARGEST));
    assert_eq!(ResourceQuota::largest(), ResourceQuota::LARGEST);
    for index in 0..4 {
        let mut units = [most, bytes, bytes, most];
        units[index] += 1;
        assert!(ResourceQuota::new(units[0], units[1], units[2], units[3]).is_err(), "{index}");
    }
}

#[test]
fn a_quota_tells_each_unit_and_which_covers_which() {
    let quota = ResourceQuota::new(1, 2, 3, 4).unwrap();
    assert_eq!(QuotaUnit::ALL.map(|unit| quota.of(unit)), [1, 2, 3, 4]);
    let names = ["cpu_millicores", "memory_bytes", "storage_bytes", "requests_per_second"];
    assert_eq!(QuotaUnit::ALL.map(|unit| unit.to_string()), names);
    assert!(quota.covers(quota));
    for (index, other) in [(2, 2, 3, 4), (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3, 5)].into_iter().enumerate() {
        let more = ResourceQuota::new(other.0, other.1, other.2, other.3).unwrap();
        assert!(more.covers(quota) && !quota.covers(more), "{index}");
        assert_eq!(quota.covering(more), more);
        assert_eq!(more.covering(quota), more);
    }
    let other = ResourceQuota::new(4, 1, 9, 1).unwrap();
    assert_eq!(quota.covering(other), ResourceQuota::new(4, 2, 9, 4).unwrap());
}

/// Shows TEN-1.
#[test]
fn derived_partitions_are_a_tenants_own_and_only_a_shared_network_is_shared() {
    let derived = PartitionAssignment::derived;
    let mut networks = BTreeSet::new();
    let mut data = BTreeSet::new();
    for tenant in 0..20 {
        for environment in 0..20 {
            let pool = derived(id(tenant), id(environment), IsolationModel::Pool);
            assert_eq!(pool, derived(id(tenant), id(environment), IsolationModel::Silo));
            let shared = derived(id(tenant), id(environment), IsolationModel::Shared);
            assert_eq!(shared.data, pool.data);
            assert_eq!(shared.network, derived(id(99), id(environment), IsolationModel::Shared).network);
            for key in [&pool.network, &pool.data, &shared.network] {
                assert_eq!(PartitionKey::new(key.as_str()).as_ref(), Ok(key));
            }
            networks.extend([pool.network, shared.network]);
            data.insert(pool.data);
        }
    }
    assert_eq!((networks.len(), data.len()), (420, 400));
    // Stored assignments and what is provisioned for them rest on this: it must never change.
    let pool = derived(id(2), id(1), IsolationModel::Pool);
    assert_eq!(pool.data.to_string().len(), 33);
    assert_eq!(
        (pool.network.as_str(), pool.data.as_str()),
        ("n7aeb8b70ffa3e580b1211abfc9a6d226", "d1b256b20b15b02588b972d87e64e5e1f")
    );
}

proptest! {
    #[test]
    fn a_quota_round_trips_and_a_hostile_one_is_refused(units in any::<[u64; 4]>()) {
        match ResourceQuota::new(units[0], units[1], units[2], units[3]) {
            Ok(quota) => {
                let text = serde_json::to_string(&quota).unwrap();
                prop_assert_eq!(serde_json::from_str::<ResourceQuota>(&text).unwrap(), quota);
            }
            Err(error) => prop_assert!(error.to_string().contains("write a whole number")),
        }
    }
}
