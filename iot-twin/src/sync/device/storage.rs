//! What a device's twin keeps across power cuts.
//!
//! One record for the twin, `[format, epoch, contiguous, reserved, fingerprint]`, and one for each field that was
//! desired or edited, `[format, epoch, version, check, code, flags, value?, value?]`: the desired value when it is held
//! (flag 1), then the actual one when it is known (flag 2).

use iot_core::engine::{Batch, BatchWriter, RecordKey};

use super::state::Issued;
use super::{Staged, TwinDevice, is_edited};
use crate::leaf::{LeafReader, LeafWriter};
use crate::reflect::{Twin, field};
use crate::schema::{Field, fingerprint};
use crate::sync::slot::{Code, Slot, Version};

const FORMAT: u64 = 2;
/// How many reports one write to storage allows.
const RESERVE: u64 = 64;
/// The longest record of the twin itself, with its key and length: numbers of 5, 9, 9 and 5 bytes.
const OWN_BYTES: usize = 6 + 30;
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
    let (batch, report) = (OWN_BYTES + HEAD_BYTES + 2 * longest, REPORT_BYTES + longest);
    if batch > report { batch } else { report }
}

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    const FINGERPRINT: u32 = fingerprint(T::SCHEMA);

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
        let index = u16::try_from(id).ok().and_then(T::index);
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
        state.unsaved = fields != Self::FINGERPRINT;
        state.contiguous = if state.unsaved { 0 } else { contiguous };
    }

    /// Every version up to the reserve may have been used; each field is reported again under a fresh one.
    #[inline(never)]
    pub(super) fn finish_restore(&mut self) {
        let state = &mut self.state;
        state.restored = true;
        state.rebase(state.base);
        state.greeted = state.epoch > 0;
        for index in 0..T::COUNT {
            let (epoch, stated) = (self.state.epoch, self.state.stated);
            let Some(slot) = self.slot(index) else {
                continue;
            };
            slot.offered = slot.known || slot.held;
            slot.told = 0;
            let (current, check) = (slot.stamp.epoch() == epoch, slot.check);
            // What was reported before `restored` got its version below the reserve.
            let told = slot.stamp > Version::ZERO || slot.known;
            if current {
                let desired = &mut self.state.digests.desired;
                *desired = desired.wrapping_add(check);
            }
            if told || (stated && !is_edited::<T>(index)) {
                self.tell_field(index);
            }
        }
    }

    /// `None` when nothing fits.
    #[inline(never)]
    pub(super) fn persist<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let mut batch = BatchWriter::new(buffer);
        let state = &self.state;
        let reserved = if state.last > state.reserved {
            state.absolute(state.last) + RESERVE
        } else {
            state.absolute(state.reserved)
        };
        let staging = state.staging.filter(|_| !state.edited);
        let count = staging.map_or(T::COUNT, |staging| staging.count);
        let (mut below, mut written) = (0, 0);
        while below < count {
            let fits = match staging {
                Some(staging) => self.write_staged(&mut batch, below, staging.epoch),
                None => self.write_edit(&mut batch, below),
            };
            if let Some(fits) = fits {
                if !fits {
                    break;
                }
                written += 1;
            }
            below += 1;
        }
        if below < count && written == 0 {
            return None;
        }
        let (mut epoch, mut contiguous) = (state.epoch, state.contiguous);
        let mut issued = Issued::Edits { below, reserved };
        if let Some(staging) = staging {
            let known = if staging.epoch == epoch { contiguous } else { 0 };
            (epoch, contiguous) = (staging.epoch, staging.contiguous);
            // The twin's own record may not say that what is left out is in.
            if let Some(next) = self.pending.get(below).filter(|_| below < count) {
                contiguous = contiguous.min(next.version.saturating_sub(1)).max(known);
            }
            issued = Issued::Staged {
                count: below,
                contiguous,
                reserved,
            };
        }
        put(&mut batch, state.records, 0, &mut |out| {
            out.array(5);
            out.unsigned(FORMAT);
            out.unsigned(epoch.into());
            out.unsigned(contiguous.into());
            out.unsigned(reserved);
            out.unsigned(Self::FINGERPRINT.into());
        })
        .then(|| {
            self.state.issued = issued;
            batch.finish()
        })
    }

    #[inline(never)]
    pub(super) fn persisted(&mut self, issued: &Issued) {
        let state = &mut self.state;
        match *issued {
            Issued::Edits { below, reserved } => {
                state.reserved = state.relative(reserved);
                state.unsaved = false;
                state.edited = below < T::COUNT;
                for slot in self.slots.as_mut().iter_mut().take(below) {
                    slot.unsaved = false;
                }
            }
            Issued::Staged {
                count,
                contiguous,
                reserved,
            } => {
                state.reserved = state.relative(reserved);
                state.unsaved = false;
                state.tell = true;
                let Some(staging) = state.staging.take() else {
                    return;
                };
                if state.epoch != staging.epoch {
                    // What an older epoch desired is in no digest.
                    state.digests.desired = 0;
                    state.epoch = staging.epoch;
                }
                state.contiguous = contiguous;
                state.want |= count < staging.count;
                for place in 0..count {
                    self.adopt(place, staging.epoch);
                }
            }
            Issued::Nothing | Issued::Send { .. } => {}
        }
    }

    #[inline(never)]
    fn adopt(&mut self, place: usize, epoch: u32) {
        let Some(staged) = self.pending.get(place).copied() else {
            return;
        };
        let new = self.successor(&staged, epoch);
        if staged.held {
            self.desired.copy(staged.index, &self.staged);
        }
        if let Some(slot) = self.slots.as_mut().get_mut(staged.index) {
            let before = if slot.stamp.epoch() == epoch {
                slot.check
            } else {
                0
            };
            *slot = new;
            let desired = &mut self.state.digests.desired;
            *desired = desired.wrapping_sub(before).wrapping_add(new.check);
        }
        self.tell_field(staged.index);
    }

    /// What a field's slot will be once the staged value is durable.
    #[inline(never)]
    fn successor(&self, staged: &Staged, epoch: u32) -> Slot {
        let slot = self.slots.as_ref().get(staged.index);
        let mut slot = slot.copied().unwrap_or(Slot::EMPTY);
        let before = slot.stamp.epoch();
        let local = staged.held && self.outlives(&slot, staged.index);
        slot.stamp = Version::new(epoch, staged.version);
        slot.check = staged.check;
        // A service that lost its memory repeats itself: the same value is no new intent, and must not undo what
        // was done at the device since.
        let repeated = epoch > before
            && slot.held
            && staged.held
            && is_edited::<T>(staged.index)
            && !self.staged.moved(staged.index, &self.desired);
        if !repeated {
            slot.code = if local { Code::OVERRIDDEN } else { staged.code };
            slot.held = staged.held;
            slot.offered = slot.code.is_pending();
        }
        slot
    }

    /// Whether the record of a field fits; `None` when nothing of it was edited.
    #[inline(never)]
    fn write_edit(&self, batch: &mut BatchWriter<'_>, index: usize) -> Option<bool> {
        let slot = self.slots.as_ref().get(index)?;
        let unsaved = slot.unsaved;
        unsaved.then(|| self.write_record(batch, index, slot, &self.desired))
    }

    #[inline(never)]
    fn write_staged(&self, batch: &mut BatchWriter<'_>, place: usize, epoch: u32) -> Option<bool> {
        let staged = self.pending.get(place)?;
        let slot = self.successor(staged, epoch);
        Some(self.write_record(batch, staged.index, &slot, &self.staged))
    }

    #[inline(never)]
    fn write_record(
        &self,
        batch: &mut BatchWriter<'_>,
        index: usize,
        slot: &Slot,
        desired: &T,
    ) -> bool {
        let Some(field) = field::<T>(index) else {
            return false;
        };
        let key = self.state.records.offset(1 + u32::from(field.id.get()));
        // A measured value is measured anew after a boot.
        let known = slot.known && field.is_edited();
        key.is_some_and(|key| {
            put(batch, key, OWN_BYTES, &mut |out| {
                out.array(6 + usize::from(slot.held) + usize::from(known));
                out.unsigned(FORMAT);
                out.unsigned(slot.stamp.epoch().into());
                out.unsigned(slot.stamp.number().into());
                out.unsigned(slot.check.into());
                out.unsigned(slot.code.get().into());
                out.unsigned(u64::from(slot.held) | u64::from(known) << 1);
                if slot.held {
                    desired.encode(index, out);
                }
                if known {
                    self.actual.encode(index, out);
                }
            })
        })
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
        if slot.held {
            self.desired.decode(index, input).ok()?;
        }
        if slot.known {
            self.actual.decode(index, input).ok()?;
        }
        (!input.failed()).then_some(slot)
    }
}

/// Writes a record, if so many bytes are left behind it.
#[inline(never)]
fn put(
    batch: &mut BatchWriter<'_>,
    key: RecordKey,
    keep: usize,
    write: &mut dyn FnMut(&mut LeafWriter<'_>),
) -> bool {
    let written = batch.put_with(key, |room| {
        let len = room.len().checked_sub(keep)?;
        let mut out = LeafWriter::new(room.get_mut(..len)?);
        write(&mut out);
        out.finish().map(<[u8]>::len)
    });
    written.is_ok()
}
