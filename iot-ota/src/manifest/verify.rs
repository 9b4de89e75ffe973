//! From a signed manifest to a trusted one.

use iot_core::codec::{self, CodecError};
use iot_core::cose::{Header, Mac0, Sign1, Tagged};
use iot_core::crypto::{Digest, Mac, Verifier};
use minicbor::Decoder;
use minicbor::data::Type;

use super::command::Sequence;
use super::envelope::{Element, SignedManifest};
use super::parameter::ComponentId;
use crate::image::digests_equal;

const SIGN1: u64 = 18;
const MAC0: u64 = 17;
const SIGN: u64 = 98;
const MAC: u64 = 97;

/// The keys a device accepts manifests from.
///
/// The header is not verified yet: its key id is a hint which key to try.
pub trait ManifestKeys {
    /// The key to check a signature with; `None` when none fits.
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier>;

    /// The key to check a message authentication code with; `None` when none fits.
    fn mac(&self, header: &Header<'_>) -> Option<&dyn Mac> {
        let _ = header;
        None
    }
}

impl<K: ManifestKeys + ?Sized> ManifestKeys for &K {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        (**self).verifier(header)
    }
    fn mac(&self, header: &Header<'_>) -> Option<&dyn Mac> {
        (**self).mac(header)
    }
}

/// The one key whose signatures are accepted, whatever key id a manifest names.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey<V>(V);

impl<V: Verifier> SigningKey<V> {
    /// Accepts signatures of `key`.
    pub const fn new(key: V) -> Self {
        Self(key)
    }
}

impl<V: Verifier> ManifestKeys for SigningKey<V> {
    fn verifier(&self, _: &Header<'_>) -> Option<&dyn Verifier> {
        Some(&self.0)
    }
}

/// The one secret whose message authentication codes are accepted.
#[derive(Clone, Copy, Debug)]
pub struct SharedSecret<M>(M);

impl<M: Mac> SharedSecret<M> {
    /// Accepts codes of `key`.
    pub const fn new(key: M) -> Self {
        Self(key)
    }
}

impl<M: Mac> ManifestKeys for SharedSecret<M> {
    fn verifier(&self, _: &Header<'_>) -> Option<&dyn Verifier> {
        None
    }
    fn mac(&self, _: &Header<'_>) -> Option<&dyn Mac> {
        Some(&self.0)
    }
}

/// Several keys, each accepted under its key id only.
#[derive(Clone, Copy, Debug)]
pub struct KeyList<'k, V>(&'k [(&'k [u8], V)]);

impl<'k, V: Verifier> KeyList<'k, V> {
    /// Accepts signatures of `keys`, pairs of key id and key.
    #[must_use]
    pub const fn new(keys: &'k [(&'k [u8], V)]) -> Self {
        Self(keys)
    }
}

impl<V: Verifier> ManifestKeys for KeyList<'_, V> {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        let wanted = header.key_id?;
        let found = self.0.iter().find(|(id, _)| *id == wanted);
        found.map(|(_, key)| key as &dyn Verifier)
    }
}

/// Why a manifest was refused; it says nothing about why a signature does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VerifyError {
    /// No signature or code in the envelope is one of the accepted keys'.
    #[error("the manifest is not authenticated by an accepted key")]
    Unauthenticated,
    /// Only forms of COSE with several signers or recipients.
    #[error("COSE_Sign and COSE_Mac are not supported: use COSE_Sign1 or COSE_Mac0")]
    UnsupportedCose,
    /// The manifest is not the one that was signed.
    #[error("the manifest is not the one that was signed")]
    Digest,
    /// Not deterministic CBOR, or beyond the limits.
    #[error("the manifest is not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Not a manifest.
    #[error("the manifest's structure is not that of a manifest")]
    Structure,
    /// Another version of the format.
    #[error("manifest version {version} is not supported: only 1 is")]
    Version {
        /// Which one.
        version: u64,
    },
    /// It is older than what is installed.
    #[error("the sequence number {found} is lower than the current {current}")]
    TooOld {
        /// The manifest's.
        found: u64,
        /// The device's.
        current: u64,
    },
    /// A part of the manifest with an unknown key.
    #[error("the manifest has a part with the unknown key {key}")]
    Unknown {
        /// Its key.
        key: i64,
    },
    /// More components than allowed.
    #[error("more than the limit of {limit} components")]
    TooManyComponents {
        /// How many are allowed.
        limit: usize,
    },
    /// A severed part is not the one that was signed.
    #[error("the severed part {element:?} is not the one that was signed")]
    Severed {
        /// Which one.
        element: Element,
    },
}

