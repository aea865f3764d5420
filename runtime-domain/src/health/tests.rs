//! Health: table, properties and hostile records.

mod fixture;
mod properties;
mod table;
mod verdict;
