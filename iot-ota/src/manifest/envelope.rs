//! The envelope: a signed manifest and what travels with it, before anything is believed (§8.2).

use iot_core::codec::{self, CodecError};
use iot_core::cose::Tagged;
use minicbor::Decoder;
use minicbor::data::{Tag, Type};

const ENVELOPE_TAG: Tag = Tag::new(107);
const AUTHENTICATION: i64 = 2;
const MANIFEST: i64 = 3;

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

    /// The key in the manifest and in the envelope.
    #[must_use]
    pub const fn key(self) -> i64 {
        match self {
            Self::CoSwid => 14,
            Self::DependencyResolution => 15,
            Self::PayloadFetch => 16,
            Self::CandidateVerification => 18,
            Self::Install => 20,
            Self::Text => 23,
        }
    }

    pub(super) fn of_key(key: i64) -> Option<Self> {
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
        key: i64,
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
    pub fn decode(input: &'a [u8], tagged: Tagged, limits: Limits) -> Result<Self, EnvelopeError> {
        codec::check(input, limits.codec)?;
        let mut decoder = Decoder::new(input);
        let found = match decoder.datatype() {
            Ok(Type::Tag) => decoder.tag().ok(),
            _ => None,
        };
        if found != (tagged == Tagged::Required).then_some(ENVELOPE_TAG) {
            return Err(EnvelopeError::Tag);
        }
        let map = input.get(decoder.position()..).unwrap_or(&[]);
        let (mut authentication, mut manifest) = (None, None);
        for entry in Entries::of(map).ok_or(EnvelopeError::Structure)? {
            let entry = entry.ok_or(EnvelopeError::Structure)?;
            match entry.key {
                Key::Number(AUTHENTICATION) => authentication = Some(entry.content),
                Key::Number(MANIFEST) => manifest = Some(entry.whole),
                Key::Number(key) if Element::of_key(key).is_none() => {
                    return Err(EnvelopeError::Unknown { key });
                }
                Key::Number(_) | Key::Name(_) => {}
            }
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
        let entries = Entries::of(self.map).into_iter().flatten().flatten();
        entries.filter_map(|entry| match entry.key {
            Key::Number(key) => Some((Element::of_key(key)?, entry.whole)),
            Key::Name(_) => None,
        })
    }

    /// A payload that travels in the envelope under a name such as `#firmware`.
    pub(super) fn integrated(&self, name: &str) -> Option<&'a [u8]> {
        let entries = Entries::of(self.map).into_iter().flatten().flatten();
        let mut found = entries.filter(|entry| entry.key == Key::Name(name));
        found.next().map(|entry| entry.content)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key<'a> {
    Number(i64),
    Name(&'a str),
}

struct Entry<'a> {
    key: Key<'a>,
    whole: &'a [u8],
    content: &'a [u8],
}

/// Goes through a map of byte strings; `None` for an entry of another kind.
struct Entries<'a> {
    decoder: Decoder<'a>,
    left: u64,
}

impl<'a> Entries<'a> {
    fn of(map: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(map);
        let left = decoder.map().ok()??;
        Some(Self { decoder, left })
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let key = match self.decoder.datatype().ok()? {
            Type::String => Key::Name(self.decoder.str().ok()?),
            _ => Key::Number(self.decoder.i64().ok()?),
        };
        let start = self.decoder.position();
        let content = self.decoder.bytes().ok()?;
        let whole = self.decoder.input().get(start..self.decoder.position())?;
        Some(Entry {
            key,
            whole,
            content,
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_none() {
            self.left = 0;
        }
        Some(entry)
    }
}
