//! The client's side.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::Timestamp;
use iot_core::time::TimeBounds;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Clock, Credential, Credentials, TlsError, VERSIONS, provider};
use crate::cert::UnverifiedCertificate;

/// Makes the configuration of a client that trusts these roots and proves itself with a [`Credential`].
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
    roots: Arc<RootCertStore>,
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
    /// [`TlsError::Roots`] when one cannot be read or there is none.
    pub fn new<'a, 'c: 'a>(
        roots: impl IntoIterator<Item = &'a CertificateDer<'c>>,
    ) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            let root = root.clone().into_owned();
            store.add(root).map_err(|_| TlsError::Roots)?;
        }
        if store.is_empty() {
            return Err(TlsError::Roots);
        }
        Ok(Self {
            roots: Arc::new(store),
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

    /// Resumes sessions where the server lets it: one signature less per connection.
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
        let inner = WebPkiServerVerifier::builder_with_provider(self.roots, Arc::clone(&provider))
            .build()
            .map_err(|_| TlsError::Settings)?;
        let verifier = Arc::new(Verifier {
            inner,
            clock: self.clock.clone(),
            uncertain: self.uncertain,
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

/// rustls's own verifier, asked at the bounds of what is known about the time.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    clock: Clock,
    uncertain: bool,
}

impl Verifier {
    /// The moments at which the chain must be valid.
    fn moments(
        &self,
        wall: TimeBounds,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> (Timestamp, Option<Timestamp>) {
        let earliest = wall.not_before();
        if !self.uncertain {
            let latest = wall.not_after().filter(|&latest| latest != earliest);
            // Without an upper bound only a certificate without end is proved valid.
            let unbounded = wall.not_after().is_none().then_some(LAST);
            return (earliest, latest.or(unbounded));
        }
        // The first moment at which everything in the chain has begun: if it is valid at all, it is valid then.
        let begun = core::iter::once(end_entity)
            .chain(intermediates)
            .filter_map(|der| UnverifiedCertificate::parse(der))
            .map(|view| view.not_before())
            .fold(earliest, Ord::max);
        (
            wall.not_after().map_or(begun, |latest| begun.min(latest)),
            None,
        )
    }
}

const LAST: Timestamp = Timestamp::from_secs(253_402_300_799);

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let wall = self.clock.now();
        let (first, second) = self.moments(wall, end_entity, intermediates);
        let valid = |at: Timestamp| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()));
            self.inner
                .verify_server_cert(end_entity, intermediates, name, ocsp, time)
        };
        let verified = valid(first)?;
        match second.map(valid) {
            None => Ok(verified),
            Some(result) => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
