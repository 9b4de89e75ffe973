//! The closure of crash states: every state that any number of power cuts can lead to, until no new one appears.
//!
//! A test that cuts the power once at every write says nothing about a second cut during recovery. Here every state
//! that a cut can leave is booted, and the cuts of that boot are added, breadth first. When the queue is empty, the
//! claim holds for any number of cuts. The thing under test is a [`Subject`]; [`Explorer`] does the rest.
//!
//! One uncut run is told every torn state of every operation by [`SimFlash`], so nothing is executed twice. A state
//! is the flash together with the *world*: what the outside remembers, and may demand. Idle states are cut too, right
//! after a boot among others: what was observed once must not be lost later.
//!
//! Without a canonical key ([`Subject::key`]) there is seldom a fixpoint: generations grow, and dead pages hold
//! garbage of a million kinds. A key is an argument, not a proof. Three checks look for its weakness: a second,
//! independent hash ([`Config::audit`]), states that were merged and are expanded all the same
//! ([`Config::merged_samples`]), and concrete random runs ([`Explorer::random_run`]).
//!
//! Instability is sampled and capped ([`Config::unstable_units`]); the report tells how much was left out.
//!
//! ```
//! use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};
//! use iot_core::node::block_on;
//! use iot_core::sim::SimFlash;
//! use iot_core::sim::flash::{FlashImage, Mode};
//! use iot_core::sim::power::{Config, Explorer, KeyHasher, Subject, Violation, WorldCell};
//!
//! /// A switch that is thrown once: an erased word is "off". It trusts whatever it reads.
//! struct Switch;
//!
//! #[derive(Clone)]
//! struct Booted { flash: SimFlash<4, 64>, on: bool }
//!
//! impl Subject<4, 64> for Switch {
//!     type World = Option<bool>; // what the outside knows
//!     type Session = Booted;
//!
//!     fn boot(&self, mut flash: SimFlash<4, 64>, world: &WorldCell<Option<bool>>) -> Result<Booted, Violation> {
//!         let mut word = [0; 4];
//!         let on = match block_on(flash.read(0, &mut word)) {
//!             Ok(()) => word != [0xff; 4],
//!             Err(_) => true, // a torn word: it was being switched on
//!         };
//!         if world.read(|known| known.is_some_and(|known| known != on)) {
//!             return Err(Violation::new("the switch was seen otherwise before"));
//!         }
//!         world.update(|known| *known = Some(on));
//!         Ok(Booted { flash, on })
//!     }
//!     fn choices(&self, session: &Booted, _: &Option<bool>) -> usize { usize::from(!session.on) }
//!     fn step(&self, _: usize, session: &mut Booted, world: &WorldCell<Option<bool>>) -> Result<(), Violation> {
//!         world.update(|known| *known = None); // from here on either is right
//!         block_on(session.flash.write(0, b"on!!")).map_err(Violation::new)?;
//!         session.on = true;
//!         world.update(|known| *known = Some(true));
//!         Ok(())
//!     }
//!     fn flash<'s>(&self, session: &'s Booted) -> &'s SimFlash<4, 64> { &session.flash }
//!     fn session_key(&self, session: &Booted, key: &mut KeyHasher) { key.word(u64::from(session.on)) }
//! }
//!
//! let blank = FlashImage::new(1, Mode::WriteOnce);
//! let report = Explorer::new(Switch, blank.clone(), Some(false), Config::BASIC).run();
//! assert!(report.fixpoint && report.failures.is_empty());
//!
//! // A torn word may also look erased. Then it must not be programmed again, and the switch does so.
//! let report = Explorer::new(Switch, blank, Some(false), Config::STABLE).run();
//! println!("{}", report.failures[0]);
//! assert!(!report.fixpoint);
//! ```

mod explorer;
mod frontier;
mod key;
mod merged;
mod random;
mod replay;
mod report;
mod sampler;
mod seen;
mod way;
mod world;

#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use core::fmt;
use core::hash::Hash;

use super::flash::{SimFlash, TornModels};

pub use explorer::Explorer;
pub use key::KeyHasher;
pub use random::RandomReport;
pub use report::{Ending, Failure, Leg, Report};
pub use world::WorldCell;