/// A manifest whose signature holds; everything in it was decided by the signer.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    envelope: SignedManifest<'a>,
    sequence: u64,
    // The encoded array of component identifiers.
    components: &'a [u8],
    shared: Option<&'a [u8]>,
    has_dependencies: bool,
    // The key of the first part that no plan follows.
    unfollowed: Option<i64>,
    sections: Sections<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sections<'a> {
    validate: Option<&'a [u8]>,
    load: Option<&'a [u8]>,
    invoke: Option<&'a [u8]>,
    uninstall: Option<&'a [u8]>,
    severable: [Section<'a>; Element::ALL.len()],
}

/// Where a severable part of the manifest is.
#[derive(Clone, Copy, Debug, Default)]
enum Section<'a> {
    #[default]
    Absent,
    Inline(&'a [u8]),
    // Signed for by digest; its content is in the envelope and has that digest.
    Beside(&'a [u8]),
    // Signed for by digest, and not in the envelope.
    Severed,
}

impl<'a> SignedManifest<'a> {
    /// Checks signature, digest, version and sequence number, in this order, and reads the manifest.
    ///
    /// One accepted signature or code is enough. `current` is the sequence number of what is installed: a
    /// lower one is refused, the same one is not, so that an update can be applied again.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; nothing of the manifest may be used.
    pub fn verify(
        self,
        keys: &(impl ManifestKeys + ?Sized),
        digest: &mut (impl Digest + ?Sized),
        current: u64,
    ) -> Result<Manifest<'a>, VerifyError> {
        codec::check(self.authentication, self.limits.codec)?;
        let mut wrapper = Decoder::new(self.authentication);
        let items = wrapper.array().ok().flatten().unwrap_or(0);
        let signed = wrapper.bytes().map_err(|_| VerifyError::Structure)?;
        authenticate(&mut wrapper, items.saturating_sub(1), signed, keys)?;

        // Only now is the digest worth reading, and only after it the manifest.
        codec::check(signed, self.limits.codec)?;
        let expected = super::digest(&mut Decoder::new(signed)).ok_or(VerifyError::Digest)?;
        digest.update(self.manifest);
        if !digests_equal(&digest.finish(), &expected) {
            return Err(VerifyError::Digest);
        }
        let content = Decoder::new(self.manifest)
            .bytes()
            .map_err(|_| VerifyError::Structure)?;
        self.read(content, digest, current)
    }

    /// Reads a manifest that was authenticated.
    fn read(
        self,
        content: &'a [u8],
        digest: &mut (impl Digest + ?Sized),
        current: u64,
    ) -> Result<Manifest<'a>, VerifyError> {
        codec::check(content, self.limits.codec)?;
        let mut decoder = Decoder::new(content);
        let mut manifest = Manifest {
            envelope: self,
            sequence: 0,
            components: &[],
            shared: None,
            has_dependencies: false,
            unfollowed: None,
            sections: Sections::default(),
        };
        let (mut version, mut sequence, mut common) = (None, None, false);
        let entries = decoder.map().ok().flatten();
        for _ in 0..entries.ok_or(VerifyError::Structure)? {
            let key = decoder.i64().map_err(|_| VerifyError::Structure)?;
            let mut value = decoder.clone();
            decoder.skip().map_err(|_| VerifyError::Structure)?;
            if matches!(key, 5 | 6 | 24) {
                manifest.unfollowed.get_or_insert(key);
            }
            match key {
                1 => version = value.u64().ok(),
                2 => sequence = value.u64().ok(),
                3 => common = manifest.read_common(bytes(&mut value)?)?,
                4 => {
                    value.str().map_err(|_| VerifyError::Structure)?;
                }
                5 => {
                    ComponentId::decode(&mut value).ok_or(VerifyError::Structure)?;
                }
                6 => {}
                7 => manifest.sections.validate = Some(bytes(&mut value)?),
                8 => manifest.sections.load = Some(bytes(&mut value)?),
                9 => manifest.sections.invoke = Some(bytes(&mut value)?),
                24 => manifest.sections.uninstall = Some(bytes(&mut value)?),
                key => {
                    let element = Element::of_key(key).ok_or(VerifyError::Unknown { key })?;
                    manifest.read_severable(element, value, digest)?;
                }
            }
            // The keys are in rising order, so both are known before anything else is read (§6.1).
            match (key, version, sequence) {
                (1, Some(1), _) => {}
                (1, Some(version), _) => return Err(VerifyError::Version { version }),
                (2, Some(1), Some(found)) if found < current => {
                    return Err(VerifyError::TooOld { found, current });
                }
                (_, Some(1), Some(_)) => {}
                _ => return Err(VerifyError::Structure),
            }
        }
        manifest.sequence = sequence.ok_or(VerifyError::Structure)?;
        if !common {
            return Err(VerifyError::Structure);
        }
        manifest.refuse_unsigned_elements()?;
        Ok(manifest)
    }
}

