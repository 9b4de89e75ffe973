//! What a service says, up to where it waits for storage.

use super::state::Staging;
use super::{Code, Staged, TwinDevice, Version};
use crate::leaf::{LeafError, LeafReader};
use crate::reflect::{Twin, field};
use crate::schema::FieldId;
use crate::sync::wire::{self, Delta, DesiredLeaf, MAX_FIELDS};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Takes a delta in as far as there is room; nothing of it counts until it is durable.
    #[inline(never)]
    pub(super) fn delta(&mut self, payload: &[u8]) {
        let mut input = LeafReader::new(payload);
        let (delta, count) = Delta::read(&mut input);
        if input.failed() {
            return;
        }
        let state = &mut self.state;
        // A second delta waits until the first is durable: it will be asked for.
        if state.staging.is_some() {
            state.want = true;
            return;
        }
        if delta.epoch < state.epoch {
            state.tell = true;
            return;
        }
        let contiguous = if delta.epoch == state.epoch {
            state.contiguous
        } else {
            0
        };
        let Some((staged, upto)) = self.stage(&delta, input, count) else {
            return;
        };
        let gap = delta.base > contiguous;
        let reached = if gap {
            contiguous
        } else {
            contiguous.max(upto)
        };
        if self.state.heard(delta.want, delta.acknowledged) {
            self.tell_again();
        }
        let state = &mut self.state;
        state.want = gap || upto < delta.to;
        // A service that speaks of less than we have has lost its memory: let it know.
        state.tell |= state.want || delta.to < contiguous;
        if staged > 0 || delta.epoch != state.epoch || reached != state.contiguous {
            state.staging = Some(Staging {
                epoch: delta.epoch,
                contiguous: reached,
                count: staged,
            });
        }
    }

    /// Puts the fields that are news aside: how many, and the version up to which that was all; `None` when
    /// the message is malformed.
    #[inline(never)]
    fn stage(
        &mut self,
        delta: &Delta,
        mut input: LeafReader<'_>,
        count: u8,
    ) -> Option<(usize, u32)> {
        let (mut staged, mut upto) = (0, delta.to);
        let mut before = 0;
        let mut seen = Seen::NOTHING;
        for _ in 0..count {
            let leaf = DesiredLeaf::read(&mut input);
            if leaf.version <= before || leaf.version > delta.to || !seen.first(leaf.id) {
                return None;
            }
            if let Some(index) = T::index(leaf.id)
                && let Some(news) = self.judge(index, &leaf, delta.epoch)
            {
                if let Some(place) = self.pending.get_mut(staged) {
                    *place = news;
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

    /// Puts a value aside, if it is news, and decides what can be decided without the application.
    #[inline(never)]
    fn judge(&mut self, index: usize, leaf: &DesiredLeaf<'_>, epoch: u32) -> Option<Staged> {
        const NULL: &[u8] = &[0xf6];
        let stamp = Version::new(epoch, leaf.version);
        let field = field::<T>(index)?;
        let slot = self.slots.as_ref().get(index)?;
        // An older firmware may have refused what this one can take.
        let refused = !slot.held && slot.code.is_rejected();
        if slot.stamp > stamp || (slot.stamp == stamp && !refused) {
            return None;
        }
        let again = slot.stamp == stamp;
        let (code, held) = if !field.is_desired() {
            (Code::READ_ONLY, false)
        } else if leaf.value == NULL && !field.optional {
            (Code::APPLIED, false)
        } else {
            let mut value = LeafReader::new(leaf.value);
            match self.staged.decode(index, &mut value) {
                Ok(()) => (Code::PENDING, true),
                Err(LeafError::Range | LeafError::Variant) => (Code::OUT_OF_RANGE, false),
                Err(_) => (Code::REJECTED, false),
            }
        };
        (held || !again).then(|| Staged {
            index,
            version: leaf.version,
            check: wire::check(FieldId::new(leaf.id), stamp, leaf.value),
            code,
            held,
        })
    }

    /// Everything that was told is told again, under versions above the new base.
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

/// The numbers that a message has named.
struct Seen {
    ids: [u16; MAX_FIELDS as usize],
    count: usize,
    /// One bit for the low bits of each number: most are new without a look at the others.
    bits: u32,
}

impl Seen {
    const NOTHING: Self = Self {
        ids: [0; MAX_FIELDS as usize],
        count: 0,
        bits: 0,
    };

    /// Whether a number is named for the first time.
    #[inline(never)]
    fn first(&mut self, id: u16) -> bool {
        let bit = 1 << (id % 32);
        let known = self.ids.get(..self.count).unwrap_or(&[]);
        if self.bits & bit != 0 && known.contains(&id) {
            return false;
        }
        self.bits |= bit;
        if let Some(place) = self.ids.get_mut(self.count) {
            *place = id;
        }
        self.count += 1;
        true
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
}
