//! A rotation on flash, under the explorer: it enrols and renews, answers are lost, candidates are refused.
//!
//! The key store and the service are the world, which survives every cut. What must hold after each boot and each
//! step: once an identity was current there always is one whose key is there and which the service has taken. From
//! every state in which nothing is unstable the device comes to rest with a current identity.

use iot_core::crypto::{Signature, SlotId};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records as _;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::sim::{SimEntropy, SimFlash};
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, DeviceId, Instant, Message, Now, Ticket, Timestamp};
use iot_identity::enrol::Request;
use iot_identity::rotate::sim::toy;
use iot_identity::rotate::{Identity, Policy, Rotation, Session, Standing, Want};

use crate::engines::IN_USE;
use crate::rest::booted;

const KEYS: usize = 8;
const FIRST: RecordKey = RecordKey::new(0x100);
const SLOTS: [SlotId; 2] = [SlotId::new(1), SlotId::new(2)];
const START_MS: u64 = 1_800_000_000_000;
const MONTH_MS: u64 = 30 * 86_400_000;
/// Keys that can be made.
const MADE: usize = 24;

type Store<const W: usize, const E: usize, const P: usize> = FlashRecords<SimFlash<W, E>, P, KEYS>;
type Certificates = Rotation<SimEntropy, 256>;

/// So many renewals, of a device that is new or in use.
pub(crate) struct Renewals<const W: usize, const E: usize, const P: usize> {
    renewals: u16,
    /// How many it has behind it when the exploration begins; `None` before it has enrolled.
    behind: Option<u16>,
    config: Config,
}

/// The key store and the service.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    /// Which key each slot holds, from 1.
    keys: [u8; 2],
    made: u8,
    /// A front has answered on a session that showed the certificate of this key.
    taken: [bool; MADE],
    /// An identity has become current.
    enrolled: bool,
    renewed: u8,
    lost: u8,
    refused: u8,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Rest,
    Answer(u64),
    Probe(SlotId),
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Renew,
    Answer(u64),
    Lose,
    Open(SlotId),
    Refuse(SlotId),
}

#[derive(Clone)]
pub(crate) struct Device<const W: usize, const E: usize, const P: usize> {
    store: Store<W, E, P>,
    rotation: Certificates,
    at: At,
    up_ms: u64,
}

fn index(slot: SlotId) -> usize {
    usize::from(slot.get() - 1)
}

fn certificate(key: u64) -> Option<Vec<u8>> {
    let public = toy::public(key)?;
    let (from, to) = (START_MS - 300_000, START_MS + MONTH_MS);
    Some(toy::certificate(key, &public, from, to))
}

impl<const W: usize, const E: usize, const P: usize> Device<W, E, P> {
    fn boot(
        flash: SimFlash<W, E>,
        config: Config,
        world: &WorldCell<World>,
    ) -> Result<Self, Violation> {
        let store = block_on(Store::open(flash, 0..(P * E) as u32, config));
        let mut store = store.map_err(Violation::new)?;
        let device = DeviceId::new("boiler-7").map_err(Violation::new)?;
        let policy = Policy::default().probes(1);
        let mut rotation = Certificates::new(device, SLOTS, FIRST, policy, SimEntropy::new(1));
        let mut device = Self {
            at: At::Rest,
            up_ms: 0,
            rotation: rotation.clone(),
            store: store.clone(),
        };
        block_on(restore(
            &mut rotation,
            &mut store,
            device.now(),
            &mut [0; 320],
        ))
        .map_err(Violation::new)?;
        (device.rotation, device.store) = (rotation, store);
        device.pump(world)?;
        Ok(device)
    }

    const fn now(&self) -> Now {
        let wall = TimeBounds::exact(Timestamp::from_millis(START_MS));
        Now::new(Instant::from_millis(self.up_ms), wall)
    }

