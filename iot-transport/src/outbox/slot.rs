//! One place of the outbox.

use iot_core::{Channel, Priority, Qos, Ticket};

/// How far a message has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// No message is here.
    Free {
        /// The number of the fate of the message whose record is still there; `None` when there is no record.
        dead: Option<u64>,
    },
    /// Taken in, and not stored yet. The record of a settled message may still be there.
    Staged {
        /// As in `Free`.
        dead: Option<u64>,
    },
    /// Stored, and to be sent.
    Stored,
    /// The transport has it.
    InFlight(Ticket),
}

/// A message without its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    /// It is in the batch that the driver makes durable.
    pub(super) writing: bool,
    pub(super) sequence: u64,
    pub(super) channel: Channel,
    pub(super) priority: Priority,
    pub(super) qos: Qos,
    /// In seconds of the powered clock; 0 for never.
    pub(super) expires: u32,
    /// In seconds since 1970; 0 where the time was not known.
    pub(super) expires_wall: u64,
    pub(super) lengths: Lengths,
    /// Where its bytes lie in the stage.
    pub(super) at: Option<u16>,
}

/// How long the parts of a message are; they lie one behind the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Lengths {
    pub(super) tenant: u8,
    pub(super) device: u8,
    pub(super) correlation: u8,
    pub(super) trace: u8,
    pub(super) payload: u16,
}

impl Lengths {
    pub(super) fn all(self) -> usize {
        let front = [self.tenant, self.device, self.correlation, self.trace];
        front.into_iter().map(usize::from).sum::<usize>() + usize::from(self.payload)
    }

    /// Cuts the bytes of a message into its parts.
    pub(super) fn split(self, bytes: &[u8]) -> Option<Parts<'_>> {
        let (tenant, rest) = bytes.split_at_checked(self.tenant.into())?;
        let (device, rest) = rest.split_at_checked(self.device.into())?;
        let (correlation, rest) = rest.split_at_checked(self.correlation.into())?;
        let (trace, payload) = rest.split_at_checked(self.trace.into())?;
        Some(Parts {
            tenant: core::str::from_utf8(tenant).ok()?,
            device: core::str::from_utf8(device).ok()?,
            correlation,
            trace,
            payload,
        })
    }
}

/// The parts of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Parts<'b> {
    pub(super) tenant: &'b str,
    pub(super) device: &'b str,
    pub(super) correlation: &'b [u8],
    pub(super) trace: &'b [u8],
    pub(super) payload: &'b [u8],
}

impl Parts<'_> {
    /// How long they are; `None` when some part is longer than any can be.
    pub(super) fn lengths(&self) -> Option<Lengths> {
        Some(Lengths {
            tenant: u8::try_from(self.tenant.len()).ok()?,
            device: u8::try_from(self.device.len()).ok()?,
            correlation: u8::try_from(self.correlation.len()).ok()?,
            trace: u8::try_from(self.trace.len()).ok()?,
            payload: u16::try_from(self.payload.len()).ok()?,
        })
    }

    pub(super) fn as_array(&self) -> [&[u8]; 5] {
        let (tenant, device) = (self.tenant.as_bytes(), self.device.as_bytes());
        [tenant, device, self.correlation, self.trace, self.payload]
    }
}

impl Slot {
    pub(super) const FREE: Self = Self {
        state: State::Free { dead: None },
        writing: false,
        sequence: 0,
        channel: Channel::Telemetry,
        priority: Priority::Normal,
        qos: Qos::AtLeastOnce,
        expires: 0,
        expires_wall: 0,
        lengths: Lengths {
            tenant: 0,
            device: 0,
            correlation: 0,
            trace: 0,
            payload: 0,
        },
        at: None,
    };

    pub(super) const fn is_live(&self) -> bool {
        !matches!(self.state, State::Free { .. })
    }

    pub(super) const fn is_staged(&self) -> bool {
        matches!(self.state, State::Staged { .. })
    }

    /// The number of the fate of a message whose record is there although it is settled.
    pub(super) const fn dead(&self) -> Option<u64> {
        match self.state {
            State::Free { dead } | State::Staged { dead } => dead,
            State::Stored | State::InFlight(_) => None,
        }
    }

    /// Whether it may be given up: nobody knows whether what is in flight has arrived, and what is not stored yet has
    /// no fate before everything in front of it has a place or a fate on record.
    pub(super) const fn may_leave(&self) -> bool {
        matches!(self.state, State::Stored)
    }
}
