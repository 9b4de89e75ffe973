//! What the formats of this module have beyond [`codec`](crate::codec)'s flat items: identities and moments.

use minicbor::decode::Decoder;

pub(super) use crate::codec::{FlatReader as Reader, FlatWriter as Writer};
use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

impl Reader<'_> {
    pub(super) fn id(&mut self, id: &mut CommandId) {
        id.issuer = IssuerId::new(self.u32());
        id.epoch = self.u32();
        id.sequence = self.u32();
    }

    /// Reads a moment; 0 stands for none.
    pub(super) fn timestamp(&mut self) -> Timestamp {
        Timestamp::from_millis(self.uint())
    }
}

impl Writer<'_> {
    pub(super) fn id(&mut self, id: &CommandId) {
        self.uint(id.issuer.get().into());
        self.uint(id.epoch.into());
        self.uint(id.sequence.into());
    }

    /// Writes a moment, or 0 for none: 1970 itself is told as a millisecond later.
    pub(super) fn moment(&mut self, moment: Option<Timestamp>) {
        self.uint(moment.map_or(0, |moment| moment.as_millis().max(1)));
    }
}

/// Decodes exactly one value that fills `bytes`.
pub(super) fn whole<T: for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(value)
}