    /// Does what the rotation wants, up to what somebody else decides.
    fn pump(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        let mut buffer = [0; 640];
        let mut signature = Signature::empty();
        let signs = signature.set(&[7; 64]);
        for _ in 0..200 {
            let now = self.now();
            let done = match self.rotation.step(now, &mut buffer) {
                Step::Idle => {
                    if self.is_waiting(world)? {
                        return self.holds(world);
                    }
                    continue;
                }
                Step::Persist(batch) => {
                    block_on(self.store.commit(&batch)).map_err(Violation::new)?;
                    if batch.iter().any(|(key, _)| key == FIRST) {
                        world.update(|world| world.enrolled = true);
                    }
                    Done::Persisted
                }
                Step::Sign { .. } if signs => Done::Signed(&signature),
                Step::Send(message) => {
                    let request = Request::decode(message.payload).map_err(Violation::new)?;
                    let key = toy::requested(request.csr);
                    let key = key.ok_or_else(|| Violation::new("a request without a key"))?;
                    self.at = At::Answer(toy::number(&key));
                    self.rotation.done(now, Done::Sent(Ticket::new(1)));
                    return self.holds(world);
                }
                _ => Done::Failed(Failure::Effect),
            };
            self.rotation.done(now, done);
        }
        Err(Violation::new("it never waits for anybody"))
    }

    /// Does one thing that only the device can do; true when it waits for somebody else.
    fn is_waiting(&mut self, world: &WorldCell<World>) -> Result<bool, Violation> {
        let now = self.now();
        let slot = match self.rotation.wants(now) {
            None if self.rotation.standing() == Standing::Enrolled => {
                self.at = At::Rest;
                return Ok(true);
            }
            None => {
                let at = self.rotation.deadline();
                let at = at.ok_or_else(|| Violation::new("it waits for nothing"))?;
                self.up_ms = at.as_millis();
                return Ok(false);
            }
            Some(Want::Session(Identity::Own(slot)))
                if self.rotation.identity() != Identity::Own(slot) =>
            {
                self.at = At::Probe(slot);
                return Ok(true);
            }
            Some(Want::Session(identity)) => {
                self.rotation.session(now, identity, Session::Open);
                return Ok(false);
            }
            Some(Want::Generate(slot)) => {
                world.update(|world| {
                    world.made += 1;
                    world.keys[index(slot)] = world.made;
                });
                slot
            }
            Some(Want::Destroy(slot)) => {
                world.update(|world| world.keys[index(slot)] = 0);
                slot
            }
            Some(Want::Inspect(slot)) => slot,
            Some(want) => return Err(Violation::new(format!("{want:?}"))),
        };
        let key = world.read(|world| world.keys[index(slot)]);
        let key = (key > 0).then(|| toy::public(key.into())).flatten();
        self.rotation.holds(now, slot, key);
        Ok(false)
    }

    /// Once an identity was current there is one, with its key, that the service has taken.
    fn holds(&self, world: &WorldCell<World>) -> Result<(), Violation> {
        let world = world.read(Clone::clone);
        if !world.enrolled {
            return Ok(());
        }
        let Identity::Own(slot) = self.rotation.identity() else {
            return Err(Violation::new("there was a current identity"));
        };
        let key = world.keys[index(slot)];
        let expected = certificate(key.into());
        if self.rotation.chain(slot).next() != expected.as_deref() {
            return Err(Violation::new("the current certificate has no key"));
        }
        if !world.taken[usize::from(key)] {
            return Err(Violation::new(
                "the service never took the current certificate",
            ));
        }
        Ok(())
    }

    fn makes(&mut self, choice: Move, world: &WorldCell<World>) -> Result<(), Violation> {
        let now = self.now();
        match choice {
            Move::Renew => {
                world.update(|world| world.renewed += 1);
                self.rotation.renew();
            }
            Move::Answer(key) => {
                let certificate = certificate(key).unwrap_or_default();
                let answer = toy::answer(&certificate).unwrap_or_default();
                let message = Message::new(Channel::Enrol, &answer);
                self.rotation.input(now, &Event::Message(message));
            }
            Move::Lose => world.update(|world| world.lost += 1),
            Move::Open(slot) => {
                world.update(|world| {
                    let key = world.keys[index(slot)];
                    world.taken[usize::from(key)] = true;
                });
                self.rotation
                    .session(now, Identity::Own(slot), Session::Open);
            }
            Move::Refuse(slot) => {
                world.update(|world| world.refused += 1);
                self.rotation
                    .session(now, Identity::Own(slot), Session::Refused);
            }
        }
        self.pump(world)
    }

