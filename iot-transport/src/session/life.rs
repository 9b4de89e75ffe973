//! Signs of life on a link that stands.

use core::time::Duration;

use iot_core::Instant;

use super::step::{Cause, Wake};
use super::terms::bounded_ms;

/// When bytes went by, and whether an answer to a ping is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Life {
    received: Instant,
    sent: Instant,
    pinged: Option<Instant>,
    /// Zero for a link that needs no signs of life.
    keep_alive_ms: u32,
}

impl Life {
    /// A link that came to life `now`; the other end's keep-alive goes before ours.
    pub(super) fn new(now: Instant, ours_ms: u32, theirs: Option<Duration>) -> Self {
        Self {
            received: now,
            sent: now,
            pinged: None,
            keep_alive_ms: theirs.map_or(ours_ms, |span| bounded_ms(span, 0, 65_535_000)),
        }
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.received = now;
        self.pinged = None;
    }

    pub(super) const fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = Some(now);
        self.sent = now;
    }

    pub(super) fn is_ping_due(&self, now: Instant) -> bool {
        self.pinged.is_none() && self.wake().is_some_and(|wake| wake.at <= now)
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.pinged.is_some() && self.wake().is_some_and(|wake| wake.at <= now)
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        let span = match self.keep_alive_ms {
            0 => return None,
            ms => Duration::from_millis(ms.into()),
        };
        Some(match self.pinged {
            // The other end waits for one and a half times the keep-alive, and so do we.
            Some(at) => Wake {
                at: at + span / 2,
                cause: Cause::PingAnswer,
            },
            // Silence in either direction: who only sends would never notice that nobody is there.
            None => Wake {
                at: self.received.min(self.sent) + span,
                cause: Cause::KeepAlive,
            },
        })
    }
}
