//! Facts as bytes; `component.cddl` defines them.

use super::event::{ComponentEvent, Refusal, RollBack};
use super::fact::{ComponentFact, Running};
use super::measurement::Measurement;
use super::version::{MAX_VERSION_NUMBERS, Version};
use crate::codec::{EncodeError, FlatReader, FlatWriter};
use crate::id::{ComponentId, MAX_NAME_BYTES};
use crate::time::{TimeBounds, Timestamp};

const VERSION: u8 = 1;
/// Each kind of event by its number.
const OFFERED: u8 = 0;
const FETCHING: u8 = 1;
const STAGED: u8 = 2;
const ON_TRIAL: u8 = 3;
const CONFIRMED: u8 = 4;
const ROLLED_BACK: u8 = 5;
const REFUSED: u8 = 6;

/// Why bytes are no fact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FactError {
    /// It is of a version that this one does not read.
    #[error("the fact is of version {version}, and version {VERSION} is read")]
    Version {
        /// Which one.
        version: u8,
    },
    /// It is longer than any fact.
    #[error(
        "the fact has {bytes} bytes, and none has more than {}",
        ComponentFact::MAX_BYTES
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is not of the form that `component.cddl` describes, in the shortest encoding.
    #[error("the bytes are no fact about a component")]
    Malformed,
}

impl ComponentFact {
    /// The longest encoding in bytes.
    pub const MAX_BYTES: usize = 2 + (2 + MAX_NAME_BYTES) + Self::MAX_RUNNING + 12 + 19 + 1;
    /// A head, a sequence number, the longest version and the longest measurement.
    const MAX_RUNNING: usize = 1 + 9 + (1 + MAX_VERSION_NUMBERS * 9) + Measurement::MAX_BYTES;

    /// Writes it into `buffer`, and returns what was written.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the buffer is too small; [`MAX_BYTES`](Self::MAX_BYTES) is always enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let bytes = buffer.len();
        let mut writer = FlatWriter::new(buffer);
        writer.array(6, VERSION);
        writer.text(self.component.as_str());
        match &self.running {
            Some(running) => write_running(&mut writer, running),
            None => writer.null(),
        }
        write_event(&mut writer, &self.event);
        writer.array_len(2);
        writer.uint(self.at.not_before().as_millis());
        write_or_null(&mut writer, self.at.not_after().map(Timestamp::as_millis));
        writer.value(&self.may_repeat);
        let used = writer.finish();
        let written = used.and_then(|used| buffer.get(..used));
        written.ok_or(EncodeError::new(bytes))
    }

    /// Reads what [`encode`](Self::encode) has written, and nothing else.
    ///
    /// # Errors
    ///
    /// [`FactError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FactError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(FactError::TooLong { bytes: bytes.len() });
        }
        match bytes {
            // An array of any length, and a small number in front that is not ours.
            [0x80..=0x97, version @ 0..=23, ..] if *version != VERSION => {
                Err(FactError::Version { version: *version })
            }
            _ => read(bytes).ok_or(FactError::Malformed),
        }
    }
}

fn read(bytes: &[u8]) -> Option<ComponentFact> {
    let mut reader = FlatReader::new(bytes);
    reader.array(6, VERSION);
    let component = ComponentId::new(reader.text()).ok()?;
    let running = match reader.null() {
        true => None,
        false => Some(read_running(&mut reader)?),
    };
    let event = read_event(&mut reader)?;
    let items = reader.array_len();
    let not_before = Timestamp::from_millis(reader.uint());
    let at = match reader.null() {
        true => TimeBounds::at_least(not_before),
        false => TimeBounds::between(not_before, Timestamp::from_millis(reader.uint()))?,
    };
    let may_repeat = reader.boolean();
    let fact = ComponentFact {
        component,
        running,
        event,
        at,
        may_repeat,
    };
    (items == 2 && reader.is_empty()).then_some(fact)
}

fn write_running(writer: &mut FlatWriter<'_>, running: &Running) {
    writer.array_len(3);
    writer.uint(running.sequence);
    match &running.version {
        Some(version) => {
            let numbers = version.numbers();
            writer.array_len(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
            numbers.iter().for_each(|number| writer.value(number));
        }
        None => writer.null(),
    }
    running.measurement.write(writer);
}

fn read_running(reader: &mut FlatReader<'_>) -> Option<Running> {
    let items = reader.array_len();
    let sequence = reader.uint();
    let version = match reader.null() {
        true => None,
        false => Some(read_version(reader)?),
    };
    let measurement = Measurement::read(reader)?;
    (items == 3).then_some(Running {
        sequence,
        version,
        measurement,
    })
}

fn read_version(reader: &mut FlatReader<'_>) -> Option<Version> {
    let count = reader.array_len();
    let mut version = Version::new(&[reader.int()]).ok()?;
    // Nobody counts farther than there is room: the first number too many ends it.
    for _ in 1..count {
        version.push(reader.int()).ok()?;
    }
    (count > 0).then_some(version)
}

fn write_event(writer: &mut FlatWriter<'_>, event: &ComponentEvent) {
    let step = |writer: &mut FlatWriter<'_>, kind, sequence| {
        writer.array(2, kind);
        writer.uint(sequence);
    };
    match *event {
        ComponentEvent::Offered { sequence } => step(writer, OFFERED, sequence),
        ComponentEvent::Fetching { sequence } => step(writer, FETCHING, sequence),
        ComponentEvent::Staged { sequence } => step(writer, STAGED, sequence),
        ComponentEvent::OnTrial { sequence } => step(writer, ON_TRIAL, sequence),
        ComponentEvent::Confirmed { sequence } => step(writer, CONFIRMED, sequence),
        ComponentEvent::RolledBack { sequence, reason } => {
            writer.array(3, ROLLED_BACK);
            writer.uint(sequence);
            writer.uint(reason.code().into());
        }
        ComponentEvent::Refused { sequence, reason } => {
            writer.array(3, REFUSED);
            write_or_null(writer, sequence);
            writer.uint(reason.code().into());
        }
    }
}

fn read_event(reader: &mut FlatReader<'_>) -> Option<ComponentEvent> {
    let items = reader.array_len();
    let kind = u8::try_from(reader.uint()).ok()?;
    let is_unnamed = kind == REFUSED && reader.null();
    let sequence = if is_unnamed { 0 } else { reader.uint() };
    let event = match kind {
        OFFERED => ComponentEvent::Offered { sequence },
        FETCHING => ComponentEvent::Fetching { sequence },
        STAGED => ComponentEvent::Staged { sequence },
        ON_TRIAL => ComponentEvent::OnTrial { sequence },
        CONFIRMED => ComponentEvent::Confirmed { sequence },
        ROLLED_BACK => ComponentEvent::RolledBack {
            sequence,
            reason: RollBack::of_code(reader.uint())?,
        },
        REFUSED => ComponentEvent::Refused {
            sequence: (!is_unnamed).then_some(sequence),
            reason: Refusal::of_code(reader.uint())?,
        },
        _ => return None,
    };
    let expected = if kind < ROLLED_BACK { 2 } else { 3 };
    (items == expected).then_some(event)
}

fn write_or_null(writer: &mut FlatWriter<'_>, number: Option<u64>) {
    match number {
        Some(number) => writer.uint(number),
        None => writer.null(),
    }
}

#[cfg(test)]
mod tests;
