//! The messages of an update; `update.cddl` is their definition.

use iot_core::codec::{self, CodecError, EncodeError, Limits};
use minicbor::Decoder;
use minicbor::data::Type;

use super::report::{Outcome, Report, Running};

/// The longest block in bytes.
pub const MAX_BLOCK_BYTES: u32 = 65_536;

const VERSION: u8 = 1;
const LIMITS: Limits = Limits::new(MAX_BLOCK_BYTES as usize + 64, 3, 16);

/// What a service says to a device.
///
/// ```
/// use iot_ota::update::ToDevice;
/// let mut buffer = [0; 64];
/// let block = ToDevice::Block { sequence: 2, offset: 4_096, bytes: b"code" };
/// let payload = block.encode(&mut buffer)?;
/// assert_eq!(ToDevice::decode(payload)?, block);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ToDevice<'a> {
    /// Please install this.
    Offer {
        /// A tagged SUIT envelope.
        envelope: &'a [u8],
    },
    /// A part of an image.
    Block {
        /// The sequence number of its manifest.
        sequence: u64,
        /// Where it begins.
        offset: u32,
        /// The part.
        bytes: &'a [u8],
    },
    /// Stop fetching.
    Abort {
        /// The sequence number of the manifest.
        sequence: u64,
    },
}

/// What a device says to its service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FromDevice {
    /// Please send a part of the image.
    Request(Request),
    /// How an update ended.
    Report(Report),
}

/// Asks for a part of an image.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Request {
    /// The sequence number of its manifest.
    pub sequence: u64,
    /// Where the part begins.
    pub offset: u32,
    /// How long it is to be, 1 to [`MAX_BLOCK_BYTES`].
    pub length: u32,
}

impl Request {
    /// Asks for `length` bytes from `offset` on.
    #[must_use]
    pub const fn new(sequence: u64, offset: u32, length: u32) -> Self {
        Self {
            sequence,
            offset,
            length,
        }
    }
}

/// Why a payload is no message of an update.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// Not deterministic CBOR, or beyond the limits.
    #[error("not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Another version of the format.
    #[error("version {version} of the update messages is not supported: only 1 is")]
    Version {
        /// Which one.
        version: u64,
    },
    /// Not one of the messages that go this way.
    #[error("not an update message of the expected kind")]
    Structure,
}

impl<'a> ToDevice<'a> {
    /// Writes the message to `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when it does not fit: it needs its content and at most 32 bytes.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        codec::encode_into(buffer, |writer| match *self {
            Self::Offer { envelope } => writer.array(3)?.u8(VERSION)?.u8(0)?.bytes(envelope)?.ok(),
            Self::Block {
                sequence,
                offset,
                bytes,
            } => {
                writer.array(5)?.u8(VERSION)?.u8(1)?;
                writer.u64(sequence)?.u32(offset)?.bytes(bytes)?.ok()
            }
            Self::Abort { sequence } => writer.array(3)?.u8(VERSION)?.u8(2)?.u64(sequence)?.ok(),
        })
    }

    /// Reads a message in place.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(payload: &'a [u8]) -> Result<Self, WireError> {
        let (fields, kind, mut decoder) = begin(payload)?;
        let message = match (fields, kind) {
            (3, 0) => decoder
                .bytes()
                .ok()
                .map(|envelope| Self::Offer { envelope }),
            (5, 1) => block(&mut decoder),
            (3, 2) => decoder.u64().ok().map(|sequence| Self::Abort { sequence }),
            _ => None,
        };
        message.ok_or(WireError::Structure)
    }
}

impl FromDevice {
    /// Writes the message to `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when it does not fit: 64 bytes are enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        codec::encode_into(buffer, |writer| match self {
            Self::Request(request) => {
                writer.array(5)?.u8(VERSION)?.u8(3)?.u64(request.sequence)?;
                writer.u32(request.offset)?.u32(request.length)?.ok()
            }
            Self::Report(report) => {
                writer.array(5)?.u8(VERSION)?.u8(4)?;
                match report.sequence {
                    Some(sequence) => writer.u64(sequence)?,
                    None => writer.null()?,
                };
                writer.u8(report.outcome.code())?;
                match &report.running {
                    Some(Running { sequence, digest }) => {
                        writer.array(2)?.u64(*sequence)?.bytes(digest)?.ok()
                    }
                    None => writer.null()?.ok(),
                }
            }
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let (fields, kind, mut decoder) = begin(payload)?;
        let message = match (fields, kind) {
            (5, 3) => request(&mut decoder).map(Self::Request),
            (5, 4) => report(&mut decoder).map(Self::Report),
            _ => None,
        };
        message.ok_or(WireError::Structure)
    }
}

