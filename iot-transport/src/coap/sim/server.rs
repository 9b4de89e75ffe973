//! What the simulated server and its link do.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use iot_core::sim::{Faults, SimEntropy};

use super::super::block::{Block, bytes_of, exponent_of};
use super::super::code::Code;
use super::super::message::{Kind, Message};
use super::super::number::{BLOCK2, ETAG, SIZE2};
use super::super::write::Writer;
use super::{Counts, Style};

/// How long the server thinks before an answer of its own message.
const THINKS_MS: u64 = 50;
/// The standard's `ACK_TIMEOUT` and `MAX_RETRANSMIT`.
const ACK_TIMEOUT_MS: u64 = 2_000;
const REPETITIONS: u32 = 4;

#[derive(Debug)]
pub(super) struct World {
    pub(super) now_ms: u64,
    random: SimEntropy,
    pub(super) faults: Faults,
    pub(super) style: Style,
    pub(super) tells: bool,
    pub(super) counts: Counts,
    /// Message ids and the offsets that they ask for.
    pub(super) asked: Vec<(u16, u32)>,
    image: Vec<u8>,
    version: u32,
    exponent: u8,
    next_id: u16,
    events: BTreeMap<(u64, u64), Happens>,
    inbox: VecDeque<Vec<u8>>,
    /// Ids of the server's messages that the client has answered.
    settled: Vec<u16>,
}

#[derive(Debug)]
enum Happens {
    AtServer(Vec<u8>),
    AtClient(Vec<u8>),
    /// The server sends a message of its own, for the so-manieth time.
    Sends(u16, Vec<u8>, u32),
}

impl World {
    pub(super) const fn new(seed: u64, faults: Faults, image: Vec<u8>) -> Self {
        Self {
            now_ms: 0,
            random: SimEntropy::new(seed),
            faults,
            style: Style::Piggybacked,
            tells: true,
            counts: Counts {
                sent: 0,
                lost: 0,
                doubled: 0,
                longest: 0,
            },
            asked: Vec::new(),
            image,
            version: 1,
            exponent: 6,
            next_id: 1,
            events: BTreeMap::new(),
            inbox: VecDeque::new(),
            settled: Vec::new(),
        }
    }

    pub(super) const fn limit(&mut self, bytes: usize) {
        self.exponent = exponent_of(bytes);
    }

    pub(super) fn replace(&mut self, image: Vec<u8>) {
        self.image = image;
        self.version += 1;
    }

    pub(super) fn inject(&mut self, datagram: Vec<u8>) {
        self.inbox.push_back(datagram);
    }

    pub(super) fn heard_from_client(&mut self, datagram: &[u8]) {
        self.counts.longest = self.counts.longest.max(datagram.len());
        self.carry(datagram, Happens::AtServer);
    }

    pub(super) fn arrived(&mut self) -> Option<Vec<u8>> {
        self.happen();
        self.inbox.pop_front()
    }

    /// Moves on to the next thing that happens, or to `deadline`; `false` when there is neither.
    pub(super) fn pass(&mut self, deadline_ms: Option<u64>) -> bool {
        let next = self.events.keys().next().map(|(at, _)| *at);
        let Some(next) = next.into_iter().chain(deadline_ms).min() else {
            return false;
        };
        self.now_ms = self.now_ms.max(next);
        self.happen();
        true
    }

    fn happen(&mut self) {
        while let Some(next) = self.events.first_entry() {
            if next.key().0 > self.now_ms {
                break;
            }
            match next.remove() {
                Happens::AtServer(datagram) => self.serve(&datagram),
                Happens::AtClient(datagram) => self.inbox.push_back(datagram),
                Happens::Sends(id, datagram, times) => self.say(id, datagram, times),
            }
        }
    }

