//! A device's twin on flash, under the explorer: deltas of any age, reports, answers, edits by hand, reboots.
//!
//! The service is the world: every delta that it may ever have sent can arrive at any time, any number of times, or
//! never. What must hold after each boot and each step: nothing that a report has told goes back (up to where the
//! device has everything, and which desired value it answers for); that claim is true; what was said to be overridden
//! by hand stays so until something newer is desired; no version is ever given to two values. From every state in
//! which nothing is unstable both sides become equal, and the service learns every value from what is told after that
//! boot alone.
//!
//! Numbers of reports grow with every boot, and only their order means anything. So that there is a fixpoint, flash
//! holds in the place of a reserve only the how manieth it is, modulo three: enough to tell the last from the one before
//! it and from the next. After each boot the device counts from the same number, and it is a violation when the reserve
//! on record is an older one than was ever seen there.

use core::hash::Hash;

use iot_core::engine::{BatchWriter, Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node::block_on;
use iot_core::port::Records as _;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::Mode;
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_twin::{Code, Twin, TwinDevice};
use minicbor::{Decoder, Encoder};

use crate::engines::IN_USE;

#[derive(Clone, Twin)]
struct Door {
    #[twin(desired)]
    open: bool,
    #[twin(desired)]
    level: u8,
    #[twin(reported)]
    passed: u8,
}

const KEYS: usize = 8;
/// Desired fields, numbered from 0.
const FIELDS: usize = 2;
/// The most values that are ever desired.
const DESIRES: usize = 4;
/// Reserves on flash: [`RESERVES`] and how many there were before, modulo [`RING`]; all have one length.
const RESERVES: u64 = 4_096;
const RING: u64 = 3;
/// From where on a device with a reserve counts.
const COUNTED: u64 = 8_192;

type Store<const W: usize, const E: usize, const P: usize> = FlashRecords<SimFlash<W, E>, P, KEYS>;
/// Room for one pending change: two that come together are one after the other.
type Device = TwinDevice<Door, 1>;

/// So many values are desired, of one field or of either.
pub(crate) struct Desires<const W: usize, const E: usize, const P: usize> {
    desires: u16,
    fields: u8,
    config: Config,
}

/// What a report has told of a desired field.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Told {
    answered: u8,
    code: u16,
    value: u8,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    /// Which field was desired under each version, from 1.
    desired: [u8; DESIRES],
    version: u8,
    contiguous: u8,
    told: [Told; FIELDS],
    /// The newest reserve that was seen on record.
    reserve: u64,
}

/// A field, its version and value, and what was answered to which desired version.
type Reported = (u16, u64, u8, Option<(u8, u16)>);

/// A report, as far as it is looked at.
#[derive(Debug, Default)]
struct Report {
    contiguous: u8,
    to: u64,
    /// Field, number, value, and the answer to a desired field.
    fields: Vec<Reported>,
}

#[derive(Clone)]
pub(crate) struct Session<const W: usize, const E: usize, const P: usize> {
    store: Store<W, E, P>,
    device: Device,
    /// The reserve on record: up to which number, and the how manieth.
    reserved: (u64, u64),
    /// What was told last of each field since the boot: number and value.
    sent: [(u64, u8); FIELDS + 1],
    highest: u64,
    taken: u64,
    told: u64,
    /// One thing that does not come from a delta happens between two boots.
    happened: bool,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Desire(u8),
    /// The delta over these versions.
    Deliver(u8, u8),
    Ask,
    Take,
    Answer,
    Measure,
    Edit,
}

impl World {
    fn latest(&self, field: usize, upto: u8) -> u8 {
        let is_field = |version: &u8| self.desired[usize::from(*version) - 1] == field as u8;
        (1..=upto).rev().find(is_field).unwrap_or(0)
    }

    /// What is desired under a version; no two are alike, but that a door is open or not.
    const fn value(field: usize, version: u8) -> u8 {
        if field == 0 { version % 2 } else { version }
    }

    /// The delta that a service may send once `to` versions were given.
    fn delta(&self, base: u8, to: u8, acknowledged: u64, want: bool) -> Vec<u8> {
        let mut leaves: Vec<_> = (0..FIELDS)
            .map(|field| (self.latest(field, to), field))
            .filter(|(version, _)| *version > base)
            .collect();
        leaves.sort_unstable();
        let mut out = Encoder::new(Vec::new());
        let mut write = || {
            out.array(8)?.u8(1)?.u8(0)?.u8(1)?.u8(base)?.u8(to)?;
            out.u64(acknowledged)?.bool(want)?;
            out.array(leaves.len() as u64)?;
            for &(version, field) in &leaves {
                out.array(3)?.u8(field as u8)?.u8(version)?;
                match (field, Self::value(field, version)) {
                    (0, value) => out.bool(value == 1)?,
                    (_, value) => out.u8(value)?,
                };
            }
            Ok::<(), minicbor::encode::Error<core::convert::Infallible>>(())
        };
        // A vector takes everything.
        let _ = write();
        out.into_writer()
    }

