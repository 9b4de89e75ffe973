//! What a machine remembers between two steps: its share in the key of a session under the explorer.

use iot_core::sim::power::KeyHasher;

use super::{InPlace, Stage};

impl<const WINDOW: usize, const PAGE: usize> InPlace<WINDOW, PAGE> {
    /// Adds everything that its future steps depend on: for
    /// [`Subject::session_key`](iot_core::sim::power::Subject::session_key).
    ///
    /// Two machines for the same patch that add the same behave alike from here on. `SAVED` bytes of room are needed
    /// for what [`save`](Self::save) writes; with less, or after a patch that was found bad, all such machines are one.
    pub fn add_session<const SAVED: usize>(&self, key: &mut KeyHasher) {
        let mut room = [0; SAVED];
        let saved = self.save(&mut room).unwrap_or(0);
        key.bytes(room.get(..saved).unwrap_or(&[]));
        let (stage, at) = match self.stage {
            Stage::Persist => (0, 0),
            Stage::EraseMoved => (1, 0),
            Stage::Copy => (2, 0),
            Stage::Erase { at } => (3, at),
            Stage::Fill => (4, 0),
            Stage::Write => (5, 0),
            Stage::Finished => (6, 0),
        };
        key.word(stage << 32 | u64::from(at));
        key.word(u64::from(self.moved) << 32 | u64::from(self.begun));
        // A page is told by what is in it: nothing else shows that a piece of it was read wrongly.
        key.bytes(self.page.get(..self.filled).unwrap_or(&[]));
    }
}
