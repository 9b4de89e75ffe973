//! The outbox on flash, under the explorer: messages that come, go, push each other out and expire, at every cut.
//!
//! The next hop acknowledges when it likes, the application reads fates when it likes, time passes. What must hold: what
//! was said to be stored has exactly one fate, none is told that is not on record, nothing is sent after its fate was
//! told or below a floor that was sent, and *delivered* is only what the hop has acknowledged. From every state in which
//! nothing is unstable everything comes to its end, and a new message is delivered.

use core::time::Duration;

use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records as _;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Priority, Ticket};
use iot_transport::envelope::Envelope;
use iot_transport::outbox::{Cursor, Outbox, Overflow, PushError};

use crate::rest::booted;

const ITEMS: usize = 2;
const KEYS: usize = 8;
/// How many messages were pushed before the exploration begins; all but the last have come to their end.
const IN_USE: u16 = 4;
const FIRST: RecordKey = RecordKey::new(0x100);
/// Sequences that can be given out, with those that prove that it goes on.
const SEQUENCES: usize = 12;

type Store<const W: usize, const E: usize, const P: usize> = FlashRecords<SimFlash<W, E>, P, KEYS>;
type Box = Outbox<ITEMS, 64>;

/// So many messages are pushed, on a device that is in use; they differ in length, priority and life.
pub(crate) struct Messages<const W: usize, const E: usize, const P: usize> {
    pushes: u16,
    /// Some of them expire.
    expire: bool,
    config: Config,
}

/// What the outside knows of one message.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Known {
    /// It was said to be stored.
    stored: bool,
    acknowledged: bool,
    /// The fate that was told, from 1.
    told: u8,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    messages: [Known; SEQUENCES],
    pushed: u8,
    floor: u8,
    cursor: u8,
}

#[derive(Clone)]
pub(crate) struct Device<const W: usize, const E: usize, const P: usize> {
    store: Store<W, E, P>,
    outbox: Box,
    /// What the hop has and has not acknowledged.
    taken: Vec<u8>,
    seconds: u8,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Push,
    Acknowledge(usize),
    Read,
    Wait,
}

fn wrong(what: &str, sequence: u64) -> Violation {
    Violation::new(format!("message {sequence} {what}"))
}

impl World {
    fn of(&mut self, sequence: u64) -> Result<&mut Known, Violation> {
        let at = usize::try_from(sequence)
            .ok()
            .and_then(|at| at.checked_sub(1));
        let known = at.and_then(|at| self.messages.get_mut(at));
        known.ok_or_else(|| wrong("is none of the script", sequence))
    }

    fn sees(&mut self, sequence: u64, floor: u64) -> Result<(), Violation> {
        if self.of(sequence)?.told > 0 {
            return Err(wrong("was sent after its fate was told", sequence));
        }
        if sequence < self.floor.into() || floor > sequence {
            return Err(wrong("was sent below the floor", sequence));
        }
        self.floor = self.floor.max(floor as u8);
        Ok(())
    }

    fn hears(&mut self, sequence: u64, fate: Fate) -> Result<(), Violation> {
        let known = self.of(sequence)?;
        if known.told > 0 {
            return Err(wrong("has two fates", sequence));
        }
        if fate == Fate::Delivered && !known.acknowledged {
            return Err(wrong("is delivered although nobody has it", sequence));
        }
        known.told = 1 + fate as u8;
        Ok(())
    }
}

impl<const W: usize, const E: usize, const P: usize> Device<W, E, P> {
    fn boot(
        flash: SimFlash<W, E>,
        config: Config,
        world: &WorldCell<World>,
    ) -> Result<Self, Violation> {
        let store = block_on(Store::open(flash, 0..(P * E) as u32, config));
        let mut store = store.map_err(Violation::new)?;
        let mut outbox = Box::new(FIRST, 7)
            .on(Channel::Telemetry, Overflow::Oldest)
            .with_window(1);
        let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
        block_on(restore(&mut outbox, &mut store, now, &mut [0; 128])).map_err(Violation::new)?;
        if outbox.is_damaged() {
            return Err(Violation::new("the outbox cannot read its records"));
        }
        let mut device = Self {
            store,
            outbox,
            taken: Vec::new(),
            seconds: 0,
        };
        device.pump(world)?;
        Ok(device)
    }

