//! Health: table, properties and hostile records.
