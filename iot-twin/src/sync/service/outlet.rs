//! What a service says.

use alloc::vec::Vec;

use iot_core::Peer;

use super::TwinService;
use crate::leaf::LeafWriter;
use crate::sync::wire::service::write_delta;
use crate::sync::wire::{self, Delta};

// A field is at most its array, number, version and 1,024 bytes of value.
const HEAD_BYTES: usize = 48;

impl TwinService {
    /// Up to which version of this epoch everything is on record, as far as this process knows; `None`: nothing.
    pub(super) fn recorded(&self) -> Option<u32> {
        match self.stored {
            None => Some(self.version),
            Some(stored) if stored.epoch() == self.epoch => Some(stored.number()),
            Some(_) => None,
        }
    }

    /// Up to which version may be sent: what is not on record yet may become another value's. `None`: nothing.
    pub(super) fn limit(&self) -> Option<u32> {
        let recorded = self.recorded().filter(|_| !self.behind)?;
        // Nobody is told to have everything up to a value on record that can no longer be said: what took its place here
        // may never come to be on record, and then it counts again.
        let unsaid = self
            .desired
            .values()
            .filter(|wish| wish.version > recorded && wish.hidden.upto > self.sent);
        let unsaid = unsaid.map(|wish| wish.hidden.from.saturating_sub(1)).min();
        Some(unsaid.map_or(recorded, |unsaid| unsaid.min(recorded)))
    }

    pub(super) fn has_more(&self) -> bool {
        self.limit().is_some_and(|limit| self.sent < limit)
    }

    /// Puts the device's address at the front of the buffer: a step borrows nothing else.
    pub(super) fn address<'b>(
        &self,
        buffer: &'b mut [u8],
    ) -> Option<(Option<Peer<'b>>, &'b mut [u8])> {
        let Some((tenant, device)) = &self.peer else {
            return Some((None, buffer));
        };
        let (tenant, rest) = place(tenant.as_str(), buffer)?;
        let (device, rest) = place(device.as_str(), rest)?;
        Some((Some(Peer::parse(tenant, device).ok()?), rest))
    }

    /// Writes what was not sent yet; says up to which version.
    pub(super) fn write<'b>(&self, buffer: &'b mut [u8]) -> Option<(&'b [u8], u32)> {
        let limit = self.limit()?;
        let mut open: Vec<_> = self
            .desired
            .iter()
            .filter(|(_, wish)| wish.version > self.sent && wish.version <= limit)
            .collect();
        open.sort_by_key(|(_, wish)| wish.version);
        // How many fit decides what the head says.
        let room = buffer.len().checked_sub(HEAD_BYTES)?;
        let mut used = 0;
        let fits = open
            .iter()
            .take(wire::MAX_FIELDS.into())
            .take_while(|(_, wish)| {
                used += wish.encoded.len() + 13;
                used <= room
            });
        let fits = fits.count();
        if fits == 0 && !open.is_empty() {
            return None;
        }
        let to = match open.get(fits) {
            Some((_, next)) => next.version - 1,
            None => limit.max(self.sent),
        };
        let mut out = LeafWriter::new(buffer);
        let delta = Delta {
            twin: self.number,
            epoch: self.epoch,
            base: self.sent,
            to,
            acknowledged: self.stored.map_or(self.taken, |_| self.kept),
            want: self.want,
        };
        let mut fields = write_delta(&mut out, &delta);
        for (id, wish) in open.iter().take(fits) {
            let start = out.len();
            wire::open_leaf(&mut out, 3, **id, wish.version.into());
            out.raw(&wish.encoded);
            if !fields.add(&mut out, start) {
                return None;
            }
        }
        Some((out.finish()?, to))
    }
}

fn place<'b>(text: &str, buffer: &'b mut [u8]) -> Option<(&'b str, &'b mut [u8])> {
    let (head, rest) = buffer.split_at_mut_checked(text.len())?;
    head.copy_from_slice(text.as_bytes());
    Some((core::str::from_utf8(head).ok()?, rest))
}