    /// Holds what is told of a desired field against what was told before.
    fn hears(&mut self, field: usize, now: Told) -> Result<(), Violation> {
        let before = core::mem::replace(&mut self.told[field], now);
        let wrong = |what| Err(Violation::new(format!("{what}: {before:?}, then {now:?}")));
        if now.answered < before.answered {
            return wrong("an answer went back");
        }
        let overridden = Code::OVERRIDDEN.get();
        if now.answered == before.answered && before.code == overridden && now.code != overridden {
            return wrong("what was done by hand is undone");
        }
        let desired = Self::value(field, now.answered);
        if now.code == Code::APPLIED.get() && now.value != desired {
            return wrong("another value was applied than was desired");
        }
        Ok(())
    }
}

impl Report {
    fn read(payload: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let mut input = Decoder::new(payload);
        let mut report = Self::default();
        input.array()?;
        for _ in 0..3 {
            input.skip()?;
        }
        report.contiguous = input.u8()?;
        input.skip()?;
        input.skip()?;
        input.skip()?;
        for _ in 0..input.array()?.unwrap_or(0) {
            let len = input.array()?;
            let (field, number) = (input.u16()?, input.u64()?);
            let value = match input.datatype()? {
                minicbor::data::Type::Bool => u8::from(input.bool()?),
                minicbor::data::Type::Null => input.null().map(|()| 0xff)?,
                _ => input.u8()?,
            };
            let answer = match len {
                Some(5) => Some((input.u8()?, input.u16()?)),
                _ => None,
            };
            report.fields.push((field, number, value, answer));
        }
        report.to = input.u64()?;
        Ok(report)
    }
}

/// The device's own record with its reserve, the fourth of its numbers, put onto the ring or taken from it.
fn with_reserve(record: &[u8], change: impl Fn(u64) -> u64) -> Option<(Vec<u8>, u64)> {
    let mut input = Decoder::new(record);
    input.array().ok()?;
    for _ in 0..3 {
        input.skip().ok()?;
    }
    let start = input.position();
    let reserved = input.u64().ok()?;
    let mut bytes = record[..start].to_vec();
    Encoder::new(&mut bytes).u64(change(reserved)).ok()?;
    bytes.extend(&record[input.position()..]);
    Some((bytes, reserved))
}

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

impl<const W: usize, const E: usize, const P: usize> Session<W, E, P> {
    fn boot(
        flash: SimFlash<W, E>,
        config: Config,
        world: &WorldCell<World>,
    ) -> Result<Self, Violation> {
        let store = block_on(Store::open(flash, 0..(P * E) as u32, config));
        let mut session = Self {
            store: store.map_err(Violation::new)?,
            device: Device::new(),
            reserved: (0, 0),
            sent: [(0, 0); FIELDS + 1],
            highest: 0,
            taken: 0,
            told: 0,
            happened: false,
        };
        let (mut buffer, mut from) = ([0; 128], RecordKey::new(0));
        while let Some(key) = block_on(session.store.next_key(from)).map_err(Violation::new)? {
            let value = block_on(session.store.read(key, &mut buffer)).map_err(Violation::new)?;
            let mut value = value.unwrap_or_default().to_vec();
            if key == Device::RECORDS {
                let record = with_reserve(&value, |_| COUNTED);
                let (bytes, kept) = record.ok_or_else(|| Violation::new("no reserve on record"))?;
                session.finds(kept - RESERVES, world)?;
                value = bytes;
            }
            let value = &value;
            session.device.input(NOW, &Event::Record { key, value });
            from = key.offset(1).unwrap_or(key);
        }
        session.device.input(NOW, &Event::Restored);
        session
            .device
            .input(NOW, &Event::Connected { resumed: false });
        session.pump(world)?;
        Ok(session)
    }

    /// A reserve is on record: the last one that was seen, or the one that was written after it.
    fn finds(&mut self, reserve: u64, world: &WorldCell<World>) -> Result<(), Violation> {
        let before = world.read(|world| world.reserve);
        if (reserve + RING - before) % RING > 1 {
            return Err(Violation::new("the reserve on record is an ancient one"));
        }
        world.update(|world| world.reserve = reserve);
        (self.reserved, self.highest) = ((COUNTED, reserve), COUNTED);
        Ok(())
    }

