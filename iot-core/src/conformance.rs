//! What a public conformance suite says: which facts about a port's implementation were shown, and which failed.
//!
//! The suites themselves live with their ports' bindings: transports in `iot-transport`, keys in `iot-identity`.
//!
//! ```
//! use iot_core::conformance::{Report, Verdict};
//! let mut report = Report::new();
//! report.add("it keeps order", Verdict::Held);
//! report.add("it keeps count", Verdict::Failed("2 of 3 came".into()));
//! assert!(report.failures().eq(["it keeps count"]));
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How a fact came out.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It was seen to hold.
    Held,
    /// It was seen not to hold; the text says what was seen.
    Failed(String),
    /// It could not be shown, and why.
    NotShown(&'static str),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::NotShown(why) => write!(f, "not shown: {why}"),
        }
    }
}

/// One verdict for each fact `F`; printed, it has one line for each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report<F> {
    verdicts: Vec<(F, Verdict)>,
}

impl<F> Default for Report<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Report<F> {
    /// Nothing was asked for yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            verdicts: Vec::new(),
        }
    }
}

impl<F: Copy + PartialEq> Report<F> {
    /// Adds how `fact` came out.
    pub fn add(&mut self, fact: F, verdict: Verdict) {
        self.verdicts.push((fact, verdict));
    }

    /// Every fact with its verdict, in the order in which they were shown.
    pub fn iter(&self) -> impl Iterator<Item = (F, &Verdict)> {
        self.verdicts.iter().map(|(fact, verdict)| (*fact, verdict))
    }

    /// How `fact` came out; `None` when it was not asked for.
    #[must_use]
    pub fn verdict(&self, fact: F) -> Option<&Verdict> {
        self.iter()
            .find(|(shown, _)| *shown == fact)
            .map(|(_, verdict)| verdict)
    }

    /// The facts that were seen to hold.
    pub fn held(&self) -> impl Iterator<Item = F> {
        self.iter()
            .filter(|(_, verdict)| **verdict == Verdict::Held)
            .map(|(fact, _)| fact)
    }

    /// The facts that were seen not to hold.
    pub fn failures(&self) -> impl Iterator<Item = F> {
        self.iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
            .map(|(fact, _)| fact)
    }

    /// The facts that could not be shown, with the reason.
    pub fn not_shown(&self) -> impl Iterator<Item = (F, &'static str)> {
        self.iter().filter_map(|(fact, verdict)| match verdict {
            Verdict::NotShown(why) => Some((fact, *why)),
            _ => None,
        })
    }
}

impl<F: Copy + PartialEq + fmt::Display> fmt::Display for Report<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fact, verdict) in self.iter() {
            writeln!(f, "{fact:<24} {verdict}")?;
        }
        Ok(())
    }
}
