//! The command engine with its journal on flash, under the explorer: every order of messages, every cut.
//!
//! A script names the lives of issuers and the messages that each sends. Any message that was sent may arrive never,
//! once, often and at any later time; handlers begin and end at any time. So the choices of the environment are all
//! that loss, repetition, reordering and ancient messages can do. After each boot the outside's claims are checked
//! once more, and a world without further cuts must come to rest: what is under way ends, and a new command of
//! every issuer is carried out.

mod device;
mod job;
mod world;

use iot_core::node::block_on;
use iot_core::port::Records as _;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{KeyHasher, Subject, Violation, WorldCell};
use iot_core::storage::log::Config;

use crate::rest::booted;
use device::{Device, Store};
use job::Job;
pub(crate) use world::{Life, Terms, World};
use world::{SEQUENCES, Which};

/// Lives of issuers that send commands to one device on flash.
pub(crate) struct Commands<const W: usize, const E: usize, const P: usize, const I: usize> {
    lives: Vec<Life>,
    config: Config,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    /// A message arrives that says what is settled.
    Deliver(Which, u8),
    /// The same, and it wants the command back.
    TakeBack(Which, u8),
    Run,
    Finish(usize),
    /// The device is told what time it is.
    TellTime,
    /// The moment comes of which the messages speak.
    PassTime,
}

impl<const W: usize, const E: usize, const P: usize, const I: usize> Commands<W, E, P, I> {
    pub(crate) const fn new(lives: Vec<Life>, config: Config) -> Self {
        Self { lives, config }
    }

    /// How many pages the script compacts when it runs once, in order, and without a cut.
    pub(crate) fn compactions(&self, mode: Mode) -> u64 {
        let erases = self.after(mode, usize::MAX).map(|(erases, _)| erases);
        erases.map_or(0, |erases| erases.saturating_sub(P as u64 - 2))
    }

    /// A device in use: `sent` messages of each life were carried out without a cut, and have never been lost.
    pub(crate) fn in_use(&self, mode: Mode, sent: usize) -> Option<(FlashImage<W, E>, World)> {
        Some(self.after(mode, sent).ok()?.1)
    }

    fn after(
        &self,
        mode: Mode,
        sent: usize,
    ) -> Result<(u64, (FlashImage<W, E>, World)), Violation> {
        let world = WorldCell::new(World::default());
        let flash = SimFlash::<W, E>::new(P as u16, mode);
        let mut device: Device<W, E, P, I> = Device::boot(&self.lives, flash, self.config, &world)?;
        for (at, life) in self.lives.iter().enumerate() {
            for &(sequence, settled) in life.sends.iter().take(sent) {
                let which = Which { life: at, sequence };
                device.deliver(&self.lives, which, settled, &world)?;
                device.carry_out(&self.lives, &world)?;
            }
        }
        let flash = device.store.flash();
        let known = world.read(Clone::clone);
        Ok((flash.counters().erases, (flash.image().clone(), known)))
    }

    fn moves(&self, device: &Device<W, E, P, I>, world: &World) -> Vec<Move> {
        let mut moves = Vec::new();
        for (at, life) in self.lives.iter().enumerate() {
            let is_through = |before: usize| {
                let mut sends = self.lives[before].sends.iter();
                sends.all(|&(sequence, _)| world.has_ended(before, sequence))
            };
            if life.in_turn && !(0..at).all(is_through) {
                continue;
            }
            let all = life.sends;
            let arriving = if life.in_order {
                let next = all
                    .iter()
                    .position(|&(sequence, _)| !world.has_ended(at, sequence));
                let next = next.unwrap_or(all.len() - 1);
                &all[next.saturating_sub(1)..=next]
            } else {
                all
            };
            let deliver = |&(sequence, settled): &(u8, u8)| {
                Move::Deliver(Which { life: at, sequence }, settled)
            };
            moves.extend(arriving.iter().map(deliver));
            if life.terms == Terms::TakenBack {
                moves.extend(arriving.iter().map(|&(sequence, settled)| {
                    Move::TakeBack(Which { life: at, sequence }, settled)
                }));
            }
        }
        if self.lives.iter().any(Life::is_timed) {
            if !device.knows_the_time() {
                moves.push(Move::TellTime);
            }
            if !world.has_come {
                moves.push(Move::PassTime);
            }
        }
        if device.has_started() {
            moves.push(Move::Run);
        }
        moves.extend((0..device.running.len()).map(Move::Finish));
        moves
    }

