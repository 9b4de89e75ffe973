//! Writing backwards, so that every length is known when it is written.

use super::{BIT_STRING, INTEGER, SEQUENCE};

/// The buffer is too small.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

/// Fills a buffer from its end; what was prepended last stands first.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    start: usize,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    /// A mark for [`wrap`](Self::wrap): what is written from now on becomes its content.
    pub(crate) const fn mark(&self) -> usize {
        self.start
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let start = self.start.checked_sub(bytes.len()).ok_or(Full)?;
        self.buffer
            .get_mut(start..self.start)
            .ok_or(Full)?
            .copy_from_slice(bytes);
        self.start = start;
        Ok(())
    }

    /// Puts tag and length before everything written since `mark`.
    pub(crate) fn wrap(&mut self, tag: u8, mark: usize) -> Result<(), Full> {
        let len = mark.checked_sub(self.start).ok_or(Full)?;
        match *u32::try_from(len)
            .map_err(|_| Full)?
            .to_be_bytes()
            .as_slice()
        {
            [0, 0, 0, low] if low < 0x80 => self.bytes(&[tag, low]),
            [0, 0, 0, low] => self.bytes(&[tag, 0x81, low]),
            [0, 0, high, low] => self.bytes(&[tag, 0x82, high, low]),
            _ => Err(Full),
        }
    }

    pub(crate) fn tlv(&mut self, tag: u8, content: &[u8]) -> Result<(), Full> {
        let mark = self.mark();
        self.bytes(content)?;
        self.wrap(tag, mark)
    }

    /// A BIT STRING of whole octets.
    pub(crate) fn bit_string(&mut self, parts: &[&[u8]]) -> Result<(), Full> {
        let mark = self.mark();
        for part in parts.iter().rev() {
            self.bytes(part)?;
        }
        self.bytes(&[0])?;
        self.wrap(BIT_STRING, mark)
    }

    /// A non-negative INTEGER from its big-endian bytes.
    pub(crate) fn unsigned(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let digits = bytes.get(zeros..).unwrap_or(&[]);
        let mark = self.mark();
        self.bytes(digits)?;
        // A leading set bit would make it negative, and zero still needs one octet.
        if digits.first().is_none_or(|&first| first >= 0x80) {
            self.bytes(&[0])?;
        }
        self.wrap(INTEGER, mark)
    }

    /// `ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` from the fixed form `r ‖ s` (RFC 3279 §2.2.3).
    pub(crate) fn ecdsa(&mut self, fixed: &[u8]) -> Result<(), Full> {
        let (r, s) = fixed.split_at_checked(fixed.len() / 2).ok_or(Full)?;
        let mark = self.mark();
        self.unsigned(s)?;
        self.unsigned(r)?;
        self.wrap(SEQUENCE, mark)
    }

    /// What was written, at the end of the buffer.
    pub(crate) fn finish(self) -> &'b [u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_never_negative() {
        for (from, to) in [
            (&[0u8, 0, 5][..], &[2u8, 1, 5][..]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0], &[2, 1, 0]),
            (&[], &[2, 1, 0]),
        ] {
            let mut buffer = [0; 8];
            let mut writer = Writer::new(&mut buffer);
            writer.unsigned(from).unwrap();
            assert_eq!(writer.finish(), to);
        }
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (len, header) in [
            (127usize, &[0x30u8, 127][..]),
            (128, &[0x30, 0x81, 128]),
            (300, &[0x30, 0x82, 1, 44]),
        ] {
            let mut buffer = [0; 310];
            let mut writer = Writer::new(&mut buffer);
            writer.tlv(SEQUENCE, &[7; 300][..len]).unwrap();
            assert_eq!(&writer.finish()[..header.len()], header);
        }
    }

    #[test]
    fn a_small_buffer_is_refused() {
        let mut buffer = [0; 3];
        assert_eq!(Writer::new(&mut buffer).tlv(SEQUENCE, &[1, 2]), Err(Full));
    }
}
