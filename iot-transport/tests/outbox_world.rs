//! An outbox, a link that breaks, a broker that forgets, and a receiver that counts: many seeded schedules of faults.
//!
//! In each schedule everything goes wrong at random and then everything goes well. Then every message that was stored
//! has exactly one fate, and the receiver's report of gaps agrees with the fates and with what the broker lost. The same
//! schedules with a client that drops what is pending when the broker has lost its session (as well-known clients do)
//! lose messages without a word, which shows that the faults bite.
//!
//! `IOT_SCHEDULES` says how many; 10,000 otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly, and its numbers are small"
)]

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Priority, Ticket};
use iot_transport::envelope::Envelope;
use iot_transport::gaps::{GapTracker, Receipt};
use iot_transport::outbox::{Cursor, Outbox, Overflow};

const ITEMS: usize = 8;
type Sender = Outbox<ITEMS, 256>;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What a client does with what is pending when the broker has lost its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    SendsAgain,
    Forgets,
}

#[derive(Clone, Debug)]
struct Pending {
    ticket: Ticket,
    bytes: Vec<u8>,
    on_wire: bool,
}

struct World {
    random: Random,
    client: Client,
    now_s: u64,
    // The device.
    outbox: Sender,
    records: BTreeMap<u32, Vec<u8>>,
    /// The storage is full for everything that grows.
    no_room: bool,
    // Its client.
    pending: Vec<Pending>,
    tickets: u64,
    is_up: bool,
    // On the wire, both ways; what is on a wire that breaks is gone.
    to_broker: VecDeque<(Ticket, Vec<u8>)>,
    to_client: VecDeque<Ticket>,
    // The broker's queue for the receiver.
    queue: VecDeque<Vec<u8>>,
    lost_by_broker: BTreeSet<u64>,
    // The receiver.
    tracker: GapTracker<1>,
    received: BTreeSet<u64>,
    missing: BTreeSet<u64>,
    // What the application knows.
    stored: BTreeSet<u64>,
    pushed: BTreeSet<u64>,
    fates: BTreeMap<u64, Fate>,
    cursor: Cursor,
}

fn sender() -> Sender {
    Outbox::new(RecordKey::new(0x100), 7)
        .on(Channel::Telemetry, Overflow::Oldest)
        .on(Channel::Command, Overflow::LowestPriority)
        .on(Channel::Health, Overflow::Never)
        .with_limit(120)
        .with_window(3)
}

fn sequence_of(bytes: &[u8]) -> u64 {
    Envelope::decode(bytes).unwrap().position.sequence
}

impl World {
    fn new(seed: u64, client: Client) -> Self {
        let mut world = Self {
            random: Random(seed),
            client,
            now_s: 0,
            outbox: sender(),
            records: BTreeMap::new(),
            no_room: false,
            pending: Vec::new(),
            tickets: 0,
            is_up: true,
            to_broker: VecDeque::new(),
            to_client: VecDeque::new(),
            queue: VecDeque::new(),
            lost_by_broker: BTreeSet::new(),
            tracker: GapTracker::new(),
            received: BTreeSet::new(),
            missing: BTreeSet::new(),
            stored: BTreeSet::new(),
            pushed: BTreeSet::new(),
            fates: BTreeMap::new(),
            cursor: Cursor::START,
        };
        world.boot();
        world
    }

    fn now(&self) -> Now {
        Now::new(
            Instant::from_millis(self.now_s * 1_000),
            TimeBounds::UNKNOWN,
        )
    }

    fn boot(&mut self) {
        self.outbox = sender();
        (self.now_s, self.tickets) = (0, self.tickets + 1_000_000);
        self.wire_breaks();
        self.pending.clear();
        let now = self.now();
        for (key, value) in &self.records {
            let key = RecordKey::new(*key);
            self.outbox.input(now, &Event::Record { key, value });
        }
        self.outbox.input(now, &Event::Restored);
        assert!(!self.outbox.is_damaged());
    }

    fn wire_breaks(&mut self) {
        self.to_broker.clear();
        self.to_client.clear();
        self.is_up = false;
        for pending in &mut self.pending {
            pending.on_wire = false;
        }
    }

