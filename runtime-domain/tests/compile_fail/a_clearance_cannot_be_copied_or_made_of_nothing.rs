//! A clearance is used once, and comes from an environment.

use runtime_domain::calendar::Clearance;

fn is_copied<T: Clone>() {}
fn is_conjured<T: Default>() {}
fn is_read<T: for<'de> serde::Deserialize<'de>>() {}

fn main() {
    is_copied::<Clearance>();
    is_conjured::<Clearance>();
    is_read::<Clearance>();
}
