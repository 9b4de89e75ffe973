//! A device's power, which may fail in the middle of an operation on any of its flash.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The power of one device; copies are the same supply.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<Mutex<Supply>>);

#[derive(Debug, Default)]
struct Supply {
    state: State,
    cuts: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    On,
    /// For so many operations, and half of the one behind them.
    For(u32),
    Off,
}

impl Power {
    /// Fails in the middle of the operation behind so many.
    pub fn cut_after(&self, operations: u32) {
        self.supply().state = State::For(operations);
    }

    /// Comes back; says whether it was off.
    pub fn restore(&self) -> bool {
        let mut supply = self.supply();
        let was_off = supply.state == State::Off;
        if was_off {
            supply.state = State::On;
        }
        was_off
    }

    pub fn is_off(&self) -> bool {
        self.supply().state == State::Off
    }

    /// How often it failed.
    pub fn cuts(&self) -> u64 {
        self.supply().cuts
    }

    /// For how many of so many operations it lasts; if not for all, the next one is done by half. `None` while it is off.
    pub fn draw(&self, operations: usize) -> Option<usize> {
        let mut supply = self.supply();
        let left = match supply.state {
            State::On => return Some(operations),
            State::For(left) => left,
            State::Off => return None,
        };
        let after = u32::try_from(operations)
            .ok()
            .and_then(|operations| left.checked_sub(operations));
        if let Some(after) = after {
            supply.state = State::For(after);
            return Some(operations);
        }
        (supply.state, supply.cuts) = (State::Off, supply.cuts + 1);
        usize::try_from(left).ok()
    }

    fn supply(&self) -> MutexGuard<'_, Supply> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
