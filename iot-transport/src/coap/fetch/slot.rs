//! One block, asked for or here.

use iot_core::Instant;

use super::super::block::bytes_of;
use super::super::terms::Terms;

/// As long as a token may be: who does not see the messages cannot guess it (RFC 7252 §5.3.1).
pub(super) type Token = [u8; 8];

/// What a place for a block is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Free,
    /// Asked for, and asked again until something comes.
    Waiting,
    /// The server has it and will answer by itself (RFC 7252 §5.2.2).
    Accepted,
    Held,
}

/// What happens to an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// Nothing before that moment.
    At(Instant),
    Repeat,
    GiveUp,
}

/// A place for one block.
#[derive(Debug)]
pub(super) struct Slot<const BLOCK: usize> {
    pub(super) phase: Phase,
    pub(super) offset: u32,
    pub(super) exponent: u8,
    pub(super) id: u16,
    pub(super) token: Token,
    pub(super) first: Instant,
    sent: Instant,
    pub(super) repeated: u8,
    wait_ms: u32,
    jitter: u8,
    len: usize,
    bytes: [u8; BLOCK],
}

impl<const BLOCK: usize> Slot<BLOCK> {
    pub(super) const FREE: Self = Self {
        phase: Phase::Free,
        offset: 0,
        exponent: 0,
        id: 0,
        token: [0; 8],
        first: Instant::ZERO,
        sent: Instant::ZERO,
        repeated: 0,
        wait_ms: 0,
        jitter: 0,
        len: 0,
        bytes: [0; BLOCK],
    };

    /// Asks for the block at a place and of a size, with an answer within `wait_ms`; a jitter adds to that.
    pub(super) fn ask(
        &mut self,
        (now, wait_ms): (Instant, u32),
        (offset, exponent): (u32, u8),
        id: u16,
        (token, jitter): (Token, u8),
    ) {
        self.phase = Phase::Waiting;
        (self.offset, self.exponent) = (offset, exponent);
        (self.id, self.token, self.jitter) = (id, token, jitter);
        (self.first, self.sent, self.repeated) = (now, now, 0);
        self.wait_ms = wait_ms;
    }

    pub(super) const fn repeat(&mut self, now: Instant) {
        self.repeated = self.repeated.saturating_add(1);
        self.sent = now;
    }

    /// Answers are known to come within `wait_ms`. A longer wait is for what is asked next: here the doubling is enough.
    pub(super) fn hurry(&mut self, wait_ms: u32) {
        self.wait_ms = self.wait_ms.min(wait_ms);
    }

    pub(super) const fn free(&mut self) {
        self.phase = Phase::Free;
    }

    /// Keeps what came; `false` when it is longer than a block.
    pub(super) fn hold(&mut self, payload: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(..payload.len()) else {
            return false;
        };
        room.copy_from_slice(payload);
        (self.phase, self.len) = (Phase::Held, payload.len());
        true
    }

    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Accepted)
    }

    /// What is due.
    ///
    /// The wait is up to half longer, at random, and each repetition doubles it (RFC 7252 §4.2, §4.8).
    pub(super) fn due(&self, now: Instant, terms: &Terms) -> Option<Due> {
        let end = self.last(terms);
        let again = match self.phase {
            Phase::Free | Phase::Held => return None,
            Phase::Accepted => end,
            Phase::Waiting => {
                // A wait is at most a minute: nothing overflows.
                let wait_ms = self.wait_ms + self.wait_ms * u32::from(self.jitter) / 510;
                later(self.sent, u64::from(wait_ms) << self.repeated.min(20))
            }
        };
        Some(match () {
            () if now < again.min(end) => Due::At(again.min(end)),
            () if now >= end || self.repeated >= terms.retransmissions => Due::GiveUp,
            () => Due::Repeat,
        })
    }

    /// When the exchange is over, whatever comes.
    pub(super) fn last(&self, terms: &Terms) -> Instant {
        later(self.first, u64::from(terms.patience_ms))
    }

    /// Where the bytes end that it has, or was asked for.
    pub(super) fn end(&self) -> u32 {
        let bytes = match self.phase {
            Phase::Held if self.len > 0 => u32::try_from(self.len).unwrap_or(u32::MAX),
            _ => bytes_of(self.exponent),
        };
        self.offset.saturating_add(bytes)
    }

    /// Whether it has that byte, or was asked for it.
    pub(super) fn covers(&self, offset: u32) -> bool {
        self.phase != Phase::Free && (self.offset..self.end()).contains(&offset)
    }

    /// The bytes from `offset` on, when they are here.
    pub(super) fn part(&self, offset: u32) -> Option<&[u8]> {
        if self.phase != Phase::Held || !self.covers(offset) {
            return None;
        }
        let from = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        // Where nothing came there is nothing behind it either.
        Some(self.bytes.get(from..self.len).unwrap_or(&[]))
    }
}

/// In milliseconds throughout: on a chip, to divide by a thousand and multiply again costs flash.
pub(super) const fn later(at: Instant, span_ms: u64) -> Instant {
    Instant::from_millis(at.as_millis().saturating_add(span_ms))
}