    const fn now(&self) -> Now {
        let now = Instant::from_millis(self.seconds as u64 * 1_000);
        Now::new(now, TimeBounds::UNKNOWN)
    }

    /// Takes every step that the outbox wants.
    fn pump(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        let (mut buffer, mut other, now) = ([0; 320], [0; 128], self.now());
        loop {
            let done = match self.outbox.step(now, &mut buffer) {
                Step::Idle => break,
                Step::Persist(batch) => {
                    block_on(self.store.commit(&batch)).map_err(Violation::new)?;
                    Done::Persisted
                }
                Step::Read(key) => {
                    let value = block_on(self.store.read(key, &mut other));
                    Done::Read(value.map_err(Violation::new)?)
                }
                Step::Send(message) => {
                    let envelope = Envelope::decode(message.payload).map_err(Violation::new)?;
                    let sequence = envelope.position.sequence;
                    world.update(|world| world.sees(sequence, envelope.position.floor))?;
                    if envelope.payload != payload(sequence) {
                        return Err(wrong("was altered", sequence));
                    }
                    self.taken.push(sequence as u8);
                    Done::Sent(Ticket::new(sequence))
                }
                _ => Done::Failed(Failure::Effect),
            };
            self.outbox.done(now, done);
        }
        // What it says to be stored must never be gone without a fate.
        self.look(world)
    }

    fn look(&self, world: &WorldCell<World>) -> Result<(), Violation> {
        let stored: Vec<bool> = self
            .sequences()
            .map(|sequence| self.outbox.is_stored(sequence))
            .collect();
        world.update(|world| {
            for (known, stored) in world.messages.iter_mut().zip(&stored) {
                if known.stored && !stored {
                    return Err(Violation::new("a message is not stored any more"));
                }
                known.stored |= stored;
            }
            Ok(())
        })
    }

    fn sequences(&self) -> impl Iterator<Item = iot_transport::outbox::Sequence> {
        (1..=SEQUENCES as u64).map(iot_transport::outbox::Sequence::new)
    }

    fn push(&mut self, expires: bool, world: &WorldCell<World>) -> Result<bool, Violation> {
        let now = self.now();
        // Its number is known only afterwards: a copy tells.
        let mut trial = self.outbox.clone();
        let sequence = match trial.push(now, &Message::telemetry(b"x")) {
            Ok(sequence) => sequence.get(),
            Err(PushError::Full { .. } | PushError::Unread { .. }) => return Ok(false),
            Err(error) => return Err(Violation::new(error)),
        };
        let payload = payload(sequence);
        let mut message = Message::telemetry(&payload).with_priority(match sequence % 3 {
            0 => Priority::Critical,
            1 => Priority::Low,
            _ => Priority::Normal,
        });
        if expires && sequence.is_multiple_of(2) {
            message = message.expires_in(Duration::from_secs(2));
        }
        if world.update(|world| world.of(sequence).map(|known| known.stored))? {
            return Err(wrong("is stored, and its number was given again", sequence));
        }
        self.outbox.push(now, &message).map_err(Violation::new)?;
        self.pump(world)?;
        Ok(true)
    }

    fn acknowledge(&mut self, at: usize, world: &WorldCell<World>) -> Result<(), Violation> {
        let sequence = u64::from(self.taken.remove(at));
        world.update(|world| world.of(sequence).map(|known| known.acknowledged = true))?;
        let (ticket, fate) = (Ticket::new(sequence), Fate::Delivered);
        self.outbox
            .input(self.now(), &Event::Settled { ticket, fate });
        self.pump(world)
    }

    fn read(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        for _ in 0..2 {
            while let Some(settled) = self
                .outbox
                .settled_after(Cursor::new(world.read(|world| world.cursor.into())))
            {
                world.update(|world| {
                    world.cursor = settled.cursor.get() as u8;
                    world.hears(settled.sequence.get(), settled.fate)
                })?;
            }
            // Who asks makes the rest be put on record.
            self.pump(world)?;
        }
        Ok(())
    }

