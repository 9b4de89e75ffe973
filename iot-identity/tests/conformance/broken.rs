//! A good store made bad in one way at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use iot_core::crypto::{
    Digest as _, KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use iot_core::entropy::Entropy;
use iot_identity::ring::{Sha256, SoftwareKey, SystemEntropy};
use iot_identity::rustcrypto::P256Key;

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const SLOTS: u16 = 8;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bug {
    /// Nothing: the store itself must be innocent.
    Nothing,
    MakesTheOtherAlgorithm,
    Overwrites,
    LendsTheNeighbour,
    OccupiesUnsupported,
    TakesEverySlot,
    DestroysOnce,
    DestroysForLife,
    ForgetsToDestroy,
    RepeatsKeys,
    DestroysTheNeighbour,
    LentSignsOn,
    LentSignsWithTheNext,
    CompressesPoints,
    MiscountsBuffers,
    ForgetsKeys,
    ForgetsPolicies,
    BringsKeysBack,
    SignsWithTheNeighbour,
    SignsDer,
    StripsZeros,
    SignsTheFirstPart,
    RefusesEmpty,
    CutsLarge,
    HashesDigests,
    FailsOnDigests,
    TiresOfThreads,
    FillsTwice,
    DestroysLater,
}

enum Key {
    P256(P256Key),
    Ed25519(SoftwareKey),
}

impl Key {
    fn as_signer(&self) -> &dyn Signer {
        match self {
            Self::P256(key) => key,
            Self::Ed25519(key) => key,
        }
    }
}

#[derive(Clone)]
struct Held {
    key: Arc<Key>,
    policy: KeyPolicy,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<SlotId, Held>,
    graves: BTreeMap<SlotId, Held>,
    destroyed: BTreeMap<SlotId, usize>,
}

pub(crate) struct Broken {
    bug: Bug,
    state: Mutex<State>,
    busy: Mutex<()>,
}

impl Broken {
    pub(crate) fn new(bug: Bug) -> Self {
        Self {
            bug,
            state: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    /// What a restart would find.
    pub(crate) fn reopened(self) -> Self {
        let mut state = self.state.into_inner().unwrap();
        match self.bug {
            Bug::ForgetsKeys => state.slots.clear(),
            Bug::ForgetsPolicies => {
                let each = state.slots.values_mut();
                each.for_each(|held| held.policy = KeyPolicy::Sign);
            }
            Bug::BringsKeysBack => {
                for (slot, held) in core::mem::take(&mut state.graves) {
                    state.slots.entry(slot).or_insert(held);
                }
            }
            _ => {}
        }
        Self {
            state: Mutex::new(state),
            ..Self::new(self.bug)
        }
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn create(&self, algorithm: SignatureAlgorithm) -> Result<Key, KeyError> {
        let swapped = self.is(Bug::MakesTheOtherAlgorithm);
        let ed25519 = (algorithm == SignatureAlgorithm::Ed25519) != swapped;
        if ed25519 {
            return SoftwareKey::generate(SignatureAlgorithm::Ed25519).map(Key::Ed25519);
        }
        if self.is(Bug::RepeatsKeys) {
            struct Stuck;
            impl Entropy for Stuck {
                fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> {
                    out.fill(7);
                    Ok(())
                }
            }
            return P256Key::generate(&mut Stuck).map(Key::P256);
        }
        P256Key::generate(&mut SystemEntropy::new()).map(Key::P256)
    }

    fn held(&self, slot: SlotId) -> Option<Held> {
        self.state.lock().unwrap().slots.get(&slot).cloned()
    }
}

const fn beside(slot: SlotId) -> SlotId {
    SlotId::new(slot.get() ^ 1)
}

impl KeyStore for Broken {
    type Signer<'s> = BrokenSigner<'s>;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        if slot.get() >= SLOTS && !self.is(Bug::TakesEverySlot) {
            return Err(KeyError::Full);
        }
        let taken = self.held(slot).is_some() && !self.is(Bug::Overwrites);
        if self.is(Bug::FillsTwice) {
            std::thread::sleep(core::time::Duration::from_millis(5));
        }
        let key = Arc::new(self.create(algorithm)?);
        let mut state = self.state.lock().unwrap();
        let late = state.slots.contains_key(&slot) && !self.is(Bug::Overwrites);
        if taken || (late && !self.is(Bug::FillsTwice)) {
            return Err(KeyError::Occupied);
        }
        if self.is(Bug::OccupiesUnsupported) && algorithm != P256 {
            state.slots.insert(slot, Held { key, policy });
            return Err(KeyError::Unsupported);
        }
        state.slots.insert(slot, Held { key, policy });
        Ok(())
    }

    fn signer(&self, slot: SlotId) -> Result<BrokenSigner<'_>, KeyError> {
        let mut held = self.held(slot);
        if held.is_none() && self.is(Bug::LendsTheNeighbour) {
            held = self.held(beside(slot));
        }
        let held = held.ok_or(KeyError::Absent)?;
        Ok(BrokenSigner {
            store: self,
            slot,
            held,
        })
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        let mut state = self.state.lock().unwrap();
        match state.slots.get(&slot) {
            None if self.is(Bug::DestroysOnce) => return Err(KeyError::Absent),
            None => return Ok(()),
            Some(held)
                if held.policy == KeyPolicy::SignForLife && !self.is(Bug::DestroysForLife) =>
            {
                return Err(KeyError::Forbidden);
            }
            Some(_) => {}
        }
        if self.is(Bug::ForgetsToDestroy) {
            return Ok(());
        }
        let held = state.slots.remove(&slot).unwrap();
        state.graves.insert(slot, held);
        *state.destroyed.entry(slot).or_default() += 1;
        if self.is(Bug::DestroysTheNeighbour) {
            state.slots.remove(&beside(slot));
        }
        Ok(())
    }
}

pub(crate) struct BrokenSigner<'s> {
    store: &'s Broken,
    slot: SlotId,
    held: Held,
}

