//! Going through what the log holds, and reading it.

use embedded_storage_async::nor_flash::NorFlash;

use super::geometry::Geometry;
use super::look::Entry;
use super::scan::{Scanner, Seen};
use super::{Log, LogError};

/// A place in a log, for [`Log::next`].
///
/// It stays good while the log grows. It begins again with the oldest entry when its own page was retired, and
/// after a write that was not seen to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cursor {
    /// How many pages were retired before this one.
    page: u32,
    word: u32,
    /// Another record of the same batch follows.
    inside: bool,
}

impl<F: NorFlash, const PAGES: usize> Log<F, PAGES> {
    /// The place before the oldest entry.
    #[must_use]
    pub const fn oldest(&self) -> Cursor {
        Cursor {
            page: self.machine.retired,
            word: Geometry::<F>::BODY,
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
        self.machine.ready().await?;
        loop {
            let at = cursor.page.wrapping_sub(self.machine.retired) as usize;
            if at > PAGES {
                *cursor = self.oldest();
                continue;
            }
            let Some(&link) = self.machine.used().get(at) else {
                return Ok(None);
            };
            let end = u32::from(link.end);
            if cursor.word < end {
                let mut scanner = Scanner::new(link.page, cursor.word, end);
                (scanner.inside, scanner.accepted) = (cursor.inside, true);
                match self.machine.look(at, scanner, end, &mut []).await? {
                    Seen::Nothing => return Err(LogError::Corrupt),
                    Seen::Part => cursor.word = end,
                    Seen::Record => {
                        let scanner = &self.machine.scanner;
                        (cursor.word, cursor.inside) = (scanner.word, scanner.inside);
                        if let Some(entry) = self.machine.entry() {
                            return Ok(Some(entry));
                        }
                    }
                }
            } else if at + 1 < self.machine.links {
                *cursor = Cursor {
                    page: cursor.page.wrapping_add(1),
                    ..self.oldest()
                };
            } else {
                return Ok(None);
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
        self.machine.ready().await?;
        let bytes = entry.place.len;
        let value = buffer.get_mut(..bytes.into());
        let value = value.ok_or(LogError::Buffer { bytes })?;
        self.machine.read(entry.key, entry.place, value).await?;
        Ok(value)
    }
}
