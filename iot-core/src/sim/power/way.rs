//! How states came about, kept so that the way to a violation can be told.

use alloc::vec::Vec;

use super::Subject;
use super::explorer::Explorer;
use super::report::{Ending, Leg};
use crate::sim::flash::Reading;

/// How a state came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The state that was booted; itself for the start.
    pub(super) parent: u32,
    /// The last step that was begun.
    pub(super) trail: u32,
    pub(super) run: Run,
    pub(super) ending: Ending,
}

/// What the surroundings decide about one boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) reading: Reading,
    pub(super) guard_fails: bool,
}

pub(super) const NO_STEP: u32 = u32::MAX;

impl Run {
    pub(super) const PLAIN: Self = Self {
        reading: Reading::Erased,
        guard_fails: false,
    };

    pub(super) const fn leg(self, choices: Vec<usize>, ending: Ending) -> Leg {
        Leg {
            reading: self.reading,
            guard_fails: self.guard_fails,
            choices,
            ending,
        }
    }
}

impl<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> Explorer<S, WRITE, ERASE> {
    pub(super) fn path(&self, end: Origin) -> Vec<Leg> {
        let mut path = Vec::new();
        let mut origin = end;
        loop {
            path.push(origin.run.leg(self.choices(origin.trail), origin.ending));
            let parent = usize::try_from(origin.parent).unwrap_or(usize::MAX);
            match self.origins.get(parent) {
                Some(before) if parent != 0 => origin = *before,
                _ => break,
            }
        }
        path.reverse();
        path
    }

    fn choices(&self, mut trail: u32) -> Vec<usize> {
        let mut choices = Vec::new();
        while let Some((before, choice)) = self.trail.get(trail as usize) {
            choices.push(*choice);
            trail = *before;
        }
        choices.reverse();
        choices
    }
}
