//! What arrives.

use iot_core::Instant;

use super::super::answer::Answer;
use super::super::code::Code;
use super::super::error::FetchError;
use super::super::message::{Kind, Message};
use super::slot::{Phase, Slot};
use super::{Fetch, Known};

impl<const WINDOW: usize, const BLOCK: usize> Fetch<'_, WINDOW, BLOCK> {
    /// Takes in a datagram of the server's, whatever it holds.
    ///
    /// `arrived` is when it came, if that is known: one that may have lain in a queue while nobody looked says nothing
    /// of the round trip. Datagrams that are none of its business change nothing but what is sent back to their sender:
    /// at most one message of four bytes each.
    pub fn input(&mut self, arrived: Option<Instant>, datagram: &[u8]) {
        let message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(malformed) => {
                self.reject(malformed.rejected);
                return;
            }
        };
        match (message.kind, message.code.class()) {
            (Kind::Acknowledgement, 0) if message.code == Code::EMPTY => {
                self.accepted(message.id, arrived);
            }
            (Kind::Reset, 0) if message.code == Code::EMPTY => self.reset(message.id),
            (Kind::Reset, _) => {}
            (_, 2 | 4 | 5) => self.response(&message, arrived),
            // A ping, a request, or a reserved class: there is no server here (RFC 7252 §4.2, §4.3).
            (Kind::Confirmable, _) => self.reject(Some(message.id)),
            _ => {}
        }
    }

    /// The server will answer later (RFC 7252 §5.2.2).
    fn accepted(&mut self, id: u16, arrived: Option<Instant>) {
        let waits = |slot: &Slot<BLOCK>| slot.phase == Phase::Waiting && slot.id == id;
        if let Some(place) = self.slots.iter().position(waits) {
            self.measure(place, arrived);
            if let Some(slot) = self.slots.get_mut(place) {
                slot.phase = Phase::Accepted;
            }
        }
    }

    fn reset(&mut self, id: u16) {
        let waits = |slot: &Slot<BLOCK>| slot.phase == Phase::Waiting && slot.id == id;
        if let Some(place) = self.slots.iter().position(waits) {
            self.give_up(place, FetchError::Reset);
        }
    }

    fn response(&mut self, message: &Message<'_>, arrived: Option<Instant>) {
        let is_separate = message.kind != Kind::Acknowledgement;
        // "A response is matched by its token"; one on an acknowledgement by its message id too (RFC 7252 §5.3.2).
        let answered = |slot: &Slot<BLOCK>| {
            let is_this = slot.token == message.token && (is_separate || slot.id == message.id);
            slot.is_asked() && is_this
        };
        let Some(place) = self.slots.iter().position(answered) else {
            let again = self.heard.contains(&Some(message.id));
            match message.kind {
                // Our acknowledgement was lost (RFC 7252 §4.5).
                Kind::Confirmable if again => self.reply(Kind::Acknowledgement, message.id),
                Kind::Confirmable => self.reject(Some(message.id)),
                _ => {}
            }
            return;
        };
        let answer = Answer::read(message);
        match (message.kind, &answer) {
            (Kind::Confirmable, Err(FetchError::Option { .. })) => self.reject(Some(message.id)),
            (Kind::Confirmable, _) => {
                self.heard.rotate_right(1);
                if let Some(newest) = self.heard.first_mut() {
                    *newest = Some(message.id);
                }
                self.reply(Kind::Acknowledgement, message.id);
            }
            _ => {}
        }
        self.measure(place, arrived);
        let taken = answer.and_then(|answer| self.take(place, &answer));
        if let Err(error) = taken {
            self.give_up(place, error);
        }
    }

    /// The block that a place has asked for, or not.
    fn take(&mut self, place: usize, answer: &Answer<'_>) -> Result<(), FetchError> {
        let slot = slot_at(&mut self.slots, place)?;
        let bytes = answer.payload.len();
        let (more, exponent) = match answer.block {
            Some(block) => {
                let full = usize::try_from(block.bytes()).unwrap_or(usize::MAX);
                // The server may want smaller blocks, and then gives the first of them (RFC 7959 §2.4); all but the last
                // are full.
                let is_right = block.offset() == slot.offset
                    && block.exponent <= slot.exponent
                    && (bytes == full || bytes < full && !block.more);
                if !is_right {
                    return Err(FetchError::Answer);
                }
                (block.more, block.exponent)
            }
            // All of a small image needs no option.
            None if slot.offset == 0 && bytes <= BLOCK => (false, slot.exponent),
            None => return Err(FetchError::NoBlocks),
        };
        let (offset, covered) = (slot.offset, slot.offset..slot.end());
        if let Err(error) = self.known.learn(answer, (offset, more)) {
            if self.handed || error != FetchError::Changed {
                return Err(error);
            }
            // Nothing was read yet, so nothing is mixed: what is wanted counts, and else what came last. Some servers
            // give each transfer a tag of its own, and a repeated request for the first block begins one.
            let here = |at| self.slots.iter().any(|slot| slot.part(at).is_some());
            let elsewhere = self.at.filter(|at| !covered.contains(at));
            if elsewhere.is_some_and(here) {
                slot_at(&mut self.slots, place)?.free();
                return Ok(());
            }
            let held = |slot: &&mut Slot<BLOCK>| slot.phase == Phase::Held;
            self.slots.iter_mut().filter(held).for_each(Slot::free);
            self.known = Known::NOTHING;
            self.known.learn(answer, (offset, more))?;
        }
        let slot = slot_at(&mut self.slots, place)?;
        if !slot.hold(answer.payload) {
            return Err(FetchError::Answer);
        }
        self.exponent = self.exponent.min(exponent);
        if slot.offset >= self.dead_end {
            self.dead_end = u32::MAX;
        }
        Ok(())
    }

    /// Ends an exchange without its block. For one that was asked for ahead that is no failure yet.
    pub(super) fn give_up(&mut self, place: usize, error: FetchError) {
        let Some(slot) = self.slots.get_mut(place) else {
            return;
        };
        let is_wanted = self.at.is_some_and(|at| slot.covers(at));
        let offset = slot.offset;
        slot.free();
        if error == FetchError::Changed {
            // What is known of the image that is gone must not refuse the new one, nor be read as part of it.
            self.slots.iter_mut().for_each(Slot::free);
            (self.known, self.handed) = (Known::NOTHING, false);
            self.dead_end = u32::MAX;
            // Told whatever else there is to tell: else the reader would go on with the new one.
            self.failed = Some(error);
        } else if is_wanted {
            if error == FetchError::TimedOut {
                // What was asked for ahead has waited as long in vain, and must not fail by itself once there is a link again.
                let asked = |slot: &&mut Slot<BLOCK>| slot.is_asked();
                self.slots.iter_mut().filter(asked).for_each(Slot::free);
            }
            self.failed = self.failed.or(Some(error));
        } else {
            self.dead_end = self.dead_end.min(offset);
        }
    }

    /// Learns from an answer how long answers take, and that there is room for one more exchange.
    fn measure(&mut self, place: usize, arrived: Option<Instant>) {
        let Some(slot) = self.slots.get(place) else {
            return;
        };
        // After an empty acknowledgement it is the server that takes its time.
        if slot.phase != Phase::Waiting {
            return;
        }
        let is_first = slot.repeated == 0;
        if let Some(arrived) = arrived {
            let span_ms = arrived.as_millis().saturating_sub(slot.first.as_millis());
            self.rtt.measured(span_ms, !is_first, self.terms.floor_ms);
            let wait_ms = self.rtt.wait_ms();
            self.slots.iter_mut().for_each(|slot| slot.hurry(wait_ms));
        }
        if is_first {
            self.allowed = (self.allowed + 1).min(WINDOW);
        }
    }

    fn reject(&mut self, id: Option<u16>) {
        if let Some(id) = id {
            self.reply(Kind::Reset, id);
        }
    }

    /// One message is owed at a time: a sender whose other one goes unanswered sends it again.
    fn reply(&mut self, kind: Kind, id: u16) {
        self.owed = Some((kind, id));
    }
}

/// There is a slot at each place that was found.
fn slot_at<const BLOCK: usize>(
    slots: &mut [Slot<BLOCK>],
    place: usize,
) -> Result<&mut Slot<BLOCK>, FetchError> {
    slots.get_mut(place).ok_or(FetchError::Answer)
}
