//! What a service says. Nothing of it is told to the service or offered to the application before it is durable.

use super::{Code, Slot, TwinDevice, Version};
use crate::leaf::{LeafError, LeafReader};
use crate::reflect::{Twin, field};
use crate::schema::{Field, FieldId};
use crate::sync::wire::{self, Delta, DesiredLeaf};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Takes a delta in. Of one that is malformed the fields in front of the fault count, and nothing else.
    #[inline(never)]
    pub(super) fn delta(&mut self, payload: &[u8]) {
        let mut input = LeafReader::new(payload);
        let (delta, count) = Delta::read(&mut input, self.state.number);
        if input.failed() {
            return;
        }
        if delta.epoch < self.state.epoch {
            self.state.tell = true;
            return;
        }
        if delta.epoch > self.state.epoch {
            self.enter(delta.epoch);
        }
        let (mut upto, mut room, mut full) = (0, PENDING, false);
        for _ in 0..count {
            let leaf = DesiredLeaf::read(&mut input);
            input.require(leaf.version > upto && leaf.version <= delta.to);
            if input.failed() {
                return;
            }
            if let Some(index) = T::index(leaf.id)
                && self.adopt(index, &leaf, room > 0)
            {
                full = room == 0;
                if full {
                    break;
                }
                room -= 1;
            }
            upto = leaf.version;
        }
        if !full {
            if !input.is_at_end() {
                return;
            }
            upto = delta.to;
        }
        if self.state.heard(delta.want, delta.acknowledged) {
            self.tell_again();
        }
        self.state.reach(&delta, upto);
    }

    /// Begins an epoch. What was known of it before a power cut is still there.
    pub(super) fn enter(&mut self, epoch: u32) {
        let current = |slot: &&Slot| slot.stamp.epoch() == epoch;
        let slots = self.slots.as_ref().iter().filter(current);
        let sum = slots.fold(0_u32, |sum, slot| sum.wrapping_add(slot.check));
        self.state.digests.desired = sum;
        if self.state.epoch != epoch {
            self.state.epoch = epoch;
            self.state.contiguous = 0;
            self.state.touch();
        }
    }

    /// Whether a value is news; then it becomes what is desired, if there is room for it.
    #[inline(never)]
    fn adopt(&mut self, index: usize, leaf: &DesiredLeaf<'_>, room: bool) -> bool {
        let (Some(field), Some(&slot)) = (field::<T>(index), self.slots.as_ref().get(index)) else {
            return false;
        };
        let stamp = Version::new(self.state.epoch, leaf.version);
        // An older firmware may have refused what this one can take.
        let again = slot.stamp == stamp && !slot.held && slot.code.is_rejected();
        if slot.stamp >= stamp && !again {
            return false;
        }
        if !room {
            return true;
        }
        // A service that lost its memory repeats itself: the same value is no new intent, and must not undo what
        // was done at the device since.
        let mut repeated = slot.held && slot.stamp.epoch() < stamp.epoch() && field.is_edited();
        let mut before = T::INITIAL;
        if repeated {
            before.copy(index, &self.desired);
        }
        let code = self.judge(index, field, leaf.value);
        repeated = repeated && code.is_pending() && !self.desired.moved(index, &before);
        if again && !code.is_pending() {
            return false;
        }
        let overridden = code.is_pending() && self.outlives(&slot, index);
        let check = wire::check(FieldId::new(leaf.id), stamp, leaf.value);
        let mut sum = self.state.digests.desired.wrapping_add(check);
        if slot.stamp.epoch() == stamp.epoch() {
            sum = sum.wrapping_sub(slot.check);
        }
        self.state.digests.desired = sum;
        if let Some(slot) = self.slot(index) {
            slot.stamp = stamp;
            slot.check = check;
            slot.unsaved = true;
            if !repeated {
                slot.held = code.is_pending();
                slot.code = if overridden { Code::OVERRIDDEN } else { code };
                slot.offered = slot.code.is_pending();
            }
        }
        self.state.touch();
        self.tell_field(index);
        true
    }

    #[inline(never)]
    /// Takes a value over, if it is one of the field's, and says so: [`Code::PENDING`]. All other answers are final.
    fn judge(&mut self, index: usize, field: &Field, value: &[u8]) -> Code {
        if !field.is_desired() {
            return Code::READ_ONLY;
        }
        if value == [wire::NULL] && !field.optional {
            return Code::APPLIED;
        }
        match self.desired.decode(index, &mut LeafReader::new(value)) {
            Ok(()) => Code::PENDING,
            Err(LeafError::Range | LeafError::Variant) => Code::OUT_OF_RANGE,
            Err(_) => Code::REJECTED,
        }
    }

    /// Everything that was told is told again, under versions above the new base.
    #[inline(never)]
    fn tell_again(&mut self) {
        for index in 0..T::COUNT {
            if let Some(slot) = self.slot(index)
                && core::mem::take(&mut slot.told) > 0
            {
                self.tell_field(index);
            }
        }
    }
}
