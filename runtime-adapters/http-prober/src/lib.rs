//! Health probes over HTTP, sent to allow-listed destinations only.
