//! The engines, each on several kinds of flash.

use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer, Subject};

use iot_core::storage::log::Config as LogConfig;

use crate::counter::Counter;
use crate::entry::{Effort, Entry, Outcome};
use crate::full::Crowd;
use crate::log::Entries;
use crate::outbox::Messages;
use crate::records::Batches;
use crate::rotation::Renewals;
use crate::twin::Desires;

/// The counter of the explorer's own tests: the yardstick for the explorer's speed.
pub(crate) const COUNTER: [Entry; 6] = [
    counter(|effort| count::<4, 256>(effort, Mode::Rewritable, Config::STABLE)),
    counter(|effort| count::<8, 256>(effort, Mode::WriteOnce, Config::STABLE)),
    counter(|effort| count::<4, 256>(effort, Mode::Rewritable, Config::UNSTABLE)),
    counter(|effort| count::<8, 256>(effort, Mode::WriteOnce, Config::UNSTABLE)),
    counter(|effort| count::<4, 1024>(effort, Mode::WriteOnce, Config::STABLE)),
    counter(|effort| count::<8, 1024>(effort, Mode::Rewritable, Config::STABLE)),
];

const fn counter(run: fn(Effort) -> Outcome) -> Entry {
    let (name, flash) = ("counter", "");
    Entry { name, flash, run }
}

fn count<const W: usize, const E: usize>(
    effort: Effort,
    mode: Mode,
    mut config: Config,
) -> Outcome {
    let words = u8::try_from(E / W).unwrap_or(u8::MAX);
    // Enough for one page after the other, then for several.
    let (last, cuts) = match effort {
        Effort::Quick => (words / 4, 2_000),
        Effort::Full | Effort::Whole if config.unstable_units > 0 => (words / 2, 100_000),
        Effort::Full | Effort::Whole => (words.min(120), 100_000),
    };
    config.audit = effort >= Effort::Full;
    config.merged_samples = 100;
    let start = FlashImage::<W, E>::new(4, mode);
    Outcome::of(
        Explorer::new(Counter::new(last), start, (0, 0), config),
        cuts,
    )
}

/// How much of a script is explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// Batches of the script, or commands.
    pub(crate) batches: u16,
    /// How many pages it must retire, at least.
    pages: u64,
    /// The most states; `None` when the run must reach its fixpoint.
    budget: Option<usize>,
    /// There is a violation, which shows what the limit of a claim is worth.
    limit: bool,
}

pub(crate) const fn closed(batches: u16, pages: u64) -> Depth {
    Depth {
        batches,
        pages,
        budget: None,
        limit: false,
    }
}

pub(crate) const fn bounded(batches: u16, pages: u64, states: usize) -> Depth {
    Depth {
        batches,
        pages,
        budget: Some(states),
        limit: false,
    }
}

/// Beyond what is claimed: among so many states is a violation.
pub(crate) const fn limit(batches: u16, pages: u64, states: usize) -> Depth {
    Depth {
        limit: true,
        ..bounded(batches, pages, states)
    }
}

/// The depths of a quick run and of a full one.
pub(crate) type Depths = [Depth; 2];

const STABLE: Depths = [closed(6, 2), closed(12, 4)];
/// A page of long words holds more batches.
const LONG_WORDS: Depths = [closed(3, 0), closed(12, 2)];
const ONE_UNSTABLE: Depths = [closed(2, 0), closed(5, 1)];
/// Nothing is claimed: what the search gave is held, so that it is noticed when it changes.
const TWO_UNSTABLE: Depths = [bounded(6, 1, 1_000), bounded(6, 1, 100_000)];
const BEYOND_LIMIT: Depths = [bounded(6, 1, 1_000), limit(6, 1, 100_000)];

/// Words of one write land in any order, whatever else happens.
pub(crate) const fn reordered(mut config: Config, unstable_units: u32) -> Config {
    config.torn.reordered = 6;
    config.unstable_units = unstable_units;
    config
}

macro_rules! on_every_flash {
    ($name:literal, $run:ident, $(($write:literal, $erase:literal, $pages:literal, $u:literal, $config:expr, $depths:expr)),*) => {
        [$(
            on_every_flash!("rewritable", Rewritable, $name, $run, $write, $erase, $pages, $u, $config, $depths),
            on_every_flash!("multiwrite", Multiwrite, $name, $run, $write, $erase, $pages, $u, $config, $depths),
            on_every_flash!("write-once", WriteOnce, $name, $run, $write, $erase, $pages, $u, $config, $depths),
        )*]
    };
    ($mode_name:literal, $mode:ident, $name:literal, $run:ident, $write:literal, $erase:literal, $pages:literal, $u:literal, $config:expr, $depths:expr) => {
        Entry {
            name: $name,
            flash: concat!("mode=", $mode_name, " write=", $write, " u=", $u, " pages=", $pages),
            run: |effort| $run::<$write, $erase, $pages>(effort, Mode::$mode, reordered($config, $u), $depths),
        }
    };
}

