//! What was shown, what was not, and what failed.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Fact;

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

/// One verdict for each fact; printed, it has one line for each.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    verdicts: Vec<(Fact, Verdict)>,
}

impl Report {
    pub(super) fn add(&mut self, fact: Fact, verdict: Verdict) {
        self.verdicts.push((fact, verdict));
    }

    /// Every fact with its verdict, in the order in which they were shown.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, &Verdict)> {
        self.verdicts.iter().map(|(fact, verdict)| (*fact, verdict))
    }

    /// How `fact` came out; `None` when it was not asked for.
    #[must_use]
    pub fn verdict(&self, fact: Fact) -> Option<&Verdict> {
        self.iter()
            .find(|(shown, _)| *shown == fact)
            .map(|(_, verdict)| verdict)
    }

    /// The facts that were seen to hold.
    pub fn held(&self) -> impl Iterator<Item = Fact> {
        self.iter()
            .filter(|(_, verdict)| **verdict == Verdict::Held)
            .map(|(fact, _)| fact)
    }

    /// The facts that were seen not to hold.
    pub fn failures(&self) -> impl Iterator<Item = Fact> {
        self.iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
            .map(|(fact, _)| fact)
    }

    /// The facts that could not be shown, with the reason.
    pub fn not_shown(&self) -> impl Iterator<Item = (Fact, &'static str)> {
        self.iter().filter_map(|(fact, verdict)| match verdict {
            Verdict::NotShown(why) => Some((fact, *why)),
            _ => None,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fact, verdict) in self.iter() {
            writeln!(f, "{fact:<24} {verdict}")?;
        }
        Ok(())
    }
}
