//! Health probes over HTTP, sent to allow-listed destinations only (X-12).
//!
//! One probe is one `GET` over HTTP/1.1 on a fresh connection. An address is `host:port`, an IPv6 literal in brackets; there is
//! no TLS, since a probe goes to an instance and not through an ingress.
//!
//! # Guarantees
//!
//! - Nothing is allowed until an [`AllowList`] grants it. Whatever it grants, link-local and metadata addresses, the unspecified
//!   address, multicast, broadcast and reserved ranges stay denied, in all their spellings: addresses that carry an IPv4
//!   address inside IPv6 are taken as what they carry, or denied.
//! - A name is resolved only if it is granted, once, and the connection goes to an address that was checked: a name that
//!   changes its mind between check and use gains nothing. One forbidden address among those of a name denies them all.
//! - Redirects are not followed; the answer's status is the answer.
//! - The request's time-out covers resolving, connecting, sending and the whole answer. Header bytes, header count and body are
//!   bounded, and the body is discarded as it comes.
//! - Nothing of an answer but its status is passed on, so a workload cannot write into logs through a probe.
//! - A dropped probe closes its connection.
//!
//! # Limits
//!
//! - HTTP/1.1 without TLS. Resolving uses the system's resolver, whose answers are not cached here.
//! - Waiting for a free place (see [`HttpProber::with_most_in_flight`]) is not part of the workload's time-out, but at most as long again.
//! - A circuit per destination is not kept here.
//!
//! # Example
//!
//! ```
//! use runtime_http_prober::{AllowList, HttpProber};
//!
//! # fn example() -> Result<(), runtime_http_prober::GrantError> {
//! let prober = HttpProber::new(
//!     AllowList::builder().allow_loopback().allow_network("10.20.0.0/16")?.allow_host("cart.shop.svc")?.build(),
//! );
//! # Ok(())
//! # }
//! ```

mod address;
mod allow_list;
mod exchange;
mod network;
mod prober;

pub use crate::allow_list::{AllowList, AllowListBuilder, GrantError};
pub use crate::prober::HttpProber;
