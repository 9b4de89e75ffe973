//! The engine that fetches blocks.

mod intake;
mod known;
mod slot;

use iot_core::Instant;
use iot_core::entropy::Entropy;

use self::known::Known;
use self::slot::{Due, Slot};
use super::block::{Block, bytes_of, exponent_of};
use super::code::Code;
use super::error::FetchError;
use super::ids::Ids;
use super::message::Kind;
use super::number::{BLOCK2, SIZE2};
use super::rtt::Rtt;
use super::target::Target;
use super::terms::Terms;
use super::write::Writer;

/// Fetches an image block by block: `GET` with Block2 (RFC 7252, RFC 7959), without I/O, clock or heap.
///
/// `BLOCK` is the size of a block in bytes, a power of two from 16 to 1,024; the server may want smaller ones. `WINDOW`
/// is how many blocks there is room for, 1 to 4, and how many exchanges there may be at a time: the standard's `NSTART`.
///
/// With a window of 1, which is the standard's, one block is asked for when the one before was read. A larger one asks
/// ahead. RFC 7252 §4.7 wants congestion control for that: the wait follows the measured round trip and doubles with
/// each repetition, a repetition halves the number of exchanges, and each answer without one lets one more be begun.
/// Choose it for a link that is your own, and 1 where many devices fetch over one radio.
///
/// Whoever drives it says where the reader [is](Self::want), does what each [step](Self::step) says, hands in what
/// [arrives](Self::input), and calls again at the [deadline](Self::next_deadline). A datagram that was not sent is one
/// that was lost.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_transport::coap::{Fetch, Step, Target, Terms};
/// use iot_transport::iot_core::{Instant, sim::SimEntropy};
///
/// let target = Target::new("coap://images.example/7.bin")?;
/// let mut fetch = Fetch::<1, 64>::new(target, Terms::new());
/// let (mut entropy, mut buffer) = (SimEntropy::new(1), [0; 128]);
/// fetch.want(Instant::ZERO, 0);
/// let Step::Send(request) = fetch.step(Instant::ZERO, &mut entropy, &mut buffer)? else { panic!("it asks") };
///
/// // What a server answers: 2.05, the same message id and token, and all of a small image.
/// let mut answer = vec![0x68, 0x45];
/// answer.extend_from_slice(&request[2..12]);
/// answer.extend_from_slice(b"\xffsmall");
/// fetch.input(Some(Instant::from_millis(20)), &answer);
/// assert_eq!(fetch.bytes(0), Some(&b"small"[..]));
/// assert_eq!(fetch.bytes(5), Some(&b""[..]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Fetch<'s, const WINDOW: usize, const BLOCK: usize> {
    target: Target<'s>,
    terms: Terms,
    rtt: Rtt,
    ids: Ids,
    slots: [Slot<BLOCK>; WINDOW],
    known: Known,
    /// Whether the reader was given something of this image.
    handed: bool,
    /// Where the reader is.
    at: Option<u32>,
    /// The size of blocks that is in use: what the server wants, and never more again.
    exponent: u8,
    /// How many exchanges there may be now.
    allowed: usize,
    /// Nothing is asked for ahead from here on: something there was refused.
    dead_end: u32,
    owed: Option<(Kind, u16)>,
    failed: Option<FetchError>,
    /// The ids of the server's own messages that were acknowledged.
    heard: [Option<u16>; 4],
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Step<'b> {
    /// Send this datagram to the server, and ask for another step.
    Send(&'b [u8]),
    /// Wait for a datagram, until that moment.
    Wait(Instant),
    /// Nothing is to be waited for.
    Idle,
}

/// A step, before it is written.
enum Action {
    Reply(Kind, u16),
    Ask(usize),
    Wait(Instant),
    Idle,
}

