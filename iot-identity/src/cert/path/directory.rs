//! Distinguished names, compared as RFC 5280 §7.1 says.

use super::encoding::{IA5_STRING, OID, PRINTABLE_STRING};
use crate::der::{Reader, SEQUENCE, SET, UTF8_STRING};

pub(in crate::cert) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(super) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

/// One attribute of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cert) struct Attribute<'a> {
    pub(in crate::cert) kind: &'a [u8],
    pub(in crate::cert) tag: u8,
    pub(in crate::cert) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Its text; `None` when it is written in none of the strings that the profile allows.
    pub(in crate::cert) fn text(&self) -> Option<&'a str> {
        matches!(self.tag, UTF8_STRING | PRINTABLE_STRING | IA5_STRING).then_some(())?;
        core::str::from_utf8(self.value).ok()
    }

    /// Whether both are the same; `None` when that cannot be decided.
    fn is(&self, other: &Self) -> Option<bool> {
        if self.kind != other.kind {
            return Some(false);
        }
        if (self.tag, self.value) == (other.tag, other.value) {
            return Some(true);
        }
        Some(folded(self.text()?).eq(folded(other.text()?)))
    }
}

/// Without case, and with one space for each run of them (RFC 4518 §2).
fn folded(text: &str) -> impl Iterator<Item = char> {
    let words = text.split_whitespace().enumerate();
    words.flat_map(|(place, word)| {
        let space = (place > 0).then_some(' ');
        space
            .into_iter()
            .chain(word.chars().flat_map(char::to_lowercase))
    })
}

/// The attributes of a whole `Name`, set by set; `None` for what is no attribute, which is the last.
pub(in crate::cert) fn attributes(name: &[u8]) -> impl Iterator<Item = Option<Attribute<'_>>> {
    let mut sets = Reader::new(name).enter(SEQUENCE);
    let mut failed = sets.is_none();
    let mut set = Reader::new(&[]);
    core::iter::from_fn(move || {
        let sets = sets.as_mut()?;
        if failed || (set.is_empty() && sets.is_empty()) {
            return None;
        }
        if set.is_empty() {
            set = sets.enter(SET).unwrap_or(Reader::new(&[]));
        }
        let found = attribute(&mut set);
        failed = found.is_none();
        Some(found)
    })
}

fn attribute<'a>(set: &mut Reader<'a>) -> Option<Attribute<'a>> {
    let mut inner = set.enter(SEQUENCE)?;
    let kind = inner.content(OID)?;
    let (tag, value, _) = inner.any()?;
    inner.is_empty().then_some(Attribute { kind, tag, value })
}

/// Whether `name` begins with all of `base`, set by set; `None` when that cannot be decided.
pub(super) fn is_within(name: &[u8], base: &[u8]) -> Option<bool> {
    let mut sets = Reader::new(name).enter(SEQUENCE)?;
    let mut bases = Reader::new(base).enter(SEQUENCE)?;
    while !bases.is_empty() {
        let base = bases.content(SET)?;
        if sets.is_empty() {
            return Some(false);
        }
        if !is_same_set(sets.content(SET)?, base)? {
            return Some(false);
        }
    }
    Some(true)
}

/// Both sets have the same attributes, in whatever order.
fn is_same_set(one: &[u8], other: &[u8]) -> Option<bool> {
    let (mut left, mut count) = (Reader::new(one), 0);
    while !left.is_empty() {
        let attribute = attribute(&mut left)?;
        let (mut right, mut found) = (Reader::new(other), false);
        while !right.is_empty() {
            found |= attribute.is(&self::attribute(&mut right)?)?;
        }
        if !found {
            return Some(false);
        }
        count += 1;
    }
    let mut right = Reader::new(other);
    while !right.is_empty() {
        right.any()?;
        count -= 1;
    }
    Some(count == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn name(parts: &[(u8, &str)]) -> Vec<u8> {
        let mut buffer = [0; 200];
        let mut writer = crate::der::Writer::new(&mut buffer);
        let whole = writer.mark();
        for (tag, text) in parts.iter().rev() {
            let mark = writer.mark();
            writer.tlv(*tag, text.as_bytes()).unwrap();
            writer.tlv(OID, COMMON_NAME).unwrap();
            writer.wrap(SEQUENCE, mark).unwrap();
            writer.wrap(SET, mark).unwrap();
        }
        writer.wrap(SEQUENCE, whole).unwrap();
        writer.finish().to_vec()
    }

    #[test]
    fn case_and_spaces_do_not_tell_names_apart() {
        let plain = name(&[(PRINTABLE_STRING, "Acme Devices"), (UTF8_STRING, "a")]);
        for (other, same) in [
            (name(&[(UTF8_STRING, " ACME  devices ")]), Some(true)),
            (name(&[(PRINTABLE_STRING, "Acme")]), Some(false)),
            (name(&[]), Some(true)),
            // Neither yes nor no may be guessed of a string that is not understood.
            (name(&[(0x1e, "Acme Devices")]), None),
        ] {
            assert_eq!(is_within(&plain, &other), same, "{other:?}");
        }
        assert_eq!(is_within(&name(&[]), &plain), Some(false));
        assert_eq!(attributes(&plain).count(), 2);
        assert_eq!(attributes(&[0x30, 2, 0x31, 0]).collect::<Vec<_>>(), [None]);
    }
}
