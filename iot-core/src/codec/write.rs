//! Encoding into a caller's buffer.

use minicbor::Encoder;
use minicbor::encode::write::{Cursor, EndOfSlice};

/// An encoder that writes into a borrowed buffer.
pub type Writer<'b> = Encoder<Cursor<&'b mut [u8]>>;

/// The buffer is too small for the encoded value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the encoded value does not fit the buffer of {bytes} bytes")]
#[non_exhaustive]
pub struct EncodeError {
    /// How long the buffer was.
    pub bytes: usize,
}

impl EncodeError {
    /// States how long the buffer was.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self { bytes }
    }
}

/// Lets `write` fill the buffer and returns the encoded part.
///
/// # Errors
///
/// [`EncodeError`] when `write` fails, which it only does when the buffer is too small.
///
/// ```
/// use iot_core::codec::encode_into;
/// let mut buffer = [0; 8];
/// let bytes = encode_into(&mut buffer, |w| w.array(2)?.u8(1)?.bool(true)?.ok())?;
/// assert_eq!(bytes, [0x82, 0x01, 0xf5]);
/// # Ok::<(), iot_core::codec::EncodeError>(())
/// ```
pub fn encode_into(
    buffer: &mut [u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), minicbor::encode::Error<EndOfSlice>>,
) -> Result<&[u8], EncodeError> {
    let bytes = buffer.len();
    let mut writer = Encoder::new(Cursor::new(&mut *buffer));
    write(&mut writer).map_err(|_| EncodeError { bytes })?;
    let used = writer.into_writer().position();
    buffer.get(..used).ok_or(EncodeError { bytes })
}

/// Writes the shortest head of `major` (0 to 7) with `argument` and returns the bytes used, 1 to 9.
///
/// For hashing a value that is never put together in memory, such as COSE's `Sig_structure`.
///
/// ```
/// use iot_core::codec::write_head;
/// let mut head = [0; 9];
/// assert_eq!(write_head(&mut head, 2, 300), [0x59, 0x01, 0x2c]);
/// ```
#[must_use]
pub fn write_head(head: &mut [u8; 9], major: u8, argument: u64) -> &[u8] {
    let [b7, b6, b5, b4, b3, b2, b1, b0] = argument.to_be_bytes();
    let major = major << 5;
    let used = match argument {
        0..=23 => {
            *head = [major | b0, 0, 0, 0, 0, 0, 0, 0, 0];
            1
        }
        24..=0xff => {
            *head = [major | 24, b0, 0, 0, 0, 0, 0, 0, 0];
            2
        }
        0x100..=0xffff => {
            *head = [major | 25, b1, b0, 0, 0, 0, 0, 0, 0];
            3
        }
        0x1_0000..=0xffff_ffff => {
            *head = [major | 26, b3, b2, b1, b0, 0, 0, 0, 0];
            5
        }
        _ => {
            *head = [major | 27, b7, b6, b5, b4, b3, b2, b1, b0];
            9
        }
    };
    head.get(..used).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_buffer_one_byte_short_is_an_error_not_a_cut() {
        let mut buffer = [0; 3];
        assert_eq!(
            encode_into(&mut buffer, |w| w.str("abc")?.ok()),
            Err(EncodeError { bytes: 3 })
        );
    }

    proptest! {
        #[test]
        fn a_head_is_what_minicbor_writes(argument in prop_oneof![any::<u64>(), 0..70_000u64]) {
            let (mut head, mut buffer) = ([0; 9], [0; 9]);
            let expected = encode_into(&mut buffer, |w| w.u64(argument)?.ok()).unwrap();
            prop_assert_eq!(write_head(&mut head, 0, argument), expected);
        }
    }
}
