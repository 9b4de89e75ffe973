//! The crash explorer on `embassy-boot`: an update, its trial, its confirmation.
//!
//! `cargo run --release` here, apart from the workspace. Each line is one kind of flash and one claim, and the shortest
//! way to what breaks it. It ends with an error when the explorer finds nothing where failures are known, so it is a
//! test of the explorer.
//!
//! What is demanded is little: an image boots, it is whole, what was confirmed keeps running, and a state that says
//! "reverted" is not told while the new image runs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use embassy_boot::{
    BlockingFirmwareUpdater, BootLoader, BootLoaderConfig, FirmwareUpdaterConfig, State,
};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Mode, SimFlashError};
use iot_core::sim::power::{Config, Explorer, KeyHasher, Subject, Violation, WorldCell};

const WRITE: usize = 8;
const ERASE: usize = 128;
/// Pages of the state, of what runs, and of the other image, which needs one more.
const STATE: (usize, usize) = (0, 1);
const ACTIVE: (usize, usize) = (1, 2);
const DFU: (usize, usize) = (3, 3);
const PAGES: u16 = 6;
const IMAGE: usize = ACTIVE.1 * ERASE;

type Flash = SimFlash<WRITE, ERASE>;

/// Some pages of a flash that others use as well.
#[derive(Clone)]
struct Part {
    flash: Rc<RefCell<Flash>>,
    pages: (usize, usize),
}

impl Part {
    fn at(&self, offset: u32) -> u32 {
        (self.pages.0 * ERASE) as u32 + offset
    }
}

impl ErrorType for Part {
    type Error = SimFlashError;
}

impl ReadNorFlash for Part {
    const READ_SIZE: usize = WRITE;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimFlashError> {
        let at = self.at(offset);
        ReadNorFlash::read(&mut *self.flash.borrow_mut(), at, bytes)
    }
    fn capacity(&self) -> usize {
        self.pages.1 * ERASE
    }
}

impl NorFlash for Part {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimFlashError> {
        let (from, to) = (self.at(from), self.at(to));
        NorFlash::erase(&mut *self.flash.borrow_mut(), from, to)
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimFlashError> {
        let at = self.at(offset);
        NorFlash::write(&mut *self.flash.borrow_mut(), at, bytes)
    }
}

/// The three parts of one flash, lent for a call.
fn lend<R>(flash: &mut Flash, call: impl FnOnce(Part, Part, Part) -> R) -> R {
    let shared = Rc::new(RefCell::new(flash.clone()));
    let part = |pages| Part {
        flash: shared.clone(),
        pages,
    };
    let result = call(part(ACTIVE), part(DFU), part(STATE));
    *flash = shared.borrow().clone();
    result
}

fn image(release: u8) -> Vec<u8> {
    (0..IMAGE)
        .map(|at| (at as u8).wrapping_mul(31) ^ (release * 85))
        .collect()
}

/// What the outside knows: which release may run.
#[derive(Clone, Copy, Debug, Hash)]
struct World {
    old: bool,
    new: bool,
    confirmed: bool,
}

#[derive(Clone)]
struct Booted {
    flash: Flash,
    runs: u8,
    requested: bool,
}

struct Update;

impl Update {
    fn updater<R>(
        flash: &mut Flash,
        call: impl FnOnce(&mut BlockingFirmwareUpdater<'_, Part, Part>) -> R,
    ) -> R {
        lend(flash, |_, dfu, state| {
            let mut aligned = [0; WRITE];
            let config = FirmwareUpdaterConfig { dfu, state };
            call(&mut BlockingFirmwareUpdater::new(config, &mut aligned))
        })
    }
}

impl Subject<WRITE, ERASE> for Update {
    type World = World;
    type Session = Booted;

    fn boot(&self, mut flash: Flash, world: &WorldCell<World>) -> Result<Booted, Violation> {
        let prepared = lend(&mut flash, |active, dfu, state| {
            let config = BootLoaderConfig { active, dfu, state };
            let mut loader = BootLoader::new(config);
            catch_unwind(AssertUnwindSafe(|| loader.prepare_boot(&mut [0; ERASE])))
        });
        if let Some(breach) = flash.violation() {
            return Err(Violation::new(format!("at boot: {breach}")));
        }
        match prepared {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Violation::new(format!("nothing boots: {error:?}"))),
            Err(_) => return Err(Violation::new("nothing boots: a panic")),
        }
        let mut bytes = vec![0; IMAGE];
        let at = (ACTIVE.0 * ERASE) as u32;
        ReadNorFlash::read(&mut flash, at, &mut bytes).map_err(Violation::new)?;
        let runs = (1..=2).find(|release| bytes == image(*release));
        let runs = runs.ok_or_else(|| Violation::new("what runs is no whole image"))?;
        let state = Self::updater(&mut flash, |updater| updater.get_state());
        if matches!(state, Ok(State::Revert)) && runs == 2 {
            return Err(Violation::new("a false revert: the new image runs"));
        }
        let known = world.read(|world| *world);
        if !(runs == 1 && known.old || runs == 2 && known.new) {
            return Err(Violation::new(format!(
                "release {runs} runs, after {known:?}"
            )));
        }
        Ok(Booted {
            flash,
            runs,
            requested: false,
        })
    }

    fn choices(&self, session: &Booted, world: &World) -> usize {
        usize::from(match session.runs {
            1 => !session.requested && !world.new,
            _ => !world.confirmed,
        })
    }

    fn step(
        &self,
        _: usize,
        session: &mut Booted,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let done = match session.runs {
            1 => {
                world.update(|world| world.new = true);
                Self::updater(&mut session.flash, |updater| {
                    updater.write_firmware(0, &image(2))?;
                    updater.mark_updated()
                })
            }
            _ => {
                let done = Self::updater(&mut session.flash, |updater| updater.mark_booted());
                world.update(|world| (world.old, world.confirmed) = (false, true));
                done
            }
        };
        if let Some(breach) = session.flash.violation() {
            return Err(Violation::new(format!("in the firmware: {breach}")));
        }
        done.map_err(|error| Violation::new(format!("the firmware cannot go on: {error:?}")))?;
        session.requested = true;
        Ok(())
    }

    fn flash<'s>(&self, session: &'s Booted) -> &'s Flash {
        &session.flash
    }

    fn session_key(&self, session: &Booted, key: &mut KeyHasher) {
        key.word(u64::from(session.runs));
        key.word(u64::from(session.requested));
    }
}

fn main() -> ExitCode {
    // A panic of the boot loader is a finding, and told as one.
    std::panic::set_hook(Box::new(|_| ()));
    let mut found = 0;
    let modes = [
        ("rewritable", Mode::Rewritable),
        ("multiwrite", Mode::Multiwrite),
        ("write-once", Mode::WriteOnce),
    ];
    for (name, mode) in modes {
        let mut flash = Flash::new(PAGES, mode);
        let at = (ACTIVE.0 * ERASE) as u32;
        if NorFlash::write(&mut flash, at, &image(1)).is_err() {
            return ExitCode::FAILURE;
        }
        let start: FlashImage<WRITE, ERASE> = flash.into_image();
        let world = World {
            old: true,
            new: false,
            confirmed: false,
        };
        let mut config = Config::BASIC;
        config.states = 20_000;
        let report = Explorer::new(Update, start, world, config).run();
        println!("embassy-boot {report}");
        for failure in &report.failures {
            found += 1;
            print!("embassy-boot {name}: {failure}");
        }
    }
    println!("embassy-boot: failures on {found} of 3 kinds of flash");
    match found {
        3 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
