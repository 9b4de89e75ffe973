//! A patch as a payload.

use super::decoder::Decoder;
use super::error::DecodeError;
use crate::image::{BadPayload, ReadOld, Transform, TransformError};

impl<const WINDOW: usize> Transform for Decoder<WINDOW> {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>> {
        self.decode(payload, out, old).map_err(|error| match error {
            DecodeError::Patch(_) => TransformError::Payload,
            DecodeError::Old(error) => TransformError::Old(error),
        })
    }

    fn end(&mut self) -> Result<(), BadPayload> {
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.finish().is_ok()
    }

    fn consumed(&self) -> u32 {
        self.consumed()
    }

    fn save(&self, out: &mut [u8]) -> Option<usize> {
        self.save(out)
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        match Self::restore(self.declared(), saved) {
            Some(restored) => {
                *self = restored;
                true
            }
            None => false,
        }
    }
}
