//! A counter on flash, where there are no fuses.

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;

use super::register::{Register, WriteError};

const KIND_COUNTER: u8 = 2;
const COUNTER_BYTES: usize = 8;

/// A counter on three pages of flash that survives a power cut at every operation.
///
/// It keeps old firmware from being booted by mistake or by an offer of old firmware. Against somebody who can write the flash
/// it is worth nothing: use fuses, a secure element or a replay-protected block there.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::port::MonotonicCounter;
/// use iot_core::sim::SimFlash;
/// use iot_core::sim::flash::Mode;
/// use iot_ota::slot::FlashCounter;
///
/// let mut counter = FlashCounter::new(SimFlash::<4, 256>::new(3, Mode::WriteOnce), 0);
/// counter.raise(7)?;
/// counter.raise(5)?;
/// assert_eq!(counter.value()?, 7);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlashCounter<F> {
    flash: F,
    register: Register<COUNTER_BYTES>,
}

/// Why a counter on flash cannot be told or raised.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashCounterError<F> {
    /// The flash failed; the counter stands at the old or the new value.
    #[error("the flash failed")]
    Flash(F),
    /// It was written four thousand million times.
    #[error("the counter's generations are used up")]
    Worn,
    /// The flash took the value, and does not give it back; the counter stands at the old or the new one.
    #[error("the counter does not read back as it was written: the flash is worn")]
    NotStored,
}

impl<F: NorFlash> FlashCounter<F> {
    /// Opens the counter on the three pages from `at` on, which is where a page starts; changes nothing. A page holds
    /// at least 20 bytes, rounded up to whole words, and a word more, which has at most 128 bytes.
    #[must_use]
    pub fn new(mut flash: F, at: u32) -> Self {
        let register = Register::open(&mut flash, at, KIND_COUNTER);
        Self { flash, register }
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> MonotonicCounter for FlashCounter<F>
where
    F::Error: core::fmt::Debug,
{
    type Error = FlashCounterError<F::Error>;

    fn value(&mut self) -> Result<u64, Self::Error> {
        self.register.settle(&mut self.flash).map_err(stored)?;
        let value = self.register.value();
        Ok(value.map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    fn raise(&mut self, to: u64) -> Result<(), Self::Error> {
        if to <= self.value()? {
            return Ok(());
        }
        let written = self.register.write(&mut self.flash, &to.to_be_bytes());
        written.map_err(stored)
    }
}

fn stored<F>(error: WriteError<F>) -> FlashCounterError<F> {
    match error {
        WriteError::Flash(error) => FlashCounterError::Flash(error),
        WriteError::Worn => FlashCounterError::Worn,
        WriteError::NotStored => FlashCounterError::NotStored,
    }
}
