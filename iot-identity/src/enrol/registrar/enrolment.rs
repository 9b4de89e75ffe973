//! What a registrar must not forget.

use alloc::vec::Vec;
use core::time::Duration;

use iot_core::codec::{Limits, check, encode_into};
use iot_core::time::{Proof, TimeBounds};
use iot_core::{DeviceId, TenantId, Timestamp};
use minicbor::Decoder;
use rustls_pki_types::CertificateDer;

use crate::cert::UnverifiedCertificate;
use crate::key::KeyHash;
use crate::ring::Sha256;

/// A certificate that was issued, to whom, for which key: what a registrar must not forget.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enrolment {
    pub(super) tenant: TenantId,
    pub(super) device: DeviceId,
    pub(super) key: KeyHash,
    pub(super) certificate: CertificateDer<'static>,
    /// It was revoked, and its device was admitted again since.
    pub(super) is_closed: bool,
}

/// The bytes are no [`Enrolment`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the record is no enrolment of a known format")]
#[non_exhaustive]
pub struct EnrolmentError;

impl Enrolment {
    /// Whose tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Which key.
    #[must_use]
    pub const fn key(&self) -> &KeyHash {
        &self.key
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The last moment of the certificate; 1970 when it cannot be read.
    pub(super) fn not_after(&self) -> Timestamp {
        let view = UnverifiedCertificate::parse(&self.certificate);
        view.map_or(Timestamp::EPOCH, |view| view.not_after())
    }

    /// How long the certificate is valid in all.
    pub(super) fn life(&self) -> Duration {
        let view = UnverifiedCertificate::parse(&self.certificate);
        let millis = view.map_or(0, |view| {
            let begin = view.not_before().as_millis();
            view.not_after().as_millis().saturating_sub(begin)
        });
        Duration::from_millis(millis)
    }

    pub(super) fn has_expired(&self, wall: TimeBounds) -> bool {
        wall.reached(self.not_after()) == Proof::Yes
    }

    /// Encodes it for a store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = alloc::vec![0; self.certificate.len().saturating_add(160)];
        let bytes = encode_into(&mut buffer, |out| {
            out.array(5)?.u8(1)?.str(self.tenant.as_str())?;
            out.str(self.device.as_str())?.bytes(&self.certificate)?;
            out.bool(self.is_closed)?;
            Ok(())
        });
        bytes.map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`EnrolmentError`] for anything but what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnrolmentError> {
        check(bytes, Limits::new(8_192, 1, 6)).map_err(|_| EnrolmentError)?;
        let mut input = Decoder::new(bytes);
        let mut read = || {
            let known = input.array().ok()? == Some(5) && input.u8().ok()? == 1;
            let tenant = TenantId::new(input.str().ok()?).ok()?;
            let device = DeviceId::new(input.str().ok()?).ok()?;
            let certificate = CertificateDer::from(input.bytes().ok()?.to_vec());
            let is_closed = input.bool().ok()?;
            let key = UnverifiedCertificate::parse(&certificate)?.public_key()?;
            known.then_some(Self {
                tenant,
                device,
                key: key.hash(&mut Sha256::new()),
                certificate,
                is_closed,
            })
        };
        read().ok_or(EnrolmentError)
    }
}