/// The thing under test, its script, and what the outside may demand of it.
///
/// Everything it does must depend on its arguments alone: it is run again and again, in no particular order.
pub trait Subject<const WRITE: usize, const ERASE: usize> {
    /// What survives a power cut outside the device: what it remembers and what it may still demand.
    ///
    /// Its `Hash` decides which worlds are the same; leave out what cannot matter.
    type World: Clone + Hash + 'static;

    /// Everything in RAM after a boot, the flash included.
    type Session: Clone;

    /// Recovers from `flash`, observes what is there, and narrows `world` to it.
    ///
    /// It may write; a cut during its writes leaves the world as it is at that moment.
    ///
    /// # Errors
    ///
    /// What was observed and may not be.
    fn boot(
        &self,
        flash: SimFlash<WRITE, ERASE>,
        world: &WorldCell<Self::World>,
    ) -> Result<Self::Session, Violation>;

    /// How many ways the script may go on: 0 at its end, more than 1 where the environment has a choice.
    fn choices(&self, session: &Self::Session, world: &Self::World) -> usize;

    /// Goes one step on. The world may change in its middle, when an effect happens; later cuts carry the new one.
    ///
    /// # Errors
    ///
    /// What happened and may not. A breach of the flash's law is found without it.
    fn step(
        &self,
        choice: usize,
        session: &mut Self::Session,
        world: &WorldCell<Self::World>,
    ) -> Result<(), Violation>;

    /// The flash that the session runs on.
    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<WRITE, ERASE>;

    /// Adds everything in RAM that future steps depend on, and that the flash does not tell.
    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher);

    /// Adds everything in flash that the future depends on. The world and the number of unstable units are
    /// added already.
    ///
    /// Two images may have the same key only if nothing that can ever be observed differs. The default adds every
    /// cell. `flash` may be read alone, under any [`Reading`](super::flash::Reading) that is set on it: with unstable
    /// words, both [`Erased`](super::flash::Reading::Erased), which is set at first, and
    /// [`Value`](super::flash::Reading::Value) have a say.
    fn key(&self, flash: &mut SimFlash<WRITE, ERASE>, world: &Self::World, key: &mut KeyHasher) {
        let _ = world;
        key.image(flash.image().hash());
    }
}

/// What may not be, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation(String);

impl Violation {
    /// States it; any error will do.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Violation {}

/// What is explored, and how far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The torn outcomes that each operation may have.
    pub torn: TornModels,
    /// States with more unstable units than this are counted as capped, and not explored.
    pub unstable_units: u32,
    /// How many random pictures of its unstable words a state is booted with, besides all erased and all old values.
    pub random_readings: u8,
    /// With how many sequences of flickering reads it is booted besides.
    pub flicker_readings: u8,
    /// Whether a guard on a doubtful write-once word may end as an error, too.
    pub guard_fails: bool,
    /// How many operations of the flash a boot and all that follows it may take; one more is a violation.
    pub operations: u32,
    /// Exploration ends when so many distinct states were found.
    pub states: usize,
    /// It ends when so many violations were found; at least one.
    pub failures: usize,
    /// Whether every key has a second, independent hash stored beside it; see [`Report::collisions`].
    pub audit: bool,
    /// How many states whose key was known are expanded at the end all the same; see [`Report::weak_keys`].
    pub merged_samples: usize,
    /// The filter in front of the keys remembers 2 to this power concrete states of 16 bytes, at most 2³².
    pub filter_bits: u8,
}

impl Config {
    /// [`TornModels::BASIC`], up to a million states, no audits.
    pub const BASIC: Self = Self {
        torn: TornModels::BASIC,
        unstable_units: 0,
        random_readings: 1,
        flicker_readings: 1,
        guard_fails: true,
        operations: 10_000,
        states: 1_000_000,
        failures: 1,
        audit: false,
        merged_samples: 0,
        filter_bits: 18,
    };

    /// [`TornModels::STABLE`], and a guard may fail.
    pub const STABLE: Self = Self {
        torn: TornModels::STABLE,
        ..Self::BASIC
    };

    /// [`TornModels::ALL`] with at most one unstable unit at a time.
    pub const UNSTABLE: Self = Self {
        torn: TornModels::ALL,
        unstable_units: 1,
        ..Self::BASIC
    };
}
