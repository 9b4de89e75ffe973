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
        self.state.number
    }

    /// Whether all that is in memory is on record too; until then nothing of it is told.
    pub(in crate::sync) const fn is_durable(&self) -> bool {
        !self.state.must_persist()
    }

    /// In which epoch the device is, and up to which version it claims to have everything.
    pub(in crate::sync) const fn progress(&self) -> Version {
        Version::new(self.state.epoch, self.state.contiguous)
    }

    pub(in crate::sync) fn view(&self) -> Vec<FieldView> {
        let mut fields = Vec::new();
        for (index, (field, slot)) in self.actual.fields().iter().zip(self.slots()).enumerate() {
            let value = if slot.known {
                encoded(&self.told, index)
            } else {
                vec![crate::sync::wire::NULL]
            };
            fields.push(FieldView {
                id: field.id,
                stamp: slot.stamp,
                code: slot.code,
                told: if slot.told > 0 {
                    self.state.absolute(slot.told)
                } else {
                    0
                },
                value,
            });
        }
        fields
    }

    /// Everything in memory that future steps depend on, but no timers: for explorers, which keep states apart by it.
    ///
    /// The bytes mean nothing else, and are other ones in the next version.
    #[must_use]
    pub fn memory(&self) -> Vec<u8> {
        let mut memory = Vec::new();
        for index in 0..self.slots.as_ref().len() {
            for half in [&self.actual, &self.told, &self.desired] {
                memory.extend(encoded(half, index));
                memory.push(0xff);
            }
        }
        memory.extend(alloc::format!("{:?}", self.slots.as_ref()).as_bytes());
        memory.extend(self.state.memory().as_bytes());
        memory
    }
}

fn encoded<T: Twin>(twin: &T, index: usize) -> Vec<u8> {
    let mut value = vec![0; VALUE_BYTES];
    let mut out = LeafWriter::new(&mut value);
    twin.encode(index, &mut out);
    out.finish().map_or_else(Vec::new, <[u8]>::to_vec)
}
