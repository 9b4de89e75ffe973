//! TLS 1.3 with both sides authenticated, on rustls.
//!
//! A server asks [`Trust`](crate::cert::Trust) during the handshake and keeps no sessions to resume, because a
//! resumed session never reaches the verifier. Whoever accepts connections asks again afterwards:
//!
//! ```text
//! let stream = acceptor.accept(tcp).await?;
//! let chain = stream.get_ref().1.peer_certificates().unwrap_or(&[]);
//! let who = trust.principal(chain, clock.now())?;
//! ```
//!
//! A device loads its [`Credentials`] from its records and keys, and gets a configuration for its clients and a
//! [`Renewal`] for its node, which changes what that configuration shows.

mod client;
mod clock;
mod credential;
mod device;
mod link;
mod live;
mod outcome;
mod provision;
mod renewal;
mod server;

pub use client::ClientBuilder;
pub use clock::Clock;
pub use credential::{Credential, CredentialError};
pub use device::{DeviceCredentials, LoadError, Setup};
pub use link::Link;
pub use live::Credentials;
pub use outcome::outcome_of;
pub use provision::{Provision, ProvisionError};
pub use renewal::Renewal;
pub use server::ServerBuilder;

use alloc::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

/// The settings do not make a TLS configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A root certificate cannot be read, or there is none.
    #[error("a root certificate cannot be read, or there is none: give the server's authority")]
    Roots,
    /// rustls refuses the settings.
    #[error("the TLS library refuses the settings")]
    Settings,
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
