//! The command engine's scripts, each on several kinds of flash.

use iot_core::command::Class;
use iot_core::sim::flash::Mode;
use iot_core::sim::power::Config;

use crate::commands::{Commands, Life, Terms};
use crate::engines::{
    Depths, bounded, closed, explore, explore_from, limit, on_every_flash, reordered, spare,
};
use crate::entry::{Effort, Entry, Outcome};

const MIXED: &[Class] = &[
    Class::Opaque,
    Class::Idempotent,
    Class::Probed,
    Class::Transactional,
];

/// One after the other, through all classes, each with what the issuer has settled by then.
const IN_ORDER: &[(u8, u8)] = &[(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5)];

const ONE_OF_EACH: &[(u8, u8)] = &[(1, 1), (2, 1), (3, 2), (4, 3)];

const STABLE: Depths = [closed(2, 0), closed(5, 2)];
const LONGER_WORDS: Depths = [closed(1, 0), closed(5, 2)];
const ONE_UNSTABLE: Depths = [closed(1, 0), closed(3, 1)];
const BEYOND_LIMIT: Depths = [bounded(3, 1, 1_000), limit(3, 1, 100_000)];

/// An issuer that waits for each answer; its messages are lost, and come again later.
pub(crate) const ONE_BY_ONE: [Entry; 12] = on_every_flash!(
    "commands",
    one_by_one,
    (4, 256, 4, 1, Config::UNSTABLE, ONE_UNSTABLE),
    (4, 256, 4, 2, Config::UNSTABLE, BEYOND_LIMIT),
    (4, 256, 4, 0, Config::STABLE, STABLE),
    (8, 320, 4, 0, Config::STABLE, LONGER_WORDS)
);

const CLOSED: Depths = [bounded(0, 0, 1_000), closed(0, 0)];
const BOUNDED: Depths = [bounded(0, 0, 1_000), bounded(0, 0, 200_000)];

macro_rules! in_any_order {
    ($(($name:literal, $lives:ident, $issuers:literal, $erase:literal, $depths:expr)),*) => {
        [$(
            Entry {
                name: $name,
                flash: concat!("write=4 u=0 pages=4 issuers=", $issuers),
                run: |effort| scripted::<4, $erase, 4, $issuers>(effort, Mode::WriteOnce, STABLE_FLASH, &$lives, $depths),
            },
        )*]
    };
}

const STABLE_FLASH: Config = reordered(Config::STABLE, 0);

/// Messages that come in any order.
pub(crate) const ANY_ORDER: [Entry; 10] = in_any_order!(
    ("commands-any-order", GIVEN_UP, 1, 256, CLOSED),
    ("commands-one-lane", LANE, 1, 256, CLOSED),
    ("commands-overflow", OVERFLOW, 1, 256, CLOSED),
    ("commands-backup", BACKUP, 1, 256, CLOSED),
    ("commands-expiry", EXPIRY, 1, 256, CLOSED),
    ("commands-not-before", NOT_BEFORE, 1, 256, CLOSED),
    ("commands-taken-back", TAKEN_BACK, 1, 256, CLOSED),
    ("commands-two-issuers", TWO, 2, 512, CLOSED),
    ("commands-in-turn", FOUR_IN_TURN, 4, 512, CLOSED),
    ("commands-four-issuers", FOUR, 4, 512, BOUNDED)
);

/// The second message about 2 gives 1 up.
const GIVEN_UP: [Life; 1] = [life(1, 1, &[(1, 1), (2, 1), (2, 2)])];
const LANE: [Life; 1] = [Life {
    one_lane: true,
    ..life(1, 1, &[(1, 1), (2, 1)])
}];
/// 5 lies beyond a window that begins with 1.
const OVERFLOW: [Life; 1] = [life(1, 1, &[(1, 1), (5, 1), (5, 5)])];
const BACKUP: [Life; 2] = [life(1, 1, &[(1, 1)]), life(1, 2, &[(1, 1)])];
/// Commands of different classes: their time is over, has not come, or nobody wants them any more.
const EXPIRY: [Life; 1] = [on_terms(Terms::Expires)];
const NOT_BEFORE: [Life; 1] = [on_terms(Terms::NotBefore)];
const TAKEN_BACK: [Life; 1] = [Life {
    classes: &[Class::Opaque, Class::Transactional, Class::Idempotent],
    sends: IN_ORDER.first_chunk::<3>().unwrap(),
    ..on_terms(Terms::TakenBack)
}];
const TWO: [Life; 2] = [life(1, 1, &[(1, 1)]), life(2, 1, &[(2, 2)])];
const FOUR: [Life; 4] = [
    life(1, 1, &[(1, 1)]),
    life(2, 1, &[(2, 2)]),
    life(3, 1, &[(3, 3)]),
    life(4, 1, &[(4, 4)]),
];
const FOUR_IN_TURN: [Life; 4] = [
    in_turn(FOUR[0]),
    in_turn(FOUR[1]),
    in_turn(FOUR[2]),
    in_turn(FOUR[3]),
];

const fn life(issuer: u32, epoch: u32, sends: &'static [(u8, u8)]) -> Life {
    Life {
        issuer,
        epoch,
        sends,
        classes: MIXED,
        one_lane: false,
        in_order: false,
        in_turn: false,
        terms: Terms::Now,
    }
}

const fn on_terms(terms: Terms) -> Life {
    Life {
        terms,
        in_order: true,
        ..life(1, 1, ONE_OF_EACH)
    }
}

const fn in_turn(life: Life) -> Life {
    Life {
        in_turn: true,
        ..life
    }
}

fn one_by_one<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    let commands = usize::from(depths[effort.depth()].batches);
    let life = Life {
        in_order: true,
        ..life(1, 1, &IN_ORDER[..commands])
    };
    let subject = Commands::<W, E, P, 1>::new(vec![life], spare(P));
    let pages = (P, subject.compactions(mode));
    let depth = depths[effort.depth()];
    // With unstable words, what is in front of the compaction is explored by the quick run.
    let used = usize::from(config.unstable_units == 1 && effort >= Effort::Full);
    match subject.in_use(mode, used) {
        Some(start) => explore_from(subject, start, pages, effort, config, depth),
        None => explore(subject, pages, effort, mode, config, depth),
    }
}

fn scripted<const W: usize, const E: usize, const P: usize, const I: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    lives: &[Life],
    depths: Depths,
) -> Outcome {
    let subject = Commands::<W, E, P, I>::new(lives.to_vec(), spare(P));
    let pages = subject.compactions(mode);
    explore(
        subject,
        (P, pages),
        effort,
        mode,
        config,
        depths[effort.depth()],
    )
}
