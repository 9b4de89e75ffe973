//! A device: the real inbox on real records on flash, and its driver.

use iot_core::codec::encode_into;
use iot_core::command::{Class, Inbox, Outcome, Request, Response};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records as _;
use iot_core::sim::SimFlash;
use iot_core::sim::power::{KeyHasher, Violation, WorldCell};
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, IssuerId, Message, Now, Ticket};

use super::world::{COMMANDS, Life, MOMENT, Terms, Which, World, truth};
use super::{Job, effects};

const WINDOW: usize = 4;
const RESULTS: usize = 2;
const KEYS: usize = 16;
/// Where the transactional effects lie.
pub(crate) const EFFECTS: RecordKey = RecordKey::new(0x0900);
/// Two bits for each command.
pub(crate) const EFFECT_BYTES: usize = COMMANDS / 4;

pub(crate) type Store<const W: usize, const E: usize, const P: usize> =
    FlashRecords<SimFlash<W, E>, P, KEYS>;

#[derive(Clone)]
pub(crate) struct Device<const W: usize, const E: usize, const P: usize, const I: usize> {
    pub(crate) store: Store<W, E, P>,
    inbox: Inbox<Job, I, WINDOW, RESULTS, EFFECT_BYTES>,
    /// What its handlers are at.
    pub(crate) running: Vec<Which>,
    /// What it knows of the time.
    now: Now,
}

/// No boot knows the time before it is told.
const BOOTED: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

impl<const W: usize, const E: usize, const P: usize, const I: usize> Device<W, E, P, I> {
    /// Boots, looks whether everything is there, and does what is then due.
    pub(crate) fn boot(
        lives: &[Life],
        flash: SimFlash<W, E>,
        config: Config,
        world: &WorldCell<World>,
    ) -> Result<Self, Violation> {
        let store = block_on(Store::open(flash, 0..(P * E) as u32, config));
        let mut store = store.map_err(Violation::new)?;
        let counts = effects(&mut store)?;
        world.update(|world| world.finds(lives, &counts))?;
        let mut inbox = Inbox::with_effects(RecordKey::new(0x0200));
        for life in lives {
            let allowed = inbox.allow(IssuerId::new(life.issuer));
            allowed.map_err(Violation::new)?;
        }
        block_on(restore(&mut inbox, &mut store, BOOTED, &mut [0; 256])).map_err(Violation::new)?;
        if inbox.is_damaged() {
            return Err(Violation::new("the inbox cannot read its records"));
        }
        let mut device = Self {
            store,
            inbox,
            running: Vec::new(),
            now: BOOTED,
        };
        device.pump(lives, world)?;
        Ok(device)
    }

    /// A message arrives.
    pub(crate) fn deliver(
        &mut self,
        lives: &[Life],
        which: Which,
        settled: u8,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        self.receive(lives, which, world, |request| {
            request.settled_below(settled.into())
        })
    }

    /// The wish to take a command back arrives.
    pub(crate) fn take_back(
        &mut self,
        lives: &[Life],
        which: Which,
        settled: u8,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        self.receive(lives, which, world, |request| {
            request.settled_below(settled.into()).cancel()
        })
    }

    /// Somebody tells the device what time it is.
    pub(crate) fn is_told_the_time(
        &mut self,
        lives: &[Life],
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        self.now.wall = world.read(|world| truth(world.has_come));
        self.pump(lives, world)
    }

    pub(crate) fn knows_the_time(&self) -> bool {
        self.now.wall != BOOTED.wall
    }

