//! The port to a number that only rises.

/// A counter that only rises, as fuses, a secure element or a replay-protected block have one.
///
/// It tells which firmware is too old to run, or which state was restored from a copy: so it must survive whatever
/// the flash beside it does not. `sim::SimCounter` is one.
///
/// It is synchronous, since a boot loader reads it and has no executor.
///
/// ```
/// use iot_core::port::MonotonicCounter;
///
/// /// Returns what the counter stands at then.
/// fn at_least<C: MonotonicCounter>(counter: &mut C, least: u64) -> Result<u64, C::Error> {
///     counter.raise(least)?;
///     counter.value()
/// }
/// # #[cfg(feature = "sim")] {
/// let mut counter = iot_core::sim::SimCounter::new(7);
/// assert_eq!(at_least(&mut counter, 9), Ok(9));
/// assert_eq!(at_least(&mut counter, 3), Ok(9));
/// # }
/// ```
pub trait MonotonicCounter {
    /// What can go wrong with it.
    type Error: core::error::Error;

    /// What it stands at; 0 when it was never raised.
    ///
    /// # Errors
    ///
    /// The counter's error; nothing was changed.
    fn value(&mut self) -> Result<u64, Self::Error>;

    /// Raises it to `to`; a lower value changes nothing. Durable when this returns.
    ///
    /// # Errors
    ///
    /// The counter's error; it stands at the old or the new value.
    fn raise(&mut self, to: u64) -> Result<(), Self::Error>;
}

impl<C: MonotonicCounter + ?Sized> MonotonicCounter for &mut C {
    type Error = C::Error;
    fn value(&mut self) -> Result<u64, Self::Error> {
        (**self).value()
    }
    fn raise(&mut self, to: u64) -> Result<(), Self::Error> {
        (**self).raise(to)
    }
}
