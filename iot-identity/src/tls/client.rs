//! The client's side.

use alloc::sync::Arc;
use alloc::vec::Vec;

use iot_core::DeviceId;
use iot_core::time::TimeBounds;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};

use super::{Clock, Credential, Credentials, TlsError, VERSIONS, provider};
use crate::cert::path::{Algorithms, Defect, PathError};
use crate::cert::{Servers, Wanted, begun};
use crate::revocation::Revocations;

/// Makes the configuration of a client that trusts these roots and proves itself with a [`Credential`].
///
/// A server is judged by [`cert::path`](crate::cert::path), as clients are by servers: the profile of RFC 5280, the
/// purpose of a TLS server, its name (RFC 9525), and validity at every moment that the clock's bounds allow. The roots
/// themselves do not expire. Why a server was refused is the [`rustls::CertificateError`] of the handshake's error;
/// where rustls has no word for it, a [`PathError`] is inside.
///
/// ```
/// # use core::time::Duration;
/// # use iot_core::{Timestamp, crypto::SignatureAlgorithm};
/// # use iot_identity::cert::{Authority, Validity};
/// # use iot_identity::ring::{SoftwareKey, SystemEntropy};
/// # let day = Validity::lasting(Timestamp::from_secs(1_800_000_000), Duration::from_secs(86_400));
/// # let root = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// # let authority = Authority::root(root, "Acme services", day, &mut SystemEntropy::new())?;
/// use iot_identity::tls::ClientBuilder;
/// let anonymous = ClientBuilder::new([authority.certificate()])?.build()?;
/// assert!(!anonymous.client_auth_cert_resolver.has_certs());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    servers: Servers,
    service: Option<DeviceId>,
    revocations: Option<Revocations>,
    credentials: Option<Credentials>,
    clock: Clock,
    resumption: bool,
    uncertain: bool,
}

impl ClientBuilder {
    /// Trusts servers of these authorities, by the system's clock.
    ///
    /// # Errors
    ///
    /// [`TlsError::Roots`] when one cannot be read or is none that a path may end at, or there is none.
    pub fn new<'a, 'c: 'a>(
        roots: impl IntoIterator<Item = &'a CertificateDer<'c>>,
    ) -> Result<Self, TlsError> {
        let mut servers = Servers::new();
        for root in roots {
            servers.add(root).map_err(|_| TlsError::Roots)?;
        }
        if servers.is_empty() {
            return Err(TlsError::Roots);
        }
        Ok(Self {
            servers,
            service: None,
            revocations: None,
            credentials: None,
            clock: Clock::system(),
            resumption: false,
            uncertain: false,
        })
    }

    /// Proves itself with this.
    pub fn credential(self, credential: &Credential) -> Self {
        self.credentials(&Credentials::new(credential.clone()))
    }

    /// Proves itself with whatever is in force when a connection is made.
    pub fn credentials(mut self, live: &Credentials) -> Self {
        self.credentials = Some(live.clone());
        self
    }

    /// Reads the time elsewhere.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Expects this service, `urn:iot:service:` and its name, instead of whoever has the DNS name or address that is
    /// connected to: for a gateway that is found by an address which nobody certifies.
    ///
    /// Its authority issues with [`Authority::service_host`](crate::cert::Authority::service_host).
    pub fn service(mut self, name: DeviceId) -> Self {
        self.service = Some(name);
        self
    }

    /// Accepts chains that are signed with these algorithms; unset, those of this SDK.
    ///
    /// For brokers of others: [`COMMON_ALGORITHMS`](crate::cert::path::COMMON_ALGORITHMS).
    pub const fn algorithms(mut self, algorithms: Algorithms) -> Self {
        self.servers.accept(algorithms);
        self
    }

    /// Refuses servers of whose chain a certificate or a key is denied.
    pub fn revocations(mut self, revocations: &Revocations) -> Self {
        self.revocations = Some(revocations.clone());
        self
    }

    /// Resumes sessions where the server lets it: one signature less per connection.
    ///
    /// A server that resumes is not judged again, so for as long as it does, neither the end of its certificate nor a
    /// denial reaches it.
    pub fn resumption(mut self) -> Self {
        self.resumption = true;
        self
    }

    /// Accepts a server's certificate that is valid at *some* moment the clock's bounds allow.
    ///
    /// For a device that has no clock until it has connected once: it may accept an expired certificate, but
    /// never one that had expired before the earliest moment it knows.
    pub fn danger_accept_uncertain_time(mut self) -> Self {
        self.uncertain = true;
        self
    }

    /// Makes the configuration: TLS 1.3.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when rustls refuses.
    pub fn build(self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Verifier {
            servers: self.servers,
            service: self.service,
            revocations: self.revocations,
            clock: self.clock.clone(),
            uncertain: self.uncertain,
            algorithms: provider.signature_verification_algorithms,
        });
        let builder = ClientConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_protocol_versions(VERSIONS)
            .map_err(|_| TlsError::Settings)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.credentials {
            Some(live) => builder.with_client_cert_resolver(live.resolver()),
            None => builder.with_no_client_auth(),
        };
        if !self.resumption {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

#[derive(Debug)]
struct Verifier {
    servers: Servers,
    service: Option<DeviceId>,
    revocations: Option<Revocations>,
    clock: Clock,
    uncertain: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), PathError> {
        let wanted = match &self.service {
            Some(service) => Wanted::Service(service),
            None => Wanted::Named(name),
        };
        let mut wall = self.clock.now();
        if self.uncertain {
            let all = core::iter::once(leaf).chain(rest);
            let at = begun(all).max(wall.not_before());
            wall = TimeBounds::exact(wall.not_after().map_or(at, |latest| at.min(latest)));
        }
        let links = self.servers.verify(leaf, rest, wanted, wall)?;
        match &self.revocations {
            Some(revocations) if revocations.denies_any(&links) => Err(PathError::Revoked),
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.judge(end_entity, intermediates, name) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
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

/// The error that makes rustls send the fitting alert, and tells our caller why.
fn alert(error: PathError) -> CertificateError {
    match error {
        PathError::Expired => CertificateError::Expired,
        PathError::NotYetValid => CertificateError::NotValidYet,
        PathError::Revoked => CertificateError::Revoked,
        // A namesake of the issuer, of another key.
        PathError::NoAnchor | PathError::Authority(Defect::KeyIdentifier) => {
            CertificateError::UnknownIssuer
        }
        PathError::Signature => CertificateError::BadSignature,
        PathError::Purpose => CertificateError::InvalidPurpose,
        PathError::ServerName => CertificateError::NotValidForName,
        PathError::Leaf(Defect::Encoding) => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}