    fn make(
        &self,
        device: &mut Device<W, E, P, I>,
        world: &WorldCell<World>,
        step: Move,
    ) -> Result<(), Violation> {
        let lives = &self.lives;
        match step {
            Move::Deliver(which, settled) => device.deliver(lives, which, settled, world),
            Move::TakeBack(which, settled) => device.take_back(lives, which, settled, world),
            Move::Run => device.run(lives, world),
            Move::Finish(at) => device.finish(lives, at, world),
            Move::TellTime => device.is_told_the_time(lives, world),
            Move::PassTime => {
                world.update(|world| world.has_come = true);
                if device.knows_the_time() {
                    device.is_told_the_time(lives, world)?;
                }
                Ok(())
            }
        }
    }

    /// From here on no message is lost, no power is cut, and everybody knows that the moment has come.
    fn comes_to_rest(
        &self,
        device: &mut Device<W, E, P, I>,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let lives = &self.lives;
        world.update(|world| world.has_come = true);
        device.is_told_the_time(lives, world)?;
        for at in 0..lives.len() {
            if lives[at + 1..]
                .iter()
                .any(|later| later.issuer == lives[at].issuer)
            {
                continue;
            }
            // All that the newest life sent, and one more.
            let last = lives[at].sends.last().map_or(1, |(last, _)| last + 1);
            let sent = lives[at].sends.iter().map(|(sequence, _)| *sequence);
            let mut left: Vec<u8> = sent.chain([last]).collect();
            left.dedup();
            for _ in 0..=SEQUENCES {
                let Some(&settled) = left.first() else {
                    break;
                };
                for &sequence in &left {
                    let which = Which { life: at, sequence };
                    device.deliver(lives, which, settled, world)?;
                    device.carry_out(lives, world)?;
                }
                left.retain(|&sequence| !world.read(|world| world.has_ended(at, sequence)));
            }
            if let Some(sequence) = left.first() {
                return Err(Violation::new(format!(
                    "command {sequence} of life {at} does not end"
                )));
            }
            if !world.read(|world| world.was_done(at, last)) {
                return Err(Violation::new(format!(
                    "the new command of life {at} was not carried out"
                )));
            }
        }
        Ok(())
    }
}

impl<const W: usize, const E: usize, const P: usize, const I: usize> Subject<W, E>
    for Commands<W, E, P, I>
{
    type World = World;
    type Session = Device<W, E, P, I>;

    fn boot(
        &self,
        flash: SimFlash<W, E>,
        world: &WorldCell<World>,
    ) -> Result<Self::Session, Violation> {
        let boot = |flash, world: &_| Device::boot(&self.lives, flash, self.config, world);
        booted(flash, world, boot, |device, quiet| {
            self.comes_to_rest(device, quiet)
        })
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
            Some(step) => self.make(session, world, *step),
            None => Err(Violation::new("there is no such choice")),
        }
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        session.store.flash()
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        session.store.add_session(key);
        session.add(key);
    }

    fn key(&self, flash: &mut SimFlash<W, E>, _: &World, key: &mut KeyHasher) {
        Store::<W, E, P>::add_meaning(flash, self.config, key);
    }
}

/// The bytes that the transactional effects have left, one count for each command.
fn effects<const W: usize, const E: usize, const P: usize>(
    store: &mut Store<W, E, P>,
) -> Result<[u8; world::COMMANDS], Violation> {
    let mut bytes = [0; device::EFFECT_BYTES];
    block_on(store.read(device::EFFECTS, &mut bytes)).map_err(Violation::new)?;
    let packed = u64::from_le_bytes(bytes);
    Ok(core::array::from_fn(|at| (packed >> (2 * at) & 3) as u8))
}
