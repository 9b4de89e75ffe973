//! Header parameters (RFC 9052 §3).

use minicbor::Decoder;
use minicbor::data::Type;

use super::CoseError;
use crate::codec::{self, Limits, Writer};
use crate::crypto::SignatureAlgorithm;

const ALGORITHM: i64 = 1;
const CRITICAL: i64 = 2;
const KEY_ID: i64 = 4;

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
            each(protected, |label, decoder| {
                match label {
                    ALGORITHM => algorithm = decoder.i64().ok().and_then(Algorithm::from_number),
                    CRITICAL => return Err(CoseError::Critical),
                    KEY_ID => key_id = Some(decoder.bytes().map_err(|_| CoseError::Structure)?),
                    _ => {}
                }
                Ok(())
            })?;
        }
        each(unprotected, |label, decoder| {
            match label {
                // Unauthenticated where it must not be, or doubled between the headers.
                ALGORITHM if algorithm.is_none() => return Err(CoseError::Algorithm),
                ALGORITHM | CRITICAL => return Err(CoseError::Structure),
                KEY_ID if key_id.is_some() => return Err(CoseError::Structure),
                KEY_ID => key_id = Some(decoder.bytes().map_err(|_| CoseError::Structure)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            algorithm: algorithm.ok_or(CoseError::Algorithm)?,
            key_id,
        })
    }
}

/// Calls `read` with each integer label of a checked map; it may read the value or leave it.
fn each<'a>(
    map: &'a [u8],
    mut read: impl FnMut(i64, &mut Decoder<'a>) -> Result<(), CoseError>,
) -> Result<(), CoseError> {
    let mut decoder = Decoder::new(map);
    let entries = decoder.map().ok().flatten().ok_or(CoseError::Structure)?;
    for _ in 0..entries {
        let label = match decoder.datatype() {
            Ok(Type::String) => decoder.skip().map(|()| None),
            _ => decoder.i64().map(Some),
        };
        let label = label.map_err(|_| CoseError::Structure)?;
        let mut value = decoder.clone();
        if let Some(label) = label {
            read(label, &mut value)?;
        }
        decoder.skip().map_err(|_| CoseError::Structure)?;
    }
    Ok(())
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
