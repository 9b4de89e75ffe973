//! The envelope: a signed manifest and what travels with it, before anything is believed (§8.2).

use iot_core::codec::{self, CodecError, FlatReader};
use iot_core::cose::Tagged;

const ENVELOPE_TAG: u64 = 107;
const AUTHENTICATION: i32 = 2;
const MANIFEST: i32 = 3;

/// How much of an envelope is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Limits {
    /// Of the envelope and of each structure within it.
    pub codec: codec::Limits,
    /// The most components a manifest may name.
    pub components: usize,
    /// The most commands a sequence may have.
    pub commands: usize,
}

impl Default for Limits {
    /// 64 KiB, 8 levels, 512 items; 16 components, 64 commands.
    fn default() -> Self {
        Self {
            codec: codec::Limits::new(65_536, 8, 512),
            components: 16,
            commands: 64,
        }
    }
}

/// A part of a manifest that may travel in the envelope instead, or be left out (§5.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Element {
    /// Software identifiers (CoSWID).
    CoSwid,
    /// How dependencies are found.
    DependencyResolution,
    /// How the payload is obtained.
    PayloadFetch,
    /// How candidates are judged before they are installed.
    CandidateVerification,
    /// How the payload is installed.
    Install,
    /// Text for people.
    Text,
}

impl Element {
    /// Every severable element, by rising key.
    pub const ALL: [Self; 6] = [
        Self::CoSwid,
        Self::DependencyResolution,
        Self::PayloadFetch,
        Self::CandidateVerification,
        Self::Install,
        Self::Text,
    ];

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The key in the manifest and in the envelope.
    #[must_use]
    pub const fn key(self) -> i32 {
        match self {
            Self::CoSwid => 14,
            Self::DependencyResolution => 15,
            Self::PayloadFetch => 16,
            Self::CandidateVerification => 18,
            Self::Install => 20,
            Self::Text => 23,
        }
    }

    pub(super) fn of_key(key: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.key() == key)
    }
}

/// Why bytes are no envelope. Nothing in them was believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not deterministic CBOR, or beyond the limits.
    #[error("not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// The tag 107 is missing, or present where it must not be.
    #[error("the envelope's tag 107 is missing, or not expected here")]
    Tag,
    /// Not a map of byte strings.
    #[error("not an envelope: a map of byte strings is expected")]
    Structure,
    /// An element with a reserved or unknown key.
    #[error("the envelope has an element with the unknown key {key}")]
    Unknown {
        /// Its key.
        key: i32,
    },
    /// There is no manifest in it.
    #[error("the envelope holds no manifest")]
    NoManifest,
    /// There is no signature in it.
    #[error("the envelope is not signed")]
    NotSigned,
}

/// An envelope whose signature nobody has checked yet; see [`verify`](Self::verify).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SignedManifest<'a> {
    // The map, without the tag.
    map: &'a [u8],
    // The content of the wrapper: [digest, *COSE].
    pub(super) authentication: &'a [u8],
    // The byte string with its head: that is what is hashed.
    pub(super) manifest: &'a [u8],
    pub(super) limits: Limits,
}

impl<'a> SignedManifest<'a> {
    /// Finds the parts of an envelope without looking into them.
    ///
    /// Devices ask for the tag 107; TEEP carries envelopes without it.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] with the first thing that is wrong.
    #[inline(never)]
    pub fn decode(input: &'a [u8], tagged: Tagged, limits: Limits) -> Result<Self, EnvelopeError> {
        codec::check(input, limits.codec)?;
        let mut reader = FlatReader::new(input);
        let is_tagged = reader.peek() == Some(6);
        if is_tagged != (tagged == Tagged::Required) || is_tagged && reader.tag() != ENVELOPE_TAG {
            return Err(EnvelopeError::Tag);
        }
        let map = reader.rest().unwrap_or(&[]);
        let (mut authentication, mut manifest) = (None, None);
        let mut entries = Entries::of(map);
        for entry in entries.by_ref() {
            match entry.key {
                Key::Number(AUTHENTICATION) => authentication = Some(entry.content),
                Key::Number(MANIFEST) => manifest = Some(entry.whole),
                Key::Number(key) if Element::of_key(key).is_none() => {
                    return Err(EnvelopeError::Unknown { key });
                }
                Key::Number(_) | Key::Name(_) => {}
            }
        }
        if !entries.reader.is_empty() {
            return Err(EnvelopeError::Structure);
        }
        Ok(Self {
            map,
            authentication: authentication.ok_or(EnvelopeError::NotSigned)?,
            manifest: manifest.ok_or(EnvelopeError::NoManifest)?,
            limits,
        })
    }

    /// The elements that travel beside the manifest, each a byte string with its head.
    pub(super) fn elements(&self) -> impl Iterator<Item = (Element, &'a [u8])> {
        let entries = Entries::of(self.map);
        entries.filter_map(|entry| match entry.key {
            Key::Number(key) => Some((Element::of_key(key)?, entry.whole)),
            Key::Name(_) => None,
        })
    }

    /// The payloads that travel in the envelope.
    pub(super) fn payloads(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let entries = Entries::of(self.map);
        entries.filter_map(|entry| match entry.key {
            Key::Name(name) => Some((name, entry.content)),
            Key::Number(_) => None,
        })
    }

    /// A payload that travels in the envelope under a name such as `#firmware`.
    pub(super) fn integrated(&self, name: &str) -> Option<&'a [u8]> {
        self.entry(Key::Name(name)).map(|entry| entry.content)
    }

    /// The element of that key, as a byte string with its head.
    pub(super) fn element(&self, key: i32) -> Option<&'a [u8]> {
        self.entry(Key::Number(key)).map(|entry| entry.whole)
    }

    #[inline(never)]
    fn entry(&self, key: Key<'_>) -> Option<Entry<'a>> {
        Entries::of(self.map).find(|entry| entry.key == key)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key<'a> {
    Number(i32),
    Name(&'a str),
}

struct Entry<'a> {
    key: Key<'a>,
    whole: &'a [u8],
    content: &'a [u8],
}

/// Goes through a map of byte strings, to its end only where it is one.
struct Entries<'a> {
    reader: FlatReader<'a>,
    left: u32,
}

impl<'a> Entries<'a> {
    fn of(map: &'a [u8]) -> Self {
        let mut reader = FlatReader::new(map);
        let left = reader.map_len();
        Self { reader, left }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = match self.reader.peek() {
            Some(3) => Key::Name(self.reader.text()),
            _ => Key::Number(self.reader.i32()),
        };
        let start = self.reader.rest()?;
        let content = self.reader.bytes();
        let left = self.reader.rest()?;
        Some(Entry {
            key,
            whole: start.get(..start.len() - left.len())?,
            content,
        })
    }
}
