//! A platform service of somebody else, as small as it can be: it names environments after their owners, and counts what it commits.

use runtime_domain::value::{Name, TextError};

mod counted;

pub use counted::CountedStore;

/// The name of an owner's environment.
///
/// # Errors
/// The owner cannot be part of a name.
pub fn environment_of(owner: &str) -> Result<Name, TextError> {
    Name::new(&format!("{owner}-dev"))
}
