//! What stands between the hosts' faults and the adapters, and watches these.

mod store;
mod surface;

pub(crate) use store::Witness;
pub(crate) use surface::Changes;
