//! The record of one id.

use super::{ForeignId, Phase, Slot};
use crate::command::cbor::{Reader, Writer};
use crate::command::class::Class;
use crate::command::envelope::{Answer, Fingerprint};
use crate::command::outcome::Outcome;
use crate::command::state::{Code, State};
use crate::time::Timestamp;

const VERSION: u8 = 1;
const ITEMS: u8 = 9;

impl<const ID_BYTES: usize> Slot<ID_BYTES> {
    /// Writes what is to be on record of it in a table of `ids`.
    pub(super) fn encode(&self, ids: u32, room: &mut [u8]) -> Option<usize> {
        let mut out = Writer::new(room);
        out.array(ITEMS, VERSION);
        out.uint(ids.into());
        out.bytes(self.id.as_bytes());
        out.uint(self.fingerprint.get());
        out.uint(self.expires.as_millis());
        out.uint(match self.class {
            Class::Transactional => 0,
            Class::Idempotent => 1,
            Class::Probed => 2,
            Class::Opaque => 3,
        });
        match &self.phase {
            Phase::Ending(outcome) => State::from_outcome(outcome).write(&mut out),
            _ => State::of(Code::InProgress).write(&mut out),
        }
        out.finish()
    }

    /// Reads a record for a table of `ids`; one that was started comes back as its class wants it.
    pub(super) fn decode(ids: u32, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.array(ITEMS, VERSION);
        let written = reader.u32();
        let id = ForeignId::new(reader.bytes())?;
        let fingerprint = Fingerprint::new(reader.uint());
        let expires = Timestamp::from_millis(reader.uint());
        let class = match reader.uint() {
            0 => Class::Transactional,
            1 => Class::Idempotent,
            2 => Class::Probed,
            3 => Class::Opaque,
            _ => return None,
        };
        let state = State::read(&mut reader);
        let is_whole = reader.is_empty() && state.is_plain() && written <= ids;
        let phase = match state.answer() {
            Answer::Ended(outcome) => Phase::Ended(outcome),
            Answer::InProgress if class == Class::Opaque => Phase::Ending(Outcome::InDoubt),
            Answer::InProgress => Phase::Started {
                resumed: class == Class::Probed,
            },
            _ => return None,
        };
        is_whole.then_some(Self {
            id,
            fingerprint,
            expires,
            class,
            phase,
        })
    }
}