    /// The hop acknowledges everything, the application reads everything, and no power is cut.
    fn comes_to_rest(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        for round in 0..3 {
            while !self.taken.is_empty() {
                self.acknowledge(0, world)?;
            }
            self.read(world)?;
            if !self.outbox.is_empty() {
                return Err(Violation::new("the outbox does not come to its end"));
            }
            if round < 2 && !self.push(false, world)? {
                return Err(Violation::new("an empty outbox takes nothing"));
            }
        }
        world.read(|world| {
            let mut messages = world.messages.iter();
            match messages.position(|known| known.stored && known.told == 0) {
                Some(at) => Err(wrong("has no fate", at as u64 + 1)),
                None => Ok(()),
            }
        })
    }
}

fn payload(sequence: u64) -> Vec<u8> {
    vec![0xF0 | sequence as u8; 6 + sequence as usize % 5]
}

impl<const W: usize, const E: usize, const P: usize> Messages<W, E, P> {
    pub(crate) const fn new(pushes: u16, expire: bool, config: Config) -> Self {
        Self {
            pushes,
            expire,
            config,
        }
    }

    /// How many pages are compacted when everything that is explored is pushed, acknowledged and read in turn.
    pub(crate) fn compactions(&self, mode: Mode) -> u64 {
        let erases = |pushes| self.after(mode, pushes).map(|(erases, _)| erases);
        match (erases(IN_USE), erases(IN_USE + self.pushes)) {
            (Ok(before), Ok(after)) => after - before,
            _ => 0,
        }
    }

    /// A device in use: some messages have come to their end, and the last is on its way.
    pub(crate) fn in_use(&self, mode: Mode) -> Option<(FlashImage<W, E>, World)> {
        let (_, (image, mut world)) = self.after(mode, IN_USE).ok()?;
        world.pushed = 0;
        Some((image, world))
    }

    fn after(
        &self,
        mode: Mode,
        pushes: u16,
    ) -> Result<(u64, (FlashImage<W, E>, World)), Violation> {
        let world = WorldCell::new(World::default());
        let flash = SimFlash::<W, E>::new(P as u16, mode);
        let mut device = Device::<W, E, P>::boot(flash, self.config, &world)?;
        for _ in 0..pushes {
            while !device.taken.is_empty() {
                device.acknowledge(0, &world)?;
                device.read(&world)?;
            }
            device.push(self.expire, &world)?;
        }
        let flash = device.store.flash();
        let known = world.read(Clone::clone);
        Ok((flash.counters().erases, (flash.image().clone(), known)))
    }

    fn moves(&self, device: &Device<W, E, P>, world: &World) -> Vec<Move> {
        let mut moves: Vec<_> = (0..device.taken.len()).map(Move::Acknowledge).collect();
        if u16::from(world.pushed) < self.pushes {
            moves.push(Move::Push);
        }
        if self.expire && device.seconds < 4 && !device.outbox.is_empty() {
            moves.push(Move::Wait);
        }
        moves.push(Move::Read);
        moves
    }
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Messages<W, E, P> {
    type World = World;
    type Session = Device<W, E, P>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Self::Session, Violation> {
        let boot = |flash, world: &_| Device::boot(flash, self.config, world);
        booted(flash, world, boot, Device::comes_to_rest)
    }

    fn choices(&self, session: &Self::Session, world: &World) -> usize {
        self.moves(session, world).len()
    }

    fn step(
        &self,
        choice: usize,
        session: &mut Self::Session,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let moves = world.read(|world| self.moves(session, world));
        match moves.get(choice) {
            Some(Move::Push) => {
                world.update(|world| world.pushed += 1);
                session.push(self.expire, world).map(drop)
            }
            Some(Move::Acknowledge(at)) => session.acknowledge(*at, world),
            Some(Move::Read) => session.read(world),
            Some(Move::Wait) => {
                session.seconds += 2;
                session.pump(world)
            }
            None => Err(Violation::new("there is no such choice")),
        }
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.store.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        session.store.add_session(key);
        let text = format!(
            "{:?}{:?}{:?}",
            session.outbox, session.taken, session.seconds
        );
        key.bytes(text.as_bytes());
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
