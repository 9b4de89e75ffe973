//! What a device's twin keeps across power cuts.
//!
//! One record for the twin, `[format, epoch, contiguous, reserved, fingerprint]`, and one for each field that was
//! desired or edited, `[format, epoch, version, check, code, held, known, value?, value?]`: the desired value
//! when held, then the actual one when known.

use iot_core::Now;
use iot_core::engine::{Batch, BatchWriter, RecordKey, Step};

use super::{Issued, Staged, Staging, TwinDevice, is_desired};
use crate::leaf::{LeafReader, LeafWriter};
use crate::reflect::{Twin, field};
use crate::schema::fingerprint;
use crate::sync::slot::{Code, Slot, Version};

const FORMAT: u64 = 1;
/// How many reports one write to storage allows.
const RESERVE: u64 = 64;

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    const FINGERPRINT: u32 = fingerprint(T::FIELDS);

    pub(super) fn restore_record(&mut self, key: RecordKey, value: &[u8]) {
        let Some(offset) = key.get().checked_sub(self.records.get()) else {
            return;
        };
        if offset == 0 {
            if let Some((epoch, contiguous, reserved, fields)) = read_own(value) {
                (self.epoch, self.reserved) = (epoch, reserved);
                // Another firmware ignored the fields it did not know: ask for all of them again.
                self.unsaved = fields != Self::FINGERPRINT;
                self.contiguous = if self.unsaved { 0 } else { contiguous };
            }
            return;
        }
        let index = T::FIELDS
            .iter()
            .position(|field| u32::from(field.id.get()) + 1 == offset);
        if let Some(index) = index
            && let Some(slot) = self.read_field(index, value)
            && let Some(place) = self.slots.as_mut().get_mut(index)
        {
            *place = slot;
        }
    }

    /// Every version up to the reserve may have been used; each field is reported again under a fresh one.
    pub(super) fn finish_restore(&mut self) {
        self.restored = true;
        self.last = self.reserved;
        self.acknowledged = self.reserved;
        self.sent = self.reserved;
        self.spoken = self.reserved;
        self.floor = self.last + 1;
        self.greeted = self.epoch > 0;
        for index in 0..T::FIELDS.len() {
            let Some(slot) = self.slots.as_mut().get_mut(index) else {
                continue;
            };
            slot.offered = slot.known || slot.held;
            if slot.stamp > Version::ZERO || slot.known {
                self.tell_field(index);
            }
        }
        // What was reported before `restored` got its versions below the reserve.
        if self.stated {
            for index in (0..T::FIELDS.len()).filter(|&index| !is_desired::<T>(index)) {
                self.tell_field(index);
            }
        }
    }

    pub(super) fn must_persist(&self) -> bool {
        self.staging.is_some()
            || self.unsaved
            || self.last > self.reserved
            || self.slots().any(|slot| slot.unsaved)
    }

    pub(super) fn persist<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        let reserved = if self.last > self.reserved {
            self.last.saturating_add(RESERVE)
        } else {
            self.reserved
        };
        let edits = self.slots().any(|slot| slot.unsaved) || self.staging.is_none();
        let written = if edits {
            self.write_edits(buffer, reserved)
        } else {
            self.write_staged(buffer, reserved)
        };
        let Some((issued, batch)) = written else {
            self.hold_until = Some(now.instant + self.timing.resend);
            return Step::Idle;
        };
        self.issued = Some(issued);
        Step::Persist(batch)
    }

    pub(super) fn persisted(&mut self, issued: Issued) {
        match issued {
            Issued::Edits { below, reserved } => {
                self.reserved = reserved;
                self.unsaved = false;
                for slot in self.slots.as_mut().iter_mut().take(below) {
                    slot.unsaved = false;
                }
            }
            Issued::Staged {
                count,
                contiguous,
                reserved,
            } => {
                self.reserved = reserved;
                self.unsaved = false;
                if let Some(staging) = self.staging.take() {
                    self.epoch = staging.epoch;
                    self.contiguous = contiguous;
                    self.want |= count < staging.count;
                    for place in 0..count {
                        self.adopt(place, staging.epoch);
                    }
                }
                self.tell = true;
            }
            Issued::Send { .. } => {}
        }
    }

    fn adopt(&mut self, place: usize, epoch: u32) {
        let Some(staged) = self.pending.get(place).copied() else {
            return;
        };
        let slot = self.successor(&staged, epoch);
        if staged.held {
            self.desired.copy(staged.index, &self.staged);
        }
        if let Some(place) = self.slots.as_mut().get_mut(staged.index) {
            *place = slot;
        }
        self.tell_field(staged.index);
    }

    /// What a field's slot will be once the staged value is durable.
    fn successor(&self, staged: &Staged, epoch: u32) -> Slot {
        let slot = self.slots.as_ref().get(staged.index);
        let slot = slot.copied().unwrap_or(Slot::EMPTY);
        let stamp = Version::new(epoch, staged.version);
        // A service that lost its memory repeats itself: the same value is no new intent, and must not undo what
        // was done at the device since.
        let repeated = epoch > slot.stamp.epoch()
            && slot.held
            && staged.held
            && !self.staged.moved(staged.index, &self.desired);
        if repeated {
            return Slot {
                stamp,
                check: staged.check,
                ..slot
            };
        }
        Slot {
            stamp,
            check: staged.check,
            code: staged.code,
            held: staged.held,
            offered: staged.code.is_pending(),
            unsaved: false,
            ..slot
        }
    }

    fn write_edits<'b>(&self, buffer: &'b mut [u8], reserved: u64) -> Option<(Issued, Batch<'b>)> {
        let mut batch = BatchWriter::new(buffer);
        self.write_own(&mut batch, self.epoch, self.contiguous, reserved)?;
        let (mut below, mut done) = (0, 0);
        for (index, slot) in (0..).zip(self.slots()) {
            if slot.unsaved {
                if self
                    .write_field_record(&mut batch, index, slot, &self.desired)
                    .is_none()
                {
                    break;
                }
                done += 1;
            }
            below = index + 1;
        }
        let stuck = done == 0 && self.slots().any(|slot| slot.unsaved);
        (!stuck).then(|| (Issued::Edits { below, reserved }, batch.finish()))
    }

    fn write_staged<'b>(&self, buffer: &'b mut [u8], reserved: u64) -> Option<(Issued, Batch<'b>)> {
        let Staging {
            epoch,
            contiguous,
            count,
        } = self.staging?;
        // How many fit decides up to where the twin's own record may say that everything is in; that number only
        // shrinks, and so does its encoding, so that what fitted fits again.
        let mut trial = BatchWriter::new(&mut *buffer);
        self.write_own(&mut trial, epoch, contiguous, reserved)?;
        let fits = self.write_pending(&mut trial, epoch, count);
        if fits == 0 && count > 0 {
            return None;
        }
        let known = if epoch == self.epoch {
            self.contiguous
        } else {
            0
        };
        let contiguous = match self.pending.get(fits).filter(|_| fits < count) {
            Some(next) => contiguous.min(next.version.saturating_sub(1)).max(known),
            None => contiguous,
        };
        let mut batch = BatchWriter::new(buffer);
        self.write_own(&mut batch, epoch, contiguous, reserved)?;
        let count = self.write_pending(&mut batch, epoch, fits);
        let issued = Issued::Staged {
            count,
            contiguous,
            reserved,
        };
        (count == fits).then(|| (issued, batch.finish()))
    }

    fn write_pending(&self, batch: &mut BatchWriter<'_>, epoch: u32, count: usize) -> usize {
        let mut written = 0;
        for staged in self.pending.iter().take(count) {
            let slot = self.successor(staged, epoch);
            if self
                .write_field_record(batch, staged.index, &slot, &self.staged)
                .is_none()
            {
                break;
            }
            written += 1;
        }
        written
    }

    fn write_own(
        &self,
        batch: &mut BatchWriter<'_>,
        epoch: u32,
        contiguous: u64,
        reserved: u64,
    ) -> Option<()> {
        let write = |room: &mut [u8]| {
            let mut out = LeafWriter::new(room);
            out.array(5)?;
            out.unsigned(FORMAT)?;
            out.unsigned(epoch.into())?;
            out.unsigned(contiguous)?;
            out.unsigned(reserved)?;
            out.unsigned(Self::FINGERPRINT.into())?;
            Some(out.len())
        };
        batch.put_with(self.records, write).ok()
    }

    fn write_field_record(
        &self,
        batch: &mut BatchWriter<'_>,
        index: usize,
        slot: &Slot,
        desired: &T,
    ) -> Option<()> {
        let key = self
            .records
            .offset(1 + u32::from(field::<T>(index)?.id.get()))?;
        // A reported value is measured anew after a boot.
        let known = slot.known && is_desired::<T>(index);
        let write = |room: &mut [u8]| {
            let mut out = LeafWriter::new(room);
            out.array(7 + u64::from(slot.held) + u64::from(known))?;
            out.unsigned(FORMAT)?;
            out.unsigned(slot.stamp.epoch().into())?;
            out.unsigned(slot.stamp.number())?;
            out.unsigned(slot.check.into())?;
            out.unsigned(slot.code.get().into())?;
            out.bool(slot.held)?;
            out.bool(known)?;
            if slot.held {
                desired.encode(index, &mut out)?;
            }
            if known {
                self.actual.encode(index, &mut out)?;
            }
            Some(out.len())
        };
        batch.put_with(key, write).ok()
    }

    /// Reads a field's record; one of another format, or with a value that no longer fits the field, is none.
    fn read_field(&mut self, index: usize, value: &[u8]) -> Option<Slot> {
        let mut input = LeafReader::new(value);
        input.array()?;
        if input.unsigned()? != FORMAT {
            return None;
        }
        let slot = Slot {
            stamp: Version::new(input.u32()?, input.unsigned()?),
            check: input.u32()?,
            code: Code::new(input.u16()?),
            held: input.bool()?,
            known: input.bool()?,
            ..Slot::EMPTY
        };
        if slot.held {
            self.desired.decode(index, &mut input).ok()?;
        }
        if slot.known {
            self.actual.decode(index, &mut input).ok()?;
        }
        Some(slot)
    }
}

fn read_own(value: &[u8]) -> Option<(u32, u64, u64, u32)> {
    let mut input = LeafReader::new(value);
    if input.array()? != 5 || input.unsigned()? != FORMAT {
        return None;
    }
    Some((
        input.u32()?,
        input.unsigned()?,
        input.unsigned()?,
        input.u32()?,
    ))
}
