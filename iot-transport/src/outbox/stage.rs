//! The memory in which messages wait to be stored, and in which they are put together to be sent.

/// Bytes of messages, one behind the other.
#[derive(Clone)]
pub(super) struct Stage<const BYTES: usize> {
    bytes: [u8; BYTES],
    used: usize,
}

impl<const BYTES: usize> core::fmt::Debug for Stage<BYTES> {
    // What was forgotten does not count.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes.get(..self.used).fmt(f)
    }
}

impl<const BYTES: usize> Stage<BYTES> {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; BYTES],
            used: 0,
        }
    }

    /// How much can be added now.
    pub(super) const fn room(&self) -> usize {
        BYTES - self.used
    }

    /// Adds `parts`, one behind the other, and says where they begin; `None` when there is no room.
    pub(super) fn add(&mut self, parts: &[&[u8]]) -> Option<u16> {
        let start = self.used;
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > self.room() {
            return None;
        }
        let at = u16::try_from(start).ok()?;
        for part in parts {
            let to = self.bytes.get_mut(self.used..self.used + part.len())?;
            to.copy_from_slice(part);
            self.used += part.len();
        }
        Some(at)
    }

    pub(super) fn get(&self, at: u16, len: usize) -> Option<&[u8]> {
        self.bytes.get(usize::from(at)..)?.get(..len)
    }

    /// Forgets everything but what is then [kept](Self::keep).
    pub(super) const fn begin(&mut self) {
        self.used = 0;
    }

    /// Keeps what lies at `at`, moved to the front. What is kept comes in the order in which it lies.
    pub(super) fn keep(&mut self, at: &mut u16, len: usize) {
        let from = usize::from(*at);
        if let Ok(to) = u16::try_from(self.used)
            && self.used <= from
            && from + len <= BYTES
        {
            // Towards the front, byte by byte: `copy_within` can do both ways, which costs a chip 700 bytes of flash.
            for offset in 0..len {
                if let Some(&byte) = self.bytes.get(from + offset)
                    && let Some(place) = self.bytes.get_mut(self.used + offset)
                {
                    *place = byte;
                }
            }
            *at = to;
            self.used += len;
        }
    }
}
