//! Certification requests (PKCS #10, RFC 2986) as a device writes them, without an allocator.

use iot_core::DeviceId;
use iot_core::crypto::{KeyError, Signature, SignatureAlgorithm, Signer};

use crate::der::{BIT_STRING, CONTEXT_0, Full, INTEGER, SEQUENCE, SET, UTF8_STRING, Writer};
use crate::key::PublicKey;

/// A buffer of this size holds any request this module writes.
pub const MAX_CSR_BYTES: usize = 384;

// id-at-commonName, RFC 5280 appendix A.1; ecdsa-with-SHA256, RFC 5758 §3.2; id-Ed25519, RFC 8410 §3.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
const ECDSA_SHA256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// The buffer is too small for the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the buffer is too small for a certification request: give {MAX_CSR_BYTES} bytes")]
#[non_exhaustive]
pub struct CsrBuffer;

impl From<Full> for CsrBuffer {
    fn from(_: Full) -> Self {
        Self
    }
}

/// Why no request was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CsrError {
    /// The buffer is too small.
    #[error(transparent)]
    Buffer(#[from] CsrBuffer),
    /// The key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Writes a request for `device` and signs it: subject `CN=device`, no attributes.
///
/// ```
/// # #[cfg(feature = "cert")] {
/// use iot_core::{DeviceId, crypto::SignatureAlgorithm};
/// use iot_identity::{cert::{Request, csr}, ring::SoftwareKey};
/// let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
/// let device = DeviceId::new("boiler-7")?;
/// let mut buffer = [0; csr::MAX_CSR_BYTES];
/// let request = Request::parse(csr::write(&device, &key, &mut buffer)?)?;
/// assert_eq!(request.device(), &device);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`CsrError`]; `out` is then unspecified.
pub fn write<'o>(
    device: &DeviceId,
    key: &(impl Signer + ?Sized),
    out: &'o mut [u8],
) -> Result<&'o [u8], CsrError> {
    let public = PublicKey::of(key)?;
    let mut signature = Signature::empty();
    key.sign(&[write_info(device, &public, out)?], &mut signature)?;
    // The signed part is short and deterministic: writing it again is cheaper than moving it.
    Ok(assemble(device, &public, &signature, out)?)
}

/// Writes only the part that is signed, `CertificationRequestInfo`, for an engine that asks its driver to sign.
///
/// # Errors
///
/// [`CsrBuffer`]; `out` is then unspecified.
pub fn write_info<'o>(
    device: &DeviceId,
    key: &PublicKey,
    out: &'o mut [u8],
) -> Result<&'o [u8], CsrBuffer> {
    let mut writer = Writer::new(out);
    info(&mut writer, device, key)?;
    Ok(writer.finish())
}

/// Writes the whole request around a `signature` over what [`write_info`] wrote.
///
/// # Errors
///
/// [`CsrBuffer`]; `out` is then unspecified.
pub fn assemble<'o>(
    device: &DeviceId,
    key: &PublicKey,
    signature: &Signature,
    out: &'o mut [u8],
) -> Result<&'o [u8], CsrBuffer> {
    let mut writer = Writer::new(out);
    let whole = writer.mark();
    let algorithm: &[u8] = match key.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            // ECDSA signatures travel as DER in X.509, inside the BIT STRING.
            writer.ecdsa(signature.as_bytes())?;
            writer.bytes(&[0])?;
            writer.wrap(BIT_STRING, whole)?;
            &ECDSA_SHA256
        }
        _ => {
            writer.bit_string(&[signature.as_bytes()])?;
            &ED25519
        }
    };
    writer.tlv(SEQUENCE, algorithm)?;
    info(&mut writer, device, key)?;
    writer.wrap(SEQUENCE, whole)?;
    Ok(writer.finish())
}

fn info(writer: &mut Writer<'_>, device: &DeviceId, key: &PublicKey) -> Result<(), Full> {
    let whole = writer.mark();
    writer.tlv(CONTEXT_0, &[])?;
    let [head, tail] = key.spki_parts();
    writer.bytes(tail)?;
    writer.bytes(head)?;
    let name = writer.mark();
    writer.tlv(UTF8_STRING, device.as_str().as_bytes())?;
    writer.bytes(&COMMON_NAME)?;
    writer.wrap(SEQUENCE, name)?;
    writer.wrap(SET, name)?;
    writer.wrap(SEQUENCE, name)?;
    writer.tlv(INTEGER, &[0])?;
    writer.wrap(SEQUENCE, whole)
}
