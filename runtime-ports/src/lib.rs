//! What Factory Runtime needs from the world.
//!
//! Each port is a small object-safe trait in the domain's terms, without default methods, so that a decorator cannot forget
//! one. The contract is in the trait's docs: flow, guarantees, assumptions, errors. `runtime-testkit` checks adapters against it.
//!
//! | port | what it stands for |
//! |---|---|
//! | [`store`] | state, history, outbox, inbox, claims and leases, in one atomic commit |
//! | [`health_results`] | every health evaluation, for those who look back |
//! | [`snapshots`] | what was observed, and when |
//! | [`artifacts`] | step logs, plans, evidence |
//! | [`surface`] | where workloads run |
//! | [`handover`] | one component's endpoint answered by another |
//! | [`isolation`] | what keeps tenants apart, and how much they use |
//! | [`infrastructure`] | the engine that creates an environment's resources |
//! | [`registry`] | where images come from |
//! | [`desired_state`] | what should run, and at which revision that is said |
//! | [`prober`] | asking a workload over HTTP |
//! | [`metric`] | what the traffic shows |
//! | [`scaling_signals`] | what services are scaled by |
//! | [`job`] | short tasks such as migrations |
//! | [`secret_store`] | vaults: where secrets lie, in versions |
//! | [`publisher`] | the event bus, outbound |
//! | [`subscriber`] | consumers of events within the host |
//! | [`clock`] | time and identifiers |
//! | [`authenticator`] | who calls, and what they may do |
//! | [`telemetry`] | what a host tells of itself: measurements, and which trace work belongs to |
//!
//! [`manifest`] is the form in which releases are written down, by callers and in desired state.
//!
//! With the feature `mocks`, every port has a `mockall` mock (`MockComputeSurface`, …) for unit tests.

pub mod artifacts;
pub mod authenticator;
pub mod clock;
pub mod desired_state;
pub mod error;
pub mod handover;
pub mod health_results;
pub mod infrastructure;
pub mod isolation;
pub mod job;
pub mod manifest;
pub mod metric;
pub mod prober;
pub mod publisher;
pub mod registry;
pub mod retention;
pub mod scaling_signals;
pub mod secret_store;
pub mod snapshots;
pub mod store;
pub mod subject;
pub mod subscriber;
pub mod surface;
pub mod telemetry;

pub use error::{PortError, PortErrorKind, PortResult, Retry};
