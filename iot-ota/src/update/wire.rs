//! The messages of an update; `update.cddl` is their definition.

use iot_core::codec::{EncodeError, FlatReader, FlatWriter};
use iot_core::crypto::Sha256Digest;

use super::report::{Outcome, Report, Running};

/// The longest block in bytes.
pub const MAX_BLOCK_BYTES: u32 = 65_536;

const VERSION: u8 = 1;

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
    /// Stop fetching. One that is staged stays so: the device says that it is [busy](Outcome::Busy), and later how it ended.
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
    /// Another version of the format.
    #[error("version {version} of the update messages is not supported: only 1 is")]
    Version {
        /// Which one.
        version: u64,
    },
    /// Not one of the messages that go this way, or not in its only spelling.
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
        encoded(buffer, |writer| match *self {
            Self::Offer { envelope } => {
                writer.array(3, VERSION);
                writer.uint(0);
                writer.bytes(envelope);
            }
            Self::Block {
                sequence,
                offset,
                bytes,
            } => {
                writer.array(5, VERSION);
                writer.uint(1);
                writer.uint(sequence);
                writer.uint(offset.into());
                writer.bytes(bytes);
            }
            Self::Abort { sequence } => {
                writer.array(3, VERSION);
                writer.uint(2);
                writer.uint(sequence);
            }
        })
    }

    /// Reads a message in place.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(payload: &'a [u8]) -> Result<Self, WireError> {
        let (fields, kind, mut reader) = begin(payload)?;
        let message = match (fields, kind) {
            (3, 0) => Self::Offer {
                envelope: reader.bytes(),
            },
            (5, 1) => block(&mut reader),
            (3, 2) => Self::Abort {
                sequence: reader.uint(),
            },
            _ => return Err(WireError::Structure),
        };
        whole(message, reader)
    }
}

impl FromDevice {
    /// Writes the message to `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when it does not fit: 64 bytes are enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        told(buffer, |writer| match self {
            Self::Request(request) => {
                write_request(writer, request.sequence, request.offset, request.length);
            }
            Self::Report(report) => {
                let running = report.running.as_ref();
                let running = running.map(|running| (running.sequence, &running.digest));
                write_report(writer, report.sequence, report.outcome.code(), running);
            }
        })
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let (fields, kind, mut reader) = begin(payload)?;
        let message = match (fields, kind) {
            (5, 3) => Self::Request(request(&mut reader)),
            (5, 4) => Self::Report(report(&mut reader)),
            _ => return Err(WireError::Structure),
        };
        whole(message, reader)
    }
}

/// Writes what a device says. It writes its messages from what it has, without putting them together first.
pub(super) fn told(
    buffer: &mut [u8],
    write: impl FnOnce(&mut FlatWriter<'_>),
) -> Result<&[u8], EncodeError> {
    encoded(buffer, |writer| {
        writer.array(5, VERSION);
        write(writer);
    })
}

pub(super) fn write_request(writer: &mut FlatWriter<'_>, sequence: u64, offset: u32, length: u32) {
    writer.uint(3);
    writer.uint(sequence);
    writer.uint(offset.into());
    writer.uint(length.into());
}

pub(super) fn write_report(
    writer: &mut FlatWriter<'_>,
    sequence: Option<u64>,
    code: u8,
    running: Option<(u64, &Sha256Digest)>,
) {
    writer.uint(4);
    match sequence {
        Some(sequence) => writer.uint(sequence),
        None => writer.null(),
    }
    writer.uint(code.into());
    match running {
        Some((sequence, digest)) => {
            writer.array_len(2);
            writer.uint(sequence);
            writer.bytes(digest);
        }
        None => writer.null(),
    }
}

fn encoded(
    buffer: &mut [u8],
    write: impl FnOnce(&mut FlatWriter<'_>),
) -> Result<&[u8], EncodeError> {
    let room = buffer.len();
    let mut writer = FlatWriter::new(buffer);
    write(&mut writer);
    let used = writer.finish();
    used.and_then(|used| buffer.get(..used))
        .ok_or(EncodeError::new(room))
}

fn begin(payload: &[u8]) -> Result<(u32, u64, FlatReader<'_>), WireError> {
    let mut reader = FlatReader::new(payload);
    let (fields, version, kind) = (reader.array_len(), reader.uint(), reader.uint());
    match reader.rest() {
        None => Err(WireError::Structure),
        Some(_) if version != u64::from(VERSION) => Err(WireError::Version { version }),
        Some(_) => Ok((fields, kind, reader)),
    }
}

/// The message, if all of it was as it must be and nothing comes after it.
fn whole<T>(message: T, reader: FlatReader<'_>) -> Result<T, WireError> {
    if reader.is_empty() {
        Ok(message)
    } else {
        Err(WireError::Structure)
    }
}

fn block<'a>(reader: &mut FlatReader<'a>) -> ToDevice<'a> {
    let (sequence, offset, bytes) = (reader.uint(), reader.u32(), reader.bytes());
    reader.require(!bytes.is_empty() && bytes.len() <= MAX_BLOCK_BYTES as usize);
    ToDevice::Block {
        sequence,
        offset,
        bytes,
    }
}

fn request(reader: &mut FlatReader<'_>) -> Request {
    let (sequence, offset, length) = (reader.uint(), reader.u32(), reader.u32());
    reader.require((1..=MAX_BLOCK_BYTES).contains(&length));
    Request::new(sequence, offset, length)
}

fn report(reader: &mut FlatReader<'_>) -> Report {
    let sequence = match reader.null() {
        true => None,
        false => Some(reader.uint()),
    };
    let outcome = u8::try_from(reader.uint()).ok().and_then(Outcome::of_code);
    reader.require(outcome.is_some());
    let running = match reader.null() {
        true => None,
        false => {
            let items = reader.array_len();
            let sequence = reader.uint();
            let digest = reader.bytes().try_into();
            reader.require(items == 2 && digest.is_ok());
            Some(Running::new(sequence, digest.unwrap_or_default()))
        }
    };
    Report::new(sequence, outcome.unwrap_or(Outcome::Unsupported), running)
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
                None => assert!(code > 20),
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
