//! Who may still work on an environment: tokens outlive what they guarded.

use std::collections::BTreeMap;

use runtime_domain::id::EnvironmentId;
use runtime_domain::surface::FencingToken;
use runtime_ports::PortErrorKind;

use crate::disk::Disk;
use crate::fault::{Fault, Outcome};
use crate::manifest::{read, to_json};
use crate::place::{FENCES, Place};

/// Refuses a token that is older than one seen before, and remembers one that is newer. The caller holds the tenant's lock.
pub(crate) fn admit(disk: &Disk, place: &Place, fence: FencingToken) -> Outcome<()> {
    let mut seen: BTreeMap<EnvironmentId, FencingToken> = read(&place.fences())?.unwrap_or_default();
    match seen.get(&place.environment) {
        Some(newest) if *newest > fence => Err(Fault::new(
            PortErrorKind::Fenced,
            format!(
                "the effect carries fencing token {} and {} was seen already: another host has taken over this environment, so let it work",
                fence.0, newest.0
            ),
        )),
        Some(newest) if *newest == fence => Ok(()),
        _ => {
            seen.insert(place.environment, fence);
            disk.write_file(&place.tenant_folder, FENCES, &to_json(&seen)?)
        }
    }
}
