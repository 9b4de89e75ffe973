//! Header parameters (RFC 9052 §3).

use super::CoseError;
use crate::codec::{self, FlatReader, Limits, Writer};
use crate::crypto::SignatureAlgorithm;

const ALGORITHM: i64 = 1;
const CRITICAL: i64 = 2;
const KEY_ID: i64 = 4;
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
    pub(super) fn decode(protected: &'a [u8], unprotected: &'a [u8]) -> Result<Self, CoseError> {
        let (mut algorithm, mut key_id) = (None, None);
        // A zero-length string stands for the empty map (RFC 9052 §3).
        if !protected.is_empty() {
            codec::check(protected, LIMITS)?;
            each(protected, |label, reader| match label {
                ALGORITHM => {
                    algorithm = Algorithm::from_number(reader.int());
                    Ok(())
                }
                CRITICAL => Err(CoseError::Critical),
                KEY_ID => {
                    key_id = Some(reader.bytes());
                    Ok(())
                }
                _ => Ok(()),
            })?;
        }
        each(unprotected, |label, reader| match label {
            // Unauthenticated where it must not be, or doubled between the headers.
            ALGORITHM if algorithm.is_none() => Err(CoseError::Algorithm),
            ALGORITHM | CRITICAL => Err(CoseError::Structure),
            KEY_ID if key_id.is_some() => Err(CoseError::Structure),
            KEY_ID => {
                key_id = Some(reader.bytes());
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(Self {
            algorithm: algorithm.ok_or(CoseError::Algorithm)?,
            key_id,
        })
    }
}

/// For a body whose signers have headers of their own.
pub(super) fn nothing_critical(protected: &[u8], unprotected: &[u8]) -> Result<(), CoseError> {
    if !protected.is_empty() {
        codec::check(protected, LIMITS)?;
        each(protected, |label, _| match label {
            CRITICAL => Err(CoseError::Critical),
            _ => Ok(()),
        })?;
    }
    each(unprotected, |label, _| match label {
        CRITICAL => Err(CoseError::Structure),
        _ => Ok(()),
    })
}

/// The key id of a recipient that holds the key itself (RFC 9052 §8.5.1): the algorithm is -6, nothing is protected.
pub(super) fn direct<'a>(
    protected: &'a [u8],
    unprotected: &'a [u8],
) -> Result<Option<&'a [u8]>, CoseError> {
    let (mut is_direct, mut key_id) = (false, None);
    each(unprotected, |label, reader| {
        match label {
            ALGORITHM => is_direct = reader.int() == DIRECT,
            CRITICAL => return Err(CoseError::Structure),
            KEY_ID => key_id = Some(reader.bytes()),
            _ => {}
        }
        Ok(())
    })?;
    if is_direct && protected.is_empty() {
        Ok(key_id)
    } else {
        Err(CoseError::Algorithm)
    }
}

/// Calls `read` with each integer label of a checked map; it may read the value or leave it.
#[inline(never)]
fn walk<'a>(
    map: &'a [u8],
    read: &mut dyn FnMut(i64, &mut FlatReader<'a>) -> Result<(), CoseError>,
) -> Result<(), CoseError> {
    let mut reader = FlatReader::new(map);
    for _ in 0..reader.map_len() {
        let label = match reader.peek() {
            Some(0 | 1) => Some(reader.int()),
            // The specification has texts as labels too (RFC 9052 §1.4).
            Some(3) => {
                reader.item();
                None
            }
            _ => return Err(CoseError::Structure),
        };
        let mut value = reader;
        if let Some(label) = label {
            read(label, &mut value)?;
        }
        reader.item();
        // A failure to read the value, or to step over it.
        if value.rest().is_none() || reader.rest().is_none() {
            return Err(CoseError::Structure);
        }
    }
    reader.is_empty().then_some(()).ok_or(CoseError::Structure)
}

fn each<'a>(
    map: &'a [u8],
    mut read: impl FnMut(i64, &mut FlatReader<'a>) -> Result<(), CoseError>,
) -> Result<(), CoseError> {
    walk(map, &mut read)
}

pub(super) fn write_protected(
    writer: &mut Writer<'_>,
    algorithm: Algorithm,
) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    writer.map(1)?.i64(ALGORITHM)?.i64(algorithm.number())?.ok()
}

pub(super) fn write_unprotected(
    writer: &mut Writer<'_>,
    key_id: Option<&[u8]>,
) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    match key_id {
        Some(id) => writer.map(1)?.i64(KEY_ID)?.bytes(id)?.ok(),
        None => writer.map(0)?.ok(),
    }
}