pub(crate) use on_every_flash;

/// The log alone: batches are appended, and the oldest page is retired whenever the log is at its limit.
pub(crate) const LOG: [Entry; 21] = on_every_flash!(
    "log",
    append,
    (4, 160, 4, 1, Config::UNSTABLE, ONE_UNSTABLE),
    (8, 192, 4, 1, Config::UNSTABLE, ONE_UNSTABLE),
    (4, 160, 4, 2, Config::UNSTABLE, BEYOND_LIMIT),
    (4, 160, 5, 2, Config::UNSTABLE, TWO_UNSTABLE),
    (4, 160, 4, 0, Config::STABLE, STABLE),
    (8, 192, 4, 0, Config::STABLE, STABLE),
    (32, 544, 4, 0, Config::STABLE, LONG_WORDS)
);

/// Records: batches of two over four keys, with removals, compacted whenever the flash is full.
pub(crate) const RECORDS: [Entry; 18] = on_every_flash!(
    "records",
    commit,
    (4, 160, 4, 1, Config::UNSTABLE, ONE_UNSTABLE),
    (8, 192, 4, 1, Config::UNSTABLE, ONE_UNSTABLE),
    (4, 160, 4, 2, Config::UNSTABLE, BEYOND_LIMIT),
    (4, 160, 5, 2, Config::UNSTABLE, BEYOND_LIMIT),
    (4, 160, 4, 0, Config::STABLE, STABLE),
    (8, 192, 4, 0, Config::STABLE, STABLE)
);

/// Enough to fill it, so that something is refused, and to make room again.
const CROWDED: Depths = [closed(3, 0), closed(5, 1)];
const LESS_CROWDED: Depths = [closed(3, 0), closed(4, 0)];

/// Records on flash that is nearly full.
pub(crate) const FULL: [Entry; 6] = on_every_flash!(
    "records-full",
    crowd,
    (4, 160, 4, 0, Config::STABLE, CROWDED),
    (8, 192, 4, 0, Config::STABLE, LESS_CROWDED)
);

const EXPIRING: Depths = [bounded(1, 0, 2_000), closed(1, 1)];
const PUSHED_OUT: Depths = [bounded(2, 0, 2_000), closed(2, 1)];

/// The outbox on records.
pub(crate) const OUTBOX: [&[Entry]; 2] = [&EXPIRING_MESSAGES, &PUSHED_OUT_MESSAGES];

const EXPIRING_MESSAGES: [Entry; 6] = on_every_flash!(
    "outbox",
    expire,
    (4, 208, 4, 0, Config::STABLE, EXPIRING),
    (8, 256, 4, 0, Config::STABLE, EXPIRING)
);
const PUSHED_OUT_MESSAGES: [Entry; 3] = on_every_flash!(
    "outbox-pushed-out",
    push_out,
    (4, 208, 4, 0, Config::STABLE, PUSHED_OUT)
);

const ENROLLING: Depths = [bounded(1, 0, 2_000), closed(1, 0)];
const RENEWING: Depths = [bounded(1, 1, 2_000), closed(2, 1)];

/// A rotation on records, from the first certificate on. What longer words change is the log's business, and shown there.
pub(crate) const ROTATION: [Entry; 3] =
    on_every_flash!("rotation", enrol, (4, 640, 4, 0, Config::STABLE, ENROLLING));

/// The same on a device that is in use, whose next renewal compacts.
pub(crate) const ROTATION_IN_USE: [Entry; 3] = on_every_flash!(
    "rotation-in-use",
    renew,
    (4, 640, 4, 0, Config::STABLE, RENEWING)
);

const DESIRING: Depths = [bounded(1, 0, 2_000), closed(1, 0)];
const DESIRING_TWO: Depths = [bounded(2, 0, 2_000), bounded(2, 0, 100_000)];

/// A twin on records, of which one field is desired, or two.
pub(crate) const TWIN: [&[Entry]; 2] = [&ONE_FIELD, &TWO_FIELDS];

