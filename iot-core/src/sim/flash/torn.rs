//! What an operation may leave behind when the power is cut in its middle.

use super::cell::{FlashCell, both, mix, towards_ones};
use super::image::{FlashImage, Mode};

/// How far an operation had come when the power was cut, and what it left.
///
/// An operation is the program of one word or the erase of one page.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Torn {
    /// Nothing of it happened.
    NotStarted,
    /// All of it happened, and nobody was told.
    Complete,
    /// Write: the first so many bytes of the word were programmed. Not in [`Mode::WriteOnce`].
    Prefix(u8),
    /// Write: some of the word's bits were programmed, chosen by this sample's number. Not in [`Mode::WriteOnce`].
    Bits(u8),
    /// Write: the word reads as an error. [`Mode::WriteOnce`] alone.
    Ecc,
    /// Write: the word reads as erased and must not be programmed again.
    Attempted,
    /// Write: the word reads differently from time to time.
    Unstable,
    /// A write of several words: they landed in another order, and this sample's number tells which had landed.
    Reordered(u8),
    /// Erase: the first half of the page is erased, the rest untouched.
    EraseFirstHalf,
    /// Erase: the second half of the page is erased, the rest untouched.
    EraseSecondHalf,
    /// Erase: every other word is erased, the rest untouched.
    EraseAlternate,
    /// Erase: every word has lost some of its zeroes, chosen by this sample's number.
    EraseGarbage(u8),
    /// Erase: every word that was not erased reads as an error. [`Mode::WriteOnce`] alone.
    EraseEcc,
    /// Erase: every word that was not erased has become [`FlashCell::Unstable`].
    EraseMarginal,
}

impl Torn {
    /// How many kinds there are.
    pub const KINDS: usize = 14;

    /// The kind without its number, counted from 0.
    #[must_use]
    pub const fn kind(self) -> usize {
        match self {
            Self::NotStarted => 0,
            Self::Complete => 1,
            Self::Prefix(_) => 2,
            Self::Bits(_) => 3,
            Self::Ecc => 4,
            Self::Attempted => 5,
            Self::Unstable => 6,
            Self::Reordered(_) => 7,
            Self::EraseFirstHalf => 8,
            Self::EraseSecondHalf => 9,
            Self::EraseAlternate => 10,
            Self::EraseGarbage(_) => 11,
            Self::EraseEcc => 12,
            Self::EraseMarginal => 13,
        }
    }

    /// The kinds' names, in the order of [`kind`](Self::kind).
    pub const NAMES: [&'static str; Self::KINDS] = [
        "not-started",
        "complete",
        "prefix",
        "bits",
        "ecc",
        "attempted",
        "unstable",
        "reordered",
        "erase-first-half",
        "erase-second-half",
        "erase-alternate",
        "erase-garbage",
        "erase-ecc",
        "erase-marginal",
    ];
}

/// Which of the [`Torn`] outcomes a flash may show. A mode's impossible ones are left out by themselves.
///
/// Not started, complete, every byte prefix, errors of write-once words and the deterministic torn erases are
/// always possible. The others have a switch or a number of samples:
///
/// ```
/// use iot_core::sim::flash::TornModels;
/// let mut models = TornModels::BASIC;
/// models.attempted = true;
/// models.reordered = 4;
/// assert_ne!(models, TornModels::ALL);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TornModels {
    /// Samples of [`Torn::Bits`] for each word.
    pub bits: u8,
    /// Whether a torn word may read as erased: [`Torn::Attempted`].
    pub attempted: bool,
    /// Whether a torn word may be unstable: [`Torn::Unstable`].
    pub unstable: bool,
    /// Samples of [`Torn::Reordered`] for each write of several words; 0 for a controller that keeps the order.
    ///
    /// Samples 0 and 1 are "only the last word" and "all but the first", the others are random. With every sample
    /// from the third on, one word that did not land is torn as well.
    pub reordered: u8,
    /// Samples of [`Torn::EraseGarbage`] for each erase.
    pub garbage: u8,
    /// Whether an erase may leave a page marginal: [`Torn::EraseMarginal`].
    pub marginal: bool,
}

impl TornModels {
    /// The outcomes without samples and without doubt.
    pub const BASIC: Self = Self {
        bits: 0,
        attempted: false,
        unstable: false,
        reordered: 0,
        garbage: 0,
        marginal: false,
    };

    /// Everything that needs no instability, two samples each, words in order.
    pub const STABLE: Self = Self {
        bits: 2,
        attempted: true,
        garbage: 2,
        ..Self::BASIC
    };

    /// Everything, words in order.
    pub const ALL: Self = Self {
        unstable: true,
        marginal: true,
        ..Self::STABLE
    };

    /// The outcomes that a word of `WRITE` bytes may have, besides not started and complete.
    pub(super) fn of_word<const WRITE: usize>(self, mode: Mode) -> impl Iterator<Item = Torn> {
        let write_once = mode == Mode::WriteOnce;
        let width = u8::try_from(WRITE).unwrap_or(u8::MAX);
        let (prefixes, bits) = match write_once {
            true => (1, 0),
            false => (width, self.bits),
        };
        (1..prefixes)
            .map(Torn::Prefix)
            .chain((0..bits).map(Torn::Bits))
            .chain(write_once.then_some(Torn::Ecc))
            .chain(self.attempted.then_some(Torn::Attempted))
            .chain(self.unstable.then_some(Torn::Unstable))
    }

