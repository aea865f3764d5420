//! A platform service of somebody else, as small as it can be: it names environments after their owners.

use runtime_domain::value::{Name, TextError};

/// The name of an owner's environment.
///
/// # Errors
/// The owner cannot be part of a name.
pub fn environment_of(owner: &str) -> Result<Name, TextError> {
    Name::new(&format!("{owner}-dev"))
}
