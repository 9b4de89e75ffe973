//! A record while it is being written.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::id::check_name;
use minicbor::{Decoder, Encoder};

use super::{Half, MAX_LABELS, MAX_RECORD_BYTES, Record, RecordError};
use crate::schema::{FieldId, Sensitivity};
use crate::sync::{TwinService, TwinState};
use crate::value::Sink;

const FORMAT: u64 = 1;
const MAX_NAMES: u64 = 1 << 16;

/// What the next [`Record`] of a twin will be.
///
/// ```
/// use iot_twin::registry::Draft;
/// use iot_twin::TwinService;
///
/// let mut draft = Draft::of(&TwinService::new());
/// draft.set_label("site", "north")?;
/// draft.join("lab")?;
/// let record = draft.finish()?;
/// assert!(record.is_in("lab"));
/// assert!(draft.set_label("reported.site", "south").is_err());
/// # Ok::<(), iot_twin::registry::RecordError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    labels: BTreeMap<String, String>,
    groups: BTreeSet<String>,
    names: BTreeMap<u16, String>,
    state: TwinState,
}

impl Draft {
    /// A twin without labels and groups.
    #[must_use]
    pub fn of(twin: &TwinService) -> Self {
        let mut draft = Self {
            labels: BTreeMap::new(),
            groups: BTreeSet::new(),
            names: BTreeMap::new(),
            state: twin.snapshot(),
        };
        draft.set_names(twin);
        draft
    }

    /// Takes both halves over; labels and groups stay.
    pub fn set_twin(&mut self, twin: &TwinService) {
        self.state = twin.snapshot();
        self.set_names(twin);
    }

    /// Sets a label; a value it had before is replaced.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when name or value break the rule of [`iot_core::id`], the name is reserved, or there are
    /// too many; nothing was changed.
    pub fn set_label(&mut self, name: &str, value: &str) -> Result<(), RecordError> {
        check_label(name)?;
        check_name(value).map_err(RecordError::Name)?;
        if self.labels.len() >= MAX_LABELS && !self.labels.contains_key(name) {
            return Err(RecordError::TooMany);
        }
        self.labels.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Removes a label; whether there was one.
    pub fn remove_label(&mut self, name: &str) -> bool {
        self.labels.remove(name).is_some()
    }

    /// Adds the twin to a group; joining twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when the name is none, or there are too many; nothing was changed.
    pub fn join(&mut self, group: &str) -> Result<(), RecordError> {
        check_name(group).map_err(RecordError::Name)?;
        if self.groups.len() >= MAX_LABELS && !self.groups.contains(group) {
            return Err(RecordError::TooMany);
        }
        self.groups.insert(group.to_owned());
        Ok(())
    }

    /// Takes the twin out of a group; whether it was in it.
    pub fn leave(&mut self, group: &str) -> bool {
        self.groups.remove(group)
    }

    /// Both halves.
    #[must_use]
    pub const fn state(&self) -> &TwinState {
        &self.state
    }

    /// Encodes it.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLong`].
    pub fn finish(&self) -> Result<Record, RecordError> {
        let mut sink = Sink(Vec::with_capacity(512));
        let mut out = Encoder::new(&mut sink);
        // Writing to a vector cannot fail, and its error type says so.
        let _ = out.array(5).and_then(|out| out.u64(FORMAT));
        let mut labels: Vec<_> = self.labels.iter().collect();
        // Sorted as their encodings are: by length first (RFC 8949 §4.2.1).
        labels.sort_by_key(|(name, _)| (name.len(), *name));
        let _ = out.map(labels.len() as u64);
        for (name, value) in labels {
            let _ = out.str(name).and_then(|out| out.str(value));
        }
        let _ = out.array(self.groups.len() as u64);
        for group in &self.groups {
            let _ = out.str(group);
        }
        let _ = out.array(self.names.len() as u64);
        for (id, name) in &self.names {
            let _ = out
                .array(2)
                .and_then(|out| out.u16(*id))
                .and_then(|out| out.str(name));
        }
        self.state.encode(&mut out);
        let bytes = sink.0.len();
        if bytes > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong { bytes });
        }
        Ok(Record(sink.0.into()))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong { bytes: bytes.len() });
        }
        let mut reader = Reader(Decoder::new(bytes));
        if !matches!(reader.0.array(), Ok(Some(5))) {
            return Err(reader.malformed());
        }
        if reader.number()? != FORMAT {
            return Err(RecordError::Format);
        }
        let labels = reader.labels()?;
        let groups = reader.groups()?;
        let names = reader.names()?;
        let state = TwinState::decode(&mut reader.0).map_err(RecordError::State)?;
        if reader.0.position() != bytes.len() {
            return Err(reader.malformed());
        }
        Ok(Self {
            labels,
            groups,
            names,
            state,
        })
    }

    /// Only what is in the twin is named, so that a record says nothing of fields that nobody has set. What a newer
    /// service has named stays: two versions of a service must not take turns in what queries find. What is not public,
    /// or perhaps is not because the schema does not have it, has the empty name, by which nobody finds it.
    fn set_names(&mut self, twin: &TwinService) {
        let desired = self.state.desired().map(|field| field.id);
        let reported = self.state.reported().map(|field| field.id);
        let ids: BTreeSet<_> = desired.chain(reported).collect();
        let fields = twin.schema_fields();
        for field in fields {
            let name = match field.sensitivity {
                Sensitivity::Public => alloc::format!("{}", field.name),
                _ => String::new(),
            };
            self.names.insert(field.field.id.get(), name);
        }
        if !fields.is_empty() {
            for id in &ids {
                self.names.entry(id.get()).or_default();
            }
        }
        self.names.retain(|id, _| ids.contains(&FieldId::new(*id)));
    }
}

