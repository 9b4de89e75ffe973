//! One run of the report: an engine on one kind of flash.

use core::fmt::Write;
use core::time::Duration;
use std::time::Instant;

use iot_core::sim::SimFlash;
use iot_core::sim::power::{Explorer, Leg, RandomReport, Report, Subject, WorldCell};

/// How much is explored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Effort {
    /// Seconds.
    Quick,
    /// Minutes.
    Full,
    /// The same to the end, whatever the budgets are: some take hours.
    Whole,
}

impl Effort {
    /// Which of two depths it goes to.
    pub(crate) const fn depth(self) -> usize {
        match self {
            Self::Quick => 0,
            Self::Full | Self::Whole => 1,
        }
    }
}

/// An engine on one kind of flash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The engine; several entries may share it.
    pub(crate) name: &'static str,
    /// What kind of flash, in the words of its line.
    pub(crate) flash: &'static str,
    /// Explores it. Everything that threads cannot share is made in here.
    pub(crate) run: fn(Effort) -> Outcome,
}

/// Of how many violations the way is told.
const SHOWN: usize = 3;

/// What a run gave.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    report: Report,
    random: RandomReport,
    random_elapsed: Duration,
    must_close: bool,
    limit: bool,
    /// Pages of the flash; none when there is no log on it.
    pages: usize,
    /// How many pages the script retired without a cut, and how many it must.
    retired: (u64, u64),
    /// What the script does, in the words of its line.
    scope: String,
}

impl Outcome {
    /// Explores, then runs at random for `cuts` power cuts.
    pub(crate) fn of<S: Subject<W, E>, const W: usize, const E: usize>(
        mut explorer: Explorer<S, W, E>,
        cuts: u64,
    ) -> Self {
        let start = Instant::now();
        let begin = spent(start);
        let report = explorer.run();
        let explored = spent(start);
        let random = explorer.random_run(1, cuts);
        Self {
            report: report.timed(explored.saturating_sub(begin)),
            random,
            random_elapsed: spent(start).saturating_sub(explored),
            must_close: true,
            limit: false,
            pages: 0,
            retired: (0, 0),
            scope: String::new(),
        }
    }

    /// States that the budget may end this run before its fixpoint.
    pub(crate) const fn may_stay_open(mut self) -> Self {
        self.must_close = false;
        self
    }

    /// States that there is a violation, because no less is claimed not to have one.
    pub(crate) const fn beyond_claims(mut self) -> Self {
        self.limit = true;
        self
    }

    /// States on how many pages the script ran, how many it compacted or retired, and how many it must for the
    /// run to mean anything.
    pub(crate) const fn with_pages(mut self, pages: usize, retired: u64, least: u64) -> Self {
        self.pages = pages;
        self.retired = (retired, least);
        self
    }

    /// States what the script does, in `name=value` pairs for its line.
    pub(crate) fn with_scope(mut self, scope: String) -> Self {
        self.scope = scope;
        self
    }

    pub(crate) fn is_good(&self) -> bool {
        if self.limit {
            return !self.report.failures.is_empty() && self.retired.0 >= self.retired.1;
        }
        // With unstable words a random run may meet a state that differs in where a dead page is unstable.
        let strange = self.report.unstable_units == 0 && self.random.strangers > 0;
        (self.report.is_clean() || self.may_end_here())
            && self.retired.0 >= self.retired.1
            && self.report.failures.is_empty()
            && self.random.failure.is_none()
            && !strange
    }

    /// It was bounded, and nothing was found wrong with its keys so far.
    fn may_end_here(&self) -> bool {
        !self.must_close && !self.report.fixpoint && self.report.collisions == 0
    }

    pub(crate) fn lines(&self, name: &str) -> String {
        let mut lines = format!("{name} {}", self.report);
        if self.pages > 0 {
            let (pages, retired) = (self.pages, self.retired.0);
            lines.push_str(&format!(" pages={pages} pages_retired={retired}"));
        }
        if !self.scope.is_empty() {
            lines.push_str(&format!(" {}", self.scope));
        }
        if self.limit {
            lines.push_str(" limit=documented");
        }
        lines.push('\n');
        if self.random.cuts > 0 {
            let RandomReport {
                cuts,
                checked,
                strangers,
                ..
            } = self.random;
            let violations = usize::from(self.random.failure.is_some());
            let seconds = self.random_elapsed.as_secs_f64();
            lines.push_str(&format!(
                "{name} random cuts={cuts} checked={checked} strangers={strangers} \
                 violations={violations} seconds={seconds:.1}\n"
            ));
        }
        lines
    }

    pub(crate) fn complaints(&self, name: &str) -> String {
        let mut text = String::new();
        let failures = self.report.failures.iter().chain(&self.random.failure);
        // Writing to a string cannot fail.
        for failure in failures.clone().take(SHOWN) {
            let _ = write!(text, "{name}: {failure}");
        }
        let more = failures.count().saturating_sub(SHOWN);
        if more > 0 {
            let _ = writeln!(text, "{name}: {more} more violations");
        }
        if self.limit && self.report.failures.is_empty() {
            let _ = writeln!(text, "{name}: the documented limit is none: claim more");
        }
        let stable = self.report.unstable_units == 0;
        let (retired, least) = self.retired;
        if retired < least {
            let _ = writeln!(text, "{name}: {retired} pages retired, not {least}");
        }
        if self.must_close && !self.report.fixpoint {
            let _ = writeln!(text, "{name}: no fixpoint");
        }
        if self.report.collisions > 0 {
            let _ = writeln!(
                text,
                "{name}: {} collisions of keys",
                self.report.collisions
            );
        }
        if stable && self.report.weak_keys > 0 {
            let _ = writeln!(text, "{name}: {} weak keys", self.report.weak_keys);
            tell(&mut text, &self.report.weak);
        }
        if stable && self.random.strangers > 0 {
            let _ = writeln!(text, "{name}: {} strangers", self.random.strangers);
            tell(&mut text, &self.random.stranger);
        }
        text
    }
}

/// How many pages a script erases when it runs without a cut.
pub(crate) fn erases<S, const W: usize, const E: usize>(subject: &S, flash: SimFlash<W, E>) -> u64
where
    S: Subject<W, E, World: Default>,
{
    let world = WorldCell::new(S::World::default());
    let Ok(mut session) = subject.boot(flash, &world) else {
        return 0;
    };
    while subject.choices(&session, &world.read(Clone::clone)) > 0
        && subject.step(0, &mut session, &world).is_ok()
    {}
    subject.flash(&session).counters().erases
}

fn tell(text: &mut String, path: &[Leg]) {
    for leg in path {
        let _ = writeln!(text, "  {leg}");
    }
}

/// What this thread has computed so far; the time that passed, where the system does not tell.
///
/// Rates are meant for one core, and other programs run too.
fn spent(begin: Instant) -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = statistics.as_deref().and_then(|all| all.split(' ').next());
    match first.and_then(|nanoseconds| nanoseconds.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => begin.elapsed(),
    }
}
