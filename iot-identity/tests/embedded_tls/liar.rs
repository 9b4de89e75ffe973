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
    lying(front, Some(chain), |_| {})
}

/// The same front, whose signatures are changed.
pub(crate) fn signing(front: &ServerConfig, change: fn(&mut Vec<u8>)) -> Arc<ServerConfig> {
    lying(front, None, change)
}

fn lying(
    front: &ServerConfig,
    chain: Option<Vec<CertificateDer<'static>>>,
    change: fn(&mut Vec<u8>),
) -> Arc<ServerConfig> {
    let mut config = front.clone();
    let honest = Arc::clone(&config.cert_resolver);
    config.cert_resolver = Arc::new(Liar {
        honest,
        chain,
        change,
    });
    Arc::new(config)
}

#[derive(Debug)]
struct Liar {
    honest: Arc<dyn ResolvesServerCert>,
    chain: Option<Vec<CertificateDer<'static>>>,
    change: fn(&mut Vec<u8>),
}

impl ResolvesServerCert for Liar {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = self.honest.resolve(hello)?;
        let chain = self.chain.clone().unwrap_or_else(|| own.cert.clone());
        let key = Forger {
            key: Arc::clone(&own.key),
            change: self.change,
        };
        Some(Arc::new(CertifiedKey::new(chain, Arc::new(key))))
    }
}

#[derive(Debug)]
struct Forger {
    key: Arc<dyn SigningKey>,
    change: fn(&mut Vec<u8>),
}

impl SigningKey for Forger {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Forging {
            signer: self.key.choose_scheme(offered)?,
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
    change: fn(&mut Vec<u8>),
}

impl Signer for Forging {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut signature = self.signer.sign(message)?;
        (self.change)(&mut signature);
        Ok(signature)
    }
    fn scheme(&self) -> SignatureScheme {
        self.signer.scheme()
    }
}
