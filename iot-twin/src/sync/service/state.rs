//! What a service must store of a twin, so that a restart is none for the device.

use alloc::vec::Vec;
use core::fmt;

use minicbor::{Decoder, Encoder};

use super::reader::fit::check;
use super::{Hidden, LEAF, Mark, Told, TwinService, Wish, said};
use crate::schema::FieldId;
use crate::sync::slot::{Code, Version};
use crate::sync::wire::VERSION_LIMIT;
use crate::value::{Budget, Sink, Value, read, write};

/// The format of `state.cddl`.
const FORMAT: u64 = 1;
const MAX_FIELDS: u64 = 1 << 16;

/// One side's whole knowledge of a twin: desired and reported fields, versions, epoch and answers.
///
/// It is made by [`TwinService::snapshot`] and read back by [`TwinService::restored`]; `sync/service/state.cddl`
/// describes its bytes. When the next message will be sent is not part of it.
///
/// ```
/// use iot_twin::sync::TwinState;
/// use iot_twin::{FieldId, TwinService};
///
/// let mut service = TwinService::new();
/// service.set_field(FieldId::new(3), 21.5)?;
/// let stored = service.snapshot().to_cbor();
///
/// let state = TwinState::from_cbor(&stored)?;
/// let restarted = TwinService::new().restored(&state);
/// assert_eq!(restarted.version(), service.version());
/// assert_eq!(state.desired().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct TwinState {
    epoch: u32,
    version: u32,
    contiguous: u32,
    met: bool,
    taken: u64,
    floor: u64,
    desired: Vec<DesiredField>,
    reported: Vec<ReportedField>,
}

/// A desired field as it is stored.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct DesiredField {
    /// The field.
    pub id: FieldId,
    /// Its version within the state's epoch.
    pub version: u32,
    /// What is desired, null when the field shall have no value; `None` when the desire was withdrawn.
    pub value: Option<Value>,
    /// The device's answer; `None` while there is none.
    pub answer: Option<Code>,
}

/// A reported field as it is stored.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ReportedField {
    /// The field.
    pub id: FieldId,
    /// The version that the device gave it.
    pub version: u64,
    /// What was reported; null while the device does not know it.
    pub value: Value,
}

/// Why bytes are no stored state.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// They are of another format.
    #[error("the state has a format that this version cannot read: use the version that wrote it")]
    Format,
    /// They are cut, damaged, beyond the limits, or contradict themselves.
    #[error("the bytes at {position} are no state of a twin: restore an undamaged copy")]
    Malformed {
        /// Where, in bytes.
        position: usize,
    },
}

impl TwinState {
    /// Reads a state.
    ///
    /// # Errors
    ///
    /// [`StateError`] when the bytes are of another format, no state, or more than one.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, StateError> {
        let mut input = Decoder::new(bytes);
        let state = Self::decode(&mut input)?;
        let position = input.position();
        if position == bytes.len() {
            Ok(state)
        } else {
            Err(StateError::Malformed { position })
        }
    }

    /// Writes it; one state has one encoding.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Sink(Vec::with_capacity(
            32 + 16 * (self.desired.len() + self.reported.len()),
        ));
        self.encode(&mut Encoder::new(&mut out));
        out.0
    }

    /// The newest desired version.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version::new(self.epoch, self.version)
    }

    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Every desired field, in ascending order.
    pub fn desired(&self) -> impl Iterator<Item = &DesiredField> {
        self.desired.iter()
    }

    /// Every reported field, in ascending order.
    pub fn reported(&self) -> impl Iterator<Item = &ReportedField> {
        self.reported.iter()
    }

    pub(crate) fn encode(&self, out: &mut Encoder<&mut Sink>) {
        // Writing to a vector cannot fail, and its error type says so.
        let _ = out.array(9).and_then(|out| out.u64(FORMAT));
        let _ = out.u32(self.epoch).and_then(|out| out.u32(self.version));
        let _ = out.u32(self.contiguous).and_then(|out| out.bool(self.met));
        let _ = out.u64(self.taken).and_then(|out| out.u64(self.floor));
        let _ = out.array(self.desired.len() as u64);
        for field in &self.desired {
            let _ = out.array(4).and_then(|out| out.u16(field.id.get()));
            let _ = out.u32(field.version);
            match &field.value {
                None => drop(out.null()),
                Some(Value::Null) => drop(out.array(0)),
                Some(value) => write(value, out),
            }
            let _ = match field.answer {
                Some(code) => out.u16(code.get()),
                None => out.null(),
            };
        }
        let _ = out.array(self.reported.len() as u64);
        for field in &self.reported {
            let _ = out.array(3).and_then(|out| out.u16(field.id.get()));
            let _ = out.u64(field.version);
            write(&field.value, out);
        }
    }

    pub(crate) fn decode(input: &mut Decoder<'_>) -> Result<Self, StateError> {
        let mut reader = Reader(input);
        reader.array(9)?;
        if reader.u64()? != FORMAT {
            return Err(StateError::Format);
        }
        let epoch = reader.u64()?;
        let mut state = Self {
            epoch: u32::try_from(epoch).map_err(|_| reader.malformed())?,
            version: reader.number()?,
            contiguous: reader.number()?,
            met: reader.bool()?,
            taken: reader.version()?,
            floor: reader.version()?,
            desired: Vec::new(),
            reported: Vec::new(),
        };
        for _ in 0..reader.count()? {
            reader.array(4)?;
            let field = DesiredField {
                id: reader.field(state.desired.last().map(|last| last.id))?,
                version: reader.number()?,
                value: reader.desire()?,
                answer: reader.answer()?,
            };
            if field.version > state.version {
                return Err(reader.malformed());
            }
            state.desired.push(field);
        }
        for _ in 0..reader.count()? {
            reader.array(3)?;
            let field = ReportedField {
                id: reader.field(state.reported.last().map(|last| last.id))?,
                version: reader.version()?,
                value: reader.value()?,
            };
            state.reported.push(field);
        }
        if state.epoch == 0 || state.contiguous > state.version {
            return Err(reader.malformed());
        }
        Ok(state)
    }
}

