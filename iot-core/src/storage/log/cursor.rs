//! Going through what the log holds, and reading it.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::Kind;
use super::medium::Medium;
use super::scan::{Scanner, Seen};
use super::{Link, Log, LogError};
use crate::engine::RecordKey;

/// A place in a log, for [`Log::next`].
///
/// It stays good while the log grows, and goes on with the oldest page when its own was retired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cursor {
    /// How many pages were retired before this one.
    page: u32,
    word: u32,
    /// Another record of the same batch follows.
    inside: bool,
}

/// An entry of a log: a value, or the removal of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    pub(in crate::storage) key: RecordKey,
    pub(in crate::storage) page: u16,
    pub(in crate::storage) word: u16,
    pub(in crate::storage) len: u16,
    pub(in crate::storage) removal: bool,
}

impl Entry {
    /// Its key.
    #[must_use]
    pub const fn key(&self) -> RecordKey {
        self.key
    }

    /// How long its value is, in bytes; `None` when it is a removal.
    #[must_use]
    pub fn value_bytes(&self) -> Option<usize> {
        (!self.removal).then_some(usize::from(self.len))
    }
}

impl<F: NorFlash, const PAGES: usize> Log<F, PAGES> {
    /// The place before the oldest entry.
    #[must_use]
    pub const fn oldest(&self) -> Cursor {
        Cursor {
            page: self.retired,
            word: Medium::<F>::BODY,
            inside: false,
        }
    }

    /// The next entry of the log, in the order they were appended; `None` behind the newest.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] when what was accepted does not read as it was written, [`LogError::Flash`]; the
    /// cursor stays where it was.
    pub async fn next(&mut self, cursor: &mut Cursor) -> Result<Option<Entry>, LogError<F::Error>> {
        self.ready().await?;
        loop {
            let at = cursor.page.wrapping_sub(self.retired) as usize;
            let Some(&link) = self.used().get(at) else {
                if at <= PAGES {
                    return Ok(None);
                }
                *cursor = self.oldest();
                continue;
            };
            let end = u32::from(link.end);
            let mut scanner = Scanner::new(link.page, cursor.word, end);
            (scanner.inside, scanner.accepted) = (cursor.inside, true);
            match self.pass(at, &mut scanner, end, &mut []).await? {
                Seen::Nothing => return Err(LogError::Corrupt),
                Seen::Part if at + 1 >= self.links => return Ok(None),
                Seen::Part => (cursor.page, cursor.word) = (cursor.page + 1, Medium::<F>::BODY),
                Seen::Record => {
                    (cursor.word, cursor.inside) = (scanner.word, scanner.inside);
                    let record = scanner.record;
                    if record.head.kind != Kind::Retire {
                        return Ok(Some(Entry {
                            key: RecordKey::new(record.key),
                            page: link.page,
                            word: record.word as u16,
                            len: record.head.len,
                            removal: record.head.kind == Kind::Remove,
                        }));
                    }
                }
            }
        }
    }

    /// Reads the value of an entry into `buffer`; a removal has an empty one.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] when it does not read as it was written or its page was retired and used again,
    /// [`LogError::Buffer`], [`LogError::Flash`].
    pub async fn read<'b>(
        &mut self,
        entry: &Entry,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], LogError<F::Error>> {
        self.ready().await?;
        let bytes = usize::from(entry.len);
        let value = buffer
            .get_mut(..bytes)
            .ok_or(LogError::Buffer { bytes: entry.len })?;
        let at = self.link_of(entry.page).ok_or(LogError::Corrupt)?;
        let mut scanner = Scanner::new(entry.page, entry.word.into(), Medium::<F>::WORDS);
        let end = u32::from(entry.word) + Medium::<F>::words(entry.len);
        let seen = self.pass(at, &mut scanner, end, value).await?;
        if seen != Seen::Record || scanner.record.key != entry.key.get() {
            return Err(LogError::Corrupt);
        }
        Ok(value)
    }

    /// The pages that count, oldest first.
    pub(super) fn used(&self) -> &[Link] {
        self.chain.get(..self.links).unwrap_or_default()
    }

    /// Where in the chain a page stands.
    pub(super) fn link_of(&self, page: u16) -> Option<usize> {
        self.used().iter().position(|link| link.page == page)
    }

    /// Lets a scanner take in the words of a page before `end`, until it has seen something.
    pub(super) async fn pass(
        &mut self,
        at: usize,
        scanner: &mut Scanner,
        end: u32,
        value: &mut [u8],
    ) -> Result<Seen, LogError<F::Error>> {
        let mut word = [0; super::format::MAX_WORD];
        let word = word.get_mut(..Medium::<F>::WORD).unwrap_or_default();
        while scanner.word < end {
            let readable = self.word(at, scanner.word, word).await?;
            let seen = scanner.feed::<F>(readable.then_some(&*word), value);
            if seen != Seen::Part {
                return Ok(seen);
            }
        }
        Ok(Seen::Part)
    }

    /// Reads a word of a page in the chain; `false` when the flash cannot read it.
    ///
    /// The last accepted word of a page that was given up is taken from the verdict in the next page.
    pub(super) async fn word(
        &mut self,
        at: usize,
        word: u32,
        out: &mut [u8],
    ) -> Result<bool, LogError<F::Error>> {
        let link = self.used().get(at).copied().unwrap_or(Link::NONE);
        if word + 1 == u32::from(link.end)
            && let Some(&next) = self.used().get(at + 1)
        {
            let header = self
                .medium
                .header(next.page)
                .await
                .map_err(LogError::Flash)?;
            let header = header.map_err(|_| LogError::Corrupt)?;
            for (to, from) in out.iter_mut().zip(header.last) {
                *to = from;
            }
            return Ok(true);
        }
        let read = self.medium.read(link.page, word, out).await;
        read.map_err(LogError::Flash)
    }
}
