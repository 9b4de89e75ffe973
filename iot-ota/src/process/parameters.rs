//! The parameters of all components (§8.4.8).

/// Parameters in no order, found by component and code. Values are CBOR within the manifests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a, const CAPACITY: usize> {
    // Those that are used come first.
    entries: [Entry<'a>; CAPACITY],
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
    };

    /// Sets a parameter, or replaces it; false when there is no room for another one.
    #[inline(never)]
    pub(super) fn set(&mut self, place: u8, code: i32, value: &'a [u8]) -> bool {
        let Ok(code) = u8::try_from(code) else {
            return false;
        };
        for entry in &mut self.entries {
            if entry.value.is_none() || entry.place == place && entry.code == code {
                let value = Some(value);
                *entry = Entry { place, code, value };
                return true;
            }
        }
        false
    }

    #[inline(never)]
    pub(super) fn value(&self, place: u8, code: i32) -> Option<&'a [u8]> {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| entry.place == place && i32::from(entry.code) == code)
            .and_then(|entry| entry.value)
    }
}
