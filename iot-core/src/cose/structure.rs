//! What all COSE messages with one recipient share.

use minicbor::data::Tag;

use super::CoseError;
use super::header::{self, Algorithm, Header};
use crate::codec::{self, FlatReader, Limits, write_head};
use crate::crypto::{BadSignature, Verifier};

/// The longest message that is read, in bytes: 16 MiB, room for a signed list of two million entries.
///
/// Reading takes no memory, and time in proportion to the length only where it is hashed.
pub const MAX_MESSAGE_BYTES: usize = 1 << 24;

pub(super) const LIMITS: Limits = Limits::new(MAX_MESSAGE_BYTES, 8, 256);

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
        let mut reader = FlatReader::new(input);
        open(&mut reader, tag, tagged, 4);
        let protected = reader.bytes();
        let unprotected = reader.item();
        let payload = payload(&mut reader);
        let proof = reader.bytes();
        reader.require(reader.is_empty());
        reader.rest().ok_or(CoseError::Structure)?;
        Ok(Self {
            protected,
            header: Header::decode(protected, unprotected)?,
            payload,
            proof,
        })
    }

    /// The one payload there is: attached, or handed in.
    pub(super) fn payload(&self, detached: Option<&'a [u8]>) -> Result<&'a [u8], CoseError> {
        one_payload(self.payload, detached)
    }
}

/// The one payload there is: attached, or handed in.
pub(super) const fn one_payload<'a>(
    attached: Option<&'a [u8]>,
    detached: Option<&'a [u8]>,
) -> Result<&'a [u8], CoseError> {
    match (attached, detached) {
        (Some(payload), None) | (None, Some(payload)) => Ok(payload),
        _ => Err(CoseError::Payload),
    }
}

/// Reads the tag, where there must be one, and the head of an array of `items`.
pub(super) fn open(reader: &mut FlatReader<'_>, tag: u64, tagged: Tagged, items: u32) {
    if tagged == Tagged::Required {
        let found = reader.tag();
        reader.require(found == tag);
    }
    let found = reader.array_len();
    reader.require(found == items);
}

/// Reads a payload, or nil where it travels elsewhere.
pub(super) fn payload<'a>(reader: &mut FlatReader<'a>) -> Option<&'a [u8]> {
    (!reader.null()).then(|| reader.bytes())
}

// How each structure begins: the head of its array, and its context as a text with its head.
pub(super) const SIGNATURE1: &[u8] = b"\x84\x6aSignature1";
pub(super) const SIGNATURE: &[u8] = b"\x85\x69Signature";
pub(super) const MAC0: &[u8] = b"\x84\x64MAC0";
pub(super) const MAC: &[u8] = b"\x84\x63MAC";

/// What is signed or authenticated: the `Sig_structure` or `MAC_structure` (RFC 9052 §4.4, §6.3).
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) context: &'static [u8],
    pub(super) protected: &'a [u8],
    /// The protected header of one signer among several.
    pub(super) signer: Option<&'a [u8]>,
    pub(super) external: &'a [u8],
    pub(super) payload: &'a [u8],
}

type Check<'c> = &'c mut dyn FnMut(&[&[u8]]) -> Result<(), BadSignature>;

impl Signed<'_> {
    /// Hands `use_parts` the structure in pieces, uncopied.
    #[inline(never)]
    pub(super) fn with_parts(&self, use_parts: &mut dyn FnMut(&[&[u8]])) {
        let (mut b, mut c, mut d, mut e) = ([0; 9], [0; 9], [0; 9], [0; 9]);
        let signer = self.signer.unwrap_or(&[]);
        use_parts(&[
            self.context,
            head(&mut b, self.protected),
            self.protected,
            self.signer.map_or(&[], |signer| head(&mut e, signer)),
            signer,
            head(&mut c, self.external),
            self.external,
            head(&mut d, self.payload),
            self.payload,
        ]);
    }

    /// Whether a key's own check of the structure holds.
    pub(super) fn holds(&self, check: Check<'_>) -> Result<(), CoseError> {
        let mut checked = Err(BadSignature::new());
        self.with_parts(&mut |parts| checked = check(parts));
        checked.map_err(|_| CoseError::Unverified)
    }

    /// The same with a public key, which must be one for the algorithm that the header names.
    #[inline(never)]
    pub(super) fn verify(
        &self,
        header: &Header<'_>,
        proof: &[u8],
        key: &dyn Verifier,
    ) -> Result<(), CoseError> {
        if header.algorithm.signature() != Some(key.algorithm()) {
            return Err(CoseError::Algorithm);
        }
        self.holds(&mut |parts| key.verify(parts, proof))
    }
}

#[inline(never)]
fn head<'h>(head: &'h mut [u8; 9], bytes: &[u8]) -> &'h [u8] {
    write_head(head, 2, bytes.len() as u64)
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