    /// Takes every step that the device wants.
    fn pump(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        let (mut buffer, mut other) = ([0; 256], [0; 256]);
        for _ in 0..100 {
            let done = match self.device.step(NOW, &mut buffer) {
                Step::Idle => return Ok(()),
                Step::Persist(batch) => {
                    let mut writer = BatchWriter::new(&mut other);
                    let mut reserved = self.reserved;
                    for (key, value) in batch.iter() {
                        let value = value.ok_or_else(|| Violation::new("a record is removed"))?;
                        let mut value = value.to_vec();
                        if key == Device::RECORDS {
                            (value, reserved) = self.reserves(&value)?;
                        }
                        writer.put(key, &value).map_err(Violation::new)?;
                    }
                    block_on(self.store.commit(&writer.finish())).map_err(Violation::new)?;
                    self.reserved = reserved;
                    world.update(|world| world.reserve = reserved.1);
                    Done::Persisted
                }
                Step::Send(message) => {
                    let report = Report::read(message.payload).map_err(Violation::new)?;
                    self.tells(&report, world)?;
                    Done::Sent(Ticket::new(1))
                }
                _ => Done::Failed(Failure::Effect),
            };
            self.device.done(NOW, done);
        }
        Err(Violation::new("it never comes to rest"))
    }

    /// The device's own record as it goes onto flash, and which reserve it holds.
    fn reserves(&self, record: &[u8]) -> Result<(Vec<u8>, (u64, u64)), Violation> {
        let (upto, reserve) = self.reserved;
        let next = |number| match number > upto {
            true => (reserve + 1) % RING,
            false => reserve,
        };
        let record = with_reserve(record, |number| RESERVES + next(number));
        let (bytes, number) = record.ok_or_else(|| Violation::new("no reserve to record"))?;
        if number < upto {
            return Err(Violation::new("a reserve is given back"));
        }
        Ok((bytes, (number, next(number))))
    }

    /// Holds a report against everything that was told before.
    fn tells(&mut self, report: &Report, world: &WorldCell<World>) -> Result<(), Violation> {
        self.told = report.to;
        for &(field, number, value, answer) in &report.fields {
            let sent = &mut self.sent[usize::from(field)];
            if number != sent.0 && (number <= self.highest || number > self.reserved.0) {
                return Err(Violation::new(format!("{number} is used, or not reserved")));
            }
            if number == sent.0 && value != sent.1 {
                return Err(Violation::new(format!("{number} stands for two values")));
            }
            *sent = (number, value);
            self.highest = self.highest.max(number);
            if let Some((answered, code)) = answer {
                let told = Told {
                    answered,
                    code,
                    value,
                };
                world.update(|world| world.hears(usize::from(field), told))?;
            }
        }
        world.update(|world| {
            if report.contiguous < world.contiguous || report.contiguous > world.version {
                return Err(Violation::new(
                    "a claim of having everything was taken back",
                ));
            }
            world.contiguous = report.contiguous;
            Ok(())
        })
    }

    fn deliver(&mut self, delta: &[u8], world: &WorldCell<World>) -> Result<(), Violation> {
        let message = Message::new(Channel::Twin, delta);
        self.device.input(NOW, &Event::Message(message));
        self.pump(world)
    }

    fn makes(&mut self, choice: Move, world: &WorldCell<World>) -> Result<(), Violation> {
        match choice {
            Move::Desire(field) => {
                world.update(|world| {
                    world.desired[usize::from(world.version)] = field;
                    world.version += 1;
                });
                Ok(())
            }
            Move::Deliver(base, to) => {
                let delta = world.read(|world| world.delta(base, to, self.taken, false));
                self.deliver(&delta, world)
            }
            Move::Ask => {
                self.happened = true;
                let delta = world
                    .read(|world| world.delta(world.contiguous, world.version, self.taken, true));
                self.deliver(&delta, world)
            }
            Move::Take => {
                self.taken = self.told;
                let delta = world.read(|world| {
                    world.delta(world.contiguous, world.contiguous, self.taken, false)
                });
                self.deliver(&delta, world)
            }
            Move::Answer => {
                if let Some(change) = self.device.changed() {
                    self.device.acknowledge(change.version, true);
                }
                self.pump(world)
            }
            Move::Measure => {
                self.happened = true;
                self.device
                    .report(|door| door.passed = 1 - door.passed.min(1));
                self.pump(world)
            }
            Move::Edit => {
                self.happened = true;
                self.device.report(|door| door.open = !door.open);
                self.pump(world)
            }
        }
    }

