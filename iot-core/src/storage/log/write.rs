//! Writing batches.

use embedded_storage_async::nor_flash::NorFlash;

use super::cursor::Entry;
use super::format::{
    self, CHECKSUM, Head, Kind, MAX_VALUE, MAX_WORD, RECORD_EXTRA, RECORD_FRONT, crc32, seed,
};
use super::medium::Medium;
use super::{Log, LogError};
use crate::engine::Batch;

/// How many bytes are written in one go.
const STAGE: usize = 64;
const _: () = assert!(STAGE % MAX_WORD == 0, "the stage holds whole words");

/// Where the value of a record comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Source<'b> {
    Memory(&'b [u8]),
    /// Another record of this log.
    Log(Entry),
}

impl<F: NorFlash, const PAGES: usize> Log<F, PAGES> {
    /// How many words a retirement takes, and what must stay free for one in every page: so that the oldest
    /// page can be retired although the newest is full.
    const RETIREMENT: u32 = Medium::<F>::words(0);
    const RESERVE: u32 = Self::RETIREMENT + 2;

    /// What a page has for one batch, in words.
    const ROOM: u32 = Medium::<F>::WORDS - Medium::<F>::BODY - Self::RESERVE;

    /// What a page has beside the values that were compacted into it.
    pub(in crate::storage) const COMPACTED_ROOM: u32 =
        Self::ROOM.saturating_sub(Self::RETIREMENT + 1);

    /// How many words a record with a value of `len` bytes takes.
    pub(in crate::storage) const fn words_of_value(len: u16) -> u32 {
        Medium::<F>::words(len)
    }

    /// How many words a batch takes, with its mark.
    pub(in crate::storage) fn words_of(
        &self,
        batch: &Batch<'_>,
    ) -> Result<u32, LogError<F::Error>> {
        let mut words = 1;
        for (_, value) in batch.iter() {
            let bytes = value.map_or(0, <[u8]>::len);
            let len = if bytes > MAX_VALUE {
                u16::MAX
            } else {
                bytes as u16
            };
            words += Medium::<F>::words(len);
            if words > Self::ROOM || bytes > MAX_VALUE {
                let limit = (Self::ROOM - 1) * Medium::<F>::WORD as u32;
                return Err(LogError::TooLong { limit });
            }
        }
        Ok(words)
    }

    /// Whether the newest page has room for a batch and for a retirement after it.
    pub(in crate::storage) fn fits(&self, words: u32) -> bool {
        self.has_room(words + Self::RESERVE)
    }

    /// Whether the newest page has so many words left, after the guard.
    pub(super) fn has_room(&self, words: u32) -> bool {
        let guard = u32::from(self.quiet);
        !self.is_shut() && u32::from(self.tail) + guard + words <= Medium::<F>::WORDS
    }

    /// Whether this log must open a page before it can write anything.
    pub(in crate::storage) const fn is_shut(&self) -> bool {
        self.quiet && !self.config.guard
    }

    /// Writes a batch for which there is room, and says where its first record stands.
    pub(in crate::storage) async fn write_batch(
        &mut self,
        batch: &Batch<'_>,
    ) -> Result<(u16, u16), LogError<F::Error>> {
        self.begin().await?;
        let place = (self.newest(), self.tail);
        let mut entries = batch.iter().peekable();
        while let Some((key, value)) = entries.next() {
            let kind = if value.is_some() {
                Kind::Put
            } else {
                Kind::Remove
            };
            let more = entries.peek().is_some();
            let value = Source::Memory(value.unwrap_or_default());
            self.put(kind, more, key.get(), value).await?;
        }
        self.finish().await?;
        Ok(place)
    }

    /// Retires the oldest page with the last record of the batch that is being written.
    pub(in crate::storage) async fn retire(&mut self) -> Result<(), LogError<F::Error>> {
        let keep = self.links.saturating_sub(1) as u32;
        self.put(Kind::Retire, false, keep, Source::Memory(&[]))
            .await?;
        self.finish().await?;
        self.forget_oldest(1);
        self.retired = self.retired.wrapping_add(1);
        Ok(())
    }

