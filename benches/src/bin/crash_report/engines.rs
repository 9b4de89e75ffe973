//! The engines, each on several kinds of flash.

use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer};
use iot_core::storage::log;

use crate::counter::Counter;
use crate::entry::{Effort, Entry, Outcome};
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

/// Records on flash: batches over several keys, with removals.
pub(crate) const RECORDS: [Entry; 5] = [
    records(|effort| commit::<4, 256>(effort, Mode::Rewritable, Config::STABLE)),
    records(|effort| commit::<4, 256>(effort, Mode::WriteOnce, Config::STABLE)),
    records(|effort| commit::<8, 256>(effort, Mode::WriteOnce, Config::STABLE)),
    records(|effort| commit::<4, 256>(effort, Mode::Rewritable, Config::UNSTABLE)),
    records(|effort| commit::<8, 256>(effort, Mode::WriteOnce, Config::UNSTABLE)),
];

const fn records(run: fn(Effort) -> Outcome) -> Entry {
    let name = "records";
    Entry { name, run }
}

fn commit<const W: usize, const E: usize>(
    effort: Effort,
    mode: Mode,
    mut config: Config,
) -> Outcome {
    let (batches, cuts) = match effort {
        Effort::Quick => (8, 1_000),
        Effort::Full => (20, 50_000),
    };
    config.states = 3_000_000;
    let subject = Batches::<W, E, 4>::new(batches, log::Config::new());
    let start = FlashImage::new(4, mode);
    Outcome::of(Explorer::new(subject, start, (0, 0), config), cuts)
}
