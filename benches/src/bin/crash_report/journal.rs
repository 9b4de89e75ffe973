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

const fn life(issuer: u32, epoch: u32, commands: u8, classes: &'static [Class]) -> Life {
    Life {
        issuer,
        epoch,
        commands,
        held: 2,
        classes,
        one_lane: false,
        in_order: true,
    }
}

const ONE: Script = Script {
    lives: &[life(1, 1, 3, MIXED)],
};

pub(crate) const COMMANDS: [Entry; 1] = [Entry {
    name: "commands",
    flash: "",
    run: |effort| explore::<4, 256, 4, 1>(effort, Mode::Rewritable, Config::STABLE, ONE),
}];

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
    .with_pages(pages, 0)
}
