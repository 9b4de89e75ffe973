//! An envelope in the making: a finished manifest, its signatures, and what travels beside it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::codec::FlatReader;
use iot_core::cose::{Content, CoseError, mac0, sign, sign1};
use iot_core::crypto::{Digest, Mac, Sha256Digest, Signer};

use super::super::envelope::{Element, SignedManifest};
use super::cbor;

const ENVELOPE: u64 = 107;
/// Room for one proof without payload, beside its key id.
const PROOF_BYTES: usize = 200;

/// Why a manifest could not be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// It could not be signed.
    #[error("the manifest could not be signed: {0}")]
    Cose(#[from] CoseError),
    /// Devices would refuse the key set: they could not go on with it.
    #[error(
        "the key set has a key or an id twice, too many keys or roles, no role, or one that nobody can fill"
    )]
    KeySet,
}

/// A manifest that was built and hashed: to be signed, severed, and sent.
///
/// Whoever has an envelope may add a signature or cut a severable part off; the manifest stays the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    // The map's bytes.
    manifest: Vec<u8>,
    // The content of the digest's byte string: what is signed.
    digest: Vec<u8>,
    own: Sha256Digest,
    proofs: Vec<Vec<u8>>,
    // Byte strings with their heads.
    beside: BTreeMap<i32, Vec<u8>>,
    payloads: BTreeMap<String, Vec<u8>>,
}

impl Envelope {
    pub(super) fn new(
        manifest: &[u8],
        beside: BTreeMap<i32, Vec<u8>>,
        payloads: BTreeMap<String, Vec<u8>>,
        digest: &mut (impl Digest + ?Sized),
    ) -> Self {
        // It is hashed with the head of its byte string (§8.3).
        digest.update(&cbor::bytes(manifest));
        let own = digest.finish();
        Self {
            manifest: manifest.to_vec(),
            digest: cbor::suit_digest(&own),
            own,
            proofs: Vec::new(),
            beside,
            payloads,
        }
    }

    /// Opens an envelope again, to add a signature or to sever a part. `None` when it is not whole, or when the digest
    /// in it is not that of the manifest in it.
    ///
    /// What is signed is the digest, and whoever signs looks at the manifest: if they could differ, anybody could have
    /// anything signed. Nothing else is verified: not who has signed it, nor whether a device could read it, nor the parts
    /// beside the manifest. [`SignedManifest::verify`] does that.
    #[must_use]
    pub fn open(signed: &SignedManifest<'_>, digest: &mut (impl Digest + ?Sized)) -> Option<Self> {
        digest.update(signed.manifest);
        let own = digest.finish();
        let mut wrapper = FlatReader::new(signed.authentication);
        let count = wrapper.array_len().checked_sub(1)?;
        let named = wrapper.bytes();
        let mut proofs = Vec::new();
        for _ in 0..count {
            proofs.push(wrapper.bytes().to_vec());
            // A count may be larger than memory.
            wrapper.rest()?;
        }
        wrapper.rest().filter(|rest| rest.is_empty())?;
        let beside = signed.elements();
        let payloads = signed.payloads();
        Some(Self {
            manifest: FlatReader::new(signed.manifest).bytes().to_vec(),
            own: *super::super::digest(named).filter(|named| **named == own)?,
            digest: named.to_vec(),
            proofs,
            beside: beside
                .map(|(element, whole)| (element.key(), whole.to_vec()))
                .collect(),
            payloads: payloads
                .map(|(name, bytes)| (name.into(), bytes.to_vec()))
                .collect(),
        })
    }

    /// Adds a signature (`COSE_Sign1`).
    ///
    /// # Errors
    ///
    /// [`AuthorError::Cose`] when the key cannot sign; nothing was added.
    pub fn sign(&mut self, signer: &dyn Signer, key_id: Option<&[u8]>) -> Result<(), AuthorError> {
        let mut room = alloc::vec![0; PROOF_BYTES + key_id.map_or(0, <[u8]>::len)];
        let content = Content::Detached(&self.digest);
        let proof = sign1(&mut room, signer, key_id, content, &[])?.to_vec();
        self.proofs.push(proof);
        Ok(())
    }

    /// Adds the signatures of several signers in one message (`COSE_Sign`).
    ///
    /// # Errors
    ///
    /// [`AuthorError::Cose`] when a key cannot sign; nothing was added.
    pub fn sign_together(
        &mut self,
        signers: &[(&dyn Signer, Option<&[u8]>)],
    ) -> Result<(), AuthorError> {
        let room: usize = signers
            .iter()
            .map(|(_, key_id)| PROOF_BYTES + key_id.map_or(0, <[u8]>::len))
            .sum();
        let mut room = alloc::vec![0; room + PROOF_BYTES];
        let content = Content::Detached(&self.digest);
        let proof = sign(&mut room, signers, content, &[])?.to_vec();
        self.proofs.push(proof);
        Ok(())
    }

    /// Adds a message authentication code (`COSE_Mac0`).
    ///
    /// # Errors
    ///
    /// [`AuthorError::Cose`] when the key cannot be used; nothing was added.
    pub fn authenticate(
        &mut self,
        key: &dyn Mac,
        key_id: Option<&[u8]>,
    ) -> Result<(), AuthorError> {
        let mut room = alloc::vec![0; PROOF_BYTES + key_id.map_or(0, <[u8]>::len)];
        let content = Content::Detached(&self.digest);
        let proof = mac0(&mut room, key, key_id, content, &[])?.to_vec();
        self.proofs.push(proof);
        Ok(())
    }

    /// Cuts a severable part off; true when it was there.
    pub fn sever(&mut self, element: Element) -> bool {
        self.beside.remove(&element.key()).is_some()
    }

    /// How many proofs there are: signatures, or codes.
    #[must_use]
    pub const fn proofs(&self) -> usize {
        self.proofs.len()
    }

    /// The manifest alone, unsigned and unwrapped, as CBOR.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The manifest's SHA-256, which is what is signed.
    #[must_use]
    pub const fn digest(&self) -> &Sha256Digest {
        &self.own
    }

    /// The envelope, tagged.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [cbor::head(6, ENVELOPE), self.encode_untagged()].concat()
    }

    /// The envelope without its tag, as TEEP carries it.
    #[must_use]
    pub fn encode_untagged(&self) -> Vec<u8> {
        let mut wrapper = alloc::vec![cbor::bytes(&self.digest)];
        wrapper.extend(self.proofs.iter().map(|proof| cbor::bytes(proof)));
        let own = [
            (cbor::uint(2), cbor::bytes(&cbor::array(&wrapper))),
            (cbor::uint(3), cbor::bytes(&self.manifest)),
        ];
        let beside = self.beside.iter();
        let beside = beside.map(|(key, whole)| (cbor::int((*key).into()), whole.clone()));
        let payloads = self.payloads.iter();
        let payloads = payloads.map(|(name, bytes)| (cbor::text(name), cbor::bytes(bytes)));
        cbor::map(own.into_iter().chain(beside).chain(payloads))
    }
}
