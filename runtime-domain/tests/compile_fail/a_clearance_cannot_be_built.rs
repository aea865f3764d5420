//! Only an environment's calendar clears a change.

use runtime_domain::calendar::{Activity, Clearance};
use runtime_domain::value::Revision;

fn forge(real: Clearance) -> Clearance {
    Clearance { activity: Activity::Deployment, break_glass: None, at: Revision::FIRST, ..real }
}

fn copy(clearance: &Clearance) -> Clearance {
    clearance.clone()
}

fn conjure() -> Clearance {
    Clearance::default()
}

fn read(text: &str) -> Clearance {
    serde_json::from_str(text).unwrap()
}

fn main() {}
