//! The nine services and their reconcilers: load, decide, commit; then act and record.
