//! Numbers of a patch, byte by byte.

use super::error::PatchError;

const MORE: u8 = 0x80;
const NEGATIVE: u8 = 0x40;

/// A number that is being read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Number {
    pub(super) magnitude: u32,
    // How many bits there are already; 0 before the first byte.
    pub(super) bits: u8,
    pub(super) negative: bool,
}

impl Number {
    /// Takes a byte of a signed number in; gives the number when it is whole.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<i64>, PatchError> {
        if self.bits == 0 {
            self.negative = byte & NEGATIVE != 0;
            return self.add(byte, byte & 0x3f, 6);
        }
        self.add(byte, byte & 0x7f, 7)
    }

    /// Takes a byte of a number without a sign in.
    pub(super) fn push_unsigned(&mut self, byte: u8) -> Result<Option<u32>, PatchError> {
        let number = self.add(byte, byte & 0x7f, 7)?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    fn add(&mut self, byte: u8, low: u8, width: u8) -> Result<Option<i64>, PatchError> {
        let part = u64::from(low) << self.bits;
        let part = u32::try_from(part).map_err(|_| PatchError::Number)?;
        self.magnitude |= part;
        self.bits += width;
        if byte & MORE != 0 {
            // Further bits would lie beyond 32, and a row of empty ones must not go on for ever.
            return if self.bits < 32 {
                Ok(None)
            } else {
                Err(PatchError::Number)
            };
        }
        let Self {
            magnitude,
            negative,
            ..
        } = core::mem::take(self);
        let magnitude = i64::from(magnitude);
        Ok(Some(if negative { -magnitude } else { magnitude }))
    }

    /// The number as it is kept, and back.
    pub(super) const fn parts(self) -> [u32; 2] {
        [
            self.magnitude,
            self.bits as u32 | (self.negative as u32) << 8,
        ]
    }

    pub(super) fn from_parts([magnitude, rest]: [u32; 2]) -> Option<Self> {
        let bits = u8::try_from(rest & 0xff).ok().filter(|&bits| bits < 32)?;
        (rest <= 0x1ff).then_some(Self {
            magnitude,
            bits,
            negative: rest & 0x100 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<i64>, PatchError> {
        let mut number = Number::default();
        let mut found = None;
        for &byte in bytes {
            found = number.push(byte)?;
        }
        Ok(found)
    }

    #[test]
    fn numbers_have_six_bits_then_seven_and_never_more_than_32() {
        assert_eq!(read(&[0]), Ok(Some(0)));
        assert_eq!(read(&[0x9c, 0x2b]), Ok(Some(2_780)));
        assert_eq!(read(&[0x41]), Ok(Some(-1)));
        assert_eq!(read(&[0xff, 0x01]), Ok(Some(-127)));
        assert_eq!(
            read(&[0xbf, 0xff, 0xff, 0xff, 0x1f]),
            Ok(Some(i64::from(u32::MAX)))
        );
        assert_eq!(
            read(&[0xbf, 0xff, 0xff, 0xff, 0x3f]),
            Err(PatchError::Number)
        );
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
            Err(PatchError::Number)
        );
    }
}
