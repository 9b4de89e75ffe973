//! Two banks of write-once memory whose power can be cut.

use alloc::vec::Vec;
use core::ops::Range;

use iot_core::crypto::Digest;

use crate::slot::{Bank, Banks, BootError, BootRecord, RECORD_BYTES, RecordCopy, Release};
use crate::slot::{boot, store};

/// Firmware banks in memory, as strict as flash: a byte is written once after each erasure of its sector,
/// and writing goes upwards in it: a gap counts as written.
///
/// [`cut_power_after`](Self::cut_power_after) lets the power fail after so many bytes; what was being
/// written is then torn. [`reboot`](Self::reboot) runs the boot loader of [`slot::boot`](crate::slot::boot).
///
/// ```
/// use iot_ota::sim::{MemoryBanks, SimError};
/// use iot_ota::slot::{Bank, Banks};
/// let mut banks = MemoryBanks::empty(64, 16);
/// banks.write(Bank::B, 0, b"ab")?;
/// assert_eq!(banks.write(Bank::B, 1, b"c"), Err(SimError::NotErased { offset: 1 }));
/// banks.clear(Bank::B, 0)?;
/// assert_eq!(banks.write(Bank::B, 0, b"c"), Ok(()));
/// # Ok::<(), SimError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBanks {
    capacity: u32,
    sector: u32,
    banks: [Content; 2],
    records: [[u8; RECORD_BYTES]; 2],
    counter: u64,
    running: Bank,
    power: Power,
    written: u64,
    // From where on a bank cannot be read, and which copies of the record cannot.
    unreadable: [Option<u32>; 2],
    unreadable_records: [bool; 2],
}

/// What a bank holds.
#[derive(Clone, Debug, Default)]
struct Content {
    // Up to the last byte that was programmed; memory beyond it is erased.
    bytes: Vec<u8>,
    // How much of each sector was programmed, or attempted, since its last erasure.
    filled: Vec<usize>,
}

/// What the simulated memory refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The access ends past the bank.
    #[error("the access ends past the bank")]
    OutOfRange,
    /// The byte was written, or an attempt was made, since it was last erased.
    #[error("the byte at {offset} was not erased before it was written")]
    NotErased {
        /// Where in the bank.
        offset: u32,
    },
    /// The bank is the one that runs: real firmware would have sawn off its own branch.
    #[error("the running bank must not be changed")]
    Running,
    /// The memory cannot be read there.
    #[error("the memory cannot be read")]
    Unreadable,
    /// The power is off.
    #[error("the power is off")]
    PowerCut,
}

#[derive(Clone, Copy, Debug)]
enum Power {
    On,
    Left(u64),
}

impl MemoryBanks {
    /// Erased banks of `capacity` bytes in sectors of `sector` bytes (0 is taken as 1), without a boot record.
    #[must_use]
    pub fn empty(capacity: u32, sector: u32) -> Self {
        Self {
            capacity,
            sector: sector.max(1),
            banks: [Content::default(), Content::default()],
            records: [[0xff; RECORD_BYTES]; 2],
            counter: 0,
            running: Bank::A,
            power: Power::On,
            written: 0,
            unreadable: [None; 2],
            unreadable_records: [false; 2],
        }
    }

    /// A device fresh from the factory, running `image` from bank A. An image longer than `capacity` is cut
    /// off, and will not boot.
    #[must_use]
    pub fn factory(capacity: u32, sector: u32, image: &[u8], release: Release) -> Self {
        let mut device = Self::empty(capacity, sector);
        let fits = usize::try_from(capacity).unwrap_or(usize::MAX);
        let image = image.get(..fits).unwrap_or(image);
        device.bank(Bank::A).program(0, image, sector_bytes(sector));
        device.counter = release.counter;
        // Storing to memory with the power on cannot fail, and a missing record is seen at the first boot.
        let _ = store(&mut device, &BootRecord::factory(Bank::A, release));
        device.written = 0;
        device
    }

    /// Boots: the power comes back, the boot loader chooses, and that bank runs.
    ///
    /// # Errors
    ///
    /// The boot loader's error; the bank that ran is still called the running one.
    pub fn reboot(&mut self, digest: &mut impl Digest) -> Result<Bank, BootError<SimError>> {
        self.power = Power::On;
        self.reboot_with_power_as_it_is(digest)
    }

