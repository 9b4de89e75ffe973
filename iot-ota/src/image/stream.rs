//! Chunks in, one verified image out.

use core::hint::black_box;

use iot_core::crypto::{Digest, Sha256Digest};

/// Follows an image chunk by chunk: never past its declared size, and hashed as it is written.
///
/// ```
/// use iot_core::crypto::{Digest, Sha256Digest};
/// use iot_ota::image::{Pushed, Stream};
/// # #[derive(Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_add(*b) } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let (sha256, expected) = (Sum::default(), { let mut d = [0; 32]; d[0] = b'a'.wrapping_add(b'b'); d });
/// let mut bank = [0; 16];
/// let mut stream = Stream::new(sha256, 2, expected);
/// let mut write = |offset: u32, bytes: &[u8]| {
///     bank[offset as usize..][..bytes.len()].copy_from_slice(bytes);
///     Ok::<(), core::convert::Infallible>(())
/// };
/// assert_eq!(stream.push(0, b"a", &mut write), Ok(Pushed::Written));
/// assert_eq!(stream.push(0, b"a", &mut write), Ok(Pushed::Duplicate));
/// assert_eq!(stream.push(1, b"b", &mut write), Ok(Pushed::Written));
/// assert_eq!(stream.finish(), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Stream<D> {
    digest: D,
    expected: Sha256Digest,
    size: u32,
    offset: u32,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Pushed {
    /// It was the next one and is written.
    Written,
    /// All of it was there already; nothing was written.
    Duplicate,
}

/// Why a chunk was not taken; nothing was written unless the bank itself failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PushError<E> {
    /// It would end past the declared size.
    #[error("the chunk ends past the declared size of {size} bytes")]
    TooLong {
        /// The declared size in bytes.
        size: u32,
    },
    /// It does not begin where the last one ended.
    #[error("the chunk begins at {offset} instead of {expected}: ask for that one")]
    Gap {
        /// Where it begins.
        offset: u32,
        /// Where it should begin.
        expected: u32,
    },
    /// The bank failed; it may hold a part of the chunk.
    #[error("the bank failed")]
    Bank(E),
}

/// Why an image is not what it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FinishError {
    /// Bytes are missing.
    #[error("the image has {offset} of {size} bytes")]
    Incomplete {
        /// How many are there.
        offset: u32,
        /// How many there should be.
        size: u32,
    },
    /// The digest is another one.
    #[error("the image's digest is not the declared one")]
    Digest,
}

impl<D: Digest> Stream<D> {
    /// Begins an image of `size` bytes with the digest `expected`; `digest` must have absorbed nothing.
    #[must_use]
    pub const fn new(digest: D, size: u32, expected: Sha256Digest) -> Self {
        Self {
            digest,
            expected,
            size,
            offset: 0,
        }
    }

    /// Takes in bytes that the bank already holds, when an interrupted download goes on.
    ///
    /// # Errors
    ///
    /// [`PushError::TooLong`]; nothing was taken in.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), PushError<core::convert::Infallible>> {
        self.push(self.offset, bytes, |_, _| Ok(())).map(|_| ())
    }

    /// Checks a chunk, has it written, then hashes it.
    ///
    /// # Errors
    ///
    /// [`PushError`]; the stream is where it was.
    pub fn push<E>(
        &mut self,
        offset: u32,
        chunk: &[u8],
        write: impl FnOnce(u32, &[u8]) -> Result<(), E>,
    ) -> Result<Pushed, PushError<E>> {
        let end = u32::try_from(chunk.len())
            .ok()
            .and_then(|bytes| offset.checked_add(bytes))
            .filter(|&end| end <= self.size)
            .ok_or(PushError::TooLong { size: self.size })?;
        if end <= self.offset {
            return Ok(Pushed::Duplicate);
        }
        if offset != self.offset {
            return Err(PushError::Gap {
                offset,
                expected: self.offset,
            });
        }
        write(offset, chunk).map_err(PushError::Bank)?;
        self.digest.update(chunk);
        self.offset = end;
        Ok(Pushed::Written)
    }

    /// Compares the digest, in constant time.
    ///
    /// # Errors
    ///
    /// [`FinishError`]; the image must not be used.
    pub fn finish(mut self) -> Result<(), FinishError> {
        if self.offset != self.size {
            return Err(FinishError::Incomplete {
                offset: self.offset,
                size: self.size,
            });
        }
        if digests_equal(&self.digest.finish(), &self.expected) {
            Ok(())
        } else {
            Err(FinishError::Digest)
        }
    }

    /// How many bytes are there: where the next chunk begins.
    #[must_use]
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// The declared size in bytes.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Whether all bytes are there; only [`finish`](Self::finish) says whether they are the right ones.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.offset == self.size
    }
}

