//! Only an environment's calendar clears a change.

use runtime_domain::calendar::{Activity, Clearance};
use runtime_domain::value::Revision;

fn forge(real: Clearance) -> Clearance {
    Clearance { activity: Activity::Deployment, break_glass: None, at: Revision::FIRST, ..real }
}

fn main() {}
