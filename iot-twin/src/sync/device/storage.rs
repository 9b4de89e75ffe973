//! What a device's twin keeps across power cuts.
//!
//! One record for the twin, `[format, epoch, contiguous, reserved, fingerprint]`, and one for each field that was
//! desired or edited, `[format, epoch, version, check, code, flags, value?, value?]`: the desired value when it is held
//! (flag 1), then the actual one when it is known (flag 2); flag 4 says that an edit stands.

use iot_core::engine::{Batch, BatchWriter, RecordKey};

use super::TwinDevice;
use super::state::Issued;
use crate::leaf::{LeafReader, LeafWriter};
use crate::reflect::Twin;
use crate::schema::Field;
use crate::sync::slot::{Code, Slot, Version};

const FORMAT: u64 = 2;
/// How many reports one write to storage allows.
const RESERVE: u64 = 64;
/// A field's record without its values, with its key and length: numbers of 5, 9, 5 and 3 bytes.
const HEAD_BYTES: usize = 6 + 25;
/// A report around one field: numbers of 5, 9, 9, 9 bytes in front, 3, 9, 9, 3 beside the value, the digests behind.
const REPORT_BYTES: usize = 5 + 32 + 25 + 19;

pub(super) const fn buffer_bytes(fields: &[Field]) -> usize {
    let mut longest = 0;
    let mut rest = fields;
    while let [field, tail @ ..] = rest {
        let len = field.max_bytes as usize;
        if len > longest {
            longest = len;
        }
        rest = tail;
    }
    let (batch, report) = (HEAD_BYTES + 2 * longest, REPORT_BYTES + longest);
    if batch > report { batch } else { report }
}

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    #[inline(never)]
    pub(super) fn restore_record(&mut self, key: RecordKey, value: &[u8]) {
        let Some(offset) = key.get().checked_sub(self.state.records.get()) else {
            return;
        };
        let mut input = LeafReader::new(value);
        input.head();
        if input.unsigned() != FORMAT {
            return;
        }
        let Some(id) = offset.checked_sub(1) else {
            self.restore_own(&mut input);
            return;
        };
        let index = u16::try_from(id).ok().and_then(|id| self.actual.find(id));
        if let Some(index) = index
            && let Some(read) = self.read_field(index, &mut input)
            && let Some(slot) = self.slot(index)
        {
            *slot = read;
        }
    }

    #[inline(never)]
    fn restore_own(&mut self, input: &mut LeafReader<'_>) {
        let (epoch, contiguous, reserved) = (input.u32(), input.u32(), input.unsigned());
        let fields = input.u32();
        if input.failed() {
            return;
        }
        let state = &mut self.state;
        (state.epoch, state.base) = (epoch, reserved);
        // Another firmware ignored the fields it did not know, and refused values: ask for all of them again.
        state.dirty = fields != self.actual.fingerprint();
        state.contiguous = if state.dirty { 0 } else { contiguous };
    }

    /// Every version up to the reserve may have been used; each field is reported again under a fresh one.
    #[inline(never)]
    pub(super) fn finish_restore(&mut self) {
        let state = &mut self.state;
        state.restored = true;
        state.rebase(state.base);
        self.enter(self.state.epoch);
        for index in 0..self.slots.as_ref().len() {
            let stated = self.state.stated && !self.is_edited(index);
            let Some(slot) = self.slot(index) else {
                continue;
            };
            slot.offered = slot.known || slot.held;
            slot.told = 0;
            // What was reported before `restored` got its version below the reserve.
            if slot.stamp > Version::ZERO || slot.known || stated {
                self.tell_field(index);
            }
        }
    }

    /// Writes what must become durable, as far as it fits; `None` when nothing does. The twin's own record, which says
    /// up to where everything is in, comes with the last field or after it.
    #[inline(never)]
    pub(super) fn persist<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let mut batch = BatchWriter::new(buffer);
        let (mut below, mut written) = (0, false);
        for slot in self.slots.as_ref() {
            if slot.unsaved {
                if !self.write_record(&mut batch, below, slot) {
                    break;
                }
                written = true;
            }
            below += 1;
        }
        let state = &self.state;
        let reserved = if state.last > state.reserved {
            state.absolute(state.last) + RESERVE
        } else {
            state.absolute(state.reserved)
        };
        let own = [
            FORMAT,
            state.epoch.into(),
            state.contiguous.into(),
            reserved,
            self.actual.fingerprint().into(),
        ];
        let whole =
            below == self.slots.as_ref().len() && self.put(&mut batch, 0, &own, (0, false, false));
        (whole || written).then(|| {
            let reserved = whole.then_some(reserved);
            self.state.issued = Issued::Persist { below, reserved };
            batch.finish()
        })
    }

    #[inline(never)]
    pub(super) fn persisted(&mut self, below: usize, reserved: Option<u64>) {
        for slot in self.slots.as_mut().iter_mut().take(below) {
            slot.unsaved = false;
        }
        if let Some(reserved) = reserved {
            let state = &mut self.state;
            state.reserved = state.relative(reserved);
            state.dirty = false;
            state.tell = true;
        }
    }

    #[inline(never)]
    fn write_record(&self, batch: &mut BatchWriter<'_>, index: usize, slot: &Slot) -> bool {
        let fields = self.actual.fields();
        let Some(field) = fields.get(index) else {
            return false;
        };
        // A measured value is measured anew after a boot.
        let known = slot.known && field.is_edited();
        let numbers = [
            FORMAT,
            slot.stamp.epoch().into(),
            slot.stamp.number().into(),
            slot.check.into(),
            slot.code.get().into(),
            u64::from(slot.held) | u64::from(known) << 1 | u64::from(slot.edited) << 2,
        ];
        let id = 1 + u32::from(field.id.get());
        self.put(batch, id, &numbers, (index, slot.held, known))
    }

    /// Writes a record: numbers, then the values of a field, the desired and the actual one.
    #[inline(never)]
    fn put(
        &self,
        batch: &mut BatchWriter<'_>,
        offset: u32,
        numbers: &[u64],
        (index, held, known): (usize, bool, bool),
    ) -> bool {
        let write = |room: &mut [u8]| {
            let mut out = LeafWriter::new(room);
            out.array(numbers.len() + usize::from(held) + usize::from(known));
            for number in numbers {
                out.unsigned(*number);
            }
            if held {
                self.desired.encode(index, &mut out);
            }
            if known {
                self.actual.encode(index, &mut out);
            }
            out.finish().map(<[u8]>::len)
        };
        let key = self.state.records.offset(offset);
        key.is_some_and(|key| batch.put_with(key, write).is_ok())
    }

    /// Reads a field's record; one with a value that no longer fits the field is none.
    #[inline(never)]
    fn read_field(&mut self, index: usize, input: &mut LeafReader<'_>) -> Option<Slot> {
        let mut slot = Slot {
            stamp: Version::new(input.u32(), input.u32()),
            check: input.u32(),
            code: Code::new(input.u16()),
            ..Slot::EMPTY
        };
        let flags = input.unsigned();
        (slot.held, slot.known) = (flags & 1 != 0, flags & 2 != 0);
        slot.edited = flags & 4 != 0;
        if slot.held {
            self.desired.decode(index, input).ok()?;
        }
        if slot.known {
            self.actual.decode(index, input).ok()?;
        }
        (!input.failed()).then_some(slot)
    }
}
