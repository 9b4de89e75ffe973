//! A manifest in the making.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::crypto::Digest;

use super::super::content::{COUNTER, INVOKE, LOAD, Manifest, UNINSTALL, VALIDATE};
use super::super::envelope::Element;
use super::cbor;
use super::commands::CommandList;
use super::envelope::Envelope;
use super::text::Text;

/// Writes a manifest part by part; the [templates](Self::compatibility_check) of the draft's section 7 write several
/// parts at once.
///
/// The same calls always give the same bytes.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_mul(31) ^ *b } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// use iot_core::cose::Tagged;
/// use iot_core::sim::ToyKey;
/// use iot_ota::manifest::{Author, Element, Image, Limits, SignedManifest, SigningKey};
///
/// let image = Image::new([3; 32], 4_096);
/// let mut envelope = Author::new(7, &[&[b"firmware"]])
///     .compatibility_check(0, [1; 16], [2; 16], Some(&image))
///     .fetch_and_install(0, "iot:firmware")
///     .trusted_invocation(0)
///     .severing(Element::Install)
///     .build(&mut Sum::default());
/// envelope.sign(&ToyKey::new(1), None)?;
///
/// let bytes = envelope.encode();
/// let received = SignedManifest::decode(&bytes, Tagged::Required, Limits::default())?;
/// let manifest = received.verify(&SigningKey::new(ToyKey::new(1)), &mut Sum::default(), 7)?;
/// assert!(manifest.section(Element::Install).is_some());
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Author {
    sequence: u64,
    // Finished identifiers.
    pub(super) components: Vec<Vec<u8>>,
    dependencies: BTreeMap<u64, Option<Vec<u8>>>,
    pub(super) shared: CommandList,
    has_shared: bool,
    sections: BTreeMap<i32, CommandList>,
    // Finished values of other parts.
    others: BTreeMap<i32, Vec<u8>>,
    severed: BTreeSet<i32>,
    payloads: BTreeMap<String, Vec<u8>>,
}

impl Author {
    /// A manifest of that sequence number for these components, each a path.
    #[must_use]
    pub fn new(sequence: u64, components: &[&[&[u8]]]) -> Self {
        Self {
            sequence,
            components: components.iter().map(|id| cbor::path(id)).collect(),
            ..Self::default()
        }
    }

    /// Depends on the manifest that is kept at `place`, which commands know by `index` (trust domains).
    #[must_use]
    pub fn depending_on(mut self, index: u64, place: &[&[u8]]) -> Self {
        self.dependencies.insert(index, Some(cbor::path(place)));
        self
    }

    /// Appends to the commands that run before each section.
    #[must_use]
    pub fn shared(mut self, commands: CommandList) -> Self {
        self.shared = self.shared.then(commands);
        self.has_shared = true;
        self
    }

    /// Appends to a severable section of commands.
    #[must_use]
    pub fn section(self, element: Element, commands: CommandList) -> Self {
        self.append(element.key(), commands)
    }

    /// Appends to the commands that check what is installed.
    #[must_use]
    pub fn validate(self, commands: CommandList) -> Self {
        self.append(VALIDATE, commands)
    }

    /// Appends to the commands that bring what is installed to where it runs.
    #[must_use]
    pub fn load(self, commands: CommandList) -> Self {
        self.append(LOAD, commands)
    }

    /// Appends to the commands that start what is installed.
    #[must_use]
    pub fn invoke(self, commands: CommandList) -> Self {
        self.append(INVOKE, commands)
    }

    /// Appends to the commands that take away what is installed.
    #[must_use]
    pub fn uninstall(self, commands: CommandList) -> Self {
        self.append(UNINSTALL, commands)
    }

    /// Says where people find more.
    #[must_use]
    pub fn reference_uri(self, uri: &str) -> Self {
        self.other(4, cbor::text(uri))
    }

    /// Says where the manifest itself is kept (trust domains).
    #[must_use]
    pub fn component_id(self, place: &[&[u8]]) -> Self {
        self.other(5, cbor::path(place))
    }

    /// Says which version it installs, such as `[1, 2, -1]` for a release candidate of 1.2 (update management).
    #[must_use]
    pub fn version(self, numbers: &[i64]) -> Self {
        let numbers: Vec<_> = numbers.iter().map(|number| cbor::int(*number)).collect();
        self.other(6, cbor::bytes(&cbor::array(&numbers)))
    }

    /// Sets the security counter, below which devices that have it will not go back.
    #[must_use]
    pub fn security_counter(self, counter: u64) -> Self {
        self.other(COUNTER, cbor::uint(counter))
    }

