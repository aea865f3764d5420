//! What holds for references, for every command in every state, and for every history.

mod fixture;
mod properties;
mod reference;
mod rules;
mod table;
