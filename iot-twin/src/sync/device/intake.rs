//! What a service says, up to where it waits for storage.

use super::{Code, Staged, Staging, TwinDevice, Version, is_desired};
use crate::leaf::{LeafError, LeafReader};
use crate::reflect::{Twin, field};
use crate::sync::wire::{self, Delta, DesiredLeaf, MAX_FIELDS};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Takes a delta in as far as there is room; nothing of it counts until it is durable.
    pub(super) fn delta(&mut self, payload: &[u8]) {
        let Some((delta, input, count)) = Delta::read(payload, self.number) else {
            return;
        };
        // A second delta waits until the first is durable: it will be asked for.
        if self.staging.is_some() {
            self.want = true;
            return;
        }
        if delta.epoch < self.epoch {
            self.tell = true;
            return;
        }
        let contiguous = if delta.epoch == self.epoch {
            self.contiguous
        } else {
            0
        };
        let gap = delta.base > contiguous;
        let Some((staged, upto)) = self.stage(&delta, input, count) else {
            return;
        };
        let reached = if gap {
            contiguous
        } else {
            contiguous.max(upto)
        };
        self.heard(&delta);
        self.want = gap || upto < delta.to;
        // A service that speaks of less than we have has lost its memory: let it know.
        self.tell |= self.want || delta.to < contiguous;
        if staged > 0 || delta.epoch != self.epoch || reached != self.contiguous {
            self.staging = Some(Staging {
                epoch: delta.epoch,
                contiguous: reached,
                count: staged,
            });
        }
    }

    /// Puts the fields that are news aside: how many, and the version up to which that was all; `None` when
    /// the message is malformed.
    fn stage(
        &mut self,
        delta: &Delta,
        mut input: LeafReader<'_>,
        count: u64,
    ) -> Option<(usize, u64)> {
        let (mut staged, mut upto) = (0, delta.to);
        let mut before = 0;
        let mut seen = [None; MAX_FIELDS as usize];
        for place in 0..count {
            let leaf = DesiredLeaf::read(&mut input)?;
            if leaf.version <= before || leaf.version > delta.to || seen.contains(&Some(leaf.id)) {
                return None;
            }
            *seen.get_mut(usize::try_from(place).ok()?)? = Some(leaf.id);
            let index = T::FIELDS.iter().position(|field| field.id == leaf.id);
            let stamp = Version::new(delta.epoch, leaf.version);
            if let Some(index) = index
                && self.slots.as_ref().get(index)?.stamp < stamp
            {
                if let Some(place) = self.pending.get_mut(staged) {
                    *place = Staged::judge(&mut self.staged, index, &leaf, delta.epoch);
                    staged += 1;
                } else {
                    // The table is full: what was before this field is all that counts.
                    upto = upto.min(before);
                }
            }
            before = leaf.version;
        }
        input.is_at_end().then_some((staged, upto))
    }

    /// Learns up to where the service knows our reports.
    fn heard(&mut self, delta: &Delta) {
        if delta.want || delta.acknowledged > self.spoken {
            // Either the service asks for everything, or it knows versions that no life of the device that
            // left records can have sent: they were lost. Everything is told again, above what it knows.
            self.last = self.last.max(delta.acknowledged);
            self.floor = self.last + 1;
            for index in 0..T::FIELDS.len() {
                if self
                    .slots
                    .as_ref()
                    .get(index)
                    .is_some_and(|slot| slot.told > 0)
                {
                    self.tell_field(index);
                }
            }
            self.acknowledged = delta.acknowledged;
            self.sent = delta.acknowledged;
            self.spoken = self.spoken.max(delta.acknowledged);
            self.tell = true;
        } else {
            self.acknowledged = self.acknowledged.max(delta.acknowledged);
            self.sent = self.sent.max(self.acknowledged);
        }
        if !self.greeted {
            self.greeted = true;
            self.tell |= self.last > self.acknowledged;
        }
        self.doublings = 0;
        if self.acknowledged >= self.sent {
            self.resend_at = None;
        }
    }
}

impl Staged {
    pub(super) const EMPTY: Self = Self {
        index: 0,
        version: 0,
        check: 0,
        code: Code::NONE,
        held: false,
    };

    /// Reads the value into `into` and decides what can be decided without the application.
    fn judge<T: Twin>(into: &mut T, index: usize, leaf: &DesiredLeaf<'_>, epoch: u32) -> Self {
        let optional = field::<T>(index).is_some_and(|field| field.optional);
        let (code, held) = if !is_desired::<T>(index) {
            (Code::READ_ONLY, false)
        } else if leaf.value == wire::NULL && !optional {
            (Code::APPLIED, false)
        } else {
            match into.decode(index, &mut LeafReader::new(leaf.value)) {
                Ok(()) => (Code::PENDING, true),
                Err(LeafError::Range) => (Code::OUT_OF_RANGE, false),
                Err(_) => (Code::REJECTED, false),
            }
        };
        Self {
            index,
            version: leaf.version,
            check: leaf.check(epoch),
            code,
            held,
        }
    }
}
