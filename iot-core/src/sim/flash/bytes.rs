//! An image as bytes, so that a run can be continued from a file.

use alloc::vec::Vec;

use super::cell::FlashCell;
use super::image::{FlashImage, Mode};

/// Why bytes are no image.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashImageError {
    /// They do not begin like an image of this version.
    #[error("these bytes are no flash image of version {VERSION}")]
    Version,
    /// The image has other words or pages than the type.
    #[error(
        "the image has words of {write} and pages of {erase} bytes: read it as SimFlash<{write}, {erase}>"
    )]
    Geometry {
        /// Bytes of its words.
        write: u8,
        /// Bytes of its pages.
        erase: u32,
    },
    /// There are fewer or more bytes than its pages need.
    #[error("the image has {bytes} bytes, its pages need {needed}")]
    Length {
        /// How many there are.
        bytes: usize,
        /// How many it needs.
        needed: usize,
    },
    /// No cell has this kind with this value.
    #[error("word {word} of page {page} is no cell")]
    Cell {
        /// The page.
        page: usize,
        /// The word in the page.
        word: usize,
    },
}

const VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"NORF";
// Magic, version, mode, word bytes, page bytes (4), pages (2).
const HEADER_BYTES: usize = 13;
// Erase count (4) and whether the page is marginal.
const PAGE_HEADER_BYTES: usize = 5;

impl<const WRITE: usize, const ERASE: usize> FlashImage<WRITE, ERASE> {
    /// The whole image, erase counts and doubtful words included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let page_bytes = PAGE_HEADER_BYTES + ERASE + Self::PAGE_WORDS;
        let mut out = Vec::with_capacity(HEADER_BYTES + self.pages() * page_bytes);
        out.extend_from_slice(&MAGIC);
        let mode = match self.mode() {
            Mode::Rewritable => 0,
            Mode::Multiwrite => 1,
            Mode::WriteOnce => 2,
        };
        out.extend_from_slice(&[VERSION, mode, u8::try_from(WRITE).unwrap_or(0)]);
        out.extend_from_slice(&u32::try_from(ERASE).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.pages()).unwrap_or(0).to_le_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.erases.to_le_bytes());
            out.push(u8::from(slot.marginal));
            out.extend_from_slice(&slot.cells);
        }
        out
    }

    /// The image that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`FlashImageError`] when the bytes are not one whole image with words and pages of this type's size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FlashImageError> {
        let (header, mut rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(FlashImageError::Version)?;
        let [m0, m1, m2, m3, version, mode, write, e0, e1, e2, e3, p0, p1] = *header;
        let mode = match mode {
            0 => Mode::Rewritable,
            1 => Mode::Multiwrite,
            2 => Mode::WriteOnce,
            _ => return Err(FlashImageError::Version),
        };
        if [m0, m1, m2, m3] != MAGIC || version != VERSION {
            return Err(FlashImageError::Version);
        }
        let erase = u32::from_le_bytes([e0, e1, e2, e3]);
        if usize::from(write) != WRITE || usize::try_from(erase) != Ok(ERASE) {
            return Err(FlashImageError::Geometry { write, erase });
        }
        let pages = u16::from_le_bytes([p0, p1]);
        let page_bytes = PAGE_HEADER_BYTES + ERASE + Self::PAGE_WORDS;
        let needed = HEADER_BYTES + usize::from(pages) * page_bytes;
        if bytes.len() != needed {
            let bytes = bytes.len();
            return Err(FlashImageError::Length { bytes, needed });
        }
        let mut image = Self::new(pages, mode);
        for page in 0..usize::from(pages) {
            let Some((head, after)) = rest.split_first_chunk::<PAGE_HEADER_BYTES>() else {
                break;
            };
            let Some((cells, after)) = after.split_at_checked(ERASE + Self::PAGE_WORDS) else {
                break;
            };
            rest = after;
            image.fill(page, cells)?;
            let [c0, c1, c2, c3, marginal] = *head;
            if marginal != 0 {
                image.set_marginal(page);
            }
            if let Some(slot) = image.slots.get_mut(page) {
                slot.erases = u32::from_le_bytes([c0, c1, c2, c3]);
            }
        }
        Ok(image)
    }

    fn fill(&mut self, page: usize, cells: &[u8]) -> Result<(), FlashImageError> {
        let (words, kinds) = cells.split_at_checked(ERASE).unwrap_or((cells, &[]));
        let words = words.as_chunks::<WRITE>().0;
        for (word, (bytes, kind)) in words.iter().zip(kinds).enumerate() {
            let cell = FlashCell::from_parts(*kind, *bytes);
            let cell = cell.ok_or(FlashImageError::Cell { page, word })?;
            self.set(page * Self::PAGE_WORDS + word, cell);
        }
        Ok(())
    }
}
