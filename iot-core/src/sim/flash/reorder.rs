//! Words of one call that land in another order, as out of a controller's buffer.

use super::cell::mix;
use super::crash::Crash;
use super::image::FlashImage;
use super::law::SimFlashError;
use super::torn::Torn;
use super::{Power, SimFlash};

impl<const WRITE: usize, const ERASE: usize> SimFlash<WRITE, ERASE> {
    /// Shows, or suffers, that the words of one call land in another order.
    pub(super) fn reorder(
        &mut self,
        first: usize,
        words: &[[u8; WRITE]],
    ) -> Result<(), SimFlashError> {
        if let Some(Torn::Reordered(sample)) = self.due() {
            let left = self.reordered(first, words, sample);
            let torn = left
                .as_ref()
                .map_or(Torn::NotStarted, |_| Torn::Reordered(sample));
            if let Some(left) = left {
                self.image = left;
            }
            self.power = Power::Off(torn);
            return Err(SimFlashError::Cut);
        }
        if let (Some(sink), 1..) = (self.sink.clone(), self.torn.reordered) {
            for sample in 0..self.torn.reordered {
                let Some(image) = self.reordered(first, words, sample) else {
                    break;
                };
                let torn = Torn::Reordered(sample);
                let crash = Crash::of_image(&image, torn, self.operations);
                sink.0.borrow_mut().crash(&crash);
            }
        }
        Ok(())
    }

    /// What is there when only the words that `sample` chooses have landed; `None` if the caller breaks the law.
    fn reordered(
        &mut self,
        first: usize,
        words: &[[u8; WRITE]],
        sample: u8,
    ) -> Option<FlashImage<WRITE, ERASE>> {
        let mut image = self.image.clone();
        let last = words.len().saturating_sub(1);
        let random = |place: usize| {
            let seed = (u64::from(sample) << 48) ^ ((first + place) as u64 + 1);
            mix(seed ^ (words.len() as u64) << 32)
        };
        let mut torn_one = sample >= 2;
        for (place, value) in words.iter().enumerate() {
            let program = self.plan(first + place, *value).ok()?;
            let landed = match sample {
                0 => place == last,
                1 => place != 0,
                _ => random(place) % 2 == 0,
            };
            if landed {
                image.set(program.index, program.new);
            } else if core::mem::take(&mut torn_one) {
                let mode = image.mode();
                let outcomes = || self.torn.of_word::<WRITE>(mode);
                let cells = || outcomes().filter_map(|torn| program.torn(mode, torn));
                let chosen = usize::try_from(random(place) >> 40).unwrap_or(0);
                let one = chosen.checked_rem(cells().count()).unwrap_or(0);
                if let Some(cell) = cells().nth(one) {
                    image.set(program.index, cell);
                }
            }
        }
        Some(image)
    }
}
