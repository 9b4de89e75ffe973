//! How many messages are on the wire.

/// Why a message must not be sent now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// No link stands, or it is about to be closed, or a subscription goes first.
    #[error("no link is open for messages: send again when one is")]
    Closed,
    /// As many messages are on the wire as both ends allow.
    #[error("{in_flight} messages are on the wire: send again when one is acknowledged")]
    Full {
        /// How many there are.
        in_flight: u16,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    in_flight: u16,
    most: u16,
}

impl Window {
    pub(super) const fn new(most: u16) -> Self {
        Self { in_flight: 0, most }
    }

    pub(super) const fn take(&mut self) -> Result<(), PublishError> {
        if !self.has_room() {
            return Err(PublishError::Full {
                in_flight: self.in_flight,
            });
        }
        self.in_flight += 1;
        Ok(())
    }

    /// One more than were taken changes nothing: an acknowledgement too many must not widen the window.
    pub(super) const fn give_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) const fn has_room(&self) -> bool {
        self.in_flight < self.most
    }

    /// How many may be on the wire at a time.
    pub(super) const fn most(&self) -> u16 {
        self.most
    }

    pub(super) const fn in_flight(&self) -> u16 {
        self.in_flight
    }
}
