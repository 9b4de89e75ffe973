//! The command engine's scripts, each on several kinds of flash.

use iot_core::command::Class;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer};

use crate::commands::{Commands, Life, Script, World};
use crate::engines::{Depth, Depths, bounded, closed, reordered, spare};
use crate::entry::{Effort, Entry, Outcome};

const MIXED: &[Class] = &[
    Class::Opaque,
    Class::Idempotent,
    Class::Probed,
    Class::Transactional,
];

const fn life(issuer: u32, epoch: u32, sends: &'static [(u8, u8)]) -> Life {
    Life {
        issuer,
        epoch,
        sends,
        classes: MIXED,
        one_lane: false,
        in_order: false,
    }
}

const fn in_order(sends: &'static [(u8, u8)]) -> Life {
    Life {
        in_order: true,
        ..life(1, 1, sends)
    }
}

/// One after the other, all classes, so many that pages are compacted.
const ORDER: [Script; 3] = [
    Script { lives: &[in_order(&[(1, 1)])] },
    Script { lives: &[in_order(&[(1, 1), (2, 1)])] },
    Script { lives: &[in_order(&[(1, 1), (2, 1), (3, 2), (4, 3)])] },
];
const ORDER3: Script = Script { lives: &[in_order(&[(1, 1), (2, 1), (3, 2)])] };
const ANY: Script = Script { lives: &[life(1, 1, &[(1, 1), (2, 1), (2, 2)])] };
const OVER: Script = Script { lives: &[life(1, 1, &[(1, 1), (5, 1), (5, 5)])] };
const BACKUP: Script = Script { lives: &[life(1, 1, &[(1, 1)]), life(1, 2, &[(1, 1)])] };
const BACKUP2: Script = Script { lives: &[life(1, 1, &[(3, 3)]), life(1, 2, &[(1, 1), (2,1)])] };
const LANE: Script = Script { lives: &[Life { one_lane: true, ..life(1, 1, &[(1, 1), (2, 1)])}] };

macro_rules! e { ($n:literal, $run:expr) => { Entry { name: $n, flash: "", run: $run } } }

const R: Config = reordered(Config::STABLE, 0);
const U1: Config = reordered(Config::UNSTABLE, 1);
const U2: Config = reordered(Config::UNSTABLE, 2);

pub(crate) const COMMANDS: &[Entry] = &[
    e!("ORDER1", |effort| explore::<4, 256, 4, 1>(effort, Mode::WriteOnce, R, ORDER[0])),
    e!("ORDER4", |effort| explore::<4, 256, 4, 1>(effort, Mode::WriteOnce, R, ORDER[2])),
    e!("ORDER4b", |effort| explore::<8, 384, 4, 1>(effort, Mode::Rewritable, R, ORDER[2])),
    e!("ANY", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, R, ANY)),
    e!("OVER", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, R, OVER)),
    e!("LANE", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, R, LANE)),
    e!("BACKUP", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, R, BACKUP)),
    e!("BACKUP2", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, R, BACKUP2)),
    e!("U1a", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, U1, ORDER[0])),
    e!("U1b", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, U1, ORDER[1])),
    e!("U1c", |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, U1, ORDER3)),
    e!("U2", |effort| explore::<4, 256, 5, 1>(effort, Mode::Rewritable, U2, ORDER[1])),
];

fn explore<const W: usize, const E: usize, const P: usize, const I: usize>(
    effort: Effort,
    mode: Mode,
    mut config: Config,
    script: Script,
) -> Outcome {
    let subject = Commands::<W, E, P, I>::new(script, spare(P));
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