impl<'a> Manifest<'a> {
    /// Its sequence number, which rises with every release.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What it installs.
    pub fn components(&self) -> impl Iterator<Item = ComponentId<'a>> + use<'a> {
        let mut decoder = Decoder::new(self.components);
        let count = decoder.array().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| ComponentId::decode(&mut decoder))
    }

    /// Whether it depends on other manifests.
    #[must_use]
    pub const fn has_dependencies(&self) -> bool {
        self.has_dependencies
    }

    /// The commands that run before each other sequence.
    #[must_use]
    pub fn shared(&self) -> Option<Sequence<'a>> {
        self.shared.map(|bytes| self.sequence_of(bytes))
    }

    /// The commands that check what is installed.
    #[must_use]
    pub fn validate(&self) -> Option<Sequence<'a>> {
        self.sections.validate.map(|bytes| self.sequence_of(bytes))
    }

    /// The commands that bring what is installed to where it runs.
    #[must_use]
    pub fn load(&self) -> Option<Sequence<'a>> {
        self.sections.load.map(|bytes| self.sequence_of(bytes))
    }

    /// The commands that start what is installed.
    #[must_use]
    pub fn invoke(&self) -> Option<Sequence<'a>> {
        self.sections.invoke.map(|bytes| self.sequence_of(bytes))
    }

    /// The commands that take away what is installed.
    #[must_use]
    pub fn uninstall(&self) -> Option<Sequence<'a>> {
        self.sections.uninstall.map(|bytes| self.sequence_of(bytes))
    }

    /// The commands of a severable part; `None` when there are none here, or it is not a sequence of commands.
    #[must_use]
    pub fn section(&self, element: Element) -> Option<Sequence<'a>> {
        match self.place(element) {
            _ if matches!(element, Element::Text | Element::CoSwid) => None,
            Section::Inline(bytes) | Section::Beside(bytes) => Some(self.sequence_of(bytes)),
            Section::Absent | Section::Severed => None,
        }
    }

    /// Whether a part was signed for and then left out.
    #[must_use]
    pub fn is_severed(&self, element: Element) -> bool {
        matches!(self.place(element), Section::Severed)
    }

    /// A payload that travels in the envelope under a name such as `#firmware`. It is **not** covered by the
    /// signature: what counts is its digest, as for a payload from anywhere else.
    #[must_use]
    pub fn integrated_payload(&self, name: &str) -> Option<&'a [u8]> {
        self.envelope.integrated(name)
    }

    pub(super) const fn unfollowed(&self) -> Option<i64> {
        self.unfollowed
    }

    const fn sequence_of(&self, bytes: &'a [u8]) -> Sequence<'a> {
        Sequence::new(bytes, self.envelope.limits)
    }

    fn place(&self, element: Element) -> Section<'a> {
        let sections = Element::ALL.into_iter().zip(self.sections.severable);
        sections
            .filter(|(candidate, _)| *candidate == element)
            .fold(Section::Absent, |_, (_, section)| section)
    }

    fn read_common(&mut self, common: &'a [u8]) -> Result<bool, VerifyError> {
        let limits = self.envelope.limits;
        codec::check(common, limits.codec)?;
        let mut decoder = Decoder::new(common);
        let entries = decoder.map().ok().flatten();
        for _ in 0..entries.ok_or(VerifyError::Structure)? {
            let key = decoder.i64().map_err(|_| VerifyError::Structure)?;
            let start = decoder.position();
            let mut value = decoder.clone();
            decoder.skip().map_err(|_| VerifyError::Structure)?;
            match key {
                1 => self.has_dependencies = true,
                2 => {
                    let raw = common.get(start..decoder.position());
                    self.components = raw.ok_or(VerifyError::Structure)?;
                    let count = value.array().ok().flatten();
                    let count = count.ok_or(VerifyError::Structure)?;
                    if count > limits.components as u64 {
                        let limit = limits.components;
                        return Err(VerifyError::TooManyComponents { limit });
                    }
                    for _ in 0..count {
                        ComponentId::decode(&mut value).ok_or(VerifyError::Structure)?;
                    }
                }
                4 => self.shared = Some(bytes(&mut value)?),
                key => return Err(VerifyError::Unknown { key }),
            }
        }
        Ok(true)
    }

    fn read_severable(
        &mut self,
        element: Element,
        mut value: Decoder<'a>,
        digest: &mut (impl Digest + ?Sized),
    ) -> Result<(), VerifyError> {
        let section = if value.datatype().ok() == Some(Type::Array) {
            let expected = super::digest(&mut value).ok_or(VerifyError::Structure)?;
            match self
                .envelope
                .elements()
                .find(|(found, _)| *found == element)
            {
                None => Section::Severed,
                Some((_, whole)) => {
                    digest.update(whole);
                    if !digests_equal(&digest.finish(), &expected) {
                        return Err(VerifyError::Severed { element });
                    }
                    Section::Beside(bytes(&mut Decoder::new(whole))?)
                }
            }
        } else {
            Section::Inline(bytes(&mut value)?)
        };
        let places = Element::ALL.into_iter().zip(&mut self.sections.severable);
        for (candidate, place) in places {
            if candidate == element {
                *place = section;
            }
        }
        Ok(())
    }

    /// Whatever travels beside the manifest must be what the manifest names by digest.
    fn refuse_unsigned_elements(&self) -> Result<(), VerifyError> {
        for (element, _) in self.envelope.elements() {
            if !matches!(self.place(element), Section::Beside(_)) {
                return Err(VerifyError::Severed { element });
            }
        }
        Ok(())
    }
}

