//! How a running service scales against live telemetry and objectives.
