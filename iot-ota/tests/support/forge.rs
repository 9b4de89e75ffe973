//! Manifests written by hand, signed with keys that cost nothing.
#![allow(dead_code, reason = "each test file uses a part")]

use iot_core::cose::{Content, Tagged, sign1};
use iot_core::sim::ToyKey;
use iot_ota::manifest::{Floor, Limits, Manifest, ManifestKeys, SignedManifest, VerifyError};
use minicbor::Encoder;
use minicbor::data::Tag;

use crate::keys::{Sha256, sha256};

type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

pub(crate) fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    cbor(|w| w.u64(value)?.ok())
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    cbor(|w| w.i64(value)?.ok())
}

pub(crate) fn truth(value: bool) -> Vec<u8> {
    cbor(|w| w.bool(value)?.ok())
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    cbor(|w| w.str(value)?.ok())
}

pub(crate) fn wrapped(bytes: &[u8]) -> Vec<u8> {
    cbor(|w| w.bytes(bytes)?.ok())
}

/// An array of items that are CBOR already.
pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = cbor(|w| w.array(items.len() as u64)?.ok());
    bytes.extend(items.concat());
    bytes
}

/// A map of entries whose values are CBOR already, in the order of their encoded keys.
pub(crate) fn map(entries: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut entries: Vec<_> = entries
        .iter()
        .map(|(key, value)| (int(*key), value))
        .collect();
    entries.sort();
    let mut bytes = cbor(|w| w.map(entries.len() as u64)?.ok());
    for (key, value) in entries {
        bytes.extend(key);
        bytes.extend(value);
    }
    bytes
}

/// Commands with their arguments.
pub(crate) fn sequence(commands: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<_> = commands
        .iter()
        .flat_map(|(code, argument)| [int(*code), argument.clone()])
        .collect();
    array(&items)
}

pub(crate) fn digest_of(bytes: &[u8]) -> Vec<u8> {
    cbor(|w| w.array(2)?.i8(-16)?.bytes(&sha256(bytes))?.ok())
}

/// A manifest in its parts.
#[derive(Clone, Default)]
pub(crate) struct Forge {
    pub(crate) sequence: u64,
    pub(crate) components: Vec<&'static [u8]>,
    /// The index and the place of each.
    pub(crate) dependencies: Vec<(u64, &'static [u8])>,
    pub(crate) shared: Option<Vec<u8>>,
    /// Further entries of the manifest.
    pub(crate) parts: Vec<(i64, Vec<u8>)>,
    /// What travels in the envelope, by name.
    pub(crate) integrated: Vec<(&'static str, Vec<u8>)>,
}

impl Forge {
    pub(crate) fn of(components: &[&'static [u8]]) -> Self {
        Self {
            sequence: 7,
            components: components.to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn shared(mut self, commands: &[(i64, Vec<u8>)]) -> Self {
        self.shared = Some(sequence(commands));
        self
    }

    /// A section of commands.
    pub(crate) fn section(self, key: i64, commands: &[(i64, Vec<u8>)]) -> Self {
        self.part(key, wrapped(&sequence(commands)))
    }

    pub(crate) fn part(mut self, key: i64, value: Vec<u8>) -> Self {
        self.parts.retain(|(own, _)| *own != key);
        self.parts.push((key, value));
        self
    }

    pub(crate) fn depends_on(mut self, index: u64, place: &'static [u8]) -> Self {
        self.dependencies.push((index, place));
        self
    }

    pub(crate) fn carrying(mut self, name: &'static str, payload: &[u8]) -> Self {
        self.integrated.push((name, payload.to_vec()));
        self
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let path = |segment: &[u8]| array(&[wrapped(segment)]);
        let components: Vec<_> = self.components.iter().map(|id| path(id)).collect();
        let mut common = vec![(2, array(&components))];
        if !self.dependencies.is_empty() {
            let entries: Vec<_> = self
                .dependencies
                .iter()
                .map(|(index, place)| (*index as i64, map(&[(1, path(place))])))
                .collect();
            common.push((1, map(&entries)));
        }
        if let Some(shared) = &self.shared {
            common.push((4, wrapped(shared)));
        }
        let mut parts = vec![
            (1, uint(1)),
            (2, uint(self.sequence)),
            (3, wrapped(&map(&common))),
        ];
        parts.extend(self.parts.clone());
        map(&parts)
    }

    pub(crate) fn signed(&self) -> Vec<u8> {
        let manifest = self.manifest();
        let mut bytes = envelope(&manifest, &[block(&manifest, ToyKey::new(1), None)]);
        for (name, payload) in &self.integrated {
            // One pair more behind the tag.
            bytes[2] += 1;
            bytes.extend(text(name));
            bytes.extend(wrapped(payload));
        }
        bytes
    }
}

/// A `COSE_Sign1` over a manifest.
pub(crate) fn block(manifest: &[u8], key: ToyKey, key_id: Option<&[u8]>) -> Vec<u8> {
    let mut room = [0; 300];
    let signed = digest_of(&wrapped(manifest));
    sign1(&mut room, &key, key_id, Content::Detached(&signed), &[])
        .unwrap()
        .to_vec()
}

pub(crate) fn envelope(manifest: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut items = vec![wrapped(&digest_of(&wrapped(manifest)))];
    items.extend(blocks.iter().map(|block| wrapped(block)));
    let mut bytes = cbor(|w| w.tag(Tag::new(107))?.ok());
    bytes.extend(map(&[(2, wrapped(&array(&items))), (3, wrapped(manifest))]));
    bytes
}

pub(crate) fn verify<'a>(
    envelope: &'a [u8],
    keys: &dyn ManifestKeys,
    floor: impl Into<Floor>,
) -> Result<Manifest<'a>, VerifyError> {
    SignedManifest::decode(envelope, Tagged::Required, Limits::default())
        .unwrap()
        .verify(keys, &mut Sha256::default(), floor)
}