fn bytes<'a>(decoder: &mut Decoder<'a>) -> Result<&'a [u8], VerifyError> {
    decoder.bytes().map_err(|_| VerifyError::Structure)
}

fn authenticate<'a>(
    wrapper: &mut Decoder<'a>,
    blocks: u64,
    signed: &'a [u8],
    keys: &(impl ManifestKeys + ?Sized),
) -> Result<(), VerifyError> {
    let mut unsupported = false;
    for _ in 0..blocks {
        let block = bytes(wrapper)?;
        let tag = Decoder::new(block).tag().map(|tag| tag.as_u64());
        let verified = match tag {
            Ok(SIGN1) => verify_sign1(block, signed, keys),
            Ok(MAC0) => verify_mac0(block, signed, keys),
            Ok(SIGN | MAC) => {
                unsupported = true;
                false
            }
            _ => false,
        };
        if verified {
            return Ok(());
        }
    }
    Err(if unsupported {
        VerifyError::UnsupportedCose
    } else {
        VerifyError::Unauthenticated
    })
}

fn verify_sign1(block: &[u8], signed: &[u8], keys: &(impl ManifestKeys + ?Sized)) -> bool {
    let Ok(message) = Sign1::decode(block, Tagged::Required) else {
        return false;
    };
    let key = keys.verifier(message.header());
    key.is_some_and(|key| message.verify(Some(signed), &[], key).is_ok())
}

fn verify_mac0(block: &[u8], signed: &[u8], keys: &(impl ManifestKeys + ?Sized)) -> bool {
    let Ok(message) = Mac0::decode(block, Tagged::Required) else {
        return false;
    };
    let key = keys.mac(message.header());
    key.is_some_and(|key| message.verify(Some(signed), &[], key).is_ok())
}

#[cfg(test)]
mod tests;
