//! The parameters of all components (§8.4.8).

/// Parameters in no order, found by component and code. Values are CBOR within the manifests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a, const CAPACITY: usize> {
    entries: [Entry<'a>; CAPACITY],
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    place: u8,
    code: u8,
    value: Option<&'a [u8]>,
}

impl<'a, const CAPACITY: usize> Table<'a, CAPACITY> {
    pub(super) const EMPTY: Self = Self {
        entries: [Entry {
            place: 0,
            code: 0,
            value: None,
        }; CAPACITY],
        used: 0,
    };

    /// Sets a parameter, or replaces it; false when there is no room for another one.
    #[inline(never)]
    pub(super) fn set(&mut self, place: u8, code: i32, value: &'a [u8]) -> bool {
        let used = self.entries.iter().take(self.used);
        let is_old = |old: &Entry<'_>| old.place == place && i32::from(old.code) == code;
        let at = used.into_iter().position(is_old).unwrap_or(self.used);
        let (Some(entry), Ok(code)) = (self.entries.get_mut(at), u8::try_from(code)) else {
            return false;
        };
        let value = Some(value);
        *entry = Entry { place, code, value };
        self.used = self.used.max(at + 1);
        true
    }

    #[inline(never)]
    pub(super) fn value(&self, place: u8, code: i32) -> Option<&'a [u8]> {
        let mut used = self.entries.iter().take(self.used);
        used.find(|entry| entry.place == place && i32::from(entry.code) == code)
            .and_then(|entry| entry.value)
    }
}