    /// Everything is answered and taken, and no power is cut.
    fn comes_to_rest(&mut self, world: &WorldCell<World>) -> Result<(), Violation> {
        for _ in 0..20 {
            match self.at {
                At::Rest => return Ok(()),
                At::Answer(key) => self.makes(Move::Answer(key), world)?,
                At::Probe(slot) => self.makes(Move::Open(slot), world)?,
            }
        }
        Err(Violation::new("it does not come to rest"))
    }
}

impl<const W: usize, const E: usize, const P: usize> Renewals<W, E, P> {
    pub(crate) const fn new(renewals: u16, behind: Option<u16>, config: Config) -> Self {
        Self {
            renewals,
            behind,
            config,
        }
    }

    /// How many pages are retired while everything that is explored happens once, without a cut.
    pub(crate) fn compactions(&self, mode: Mode) -> u64 {
        let erases = |renewals| Ok::<_, Violation>(self.after(mode, renewals)?.0);
        let behind = match self.behind {
            Some(behind) => erases(Some(behind)),
            // Two pages are opened before any is retired.
            None => Ok(IN_USE.into()),
        };
        let last = self.behind.unwrap_or(0) + self.renewals;
        match (behind, erases(Some(last))) {
            (Ok(before), Ok(after)) => after.saturating_sub(before),
            _ => 0,
        }
    }

    /// A device as it is when the exploration begins.
    pub(crate) fn begin(&self, mode: Mode) -> Option<(FlashImage<W, E>, World)> {
        let (_, image, mut world) = self.after(mode, self.behind).ok()?;
        world.renewed = 0;
        Some((image, world))
    }

    /// How many pages were erased after so many renewals, and what is there then.
    fn after(
        &self,
        mode: Mode,
        renewals: Option<u16>,
    ) -> Result<(u64, FlashImage<W, E>, World), Violation> {
        let world = WorldCell::new(World::default());
        let flash = SimFlash::<W, E>::new(P as u16, mode);
        let Some(renewals) = renewals else {
            return Ok((0, flash.image().clone(), World::default()));
        };
        let mut device = Device::<W, E, P>::boot(flash, self.config, &world)?;
        device.comes_to_rest(&world)?;
        for _ in 0..renewals {
            device.makes(Move::Renew, &world)?;
            device.comes_to_rest(&world)?;
        }
        let flash = device.store.flash();
        let known = world.read(Clone::clone);
        Ok((flash.counters().erases, flash.image().clone(), known))
    }

    fn moves(&self, at: At, world: &World) -> Vec<Move> {
        let mut moves = Vec::new();
        match at {
            At::Rest if u16::from(world.renewed) < self.renewals => moves.push(Move::Renew),
            At::Rest => {}
            At::Answer(key) => {
                moves.push(Move::Answer(key));
                moves.extend((world.lost < 1).then_some(Move::Lose));
            }
            At::Probe(slot) => {
                moves.push(Move::Open(slot));
                moves.extend((world.refused < 1).then_some(Move::Refuse(slot)));
            }
        }
        moves
    }
}

impl<const W: usize, const E: usize, const P: usize> Subject<W, E> for Renewals<W, E, P> {
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
        self.moves(session.at, world).len()
    }

    fn step(
        &self,
        choice: usize,
        session: &mut Self::Session,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let moves = world.read(|world| self.moves(session.at, world));
        let choice = moves.get(choice).copied();
        let choice = choice.ok_or_else(|| Violation::new("there is no such choice"))?;
        session.makes(choice, world)
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.store.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        session.store.add_session(key);
        let text = format!("{:?}{:?}{}", session.rotation, session.at, session.up_ms);
        key.bytes(text.as_bytes());
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}
