//! Mutual TLS 1.3 on chips: what the `embedded-tls` crate needs of this one, without an allocator.
//!
//! `embedded-tls` leaves it to its user to verify the server, and goes on when a server leaves its certificate or its
//! signature out. [`connect`] and [`connect_async`] verify all of it and give no connection away otherwise; whoever
//! opens one with a [`Client`] by hand has to do the same.
//!
//! What `embedded-tls` does not allow: a client sends its own certificate only, so its issuer must be one that the
//! server knows; a server that is refused is not told why; which signatures a server may offer cannot be narrowed, and
//! any that the policy lacks are refused here; and a verified server that sends a message which `embedded-tls` does not
//! know makes it panic. So a device has to come back from a panic as from any reset.

mod client;
mod connect;
mod link;
mod random;
mod verifier;

pub use client::{Client, ClientError, HandshakeSignature};
pub use connect::{ConnectError, connect, connect_async};
pub use link::{Link, LinkError};
pub use verifier::ServerVerifier;
