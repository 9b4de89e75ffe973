//! The server: its chain, its name, and the proof that it holds its key.

use core::fmt;

use digest::Digest as _;
use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, Sha256,
    SignatureScheme, TlsError, TlsVerifier,
};
use heapless::Vec;
use iot_core::crypto::SignatureAlgorithm;
use rustls_pki_types::ServerName;

use super::ConnectError;
use crate::cert::UnverifiedCertificate;
use crate::cert::path::{Anchor, Defect, PathError, PathPolicy};
use crate::key::PublicKey;

// embedded-tls reads no more certificates than these.
const MAX_ENTRIES: usize = 16;
// "A string that consists of octet 32 (0x20) repeated 64 times", the context, and the separator (RFC 8446 §4.4.3).
const BLANKS: [u8; 64] = [0x20; 64];
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
const MESSAGE_BYTES: usize = BLANKS.len() + CONTEXT.len() + 32;

/// Verifies a server while the handshake goes on: its chain by [`PathPolicy`], then its signature over the transcript.
///
/// A server that leaves one of them out is not verified, and neither is one that sends one twice.
pub struct ServerVerifier<'a, D, const OFFERED: usize> {
    policy: &'a PathPolicy<'a>,
    anchors: &'a [Anchor<D>],
    stage: Stage,
}

enum Stage {
    Nothing,
    /// The chain is good; who holds the key of its leaf signs the hash of all messages up to here.
    Certified {
        key: PublicKey,
        hash: [u8; 32],
    },
    Verified,
    Refused(ConnectError),
}

impl<'a, D, const OFFERED: usize> ServerVerifier<'a, D, OFFERED> {
    pub(super) const fn new(policy: &'a PathPolicy<'a>, anchors: &'a [Anchor<D>]) -> Self {
        Self {
            policy,
            anchors,
            stage: Stage::Nothing,
        }
    }

    /// The name that is asked for, where it can be sent: an address never is (RFC 6066 §3).
    pub(super) fn host(&self) -> Option<&'a str> {
        match self.policy.server()? {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        }
    }

    /// Whether the server is verified.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; nothing may be sent to it.
    pub fn verdict(&self) -> Result<(), ConnectError> {
        match &self.stage {
            Stage::Verified => Ok(()),
            Stage::Refused(error) => Err(*error),
            Stage::Nothing | Stage::Certified { .. } => Err(ConnectError::Unauthenticated),
        }
    }

    /// What the server was refused for, if it was.
    pub(super) const fn refusal(&self) -> Option<ConnectError> {
        match &self.stage {
            Stage::Refused(error) => Some(*error),
            _ => None,
        }
    }

    fn refuse(&mut self, error: ConnectError) -> TlsError {
        self.stage = Stage::Refused(error);
        // No alert: embedded-tls 0.19 would send it as a change of ciphers, which no server understands.
        TlsError::InvalidCertificate
    }
}

impl<D: AsRef<[u8]>, const OFFERED: usize> ServerVerifier<'_, D, OFFERED> {
    fn judge(&self, chain: &CertificateRef<'_>) -> Result<PublicKey, PathError> {
        let mut ders = Vec::<&[u8], MAX_ENTRIES>::new();
        for entry in &chain.entries {
            let CertificateEntryRef::X509(der) = entry else {
                return Err(PathError::Leaf(Defect::Encoding));
            };
            ders.push(der).map_err(|_| PathError::TooMany)?;
        }
        let (leaf, offered) = ders
            .split_first()
            .ok_or(PathError::Leaf(Defect::Encoding))?;
        self.policy
            .verify_few::<OFFERED, D>(leaf, offered, self.anchors)?;
        let leaf = UnverifiedCertificate::parse(leaf).and_then(|view| view.public_key());
        leaf.ok_or(PathError::Leaf(Defect::Key))
    }

    fn proves(&self, key: &PublicKey, hash: &[u8; 32], verify: &CertificateVerifyRef<'_>) -> bool {
        let scheme = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => SignatureScheme::EcdsaSecp256r1Sha256,
            SignatureAlgorithm::Ed25519 => SignatureScheme::Ed25519,
            _ => return false,
        };
        let mut message = Vec::<u8, MESSAGE_BYTES>::new();
        let whole = [&BLANKS[..], CONTEXT, hash]
            .iter()
            .all(|part| message.extend_from_slice(part).is_ok());
        whole
            && verify.signature_scheme == scheme
            && self.policy.proves(key, &message, verify.signature)
    }
}

impl<D: AsRef<[u8]>, const OFFERED: usize> TlsVerifier<Aes128GcmSha256>
    for ServerVerifier<'_, D, OFFERED>
{
    fn set_hostname_verification(&mut self, name: &str) -> Result<(), TlsError> {
        // The policy's name is the one that counts; another in the handshake would only confuse.
        match self.host() {
            Some(host) if host == name => Ok(()),
            _ => Err(self.refuse(ConnectError::Server(PathError::ServerName))),
        }
    }

    fn verify_certificate(
        &mut self,
        transcript: &Sha256,
        chain: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        if !matches!(self.stage, Stage::Nothing) {
            return Err(self.refuse(ConnectError::Unauthenticated));
        }
        match self.judge(&chain) {
            Ok(key) => {
                let hash = transcript.clone().finalize().into();
                self.stage = Stage::Certified { key, hash };
                Ok(())
            }
            Err(error) => Err(self.refuse(ConnectError::Server(error))),
        }
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let Stage::Certified { key, hash } = &self.stage else {
            return Err(self.refuse(ConnectError::Unauthenticated));
        };
        if !self.proves(key, hash, &verify) {
            return Err(self.refuse(ConnectError::Signature));
        }
        self.stage = Stage::Verified;
        Ok(())
    }
}

impl<D, const OFFERED: usize> fmt::Debug for ServerVerifier<'_, D, OFFERED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerVerifier({:?})", self.verdict())
    }
}
