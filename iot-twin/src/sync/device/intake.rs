//! What a service says. Nothing of it is told to the service or offered to the application before it is durable.

use super::{Code, TwinDevice, Version};
use crate::leaf::{LeafError, LeafReader};
use crate::reflect::Twin;
use crate::schema::Field;
use crate::sync::wire::{self, Delta, DesiredLeaf};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Takes a delta in. Of one that is malformed the fields in front of the fault count, and nothing else.
    #[inline(never)]
    pub(super) fn delta(&mut self, payload: &[u8]) {
        let mut input = LeafReader::new(payload);
        let (delta, count) = Delta::read(&mut input, self.state.number);
        if input.failed() || !self.state.may_hear(&delta) {
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
            if input.failed() || leaf.number <= upto || leaf.number > delta.to {
                return;
            }
            let index = self.actual.find(leaf.id);
            let index = index.filter(|&index| self.is_news(index, leaf.number));
            if let Some(index) = index {
                full = room == 0;
                if full {
                    break;
                }
                room -= 1;
                self.adopt(index, leaf, &mut input);
            } else {
                input.value();
            }
            if input.failed() {
                return;
            }
            upto = leaf.number;
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
        let current = |slot: &&super::Slot| slot.stamp.epoch() == epoch;
        let slots = self.slots.as_ref().iter().filter(current);
        let sum = slots.fold(0_u32, |sum, slot| sum.wrapping_add(slot.check));
        self.state.digests.desired = sum;
        if self.state.epoch != epoch {
            self.state.epoch = epoch;
            self.state.contiguous = 0;
            self.state.touch();
        }
    }

    /// Whether a value of a field is newer than what is known of it, or was refused.
    fn is_news(&self, index: usize, number: u32) -> bool {
        let stamp = Version::new(self.state.epoch, number);
        let slot = self.slots.as_ref().get(index);
        slot.is_some_and(|slot| slot.stamp < stamp || (slot.stamp == stamp && slot.is_refused()))
    }

    /// Makes a value what is desired.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn adopt(&mut self, index: usize, leaf: DesiredLeaf, input: &mut LeafReader<'_>) {
        let fields = self.actual.fields();
        let (Some(field), Some(slot)) = (fields.get(index), self.slots.as_ref().get(index)) else {
            return;
        };
        let (before, held, check) = (slot.stamp, slot.held, slot.check);
        let stamp = Version::new(self.state.epoch, leaf.number);
        let start = input.rest();
        // A service that lost its memory repeats itself: the same value is no new intent, and must not undo what
        // was done at the device since.
        let newer = before.epoch() < stamp.epoch();
        let (taken, repeated) = if newer && held && field.is_edited() {
            let mut before = self.actual.blank();
            before.copy(index, &self.desired);
            let taken = self.judge(index, field, input);
            (taken, taken.is_ok() && !self.desired.moved(index, &before))
        } else {
            (self.judge(index, field, input), false)
        };
        // An older firmware may have refused what this one can take.
        if input.failed() || (before == stamp && taken.is_err()) {
            return;
        }
        let factor = wire::factor(field.id);
        let known = if newer { 0 } else { check };
        let check = wire::check(factor, stamp, input.since(start));
        let sum = &mut self.state.digests.desired;
        *sum = sum.wrapping_add(check).wrapping_sub(known);
        let (held, code) = match taken {
            Ok(()) if self.outlives(index, field) => (true, Code::OVERRIDDEN),
            Ok(()) => (true, Code::PENDING),
            Err(code) => (false, code),
        };
        if let Some(slot) = self.slot(index) {
            slot.stamp = stamp;
            slot.check = check;
            slot.unsaved = true;
            if !repeated {
                slot.held = held;
                slot.code = code;
                slot.offered = code.is_pending();
                slot.shown = false;
                // What was refused changes nothing of who was last at the field.
                slot.edited &= code.is_rejected();
            }
        }
        self.state.touch();
        // What is the case is what it was; the answer to what is desired is new.
        self.state.tell(self.slots.as_mut(), index, factor);
    }

    /// Takes a value over, if it is one of the field's; else says why not.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn judge(
        &mut self,
        index: usize,
        field: &Field,
        input: &mut LeafReader<'_>,
    ) -> Result<(), Code> {
        let start = input.rest();
        let code = if !field.is_desired() {
            Code::READ_ONLY
        } else if input.null() {
            return Err(Code::APPLIED);
        } else {
            match self.desired.decode(index, input) {
                Ok(()) => return Ok(()),
                Err(LeafError::Range | LeafError::Variant) => Code::OUT_OF_RANGE,
                Err(_) => Code::REJECTED,
            }
        };
        *input = LeafReader::new(start);
        input.value();
        Err(code)
    }

    /// Everything that was told is told again, under versions above the new base.
    #[inline(never)]
    fn tell_again(&mut self) {
        for index in 0..self.slots.as_ref().len() {
            if let Some(slot) = self.slot(index)
                && core::mem::take(&mut slot.told) > 0
            {
                self.tell_field(index);
            }
        }
    }
}
