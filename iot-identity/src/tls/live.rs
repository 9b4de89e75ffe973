//! A credential that is replaced while connections are made with it.

use alloc::sync::Arc;
use core::fmt;
use std::sync::{PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Credential;

/// The credential in force, shared by every configuration that was made with it.
///
/// After [`swap`](Self::swap) every new handshake shows the new one, of clients and servers alike; a handshake
/// that has begun goes on with the one it began with, and sessions that stand are not touched. So the old key has
/// to live for as long as a handshake may take: that is what the overlap of a
/// [`Rotation`](crate::rotate::Rotation) is for.
///
/// ```
/// # use core::time::Duration;
/// # use iot_core::{Timestamp, crypto::SignatureAlgorithm};
/// # use iot_identity::cert::{Authority, Validity};
/// # use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}, tls::Credential};
/// # let validity = |days: u64| Validity::lasting(Timestamp::from_secs(1_800_000_000), Duration::from_secs(days * 86_400));
/// # let root = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// # let authority = Authority::root(root, "Acme services", validity(100), &mut SystemEntropy::new())?;
/// # let issue = |days| -> Result<_, Box<dyn std::error::Error>> {
/// #     let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// #     let public = PublicKey::of(&key)?;
/// #     let chain = authority.server(&["localhost"], &public, validity(days), &mut SystemEntropy::new())?;
/// #     Ok(Credential::new(key, vec![chain])?)
/// # };
/// # let (first, second) = (issue(1)?, issue(9)?);
/// use iot_identity::tls::{ClientBuilder, Credentials};
/// let live = Credentials::new(first);
/// let config = ClientBuilder::new([authority.certificate()])?.credentials(&live).build()?;
/// let old = live.swap(second); // what `config` shows from now on
/// assert!(live.current().not_after() > old.not_after());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Credentials(Arc<RwLock<Credential>>);

impl Credentials {
    /// Begins with this one.
    #[must_use]
    pub fn new(first: Credential) -> Self {
        Self(Arc::new(RwLock::new(first)))
    }

    /// Puts another one into force; returns the old one.
    #[allow(
        clippy::must_use_candidate,
        reason = "it changes what is shown, which is what it is called for"
    )]
    pub fn swap(&self, next: Credential) -> Credential {
        // Nothing panics while it is held, so it cannot be poisoned with half a value.
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut current, next)
    }

    /// The one in force.
    #[must_use]
    pub fn current(&self) -> Credential {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::new(Resolver(self.clone()))
    }
}

impl From<Credential> for Credentials {
    fn from(only: Credential) -> Self {
        Self::new(only)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.current())
    }
}

/// Asks anew for each handshake.
#[derive(Debug)]
pub(super) struct Resolver(Credentials);

impl Resolver {
    fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(self.0.current().certified())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}
