//! Where on the flash what lies, and how an image gets to where it runs.

use embedded_storage::nor_flash::NorFlash;

use super::register::{BUFFER, PAGES, size};
use super::{Boot, PAYLOAD_BYTES};
use crate::slot::Bank;

/// Where on the flash what lies, and how the image that is to boot gets to where it runs.
///
/// All places are in bytes from the start of the flash, at the start of a page; `capacity`, the size of a bank, is
/// a whole number of pages. The boot record takes three pages of its own.
///
/// | mode | an image runs | the flash holds | for |
/// |---|---|---|---|
/// | [`direct`](Self::direct) | in its bank | two banks | chips that map either bank to one address, or images linked twice |
/// | [`swap`](Self::swap) | at one place | that place, a second one with a spare page, a journal | one flash, no third image |
/// | [`overwrite`](Self::overwrite) | at one place | that place and two banks | slow flash beside the fast one that code runs from |
///
/// ```
/// use iot_ota::slot::Layout;
/// // Pages of 4 KiB: three for the record, one as journal, 64 for what runs, 65 for the other image.
/// let layout = Layout::swap(0x0800, 0x3800, 0x8000, 0x4_8000, 64 * 0x1000);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Layout {
    pub(super) record: u32,
    pub(super) capacity: u32,
    pub(super) mode: Mode,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Mode {
    Direct { banks: [u32; 2], running: Bank },
    Swap { journal: u32, run: u32, other: u32 },
    Overwrite { run: u32, banks: [u32; 2] },
}

