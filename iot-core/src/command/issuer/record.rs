//! The records of an issuer: one header with the next sequence, and one per command under way.

use core::time::Duration;

use super::{Slot, Terms};
use crate::command::cbor::{self, Reader, Writer};
use crate::command::class::Command;
use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

const VERSION: u8 = 1;
const HEADER_ITEMS: u8 = 3;
const ENTRY_ITEMS: u8 = 8;

pub(super) fn encode_header(epoch: u32, next: u64, buffer: &mut [u8]) -> Option<usize> {
    let mut out = Writer::new(buffer);
    out.array(HEADER_ITEMS, VERSION);
    out.uint(epoch.into());
    out.uint(next);
    out.finish()
}

pub(super) fn decode_header(bytes: &[u8]) -> Option<(u32, u64)> {
    let mut reader = Reader::new(bytes);
    reader.array(HEADER_ITEMS, VERSION);
    let header = (reader.u32(), reader.uint());
    reader.is_empty().then_some(header)
}

impl<C: Command> Slot<C> {
    pub(super) fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut out = Writer::new(buffer);
        out.array(ENTRY_ITEMS, VERSION);
        out.uint(self.id.epoch.into());
        out.uint(self.id.sequence);
        out.moment(self.terms.not_before);
        out.moment(self.terms.expires);
        out.uint(u64::try_from(self.terms.patience.as_millis()).unwrap_or(u64::MAX));
        out.uint(self.cancels.into());
        out.value(&self.command);
        out.finish()
    }

    /// Reads a command that was under way; its phase is for the caller to set.
    pub(super) fn decode(issuer: IssuerId, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.array(ENTRY_ITEMS, VERSION);
        let id = CommandId::new(issuer, reader.u32(), reader.uint());
        let moment = |moment| Some(moment).filter(|&moment| moment != Timestamp::EPOCH);
        let terms = Terms {
            not_before: moment(reader.timestamp()),
            expires: moment(reader.timestamp()),
            patience: Duration::from_millis(reader.uint()),
        };
        let cancels = reader.uint();
        reader.require(cancels <= 1);
        let command = cbor::whole(reader.rest()?)?;
        let mut slot = Self::new(id, command, terms);
        slot.cancels = cancels == 1;
        Some(slot)
    }
}
