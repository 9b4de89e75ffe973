//! What runs, as its digest.

use core::fmt;

use crate::codec::{EncodeError, FlatReader, FlatWriter};
use crate::crypto::Sha256Digest;

/// The longest digest in bytes.
const MAX_DIGEST_BYTES: usize = 64;

/// What a [`Measurement`] was made with, by its number in IANA's registry of named information hash algorithms (RFC 6920).
///
/// Digests that were cut short have numbers there too, and are none of these: evidence is not worth less for a few bytes.
///
/// ```
/// use iot_core::component::HashAlgorithm;
/// assert_eq!(HashAlgorithm::from_id(7), Some(HashAlgorithm::Sha384));
/// assert_eq!(HashAlgorithm::Sha384.digest_bytes(), 48);
/// assert_eq!(HashAlgorithm::from_id(6), None); // SHA-256, cut to 32 bits
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-256, number 1.
    Sha256,
    /// SHA-384, number 7.
    Sha384,
    /// SHA-512, number 8.
    Sha512,
}

impl HashAlgorithm {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its number in the registry.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha384 => 7,
            Self::Sha512 => 8,
        }
    }

    /// The algorithm of that number.
    #[must_use]
    pub fn from_id(id: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| u64::from(known.id()) == id)
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// How long its digests are, in bytes.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => MAX_DIGEST_BYTES,
        }
    }
}

/// The digest of what was loaded, and how it was made.
///
/// It encodes as `hash-entry = [hash-alg-id: int, hash-value: bytes]` of RFC 9393, section 2.9.1: the form that CoSWID payloads have,
/// which EAT carries as measurements (RFC 9711, section 4.2.16), and that CoRIM compares them with. A TcbInfo of DICE takes
/// the same digest under the algorithm's object identifier.
///
/// ```
/// use iot_core::component::{HashAlgorithm, Measurement};
/// let measurement = Measurement::sha256([7; 32]);
/// assert_eq!((measurement.algorithm(), measurement.digest()), (HashAlgorithm::Sha256, &[7; 32][..]));
/// let mut buffer = [0; Measurement::MAX_BYTES];
/// let entry = measurement.encode(&mut buffer)?;
/// assert_eq!(entry[..4], [0x82, 0x01, 0x58, 0x20]);
/// assert_eq!(Measurement::decode(entry), Some(measurement));
/// # Ok::<(), iot_core::codec::EncodeError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Measurement {
    algorithm: HashAlgorithm,
    // What a shorter digest leaves stays zero, so that derived equality is that of the digests.
    bytes: [u8; MAX_DIGEST_BYTES],
}

/// The digest does not have the length of its algorithm.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the digest has {found} bytes, and one of {} has {expected}", .algorithm.name())]
#[non_exhaustive]
pub struct MeasurementError {
    /// What it was to be made with.
    pub algorithm: HashAlgorithm,
    /// How many bytes that makes.
    pub expected: usize,
    /// How many there were.
    pub found: usize,
}

impl Measurement {
    /// The longest encoding in bytes.
    pub const MAX_BYTES: usize = 4 + MAX_DIGEST_BYTES;

    /// Takes a digest of that algorithm.
    ///
    /// # Errors
    ///
    /// [`MeasurementError`] when the digest is shorter or longer than one of that algorithm.
    pub fn new(algorithm: HashAlgorithm, digest: &[u8]) -> Result<Self, MeasurementError> {
        let (expected, found) = (algorithm.digest_bytes(), digest.len());
        let mut bytes = [0; MAX_DIGEST_BYTES];
        match bytes.get_mut(..found) {
            Some(place) if found == expected => place.copy_from_slice(digest),
            _ => {
                return Err(MeasurementError {
                    algorithm,
                    expected,
                    found,
                });
            }
        }
        Ok(Self { algorithm, bytes })
    }

    /// Takes a SHA-256.
    #[must_use]
    pub fn sha256(digest: Sha256Digest) -> Self {
        let mut bytes = [0; MAX_DIGEST_BYTES];
        for (place, byte) in bytes.iter_mut().zip(digest) {
            *place = byte;
        }
        let algorithm = HashAlgorithm::Sha256;
        Self { algorithm, bytes }
    }

    /// What it was made with.
    #[must_use]
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The digest: as many bytes as its algorithm makes.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        let bytes = self.bytes.get(..self.algorithm.digest_bytes());
        bytes.unwrap_or(&[])
    }

    /// Writes the `hash-entry` into `buffer`, and returns it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the buffer is too small; [`MAX_BYTES`](Self::MAX_BYTES) is always enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let bytes = buffer.len();
        let mut writer = FlatWriter::new(buffer);
        self.write(&mut writer);
        let used = writer.finish();
        let written = used.and_then(|used| buffer.get(..used));
        written.ok_or(EncodeError::new(bytes))
    }

    /// Reads a `hash-entry` in its shortest form; `None` for anything else, and for algorithms that are none of ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = FlatReader::new(bytes);
        let measurement = Self::read(&mut reader);
        measurement.filter(|_| reader.is_empty())
    }

    pub(super) fn write(&self, writer: &mut FlatWriter<'_>) {
        writer.array(2, self.algorithm.id());
        writer.bytes(self.digest());
    }

    pub(super) fn read(reader: &mut FlatReader<'_>) -> Option<Self> {
        let items = reader.array_len();
        let algorithm = HashAlgorithm::from_id(reader.uint())?;
        let measurement = Self::new(algorithm, reader.bytes()).ok();
        measurement.filter(|_| items == 2)
    }
}

/// `sha-256:` and the digest in hexadecimal.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        self.digest()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Measurement({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Measurement {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "{=str}:{=[u8]:02x}",
            self.algorithm.name(),
            self.digest()
        );
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_digest_has_the_length_of_its_algorithm() {
        for algorithm in HashAlgorithm::ALL {
            let expected = algorithm.digest_bytes();
            for found in [0, 31, 32, 33, 47, 48, 49, 63, 64, 65] {
                let taken = Measurement::new(algorithm, &[9; 65][..found]);
                assert_eq!(taken.is_ok(), found == expected, "{algorithm:?} {found}");
                let Err(error) = taken else { continue };
                assert_eq!((error.expected, error.found), (expected, found));
            }
        }
        let sha256 = Measurement::new(HashAlgorithm::Sha256, &[9; 32]);
        assert_eq!(sha256, Ok(Measurement::sha256([9; 32])));
    }

    #[test]
    fn every_algorithm_is_read_as_it_was_written_and_no_other_is() {
        let mut buffer = [0; Measurement::MAX_BYTES];
        for algorithm in HashAlgorithm::ALL {
            let digest = &[9; 64][..algorithm.digest_bytes()];
            let measurement = Measurement::new(algorithm, digest).unwrap();
            let bytes = measurement.encode(&mut buffer).unwrap().to_vec();
            assert_eq!(Measurement::decode(&bytes), Some(measurement));
            for id in (0..24).filter(|id| *id != algorithm.id()) {
                let mut other = bytes.clone();
                other[1] = id;
                assert_eq!(Measurement::decode(&other), None, "{algorithm:?} as {id}");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert_eq!(Measurement::decode(&longer), None);
            let room = bytes.len() - 1;
            let short = measurement.encode(&mut buffer[..room]);
            assert_eq!(short, Err(EncodeError::new(room)));
        }
    }

    #[test]
    fn it_is_shown_by_the_name_of_its_algorithm() {
        let shown = Measurement::sha256([0xab; 32]).to_string();
        assert_eq!(shown, ["sha-256:", &"ab".repeat(32)].concat());
    }
}
