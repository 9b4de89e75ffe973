//! Fuses that are never torn.

use alloc::rc::Rc;
use core::cell::Cell;
use core::convert::Infallible;

use crate::port::MonotonicCounter;

/// A counter that survives power cuts, as a row of fuses does. Clones share it.
///
/// ```
/// use iot_core::port::MonotonicCounter;
/// use iot_core::sim::SimCounter;
/// let fuses = SimCounter::new(1);
/// let mut seen_by_the_device = fuses.clone();
/// seen_by_the_device.raise(4)?;
/// assert_eq!(fuses.now(), 4);
/// # Ok::<(), core::convert::Infallible>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimCounter(Rc<Cell<u64>>);

impl SimCounter {
    /// Stands at `value`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(Rc::new(Cell::new(value)))
    }

    /// What it stands at.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.get()
    }
}

impl MonotonicCounter for SimCounter {
    type Error = Infallible;

    fn value(&mut self) -> Result<u64, Infallible> {
        Ok(self.now())
    }

    fn raise(&mut self, to: u64) -> Result<(), Infallible> {
        self.0.set(self.now().max(to));
        Ok(())
    }
}
