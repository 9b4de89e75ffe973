//! One of two ways to an image, chosen by what is to arrive.

use super::transform::{BadPayload, ReadOld, Transform, TransformError};

/// One of two transforms, where a manifest decides which.
///
/// ```
/// use iot_ota::image::{Either, Plain, Transform};
/// let either: Either<Plain, Plain> = Either::One(Plain::new());
/// assert_eq!(either.consumed(), 0);
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "it is one of the two")]
pub enum Either<A, B> {
    /// The one.
    One(A),
    /// The other.
    Other(B),
}

impl<A: Transform, B: Transform> Transform for Either<A, B> {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>> {
        match self {
            Self::One(one) => one.pull(payload, out, old),
            Self::Other(other) => other.pull(payload, out, old),
        }
    }

    fn end(&mut self) -> Result<(), BadPayload> {
        match self {
            Self::One(one) => one.end(),
            Self::Other(other) => other.end(),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::One(one) => one.is_whole(),
            Self::Other(other) => other.is_whole(),
        }
    }

    fn consumed(&self) -> u32 {
        match self {
            Self::One(one) => one.consumed(),
            Self::Other(other) => other.consumed(),
        }
    }

    fn save(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::One(one) => one.save(out),
            Self::Other(other) => other.save(out),
        }
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        match self {
            Self::One(one) => one.restore(saved),
            Self::Other(other) => other.restore(saved),
        }
    }
}
