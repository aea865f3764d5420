//! Bugs that others have shipped, kept here in glass: no ordinary build has any of them.
//!
//! Where a rule is kept, one line says what it would be to break it, behind [`bug!`](crate::bug). `scripts/museum` lets each of them out
//! alone and shows that a suite catches it; `tests/museum/catalogue.toml` says whose bug it was, and which suite that is.
//!
//! A crate has a bug where it is built with `--cfg 'bug="its-name"'`. So that all of them need one build only, `--cfg 'bug="any"'` has the
//! environment variable `BUG` name the one to have.

#[cfg(bug = "any")]
extern crate std;

/// Whether this build has the bug of that name: `false` at compile time, unless the museum is built.
#[doc(hidden)]
#[macro_export]
macro_rules! bug {
    ($name:tt) => {
        ::core::cfg!(bug = $name) || $crate::museum::is_out($name)
    };
}

/// Whether `BUG` names it.
#[cfg(not(bug = "any"))]
#[inline]
pub const fn is_out(_name: &str) -> bool {
    false
}

/// Whether `BUG` names it.
#[cfg(bug = "any")]
pub fn is_out(name: &str) -> bool {
    static OUT: std::sync::OnceLock<Option<std::string::String>> = std::sync::OnceLock::new();
    OUT.get_or_init(|| std::env::var("BUG").ok()).as_deref() == Some(name)
}
