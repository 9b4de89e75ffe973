//! Alternative names (RFC 5280 §4.2.1.6).

use super::certificate::is_name;
use super::defect::Defect;
use super::directory;
use super::encoding::OID;
use super::limits::MAX_NAMES;
use crate::der::Reader;

/// One name, by its form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cert) enum GeneralName<'a> {
    Email(&'a str),
    Dns(&'a str),
    /// A whole `Name`.
    Directory(&'a [u8]),
    Uri(&'a str),
    Address(&'a [u8]),
    /// A form that is not looked into, by its tag.
    Other(u8),
}

impl<'a> GeneralName<'a> {
    /// Reads the form only: what a name may look like depends on where it stands.
    pub(in crate::cert) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (tag, content, _) = reader.any()?;
        let text = || {
            let text = core::str::from_utf8(content).ok()?;
            text.is_ascii().then_some(text)
        };
        Some(match tag {
            0x81 => Self::Email(text()?),
            0x82 => Self::Dns(text()?),
            0xa4 => Self::Directory(is_name(content).then_some(content)?),
            0x86 => Self::Uri(text()?),
            0x87 => Self::Address(content),
            0xa0 => {
                Reader::new(content).content(OID)?;
                Self::Other(tag)
            }
            0xa3 | 0xa5 | 0x88 => Self::Other(tag),
            _ => return None,
        })
    }

    /// Whether it names something, and not a set of things.
    fn is_legal(self) -> bool {
        match self {
            Self::Email(text) => is_mailbox(text),
            // A wildcard directly below a top-level domain would name every domain that is registered there.
            Self::Dns(text) => match text.strip_prefix("*.") {
                Some(rest) => is_host(rest) && rest.contains('.'),
                None => is_host(text),
            },
            Self::Directory(name) => directory::attributes(name).next().is_some(),
            // "The name MUST NOT be a relative URI"; a scheme and something behind it.
            Self::Uri(text) => text.split_once(':').is_some_and(|(scheme, rest)| {
                let mut letters = scheme.bytes();
                !rest.is_empty()
                    && letters
                        .next()
                        .is_some_and(|first| first.is_ascii_alphabetic())
                    && letters.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            }),
            Self::Address(bytes) => matches!(bytes.len(), 4 | 16),
            Self::Other(_) => true,
        }
    }
}

/// All names of a sequence's content; `None` for one that cannot be read, which is the last.
pub(in crate::cert) fn all(names: &[u8]) -> impl Iterator<Item = Option<GeneralName<'_>>> {
    let mut reader = Reader::new(names);
    let mut failed = false;
    core::iter::from_fn(move || {
        if failed || reader.is_empty() {
            return None;
        }
        let name = GeneralName::read(&mut reader);
        failed = name.is_none();
        Some(name)
    })
}

/// Whether a sequence's content is at least one name, and each is legal.
pub(in crate::cert) fn check(names: &[u8]) -> Result<(), Defect> {
    let mut count = 0;
    for name in all(names) {
        if !name.is_some_and(GeneralName::is_legal) {
            return Err(Defect::AlternativeName);
        }
        count += 1;
        if count > MAX_NAMES {
            return Err(Defect::TooLarge);
        }
    }
    if count == 0 {
        return Err(Defect::AlternativeName);
    }
    Ok(())
}

/// The "preferred name syntax" (RFC 1034 §3.5), with `_` as it is in use; an address in digits is no host.
pub(in crate::cert) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(label) && !text.rsplit('.').next().is_none_or(numeric)
}

/// `local@host`; quoted local parts are not in use.
pub(in crate::cert) fn is_mailbox(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        let printable = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte);
        (1..=64).contains(&local.len()) && local.bytes().all(printable) && is_host(host)
    })
}