impl BrokenSigner<'_> {
    fn key(&self) -> Result<Arc<Key>, KeyError> {
        let now = self.store.held(self.slot);
        match self.store.bug {
            Bug::LentSignsOn | Bug::LendsTheNeighbour => Ok(Arc::clone(&self.held.key)),
            // One that looks at a copy of the slots which is renewed every now and then.
            Bug::DestroysLater if now.is_none() => {
                let state = self.store.state.lock().unwrap();
                let threaded = std::thread::current().name().is_none();
                let grave = state.graves.get(&self.slot).filter(|_| threaded);
                grave
                    .map(|held| Arc::clone(&held.key))
                    .ok_or(KeyError::Absent)
            }
            Bug::LentSignsWithTheNext => Ok(now.ok_or(KeyError::Absent)?.key),
            Bug::SignsWithTheNeighbour => {
                let other = self.store.held(beside(self.slot));
                Ok(other.or(now).ok_or(KeyError::Absent)?.key)
            }
            _ => {
                let now = now.ok_or(KeyError::Absent)?;
                let same = Arc::ptr_eq(&now.key, &self.held.key);
                same.then_some(now.key).ok_or(KeyError::Absent)
            }
        }
    }

    fn sign_joined(&self, message: &[u8], out: &mut Signature) -> Result<(), KeyError> {
        let key = self.key()?;
        key.as_signer().sign(&[message], out)?;
        let plain = out.as_bytes().to_vec();
        let strip = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number[zeros..].to_vec()
        };
        let (r, s) = plain.split_at(32);
        match self.store.bug {
            Bug::StripsZeros => assert!(out.set(&[strip(r), strip(s)].concat())),
            Bug::SignsDer if self.algorithm() == P256 => {
                let integer = |number: &[u8]| [&[2, 33, 0][..], number].concat();
                let inner = [integer(r), integer(s)].concat();
                assert!(out.set(&[&[0x30, 70][..], &inner].concat()));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Signer for BrokenSigner<'_> {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.held.key.as_signer().algorithm()
    }

    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        if self.store.is(Bug::MiscountsBuffers) && out.len() < 32 {
            return Err(KeyError::Buffer { needed: 32 });
        }
        let needed = self.held.key.as_signer().public_key(out)?.len();
        if self.store.is(Bug::CompressesPoints) && self.algorithm() == P256 {
            out[0] = 2 + (out[64] & 1);
            return Ok(&out[..33]);
        }
        Ok(&out[..needed])
    }

    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        let whole = message.concat();
        match self.store.bug {
            Bug::SignsTheFirstPart => self.sign_joined(message.first().unwrap_or(&&[][..]), out),
            Bug::RefusesEmpty if whole.is_empty() => Err(KeyError::Unsupported),
            Bug::CutsLarge => self.sign_joined(&whole[..whole.len().min(65_536)], out),
            Bug::TiresOfThreads => {
                let _one = self.store.busy.try_lock().map_err(|_| KeyError::Device)?;
                self.sign_joined(&whole, out)
            }
            _ => self.sign_joined(&whole, out),
        }
    }

    fn sign_digest(&self, digest: &[u8; 32], out: &mut Signature) -> Result<(), KeyError> {
        let key = self.key()?;
        match self.store.bug {
            Bug::FailsOnDigests if self.algorithm() != P256 => Err(KeyError::Device),
            Bug::HashesDigests => {
                let mut hash = Sha256::new();
                hash.update(digest);
                key.as_signer().sign_digest(&hash.finish(), out)
            }
            _ => key.as_signer().sign_digest(digest, out),
        }
    }
}
