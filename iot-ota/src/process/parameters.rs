//! The parameters of all components (§8.4.8).

use iot_core::codec::FlatReader;

const URI: u8 = 21;
const SOURCE: u8 = 22;

/// Parameters in no order, found by component and code. Values are CBOR within the manifests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a, const CAPACITY: usize> {
    // The manifest that sets and reads: a number that no other one has in the same process.
    pub(super) owner: u16,
    // The component that they are set and read for.
    pub(super) place: u8,
    // Those that are used come first.
    entries: [Entry<'a>; CAPACITY],
}

#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    place: u8,
    code: u8,
    owner: u16,
    value: Option<&'a [u8]>,
}

impl Entry<'_> {
    /// Whether it means something to the manifest that has set it alone: an index in its own list of components, or a
    /// name in its own envelope.
    fn is_local(&self) -> bool {
        self.code == SOURCE
            || self.code == URI && FlatReader::found(self.value).text().starts_with('#')
    }
}

impl<'a, const CAPACITY: usize> Table<'a, CAPACITY> {
    pub(super) const EMPTY: Self = Self {
        owner: 0,
        place: 0,
        entries: [Entry {
            place: 0,
            code: 0,
            owner: 0,
            value: None,
        }; CAPACITY],
    };

    /// Sets a parameter, or replaces it; false when there is no room for another one.
    #[inline(never)]
    pub(super) fn set(&mut self, code: i32, value: &'a [u8]) -> bool {
        // No code that a manifest may set is longer.
        let [code, ..] = code.to_le_bytes();
        let place = self.place;
        for entry in &mut self.entries {
            if entry.value.is_none() || entry.place == place && entry.code == code {
                *entry = Entry {
                    place,
                    code,
                    owner: self.owner,
                    value: Some(value),
                };
                return true;
            }
        }
        false
    }

    /// The value of a parameter, whichever manifest has set it, unless it has a meaning there alone.
    #[inline(never)]
    pub(super) fn value(&self, code: i32) -> Option<&'a [u8]> {
        let used = self.entries.iter();
        let mut entries = used.take_while(|entry| entry.value.is_some());
        entries
            .find(|entry| entry.place == self.place && i32::from(entry.code) == code)
            .filter(|entry| entry.owner == self.owner || !entry.is_local())
            .and_then(|entry| entry.value)
    }
}