/// Compares two digests in a time that does not depend on where they differ.
#[must_use]
pub fn digests_equal(a: &Sha256Digest, b: &Sha256Digest) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Sha256, sha256};

    fn stream(image: &[u8]) -> Stream<Sha256> {
        let size = u32::try_from(image.len()).unwrap();
        Stream::new(Sha256::default(), size, sha256(image))
    }

    #[test]
    fn nothing_is_written_past_the_declared_size() {
        let mut stream = Stream::new(Sha256::default(), 4, sha256(b"abcd"));
        let mut written = Vec::new();
        let mut push = |offset, bytes: &[u8]| {
            stream.push(offset, bytes, |_, bytes| {
                written.extend_from_slice(bytes);
                Ok::<(), Infallible>(())
            })
        };
        assert_eq!(push(0, b"abcde"), Err(PushError::TooLong { size: 4 }));
        assert_eq!(push(0, b"abc"), Ok(Pushed::Written));
        assert_eq!(push(3, b"de"), Err(PushError::TooLong { size: 4 }));
        assert_eq!(push(u32::MAX, b"d"), Err(PushError::TooLong { size: 4 }));
        assert_eq!(written, b"abc");
    }

    #[test]
    fn a_chunk_the_bank_refused_is_neither_counted_nor_hashed() {
        let mut stream = stream(b"abcd");
        assert_eq!(
            stream.push(0, b"ab", |_, _| Err("worn out")),
            Err(PushError::Bank("worn out"))
        );
        assert_eq!(stream.offset(), 0);
        stream.resume(b"abcd").unwrap();
        assert_eq!(stream.finish(), Ok(()));
    }

    #[test]
    fn an_incomplete_image_is_never_finished() {
        let mut stream = stream(b"abcd");
        stream.resume(b"abc").unwrap();
        assert_eq!(
            stream.finish(),
            Err(FinishError::Incomplete { offset: 3, size: 4 })
        );
    }

    proptest! {
        #[test]
        fn any_cutting_with_duplicates_and_gaps_gives_the_image_or_nothing(
            image in proptest::collection::vec(any::<u8>(), 1..300),
            jumps in proptest::collection::vec((0_usize..320, 1_usize..64), 0..60),
            flip in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut stream = stream(&image);
            let mut sent = image.clone();
            if let Some(flip) = flip {
                sent[flip.index(image.len())] ^= 1;
            }
            let mut bank = Vec::new();
            let tail = (0..image.len()).map(|at| (at, 1));
            for (from, len) in jumps.into_iter().chain(tail) {
                let from = from.min(sent.len());
                let chunk = &sent[from..(from + len).min(sent.len())];
                let before = stream.offset();
                let pushed = stream.push(u32::try_from(from).unwrap(), chunk, |_, bytes| {
                    bank.extend_from_slice(bytes);
                    Ok::<(), Infallible>(())
                });
                if pushed != Ok(Pushed::Written) {
                    prop_assert_eq!(stream.offset(), before);
                }
            }
            prop_assert_eq!(&bank, &sent);
            prop_assert_eq!(stream.finish().is_ok(), flip.is_none());
        }
    }
}
