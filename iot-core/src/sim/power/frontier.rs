//! What the explorer is told while a subject runs.

use alloc::vec::Vec;

use super::seen::Filter;
use super::world::{Moment, WorldCell};
use crate::sim::flash::{Crash, CrashSink, FlashImage, Torn};
use core::hash::Hash;

/// Takes in every crash state; those that did not come by lately wait for their key.
#[derive(Debug)]
pub(super) struct Frontier<W, const WRITE: usize, const ERASE: usize> {
    world: WorldCell<W>,
    filter: Filter,
    cap: u32,
    pub(super) pending: Vec<Pending<W, WRITE, ERASE>>,
    pub(super) transitions: u64,
    pub(super) capped: u64,
}

#[derive(Debug)]
pub(super) struct Pending<W, const WRITE: usize, const ERASE: usize> {
    pub(super) image: FlashImage<WRITE, ERASE>,
    pub(super) world: Moment<W>,
    pub(super) torn: Torn,
    pub(super) operation: u32,
}

impl<W: Clone + Hash, const WRITE: usize, const ERASE: usize> Frontier<W, WRITE, ERASE> {
    pub(super) fn new(world: WorldCell<W>, cap: u32, filter_bits: u8) -> Self {
        Self {
            world,
            filter: Filter::new(filter_bits),
            cap,
            pending: Vec::new(),
            transitions: 0,
            capped: 0,
        }
    }

    /// Counts a state; false when it needs no further look.
    pub(super) fn admit(&mut self, hash: u128, units: u32) -> bool {
        self.transitions += 1;
        if units > self.cap {
            self.capped += 1;
            return false;
        }
        // The world's hash is rotated: a flash hash must not cancel it.
        self.filter.is_new(hash ^ self.world.hash().rotate_left(17))
    }
}

impl<W: Clone + Hash, const WRITE: usize, const ERASE: usize> CrashSink<WRITE, ERASE>
    for Frontier<W, WRITE, ERASE>
{
    fn crash(&mut self, crash: &Crash<'_, WRITE, ERASE>) {
        if self.admit(crash.hash(), crash.unstable_units()) {
            self.pending.push(Pending {
                image: crash.image(),
                world: self.world.now(),
                torn: crash.torn(),
                operation: crash.operation(),
            });
        }
    }
}