    /// Boots without restoring the power first, so that it may fail during the boot.
    ///
    /// # Errors
    ///
    /// The boot loader's error; the bank that ran is still called the running one.
    pub fn reboot_with_power_as_it_is(
        &mut self,
        digest: &mut impl Digest,
    ) -> Result<Bank, BootError<SimError>> {
        self.running = boot(self, digest)?;
        Ok(self.running)
    }

    /// Lets the power fail after `bytes` more bytes have been written or erased.
    pub const fn cut_power_after(&mut self, bytes: u64) {
        self.power = Power::Left(bytes);
    }

    /// Gives the power back.
    pub const fn restore_power(&mut self) {
        self.power = Power::On;
    }

    /// Whether the power is still on.
    #[must_use]
    pub const fn is_powered(&self) -> bool {
        !matches!(self.power, Power::Left(0))
    }

    /// How many bytes were written or erased since the factory.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// What was written to a bank since it was last erased.
    #[must_use]
    pub fn bytes(&self, bank: Bank) -> &[u8] {
        let [a, b] = &self.banks;
        match bank {
            Bank::A => &a.bytes,
            Bank::B => &b.bytes,
        }
    }

    /// Flips one bit, as wear or radiation would; nothing happens in erased memory.
    pub fn flip_bit(&mut self, bank: Bank, offset: u32) {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(byte) = self.bank(bank).bytes.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// Lets every read of a bank fail that reaches the byte at `from` or a later one, as worn memory with
    /// error correction does. Writing and erasing still work, and do not heal it.
    pub const fn fail_reads(&mut self, bank: Bank, from: u32) {
        let [a, b] = &mut self.unreadable;
        match bank {
            Bank::A => *a = Some(from),
            Bank::B => *b = Some(from),
        }
    }

    /// Lets every read of one copy of the boot record fail.
    pub const fn fail_record_reads(&mut self, copy: RecordCopy) {
        let [first, second] = &mut self.unreadable_records;
        match copy {
            RecordCopy::First => *first = true,
            RecordCopy::Second => *second = true,
        }
    }

    /// Everything can be read again.
    pub const fn heal_reads(&mut self) {
        self.unreadable = [None; 2];
        self.unreadable_records = [false; 2];
    }

    const fn bank(&mut self, bank: Bank) -> &mut Content {
        let [a, b] = &mut self.banks;
        match bank {
            Bank::A => a,
            Bank::B => b,
        }
    }

    /// Uses up power for `bytes`, and says for how many it lasts.
    fn spend(&mut self, bytes: usize) -> usize {
        let lasts = match &mut self.power {
            Power::On => bytes,
            Power::Left(left) => {
                let lasts = bytes.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= lasts as u64;
                lasts
            }
        };
        self.written += lasts as u64;
        lasts
    }

    const fn powered(&self) -> Result<(), SimError> {
        match self.power {
            Power::Left(0) => Err(SimError::PowerCut),
            Power::On | Power::Left(_) => Ok(()),
        }
    }

    fn checked(&self, offset: u32, len: usize) -> Result<Range<usize>, SimError> {
        self.powered()?;
        let start = usize::try_from(offset).map_err(|_| SimError::OutOfRange)?;
        let end = start.checked_add(len).ok_or(SimError::OutOfRange)?;
        if end > usize::try_from(self.capacity).unwrap_or(usize::MAX) {
            return Err(SimError::OutOfRange);
        }
        Ok(start..end)
    }
}

impl Banks for MemoryBanks {
    type Error = SimError;

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn running(&self) -> Bank {
        self.running
    }

    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, SimError> {
        self.powered()?;
        if bank == self.running {
            return Err(SimError::Running);
        }
        let from = from.min(self.capacity) / self.sector * self.sector;
        let to = from.saturating_add(self.sector).min(self.capacity);
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let bytes = usize::try_from(to - from).unwrap_or(usize::MAX);
        let sector = sector_bytes(self.sector);
        let lasts = self.spend(bytes);
        let content = self.bank(bank);
        if lasts == bytes {
            content.erase(start, sector);
            return Ok(from..to);
        }
        // A torn erasure leaves neither the old content nor memory that may be written.
        content.tear(start..start.saturating_add(bytes), lasts, sector);
        Err(SimError::PowerCut)
    }

    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        let range = self.checked(offset, bytes.len())?;
        if bank == self.running {
            return Err(SimError::Running);
        }
        let sector = sector_bytes(self.sector);
        if !self.bank(bank).is_erased(range.clone(), sector) {
            return Err(SimError::NotErased { offset });
        }
        let lasts = self.spend(bytes.len());
        let content = self.bank(bank);
        let (whole, rest) = bytes.split_at_checked(lasts).unwrap_or((bytes, &[]));
        content.program(range.start, whole, sector);
        match rest.first() {
            None => Ok(()),
            Some(torn) => {
                content.program(range.start + lasts, &[torn | 0xa5], sector);
                Err(SimError::PowerCut)
            }
        }
    }

    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), SimError> {
        let range = self.checked(offset, out.len())?;
        let [a, b] = self.unreadable;
        let from = match bank {
            Bank::A => a,
            Bank::B => b,
        };
        if from.is_some_and(|from| range.end > usize::try_from(from).unwrap_or(usize::MAX)) {
            return Err(SimError::Unreadable);
        }
        let memory = self.bank(bank).bytes.get(range.start..).unwrap_or(&[]);
        out.fill(0xff);
        for (to, from) in out.iter_mut().zip(memory) {
            *to = *from;
        }
        Ok(())
    }

    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.powered()?;
        let [first, second] = self.unreadable_records;
        let unreadable = match copy {
            RecordCopy::First => first,
            RecordCopy::Second => second,
        };
        if unreadable {
            return Err(SimError::Unreadable);
        }
        let [first, second] = &self.records;
        *out = match copy {
            RecordCopy::First => *first,
            RecordCopy::Second => *second,
        };
        Ok(())
    }

    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.powered()?;
        let lasts = self.spend(bytes.len());
        let [first, second] = &mut self.records;
        let record = match copy {
            RecordCopy::First => first,
            RecordCopy::Second => second,
        };
        // The copy is erased first: cut short, it is neither the old record nor the new one.
        *record = [0xff; RECORD_BYTES];
        for (to, from) in record.iter_mut().zip(bytes).take(lasts) {
            *to = *from;
        }
        if let Some(torn) = record.get_mut(lasts) {
            *torn &= 0xa5;
            return Err(SimError::PowerCut);
        }
        Ok(())
    }

    fn counter(&mut self) -> Result<u64, SimError> {
        self.powered().map(|()| self.counter)
    }

    fn raise_counter(&mut self, to: u64) -> Result<(), SimError> {
        if self.spend(1) == 0 {
            return Err(SimError::PowerCut);
        }
        self.counter = self.counter.max(to);
        Ok(())
    }
}

