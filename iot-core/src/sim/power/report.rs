//! What came out of an exploration, and the way to a violation.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Violation;
use crate::sim::flash::{Mode, Reading, Torn};

/// What an exploration found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How the words of the flash behaved.
    pub mode: Mode,
    /// Bytes of a word.
    pub write_bytes: usize,
    /// The cap on unstable units.
    pub unstable_units: u32,
    /// Distinct states, by key.
    pub states: usize,
    /// States that were booted.
    pub expanded: u64,
    /// Boots; more than `expanded` where words were in doubt.
    pub boots: u64,
    /// Steps of the script that were run.
    pub steps: u64,
    /// States that a cut could have left, before the same ones were put together.
    pub transitions: u64,
    /// Those of them that were left out, because they had more unstable units than the cap.
    pub capped: u64,
    /// The most flash operations in one boot: words programmed and pages erased.
    pub boot_operations: u32,
    /// Distinct states by what led to them first: the start, a boot, an idle moment, then the kinds of [`Torn`].
    pub origins: [u64; Report::ORIGINS],
    /// States whose key belongs to another state. Counted when [`Config::audit`](super::Config::audit) is set.
    pub collisions: u64,
    /// Keys that only states led to which had been merged with others, and were expanded all the same: the canonical
    /// key puts states together whose futures differ. Looked for at a fixpoint, in
    /// [`Config::merged_samples`](super::Config::merged_samples) states; what is found is explored.
    ///
    /// Without instability there must be none. With it a few are harmless, if the key leaves out where in a dead page
    /// the unstable words are: that decides how much of an instability half an erase ends.
    pub weak_keys: u64,
    /// The way to the first of them.
    pub weak: Vec<Leg>,
    /// How many merged states were expanded to find that.
    pub merged_checked: u64,
    /// What may not be, and how it came about; the shortest way first, in power cuts.
    pub failures: Vec<Failure>,
    /// Whether every state that can be reached was expanded, within the cap.
    pub fixpoint: bool,
    /// The time it took, if the caller told it: [`timed`](Self::timed).
    pub elapsed: Duration,
}

impl Report {
    /// How many [`origins`](Self::origins) there are.
    pub const ORIGINS: usize = 3 + Torn::KINDS;

    pub(super) const fn new(mode: Mode, write_bytes: usize, unstable_units: u32) -> Self {
        Self {
            mode,
            write_bytes,
            unstable_units,
            states: 0,
            expanded: 0,
            boots: 0,
            steps: 0,
            transitions: 0,
            capped: 0,
            boot_operations: 0,
            origins: [0; Self::ORIGINS],
            collisions: 0,
            weak_keys: 0,
            weak: Vec::new(),
            merged_checked: 0,
            failures: Vec::new(),
            fixpoint: false,
            elapsed: Duration::ZERO,
        }
    }

    /// States how long it took; there is no clock without `std`.
    #[must_use]
    pub const fn timed(mut self, elapsed: Duration) -> Self {
        self.elapsed = elapsed;
        self
    }

    /// States generated in a second; zero when the time is unknown.
    #[must_use]
    pub fn generated_per_second(&self) -> f64 {
        per_second(self.transitions, self.elapsed)
    }

    /// States expanded in a second; zero when the time is unknown.
    #[must_use]
    pub fn expanded_per_second(&self) -> f64 {
        per_second(self.expanded, self.elapsed)
    }

    /// Whether it is the proof that was wanted: a fixpoint without violation, without collision, and, if there was no
    /// instability, without weak key.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let weak = self.unstable_units == 0 && self.weak_keys > 0;
        self.fixpoint && self.failures.is_empty() && self.collisions == 0 && !weak
    }

    /// How many distinct states each kind of moment led to first.
    pub fn histogram(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = ["start", "booted", "idle"].into_iter().chain(Torn::NAMES);
        names.zip(self.origins)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 52 bits"
)]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    match elapsed.is_zero() {
        true => 0.0,
        false => count as f64 / elapsed.as_secs_f64(),
    }
}

/// One line of `name=value` pairs.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Rewritable => "rewritable",
            Mode::Multiwrite => "multiwrite",
            Mode::WriteOnce => "write-once",
        };
        let fixpoint = match self.fixpoint {
            true => "yes",
            false => "budget",
        };
        write!(
            f,
            "mode={mode} write={} u={} states={} transitions={} capped={} expanded={} \
             generated_per_s={:.0} expanded_per_s={:.0} violations={} fixpoint={fixpoint} seconds={:.1}",
            self.write_bytes,
            self.unstable_units,
            self.states,
            self.transitions,
            self.capped,
            self.expanded,
            self.generated_per_second(),
            self.expanded_per_second(),
            self.failures.len(),
            self.elapsed.as_secs_f64(),
        )
    }
}

/// A violation and the way to it, from the start: each leg is one boot and what followed until the power was cut.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// The legs; the last one ends with the violation.
    pub path: Vec<Leg>,
    /// What may not be.
    pub violation: Violation,
}

/// One boot, the steps after it, and what ended them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Leg {
    /// What unstable words read as.
    pub reading: Reading,
    /// Whether guards on doubtful words ended as errors.
    pub guard_fails: bool,
    /// The choice of each step that was begun.
    pub choices: Vec<usize>,
    /// What ended it.
    pub ending: Ending,
}

/// What ended a [`Leg`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// The power was cut at rest after the last of the steps, or after the boot if there is none.
    Idle,
    /// The power was cut during an operation.
    Cut {
        /// How many operations were complete before it, since the boot.
        operation: u32,
        /// What it left.
        torn: Torn,
    },
    /// The violation was found.
    Violation,
}

impl Failure {
    /// How many power cuts it takes.
    #[must_use]
    pub fn cuts(&self) -> usize {
        let cut = |leg: &&Leg| leg.ending != Ending::Violation;
        self.path.iter().filter(cut).count()
    }
}

/// One line a leg.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({} cuts)", self.violation, self.cuts())?;
        for (number, leg) in (1..).zip(&self.path) {
            writeln!(f, "  {number}. {leg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("boot")?;
        if self.reading != Reading::Erased {
            write!(f, ", unstable words read as {:?}", self.reading)?;
        }
        if self.guard_fails {
            f.write_str(", guards fail")?;
        }
        if !self.choices.is_empty() {
            write!(f, ", steps {:?}", self.choices)?;
        }
        match self.ending {
            Ending::Idle => f.write_str(", cut at rest"),
            Ending::Cut { operation, torn } => write!(f, ", operation {operation} cut: {torn:?}"),
            Ending::Violation => f.write_str(", violation"),
        }
    }
}
