//! An encrypted payload.

use super::stream::Decryptor;
use crate::image::{BadPayload, ReadOld, Transform, TransformError};

/// So much is decrypted at a time; less than one step of a [`Decryptor`] and a half.
const PIECE: usize = 64;

/// A payload that is encrypted, around what it is when it was decrypted: an image, or a patch.
///
/// Ciphers with a tag cannot go on in the middle, so after an interruption such a payload is fetched again; counter mode
/// goes on. It takes 250 bytes besides what it is around.
#[derive(Debug)]
pub struct Decrypted<T> {
    inner: T,
    decryptor: Option<Decryptor>,
    plain: [u8; 2 * PIECE],
    begin: usize,
    end: usize,
}

impl<T> Decrypted<T> {
    /// Decrypts what goes into `inner`; the decryptor has taken nothing yet.
    #[must_use]
    pub const fn new(decryptor: Decryptor, inner: T) -> Self {
        Self {
            inner,
            decryptor: Some(decryptor),
            plain: [0; 2 * PIECE],
            begin: 0,
            end: 0,
        }
    }
}

impl<T: Transform> Transform for Decrypted<T> {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>> {
        let mut filled = 0;
        loop {
            let mut plain = self.plain.get(self.begin..self.end).unwrap_or(&[]);
            let before = plain.len();
            let room = out.get_mut(filled..).unwrap_or(&mut []);
            let full = room.len();
            let given = self.inner.pull(&mut plain, room, old)?;
            self.begin += before - plain.len();
            filled += given;
            if given == full && full > 0 {
                return Ok(filled);
            }
            if self.begin < self.end {
                // It was given no room, and takes nothing in without.
                return Ok(filled);
            }
            let taken = payload.len().min(PIECE);
            let (now, later) = payload.split_at_checked(taken).unwrap_or((payload, &[]));
            let Some(decryptor) = self.decryptor.as_mut().filter(|_| taken > 0) else {
                return Ok(filled);
            };
            (self.begin, self.end) = (0, 0);
            let (plain, end) = (&mut self.plain, &mut self.end);
            decryptor
                .push(now, |_, bytes| append(plain, end, bytes))
                .map_err(|_| TransformError::Payload)?;
            *payload = later;
        }
    }

    fn end(&mut self) -> Result<(), BadPayload> {
        let decryptor = self.decryptor.take().ok_or(BadPayload)?;
        if self.begin < self.end {
            return Err(BadPayload);
        }
        (self.begin, self.end) = (0, 0);
        let (plain, end) = (&mut self.plain, &mut self.end);
        decryptor
            .finish(|_, bytes| append(plain, end, bytes))
            .map_err(|_| BadPayload)?;
        self.inner.end()
    }

    fn is_whole(&self) -> bool {
        self.decryptor.is_none() && self.begin == self.end && self.inner.is_whole()
    }

    fn consumed(&self) -> u32 {
        self.inner.consumed()
    }

    fn save(&self, out: &mut [u8]) -> Option<usize> {
        self.inner.save(out)
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        let can_seek = self.decryptor.as_ref().is_some_and(Decryptor::can_seek);
        if !can_seek || !self.inner.restore(saved) {
            return false;
        }
        let offset = self.inner.consumed().into();
        self.decryptor = self.decryptor.take().and_then(|all| all.at(offset).ok());
        self.decryptor.is_some()
    }
}

fn append(plain: &mut [u8; 2 * PIECE], end: &mut usize, bytes: &[u8]) -> Result<(), BadPayload> {
    let past = end.checked_add(bytes.len()).ok_or(BadPayload)?;
    let room = plain.get_mut(*end..past).ok_or(BadPayload)?;
    room.copy_from_slice(bytes);
    *end = past;
    Ok(())
}
