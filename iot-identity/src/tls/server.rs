//! The server's side.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};

use super::{Clock, Credentials, TlsError, VERSIONS, provider};
use crate::cert::{AdmitError, Trust};
use crate::enrol::expired;

/// Makes the configuration of a server that only serves peers whom a [`Trust`] admits.
///
/// ```
/// # use core::time::Duration;
/// # use iot_core::{Timestamp, crypto::SignatureAlgorithm};
/// # use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
/// # use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}, tls::Credential};
/// # let day = Validity::lasting(Timestamp::from_secs(1_800_000_000), Duration::from_secs(86_400));
/// # let root = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// # let authority = Authority::root(root, "Acme services", day, &mut SystemEntropy::new())?;
/// # let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// # let certificate = authority.server(&["localhost"], &PublicKey::of(&key)?, day, &mut SystemEntropy::new())?;
/// # let credential = Credential::new(key, vec![certificate])?;
/// # let trust = Trust::new(TrustAnchors::new(), Default::default());
/// use iot_identity::tls::ServerBuilder;
/// let config: std::sync::Arc<rustls::ServerConfig> = ServerBuilder::new(credential, trust).build()?;
/// assert_eq!(config.send_tls13_tickets, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder {
    credentials: Credentials,
    trust: Trust,
    clock: Clock,
    resumption: bool,
    expired: Option<Duration>,
}

impl ServerBuilder {
    /// Serves whom `trust` admits, by the system's clock, with a [`Credential`](super::Credential) for good or with
    /// [`Credentials`] that may be replaced.
    pub fn new(credentials: impl Into<Credentials>, trust: Trust) -> Self {
        Self {
            credentials: credentials.into(),
            expired: None,
            trust,
            clock: Clock::system(),
            resumption: false,
        }
    }

    /// Reads the time elsewhere.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Lets peers connect whose certificate expired less than `grace` ago, so that they can ask for another.
    ///
    /// Only for a front that asks [`Registrar::returning`](crate::enrol::Registrar::returning) after every
    /// handshake instead of [`Trust::principal`], and lets a newcomer do nothing but enrol.
    pub fn danger_accept_expired(mut self, grace: Duration) -> Self {
        self.expired = Some(grace);
        self
    }

    /// Lets peers resume sessions, which the verifier then never sees.
    ///
    /// Only for a front that asks [`Trust::principal`] after every handshake, and for tests of one.
    pub fn danger_resumption(mut self) -> Self {
        self.resumption = true;
        self
    }

    /// Makes the configuration: TLS 1.3, a client certificate required, no resumption unless asked for.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when rustls refuses.
    pub fn build(self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Verifier {
            trust: self.trust,
            clock: self.clock.clone(),
            expired: self.expired,
            algorithms: provider.signature_verification_algorithms,
        });
        let clock = Arc::new(self.clock);
        let mut config = ServerConfig::builder_with_details(provider, clock)
            .with_protocol_versions(VERSIONS)
            .map_err(|_| TlsError::Settings)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.credentials.resolver());
        if self.resumption {
            config.session_storage = ServerSessionMemoryCache::new(256);
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    clock: Clock,
    expired: Option<Duration>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints would tell a stranger which tenants live here.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut chain = Vec::with_capacity(intermediates.len().saturating_add(1));
        chain.push(end_entity.clone());
        chain.extend_from_slice(intermediates);
        let wall = self.clock.now();
        let mut admitted = self.trust.principal(&chain, wall);
        if let (Err(AdmitError::Expired), Some(grace)) = (admitted, self.expired) {
            admitted = expired(&self.trust, &chain, wall, grace);
        }
        match admitted {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(rustls::Error::InvalidCertificate(alert(error))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The error that makes rustls send the fitting alert.
const fn alert(error: AdmitError) -> CertificateError {
    match error {
        AdmitError::Expired => CertificateError::Expired,
        AdmitError::NotYetValid => CertificateError::NotValidYet,
        AdmitError::Revoked => CertificateError::Revoked,
        AdmitError::Malformed => CertificateError::BadEncoding,
        AdmitError::Untrusted => CertificateError::UnknownIssuer,
        AdmitError::Profile => CertificateError::InvalidPurpose,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}
