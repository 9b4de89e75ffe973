//! The words and pages of a flash, as the log counts them.

use core::marker::PhantomData;

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{CHECKSUM, CHUNK, HEADER_FIELDS, MAX_WORD, RECORD_EXTRA};

/// The numbers of one kind of flash; wrong ones do not compile.
pub(in crate::storage) struct Geometry<F>(PhantomData<F>);

#[allow(
    clippy::cast_possible_truncation,
    reason = "a flash is addressed with 32 bits, and a page has at most 65,535 words"
)]
impl<F: NorFlash> Geometry<F> {
    /// Bytes of a word: what the flash writes at once, and at least four.
    pub(super) const WORD: usize = {
        let size = F::WRITE_SIZE;
        assert!(
            size.is_power_of_two() && size <= MAX_WORD,
            "a log needs a flash that writes 1, 2, 4, 8, 16 or 32 bytes at once"
        );
        let word = if size < 4 { 4 } else { size };
        assert!(
            word % F::READ_SIZE == 0 && F::ERASE_SIZE % word == 0,
            "a log needs a flash whose words are whole reads and whose pages are whole words"
        );
        word
    };

    /// Words of a page.
    pub(super) const WORDS: u32 = {
        let words = F::ERASE_SIZE / Self::WORD;
        assert!(
            words > Self::BODY as usize + 12 && words <= u16::MAX as usize,
            "a page holds a header and a few records, and has at most 65,535 words"
        );
        words as u32
    };

    /// How many words are read or written in one go.
    pub(super) const CHUNK: u32 = (CHUNK / Self::WORD) as u32;

    /// Words of a page header.
    pub(super) const HEADER: u32 =
        (HEADER_FIELDS + Self::WORD + CHECKSUM).div_ceil(Self::WORD) as u32;
    pub(super) const HEADER_BYTES: usize = Self::HEADER as usize * Self::WORD;

    /// Where the records begin: behind the header and two marks.
    pub(super) const BODY: u32 = Self::HEADER + 2;

    /// What must stay free in every page, so that the oldest can be retired although the newest is full.
    pub(super) const RESERVE: u32 = Self::RETIREMENT + 2;
    /// Words of a retirement.
    pub(super) const RETIREMENT: u32 = Self::record(0);

    /// What a page has for one batch.
    pub(super) const ROOM: u32 = Self::WORDS - Self::BODY - Self::RESERVE;

    /// What a page holds beside a batch, with what stays free behind it, and the values that were compacted into it.
    pub(super) const COMPACTION: u32 = Self::BODY + Self::RETIREMENT + 1;

    /// What must stay free behind a batch with a value where pages are compacted: then a page into which another was
    /// compacted, as full of values as can be, has room for the removal of a key.
    ///
    /// Words of retirement, removal and their marks, less the two marks of the page that was compacted: one that
    /// was filled by a single batch is not as full.
    pub(super) const REMOVAL: u32 = 2 * Self::RETIREMENT;

    /// What a page has for one batch where pages are compacted: a longer one would fit as long as the flash is new.
    pub(super) const COMPACTED_ROOM: u32 = Self::WORDS - Self::COMPACTION - Self::REMOVAL;

    /// How many words a record with a value of `len` bytes takes.
    pub(in crate::storage) const fn record(len: usize) -> u32 {
        (RECORD_EXTRA + len).div_ceil(Self::WORD) as u32
    }
}