fn begin(payload: &[u8]) -> Result<(u64, u8, Decoder<'_>), WireError> {
    codec::check(payload, LIMITS)?;
    let mut decoder = Decoder::new(payload);
    let fields = decoder.array().ok().flatten();
    let fields = fields.ok_or(WireError::Structure)?;
    let version = decoder.u64().map_err(|_| WireError::Structure)?;
    if version != u64::from(VERSION) {
        return Err(WireError::Version { version });
    }
    let kind = decoder.u8().map_err(|_| WireError::Structure)?;
    Ok((fields, kind, decoder))
}

fn block<'a>(decoder: &mut Decoder<'a>) -> Option<ToDevice<'a>> {
    let (sequence, offset) = (decoder.u64().ok()?, decoder.u32().ok()?);
    let bytes = decoder.bytes().ok()?;
    let fits = !bytes.is_empty() && bytes.len() <= MAX_BLOCK_BYTES as usize;
    fits.then_some(ToDevice::Block {
        sequence,
        offset,
        bytes,
    })
}

fn request(decoder: &mut Decoder<'_>) -> Option<Request> {
    let (sequence, offset) = (decoder.u64().ok()?, decoder.u32().ok()?);
    let length = decoder.u32().ok()?;
    (1..=MAX_BLOCK_BYTES)
        .contains(&length)
        .then_some(Request::new(sequence, offset, length))
}

fn report(decoder: &mut Decoder<'_>) -> Option<Report> {
    let sequence = unless_null(decoder, |decoder| decoder.u64().ok())?;
    let outcome = Outcome::of_code(decoder.u8().ok()?)?;
    let running = unless_null(decoder, |decoder| {
        let (2, sequence) = (decoder.array().ok()??, decoder.u64().ok()?) else {
            return None;
        };
        let digest = decoder.bytes().ok()?.try_into().ok()?;
        Some(Running::new(sequence, digest))
    })?;
    Some(Report::new(sequence, outcome, running))
}

/// `None` for what cannot be read, `Some(None)` for null.
fn unless_null<'a, T>(
    decoder: &mut Decoder<'a>,
    read: impl FnOnce(&mut Decoder<'a>) -> Option<T>,
) -> Option<Option<T>> {
    if decoder.datatype().ok()? == Type::Null {
        decoder.null().ok()?;
        return Some(None);
    }
    read(decoder).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_device() -> impl Strategy<Value = FromDevice> {
        let request = (any::<u64>(), any::<u32>(), 1..=MAX_BLOCK_BYTES)
            .prop_map(|(sequence, offset, length)| Request::new(sequence, offset, length))
            .prop_map(FromDevice::Request);
        let running = proptest::option::of(
            (any::<u64>(), any::<[u8; 32]>()).prop_map(|(s, d)| Running::new(s, d)),
        );
        let report = (proptest::option::of(any::<u64>()), 0_u8..=16, running).prop_map(
            |(sequence, code, running)| {
                let outcome = Outcome::of_code(code).unwrap();
                FromDevice::Report(Report::new(sequence, outcome, running))
            },
        );
        prop_oneof![request, report]
    }

    #[test]
    fn every_outcome_has_a_code_of_its_own() {
        for code in 0..=u8::MAX {
            match Outcome::of_code(code) {
                Some(outcome) => assert_eq!(outcome.code(), code),
                None => assert!(code > 16),
            }
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        assert_eq!(
            ToDevice::decode(&[0x83, 0x02, 0x02, 0x00]),
            Err(WireError::Version { version: 2 })
        );
    }

    proptest! {
        #[test]
        fn what_a_device_writes_is_read_and_cut_short_it_is_not(message in from_device(), cut: prop::sample::Index) {
            let mut buffer = [0; 64];
            let payload = message.encode(&mut buffer).unwrap();
            prop_assert_eq!(FromDevice::decode(payload), Ok(message));
            prop_assert!(FromDevice::decode(&payload[..cut.index(payload.len())]).is_err());
            prop_assert!(ToDevice::decode(payload).is_err());
        }

        #[test]
        fn what_a_service_writes_is_read(sequence: u64, offset: u32, bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            for message in [
                ToDevice::Offer { envelope: &bytes },
                ToDevice::Block { sequence, offset, bytes: &bytes },
                ToDevice::Abort { sequence },
            ] {
                let mut buffer = [0; 400];
                let payload = message.encode(&mut buffer).unwrap();
                prop_assert_eq!(ToDevice::decode(payload), Ok(message));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(kind in 0_u8..5, fields in 0_u8..7, tail in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut payload = [0x80 | fields, 1, kind].to_vec();
            payload.extend(tail);
            let _ = (ToDevice::decode(&payload), FromDevice::decode(&payload));
            let _ = (ToDevice::decode(&payload[3..]), FromDevice::decode(&payload[3..]));
        }
    }
}
