//! Shows DRF-1, DRF-3.
//! Only a comparison with authoritative desired state proves that something diverges, or that it does not.

use runtime_domain::drift::{Authoritative, DesiredStateRevision, DetectedDrift, InSync};
use runtime_domain::id::TenantId;

fn claim(revision: DesiredStateRevision, real: Authoritative<u8>) -> Authoritative<u8> {
    Authoritative { revision, ..real }
}

fn forge(revision: DesiredStateRevision, real: DetectedDrift) -> DetectedDrift {
    DetectedDrift { revision, ..real }
}

fn calm(tenant: TenantId, real: InSync) -> InSync {
    InSync { tenant, ..real }
}

fn main() {}