/// Reads what a state may hold, and nothing else.
struct Reader<'r, 'b>(&'r mut Decoder<'b>);

impl Reader<'_, '_> {
    fn malformed(&self) -> StateError {
        StateError::Malformed {
            position: self.0.position(),
        }
    }

    fn array(&mut self, len: u64) -> Result<(), StateError> {
        match self.0.array() {
            Ok(Some(found)) if found == len => Ok(()),
            _ => Err(self.malformed()),
        }
    }

    fn count(&mut self) -> Result<u64, StateError> {
        let count = self.0.array().ok().flatten();
        count
            .filter(|&count| count <= MAX_FIELDS)
            .ok_or(self.malformed())
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.0.u64().map_err(|_| self.malformed())
    }

    fn bool(&mut self) -> Result<bool, StateError> {
        self.0.bool().map_err(|_| self.malformed())
    }

    fn version(&mut self) -> Result<u64, StateError> {
        let version = self.u64()?;
        if version < VERSION_LIMIT {
            Ok(version)
        } else {
            Err(self.malformed())
        }
    }

    fn number(&mut self) -> Result<u32, StateError> {
        self.0.u32().map_err(|_| self.malformed())
    }

    fn field(&mut self, before: Option<FieldId>) -> Result<FieldId, StateError> {
        let id = self.0.u16().map_err(|_| self.malformed())?;
        let id = FieldId::new(id);
        if before.is_some_and(|before| before >= id) {
            return Err(self.malformed());
        }
        Ok(id)
    }

    fn desire(&mut self) -> Result<Option<Value>, StateError> {
        Ok(match self.value()? {
            Value::Null => None,
            Value::Array(values) if values.is_empty() => Some(Value::Null),
            value => {
                check(&value).map_err(|_| self.malformed())?;
                Some(value)
            }
        })
    }

    fn value(&mut self) -> Result<Value, StateError> {
        read(self.0, &mut Budget::new(LEAF), 0).map_err(|_| self.malformed())
    }

    fn answer(&mut self) -> Result<Option<Code>, StateError> {
        if matches!(self.0.datatype(), Ok(minicbor::data::Type::Null)) {
            return self.0.null().map(|()| None).map_err(|_| self.malformed());
        }
        let code = self.0.u16().map_err(|_| self.malformed())?;
        Ok(Some(Code::new(code)))
    }
}

impl TwinService {
    /// Everything that a restart must not lose.
    ///
    /// Store it whenever it changed, before the next message is sent: then a restart never goes behind what the
    /// device has seen.
    #[must_use]
    pub fn snapshot(&self) -> TwinState {
        let desired = self.desired.iter().map(|(&id, wish)| DesiredField {
            id,
            version: wish.version,
            value: wish.value.clone(),
            answer: wish.answer,
        });
        let reported = self.reported.iter().map(|(&id, told)| ReportedField {
            id,
            version: told.version,
            value: told.value.clone(),
        });
        TwinState {
            epoch: self.epoch,
            version: self.version,
            contiguous: self.contiguous,
            met: self.met,
            taken: self.taken,
            floor: self.floor,
            desired: desired.collect(),
            reported: reported.collect(),
        }
    }

    /// The fields that are known by name.
    #[cfg(any(feature = "json", feature = "registry"))]
    pub(crate) fn schema_fields(&self) -> &[crate::schema::Schema] {
        &self.schema
    }