    /// One step of the outbox; with `cut` the power fails after it was done and before the outbox knows.
    fn step(&mut self, cut: bool) -> bool {
        let (mut buffer, now) = ([0; 768], self.now());
        let value;
        let done = match self.outbox.step(now, &mut buffer) {
            Step::Idle => return false,
            Step::Persist(batch) => {
                if self.no_room && batch.iter().any(|(_, value)| value.is_some()) {
                    Done::Failed(Failure::StorageFull)
                } else {
                    for (key, value) in batch.iter() {
                        match value {
                            Some(value) => drop(self.records.insert(key.get(), value.to_vec())),
                            None => drop(self.records.remove(&key.get())),
                        }
                    }
                    Done::Persisted
                }
            }
            Step::Read(key) => {
                value = self.records.get(&key.get()).cloned();
                Done::Read(value.as_deref())
            }
            Step::Send(_) if self.pending.len() >= 4 => Done::Failed(Failure::Busy),
            Step::Send(message) => {
                let ticket = Ticket::new(self.tickets);
                self.tickets += 1;
                self.pending.push(Pending {
                    ticket,
                    bytes: message.payload.to_vec(),
                    on_wire: false,
                });
                Done::Sent(ticket)
            }
            _ => unreachable!(),
        };
        if !cut {
            self.outbox.done(now, done);
        }
        true
    }

    fn push(&mut self) {
        let channel =
            [Channel::Telemetry, Channel::Command, Channel::Health][self.random.below(3) as usize];
        let priority = [
            Priority::Low,
            Priority::Normal,
            Priority::High,
            Priority::Critical,
        ];
        let priority = priority[self.random.below(4) as usize];
        let payload = vec![0x2A; self.random.below(40) as usize];
        let mut message = Message::new(channel, &payload).with_priority(priority);
        if self.random.one_in(3) {
            message = message.expires_in(Duration::from_secs(1 + self.random.below(60)));
        }
        if let Ok(sequence) = self.outbox.push(self.now(), &message) {
            assert!(
                !self.stored.contains(&sequence.get()),
                "a number was given twice"
            );
            self.pushed.insert(sequence.get());
        }
    }

    /// The client and the wire move on by one.
    fn network(&mut self) {
        if !self.is_up {
            if self.random.one_in(3) {
                self.connect();
            }
            return;
        }
        match self.random.below(4) {
            0 => {
                if let Some(pending) = self.pending.iter_mut().find(|pending| !pending.on_wire) {
                    pending.on_wire = true;
                    self.to_broker
                        .push_back((pending.ticket, pending.bytes.clone()));
                }
            }
            1 => {
                if let Some((ticket, bytes)) = self.to_broker.pop_front() {
                    self.queue.push_back(bytes);
                    self.to_client.push_back(ticket);
                }
            }
            2 => {
                if let Some(ticket) = self.to_client.pop_front() {
                    self.settle(ticket, Fate::Delivered);
                }
            }
            _ => self.receive(),
        }
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
        if let Some(at) = self
            .pending
            .iter()
            .position(|pending| pending.ticket == ticket)
        {
            self.pending.remove(at);
            self.outbox
                .input(self.now(), &Event::Settled { ticket, fate });
        }
    }

    fn connect(&mut self) {
        self.is_up = true;
        let resumed = !self.random.one_in(2);
        if !resumed && self.client == Client::Forgets {
            self.pending.clear();
        }
        self.outbox.input(self.now(), &Event::Connected { resumed });
    }

    /// The receiver takes one message, perhaps twice.
    fn receive(&mut self) {
        let Some(bytes) = self.queue.pop_front() else {
            return;
        };
        if self.random.one_in(6) {
            self.queue.push_front(bytes.clone());
        }
        let position = Envelope::decode(&bytes).unwrap().position;
        let missing = &mut self.missing;
        let receipt = self.tracker.receive(position, |gap| {
            for sequence in gap.first..=gap.last {
                assert!(missing.insert(sequence), "{sequence} is missing twice");
            }
        });
        if receipt == Receipt::New {
            assert!(self.received.insert(position.sequence), "it came twice");
        }
    }

    fn read_fates(&mut self) {
        while let Some(settled) = self.outbox.settled_after(self.cursor) {
            let before = self.fates.insert(settled.sequence.get(), settled.fate);
            assert_eq!(before, None, "{settled:?} is told twice");
            self.cursor = settled.cursor;
        }
    }

