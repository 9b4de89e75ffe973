//! The flash as pages of words.

use embedded_storage_async::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind};

use super::format::{CHECKSUM, HEADER_FIELDS, Header, MAX_WORD, NoHeader, RECORD_EXTRA};

/// Some pages of a flash.
#[derive(Clone, Debug)]
pub(super) struct Medium<F> {
    pub(super) flash: F,
    /// Where the first page begins, in bytes.
    pub(super) begin: u32,
    pub(super) pages: u16,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a flash is addressed with 32 bits, and a page has at most 65,535 words"
)]
impl<F: NorFlash> Medium<F> {
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

    pub(super) const HEADER: u32 =
        (HEADER_FIELDS + Self::WORD + CHECKSUM).div_ceil(Self::WORD) as u32;
    const HEADER_BYTES: usize = Self::HEADER as usize * Self::WORD;

    /// Where the records begin: behind the header and two marks.
    pub(super) const BODY: u32 = Self::HEADER + 2;

    /// How many words a record with a value of `len` bytes takes.
    pub(super) const fn words(len: u16) -> u32 {
        (RECORD_EXTRA + len as usize).div_ceil(Self::WORD) as u32
    }

    fn at(&self, page: u16, word: u32) -> u32 {
        self.begin + u32::from(page) * F::ERASE_SIZE as u32 + word * Self::WORD as u32
    }

    /// Reads bytes from a word on; `false` when the flash cannot read them.
    pub(super) async fn read(
        &mut self,
        page: u16,
        word: u32,
        out: &mut [u8],
    ) -> Result<bool, F::Error> {
        match self.flash.read(self.at(page, word), out).await {
            Ok(()) => Ok(true),
            // A word with more wrong bits than the flash can mend is a fact of its content. That the log
            // asked for something that is not there is not.
            Err(error) if error.kind() == NorFlashErrorKind::Other => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn program(
        &mut self,
        page: u16,
        word: u32,
        bytes: &[u8],
    ) -> Result<(), F::Error> {
        self.flash.write(self.at(page, word), bytes).await
    }

    /// Erases a page and opens it with a header and two marks, each only after the one before it.
    pub(super) async fn open(&mut self, page: u16, header: &Header) -> Result<(), F::Error> {
        let (begin, end) = (self.at(page, 0), self.at(page, Self::WORDS));
        self.flash.erase(begin, end).await?;
        let mut bytes = [0; Header::MAX];
        header.encode(page, Self::WORD, Self::HEADER_BYTES, &mut bytes);
        let (mut word, mut len) = (0, Self::HEADER_BYTES);
        while word < Self::BODY {
            let part = bytes.get(..len).unwrap_or_default();
            self.program(page, word, part).await?;
            word += (len / Self::WORD) as u32;
            len = Self::WORD;
            super::format::mark(u32::from(page), word, &mut bytes);
        }
        Ok(())
    }

    pub(super) async fn header(&mut self, page: u16) -> Result<Result<Header, NoHeader>, F::Error> {
        let mut bytes = [0; Header::MAX];
        let read = bytes.get_mut(..Self::HEADER_BYTES).unwrap_or_default();
        if !self.read(page, 0, read).await? {
            return Ok(Err(NoHeader::Unreadable));
        }
        Ok(Header::decode(page, Self::WORD, Self::HEADER_BYTES, &bytes))
    }
}
