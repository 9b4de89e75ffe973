//! What each end was told.

use alloc::string::String;
use alloc::vec::Vec;

use iot_core::{Channel, Event, Fate, Ticket};

/// What finds out whether a new link carries messages; a repetition of it says nothing later.
pub(super) const PROBE: &[u8] = b"probe";

/// One end of the link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Device,
    Service,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Device, Self::Service];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Device => Self::Service,
            Self::Service => Self::Device,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Service => "service",
        }
    }

    /// The channel on which this end's messages go in most facts.
    pub(super) const fn channel(self) -> Channel {
        match self {
            Self::Device => Channel::Telemetry,
            Self::Service => Channel::Command,
        }
    }
}

/// A message that was handed over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Heard {
    pub(super) channel: Channel,
    pub(super) peer: Option<(String, String)>,
    pub(super) payload: Vec<u8>,
}

/// A change of the link, as it was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    Connected { resumed: bool },
    Disconnected,
}

/// What one end submitted and was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) submitted: Vec<Ticket>,
    pub(super) heard: Vec<Heard>,
    pub(super) fates: Vec<(Ticket, Fate)>,
    pub(super) changes: Vec<Change>,
    /// Whether the link is known to carry messages.
    pub(super) open: bool,
    /// How often the buffer was too small.
    pub(super) cramped: usize,
}

impl Log {
    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) if self.open && message.payload == PROBE => {}
            Event::Message(message) => self.heard.push(Heard {
                channel: message.channel,
                peer: message
                    .peer
                    .map(|peer| (peer.tenant().into(), peer.device().into())),
                payload: message.payload.into(),
            }),
            Event::Settled { ticket, fate } => self.fates.push((*ticket, *fate)),
            Event::Connected { resumed } => {
                self.changes.push(Change::Connected { resumed: *resumed });
            }
            Event::Disconnected => self.changes.push(Change::Disconnected),
            _ => {}
        }
    }

    pub(super) fn count(&self, payload: &[u8]) -> usize {
        let same = |heard: &&Heard| heard.payload == payload;
        self.heard.iter().filter(same).count()
    }

    pub(super) fn heard(&self, payload: &[u8]) -> bool {
        self.count(payload) > 0
    }

    pub(super) fn fate(&self, ticket: Ticket) -> Option<Fate> {
        let told = self.fates.iter().find(|(told, _)| *told == ticket);
        told.map(|(_, fate)| *fate)
    }

    /// Whether each submitted message has a fate.
    pub(super) fn is_settled(&self) -> bool {
        self.fates.len() >= self.submitted.len()
            && self
                .submitted
                .iter()
                .all(|ticket| self.fate(*ticket).is_some())
    }
}

/// The logs of both ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    pub(super) device: Log,
    pub(super) service: Log,
}

impl Logs {
    pub(super) const fn of(&self, side: Side) -> &Log {
        match side {
            Side::Device => &self.device,
            Side::Service => &self.service,
        }
    }

    pub(super) const fn of_mut(&mut self, side: Side) -> &mut Log {
        match side {
            Side::Device => &mut self.device,
            Side::Service => &mut self.service,
        }
    }
}
