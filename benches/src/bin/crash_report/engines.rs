//! The engines, each on several kinds of flash.

use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer, Subject};

use iot_core::storage::log::Config as LogConfig;

use crate::counter::Counter;
use crate::entry::{Effort, Entry, Outcome};
use crate::log::Entries;
use crate::records::Batches;

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
    let name = "counter";
    Entry { name, run }
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
        Effort::Full => (words.saturating_mul(2).min(250), 100_000),
    };
    config.audit = effort == Effort::Full;
    config.merged_samples = 100;
    let start = FlashImage::<W, E>::new(4, mode);
    Outcome::of(
        Explorer::new(Counter::new(last), start, (0, 0), config),
        cuts,
    )
}

/// What is asked of a run.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// The instability that is explored.
    config: Config,
    /// Batches of the script in a quick run and in a full one.
    batches: [u16; 2],
    /// How often the script must compact or retire a page, at least.
    pages: [u64; 2],
    /// The most states; `None` when it must reach its fixpoint.
    budget: Option<[usize; 2]>,
}

const U2: Config = {
    let mut config = Config::UNSTABLE;
    config.unstable_units = 2;
    config
};

const fn closed(config: Config, batches: [u16; 2], pages: [u64; 2]) -> Scope {
    Scope {
        config,
        batches,
        pages,
        budget: None,
    }
}

/// The log alone: batches are appended, and the oldest page is retired whenever the log is at its limit.
pub(crate) const LOG: [Entry; 4] = [
    log(|effort| {
        append::<4, 192, 4>(
            effort,
            Mode::Rewritable,
            closed(Config::STABLE, [4, 9], [1, 2]),
        )
    }),
    log(|effort| {
        append::<4, 192, 4>(
            effort,
            Mode::WriteOnce,
            closed(Config::STABLE, [4, 9], [1, 2]),
        )
    }),
    log(|effort| {
        append::<8, 256, 4>(
            effort,
            Mode::WriteOnce,
            closed(Config::STABLE, [4, 9], [1, 2]),
        )
    }),
    log(|effort| {
        append::<32, 768, 4>(
            effort,
            Mode::Multiwrite,
            closed(Config::STABLE, [4, 9], [1, 2]),
        )
    }),
];

const fn log(run: fn(Effort) -> Outcome) -> Entry {
    let name = "log";
    Entry { name, run }
}

/// Records: batches of two over four keys, with removals, compacted whenever the flash is full.
pub(crate) const RECORDS: [Entry; 4] = [
    records(|effort| {
        commit::<4, 192, 4>(
            effort,
            Mode::Rewritable,
            closed(Config::STABLE, [5, 12], [1, 2]),
        )
    }),
    records(|effort| {
        commit::<4, 192, 4>(
            effort,
            Mode::WriteOnce,
            closed(Config::STABLE, [5, 12], [1, 2]),
        )
    }),
    records(|effort| {
        commit::<8, 384, 4>(
            effort,
            Mode::WriteOnce,
            closed(Config::STABLE, [5, 12], [1, 2]),
        )
    }),
    records(|effort| {
        commit::<4, 192, 4>(
            effort,
            Mode::Rewritable,
            closed(Config::UNSTABLE, [4, 8], [0, 1]),
        )
    }),
];

const fn records(run: fn(Effort) -> Outcome) -> Entry {
    let name = "records";
    Entry { name, run }
}

fn append<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    scope: Scope,
) -> Outcome {
    let subject = Entries::<W, E, P>::new(scope.at(effort).0, LogConfig::new());
    let pages = subject.retirements(mode);
    explore(subject, pages, P as u16, effort, mode, scope)
}

fn commit<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    scope: Scope,
) -> Outcome {
    let subject = Batches::<W, E, P>::new(scope.at(effort).0, LogConfig::new());
    let pages = subject.compactions(mode);
    explore(subject, pages, P as u16, effort, mode, scope)
}

impl Scope {
    fn at(&self, effort: Effort) -> (u16, u64) {
        let at = usize::from(effort == Effort::Full);
        (self.batches[at], self.pages[at])
    }
}

fn explore<S, const W: usize, const E: usize>(
    subject: S,
    pages: u64,
    flash_pages: u16,
    effort: Effort,
    mode: Mode,
    scope: Scope,
) -> Outcome
where
    S: Subject<W, E, World: Default>,
{
    let full = usize::from(effort == Effort::Full);
    let mut config = scope.config;
    config.audit = effort == Effort::Full;
    config.merged_samples = 100;
    config.states = scope.budget.map_or(20_000_000, |budget| budget[full]);
    let start = FlashImage::<W, E>::new(flash_pages, mode);
    let cuts = [1_000, 100_000][full];
    let outcome = Outcome::of(
        Explorer::new(subject, start, S::World::default(), config),
        cuts,
    );
    let outcome = outcome.with_pages(pages, scope.at(effort).1);
    match scope.budget {
        Some(_) => outcome.may_stay_open(),
        None => outcome,
    }
}