    fn receive(
        &mut self,
        lives: &[Life],
        which: Which,
        world: &WorldCell<World>,
        says: impl for<'b> FnOnce(Request<'b>) -> Request<'b>,
    ) -> Result<(), Violation> {
        let life = lives[which.life];
        let job = Job {
            class: life.class(which.sequence),
            lane: if life.one_lane {
                0
            } else {
                which.index() as u8
            },
        };
        let (mut command, mut bytes) = ([0; 32], [0; 128]);
        let command = encode_into(&mut command, |out| out.encode(job)?.ok());
        let command = command.map_err(Violation::new)?;
        let request = says(Request::new(which.id(lives), command));
        let request = match life.terms(which.sequence) {
            Terms::Expires => request.expires_at(Some(MOMENT)),
            Terms::NotBefore => request.not_before(Some(MOMENT)),
            Terms::Now | Terms::TakenBack => request,
        };
        let len = request.encode(&mut bytes);
        let len = len.ok_or_else(|| Violation::new("a request is too long"))?;
        let message = Message::new(Channel::Command, &bytes[..len]);
        self.inbox.input(self.now, &Event::Message(message));
        self.pump(lives, world)
    }

    /// Whether a handler may begin.
    pub(crate) fn has_started(&self) -> bool {
        self.inbox.deadline() == Some(Instant::ZERO)
    }

    /// A handler begins; what is not transactional takes effect at once.
    pub(crate) fn run(
        &mut self,
        lives: &[Life],
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let Some(job) = self.inbox.next() else {
            return Err(Violation::new("the inbox has nothing to hand out"));
        };
        let which = Which::of(job.id, lives)?;
        world.update(|world| {
            world.begins(lives, which, job.resumed)?;
            match job.command.class {
                Class::Transactional => Ok(()),
                // A probe that tells the truth.
                Class::Probed if job.resumed && world.took_effect(which) => Ok(()),
                _ => world.takes_effect(lives, which),
            }
        })?;
        self.running.push(which);
        Ok(())
    }

    /// A handler ends.
    pub(crate) fn finish(
        &mut self,
        lives: &[Life],
        at: usize,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let which = self.running.remove(at);
        let id = which.id(lives);
        let finished = if lives[which.life].class(which.sequence) == Class::Transactional {
            let mut counts = effects(&mut self.store)?;
            counts[which.index()] += 1;
            let pack = |packed, (at, count): (usize, &u8)| packed | u64::from(*count) << (2 * at);
            let packed = counts.iter().enumerate().fold(0, pack).to_le_bytes();
            self.inbox.finish_with(id, Outcome::DONE, EFFECTS, &packed)
        } else {
            self.inbox.finish(id, Outcome::DONE)
        };
        finished.map_err(Violation::new)?;
        self.pump(lives, world)
    }

    /// Everything that is due runs and ends.
    pub(crate) fn carry_out(
        &mut self,
        lives: &[Life],
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        loop {
            while self.has_started() {
                self.run(lives, world)?;
            }
            if self.running.is_empty() {
                return Ok(());
            }
            self.finish(lives, 0, world)?;
        }
    }

    /// Takes every step that the inbox wants.
    fn pump(&mut self, lives: &[Life], world: &WorldCell<World>) -> Result<(), Violation> {
        let mut buffer = [0; 512];
        loop {
            let done = match self.inbox.step(self.now, &mut buffer) {
                Step::Idle => return Ok(()),
                Step::Persist(batch) => {
                    let effective = batch.iter().any(|(key, _)| key == EFFECTS);
                    block_on(self.store.commit(&batch)).map_err(Violation::new)?;
                    if effective {
                        let counts = effects(&mut self.store)?;
                        world.update(|world| world.finds(lives, &counts))?;
                    }
                    Done::Persisted
                }
                Step::Send(message) => {
                    let response = Response::decode(message.payload).map_err(Violation::new)?;
                    let which = Which::of(response.id, lives)?;
                    world.update(|world| world.hears(lives, which, &response.answer))?;
                    Done::Sent(Ticket::new(0))
                }
                _ => Done::Failed(Failure::Effect),
            };
            self.inbox.done(self.now, done);
        }
    }

    /// Adds what is in RAM, but for what the flash tells.
    pub(crate) fn add(&self, key: &mut KeyHasher) {
        // In one piece: a word of the hash for each comma would cost a quarter of the run.
        let text = format!("{:?}{:?}{:?}", self.inbox, self.running, self.now);
        key.bytes(text.as_bytes());
    }
}
