//! What a manifest says, once it is trusted.

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

use super::command::Sequence;
use super::envelope::{Element, Limits, SignedManifest};
use super::parameter::ComponentId;

pub(super) const REFERENCE: i32 = 4;
pub(super) const COMPONENT: i32 = 5;
pub(super) const SET_VERSION: i32 = 6;
pub(crate) const VALIDATE: i32 = 7;
pub(crate) const LOAD: i32 = 8;
pub(crate) const INVOKE: i32 = 9;
pub(crate) const UNINSTALL: i32 = 24;
// Ours: keys up from -256 belong to applications.
pub(crate) const COUNTER: i32 = -256;
pub(super) const DEPENDENCIES: i32 = 1;
pub(super) const COMPONENTS: i32 = 2;
pub(crate) const SHARED: i32 = 4;
const PREFIX: i32 = 1;

/// A manifest whose signature holds; everything in it was decided by the signer.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    pub(super) envelope: SignedManifest<'a>,
    // The map, without the byte string around it.
    pub(super) content: &'a [u8],
    pub(super) common: &'a [u8],
    // What is looked for at every step, as it stands in the common part; nothing where it is not there.
    pub(super) components: Option<&'a [u8]>,
    pub(super) dependencies: Option<&'a [u8]>,
    pub(super) digest: &'a Sha256Digest,
    pub(super) sequence: u64,
    pub(super) counter: u64,
    pub(super) roles: u32,
    // Those of them that may go back to a lower sequence number.
    pub(super) below: u32,
    // For each severable part whether the envelope holds it, by the part's bit.
    pub(super) beside: u8,
}

impl<'a> Manifest<'a> {
    /// Its sequence number, which rises with every release.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Its security counter (key -256, ours); 0 where it has none. See [`Floor`](super::Floor).
    #[must_use]
    pub const fn security_counter(&self) -> u64 {
        self.counter
    }

