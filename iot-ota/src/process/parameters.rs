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

/// There is no room for another parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl<'a, const CAPACITY: usize> Table<'a, CAPACITY> {
    pub(super) const EMPTY: Self = Self {
        entries: [Entry {
            place: 0,
            code: 0,
            value: None,
        }; CAPACITY],
        used: 0,
    };

    /// Sets a parameter, or replaces it.
    #[inline(never)]
    pub(super) fn set(&mut self, place: u8, code: i32, value: &'a [u8]) -> Result<(), Full> {
        let code = u8::try_from(code).map_err(|_| Full)?;
        let value = Some(value);
        let entry = Entry { place, code, value };
        let used = self.entries.iter_mut().take(self.used);
        if let Some(old) = used
            .into_iter()
            .find(|old| old.place == place && old.code == code)
        {
            *old = entry;
            return Ok(());
        }
        *self.entries.get_mut(self.used).ok_or(Full)? = entry;
        self.used += 1;
        Ok(())
    }

    #[inline(never)]
    pub(super) fn value(&self, place: u8, code: i32) -> Option<&'a [u8]> {
        let mut used = self.entries.iter().take(self.used);
        used.find(|entry| entry.place == place && i32::from(entry.code) == code)
            .and_then(|entry| entry.value)
    }
}
