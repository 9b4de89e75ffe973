//! The modes of booting, each on several kinds of flash.

use iot_core::sim::flash::Mode;
use iot_core::sim::power::Config;

use super::{Updates, Way};
use crate::engines::{Depths, bounded, closed, explore_from, on_every_flash, reordered};
use crate::entry::{Effort, Entry, Outcome};

/// An update that is confirmed or forgotten, then one that rejects itself or is forgotten.
const UPDATES: Depths = [bounded(2, 0, 400), closed(2, 0)];
/// Few words make short runs.
const ON_LONG_WORDS: Depths = [closed(1, 0), closed(2, 0)];
/// A swap has five times the states, for each copy is one.
const SWAPPED: Depths = [bounded(1, 0, 500), closed(2, 0)];
const UNSTABLE: Depths = [bounded(1, 0, 1_000), closed(2, 0)];
/// Copies, and more words to a page, make up to three million states: `--whole` goes to their end.
const UNSTABLE_COPIES: Depths = [bounded(1, 0, 1_000), bounded(2, 0, 200_000)];

/// By mode of booting.
pub(crate) const BOOT: [&[Entry]; 5] = [&DIRECT, &SWAP, &SWAP_SHORT, &OVERWRITE, &RESUMED];

const DIRECT: [Entry; 18] = on_every_flash!(
    "boot-direct",
    direct,
    (4, 148, 9, 0, Config::STABLE, UPDATES),
    (8, 152, 9, 0, Config::STABLE, UPDATES),
    (32, 192, 9, 0, Config::STABLE, ON_LONG_WORDS),
    (4, 148, 9, 1, Config::UNSTABLE, UNSTABLE),
    (8, 152, 9, 1, Config::UNSTABLE, UNSTABLE),
    (32, 192, 9, 1, Config::UNSTABLE, UNSTABLE)
);

/// With records that outlast a cut, so that a download goes on where it was.
const RESUMED: [Entry; 18] = on_every_flash!(
    "boot-resumed",
    resumed,
    (4, 148, 9, 0, Config::STABLE, UPDATES),
    (8, 152, 9, 0, Config::STABLE, UPDATES),
    (32, 192, 9, 0, Config::STABLE, ON_LONG_WORDS),
    (4, 148, 9, 1, Config::UNSTABLE, UNSTABLE),
    (8, 152, 9, 1, Config::UNSTABLE, UNSTABLE),
    (32, 192, 9, 1, Config::UNSTABLE, UNSTABLE)
);

const SWAP: [Entry; 18] = on_every_flash!(
    "boot-swap",
    swap,
    (4, 148, 11, 0, Config::STABLE, SWAPPED),
    (8, 152, 11, 0, Config::STABLE, SWAPPED),
    (32, 192, 11, 0, Config::STABLE, SWAPPED),
    (4, 148, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (8, 152, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (32, 192, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES)
);

const SWAP_SHORT: [Entry; 18] = on_every_flash!(
    "boot-swap-short",
    swap_short,
    (4, 148, 11, 0, Config::STABLE, SWAPPED),
    (8, 152, 11, 0, Config::STABLE, SWAPPED),
    (32, 192, 11, 0, Config::STABLE, SWAPPED),
    (4, 148, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (8, 152, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (32, 192, 11, 1, Config::UNSTABLE, UNSTABLE_COPIES)
);

const OVERWRITE: [Entry; 18] = on_every_flash!(
    "boot-overwrite",
    overwrite,
    (4, 148, 12, 0, Config::STABLE, UPDATES),
    (8, 152, 12, 0, Config::STABLE, UPDATES),
    (32, 192, 12, 0, Config::STABLE, ON_LONG_WORDS),
    (4, 148, 12, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (8, 152, 12, 1, Config::UNSTABLE, UNSTABLE_COPIES),
    (32, 192, 12, 1, Config::UNSTABLE, UNSTABLE)
);

fn direct<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    update::<W, E>(Way::Direct, effort, mode, config, depths)
}

fn resumed<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    explored(
        Updates::<W, E>::new(Way::Direct, depths[effort.depth()].batches, true),
        effort,
        mode,
        config,
        depths,
    )
}

fn swap<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    update::<W, E>(Way::Swap, effort, mode, config, depths)
}

fn swap_short<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    update::<W, E>(Way::SwapShort, effort, mode, config, depths)
}

fn overwrite<const W: usize, const E: usize, const P: usize>(
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    update::<W, E>(Way::Overwrite, effort, mode, config, depths)
}

fn update<const W: usize, const E: usize>(
    way: Way,
    effort: Effort,
    mode: Mode,
    config: Config,
    depths: Depths,
) -> Outcome {
    let subject = Updates::<W, E>::new(way, depths[effort.depth()].batches, false);
    explored(subject, effort, mode, config, depths)
}

#[expect(clippy::expect_used, reason = "a report may fail loudly")]
fn explored<const W: usize, const E: usize>(
    subject: Updates<W, E>,
    effort: Effort,
    mode: Mode,
    mut config: Config,
    depths: Depths,
) -> Outcome {
    config.filter_bits = 22;
    let depth = depths[effort.depth()];
    let start = subject
        .factory(mode)
        .expect("no power is cut in the factory");
    // What never installs anything would have no violation either. One without a cut is told by the explorer, with its way.
    let last = u64::from(depth.batches) + 1;
    let well = last != super::BAD;
    if let Ok(end) = subject.uncut(&start) {
        assert_eq!(end, Some((last, well)), "the script");
    }
    let pages = (subject.pages(), 0);
    let scope = format!("image_pages={} updates={}", super::PAGES, depth.batches);
    explore_from(subject, start, pages, effort, config, depth).with_scope(scope)
}
