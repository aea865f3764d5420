use runtime_domain::surface::FencingToken;
use runtime_domain::time::{Span, Timestamp};
use runtime_ports::store::{Commit, Lease, LeaseError, LeaseRequest, LeaseTopic};

use super::{Outcome, World, ensure, is_lease_lost, key, loaded, request};
use crate::conformance::equal;
use crate::sample::{self, Draft};

const HOSTS: u64 = 4;

/// Equal seeds give equal numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What a host's clock says: hosts are minutes apart, and the last one's jumps back now and then.
fn clock(host: u64, truth: u64, dice: &mut Dice) -> Timestamp {
    let jump = if host == HOSTS { dice.below(600) } else { 0 };
    let seconds = 10_000 + truth + host * 180 - jump;
    Span::from_millis(dice.below(1_000)).after(sample::at(seconds))
}

/// Hosts take, renew, use and give back the lease on one aggregate in any order, each by its own clock. A host may believe that it holds
/// the lease when it does not: then everything that it tries with it is refused.
///
/// Buried: kubernetes#125761. Theirs: a clock jumped, and there were two leaders. Ours: a lease is the store's token and not a clock: hosts minutes
/// apart, one of them jumping, never both hold it.
pub(super) async fn hosts_whose_clocks_differ_never_both_hold_a_lease(world: World) -> Outcome {
    let mut dice = Dice(7);
    let tenant = world.tenant(1);
    tenant.commit(Draft::create(1, key(1)).waking_at(0).commit()).await?;
    let mut believed: Vec<Option<Lease>> = vec![None; 1 + usize::try_from(HOSTS).unwrap_or(0)];
    let mut present: Option<Lease> = None;
    let mut newest = FencingToken(0);
    for truth in 0..400 {
        let host = 1 + dice.below(HOSTS);
        let operator = world.host(host).for_operator(&sample::operator());
        let now = clock(host, truth, &mut dice);
        let until = Span::from_secs(1 + dice.below(240)).after(now);
        let Some(own) = believed.get_mut(usize::try_from(host).unwrap_or(0)) else { continue };
        let holds = |lease: &Lease| present.as_ref().is_some_and(|present| present.token == lease.token);
        let what = format!("step {truth}, host {host}");
        match (dice.below(6), own.clone()) {
            (0 | 1, _) | (_, None) => {
                let asked = LeaseRequest { now, until, ..request(LeaseTopic::Work, host, 0) };
                let free = present.as_ref().is_none_or(|lease| lease.until <= now);
                let taken = operator.take_leases(&asked).await?.pop();
                equal(&format!("{what}: whether it takes the lease"), taken.is_some(), free)?;
                if let Some(lease) = taken {
                    ensure(lease.token > newest, format!("{what}: {:?} follows {newest:?}", lease.token))?;
                    newest = lease.token;
                    present = Some(lease.clone());
                    *own = Some(lease);
                }
            }
            (2, Some(lease)) => match operator.renew_lease(&lease, until).await {
                Ok(renewed) => {
                    ensure(holds(&lease), format!("{what}: a lost lease was renewed"))?;
                    present = Some(renewed.clone());
                    *own = Some(renewed);
                }
                Err(LeaseError::Lost { .. }) => ensure(!holds(&lease), format!("{what}: it was held"))?,
                Err(error) => return Err(error.into()),
            },
            (3, Some(lease)) => {
                operator.release_lease(&lease).await?;
                if holds(&lease) {
                    present = None;
                }
                *own = None;
            }
            (_, Some(lease)) => {
                let draft = Draft::after(1, &loaded(&*tenant, key(1)).await?).waking_at(0);
                let store = world.host(host).for_tenant(&sample::scope(1));
                match store.commit(Commit { lease: Some(lease.clone()), ..draft.commit() }).await {
                    Ok(_) => ensure(holds(&lease), format!("{what}: a commit under a lost lease"))?,
                    Err(error) if is_lease_lost(&error) => {
                        ensure(
                            !holds(&lease),
                            format!("{what}: its commit was refused, and it held the lease"),
                        )?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}
