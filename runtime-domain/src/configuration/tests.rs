//! The table of the context's docs, and what holds for every history.
