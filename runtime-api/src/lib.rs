//! What a host of Factory Runtime offers from outside, independent of the wire.
//!
//! Every operation is declared once, in the [`catalogue`]: what it is called, where it is, who may ask for it, what it takes and answers,
//! what it may be refused for. REST routes, OpenAPI, gRPC methods and the tests of authorisation are all derived from that.
//!
//! ```text
//!   wire ──► Authenticator ──► Principal ─┐
//!        ──► operation, request, options ─┴─► Api::call: role ► schema ► service under terms ► document, or a problem
//! ```
//!
//! | to find | look in |
//! |---|---|
//! | who is let in | [`access`] |
//! | how a call is made | [`api`] |
//! | which operations there are | [`catalogue`] |
//! | what callers send and get | [`document`] |
//! | what they get instead | [`problem`] |
//! | how they follow what happens | [`progress`] |
//! | how much they may take | [`admission`] |
//! | the description that is served | [`openapi`] |

pub mod access;
pub mod admission;
pub mod api;
pub mod call;
pub mod catalogue;
pub mod document;
pub mod openapi;
pub mod operation;
pub mod problem;
pub mod progress;

pub use access::{Access, ClientCertificate, Peer};
pub use admission::{Admission, AdmissionOptions, Place};
pub use api::Api;
pub use call::{Answer, CallOptions};
pub use operation::{Descriptor, Method, Operation};
pub use problem::{Problem, ProblemDocument, ProblemKind};
pub use progress::{Progress, ProgressEvent, ProgressItem, ProgressKind};