const ONE_FIELD: [Entry; 3] =
    on_every_flash!("twin", desire, (4, 160, 4, 0, Config::STABLE, DESIRING));
const TWO_FIELDS: [Entry; 3] = on_every_flash!(
    "twin-two-fields",
    desire_two,
    (4, 256, 4, 0, Config::STABLE, DESIRING_TWO)
);

/// Pages that hold data; all others are spare.
pub(crate) const IN_USE: u16 = 2;

pub(crate) const fn spare(pages: usize) -> LogConfig {
    LogConfig::new().spare_pages(pages as u16 - IN_USE)
}

fn append<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Entries::<W, E, P>::new(depth.batches, spare(P));
    let pages = subject.retirements(mode);
    explore(subject, (P, pages), effort, mode, config, depth)
}

fn commit<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Batches::<W, E, P>::new(depth.batches, spare(P));
    let pages = subject.compactions(mode);
    explore(subject, (P, pages), effort, mode, config, depth)
}

fn enrol<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    rotate::<W, E, P>(effort, mode, config, depths, None)
}

fn renew<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    rotate::<W, E, P>(effort, mode, config, depths, Some(3))
}

fn rotate<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
    behind: Option<u16>,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Renewals::<W, E, P>::new(depth.batches, behind, spare(P));
    let pages = (P, subject.compactions(mode));
    match subject.begin(mode) {
        Some(start) => explore_from(subject, start, pages, effort, config, depth),
        // A script that fails without a cut fails here too, and tells where.
        None => explore(subject, pages, effort, mode, config, depth),
    }
}

fn desire<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    converge::<W, E, P>(effort, mode, config, depths, 1)
}

fn desire_two<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    converge::<W, E, P>(effort, mode, config, depths, 2)
}

fn converge<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
    fields: u8,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Desires::<W, E, P>::new(depth.batches, fields, spare(P));
    let pages = subject.compactions(mode);
    explore(subject, (P, pages), effort, mode, config, depth)
}

fn crowd<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Crowd::<W, E, P>::new(depth.batches, spare(P));
    let (erased, refused) = subject.without_cuts(mode);
    // Where nothing is refused, nothing is shown.
    let pages = if refused > 0 {
        erased.saturating_sub(IN_USE.into())
    } else {
        0
    };
    explore(subject, (P, pages), effort, mode, config, depth)
}

fn expire<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    forward::<W, E, P>(effort, mode, config, depths, true)
}

fn push_out<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    forward::<W, E, P>(effort, mode, config, depths, false)
}

fn forward<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
    expire: bool,
) -> Outcome {
    let depth = depths[effort.depth()];
    let subject = Messages::<W, E, P>::new(depth.batches, expire, spare(P));
    let pages = (P, subject.compactions(mode));
    match subject.in_use(mode) {
        Some(start) => explore_from(subject, start, pages, effort, config, depth),
        // A script that fails without a cut fails here too, and tells where.
        None => explore(subject, pages, effort, mode, config, depth),
    }
}

pub(crate) fn explore<S, const W: usize, const E: usize>(
    subject: S,
    pages: (usize, u64),
    effort: Effort,
    mode: Mode,
    config: Config,
    depth: Depth,
) -> Outcome
where
    S: Subject<W, E, World: Default>,
{
    let start = FlashImage::<W, E>::new(pages.0 as u16, mode);
    explore_from(
        subject,
        (start, S::World::default()),
        pages,
        effort,
        config,
        depth,
    )
}

/// Explores what may come after `start`.
pub(crate) fn explore_from<S, const W: usize, const E: usize>(
    subject: S,
    (start, world): (FlashImage<W, E>, S::World),
    (pages, retired): (usize, u64),
    effort: Effort,
    mut config: Config,
    depth: Depth,
) -> Outcome
where
    S: Subject<W, E>,
{
    let cuts = match effort {
        Effort::Quick => 500,
        Effort::Full | Effort::Whole => 50_000,
    };
    config.audit = effort >= Effort::Full;
    config.merged_samples = 100;
    let budget = depth
        .budget
        .filter(|_| depth.limit || effort < Effort::Whole);
    config.states = budget.unwrap_or(20_000_000);
    let explorer = Explorer::new(subject, start, world, config);
    let outcome = Outcome::of(explorer, cuts).with_pages(pages, retired, depth.pages);
    match budget {
        Some(_) if depth.limit => outcome.may_stay_open().beyond_claims(),
        Some(_) => outcome.may_stay_open(),
        None => outcome,
    }
}
