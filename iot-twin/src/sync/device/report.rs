//! What the device says.

use iot_core::{Channel, Message};

use super::state::slot;
use super::{Issued, Slot, TwinDevice, Version};
use crate::leaf::LeafWriter;
use crate::reflect::Twin;
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
    fn write_report(&self, out: &mut LeafWriter<'_>) -> u64 {
        let state = &self.state;
        let mut to = state.from();
        let mut fields = wire::open_report(
            out,
            &Report {
                twin: state.number,
                epoch: state.epoch,
                contiguous: state.contiguous,
                floor: state.absolute(1),
                base: to,
                want: state.want,
            },
        );
        let mut whole = state.greeted;
        let mut next = self.first_unsent();
        while whole && let Some(slot) = slot(self.slots.as_ref(), next) {
            let start = out.len();
            self.write_field(usize::from(next) - 1, slot, out);
            whole = fields.add(out, start);
            if whole {
                to = state.absolute(slot.told);
            }
            next = slot.after;
        }
        if whole {
            to = state.absolute(state.last);
        }
        wire::close_report(out, to, whole.then_some(state.digests));
        to
    }

    /// The place of the field with the lowest reported version that was not sent.
    fn first_unsent(&self) -> u16 {
        let (mut first, mut at) = (0, self.state.newest);
        while let Some(slot) = slot(self.slots.as_ref(), at) {
            if slot.told <= self.state.sent {
                break;
            }
            (first, at) = (at, slot.before);
        }
        first
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn write_field(&self, index: usize, slot: &Slot, out: &mut LeafWriter<'_>) {
        let fields = self.actual.fields();
        let Some(field) = fields.get(index) else {
            return;
        };
        let answers = slot.stamp > Version::ZERO && slot.stamp.epoch() == self.state.epoch;
        let told = self.state.absolute(slot.told);
        wire::open_leaf(out, if answers { 5 } else { 3 }, field.id, told);
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
