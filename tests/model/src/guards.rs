//! What protects the protocol, each to be taken away.

/// What protects the protocol. Each can be taken away, to see what breaks; without `leases` nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guards {
    /// Commits say under which lease they are made, and which revision they replace, and are refused where either is not so any more.
    pub commits: bool,
    /// The world refuses what is asked under an older lease than it has seen.
    pub fence: bool,
    /// The world knows its last effect again by its identifier.
    pub effects: bool,
    /// A lease lasts for as long as it was given for, and nobody else takes it before.
    pub leases: bool,
    /// Consumers know an event again by its identifier.
    pub inbox: bool,
    /// Events are marked as published only when they were.
    pub mark: bool,
}

impl Guards {
    /// All of them.
    pub const ALL: Self =
        Self { commits: true, fence: true, effects: true, leases: true, inbox: true, mark: true };
}
