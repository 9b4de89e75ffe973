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
    /// ML-DSA-44 (FIPS 204): verified, never written.
    MlDsa44,
    /// HSS/LMS (RFC 8778): verified, never written.
    HssLms,
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
            Self::MlDsa44 => -48,
            Self::HssLms => -46,
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
            -48 => Self::MlDsa44,
            -46 => Self::HssLms,
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
            Self::MlDsa44 => Some(SignatureAlgorithm::MlDsa44),
            Self::HssLms => Some(SignatureAlgorithm::HssLms),
            Self::Hmac256 => None,
        }
    }

    /// What is written for a key: the numbers of RFC 9864, which name the curve.
    #[must_use]
    pub const fn of_key(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => Self::Esp256,
            SignatureAlgorithm::Ed25519 => Self::Ed25519,
            SignatureAlgorithm::MlDsa44 => Self::MlDsa44,
            SignatureAlgorithm::HssLms => Self::HssLms,
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
        let signed = Labels::protected(protected).ok_or(CoseError::Structure)?;
        let beside = Labels::read(unprotected).ok_or(CoseError::Structure)?;
        if signed.is_critical {
            return Err(CoseError::Critical);
        }
        let algorithm = signed.algorithm.and_then(Algorithm::from_number);
        // Before it an algorithm beside would be unauthenticated.
        let algorithm = algorithm.ok_or(CoseError::Algorithm)?;
        // Doubled between the headers, or where it must not be.
        let is_doubled = signed.key_id.is_some() && beside.key_id.is_some();
        if beside.algorithm.is_some() || beside.is_critical || is_doubled {
            return Err(CoseError::Structure);
        }
        Ok(Self {
            algorithm,
            key_id: signed.key_id.or(beside.key_id),
        })
    }
}

/// For a body whose signers have headers of their own.
pub(super) fn nothing_critical(protected: &[u8], unprotected: &[u8]) -> Result<(), CoseError> {
    let signed = Labels::protected(protected).ok_or(CoseError::Structure)?;
    let beside = Labels::read(unprotected).ok_or(CoseError::Structure)?;
    match (signed.is_critical, beside.is_critical) {
        (true, _) => Err(CoseError::Critical),
        (_, true) => Err(CoseError::Structure),
        _ => Ok(()),
    }
}

/// The key id of a recipient that holds the key itself (RFC 9052 §8.5.1): the algorithm is -6, nothing is protected.
pub(super) fn direct<'a>(
    protected: &'a [u8],
    unprotected: &'a [u8],
) -> Result<Option<&'a [u8]>, CoseError> {
    let beside = Labels::read(unprotected).filter(|labels| !labels.is_critical);
    let beside = beside.ok_or(CoseError::Structure)?;
    if beside.algorithm == Some(DIRECT) && protected.is_empty() {
        Ok(beside.key_id)
    } else {
        Err(CoseError::Algorithm)
    }
}

/// What is looked at of one header.
#[derive(Clone, Copy)]
struct Labels<'a> {
    algorithm: Option<i64>,
    key_id: Option<&'a [u8]>,
    is_critical: bool,
}

impl<'a> Labels<'a> {
    /// A zero-length string stands for the empty map (RFC 9052 §3).
    fn protected(map: &'a [u8]) -> Option<Self> {
        let map = if map.is_empty() { &[0xa0] } else { map };
        codec::check(map, LIMITS).ok()?;
        Self::read(map)
    }

    /// Reads a map that was checked; `None` when something in it is of another type than it must be.
    #[inline(never)]
    fn read(map: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::new(map);
        let mut found = Self {
            algorithm: None,
            key_id: None,
            is_critical: false,
        };
        for _ in 0..reader.map_len() {
            // The specification has texts as labels too (RFC 9052 §1.4).
            let label = if reader.peek() == Some(3) {
                reader.item();
                None
            } else {
                Some(reader.int())
            };
            let mut value = reader;
            match label {
                Some(ALGORITHM) => found.algorithm = Some(value.int()),
                Some(CRITICAL) => found.is_critical = true,
                Some(KEY_ID) => found.key_id = Some(value.bytes()),
                _ => {}
            }
            reader.item();
            reader.require(value.rest().is_some());
        }
        reader.is_empty().then_some(found)
    }
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
