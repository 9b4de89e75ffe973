//! The client: who it is, and whom it believes.

use core::fmt;

use embedded_tls::{
    Aes128GcmSha256, Certificate, CryptoProvider, CryptoRngCore, SignatureScheme, TlsError,
    TlsVerifier,
};
use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};
use iot_core::entropy::{Entropy, EntropyError};
use signature_2::SignerMut;

use super::random::Random;
use super::{ConnectError, ServerVerifier};
use crate::cert::UnverifiedCertificate;
use crate::cert::path::{Anchor, PathPolicy};
use crate::der::Writer;
use crate::key::PublicKey;

/// Why there is no client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientError {
    /// The policy is for something else than a server under a name.
    #[error("the policy names no server: give it Purpose::Server")]
    Purpose,
    /// The client's own certificate cannot be read.
    #[error("the client's certificate cannot be read")]
    Certificate,
    /// The client's own certificate is of another key.
    #[error("the client's certificate is not of its key")]
    OtherKey,
    /// The client's key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// One end of one TLS 1.3 connection (RFC 8446), as `embedded-tls` asks for it: a key in its slot, its certificate, and
/// the server that it will believe.
///
/// Keys are agreed on P-256, records are sealed with AES-128-GCM. `OFFERED` is how many certificates a server may send
/// beside its own; each takes some 200 bytes of stack while its chain is judged.
///
/// ```
/// # #[cfg(feature = "cert")] {
/// use core::time::Duration;
/// use iot_core::{DeviceId, Timestamp, crypto::SignatureAlgorithm, time::TimeBounds};
/// use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
/// use iot_identity::cert::{Authority, Validity};
/// use iot_identity::embedded_tls::{Client, ClientError};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}, rustcrypto};
///
/// let new_key = || SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
/// let now = Timestamp::from_secs(1_800_000_000);
/// let day = Validity::lasting(now, Duration::from_secs(86_400));
/// let mut entropy = SystemEntropy::new(); // on a chip: its random generator
/// let authority = Authority::root(new_key()?, "Acme", day, &mut entropy)?;
/// let key = new_key()?;
/// let own = authority.ldevid(&DeviceId::new("boiler-7")?, &PublicKey::of(&key)?, day, &mut entropy)?;
///
/// let anchors = [Anchor::of(authority.certificate())?];
/// let purpose = Purpose::Server("mqtt.example.com".try_into()?);
/// let policy = PathPolicy::with(rustcrypto::ALGORITHMS, TimeBounds::exact(now), purpose);
/// let client = Client::<_, _, 2>::new(&key, &own, &policy, &anchors, &mut entropy)?;
/// assert!(client.server().verdict().is_err()); // nobody yet
///
/// let other = Client::<_, _, 2>::new(new_key()?, &own, &policy, &anchors, &mut entropy);
/// assert!(matches!(other, Err(ClientError::OtherKey)));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client<'a, S, D, const OFFERED: usize> {
    signer: S,
    certificate: &'a [u8],
    server: ServerVerifier<'a, D, OFFERED>,
    random: Random,
    key_error: Option<KeyError>,
}

impl<'a, S: Signer, D: AsRef<[u8]>, const OFFERED: usize> Client<'a, S, D, OFFERED> {
    /// Takes its own key and certificate in DER, what a server is held against, and a seed of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn new(
        signer: S,
        certificate: &'a [u8],
        policy: &'a PathPolicy<'a>,
        anchors: &'a [Anchor<D>],
        entropy: &mut (impl Entropy + ?Sized),
    ) -> Result<Self, ClientError> {
        policy.server().ok_or(ClientError::Purpose)?;
        let own = UnverifiedCertificate::parse(certificate).ok_or(ClientError::Certificate)?;
        if own.public_key() != Some(PublicKey::of(&signer)?) {
            return Err(ClientError::OtherKey);
        }
        Ok(Self {
            signer,
            certificate,
            server: ServerVerifier::new(policy, anchors),
            random: Random::new(entropy)?,
            key_error: None,
        })
    }

    /// What is known of the server.
    pub const fn server(&self) -> &ServerVerifier<'a, D, OFFERED> {
        &self.server
    }

    /// What this side stopped the handshake for.
    pub(super) fn cause(&self) -> Option<ConnectError> {
        let own = self.key_error.map(ConnectError::Key);
        self.server.refusal().or(own)
    }

    /// Whether both sides have proved who they are, as far as this side can tell.
    pub(super) fn verdict(&self) -> Result<(), ConnectError> {
        self.server.verdict()?;
        self.key_error.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl<'a, S: Signer, D: AsRef<[u8]>, const OFFERED: usize> CryptoProvider
    for Client<'a, S, D, OFFERED>
{
    type CipherSuite = Aes128GcmSha256;
    type Signature = HandshakeSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.server)
    }

    fn signer(
        &mut self,
    ) -> Result<(impl SignerMut<HandshakeSignature>, SignatureScheme), TlsError> {
        // Nobody but a verified server learns who this is.
        self.server
            .verdict()
            .map_err(|_| TlsError::InvalidHandshake)?;
        let scheme = match self.signer.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => SignatureScheme::EcdsaSecp256r1Sha256,
            SignatureAlgorithm::Ed25519 => SignatureScheme::Ed25519,
            _ => return Err(TlsError::InvalidSignatureScheme),
        };
        let signing = Signing {
            signer: &self.signer,
            error: &mut self.key_error,
        };
        Ok((signing, scheme))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        let verified = self.server.verdict().is_ok();
        verified.then_some(Certificate::X509(self.certificate))
    }
}

impl<S, D, const OFFERED: usize> fmt::Debug for Client<'_, S, D, OFFERED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// A key, lent for one signature.
struct Signing<'s, S> {
    signer: &'s S,
    error: &'s mut Option<KeyError>,
}

impl<S: Signer> SignerMut<HandshakeSignature> for Signing<'_, S> {
    /// Never fails, because embedded-tls panics when it does: an empty signature is one that every server refuses,
    /// and the error is told when the handshake is over.
    fn try_sign(&mut self, message: &[u8]) -> Result<HandshakeSignature, signature_2::Error> {
        Ok(
            HandshakeSignature::make(self.signer, message).unwrap_or_else(|error| {
                *self.error = Some(error);
                HandshakeSignature::EMPTY
            }),
        )
    }
}

/// A signature as TLS carries it: DER for ECDSA (RFC 8446 §4.2.3), 64 bytes for Ed25519.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeSignature {
    bytes: [u8; Self::MAX_BYTES],
    from: usize,
}

impl HandshakeSignature {
    // Two numbers of 33 octets at most, with six octets of tags and lengths.
    const MAX_BYTES: usize = 72;
    const EMPTY: Self = Self {
        bytes: [0; Self::MAX_BYTES],
        from: Self::MAX_BYTES,
    };

    fn make(signer: &impl Signer, message: &[u8]) -> Result<Self, KeyError> {
        let mut fixed = Signature::empty();
        signer.sign(&[message], &mut fixed)?;
        let mut bytes = [0; Self::MAX_BYTES];
        let mut writer = Writer::new(&mut bytes);
        let written = match signer.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => writer.ecdsa(fixed.as_bytes()),
            _ => writer.bytes(fixed.as_bytes()),
        };
        written.map_err(|_| KeyError::Device)?;
        let from = Self::MAX_BYTES - writer.finish().len();
        Ok(Self { bytes, from })
    }
}

impl AsRef<[u8]> for HandshakeSignature {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or(&[])
    }
}
