//! Measures a claim against a peer, both in the same run.
//!
//! Absolute times say little on a machine that does other things. So ours and the peer take turns, in many
//! short rounds, and the best round of each counts: noise only ever adds.

pub mod plant;

use core::fmt;
use core::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 60;
// Long enough for the clock's own cost (about 25 ns) to vanish, short enough to dodge the scheduler.
const ROUND_NS: f64 = 1_000_000.0;

/// One claim and what came out.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ratio {
    name: &'static str,
    ours: f64,
    peer: f64,
    unit: &'static str,
    goal: Goal,
}

/// What the ratio of ours to the peer's must be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Goal {
    /// Less is better: at most this.
    AtMost(f64),
    /// More is better: at least this.
    AtLeast(f64),
}

impl Ratio {
    /// Compares two figures of the same unit.
    #[must_use]
    pub const fn new(
        name: &'static str,
        ours: f64,
        peer: f64,
        unit: &'static str,
        goal: Goal,
    ) -> Self {
        Self {
            name,
            ours,
            peer,
            unit,
            goal,
        }
    }

    /// Times two functions that do the same work, in nanoseconds a call.
    pub fn of_times<A, B>(
        name: &'static str,
        goal: Goal,
        mut ours: impl FnMut() -> A,
        mut peer: impl FnMut() -> B,
    ) -> Self {
        let (our_calls, peer_calls) = (calls_per_round(&mut ours), calls_per_round(&mut peer));
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            best.0 = best.0.min(time_of(our_calls, &mut ours));
            best.1 = best.1.min(time_of(peer_calls, &mut peer));
        }
        Self::new(name, best.0, best.1, "ns", goal)
    }

    /// Ours divided by the peer's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    /// Whether the goal is met; never for figures that are no numbers.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self.goal {
            Goal::AtMost(limit) => self.ratio() <= limit,
            Goal::AtLeast(limit) => self.ratio() >= limit,
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            ours,
            peer,
            unit,
            goal,
        } = self;
        let (ratio, verdict) = (self.ratio(), if self.is_met() { "ok" } else { "short" });
        write!(
            f,
            "{name} ours={ours:.1} peer={peer:.1} unit={unit} ratio={ratio:.3} goal={goal} {verdict}"
        )
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<={limit}"),
            Self::AtLeast(limit) => write!(f, ">={limit}"),
        }
    }
}

fn calls_per_round<A>(work: &mut impl FnMut() -> A) -> u32 {
    let mut calls = 1;
    while calls < u32::MAX / 2 {
        let spent = time_of(calls, work) * f64::from(calls);
        if spent >= ROUND_NS {
            break;
        }
        calls *= 2;
    }
    calls
}

fn time_of<A>(calls: u32, work: &mut impl FnMut() -> A) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(work());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_on_the_ratio() {
        let ratio = |goal| Ratio::new("x", 2.0, 4.0, "ns", goal);
        assert!(ratio(Goal::AtMost(0.5)).is_met() && !ratio(Goal::AtMost(0.4)).is_met());
        assert!(ratio(Goal::AtLeast(0.5)).is_met() && !ratio(Goal::AtLeast(0.6)).is_met());
        assert_eq!(
            ratio(Goal::AtMost(0.4)).to_string(),
            "x ours=2.0 peer=4.0 unit=ns ratio=0.500 goal=<=0.4 short"
        );
    }

    #[test]
    fn a_figure_that_is_no_number_meets_no_goal() {
        for goal in [Goal::AtMost(1.0), Goal::AtLeast(0.0)] {
            assert!(!Ratio::new("x", 0.0, 0.0, "ns", goal).is_met());
        }
    }
}
