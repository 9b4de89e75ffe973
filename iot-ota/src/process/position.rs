//! Where a process is, in a few bytes.

use super::machine::Procedure;

const VERSION: u8 = 2;
const HEAD: usize = 12;
const ANSWERS: usize = 256;

/// How far a process has come: which procedure of which manifest, and how each step so far ended.
///
/// Store it after each step whose effect must not happen twice. A process that
/// [resumes](super::Process::resume) from it goes through the manifest again, without a word, up to the step that
/// was next. As bytes it is `version 2 ‖ procedure ‖ 8 bytes of the manifest's digest ‖ count, big-endian, 2 bytes ‖
/// one bit per answer`, the first in the lowest bit. Each step has one, whether it succeeded; a dependency that is
/// followed and that no digest names has 64 more, the first bits of its own digest.
///
/// It is not signed: keep it as safe as the code that reads it. Nor does it name the device: resume with the same
/// [`Capabilities`](super::Capabilities).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Position {
    pub(super) procedure: Procedure,
    pub(super) digest: [u8; 8],
    count: u16,
    answers: [u8; ANSWERS / 8],
}

/// Bytes are no position.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("not a position of a manifest's process")]
#[non_exhaustive]
pub struct PositionError;

impl Position {
    /// The longest it can be, in bytes.
    pub const MAX_BYTES: usize = HEAD + ANSWERS / 8;

    pub(super) fn start(procedure: Procedure, digest: &[u8; 32]) -> Self {
        Self {
            procedure,
            digest: digest.first_chunk().copied().unwrap_or_default(),
            count: 0,
            answers: [0; ANSWERS / 8],
        }
    }

    /// How many answers are in it; at most 256 can be told.
    #[must_use]
    pub const fn steps(&self) -> u16 {
        self.count
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.count as usize <= ANSWERS
    }

    /// The answer of a step: as it was, or so from now on if it is the next one.
    #[inline(never)]
    pub(super) fn answer(&mut self, step: u16, new: Option<bool>) -> Option<bool> {
        let byte = self.answers.get_mut(usize::from(step / 8));
        if step < self.count {
            return byte.map(|byte| *byte >> (step % 8) & 1 == 1);
        }
        let new = new?;
        if let Some(byte) = byte {
            *byte |= u8::from(new) << (step % 8);
        }
        self.count = step.saturating_add(1);
        Some(new)
    }

    /// Writes it to the front of `room` and returns how many bytes that are; `None` when they do not fit.
    pub fn encode(&self, room: &mut [u8]) -> Option<usize> {
        let answers = self.answers.get(..usize::from(self.count).div_ceil(8))?;
        let (head, rest) = room.split_at_mut_checked(HEAD)?;
        let [high, low] = self.count.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = self.digest;
        let procedure = self.procedure as u8;
        head.copy_from_slice(&[VERSION, procedure, a, b, c, d, e, f, g, h, high, low]);
        rest.get_mut(..answers.len())?.copy_from_slice(answers);
        Some(HEAD + answers.len())
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`PositionError`] for anything else, also with bytes behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, PositionError> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(PositionError)?;
        let [version, procedure, digest @ .., high, low] = head;
        let [a, b, c, d, e, f, g, h] = *digest;
        let count = u16::from_be_bytes([*high, *low]);
        let mut position = Self {
            procedure: Procedure::from_number(*procedure).ok_or(PositionError)?,
            digest: [a, b, c, d, e, f, g, h],
            count,
            answers: [0; ANSWERS / 8],
        };
        let used = usize::from(count).div_ceil(8);
        let answers = position.answers.get_mut(..used);
        let answers = answers.filter(|answers| answers.len() == rest.len());
        answers.ok_or(PositionError)?.copy_from_slice(rest);
        let unused = rest
            .last()
            .is_some_and(|last| count % 8 != 0 && last >> (count % 8) != 0);
        (*version == VERSION && !unused)
            .then_some(position)
            .ok_or(PositionError)
    }
}