    fn look(&mut self) {
        for sequence in &self.pushed {
            if self
                .outbox
                .is_stored(iot_transport::outbox::Sequence::new(*sequence))
            {
                self.stored.insert(*sequence);
            } else {
                assert!(
                    !self.stored.contains(sequence),
                    "{sequence} is not stored any more"
                );
            }
        }
    }

    fn misfortune(&mut self) {
        match self.random.below(40) {
            0..=11 => self.push(),
            12..=20 => drop(self.step(false)),
            21..=32 => self.network(),
            33 => {
                self.wire_breaks();
                self.outbox.input(self.now(), &Event::Disconnected);
            }
            34 => {
                let cut = self.random.one_in(2);
                if cut {
                    self.step(true);
                }
                self.boot();
            }
            35 => {
                // The broker is restarted and has kept nothing.
                self.lost_by_broker
                    .extend(self.queue.drain(..).map(|bytes| sequence_of(&bytes)));
                self.wire_breaks();
            }
            36 => self.now_s += self.random.below(40),
            37 => self.no_room = !self.no_room,
            38 => {
                let at = self.random.below(4) as usize;
                if let Some(pending) = self.pending.get(at) {
                    let fate = [Fate::Refused, Fate::Expired, Fate::Evicted]
                        [self.random.below(3) as usize];
                    // Only what is not on the wire is known not to have arrived.
                    if !pending.on_wire {
                        self.settle(pending.ticket, fate);
                    }
                }
            }
            _ => self.read_fates(),
        }
        self.look();
    }

    /// From here on all goes well. Says how many messages were lost without a word.
    fn drain(mut self) -> usize {
        self.no_room = false;
        for _ in 0..2_000 {
            self.now_s += 1;
            while self.step(false) {}
            for _ in 0..20 {
                self.network();
            }
            self.look();
            self.read_fates();
            if self.outbox.is_empty() && self.queue.is_empty() {
                break;
            }
        }
        // A last message tells the receiver what will not come any more.
        self.outbox
            .push(self.now(), &Message::telemetry(b"last"))
            .ok();
        for _ in 0..200 {
            self.now_s += 1;
            while self.step(false) {}
            for _ in 0..20 {
                self.network();
            }
            self.look();
            self.read_fates();
        }
        let silent = |sequence: &&u64| {
            !self.fates.contains_key(sequence) && !self.received.contains(sequence)
        };
        if self.client == Client::Forgets {
            return self.stored.iter().filter(silent).count();
        }
        assert!(self.outbox.is_empty(), "{:?}", self.outbox);
        for sequence in &self.stored {
            assert!(self.fates.contains_key(sequence), "{sequence} has no fate");
            let (came, misses) = (
                self.received.contains(sequence),
                self.missing.contains(sequence),
            );
            assert!(came != misses, "{sequence}: came {came}, missing {misses}");
            let agrees = came
                || self.fates.get(sequence) != Some(&Fate::Delivered)
                || self.lost_by_broker.contains(sequence);
            assert!(agrees, "{sequence} was delivered, and nobody lost it");
        }
        0
    }
}

fn run(seed: u64, client: Client) -> usize {
    let mut world = World::new(seed, client);
    for _ in 0..80 {
        world.misfortune();
    }
    world.drain()
}

fn schedules() -> u64 {
    let said = std::env::var("IOT_SCHEDULES").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(10_000)
}

#[test]
fn every_message_has_one_fate_and_the_gaps_agree_whatever_breaks() {
    let count = schedules();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..count).step_by(threads as usize) {
                    let result = std::panic::catch_unwind(|| run(seed, Client::SendsAgain));
                    assert!(result.is_ok(), "seed {seed}");
                }
            });
        }
    });
    println!("outbox schedules={count} lost=0");
}

#[test]
fn a_client_that_forgets_with_the_broker_loses_messages_under_the_same_schedules() {
    let count = schedules().min(2_000);
    let lost: usize = (0..count).map(|seed| run(seed, Client::Forgets)).sum();
    println!("control schedules={count} lost={lost}");
    assert!(lost > 0, "the faults do not bite");
}
