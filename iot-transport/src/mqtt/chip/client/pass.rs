//! Reading past a packet that has no room.

use iot_core::Channel;

use crate::mqtt::chip::decode::Malformed;

/// Messages that came in packets longer than the client receives.
///
/// An MQTT 3.1.1 broker cannot be told how long a packet may be. Such a message is acknowledged all the same, since it
/// can never be taken and would greet every link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct PassedOver {
    /// How many there were since the client was made.
    pub messages: u32,
    /// The channel of the last one; `None` when its topic alone is longer than the client receives.
    pub channel: Option<Channel>,
    /// How long the packet of the last one was.
    pub bytes: usize,
}

/// Where a packet stands that is read past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    at: usize,
    whole: usize,
    /// Where its identifier stands, if it has one.
    id_at: Option<usize>,
    id: u16,
    /// Another link has to bring it again.
    pub(super) again: bool,
}

impl Passing {
    pub(super) const fn new(whole: usize) -> Self {
        Self {
            at: 0,
            whole,
            id_at: None,
            id: 0,
            again: false,
        }
    }

    /// An identifier stands there; whether it lies within the packet.
    pub(super) const fn expect_id(&mut self, at: usize) -> bool {
        self.id_at = Some(at);
        at + 2 <= self.whole
    }

    /// Takes what belongs to it from the front of `input`; how many bytes.
    pub(super) fn take(&mut self, input: &[u8]) -> usize {
        let bytes = input.len().min(self.whole - self.at);
        let taken = input.get(..bytes).unwrap_or_default();
        for at in self.id_at.into_iter().flat_map(|at| [at, at + 1]) {
            let byte = at.checked_sub(self.at).and_then(|at| taken.get(at));
            if let Some(byte) = byte {
                self.id = self.id << 8 | u16::from(*byte);
            }
        }
        self.at += bytes;
        bytes
    }

    pub(super) const fn is_over(&self) -> bool {
        self.at >= self.whole
    }

    /// Its identifier; 0 for what has none.
    pub(super) const fn id(&self) -> Result<u16, Malformed> {
        match (self.id_at, self.id) {
            (Some(_), 0) => Err(Malformed),
            (_, id) => Ok(id),
        }
    }
}