fn check_label(name: &str) -> Result<(), RecordError> {
    check_name(name).map_err(RecordError::Name)?;
    let reserved = [Half::Desired, Half::Reported].map(Half::prefix);
    if reserved.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(RecordError::Reserved);
    }
    Ok(())
}

/// Reads what a record may hold, and nothing else.
struct Reader<'b>(Decoder<'b>);

impl Reader<'_> {
    fn malformed(&self) -> RecordError {
        RecordError::Malformed {
            position: self.0.position(),
        }
    }

    fn number(&mut self) -> Result<u64, RecordError> {
        self.0.u64().map_err(|_| self.malformed())
    }

    fn name(&mut self) -> Result<String, RecordError> {
        let malformed = self.malformed();
        let name = self.0.str().map_err(|_| malformed)?;
        check_name(name).map_err(|_| malformed)?;
        Ok(name.to_owned())
    }

    fn labels(&mut self) -> Result<BTreeMap<String, String>, RecordError> {
        let count = self.0.map().ok().flatten().ok_or(self.malformed())?;
        if count > MAX_LABELS as u64 {
            return Err(RecordError::TooMany);
        }
        let mut labels = BTreeMap::new();
        for _ in 0..count {
            let (name, value) = (self.name()?, self.name()?);
            check_label(&name)?;
            if labels.insert(name, value).is_some() {
                return Err(self.malformed());
            }
        }
        Ok(labels)
    }

    fn groups(&mut self) -> Result<BTreeSet<String>, RecordError> {
        let count = self.0.array().ok().flatten().ok_or(self.malformed())?;
        if count > MAX_LABELS as u64 {
            return Err(RecordError::TooMany);
        }
        let mut groups = BTreeSet::new();
        for _ in 0..count {
            if !groups.insert(self.name()?) {
                return Err(self.malformed());
            }
        }
        Ok(groups)
    }

    fn names(&mut self) -> Result<BTreeMap<u16, String>, RecordError> {
        let count = self.0.array().ok().flatten().ok_or(self.malformed())?;
        if count > MAX_NAMES {
            return Err(self.malformed());
        }
        let mut names = BTreeMap::new();
        for _ in 0..count {
            if !matches!(self.0.array(), Ok(Some(2))) {
                return Err(self.malformed());
            }
            let malformed = self.malformed();
            let id = self.0.u16().map_err(|_| malformed)?;
            let name = self.0.str().map_err(|_| malformed)?;
            if names.insert(id, name.to_owned()).is_some() {
                return Err(malformed);
            }
        }
        Ok(names)
    }
}
