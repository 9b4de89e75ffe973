//! `COSE_Mac0` (RFC 9052 §6.2): one shared key that both sides know.

use super::CoseError;
use super::header::{Algorithm, Header};
use super::structure::{self, Content, Parts, Signed, Tagged};
use crate::crypto::{Mac, Tag};

const TAG: u64 = 17;

/// An authenticated message that nobody has verified yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mac0<'a>(Parts<'a>);

impl<'a> Mac0<'a> {
    /// Reads a message without believing it.
    ///
    /// # Errors
    ///
    /// [`CoseError`] unless it is one deterministic `COSE_Mac0` of at most
    /// [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES) with HMAC 256/256.
    pub fn decode(input: &'a [u8], tagged: Tagged) -> Result<Self, CoseError> {
        let parts = Parts::decode(input, TAG, tagged)?;
        match parts.header.algorithm {
            Algorithm::Hmac256 => Ok(Self(parts)),
            _ => Err(CoseError::Algorithm),
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

    /// Checks the tag and returns the payload it covers; see [`Sign1::verify`](super::Sign1::verify).
    ///
    /// # Errors
    ///
    /// [`CoseError::Payload`] when there is no payload or two, [`CoseError::Unverified`] when the tag is not
    /// this key's.
    pub fn verify(
        &self,
        detached: Option<&'a [u8]>,
        external: &[u8],
        key: &dyn Mac,
    ) -> Result<&'a [u8], CoseError> {
        let payload = self.0.payload(detached)?;
        let signed = Signed {
            context: structure::MAC0,
            protected: self.0.protected,
            signer: None,
            external,
            payload,
        };
        signed.holds(&mut |parts| key.verify(parts, self.0.proof))?;
        Ok(payload)
    }
}

/// Authenticates `content` and writes the tagged message to `buffer`.
///
/// # Errors
///
/// [`CoseError::Key`] when the key cannot be used, [`CoseError::Buffer`] when the message does not fit: it
/// needs the payload, the key id and about 50 bytes.
pub fn mac0<'b>(
    buffer: &'b mut [u8],
    key: &dyn Mac,
    key_id: Option<&[u8]>,
    content: Content<'_>,
    external: &[u8],
) -> Result<&'b [u8], CoseError> {
    let mut room = [0; 8];
    let protected = structure::protected(&mut room, Algorithm::Hmac256)?;
    let mut tag = Tag::default();
    let signed = Signed {
        context: structure::MAC0,
        protected,
        signer: None,
        external,
        payload: content.bytes(),
    };
    let mut done = Ok(());
    signed.with_parts(&mut |parts| done = key.authenticate(parts, &mut tag));
    done?;
    structure::assemble(buffer, TAG, protected, key_id, content, &tag)
}
