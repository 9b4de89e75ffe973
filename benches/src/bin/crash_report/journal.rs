//! The command engine's scripts, each on several kinds of flash.

use iot_core::command::Class;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer};
use iot_core::storage::log::Config as LogConfig;

use crate::commands::{Commands, Life, Script, World};
use crate::entry::{Effort, Entry, Outcome};

const MIXED: &[Class] = &[
    Class::Opaque,
    Class::Idempotent,
    Class::Probed,
    Class::Transactional,
];

const fn life(issuer: u32, epoch: u32, sends: &'static [u8], classes: &'static [Class]) -> Life {
    Life {
        issuer,
        epoch,
        sends,
        held: 2,
        classes,
        one_lane: false,
        in_order: false,
    }
}

const fn in_order(mut life: Life) -> Life {
    life.in_order = true;
    life
}

const fn held(mut life: Life, held: u8) -> Life {
    life.held = held;
    life
}

const ORDER4: Script = Script { lives: &[in_order(life(1, 1, &[1, 2, 3, 4], MIXED))] };
const ORDER5: Script = Script { lives: &[in_order(life(1, 1, &[1, 2, 3, 4, 5], MIXED))] };
const ANY2: Script = Script { lives: &[life(1, 1, &[1, 2], MIXED)] };
const ANY3: Script = Script { lives: &[life(1, 1, &[1, 2, 3], MIXED)] };
const OVER: Script = Script { lives: &[held(life(1, 1, &[1, 5], MIXED), 9)] };
const OVER3: Script = Script { lives: &[held(life(1, 1, &[1, 5, 6], MIXED), 9)] };
const BACKUP: Script = Script { lives: &[life(1, 1, &[1], MIXED), life(1, 2, &[1], MIXED)] };
const FOUR: Script = Script { lives: &[life(1, 1, &[1], MIXED), life(2, 1, &[2], MIXED), life(3, 1, &[3], MIXED),life(4, 1, &[4], MIXED) ] };
const TWO: Script = Script { lives: &[life(1, 1, &[1], MIXED), life(2, 1, &[2], MIXED)] };
const THREE: Script = Script { lives: &[life(1, 1, &[1], MIXED), life(2, 1, &[2], MIXED), life(3, 1, &[3], MIXED)] };

macro_rules! e { ($n:literal, $run:expr) => { Entry { name: $n, flash: "", run: $run } } }

pub(crate) const COMMANDS: &[Entry] = &[
    e!("ORDER4", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, ORDER4)),
    e!("ORDER5", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, ORDER5)),
    e!("ANY2", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, ANY2)),
    e!("ANY3", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, ANY3)),
    e!("OVER", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, OVER)),
    e!("OVER3", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, OVER3)),
    e!("BACKUP", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, BACKUP)),
    e!("TWO", |effort| explore::<4, 512, 4, 2>(effort, Mode::Rewritable, Config::STABLE, TWO)),
    e!("THREE", |effort| explore::<4, 512, 4, 3>(effort, Mode::Rewritable, Config::STABLE, THREE)),
    e!("FOUR", |effort| explore::<4, 512, 4, 4>(effort, Mode::Rewritable, Config::STABLE, FOUR)),
];

fn explore<const W: usize, const E: usize, const P: usize, const I: usize>(
    effort: Effort,
    mode: Mode,
    mut config: Config,
    script: Script,
) -> Outcome {
    let subject = Commands::<W, E, P, I>::new(script, LogConfig::new());
    let pages = subject.compactions(mode);
    let cuts = match effort {
        Effort::Quick => 500,
        Effort::Full => 100_000,
    };
    config.audit = effort == Effort::Full;
    config.merged_samples = 100;
    config.states = std::env::var("S").map_or(20_000_000, |s| s.parse().unwrap());
    let start = FlashImage::<W, E>::new(P as u16, mode);
    Outcome::of(
        Explorer::new(subject, start, World::default(), config),
        cuts,
    )
    .with_pages(P, pages, 0)
}
