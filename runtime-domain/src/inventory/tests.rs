//! The inventory: table, properties and hostile records.
