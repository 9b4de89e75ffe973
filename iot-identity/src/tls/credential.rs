//! A chain and the key that belongs to it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use iot_core::Timestamp;
use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{SignatureScheme, sign};

use crate::cert::UnverifiedCertificate;
use crate::der::Writer;
use crate::key::PublicKey;

/// Why a key and a chain are no credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The chain is empty or its first certificate cannot be read.
    #[error("the chain is empty or its first certificate cannot be read")]
    Chain,
    /// The first certificate is of another key.
    #[error("the first certificate of the chain is not of this key")]
    OtherKey,
}

/// What one side of a TLS connection proves itself with; the key stays in its store.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{Timestamp, crypto::SignatureAlgorithm};
/// use iot_identity::cert::{Authority, Validity};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}, tls::Credential};
///
/// let new_key = || SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
/// let day = Validity::lasting(Timestamp::from_secs(1_800_000_000), Duration::from_secs(86_400));
/// let mut entropy = SystemEntropy::new();
/// let authority = Authority::root(new_key()?, "Acme services", day, &mut entropy)?;
/// let key = new_key()?;
/// let certificate = authority.server(&["localhost"], &PublicKey::of(&key)?, day, &mut entropy)?;
/// let credential = Credential::new(key, vec![certificate.clone()])?;
/// assert!(Credential::new(new_key()?, vec![certificate]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Credential {
    certified: Arc<CertifiedKey>,
    not_after: Timestamp,
}

impl Credential {
    /// Joins a key and the chain of its certificate, its own first.
    ///
    /// # Errors
    ///
    /// [`CredentialError`].
    pub fn new(
        key: impl Signer + Send + Sync + 'static,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, CredentialError> {
        let public = PublicKey::of(&key)?;
        let first = chain.first().ok_or(CredentialError::Chain)?;
        let view = UnverifiedCertificate::parse(first).ok_or(CredentialError::Chain)?;
        if view.public_key() != Some(public) {
            return Err(CredentialError::OtherKey);
        }
        let not_after = view.not_after();
        let key = Arc::new(Held {
            key: Arc::new(key),
            public,
        });
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, key)),
            not_after,
        })
    }

    /// The last moment its certificate is valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The chain it presents, its own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    pub(super) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

struct Held {
    key: Arc<dyn Signer + Send + Sync>,
    public: PublicKey,
}

impl Held {
    fn scheme(&self) -> SignatureScheme {
        match self.public.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            _ => SignatureScheme::ED25519,
        }
    }
}

impl SigningKey for Held {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn sign::Signer>> {
        let scheme = self.scheme();
        offered.contains(&scheme).then(|| {
            Box::new(Signing {
                key: Arc::clone(&self.key),
                scheme,
            }) as Box<dyn sign::Signer>
        })
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(
            self.public.spki_parts().concat(),
        ))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.public.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => rustls::SignatureAlgorithm::ECDSA,
            _ => rustls::SignatureAlgorithm::ED25519,
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.public)
    }
}

struct Signing {
    key: Arc<dyn Signer + Send + Sync>,
    scheme: SignatureScheme,
}

impl sign::Signer for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let failed = |_| rustls::Error::General("the key could not be used".into());
        let mut signature = Signature::empty();
        self.key.sign(&[message], &mut signature).map_err(failed)?;
        if self.scheme != SignatureScheme::ECDSA_NISTP256_SHA256 {
            return Ok(signature.as_bytes().to_vec());
        }
        // TLS carries ECDSA signatures in DER (RFC 8446 §4.2.3).
        let mut buffer = [0; 80];
        let mut writer = Writer::new(&mut buffer);
        let written = writer.ecdsa(signature.as_bytes());
        written.map_err(|_| rustls::Error::General("the signature is malformed".into()))?;
        Ok(writer.finish().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signing({:?})", self.scheme)
    }
}
