//! What a simulator sees of a device's twin.

use alloc::vec;
use alloc::vec::Vec;

use super::TwinDevice;
use crate::leaf::LeafWriter;
use crate::reflect::Twin;
use crate::schema::FieldId;
use crate::sync::slot::{Code, SubTwin, Version};

/// One field, from inside.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::sync) struct FieldView {
    pub(in crate::sync) id: FieldId,
    /// The newest desired value's version, and what became of it.
    pub(in crate::sync) stamp: Version,
    pub(in crate::sync) code: Code,
    /// The version that it was last reported under, and as what.
    pub(in crate::sync) told: u64,
    pub(in crate::sync) value: Vec<u8>,
}

const VALUE_BYTES: usize = 1_024;

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    pub(in crate::sync) const fn number(&self) -> SubTwin {
        self.number
    }

    /// In which epoch the device is, and up to which version it claims to have everything.
    pub(in crate::sync) const fn progress(&self) -> Version {
        Version::new(self.epoch, self.contiguous)
    }

    /// Reports below it are from before the last restart.
    pub(in crate::sync) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(in crate::sync) fn view(&self) -> Vec<FieldView> {
        let mut fields = Vec::new();
        for (index, (field, slot)) in T::FIELDS.iter().zip(self.slots()).enumerate() {
            let mut value = vec![0; VALUE_BYTES];
            let mut out = LeafWriter::new(&mut value);
            let written = if slot.known {
                self.told.encode(index, &mut out)
            } else {
                out.null()
            };
            let len = written.map_or(0, |()| out.len());
            value.truncate(len);
            fields.push(FieldView {
                id: field.id,
                stamp: slot.stamp,
                code: slot.code,
                told: slot.told,
                value,
            });
        }
        fields
    }
}

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Everything in memory that future steps depend on, but no timers: for explorers, which keep states apart by it.
    ///
    /// The bytes mean nothing else, and are other ones in the next version.
    #[must_use]
    pub fn memory(&self) -> Vec<u8> {
        let mut memory = Vec::new();
        for index in 0..T::FIELDS.len() {
            let mut value = vec![0; VALUE_BYTES];
            for half in [&self.actual, &self.told, &self.desired, &self.staged] {
                let mut out = LeafWriter::new(&mut value);
                let len = half.encode(index, &mut out).map_or(0, |()| out.len());
                memory.extend(value.iter().take(len));
                memory.push(0xff);
            }
        }
        let count = self.staging.map_or(0, |staging| staging.count);
        let pending = self.pending.iter().take(count);
        let numbers = [
            self.contiguous,
            self.last,
            self.reserved,
            self.floor,
            self.acknowledged,
            self.sent,
            self.spoken,
        ];
        let flags = [
            self.unsaved,
            self.greeted,
            self.stated,
            self.restored,
            self.connected,
            self.tell,
            self.want,
        ];
        let rest = alloc::format!(
            "{:?}{:?}{:?}{:?}{}{numbers:?}{flags:?}",
            self.slots.as_ref(),
            pending.collect::<Vec<_>>(),
            self.staging,
            self.issued,
            self.epoch,
        );
        memory.extend(rest.as_bytes());
        memory
    }
}
