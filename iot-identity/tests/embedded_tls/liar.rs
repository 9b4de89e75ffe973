//! A front that shows another chain than its own, or signs something else.

use alloc::sync::Arc;

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};

/// The same front, with `chain` in place of its own.
pub(crate) fn showing(
    front: &ServerConfig,
    chain: Vec<CertificateDer<'static>>,
) -> Arc<ServerConfig> {
    lying(front, Some(chain), None, |_| {})
}

/// The same front, whose signatures are changed.
pub(crate) fn signing(front: &ServerConfig, change: fn(&mut Vec<u8>)) -> Arc<ServerConfig> {
    lying(front, None, None, change)
}

/// The same front, which says that it signs with another algorithm than it does.
pub(crate) fn claiming(front: &ServerConfig, scheme: SignatureScheme) -> Arc<ServerConfig> {
    lying(front, None, Some(scheme), |_| {})
}

fn lying(
    front: &ServerConfig,
    chain: Option<Vec<CertificateDer<'static>>>,
    scheme: Option<SignatureScheme>,
    change: fn(&mut Vec<u8>),
) -> Arc<ServerConfig> {
    let mut config = front.clone();
    let honest = Arc::clone(&config.cert_resolver);
    config.cert_resolver = Arc::new(Liar {
        honest,
        chain,
        scheme,
        change,
    });
    Arc::new(config)
}

#[derive(Debug)]
struct Liar {
    honest: Arc<dyn ResolvesServerCert>,
    chain: Option<Vec<CertificateDer<'static>>>,
    scheme: Option<SignatureScheme>,
    change: fn(&mut Vec<u8>),
}

impl ResolvesServerCert for Liar {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.honest.resolve(hello)?;
        let chain = self.chain.clone().unwrap_or_else(|| own.cert.clone());
        let key = Forger {
            key: Arc::clone(&own.key),
            scheme: self.scheme,
            change: self.change,
        };
        Some(Arc::new(CertifiedKey::new(chain, Arc::new(key))))
    }
}

#[derive(Debug)]
struct Forger {
    key: Arc<dyn SigningKey>,
    scheme: Option<SignatureScheme>,
    change: fn(&mut Vec<u8>),
}

impl SigningKey for Forger {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Forging {
            signer: self.key.choose_scheme(offered)?,
            scheme: self.scheme,
            change: self.change,
        }))
    }
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct Forging {
    signer: Box<dyn Signer>,
    scheme: Option<SignatureScheme>,
    change: fn(&mut Vec<u8>),
}

impl Signer for Forging {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut signature = self.signer.sign(message)?;
        (self.change)(&mut signature);
        Ok(signature)
    }
    fn scheme(&self) -> SignatureScheme {
        self.scheme.unwrap_or_else(|| self.signer.scheme())
    }
}