    /// Goes on from what was stored; whatever it knew before is forgotten, and subscribers are told what differs.
    ///
    /// What the device has not confirmed is sent again, which does no harm. A state from before what the device
    /// has seen, such as one from a backup, is noticed with the device's reports, and then a new epoch is opened.
    #[must_use]
    pub fn restored(mut self, state: &TwinState) -> Self {
        self.epoch = state.epoch;
        self.version = state.version;
        self.contiguous = state.contiguous;
        self.sent = state.contiguous;
        // Whoever shares the store may have met the device since; its reports tell.
        self.met = state.met || self.stored.is_some();
        self.taken = state.taken;
        self.kept = state.taken;
        self.floor = state.floor;
        let desired = state.desired.iter().map(|field| {
            let wish = Wish {
                version: field.version,
                hidden: Hidden::of(0, field.version),
                value: field.value.clone(),
                encoded: said(field.value.as_ref()),
                answer: field.answer,
                stated: Mark::default(),
                answered: Mark::default(),
            };
            (field.id, wish)
        });
        let before = core::mem::replace(&mut self.desired, desired.collect());
        self.log.follow_desired(before, &mut self.desired);
        let reported = state.reported.iter().map(|field| {
            let told = Told {
                version: field.version,
                value: field.value.clone(),
                stated: Mark::default(),
            };
            (field.id, told)
        });
        let before = core::mem::replace(&mut self.reported, reported.collect());
        self.log.follow_reported(before, &mut self.reported);
        self.behind = false;
        if let Some(stored) = &mut self.stored {
            *stored = Version::new(self.epoch, self.version);
        }
        self.tell = self.sent < self.version;
        self.want = false;
        self.doublings = 0;
        self.issued = None;
        self.resend_at = None;
        self.hold_until = None;
        self
    }
}

// No values: some are not for logs.
impl fmt::Debug for TwinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwinState")
            .field("version", &self.version())
            .field("contiguous", &self.contiguous)
            .field("taken", &self.taken)
            .field("desired", &self.desired)
            .field("reported", &self.reported)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DesiredField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DesiredField")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReportedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportedField")
            .field("id", &self.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_leaf;
    use proptest::prelude::*;

    fn any_state() -> impl Strategy<Value = TwinState> {
        let version = 0..VERSION_LIMIT;
        let answer = proptest::option::of(any::<u16>().prop_map(Code::new));
        let desired = proptest::collection::btree_map(
            any::<u16>(),
            (any::<u32>(), proptest::option::of(any_leaf()), answer),
            0..6,
        );
        let reported =
            proptest::collection::btree_map(any::<u16>(), (version.clone(), any_leaf()), 0..6);
        let head = (
            1..=u32::MAX,
            any::<u32>(),
            any::<u32>(),
            any::<bool>(),
            version.clone(),
            version,
        );
        (head, desired, reported).prop_map(|(head, desired, reported)| {
            let (epoch, version, contiguous, met, taken, floor) = head;
            TwinState {
                epoch,
                version,
                contiguous: contiguous.min(version),
                met,
                taken,
                floor,
                desired: (desired.into_iter())
                    .map(|(id, (own, value, answer))| DesiredField {
                        id: FieldId::new(id),
                        version: own.min(version),
                        value,
                        answer,
                    })
                    .collect(),
                reported: (reported.into_iter())
                    .map(|(id, (version, value))| ReportedField {
                        id: FieldId::new(id),
                        version,
                        value,
                    })
                    .collect(),
            }
        })
    }

    #[test]
    fn a_state_that_contradicts_itself_is_refused() {
        let empty = b"\x89\x01\x01\x05\x04\xf5\x00\x00\x80\x80";
        assert!(TwinState::from_cbor(empty).is_ok());
        for (at, byte) in [(0, 0x88), (2, 0x00), (3, 0x03)] {
            let mut bytes = *empty;
            bytes[at] = byte;
            assert!(TwinState::from_cbor(&bytes).is_err(), "{bytes:02x?}");
        }
        let ahead = b"\x89\x01\x01\x05\x04\xf5\x00\x00\x81\x84\x01\x06\xf5\xf6\x80";
        assert!(TwinState::from_cbor(ahead).is_err());
        let twice = b"\x89\x01\x01\x05\x04\xf5\x00\x00\x80\x82\x83\x01\x06\xf5\x83\x01\x07\xf5";
        assert!(TwinState::from_cbor(twice).is_err());
        let later = b"\x89\x02\x01\x05\x04\xf5\x00\x00\x80\x80";
        assert_eq!(TwinState::from_cbor(later), Err(StateError::Format));
    }

    proptest! {
        #[test]
        fn every_state_comes_back_and_restores_to_itself(state in any_state()) {
            let bytes = state.to_cbor();
            prop_assert_eq!(TwinState::from_cbor(&bytes), Ok(state.clone()));
            prop_assert_eq!(TwinService::new().restored(&state).snapshot(), state);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = TwinState::from_cbor(&bytes);
        }

        #[test]
        fn a_byte_changed_anywhere_never_panics(state in any_state(), at: prop::sample::Index, byte: u8) {
            let mut bytes = state.to_cbor();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = TwinState::from_cbor(&bytes);
        }
    }
}