impl<'s, const WINDOW: usize, const BLOCK: usize> Fetch<'s, WINDOW, BLOCK> {
    const SHAPE: () = {
        assert!(WINDOW >= 1 && WINDOW <= 4, "a window has 1 to 4 places");
        assert!(
            BLOCK.is_power_of_two() && BLOCK >= 16 && BLOCK <= 1_024,
            "blocks have 16, 32, 64, 128, 256, 512 or 1,024 bytes"
        );
    };

    /// Knows nothing of the image yet, and wants nothing of it. Another `WINDOW` or `BLOCK` than there can be does not
    /// compile.
    #[must_use]
    pub const fn new(target: Target<'s>, terms: Terms) -> Self {
        let () = Self::SHAPE;
        Self {
            target,
            terms,
            rtt: Rtt::new(terms.ack_timeout_ms),
            ids: Ids::new(),
            slots: [const { Slot::FREE }; WINDOW],
            known: Known::NOTHING,
            handed: false,
            at: None,
            exponent: exponent_of(BLOCK),
            allowed: WINDOW,
            dead_end: u32::MAX,
            owed: None,
            failed: None,
            heard: [None; 4],
        }
    }

    /// The reader is at `offset` in bytes: the block with it is wanted, and what lies before it no longer.
    ///
    /// Blocks that came for a place far from here make room, and exchanges for them are given up; so are those whose
    /// time ran out while nobody called.
    pub fn want(&mut self, now: Instant, offset: u32) {
        let room = u32::try_from(WINDOW * BLOCK).unwrap_or(u32::MAX);
        let last = offset.saturating_add(room);
        for slot in &mut self.slots {
            let is_stale = slot.is_asked() && now >= slot.last(&self.terms);
            if slot.end() <= offset || slot.offset >= last || is_stale {
                slot.free();
            }
        }
        self.at = Some(offset);
    }

