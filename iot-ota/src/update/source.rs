//! The service's half: answers requests from an image.

use super::wire::{Request, ToDevice};

/// An image that devices fetch; holds no state about any of them.
///
/// ```
/// use iot_ota::update::{Request, Source, ToDevice};
/// let source = Source::new(2, b"firmware image");
/// let answer = source.answer(&Request::new(2, 9, 5))?;
/// assert_eq!(answer, ToDevice::Block { sequence: 2, offset: 9, bytes: b"image" });
/// # Ok::<(), iot_ota::update::AnswerError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Source<'a> {
    sequence: u64,
    image: &'a [u8],
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AnswerError {
    /// It is for another release: ask its source.
    #[error("the request is for release {requested}, this is {offered}")]
    OtherRelease {
        /// Which one it is for.
        requested: u64,
        /// Which one this is.
        offered: u64,
    },
    /// It goes past the image.
    #[error("the request ends past the image of {bytes} bytes")]
    OutOfRange {
        /// The size of the image.
        bytes: usize,
    },
}

impl<'a> Source<'a> {
    /// Serves `image` as what the manifest of that sequence number installs.
    #[must_use]
    pub const fn new(sequence: u64, image: &'a [u8]) -> Self {
        Self { sequence, image }
    }

    /// Whether the payload ends with what is asked for: then the offer is sent again in front of the answer.
    ///
    /// A device that restarted in its download stages nothing before it has seen the signature again, and asks for the
    /// last block until it has. Behind the answer it would be a new offer to a device that has just refused the image.
    ///
    /// ```
    /// use iot_ota::update::{Request, Source};
    /// let source = Source::new(2, b"firmware image");
    /// assert!(source.is_last(&Request::new(2, 9, 5)));
    /// assert!(!source.is_last(&Request::new(2, 9, 4)));
    /// ```
    #[must_use]
    pub fn is_last(&self, request: &Request) -> bool {
        let end = u64::from(request.offset) + u64::from(request.length);
        u64::try_from(self.image.len()) == Ok(end)
    }

    /// The block that was asked for; asking again gives the same one.
    ///
    /// # Errors
    ///
    /// [`AnswerError`]; a device that gets no answer asks again, and gives up when told to.
    pub fn answer(&self, request: &Request) -> Result<ToDevice<'a>, AnswerError> {
        if request.sequence != self.sequence {
            return Err(AnswerError::OtherRelease {
                requested: request.sequence,
                offered: self.sequence,
            });
        }
        let part = || {
            let start = usize::try_from(request.offset).ok()?;
            let end = start.checked_add(usize::try_from(request.length).ok()?)?;
            self.image.get(start..end)
        };
        let bytes = part().ok_or(AnswerError::OutOfRange {
            bytes: self.image.len(),
        })?;
        Ok(ToDevice::Block {
            sequence: self.sequence,
            offset: request.offset,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_past_the_image_or_for_another_one_has_no_answer() {
        let source = Source::new(2, &[0; 10]);
        for (offset, length) in [(0, 11), (10, 1), (u32::MAX, u32::MAX)] {
            assert_eq!(
                source.answer(&Request::new(2, offset, length)),
                Err(AnswerError::OutOfRange { bytes: 10 })
            );
        }
        assert!(matches!(
            source.answer(&Request::new(3, 0, 1)),
            Err(AnswerError::OtherRelease { .. })
        ));
        assert!(source.answer(&Request::new(2, 9, 1)).is_ok());
    }
}