    /// Begins a batch; after a boot a guard takes the word that an interrupted write may have touched.
    pub(in crate::storage) async fn begin(&mut self) -> Result<(), LogError<F::Error>> {
        self.torn = true;
        if self.quiet {
            self.quiet = false;
            self.program(&[0; MAX_WORD], Medium::<F>::WORD).await?;
        }
        Ok(())
    }

    /// Writes one record; `more` says that another one of the batch follows.
    pub(in crate::storage) async fn put(
        &mut self,
        kind: Kind,
        more: bool,
        key: u32,
        value: Source<'_>,
    ) -> Result<(), LogError<F::Error>> {
        let (bytes, len, mut from, at) = match value {
            Source::Memory(bytes) => (bytes, bytes.len() as u16, 0, PAGES),
            Source::Log(entry) => {
                let at = self.link_of(entry.page).ok_or(LogError::Corrupt)?;
                (&[][..], entry.len, u32::from(entry.word), at)
            }
        };
        let mut sum = seed(self.newest().into(), self.tail.into());
        let head = Head { kind, more, len }.encode(sum);
        let mut left = Medium::<F>::words(len) as usize * Medium::<F>::WORD;
        let mut rest = bytes.iter();
        let mut stage = [0; STAGE];
        // What goes before the value in the first round.
        let mut front = RECORD_FRONT;
        while left > 0 {
            let now = left.min(STAGE);
            left -= now;
            let part = stage.get_mut(..now).unwrap_or_default();
            if at == PAGES {
                for to in part.iter_mut().skip(front) {
                    *to = rest.next().copied().unwrap_or(0);
                }
            } else {
                // The same bytes stand in the same places there, but for the head and the checksum.
                for word in part.chunks_exact_mut(Medium::<F>::WORD) {
                    if !self.word(at, from, word).await? {
                        return Err(LogError::Corrupt);
                    }
                    from += 1;
                }
            }
            if front > 0 {
                let fields = head.into_iter().chain(key.to_le_bytes());
                part.iter_mut()
                    .zip(fields)
                    .for_each(|(to, from)| *to = from);
                front = 0;
            }
            let summed = if left == 0 { now - CHECKSUM } else { now };
            let (front, back) = part.split_at_mut_checked(summed).unwrap_or_default();
            sum = crc32(sum, front);
            back.iter_mut()
                .zip(sum.to_le_bytes())
                .for_each(|(to, from)| *to = from);
            self.program(&stage, now).await?;
        }
        Ok(())
    }

    /// Ends the batch: with the mark nobody has to doubt its last word.
    async fn finish(&mut self) -> Result<(), LogError<F::Error>> {
        let (page, end) = (self.newest(), self.tail);
        let mut mark = [0; MAX_WORD];
        format::mark(page.into(), end.into(), &mut mark);
        let last = self.last;
        self.program(&mark, Medium::<F>::WORD).await?;
        if let Some(newest) = self
            .links
            .checked_sub(1)
            .and_then(|at| self.chain.get_mut(at))
        {
            newest.end = end;
        }
        (self.last, self.torn) = (last, false);
        Ok(())
    }

    /// Programs the next `len` bytes of the newest page, and remembers the last word.
    async fn program(&mut self, bytes: &[u8], len: usize) -> Result<(), LogError<F::Error>> {
        let bytes = bytes.get(..len).unwrap_or_default();
        let last = len.saturating_sub(Medium::<F>::WORD);
        for (to, from) in self.last.iter_mut().zip(bytes.iter().skip(last)) {
            *to = *from;
        }
        let (page, word) = (self.newest(), self.tail);
        self.tail += (len / Medium::<F>::WORD) as u16;
        let programmed = self.medium.program(page, word.into(), bytes).await;
        programmed.map_err(LogError::Flash)
    }

    /// The pages that count, oldest first.
    pub(in crate::storage) fn pages(&self) -> impl Iterator<Item = u16> {
        self.used().iter().map(|link| link.page)
    }

    /// The page that is written to, and where in it the next record goes.
    pub(in crate::storage) fn place(&self) -> (u16, u16) {
        (self.newest(), self.tail)
    }

    fn newest(&self) -> u16 {
        self.used().last().map_or(0, |link| link.page)
    }
}

const _: () = assert!(RECORD_EXTRA <= STAGE && RECORD_FRONT <= STAGE);