impl Content {
    /// Whether every byte there may be programmed.
    fn is_erased(&self, range: Range<usize>, sector: usize) -> bool {
        let touched = range.start / sector..range.end.div_ceil(sector);
        range.is_empty()
            || touched.into_iter().all(|number| {
                let filled = self.filled.get(number).copied().unwrap_or(0);
                filled <= range.start.saturating_sub(number * sector)
            })
    }

    fn program(&mut self, start: usize, bytes: &[u8], sector: usize) {
        let end = start + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0xff);
        }
        for (to, from) in self.bytes.iter_mut().skip(start).zip(bytes) {
            *to = *from;
        }
        self.fill(start..end, sector);
    }

    /// Notes that these bytes must not be programmed again.
    fn fill(&mut self, range: Range<usize>, sector: usize) {
        let end = range.end.div_ceil(sector);
        if self.filled.len() < end && !range.is_empty() {
            self.filled.resize(end, 0);
        }
        let touched = self.filled.iter_mut().enumerate().take(end);
        for (number, filled) in touched.skip(range.start / sector) {
            *filled = range.end.saturating_sub(number * sector).min(sector);
        }
    }

    fn erase(&mut self, start: usize, sector: usize) {
        for byte in self.bytes.iter_mut().skip(start).take(sector) {
            *byte = 0xff;
        }
        if let Some(filled) = self.filled.get_mut(start / sector) {
            *filled = 0;
        }
        let used = self.filled.iter().rposition(|&filled| filled > 0);
        self.filled.truncate(used.map_or(0, |last| last + 1));
        let in_last = self.filled.last().copied().unwrap_or(0);
        let end = used.map_or(0, |last| last * sector + in_last);
        self.bytes.truncate(end);
    }

    fn tear(&mut self, range: Range<usize>, erased: usize, sector: usize) {
        let mut bytes = self.bytes.iter_mut().skip(range.start);
        for byte in bytes.by_ref().take(erased) {
            *byte = 0xff;
        }
        if let Some(byte) = bytes.next() {
            *byte &= 0x5a;
        }
        self.fill(range, sector);
    }
}

fn sector_bytes(sector: u32) -> usize {
    usize::try_from(sector.max(1)).unwrap_or(usize::MAX)
}
