//! The port to the memory that holds firmware.

use core::ops::Range;

use super::record::RECORD_BYTES;

/// One of the two places an image can run from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(clippy::exhaustive_enums, reason = "dual bank means two")]
pub enum Bank {
    /// The first bank.
    A,
    /// The second bank.
    B,
}

impl Bank {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One of the two copies of the boot record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(
    clippy::exhaustive_enums,
    reason = "one copy is written while the other is valid"
)]
pub enum RecordCopy {
    /// The first copy.
    First,
    /// The second copy.
    Second,
}

impl RecordCopy {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The memory that holds firmware: two banks, two copies of the boot record, and a counter that only rises.
///
/// It is synchronous, since a boot loader has no executor and a write to internal flash stalls the chip
/// anyway. The crate never writes to the bank that runs, nor to the confirmed one, and writes to a bank in
/// rising order, each byte once between two calls of [`clear`](Self::clear).
///
/// `MemoryBanks` of feature `sim` is an implementation with power cuts.
pub trait Banks {
    /// What can go wrong with the memory.
    type Error: core::error::Error;

    /// The size of one bank in bytes.
    fn capacity(&self) -> u32;

    /// The bank this firmware was booted from.
    fn running(&self) -> Bank;

    /// Ends what a power cut has interrupted. The boot loader does this first; a firmware need not.
    ///
    /// # Errors
    ///
    /// The memory's error; doing it again goes on with it.
    fn settle(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Brings the image of `bank` to where images run, and says whether anything had to be moved. Where an image runs
    /// in its bank there is nothing to do.
    ///
    /// A power cut leaves it to [`settle`](Self::settle) to end what was begun; the banks are not read before. Bringing the
    /// confirmed image back may cost the candidate.
    ///
    /// # Errors
    ///
    /// The memory's error. A candidate that cannot be brought must leave the confirmed image where it was: it is
    /// given up then. The confirmed image is asked for again at the next boot.
    fn place(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        let _ = bank;
        Ok(false)
    }

    /// Makes the copy of `bank`'s image anew from which it runs, and says whether there is such a copy. Where an image runs in
    /// its bank, or is moved to where it runs, there is none.
    ///
    /// # Errors
    ///
    /// The memory's error; doing it again goes on with it.
    fn renew(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        let _ = bank;
        Ok(false)
    }

    /// Makes the part of `bank` in which `from` lies writable again, and returns which that is: what the memory erases at
    /// once, usually a page; from `from` to the end where nothing has to be erased. Bytes outside stay as they are, and at the end of
    /// the bank nothing is done.
    ///
    /// One call is one erasure, so that a watchdog can be fed between two of them.
    ///
    /// # Errors
    ///
    /// The memory's error; the content of that part is then unspecified.
    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, Self::Error>;

    /// Writes to cleared memory; durable when this returns, since a checkpoint may count it then.
    ///
    /// # Errors
    ///
    /// The memory's error; a part may have been written.
    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Reads `out.len()` bytes.
    ///
    /// # Errors
    ///
    /// The memory's error; `out` is then unspecified.
    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Reads one copy of the boot record, whatever it holds.
    ///
    /// # Errors
    ///
    /// The memory's error.
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), Self::Error>;

    /// Replaces one copy of the boot record; durable when this returns. A power cut may leave any content
    /// in this copy and must leave the other one alone: give each its own erase sector.
    ///
    /// # Errors
    ///
    /// The memory's error; this copy's content is then unspecified.
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), Self::Error>;

    /// The security counter: no image with a lower one may boot.
    ///
    /// # Errors
    ///
    /// The memory's error.
    fn counter(&mut self) -> Result<u64, Self::Error>;

    /// Raises the security counter to `to`; a lower value changes nothing. Durable when this returns.
    ///
    /// # Errors
    ///
    /// The memory's error; the counter has the old or the new value.
    fn raise_counter(&mut self, to: u64) -> Result<(), Self::Error>;
}

impl<B: Banks + ?Sized> Banks for &mut B {
    type Error = B::Error;
    fn capacity(&self) -> u32 {
        (**self).capacity()
    }
    fn running(&self) -> Bank {
        (**self).running()
    }
    fn settle(&mut self) -> Result<(), Self::Error> {
        (**self).settle()
    }
    fn place(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        (**self).place(bank)
    }
    fn renew(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        (**self).renew(bank)
    }
    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, Self::Error> {
        (**self).clear(bank, from)
    }
    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).write(bank, offset, bytes)
    }
    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(bank, offset, out)
    }
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), Self::Error> {
        (**self).read_record(copy, out)
    }
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), Self::Error> {
        (**self).write_record(copy, bytes)
    }
    fn counter(&mut self) -> Result<u64, Self::Error> {
        (**self).counter()
    }
    fn raise_counter(&mut self, to: u64) -> Result<(), Self::Error> {
        (**self).raise_counter(to)
    }
}