    /// The outcomes that an erase may have, besides not started and complete.
    pub(super) fn of_erase(self, mode: Mode) -> impl Iterator<Item = Torn> {
        [
            Torn::EraseFirstHalf,
            Torn::EraseSecondHalf,
            Torn::EraseAlternate,
        ]
        .into_iter()
        .chain((0..self.garbage).map(Torn::EraseGarbage))
        .chain((mode == Mode::WriteOnce).then_some(Torn::EraseEcc))
        .chain(self.marginal.then_some(Torn::EraseMarginal))
    }
}

/// One word about to be programmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program<const WRITE: usize> {
    pub(super) index: usize,
    pub(super) old: FlashCell<WRITE>,
    pub(super) value: [u8; WRITE],
    /// What it becomes when nothing interferes.
    pub(super) new: FlashCell<WRITE>,
}

impl<const WRITE: usize> Program<WRITE> {
    /// What `torn` leaves of it; `None` when a word of this mode and history cannot end so.
    pub(super) fn torn(&self, mode: Mode, torn: Torn) -> Option<FlashCell<WRITE>> {
        let write_once = mode == Mode::WriteOnce;
        let before = match self.old {
            FlashCell::Programmed(value) | FlashCell::Unstable(value) => value,
            _ => FlashCell::<WRITE>::ONES,
        };
        let stable = !matches!(self.old, FlashCell::Programmed(_) | FlashCell::Ecc);
        match torn {
            Torn::NotStarted => Some(self.old),
            Torn::Complete => Some(self.new),
            Torn::Prefix(bytes) if !write_once => {
                let mut value = before;
                // All bytes, so that it is a few instructions on wide words: this is most of what is explored.
                for (at, (to, from)) in value.iter_mut().zip(self.value).enumerate() {
                    let is_programmed = at < usize::from(bytes);
                    *to &= from | if is_programmed { 0 } else { 0xff };
                }
                Some(FlashCell::holding(value))
            }
            Torn::Bits(sample) if !write_once => {
                let seed = (u64::from(sample) << 48) ^ mix(self.index as u64 + 1);
                let some = towards_ones(self.value, seed);
                Some(FlashCell::holding(both(before, some)))
            }
            Torn::Ecc if write_once => Some(FlashCell::Ecc),
            Torn::Attempted if matches!(self.old, FlashCell::Erased | FlashCell::Attempted) => {
                Some(FlashCell::Attempted)
            }
            Torn::Unstable if stable && self.value != FlashCell::<WRITE>::ONES => {
                Some(FlashCell::Unstable(self.value))
            }
            _ => None,
        }
    }
}

/// What `torn` leaves of page `page` of `image`; `None` when `torn` is nothing that an erase may leave.
pub(super) fn torn_erase<const WRITE: usize, const ERASE: usize>(
    image: &FlashImage<WRITE, ERASE>,
    page: usize,
    torn: Torn,
) -> Option<FlashImage<WRITE, ERASE>> {
    let mut image = image.clone();
    let words = FlashImage::<WRITE, ERASE>::PAGE_WORDS;
    let erased = FlashCell::Erased;
    let random = |sample: u8, word: usize| mix((u64::from(sample) << 48) ^ (word as u64 + 1));
    match torn {
        Torn::NotStarted => {}
        Torn::Complete => image.erase(page),
        Torn::EraseFirstHalf => image.change_page(page, |word, cell| match word < words / 2 {
            true => erased,
            false => cell,
        }),
        Torn::EraseSecondHalf => image.change_page(page, |word, cell| match word < words / 2 {
            true => cell,
            false => erased,
        }),
        Torn::EraseAlternate => image.change_page(page, |word, cell| match word % 2 {
            0 => erased,
            _ => cell,
        }),
        // A word never comes nearer to programmed: one that could read as erased is not to be relied on, no more.
        Torn::EraseGarbage(sample) => image.change_page(page, |word, cell| match cell {
            FlashCell::Programmed(value) => {
                FlashCell::holding(towards_ones(value, random(sample, word)))
            }
            FlashCell::Unstable(_) => FlashCell::Attempted,
            other => other,
        }),
        Torn::EraseEcc if image.mode() == Mode::WriteOnce => {
            image.change_page(page, |_, cell| match cell {
                FlashCell::Erased => erased,
                _ => FlashCell::Ecc,
            });
        }
        Torn::EraseMarginal => {
            image.change_page(page, |word, cell| match cell {
                FlashCell::Programmed(value) => FlashCell::Unstable(value),
                FlashCell::Unstable(value) => {
                    FlashCell::Unstable(towards_ones(value, random(0, word)))
                }
                FlashCell::Ecc => {
                    FlashCell::Unstable(towards_ones(FlashCell::<WRITE>::ZERO, random(1, word)))
                }
                other => other,
            });
            image.set_marginal(page);
        }
        _ => return None,
    }
    Some(image)
}
