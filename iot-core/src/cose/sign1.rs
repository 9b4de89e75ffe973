//! `COSE_Sign1` (RFC 9052 §4.2): one signer.

use super::CoseError;
use super::header::{Algorithm, Header};
use super::structure::{self, Content, Parts, Signed, Tagged};
use crate::crypto::{Signature, Signer, Verifier};

const TAG: u64 = 18;

/// A signed message that nobody has verified yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sign1<'a>(Parts<'a>);

impl<'a> Sign1<'a> {
    /// Reads a message without believing it.
    ///
    /// # Errors
    ///
    /// [`CoseError`] unless it is one deterministic `COSE_Sign1` of at most
    /// [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES) with a supported algorithm.
    pub fn decode(input: &'a [u8], tagged: Tagged) -> Result<Self, CoseError> {
        let parts = Parts::decode(input, TAG, tagged)?;
        match parts.header.algorithm.signature() {
            Some(_) => Ok(Self(parts)),
            None => Err(CoseError::Algorithm),
        }
    }

    /// The header, for choosing the key. Nothing in it is verified.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.0.header
    }

    /// Whether the payload travels elsewhere.
    #[must_use]
    pub const fn is_detached(&self) -> bool {
        self.0.payload.is_none()
    }

    /// Checks the signature and returns the payload it covers.
    ///
    /// `detached` is the payload where the message carries none; `external` is the application's
    /// additional data, empty unless agreed.
    ///
    /// # Errors
    ///
    /// [`CoseError::Algorithm`] when key and header disagree, [`CoseError::Payload`] when there is no payload
    /// or two, [`CoseError::Unverified`] when the signature is not this key's.
    pub fn verify(
        &self,
        detached: Option<&'a [u8]>,
        external: &[u8],
        key: &dyn Verifier,
    ) -> Result<&'a [u8], CoseError> {
        let payload = self.0.payload(detached)?;
        let signed = Signed {
            context: structure::SIGNATURE1,
            protected: self.0.protected,
            signer: None,
            external,
            payload,
        };
        signed.verify(&self.0.header, self.0.proof, key)?;
        Ok(payload)
    }
}

/// Signs `content` and writes the tagged message to `buffer`.
///
/// The algorithm is the key's, with the number that names the curve (RFC 9864).
///
/// # Errors
///
/// [`CoseError::Key`] when the key cannot sign, [`CoseError::Buffer`] when the message does not fit: it
/// needs the payload, the key id and about 80 bytes.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::cose::{Content, Sign1, Tagged, sign1};
/// use iot_core::sim::ToyKey;
///
/// let key = ToyKey::new(7);
/// let mut buffer = [0; 256];
/// let message = sign1(&mut buffer, &key, Some(b"key-1"), Content::Attached(b"open"), &[])?;
/// let received = Sign1::decode(message, Tagged::Required)?;
/// assert_eq!(received.verify(None, &[], &key)?, b"open");
/// assert!(received.verify(None, &[], &ToyKey::new(8)).is_err());
/// # }
/// # Ok::<(), iot_core::cose::CoseError>(())
/// ```
pub fn sign1<'b>(
    buffer: &'b mut [u8],
    key: &dyn Signer,
    key_id: Option<&[u8]>,
    content: Content<'_>,
    external: &[u8],
) -> Result<&'b [u8], CoseError> {
    let mut room = [0; 8];
    let protected = structure::protected(&mut room, Algorithm::of_key(key.algorithm()))?;
    let mut signature = Signature::empty();
    let signed = Signed {
        context: structure::SIGNATURE1,
        protected,
        signer: None,
        external,
        payload: content.bytes(),
    };
    let mut done = Ok(());
    signed.with_parts(&mut |parts| done = key.sign(parts, &mut signature));
    done?;
    structure::assemble(
        buffer,
        TAG,
        protected,
        key_id,
        content,
        signature.as_bytes(),
    )
}
