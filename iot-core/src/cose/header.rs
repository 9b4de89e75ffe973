//! Header parameters (RFC 9052 §3).

use super::CoseError;
use crate::codec::{self, FlatReader, Limits, Writer};
use crate::crypto::SignatureAlgorithm;

const ALGORITHM: i32 = 1;
const CRITICAL: i32 = 2;
const KEY_ID: i32 = 4;
const OTHER: i32 = i32::MAX;
const DIRECT: i64 = -6;

const LIMITS: Limits = Limits::new(4_096, 6, 128);

/// The algorithms this SDK signs and authenticates with.
///
/// ```
/// use iot_core::cose::Algorithm;
/// assert_eq!(Algorithm::Esp256.number(), -9);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with SHA-256, curve left open (RFC 9053): read, never written.
    Es256,
    /// ECDSA on P-256 with SHA-256 (RFC 9864).
    Esp256,
    /// EdDSA, curve left open (RFC 9053): read, never written.
    EdDsa,
    /// Ed25519 (RFC 9864).
    Ed25519,
    /// HMAC with SHA-256 and a full tag (RFC 9053).
    Hmac256,
}

impl Algorithm {
    /// The number in the IANA COSE registry.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Esp256 => -9,
            Self::EdDsa => -8,
            Self::Ed25519 => -19,
            Self::Hmac256 => 5,
        }
    }

    /// The algorithm of that number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            -7 => Self::Es256,
            -9 => Self::Esp256,
            -8 => Self::EdDsa,
            -19 => Self::Ed25519,
            5 => Self::Hmac256,
            _ => return None,
        })
    }

    /// What a key must sign with; `None` for HMAC.
    #[must_use]
    pub const fn signature(self) -> Option<SignatureAlgorithm> {
        match self {
            Self::Es256 | Self::Esp256 => Some(SignatureAlgorithm::EcdsaP256Sha256),
            Self::EdDsa | Self::Ed25519 => Some(SignatureAlgorithm::Ed25519),
            Self::Hmac256 => None,
        }
    }

    /// What is written for a key: the numbers of RFC 9864, which name the curve.
    #[must_use]
    pub const fn of_key(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => Self::Esp256,
            SignatureAlgorithm::Ed25519 => Self::Ed25519,
        }
    }
}

/// The header parameters of a message that are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Header<'a> {
    /// From the protected header.
    pub algorithm: Algorithm,
    /// Which key to try, from either header: a hint, not a claim.
    pub key_id: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads both headers; `protected` is the content of the byte string.
    #[inline(never)]
    pub(super) fn decode(protected: &'a [u8], unprotected: &'a [u8]) -> Result<Self, CoseError> {
        let (mut algorithm, mut key_id) = (None, None);
        let mut labels = Labels::protected(protected)?;
        while let Some((label, mut value)) = labels.next() {
            match label {
                ALGORITHM => algorithm = Algorithm::from_number(value.int()),
                CRITICAL => return Err(CoseError::Critical),
                KEY_ID => key_id = Some(value.bytes()),
                _ => {}
            }
            labels.read(value);
        }
        labels.end()?;
        // Before it an algorithm there would be unauthenticated.
        let algorithm = algorithm.ok_or(CoseError::Algorithm)?;
        let mut labels = Labels::of(unprotected);
        while let Some((label, mut value)) = labels.next() {
            match label {
                // Doubled between the headers, or unauthenticated where it must not be.
                KEY_ID if key_id.is_none() => key_id = Some(value.bytes()),
                ALGORITHM | CRITICAL | KEY_ID => return Err(CoseError::Structure),
                _ => {}
            }
            labels.read(value);
        }
        labels.end()?;
        Ok(Self { algorithm, key_id })
    }
}

/// For a body whose signers have headers of their own.
pub(super) fn nothing_critical(protected: &[u8], unprotected: &[u8]) -> Result<(), CoseError> {
    let mut labels = Labels::protected(protected)?;
    while let Some((label, _)) = labels.next() {
        if label == CRITICAL {
            return Err(CoseError::Critical);
        }
    }
    labels.end()?;
    let mut labels = Labels::of(unprotected);
    while let Some((label, _)) = labels.next() {
        labels.reader.require(label != CRITICAL);
    }
    labels.end()
}

/// The key id of a recipient that holds the key itself (RFC 9052 §8.5.1): the algorithm is -6, nothing is protected.
pub(super) fn direct<'a>(
    protected: &'a [u8],
    unprotected: &'a [u8],
) -> Result<Option<&'a [u8]>, CoseError> {
    let (mut is_direct, mut key_id) = (false, None);
    let mut labels = Labels::of(unprotected);
    while let Some((label, mut value)) = labels.next() {
        match label {
            ALGORITHM => is_direct = value.int() == DIRECT,
            CRITICAL => value.require(false),
            KEY_ID => key_id = Some(value.bytes()),
            _ => {}
        }
        labels.read(value);
    }
    labels.end()?;
    if is_direct && protected.is_empty() {
        Ok(key_id)
    } else {
        Err(CoseError::Algorithm)
    }
}

/// Goes through a checked map by label; what is not as it must be ends it, and is told at the end.
struct Labels<'a> {
    reader: FlatReader<'a>,
    left: u32,
}

impl<'a> Labels<'a> {
    fn of(map: &'a [u8]) -> Self {
        let mut reader = FlatReader::new(map);
        let left = reader.map_len();
        Self { reader, left }
    }

    fn protected(map: &'a [u8]) -> Result<Self, CoseError> {
        const EMPTY: &[u8] = &[0xa0];
        // A zero-length string stands for the empty map (RFC 9052 §3).
        let map = if map.is_empty() { EMPTY } else { map };
        codec::check(map, LIMITS)?;
        Ok(Self::of(map))
    }

    /// The next label and its value. The specification has texts as labels too (RFC 9052 §1.4): they are [`OTHER`], as
    /// is what has more than 31 bits.
    #[inline(never)]
    fn next(&mut self) -> Option<(i32, FlatReader<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let label = if self.reader.peek() == Some(3) {
            self.reader.item();
            OTHER
        } else {
            i32::try_from(self.reader.int()).unwrap_or(OTHER)
        };
        let value = self.reader;
        self.reader.item();
        self.reader.rest().map(|_| (label, value))
    }

    /// Says that a value was read, or could not be.
    fn read(&mut self, value: FlatReader<'a>) {
        self.reader.require(value.rest().is_some());
    }

    #[inline(never)]
    fn end(&self) -> Result<(), CoseError> {
        self.reader
            .is_empty()
            .then_some(())
            .ok_or(CoseError::Structure)
    }
}

pub(super) fn write_protected(
    writer: &mut Writer<'_>,
    algorithm: Algorithm,
) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    writer.map(1)?.i32(ALGORITHM)?.i64(algorithm.number())?.ok()
}

pub(super) fn write_unprotected(
    writer: &mut Writer<'_>,
    key_id: Option<&[u8]>,
) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    match key_id {
        Some(id) => writer.map(1)?.i32(KEY_ID)?.bytes(id)?.ok(),
        None => writer.map(0)?.ok(),
    }
}
