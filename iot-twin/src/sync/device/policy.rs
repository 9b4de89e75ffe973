//! What an edit made at the device means for what is desired (rule R9).

use super::{Code, Slot, TwinDevice, Version};
use crate::reflect::Twin;
use crate::schema::{Field, LocalEdit};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Gives every field that has moved a version to be reported under.
    #[inline(never)]
    pub(super) fn compare(&mut self) {
        for (index, field) in self.actual.fields().iter().enumerate() {
            let edited = field.is_edited();
            if !self.actual.moved(index, &self.told) && (self.state.stated || edited) {
                continue;
            }
            let reaches = self.actual.reaches(index, &self.desired);
            let Some(slot) = self.slot(index) else {
                continue;
            };
            slot.known = true;
            if edited {
                slot.edit(stands(field.local, true, reaches));
                self.state.touch();
            }
            self.tell_field(index);
        }
        self.state.stated = true;
    }

    /// Whether an edit stands against what has come to be desired.
    pub(super) fn outlives(&self, index: usize, field: &Field) -> bool {
        let slot = self.slots.as_ref().get(index);
        let edited = |slot: &Slot| slot.known && slot.edited;
        if !slot.is_some_and(edited) || !field.is_edited() {
            return false;
        }
        let reaches = self.actual.reaches(index, &self.desired);
        stands(field.local, false, reaches)
    }
}

/// Whether the value at the device stands: against what was desired before it was edited, or after.
#[inline(never)]
const fn stands(policy: LocalEdit, newer: bool, reaches: bool) -> bool {
    match policy {
        LocalEdit::FollowDesired => false,
        LocalEdit::LocalSticky => true,
        LocalEdit::LastIntent => newer,
        LocalEdit::Max | LocalEdit::Or => reaches,
    }
}

impl Slot {
    /// The application changed the value itself.
    fn edit(&mut self, stands: bool) {
        // What the application would not have is no longer desired of it.
        let desired = self.held && (!self.code.is_rejected() || self.is_overridden());
        if desired && !stands {
            self.offer();
            return;
        }
        self.unsaved = true;
        self.offered = false;
        self.edited = true;
        if self.stamp > Version::ZERO {
            self.code = Code::OVERRIDDEN;
        }
    }

    /// The desired value is to be applied, again.
    pub(super) fn offer(&mut self) {
        self.unsaved = true;
        self.offered = true;
        self.shown = false;
        self.edited = false;
        self.code = Code::PENDING;
    }
}