    /// Puts a datagram on the link, none, one or two times.
    fn carry(&mut self, datagram: &[u8], arrival: fn(Vec<u8>) -> Happens) {
        let faults = self.faults;
        self.counts.sent += 1;
        let copies = match self.random.chance(faults.loss) {
            true => 0,
            false if self.random.chance(faults.duplicate) => 2,
            false => 1,
        };
        self.counts.lost += u64::from(copies == 0);
        self.counts.doubled += u64::from(copies == 2);
        let spread = faults.delay_max_ms.saturating_sub(faults.delay_min_ms);
        for _ in 0..copies {
            let way = u64::from(faults.delay_min_ms) + self.random.below(u64::from(spread) + 1);
            self.at(self.now_ms + way, arrival(datagram.to_vec()));
        }
    }

    fn at(&mut self, at_ms: u64, happens: Happens) {
        // What happens at the same time happens in the order in which it was caused.
        let last = self.events.range(..=(at_ms, u64::MAX)).next_back();
        let order = last.map_or(0, |((at, order), _)| match *at == at_ms {
            true => order + 1,
            false => 0,
        });
        self.events.insert((at_ms, order), happens);
    }

    fn say(&mut self, id: u16, datagram: Vec<u8>, times: u32) {
        if self.settled.contains(&id) || times > REPETITIONS {
            return;
        }
        self.carry(&datagram, Happens::AtClient);
        if self.style == Style::Separate {
            let again = self.now_ms + (ACK_TIMEOUT_MS << times);
            self.at(again, Happens::Sends(id, datagram, times + 1));
        }
    }

    fn serve(&mut self, datagram: &[u8]) {
        let Ok(message) = Message::decode(datagram) else {
            return;
        };
        if matches!(message.kind, Kind::Acknowledgement | Kind::Reset) {
            self.settled.push(message.id);
        }
        if message.kind != Kind::Confirmable || message.code != Code::GET {
            return;
        }
        let (kind, id) = match self.style {
            Style::Piggybacked => (Kind::Acknowledgement, message.id),
            style => {
                self.next_id = self.next_id.wrapping_add(1);
                match style {
                    Style::Separate => (Kind::Confirmable, self.next_id),
                    _ => (Kind::NonConfirmable, self.next_id),
                }
            }
        };
        let Some(answer) = self.answer(&message, kind, id) else {
            return;
        };
        if kind == Kind::Acknowledgement {
            self.carry(&answer, Happens::AtClient);
            return;
        }
        let mut room = [0; 4];
        let empty = Writer::new(
            &mut room,
            Kind::Acknowledgement,
            Code::EMPTY,
            message.id,
            &[],
        );
        if let Some(empty) = empty.finish() {
            self.carry(empty, Happens::AtClient);
        }
        self.at(self.now_ms + THINKS_MS, Happens::Sends(id, answer, 0));
    }

    /// The block that was asked for, or a smaller one at the same place (RFC 7959 §2.4).
    fn answer(&mut self, message: &Message<'_>, kind: Kind, id: u16) -> Option<Vec<u8>> {
        let option = |wanted| {
            let mut found = message
                .options
                .clone()
                .filter(|(number, _)| *number == wanted);
            found.next().map(|(_, value)| value)
        };
        let asked = Block::read(option(BLOCK2)?)?;
        let offset = asked.offset();
        if !self.asked.contains(&(message.id, offset)) {
            self.asked.push((message.id, offset));
        }
        let exponent = asked.exponent.min(self.exponent);
        let mut room = [0; 1_200];
        let from = usize::try_from(offset).ok()?;
        let to = from + usize::try_from(bytes_of(exponent)).ok()?;
        let bytes = self.image.len();
        if from >= bytes && offset > 0 {
            let out = Writer::new(&mut room, kind, Code::new(0x80), id, message.token);
            return Some(out.finish()?.to_vec());
        }
        let mut out = Writer::new(&mut room, kind, Code::CONTENT, id, message.token);
        if self.tells {
            out.uint(ETAG, self.version);
        }
        out.uint(BLOCK2, Block::at(offset, exponent, to < bytes)?.bits());
        if self.tells && option(SIZE2).is_some() {
            out.uint(SIZE2, u32::try_from(bytes).ok()?);
        }
        out.payload(self.image.get(from..to.min(bytes))?);
        Some(out.finish()?.to_vec())
    }
}
