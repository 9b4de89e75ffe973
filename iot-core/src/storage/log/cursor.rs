//! Going through what the log holds, and reading it.

use embedded_storage_async::nor_flash::NorFlash;

use super::geometry::Geometry;
use super::look::Entry;
use super::machine::Job;
use super::scan::Seen;
use super::{Log, LogError};
use crate::engine::RecordKey;

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
        let machine = &mut self.machine;
        machine.run(&mut Job::Boot).await?;
        loop {
            let at = cursor.page.wrapping_sub(machine.retired) as usize;
            if at > PAGES {
                *cursor = Cursor {
                    page: machine.retired,
                    word: Geometry::<F>::BODY,
                    inside: false,
                };
                continue;
            }
            let Some(newer) = machine.links.checked_sub(at + 1) else {
                return Ok(None);
            };
            machine.aim(newer, cursor.word);
            if cursor.word < machine.scanner.limit {
                machine.scanner.inside = cursor.inside;
                machine.run(&mut Job::Look).await?;
                let scanner = &machine.scanner;
                match machine.seen {
                    Seen::Nothing => return Err(LogError::Corrupt),
                    Seen::Part => cursor.word = scanner.limit,
                    Seen::Record => {
                        (cursor.word, cursor.inside) = (scanner.word, scanner.inside);
                        let record = scanner.record;
                        if !record.head.is_retirement() {
                            return Ok(Some(Entry {
                                key: RecordKey::new(record.key),
                                place: machine.place(),
                                removal: record.head.is_removal(),
                                sum: record.sum,
                            }));
                        }
                    }
                }
            } else if newer > 0 {
                *cursor = Cursor {
                    page: cursor.page.wrapping_add(1),
                    word: Geometry::<F>::BODY,
                    inside: false,
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
        let machine = &mut self.machine;
        let value = &mut *buffer;
        let mut job = Job::Read {
            key: entry.key,
            place: Some(entry.place),
            value,
        };
        machine.run(&mut job).await?;
        // The page may have been used again, by records of the same key and length.
        if machine.scanner.record.sum != entry.sum {
            return Err(LogError::Corrupt);
        }
        Ok(buffer.get(..entry.place.len()).unwrap_or_default())
    }
}
