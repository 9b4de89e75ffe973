//! The port to a clock.

use crate::time::{Instant, Now};

/// Tells the time and waits.
pub trait Timer {
    /// What time it is.
    fn now(&self) -> Now;

    /// Waits until `deadline`, or for ever when there is none. Cancel-safe.
    fn until(&mut self, deadline: Option<Instant>) -> impl Future<Output = ()>;
}

impl<T: Timer + ?Sized> Timer for &mut T {
    fn now(&self) -> Now {
        (**self).now()
    }
    fn until(&mut self, deadline: Option<Instant>) -> impl Future<Output = ()> {
        (**self).until(deadline)
    }
}
