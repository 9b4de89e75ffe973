//! What the device says.

use iot_core::{Channel, Message};

use super::{Issued, Slot, TwinDevice, Version};
use crate::leaf::LeafWriter;
use crate::reflect::{Twin, field};
use crate::sync::wire::{self, Report};

impl<T: Twin, const PENDING: usize> TwinDevice<T, PENDING> {
    /// Writes a report of what was not sent yet; `None` when not even its head fits.
    #[inline(never)]
    pub(super) fn tell<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Message<'b>> {
        let mut out = LeafWriter::new(buffer);
        let to = self.write_report(&mut out);
        self.state.issued = Issued::Send { to };
        Some(Message::new(Channel::Twin, out.finish()?))
    }

    /// Says up to which version it reports.
    #[inline(never)]
    fn write_report(&self, out: &mut LeafWriter<'_>) -> u64 {
        let state = &self.state;
        let mut fields = wire::open_report(
            out,
            &Report {
                epoch: state.epoch,
                contiguous: state.contiguous,
                floor: state.floor,
                base: state.sent,
                want: state.want,
            },
        );
        let mut to = state.sent;
        let mut whole = state.greeted;
        let mut next = self.first_unsent();
        while let Some(slot) = self.slots.as_ref().get(next).filter(|_| whole) {
            let start = out.len();
            self.write_field(next, slot, out);
            whole = fields.add(out, start);
            if whole {
                to = slot.told;
            }
            next = slot.after.into();
        }
        if whole {
            to = state.last.max(to);
        }
        wire::close_report(out, to, whole.then_some(state.digests));
        to
    }

    /// The field with the lowest reported version that was not sent.
    fn first_unsent(&self) -> usize {
        let (mut first, mut at) = (Slot::END, self.state.newest);
        while let Some(slot) = self.slots.as_ref().get(usize::from(at)) {
            if slot.told <= self.state.sent {
                break;
            }
            (first, at) = (at, slot.before);
        }
        first.into()
    }

    #[inline(never)]
    fn write_field(&self, index: usize, slot: &Slot, out: &mut LeafWriter<'_>) {
        let Some(field) = field::<T>(index) else {
            return;
        };
        let answers = slot.stamp > Version::ZERO && slot.stamp.epoch() == self.state.epoch;
        wire::open_leaf(out, if answers { 5 } else { 3 }, field.id, slot.told);
        if slot.known {
            self.told.encode(index, out);
        } else {
            out.null();
        }
        if answers {
            wire::close_leaf(out, slot.stamp.number(), slot.code);
        }
    }
}