    /// Adds text for people.
    #[must_use]
    pub fn text(self, text: &Text) -> Self {
        self.other(Element::Text.key(), cbor::bytes(&text.encode()))
    }

    /// Adds a CoSWID (RFC 9393), which is passed on as it is.
    #[must_use]
    pub fn coswid(self, coswid: &[u8]) -> Self {
        self.other(Element::CoSwid.key(), cbor::bytes(coswid))
    }

    /// Leaves only the digest of a part in the manifest; the part itself travels in the envelope, and can be cut off.
    #[must_use]
    pub fn severing(mut self, element: Element) -> Self {
        self.severed.insert(element.key());
        self
    }

    /// Puts a payload into the envelope, under a name that begins with `#`.
    #[must_use]
    pub fn payload(mut self, name: &str, bytes: &[u8]) -> Self {
        self.payloads.insert(name.into(), bytes.to_vec());
        self
    }

    /// Writes everything down and hashes it; to be signed.
    #[must_use]
    pub fn build(&self, digest: &mut (impl Digest + ?Sized)) -> Envelope {
        let mut parts = self.others.clone();
        for (key, commands) in &self.sections {
            parts.insert(*key, commands.wrapped());
        }
        parts.insert(1, cbor::uint(1));
        parts.insert(2, cbor::uint(self.sequence));
        parts.insert(3, cbor::bytes(&self.common()));
        let mut beside = BTreeMap::new();
        for key in &self.severed {
            if let Some(value) = parts.get_mut(key) {
                digest.update(value);
                let hashed = cbor::suit_digest(&digest.finish());
                beside.insert(*key, core::mem::replace(value, hashed));
            }
        }
        let parts = parts
            .into_iter()
            .map(|(key, value)| (cbor::int(key.into()), value));
        Envelope::new(&cbor::map(parts), beside, self.payloads.clone(), digest)
    }

    /// Takes a manifest apart again, as far as its envelope has its parts; `None` when a sequence cannot be read.
    ///
    /// Built again it is the same manifest, byte for byte, unless a part was cut off.
    #[must_use]
    pub fn of(manifest: &Manifest<'_>) -> Option<Self> {
        let mut author = Self {
            sequence: manifest.sequence(),
            ..Self::default()
        };
        for id in manifest.components() {
            author.components.push(id.as_bytes().to_vec());
        }
        for (index, id) in manifest.dependencies() {
            let place = Some(id.as_bytes().to_vec()).filter(|path| *path != [0x80]);
            author.dependencies.insert(index, place);
        }
        if let Some(shared) = manifest.shared() {
            author = author.shared(CommandList::decode(&shared)?);
        }
        let sections = [7, 8, 9, 15, 16, 18, 20, 24];
        for key in sections.into_iter().chain([4, 5, 6, 14, 23, COUNTER]) {
            let severed = Element::of_key(key).filter(|_| manifest.is_beside(key));
            author.severed.extend(severed.map(Element::key));
            match manifest.commands(key).filter(|_| sections.contains(&key)) {
                Some(commands) => {
                    author.sections.insert(key, CommandList::decode(&commands)?);
                }
                None => {
                    if let Some(value) = manifest.whole(key) {
                        author.others.insert(key, value.to_vec());
                    }
                }
            }
        }
        for (name, payload) in manifest.integrated_payloads() {
            author.payloads.insert(name.into(), payload.to_vec());
        }
        // What cannot be written again as it was is not what its author meant.
        (author.common() == manifest.common_bytes()).then_some(author)
    }

    fn common(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        if !self.dependencies.is_empty() {
            let dependencies = self.dependencies.iter().map(|(index, place)| {
                let place = place.clone().map(|place| (cbor::uint(1), place));
                (cbor::uint(*index), cbor::map(place))
            });
            entries.push((cbor::uint(1), cbor::map(dependencies)));
        }
        entries.push((cbor::uint(2), cbor::array(&self.components)));
        if self.has_shared {
            entries.push((cbor::uint(4), self.shared.wrapped()));
        }
        cbor::map(entries)
    }

    /// Commands about one component, which has to be chosen where there are several.
    pub(super) fn about(&self, index: u64) -> CommandList {
        if self.components.len() + self.dependencies.len() > 1 {
            CommandList::new().choose(index)
        } else {
            CommandList::new()
        }
    }

    fn append(mut self, key: i32, commands: CommandList) -> Self {
        let section = self.sections.entry(key).or_default();
        *section = core::mem::take(section).then(commands);
        self
    }

    fn other(mut self, key: i32, value: Vec<u8>) -> Self {
        self.others.insert(key, value);
        self
    }
}
