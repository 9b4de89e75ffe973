//! One crash state out of a run: a certain one, or any.

use core::hash::Hash;

use super::world::{Moment, WorldCell};
use crate::sim::SimEntropy;
use crate::sim::flash::{Crash, CrashSink, FlashImage, Torn};

#[derive(Debug)]
pub(super) struct Sampler<W, const WRITE: usize, const ERASE: usize> {
    world: WorldCell<W>,
    cap: u32,
    want: Want,
    offered: u64,
    pub(super) found: Option<Sample<W, WRITE, ERASE>>,
}

#[derive(Debug)]
pub(super) enum Want {
    Exactly(u32, Torn),
    Any(SimEntropy),
}

/// A state, and the operation whose cut leaves it; `None` for one at rest.
#[derive(Debug)]
pub(super) struct Sample<W, const WRITE: usize, const ERASE: usize> {
    pub(super) image: FlashImage<WRITE, ERASE>,
    pub(super) world: Moment<W>,
    pub(super) cut: Option<(u32, Torn)>,
    /// How many states were offered before it.
    pub(super) number: u64,
}

impl<W: Clone + Hash, const WRITE: usize, const ERASE: usize> Sampler<W, WRITE, ERASE> {
    pub(super) const fn new(world: WorldCell<W>, cap: u32, want: Want) -> Self {
        Self {
            world,
            cap,
            want,
            offered: 0,
            found: None,
        }
    }

    /// Offers the state at rest.
    pub(super) fn rest(&mut self, image: &FlashImage<WRITE, ERASE>) {
        if self.takes(image.unstable_units(), None) {
            self.keep(image.clone(), None);
        }
    }

    pub(super) const fn offered(&self) -> u64 {
        self.offered
    }

    // Each of n states is kept with probability 1/n, without knowing n.
    fn takes(&mut self, units: u32, cut: Option<(u32, Torn)>) -> bool {
        if units > self.cap {
            return false;
        }
        self.offered += 1;
        match &mut self.want {
            Want::Exactly(operation, torn) => cut == Some((*operation, *torn)),
            Want::Any(random) => random.below(self.offered) == 0,
        }
    }

    fn keep(&mut self, image: FlashImage<WRITE, ERASE>, cut: Option<(u32, Torn)>) {
        self.found = Some(Sample {
            image,
            world: self.world.now(),
            cut,
            number: self.offered,
        });
    }
}

impl<W: Clone + Hash, const WRITE: usize, const ERASE: usize> CrashSink<WRITE, ERASE>
    for Sampler<W, WRITE, ERASE>
{
    fn crash(&mut self, crash: &Crash<'_, WRITE, ERASE>) {
        let cut = Some((crash.operation(), crash.torn()));
        if self.takes(crash.unstable_units(), cut) {
            self.keep(crash.image(), cut);
        }
    }
}
