//! Certificates: requests, issuing, and what a verified chain says about a peer.
//!
//! A device writes its request with [`csr`] and judges the chain of its peer with [`path`], both without an
//! allocator. A service issues with `Authority` and decides with `Trust` who a peer is (feature `cert`).

pub mod csr;
pub mod path;
mod view;

#[cfg(feature = "cert")]
pub mod lint;

#[cfg(feature = "cert")]
mod anchors;
#[cfg(feature = "cert")]
mod authority;
#[cfg(feature = "cert")]
mod names;
#[cfg(feature = "cert")]
mod profile;
#[cfg(feature = "cert")]
mod request;
#[cfg(feature = "tls")]
mod servers;
#[cfg(test)]
#[cfg(feature = "cert")]
mod tests;
#[cfg(feature = "cert")]
mod trust;
#[cfg(feature = "cert")]
mod validity;

pub use view::UnverifiedCertificate;

#[cfg(feature = "cert")]
pub(crate) use anchors::link;
#[cfg(feature = "cert")]
pub use anchors::{AdmitError, AnchorError, MAX_CHAIN, TrustAnchors, VerifiedPeer};
#[cfg(feature = "cert")]
pub use authority::{Authority, IssueError};
#[cfg(feature = "tls")]
pub(crate) use names::idevid_name;
#[cfg(feature = "cert")]
pub use request::{CertificationRequest, Request, RequestError, RequestedExtension};
#[cfg(feature = "tls")]
pub(crate) use servers::{Servers, Wanted, begun};
#[cfg(feature = "cert")]
pub use trust::Trust;
#[cfg(feature = "cert")]
pub use validity::Validity;
