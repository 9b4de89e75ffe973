//! A look behind the canonical key: some of the states that it put together are expanded all the same.

use alloc::vec::Vec;

use super::Subject;
use super::explorer::{Explorer, Node};
use super::way::Origin;
use super::world::Moment;
use crate::sim::SimEntropy;
use crate::sim::flash::FlashImage;

/// States that were put together with others; a sample of them is expanded in the end.
#[derive(Debug)]
pub(super) struct Merged<W, const WRITE: usize, const ERASE: usize> {
    samples: Vec<Node<W, WRITE, ERASE>>,
    random: SimEntropy,
    met: u64,
    pub(super) checking: bool,
}

impl<W, const WRITE: usize, const ERASE: usize> Merged<W, WRITE, ERASE> {
    pub(super) const fn new() -> Self {
        Self {
            samples: Vec::new(),
            random: SimEntropy::new(1),
            met: 0,
            checking: false,
        }
    }
}

impl<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> Explorer<S, WRITE, ERASE> {
    /// Keeps some of the states whose key was known, each with the same probability.
    pub(super) fn sample(
        &mut self,
        image: FlashImage<WRITE, ERASE>,
        world: Moment<S::World>,
        origin: Origin,
    ) {
        let wanted = self.config.merged_samples;
        if wanted == 0 || self.merged.checking {
            return;
        }
        self.merged.met += 1;
        let place = usize::try_from(self.merged.random.below(self.merged.met));
        let place = place.unwrap_or(usize::MAX);
        let room = self.merged.samples.len() < wanted;
        if !room && place >= wanted {
            return;
        }
        let number = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        // It has a way of its own, which a weak key makes worth knowing.
        self.origins.push(origin);
        let node = Node {
            image,
            world,
            origin: number,
        };
        match self.merged.samples.get_mut(place) {
            Some(slot) if !room => *slot = node,
            _ => self.merged.samples.push(node),
        }
    }

    /// Expands states that were merged: at a fixpoint they must not lead anywhere new.
    pub(super) fn check_merged(&mut self) {
        self.merged.checking = true;
        for node in core::mem::take(&mut self.merged.samples) {
            if self.report.failures.len() >= self.config.failures.max(1) {
                break;
            }
            // The sessions of those they were merged with must not stand in for theirs.
            let sessions = core::mem::take(&mut self.sessions);
            self.expand(&node);
            self.sessions = sessions;
            self.report.merged_checked += 1;
        }
        self.merged.checking = false;
    }
}
