//! The creating side: patches from two images.

mod difference;
mod shrink;
mod suffix;

use alloc::vec::Vec;

use difference::Run;
use suffix::Index;

/// Makes patches that turn one image into another, as `detools` would.
///
/// ```
/// use iot_ota::delta::{Declared, Decoder, DeltaAuthor};
///
/// let (old, new) = ([7; 5_000], [[7; 2_000].as_slice(), b"between", &[7; 3_000]].concat());
/// let patch = DeltaAuthor::new(&old, &new).sequential()?;
/// assert!(patch.len() < 150);
///
/// let mut decoder = Decoder::<256>::new(Declared::new(5_000, 5_007, patch.len() as u32));
/// let mut made = [0; 5_007];
/// decoder.decode(&mut &patch[..], &mut made, |at, out| {
///     out.copy_from_slice(&old[at as usize..][..out.len()]);
///     Ok::<(), core::convert::Infallible>(())
/// })?;
/// decoder.finish()?;
/// assert_eq!(&made[..], new);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeltaAuthor<'a> {
    old: &'a [u8],
    new: &'a [u8],
    window_bits: u8,
    length_bits: u8,
}

/// Why there is no patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// An image has 2 GiB or more.
    #[error("the images are too large for a patch")]
    TooLarge,
    /// The widths are not 4 to 15 for the window, and at least 3 and less than the window's for a length.
    #[error("there is no heatshrink with these widths")]
    Widths,
    /// The memory is no whole number of segments, or has no room for the new image and one more segment.
    #[error("the images do not fit into that memory")]
    Layout,
}

impl<'a> DeltaAuthor<'a> {
    /// Patches from `old` to `new`, for decoders with a window of 256 bytes.
    #[must_use]
    pub const fn new(old: &'a [u8], new: &'a [u8]) -> Self {
        Self {
            old,
            new,
            window_bits: 8,
            length_bits: 7,
        }
    }

    /// Has the compression look back `1 << window_bits` bytes, and copy up to `1 << length_bits` at a time.
    ///
    /// A larger window makes smaller patches and takes as much more memory of the device.
    #[must_use]
    pub const fn widths(mut self, window_bits: u8, length_bits: u8) -> Self {
        (self.window_bits, self.length_bits) = (window_bits, length_bits);
        self
    }

    /// A patch for another bank than the old image's.
    ///
    /// # Errors
    ///
    /// [`AuthorError`], except [`AuthorError::Layout`].
    pub fn sequential(&self) -> Result<Vec<u8>, AuthorError> {
        self.check()?;
        let mut patch = [0x04].to_vec();
        put(&mut patch, size(self.new)?);
        if self.new.is_empty() {
            return Ok(patch);
        }
        let index = Index::new(self.old);
        let mut body = Vec::new();
        write_runs(&mut body, self.old, self.new, &index, 0)?;
        shrink::append(&mut patch, &body, self.window_bits, self.length_bits);
        Ok(patch)
    }

    /// A patch over the old image, in a memory of so many bytes that is erased in segments of so many bytes.
    ///
    /// What of the memory the images leave free makes the patch smaller.
    ///
    /// # Errors
    ///
    /// [`AuthorError`].
    pub fn in_place(&self, memory: u32, segment: u32) -> Result<Vec<u8>, AuthorError> {
        self.check()?;
        let (old, new) = (size(self.old)?, size(self.new)?);
        let parts = memory.checked_div(segment).unwrap_or(0);
        let shift = parts
            .saturating_sub(
                u32::try_from(old)
                    .unwrap_or(u32::MAX)
                    .div_ceil(segment.max(1)),
            )
            .max(1)
            .saturating_mul(segment);
        if parts.saturating_mul(segment) != memory || shift >= memory || new > i64::from(memory) {
            return Err(AuthorError::Layout);
        }
        let mut patch = [0x14].to_vec();
        for number in [memory.into(), segment.into(), shift.into(), old, new] {
            put(&mut patch, number);
        }
        if self.new.is_empty() {
            return Ok(patch);
        }
        let bytes = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let kept = bytes(memory - shift).min(self.old.len());
        let kept = self.old.get(..kept).unwrap_or(&[]);
        let index = Index::new(kept);
        let mut body = Vec::new();
        for (number, part) in self.new.chunks(bytes(segment)).enumerate() {
            let end = number.saturating_add(1).saturating_mul(bytes(segment));
            let floor = end.saturating_sub(bytes(shift)).min(kept.len());
            write_runs(&mut body, kept, part, &index, floor)?;
        }
        shrink::append(&mut patch, &body, self.window_bits, self.length_bits);
        Ok(patch)
    }

    fn check(&self) -> Result<(), AuthorError> {
        let Self {
            window_bits,
            length_bits,
            ..
        } = *self;
        let known = (4..=15).contains(&window_bits) && (3..window_bits).contains(&length_bits);
        if known {
            Ok(())
        } else {
            Err(AuthorError::Widths)
        }
    }
}

/// Writes the runs that make `new` of what `old` holds from `floor` on.
fn write_runs(
    body: &mut Vec<u8>,
    old: &[u8],
    new: &[u8],
    index: &Index<'_>,
    floor: usize,
) -> Result<(), AuthorError> {
    // No data format.
    body.push(0);
    for run in difference::runs(old, new, index, floor) {
        let Run {
            old_at,
            new_at,
            differs,
            extra,
            moves,
        } = run;
        put(
            body,
            i64::try_from(differs).map_err(|_| AuthorError::TooLarge)?,
        );
        let (from, to) = (old.get(old_at..), new.get(new_at..));
        let (from, to) = (from.unwrap_or(&[]), to.unwrap_or(&[]));
        let pairs = to.iter().zip(from).take(differs);
        body.extend(pairs.map(|(to, from)| to.wrapping_sub(*from)));
        put(
            body,
            i64::try_from(extra).map_err(|_| AuthorError::TooLarge)?,
        );
        body.extend(to.iter().skip(differs).take(extra));
        put(body, moves);
    }
    Ok(())
}

fn size(image: &[u8]) -> Result<i64, AuthorError> {
    let size = i32::try_from(image.len()).map_err(|_| AuthorError::TooLarge)?;
    Ok(size.into())
}

/// Writes a number as the format has it.
fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = number.unsigned_abs();
    let mut take = |bits: u32| {
        let [low, ..] = (rest & ((1 << bits) - 1)).to_le_bytes();
        rest >>= bits;
        low | if rest > 0 { 0x80 } else { 0 }
    };
    let first = take(6);
    out.push(if number < 0 { first | 0x40 } else { first });
    while out.last().is_some_and(|last| last & 0x80 != 0) {
        let next = take(7);
        out.push(next);
    }
}