    /// Its own SHA-256, over the manifest as a byte string with its head: what is signed, and how other manifests
    /// and reports name it.
    #[must_use]
    pub const fn digest(&self) -> &'a Sha256Digest {
        self.digest
    }

    /// The roles that its signers fill together, one bit each; see
    /// [`ManifestKeys::granted`](super::ManifestKeys::granted).
    #[must_use]
    pub const fn roles(&self) -> u32 {
        self.roles
    }

    /// Whether one of these roles has signed it that may go back to a lower sequence number.
    pub(crate) const fn may_go_back(&self, roles: u32) -> bool {
        self.below & roles != 0
    }

    /// What it installs.
    pub fn components(&self) -> impl Iterator<Item = ComponentId<'a>> + use<'a> {
        let mut reader = FlatReader::found(self.components);
        let count = reader.array_len();
        (0..count).map(move |_| ComponentId::next(&mut reader))
    }

    /// How many components it names, dependencies not counted.
    #[inline(never)]
    pub(crate) fn component_count(&self) -> u32 {
        FlatReader::found(self.components).array_len()
    }

    #[inline(never)]
    pub(crate) fn component(&self, index: u32) -> Option<ComponentId<'a>> {
        self.components().nth(usize::try_from(index).ok()?)
    }

    #[inline(never)]
    pub(crate) fn dependency(&self, index: u32) -> Option<ComponentId<'a>> {
        let mut dependencies = self.dependencies();
        let found = dependencies.find(|(own, _)| *own == u64::from(index));
        found.map(|(_, id)| id)
    }

    /// The manifests it depends on: the index that commands know each by, and where it is stored.
    ///
    /// The latter is the dependency's prefix (trust domains); without one it is the empty path.
    pub fn dependencies(&self) -> impl Iterator<Item = (u64, ComponentId<'a>)> + use<'a> {
        let mut reader = FlatReader::found(self.dependencies);
        let count = reader.map_len();
        (0..count).map_while(move |_| Some((reader.uint(), prefix(reader.item())?)))
    }

    #[cfg(feature = "author")]
    pub(crate) const fn common_bytes(&self) -> &'a [u8] {
        self.common
    }

    /// Whether it depends on other manifests.
    #[must_use]
    #[inline(never)]
    pub fn has_dependencies(&self) -> bool {
        FlatReader::found(self.dependencies).map_len() > 0
    }

    /// Where people find more about it.
    #[must_use]
    pub fn reference_uri(&self) -> Option<&'a str> {
        self.part(REFERENCE)
            .map(|value| FlatReader::new(value).text())
    }

    /// The component under which the manifest itself is stored (trust domains).
    #[must_use]
    pub fn component_id(&self) -> Option<ComponentId<'a>> {
        ComponentId::decode(&mut FlatReader::new(self.part(COMPONENT)?))
    }

    /// The version of what it installs, as CBOR: an array of integers (update management).
    #[must_use]
    pub fn set_version(&self) -> Option<&'a [u8]> {
        self.part(SET_VERSION)
            .map(|value| FlatReader::new(value).bytes())
    }

    /// Text for people, as CBOR: a map by language (§8.4.4). Nothing in it was looked at.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        self.severable(Element::Text.key())
    }

    /// Software identifiers, as CBOR: a CoSWID (RFC 9393). Nothing in it was looked at.
    #[must_use]
    pub fn coswid(&self) -> Option<&'a [u8]> {
        self.severable(Element::CoSwid.key())
    }

    /// The commands that run before each other sequence.
    #[must_use]
    pub fn shared(&self) -> Option<Sequence<'a>> {
        self.shared_bytes().map(|bytes| self.sequence_of(bytes))
    }

    /// The commands that check what is installed.
    #[must_use]
    pub fn validate(&self) -> Option<Sequence<'a>> {
        self.commands(VALIDATE)
    }

    /// The commands that bring what is installed to where it runs.
    #[must_use]
    pub fn load(&self) -> Option<Sequence<'a>> {
        self.commands(LOAD)
    }

    /// The commands that start what is installed.
    #[must_use]
    pub fn invoke(&self) -> Option<Sequence<'a>> {
        self.commands(INVOKE)
    }

    /// The commands that take away what is installed.
    #[must_use]
    pub fn uninstall(&self) -> Option<Sequence<'a>> {
        self.commands(UNINSTALL)
    }

    /// The commands of a severable part; `None` when there are none here, or it is not a sequence of commands.
    #[must_use]
    pub fn section(&self, element: Element) -> Option<Sequence<'a>> {
        match element {
            Element::Text | Element::CoSwid => None,
            element => self.commands(element.key()),
        }
    }

    /// Whether a part was signed for and then left out.
    #[must_use]
    pub fn is_severed(&self, element: Element) -> bool {
        let named = self.part(element.key()).map(FlatReader::new);
        named.is_some_and(|value| value.peek() == Some(4)) && self.beside & element.bit() == 0
    }

    /// A payload that travels in the envelope under a name such as `#firmware`. It is **not** covered by the
    /// signature: what counts is its digest, as for a payload from anywhere else.
    #[must_use]
    pub fn integrated_payload(&self, name: &str) -> Option<&'a [u8]> {
        self.envelope.integrated(name)
    }

    /// The payloads that travel in the envelope, by name; see [`integrated_payload`](Self::integrated_payload).
    pub fn integrated_payloads(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.envelope.payloads()
    }

    /// Whether a part is in the envelope instead of the manifest.
    #[cfg(feature = "author")]
    pub(super) fn is_beside(&self, key: i32) -> bool {
        Element::of_key(key).is_some_and(|element| self.beside & element.bit() != 0)
    }

    /// A part as it stands, be it here or in the envelope.
    #[cfg(feature = "author")]
    pub(super) fn whole(&self, key: i32) -> Option<&'a [u8]> {
        if self.is_beside(key) {
            self.envelope.element(key)
        } else {
            self.part(key)
        }
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.envelope.limits
    }

    /// The commands of the part of that key, wherever it is.
    pub(super) fn commands(&self, key: i32) -> Option<Sequence<'a>> {
        self.severable(key).map(|bytes| self.sequence_of(bytes))
    }

    /// The value of the manifest's part of that key.
    pub(crate) fn part(&self, key: i32) -> Option<&'a [u8]> {
        find(self.content, key)
    }

    /// The shared sequence as CBOR.
    #[inline(never)]
    pub(crate) fn shared_bytes(&self) -> Option<&'a [u8]> {
        find(self.common, SHARED).map(|value| FlatReader::new(value).bytes())
    }

    /// The content of a part, be it here or in the envelope.
    #[inline(never)]
    pub(crate) fn severable(&self, key: i32) -> Option<&'a [u8]> {
        let mut value = self.part(key)?;
        if FlatReader::new(value).peek() == Some(4) {
            value = self.envelope.element(key)?;
        }
        Some(FlatReader::new(value).bytes())
    }

    const fn sequence_of(&self, bytes: &'a [u8]) -> Sequence<'a> {
        Sequence::new(bytes, self.envelope.limits)
    }
}

/// The value under an integer key of a map that was checked.
#[inline(never)]
pub(crate) fn find(map: &[u8], key: i32) -> Option<&[u8]> {
    let mut reader = FlatReader::new(map);
    for _ in 0..reader.map_len() {
        let found = reader.i32();
        let value = reader.item();
        reader.rest()?;
        if found == key {
            return Some(value);
        }
    }
    None
}

/// Where a dependency is stored, from its metadata; the empty path when they do not say.
#[inline(never)]
pub(super) fn prefix(metadata: &[u8]) -> Option<ComponentId<'_>> {
    const NOWHERE: &[u8] = &[0x80];
    if FlatReader::new(metadata).peek() != Some(5) {
        return None;
    }
    ComponentId::decode(&mut FlatReader::new(
        find(metadata, PREFIX).unwrap_or(NOWHERE),
    ))
}
