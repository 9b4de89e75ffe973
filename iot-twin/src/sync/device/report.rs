//! What the device says.

use super::{Slot, TwinDevice, Version};
use crate::leaf::LeafWriter;
use crate::reflect::{Twin, field};
use crate::sync::wire::{self, Digests, Report};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Writes a report of what was not sent yet; says up to which version.
    pub(super) fn write_report(&self, out: &mut LeafWriter<'_>) -> Option<u64> {
        let mut fields = wire::open_report(
            out,
            &Report {
                twin: self.number,
                epoch: self.epoch,
                contiguous: self.contiguous,
                floor: self.floor,
                base: self.sent,
                want: self.want,
            },
        )?;
        let mut to = self.sent;
        let mut whole = self.greeted;
        while let Some((index, slot)) = self.next_told(to).filter(|_| self.greeted) {
            if !fields.add(out, |out| self.write_field(index, slot, out)) {
                whole = false;
                break;
            }
            to = slot.told;
        }
        if whole {
            to = self.last.max(to);
        }
        wire::close_report(out, to, whole.then(|| self.digests()))?;
        Some(to)
    }

    /// The field with the lowest reported version above `after`.
    fn next_told(&self, after: u64) -> Option<(usize, &Slot)> {
        let told = (0..)
            .zip(self.slots())
            .filter(|(_, slot)| slot.told > after);
        told.min_by_key(|(_, slot)| slot.told)
    }

    fn write_field(&self, index: usize, slot: &Slot, out: &mut LeafWriter<'_>) -> Option<()> {
        let field = field::<T>(index)?;
        let answers = slot.stamp > Version::ZERO && slot.stamp.epoch() == self.epoch;
        wire::open_leaf(out, if answers { 5 } else { 3 }, field.id, slot.told)?;
        if slot.known {
            self.told.encode(index, out)?;
        } else {
            out.null()?;
        }
        if answers {
            wire::close_leaf(out, slot.stamp.number(), slot.code)?;
        }
        Some(())
    }

    fn digests(&self) -> Digests {
        let current = |slot: &Slot| slot.stamp > Version::ZERO && slot.stamp.epoch() == self.epoch;
        let mut digests = Digests::default();
        for (field, slot) in T::FIELDS.iter().zip(self.slots()) {
            if current(slot) {
                digests.desired = digests.desired.wrapping_add(slot.check);
            }
            if slot.told > 0 {
                digests.add_reported(field.id, slot.told);
            }
        }
        digests
    }
}
