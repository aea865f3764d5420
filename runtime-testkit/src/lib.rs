//! Conformance suites, strategies, faults and models that users run against their own adapters.