    /// Says what to do next, and writes what is to be sent to the front of `buffer`; 128 bytes suffice for most URLs.
    ///
    /// # Errors
    ///
    /// Why the wanted block did not come, each time once; another step asks for it anew. What has come stays, except
    /// after [`FetchError::Changed`].
    pub fn step<'b>(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        buffer: &'b mut [u8],
    ) -> Result<Step<'b>, FetchError> {
        let bytes = buffer.len();
        let written = match self.act(now, entropy)? {
            Action::Wait(at) => return Ok(Step::Wait(at)),
            Action::Idle => return Ok(Step::Idle),
            Action::Reply(kind, id) => Writer::new(buffer, kind, Code::EMPTY, id, &[]).finish(),
            Action::Ask(place) => {
                let written = self.request(place, buffer);
                if let (None, Some(slot)) = (&written, self.slots.get_mut(place)) {
                    slot.free();
                }
                written
            }
        };
        written.map(Step::Send).ok_or(FetchError::Request { bytes })
    }

    /// The bytes of the image from `offset` on, as many as are here in one block; none from its end on. `None`: they
    /// have not come.
    ///
    /// From now on a block of another image is a [change](FetchError::Changed); before, it only replaces what came.
    #[must_use]
    pub fn bytes(&mut self, offset: u32) -> Option<&[u8]> {
        if self.known.end().is_some_and(|end| offset >= end) {
            return Some(&[]);
        }
        let part = self.slots.iter().find_map(|slot| slot.part(offset))?;
        self.handed = true;
        Some(part)
    }

    /// The size of the image in bytes: where its last block ended, or until that came, what the server says it is.
    #[must_use]
    pub const fn size(&self) -> Option<u32> {
        self.known.size()
    }

    /// When the next step is due, if nothing comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.owed.is_some() || self.failed.is_some() {
            return Some(Instant::ZERO);
        }
        // Before the beginning of time nothing is due: so each says when it will be.
        let due = |slot: &Slot<BLOCK>| match slot.due(Instant::ZERO, &self.terms)? {
            Due::At(at) => Some(at),
            Due::Repeat | Due::GiveUp => Some(Instant::ZERO),
        };
        let blocks = self.slots.iter().filter_map(due);
        let id = self.gap().map(|_| self.ids.free_at(self.terms.patience_ms));
        blocks.chain(id).min()
    }

    fn act(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Result<Action, FetchError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if let Some((kind, id)) = self.owed.take() {
            return Ok(Action::Reply(kind, id));
        }
        for place in 0..WINDOW {
            let Some(slot) = self.slots.get_mut(place) else {
                continue;
            };
            match slot.due(now, &self.terms) {
                Some(Due::Repeat) => {
                    slot.repeat(now);
                    self.allowed = (self.allowed / 2).max(1);
                    return Ok(Action::Ask(place));
                }
                Some(Due::GiveUp) => {
                    self.give_up(place, FetchError::TimedOut);
                    if let Some(error) = self.failed.take() {
                        return Err(error);
                    }
                }
                Some(Due::At(_)) | None => {}
            }
        }
        match self.gap() {
            Some(offset) if self.ids.free_at(self.terms.patience_ms) <= now => {
                self.ask(now, offset, entropy).map(Action::Ask)
            }
            _ => Ok(self.next_deadline().map_or(Action::Idle, Action::Wait)),
        }
    }

    /// Where the next block begins that is to be asked for, when one more may be asked for now.
    fn gap(&self) -> Option<u32> {
        let at = self.at?;
        let mut start = at - at % bytes_of(self.exponent);
        // Each time round it gets past one place.
        for _ in 0..WINDOW {
            let taken = self.slots.iter().find(|slot| slot.covers(start));
            start = taken.map_or(start, Slot::end);
        }
        let asked = self.slots.iter().filter(|slot| slot.is_asked()).count();
        if (self.known.end()).is_some_and(|end| at >= end || start >= end) {
            return None;
        }
        if start <= at {
            return (asked < WINDOW).then_some(start);
        }
        let last = self.known.size().unwrap_or(u32::MAX).min(self.dead_end);
        let has_room = self
            .slots
            .iter()
            .any(|slot| slot.phase == slot::Phase::Free);
        (start < last && asked < self.allowed && has_room).then_some(start)
    }

    /// Begins an exchange for the block at `offset`.
    fn ask(
        &mut self,
        now: Instant,
        offset: u32,
        entropy: &mut dyn Entropy,
    ) -> Result<usize, FetchError> {
        if Block::at(offset, self.exponent, false).is_none() {
            return Err(FetchError::TooFar {
                block_bytes: bytes_of(self.exponent),
            });
        }
        let mut random = [0; 11];
        entropy.fill(&mut random)?;
        let [a, b, jitter, token @ ..] = random;
        let free = |slot: &Slot<BLOCK>| slot.phase == slot::Phase::Free;
        // When all have something that was wanted elsewhere, what is furthest away makes room.
        let furthest = |slots: &[Slot<BLOCK>]| {
            let places = slots.iter().enumerate();
            let far = places.max_by_key(|(_, slot)| slot.offset);
            far.map_or(0, |(place, _)| place)
        };
        let place = self.slots.iter().position(free);
        let place = place.unwrap_or_else(|| furthest(&self.slots));
        let id = self.ids.draw(now, u16::from_be_bytes([a, b]));
        if let Some(slot) = self.slots.get_mut(place) {
            let wait_ms = self.rtt.wait_ms();
            slot.ask((now, wait_ms), (offset, self.exponent), id, (token, jitter));
        }
        Ok(place)
    }

    /// The request of that place; the same bytes each time, as a repetition must be.
    fn request<'b>(&self, place: usize, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let slot = self.slots.get(place)?;
        let mut out = Writer::new(buffer, Kind::Confirmable, Code::GET, slot.id, &slot.token);
        self.target.write(&mut out);
        let block = Block::at(slot.offset, slot.exponent, false)?;
        out.uint(BLOCK2, block.bits());
        // It asks how long the image is (RFC 7959 §4).
        out.uint(SIZE2, 0);
        out.finish()
    }
}