    /// Everything arrives and is answered, and no power is cut.
    fn comes_to_rest(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        let version = world.read(|world| world.version);
        for _ in 0..20 {
            if self.device.has_changed() {
                self.makes(Move::Answer, world)?;
            }
            let contiguous = world.read(|world| world.contiguous);
            if contiguous < version {
                self.makes(Move::Deliver(contiguous, version), world)?;
            } else if self.taken < self.told {
                self.makes(Move::Take, world)?;
            } else if self.device.is_settled() {
                return self.is_equal(world);
            } else {
                self.makes(Move::Deliver(version, version), world)?;
            }
        }
        Err(Violation::new("both sides do not come to rest"))
    }

    /// Each desired value is answered for, and every value was told since this boot.
    fn is_equal(&self, world: &WorldCell<World>) -> Result<(), Violation> {
        let world = world.read(Clone::clone);
        let state = self.device.state();
        let values = [u8::from(state.open), state.level];
        for (field, value) in values.into_iter().enumerate() {
            let told = world.told[field];
            let latest = world.latest(field, world.version);
            if told.answered != latest || told.code == Code::PENDING.get() {
                return Err(Violation::new(format!("{latest} is desired, {told:?}")));
            }
            let (number, sent) = self.sent[field];
            let is_known = latest > 0 || value > 0;
            if is_known && (number == 0 || sent != value) {
                return Err(Violation::new(format!(
                    "{value} was told as {sent} under {number}"
                )));
            }
        }
        Ok(())
    }
}

impl<const W: usize, const E: usize, const P: usize> Desires<W, E, P> {
    pub(crate) const fn new(desires: u16, fields: u8, config: Config) -> Self {
        Self {
            desires,
            fields,
            config,
        }
    }

    /// How many pages are compacted when each value is desired, delivered and answered for, and something is then
    /// done by hand, each time after a boot.
    pub(crate) fn compactions(&self, mode: Mode) -> u64 {
        let erases = self.erases_without_cuts(mode).unwrap_or(0);
        erases.saturating_sub(IN_USE.into())
    }

    fn erases_without_cuts(&self, mode: Mode) -> Result<u64, Violation> {
        let world = WorldCell::new(World::default());
        let boot = |flash| Session::<W, E, P>::boot(flash, self.config, &world);
        let mut session = boot(SimFlash::new(P as u16, mode))?;
        for version in 1..=self.desires as u8 {
            session.makes(Move::Desire(version % self.fields), &world)?;
            session.makes(Move::Deliver(version - 1, version), &world)?;
            session.makes(Move::Answer, &world)?;
            session.makes(Move::Edit, &world)?;
            session = boot(session.store.flash().clone())?;
        }
        Ok(session.store.flash().counters().erases)
    }

    fn moves(&self, session: &Session<W, E, P>, world: &World) -> Vec<Move> {
        let mut moves = Vec::new();
        if u16::from(world.version) < self.desires {
            moves.extend((0..self.fields).map(Move::Desire));
        }
        for to in 1..=world.version {
            moves.extend((0..to).map(|base| Move::Deliver(base, to)));
        }
        if session.taken < session.told {
            moves.push(Move::Take);
        }
        if session.device.has_changed() {
            moves.push(Move::Answer);
        }
        if !session.happened {
            moves.extend([Move::Measure, Move::Edit, Move::Ask]);
        }
        moves
    }
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Desires<W, E, P> {
    type World = World;
    type Session = Session<W, E, P>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Self::Session, Violation> {
        let is_stable = flash.image().unstable_units() == 0;
        let before = is_stable.then(|| (flash.image().clone(), world.read(Clone::clone)));
        let session = Session::boot(flash, self.config, world)?;
        if let Some((image, known)) = before {
            let quiet = WorldCell::new(known);
            let flash = SimFlash::from_image(image);
            Session::<W, E, P>::boot(flash, self.config, &quiet)?.comes_to_rest(&quiet)?;
        }
        Ok(session)
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
        let choice = moves.get(choice).copied();
        let choice = choice.ok_or_else(|| Violation::new("there is no such choice"))?;
        session.makes(choice, world)
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.store.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        session.store.add_session(key);
        key.bytes(&session.device.memory());
        let (sent, happened) = (session.sent, session.happened);
        let rest = format!("{:?}{sent:?}{happened}", session.reserved);
        let rest = format!("{rest}{} {}", session.taken, session.told);
        key.bytes(rest.as_bytes());
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
