//! What all COSE messages with one recipient share.

use minicbor::Decoder;
use minicbor::data::{Tag, Type};

use super::CoseError;
use super::header::{self, Algorithm, Header};
use crate::codec::{self, Limits, write_head};

/// The longest message that is read, in bytes: 16 MiB, room for a signed list of two million entries.
///
/// Reading takes no memory, and time in proportion to the length only where it is hashed.
pub const MAX_MESSAGE_BYTES: usize = 1 << 24;

const LIMITS: Limits = Limits::new(MAX_MESSAGE_BYTES, 8, 256);

/// Whether a message begins with its CBOR tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Tagged {
    /// It must.
    Required,
    /// It must not, because the context says what it is.
    Absent,
}

/// What is signed: within the message, or beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Content<'a> {
    /// The message carries the payload.
    Attached(&'a [u8]),
    /// The payload travels elsewhere; the message holds nil.
    Detached(&'a [u8]),
}

impl<'a> Content<'a> {
    pub(super) const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Attached(bytes) | Self::Detached(bytes) => bytes,
        }
    }
}

/// `[protected, unprotected, payload / nil, signature or tag]`, not yet believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Parts<'a> {
    pub(super) protected: &'a [u8],
    pub(super) header: Header<'a>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) proof: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn decode(input: &'a [u8], tag: u64, tagged: Tagged) -> Result<Self, CoseError> {
        codec::check(input, LIMITS)?;
        let mut decoder = Decoder::new(input);
        let found = match decoder.datatype() {
            Ok(Type::Tag) => decoder.tag().ok(),
            _ => None,
        };
        let expected = match tagged {
            Tagged::Required => Some(Tag::new(tag)),
            Tagged::Absent => None,
        };
        if found != expected || decoder.array().ok().flatten() != Some(4) {
            return Err(CoseError::Structure);
        }
        let protected = decoder.bytes().map_err(|_| CoseError::Structure)?;
        let start = decoder.position();
        decoder.skip().map_err(|_| CoseError::Structure)?;
        let unprotected = input
            .get(start..decoder.position())
            .ok_or(CoseError::Structure)?;
        let payload = match decoder.datatype() {
            Ok(Type::Null) => decoder.null().map(|()| None),
            _ => decoder.bytes().map(Some),
        };
        let payload = payload.map_err(|_| CoseError::Structure)?;
        let proof = decoder.bytes().map_err(|_| CoseError::Structure)?;
        Ok(Self {
            protected,
            header: Header::decode(protected, unprotected)?,
            payload,
            proof,
        })
    }

    /// The one payload there is: attached, or handed in.
    pub(super) fn payload(&self, detached: Option<&'a [u8]>) -> Result<&'a [u8], CoseError> {
        match (self.payload, detached) {
            (Some(payload), None) | (None, Some(payload)) => Ok(payload),
            _ => Err(CoseError::Payload),
        }
    }
}

/// Hands `use_parts` the `Sig_structure` or `MAC_structure` (RFC 9052 §4.4, §6.3) in pieces, uncopied.
pub(super) fn with_structure<R>(
    context: &str,
    protected: &[u8],
    external: &[u8],
    payload: &[u8],
    use_parts: impl FnOnce(&[&[u8]]) -> R,
) -> R {
    let (mut a, mut b, mut c, mut d) = ([0; 9], [0; 9], [0; 9], [0; 9]);
    use_parts(&[
        &[0x84],
        write_head(&mut a, 3, context.len() as u64),
        context.as_bytes(),
        write_head(&mut b, 2, protected.len() as u64),
        protected,
        write_head(&mut c, 2, external.len() as u64),
        external,
        write_head(&mut d, 2, payload.len() as u64),
        payload,
    ])
}

/// The protected header as the content of its byte string.
pub(super) fn protected(buffer: &mut [u8; 8], algorithm: Algorithm) -> Result<&[u8], CoseError> {
    codec::encode_into(buffer, |writer| header::write_protected(writer, algorithm))
        .map_err(|error| CoseError::Buffer { bytes: error.bytes })
}

/// Writes the whole message.
pub(super) fn assemble<'b>(
    buffer: &'b mut [u8],
    tag: u64,
    protected: &[u8],
    key_id: Option<&[u8]>,
    content: Content<'_>,
    proof: &[u8],
) -> Result<&'b [u8], CoseError> {
    codec::encode_into(buffer, |writer| {
        writer.tag(Tag::new(tag))?.array(4)?.bytes(protected)?;
        header::write_unprotected(writer, key_id)?;
        match content {
            Content::Attached(payload) => writer.bytes(payload)?,
            Content::Detached(_) => writer.null()?,
        };
        writer.bytes(proof)?.ok()
    })
    .map_err(|error| CoseError::Buffer { bytes: error.bytes })
}
