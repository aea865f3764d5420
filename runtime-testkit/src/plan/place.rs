//! Where the things of a story are, and how their environment is found.

/// The environment as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Open to changes.
    Open,
    /// Someone has stopped the line.
    Stopped,
    /// Being taken down.
    Gone,
}

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The tenant's, in the environment.
    Own,
    /// The tenant's, in another environment.
    OtherEnvironment,
    /// Another tenant's.
    OtherTenant,
}
