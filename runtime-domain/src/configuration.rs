//! Versioned sets of runtime configuration.
