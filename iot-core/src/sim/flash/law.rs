//! What no caller may do to a flash, and what a flash refuses.

use embedded_storage_async::nor_flash::{NorFlashError, NorFlashErrorKind};

use super::cell::FlashCell;
use super::image::Mode;

/// What a caller did that the flash's data sheet forbids. Offsets are in bytes from the start of the flash.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashBreach {
    /// Data for a word that holds data, or that reads as an error.
    #[error("the word at {offset} was programmed twice: erase its page first")]
    DoubleProgram {
        /// Where the word is.
        offset: u32,
    },
    /// Data for a word that reads as erased, although a program of it was tried.
    #[error(
        "the word at {offset} reads as erased but a program of it was tried: it may get zeroes alone"
    )]
    DataOnAttempted {
        /// Where the word is.
        offset: u32,
    },
    /// Zeroes for a word that does not read as erased.
    #[error("zeroes for the word at {offset}, which reads as programmed")]
    ZeroOnProgrammed {
        /// Where the word is.
        offset: u32,
    },
    /// An offset or a length is not a whole number of words, or for an erase, of pages.
    #[error("{bytes} bytes at {offset} are not whole units: align offset and length")]
    NotAligned {
        /// Where the access began.
        offset: u32,
        /// How long it was.
        bytes: usize,
    },
    /// The access ends beyond the flash.
    #[error("{bytes} bytes at {offset} end beyond the flash of {capacity} bytes")]
    OutOfBounds {
        /// Where the access began.
        offset: u32,
        /// How long it was.
        bytes: usize,
        /// How many bytes there are.
        capacity: usize,
    },
    /// More operations since the boot than [`SimFlash::set_most_operations`](super::SimFlash::set_most_operations)
    /// allows: an engine that never comes to its end.
    #[error("more than {most} operations since the boot: it does not come to an end")]
    Endless {
        /// How many are allowed.
        most: u32,
    },
}

/// Why a [`SimFlash`](super::SimFlash) did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimFlashError {
    /// A word could not be read; the buffer holds the words before it.
    #[error("the word at {offset} reads as an error")]
    Ecc {
        /// Where the word is.
        offset: u32,
    },
    /// The caller broke the law; words before the breach are programmed.
    #[error(transparent)]
    Breach(FlashBreach),
    /// The planned power cut has happened.
    #[error("the power is cut: nothing works before a reboot")]
    Cut,
    /// The flash was lent for reading alone.
    #[error("this flash was lent for reading alone")]
    ReadOnly,
}

impl NorFlashError for SimFlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Breach(FlashBreach::NotAligned { .. }) => NorFlashErrorKind::NotAligned,
            Self::Breach(FlashBreach::OutOfBounds { .. }) => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// What a word becomes that is programmed with `value`; the breach when it may not be.
///
/// `reads_erased` is what an unstable word reads as now. `guard_fails` tells that a guard on a doubtful write-once
/// word ends as an error.
pub(super) fn program<const WRITE: usize>(
    mode: Mode,
    old: FlashCell<WRITE>,
    value: [u8; WRITE],
    offset: u32,
    reads_erased: bool,
    guard_fails: bool,
) -> Result<FlashCell<WRITE>, FlashBreach> {
    let zero = value == FlashCell::<WRITE>::ZERO;
    if mode == Mode::Multiwrite {
        return Ok(match old {
            FlashCell::Programmed(before) | FlashCell::Unstable(before) => {
                FlashCell::holding(super::cell::both(before, value))
            }
            _ => FlashCell::holding(value),
        });
    }
    match old {
        FlashCell::Erased => Ok(FlashCell::holding(value)),
        FlashCell::Attempted | FlashCell::Unstable(_) if !zero => {
            Err(FlashBreach::DataOnAttempted { offset })
        }
        FlashCell::Unstable(_) if !reads_erased => Err(FlashBreach::ZeroOnProgrammed { offset }),
        FlashCell::Attempted | FlashCell::Unstable(_) => {
            Ok(match guard_fails && mode == Mode::WriteOnce {
                true => FlashCell::Ecc,
                false => FlashCell::Programmed(value),
            })
        }
        FlashCell::Programmed(_) if zero => Err(FlashBreach::ZeroOnProgrammed { offset }),
        FlashCell::Programmed(_) | FlashCell::Ecc => Err(FlashBreach::DoubleProgram { offset }),
    }
}
