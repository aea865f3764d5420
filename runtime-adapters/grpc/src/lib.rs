//! The operations of a host over gRPC.
//!
//! Services for any axum or tonic host, derived from the catalogue of [`runtime_api`]: one service for each context, one method for each
//! operation, served by their descriptors. So an operation is mapped nowhere: a message becomes the JSON document that
//! [`Api::call`](runtime_api::Api::call) takes, by proto3's canonical JSON, and its document becomes a message. What a caller may do is judged
//! in `runtime-api`; here is only what gRPC is.
//!
//! ```no_run
//! # use runtime_api::{Access, Api};
//! # use runtime_grpc::{ContractError, GrpcApi, GrpcOptions};
//! # fn mounted(api: Api, access: Access, rest: axum::Router) -> Result<axum::Router, ContractError> {
//! let grpc = GrpcApi::new(api, access, GrpcOptions::default())?;
//! // Both on one port: whatever serves HTTP/2 serves either.
//! Ok(grpc.beside(rest))
//! # }
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | the contract, for those who generate clients | `proto/`, [`FILE_DESCRIPTOR_SET`] |
//! | the services, ready to mount | [`GrpcApi`] |
//! | what a caller says beside the message | `metadata.rs` |
//! | how a message becomes a document and back | `message.rs` |
//! | what can be followed as it happens | [`watch`] |
//! | what a problem is in gRPC | `status.rs` |
//! | how much is taken | [`options`] |
//!
//! # What the contract keeps
//!
//! - Every single value says whether it is there (`optional`): what is absent is not zero.
//! - Closed sets of words are strings, listed where they are used. An `enum` would name them otherwise than REST and events do, need a zero
//!   that means nothing, and hide from older clients what a newer word says.
//! - A choice is a message with one `oneof`; a time is a `google.protobuf.Timestamp`.
//! - Fields that a request has and the contract has not are refused, where protobuf would pass over them: what a caller asked for is never
//!   left out in silence. Clients pass over what they do not know in answers, as always.
//! - Numbers of fields never change, nor are they used again.
//!
//! # Beside the message
//!
//! | metadata of a request | |
//! |---|---|
//! | `authorization` | `Bearer` and the token |
//! | `idempotency-key` | the caller's name for this one command |
//! | `if-match` | the `etag` of the revision that it is meant for |
//! | `dry-run` | `true`: say what would happen, and change nothing |
//! | `x-correlation-id`, `traceparent` | the chain of work that it belongs to |
//! | `grpc-timeout` | how long the caller waits; the host's own bound holds, too |
//!
//! | metadata of an answer | |
//! |---|---|
//! | `etag` | the revision that the answer is of |
//! | `x-correlation-id` | the chain of work |
//! | `idempotency-replayed` | `true` where the command was done before under its key |

mod codec;
mod contract;
mod health;
mod message;
mod metadata;
pub mod options;
mod server;
mod status;
pub mod watch;

pub use contract::{ContractError, FILE_DESCRIPTOR_SET, PACKAGE};
pub use options::GrpcOptions;
pub use server::GrpcApi;
pub use watch::Watch;