/// A page that is copied over another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Copy {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Layout {
    /// An image runs where it was written. `running` is the bank this firmware was booted from, as the linker or a
    /// register of the chip tells; a boot loader says whatever it likes.
    #[must_use]
    pub const fn direct(record: u32, a: u32, b: u32, capacity: u32, running: Bank) -> Self {
        let banks = [a, b];
        Self {
            record,
            capacity,
            mode: Mode::Direct { banks, running },
        }
    }

    /// Images are swapped: what runs lies at `run`, the other image at `other`, where one page more than `capacity`
    /// is needed. The pages are moved up or down by one on their way, each twice in all, so nothing is worn by being a
    /// scratch area.
    ///
    /// The journal takes two words for each page of a bank, in pages of its own.
    #[must_use]
    pub const fn swap(record: u32, journal: u32, run: u32, other: u32, capacity: u32) -> Self {
        Self {
            record,
            capacity,
            mode: Mode::Swap {
                journal,
                run,
                other,
            },
        }
    }

    /// The image that is to boot is copied to `run` from its bank, where it stays; so a copy that was interrupted is
    /// begun anew, and rolling back is one more copy. A factory writes the first image to `run` and to `a`.
    #[must_use]
    pub const fn overwrite(record: u32, run: u32, a: u32, b: u32, capacity: u32) -> Self {
        let banks = [a, b];
        Self {
            record,
            capacity,
            mode: Mode::Overwrite { run, banks },
        }
    }

    /// Whether a flash of so many bytes can be used so: nothing ends past it, or lies where something else does.
    pub(super) fn fits<F: NorFlash>(&self, flash: usize) -> bool {
        let page = size(F::ERASE_SIZE);
        let bank = self.capacity;
        let holds_records = F::WRITE_SIZE <= BUFFER
            && BUFFER.is_multiple_of(F::WRITE_SIZE)
            && F::WRITE_SIZE.is_multiple_of(F::READ_SIZE)
            && Boot::body::<F>() <= BUFFER
            && Boot::used::<F>() <= F::ERASE_SIZE
            && PAYLOAD_BYTES < BUFFER
            && PAGES == 3;
        let is_bank =
            bank > 0 && bank.is_multiple_of(page) && self.pages::<F>() <= u16::MAX as u32 / 2;
        if !holds_records || !is_bank {
            return false;
        }
        let record = (self.record, PAGES.saturating_mul(page));
        let (first, second, third) = match self.mode {
            Mode::Direct { banks: [a, b], .. } => ((a, bank), (b, bank), (0, 0)),
            Mode::Swap {
                journal,
                run,
                other,
            } => {
                let other = (other, bank.saturating_add(page));
                ((journal, self.journal_bytes::<F>()), (run, bank), other)
            }
            Mode::Overwrite { run, banks: [a, b] } => ((run, bank), (a, bank), (b, bank)),
        };
        let mut rest: &[(u32, u32)] = &[record, first, second, third];
        while let [(start, bytes), later @ ..] = rest {
            let end = start.saturating_add(*bytes);
            let fits = start.is_multiple_of(page)
                && end.is_multiple_of(page)
                && end as usize <= flash
                && (later.iter())
                    .all(|(other, more)| end <= *other || other.saturating_add(*more) <= *start);
            if !fits {
                return false;
            }
            rest = later;
        }
        true
    }

    /// Pages of a bank.
    pub(super) const fn pages<F: NorFlash>(&self) -> u32 {
        self.capacity / size(F::ERASE_SIZE)
    }

    /// Where the image of `bank` lies while that of `placed` lies where images run.
    pub(super) const fn place_of<F: NorFlash>(&self, bank: Bank, placed: Bank) -> u32 {
        let is_placed = matches!((bank, placed), (Bank::A, Bank::A) | (Bank::B, Bank::B));
        match self.mode {
            Mode::Swap { run, .. } | Mode::Overwrite { run, .. } if is_placed => run,
            Mode::Direct { banks: [a, b], .. } | Mode::Overwrite { banks: [a, b], .. } => {
                match bank {
                    Bank::A => a,
                    Bank::B => b,
                }
            }
            // One page apart, so that each page that is moved has a free one to go to.
            Mode::Swap { other, .. } => match bank {
                Bank::A => other,
                Bank::B => other.saturating_add(size(F::ERASE_SIZE)),
            },
        }
    }

    /// How many pages are copied to bring another image to where images run.
    pub(super) const fn copies<F: NorFlash>(&self) -> u32 {
        match self.mode {
            Mode::Direct { .. } => 0,
            Mode::Swap { .. } => 2 * self.pages::<F>(),
            Mode::Overwrite { .. } => self.pages::<F>(),
        }
    }

    /// The copy with this number, counted from 0, on the way to `target` being placed. What a copy goes to is not
    /// needed by any later one, and what it comes from by none before it.
    pub(super) const fn copy<F: NorFlash>(&self, target: Bank, number: u32) -> Copy {
        let page = size(F::ERASE_SIZE);
        match self.mode {
            Mode::Swap { run, other, .. } => {
                // Upwards there is a free page below what is fetched, downwards one above it.
                let (index, shift_out, shift_in) = match target {
                    Bank::B => (number / 2, 0, 1),
                    Bank::A => {
                        let last = self.pages::<F>().saturating_sub(1);
                        (last.saturating_sub(number / 2), 1, 0)
                    }
                };
                let at = run.saturating_add(index * page);
                match number % 2 {
                    0 => Copy {
                        from: at,
                        to: other.saturating_add((index + shift_out) * page),
                    },
                    _ => Copy {
                        from: other.saturating_add((index + shift_in) * page),
                        to: at,
                    },
                }
            }
            Mode::Overwrite { run, .. } => Copy {
                from: self
                    .place_of::<F>(target, target.other())
                    .saturating_add(number * page),
                to: run.saturating_add(number * page),
            },
            Mode::Direct { .. } => Copy { from: 0, to: 0 },
        }
    }

    /// The copy with this number on the way back to the image of `bank`, as far as it was brought away; any order will
    /// do, and any number of times: none goes to where another one comes from.
    pub(super) const fn copy_back<F: NorFlash>(&self, bank: Bank, number: u32) -> Copy {
        match self.mode {
            Mode::Swap { .. } => {
                let Copy { from, to } = self.copy::<F>(bank.other(), 2 * number);
                Copy { from: to, to: from }
            }
            Mode::Overwrite { .. } | Mode::Direct { .. } => self.copy::<F>(bank, number),
        }
    }

    /// How many pages have to come back when a move is given up in the copy with this number.
    pub(super) const fn brought_away<F: NorFlash>(&self, copy: u32) -> u32 {
        match self.mode {
            Mode::Swap { .. } => copy.div_ceil(2),
            Mode::Overwrite { .. } | Mode::Direct { .. } => self.pages::<F>(),
        }
    }

    /// The journal of a swap.
    pub(super) const fn journal(&self) -> Option<u32> {
        match self.mode {
            Mode::Swap { journal, .. } => Some(journal),
            Mode::Direct { .. } | Mode::Overwrite { .. } => None,
        }
    }

    /// Bytes of the journal, in whole pages.
    pub(super) const fn journal_bytes<F: NorFlash>(&self) -> u32 {
        let bytes = self.copies::<F>().saturating_mul(size(F::WRITE_SIZE));
        bytes.next_multiple_of(size(F::ERASE_SIZE))
    }
}
