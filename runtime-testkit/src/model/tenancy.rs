//! A tenant binding, as spec.md §2 and the context's table describe it.

use std::collections::BTreeSet;

use crate::model::{Facts, Foreseen, Model, exclusive, text};
use crate::plan::tenancy::{Place, TenancyPlan};

/// The model of a tenant binding.
#[derive(Debug, Clone, Default)]
pub struct TenancyModel {
    place: Option<Place>,
    is_released: bool,
}

const SILO: u8 = 0;
const SHARED: u8 = 2;

impl Model for TenancyModel {
    type Plan = TenancyPlan;

    fn absent() -> Self {
        Self::default()
    }

    fn foresee(&mut self, plan: &TenancyPlan, _now: i64) -> Foreseen {
        match (&mut self.place, plan) {
            (None, TenancyPlan::Bind(place)) => {
                if place.wanted != place.offered {
                    return Foreseen::Refused("TEN-1");
                }
                if place.wanted == SILO && !place.is_own {
                    return Foreseen::Refused("X-1");
                }
                self.place = Some(place.clone());
                Foreseen::Changes(vec!["RuntimeTenantBound"])
            }
            (None, _) => Foreseen::Report,
            (Some(_), TenancyPlan::Bind(_) | TenancyPlan::Adjust { .. }) if self.is_released => {
                Foreseen::Refused("LIFECYCLE")
            }
            (Some(own), TenancyPlan::Bind(other)) => {
                // What the environment offers is its own business once the tenant has its place.
                if *own == (Place { offered: own.offered, ..other.clone() }) {
                    Foreseen::Same
                } else {
                    Foreseen::Refused("TEN-3")
                }
            }
            (Some(own), TenancyPlan::Adjust { quota }) if own.quota == *quota => Foreseen::Same,
            (Some(own), TenancyPlan::Adjust { quota }) => {
                own.quota = *quota;
                Foreseen::Changes(vec!["RuntimeTenantQuotaAdjusted"])
            }
            (Some(_), TenancyPlan::Release { .. }) if self.is_released => Foreseen::Same,
            (Some(_), TenancyPlan::Release { reason }) if text::is_reason(reason) => {
                self.is_released = true;
                Foreseen::Changes(Vec::new())
            }
            (Some(_), TenancyPlan::Release { .. }) => Foreseen::Refused("CONTENT"),
        }
    }

    fn facts(&self) -> Option<Facts> {
        let place = self.place.as_ref()?;
        let status = if self.is_released { "Released" } else { "Bound" };
        let facts = Facts {
            status: status.to_owned(),
            claims: if self.is_released { BTreeSet::new() } else { claims(place) },
            ..Facts::default()
        };
        let quota = if self.is_released { 0 } else { u64::from(place.quota) + 1 };
        Some(facts.with("quota", quota).with("isolation", place.wanted))
    }
}

fn claims(place: &Place) -> BTreeSet<String> {
    let tenant = if place.is_own { 1 } else { 2 };
    let environment = format!("env_{:032x}", 1);
    let mode = if place.wanted == SILO { "exclusive" } else { "shared" };
    let mut claims = BTreeSet::from([
        exclusive(format_args!("tenant/ten_{tenant:032x}/{environment}")),
        format!("occupancy/{environment} {mode} global"),
        format!("partition/{environment}/data/data-{} exclusive global", place.partition),
    ]);
    if place.wanted != SHARED {
        claims.insert(format!("partition/{environment}/network/net-{} exclusive global", place.partition));
    }
    claims
}
