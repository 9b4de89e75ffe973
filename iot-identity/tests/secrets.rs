//! No key and no secret can be copied, written out or shown. That this file compiles is the proof.
#![cfg(all(
    feature = "ring",
    feature = "rustcrypto",
    feature = "pkcs11",
    feature = "tpm"
))]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use core::fmt::{Display, LowerHex};

use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
use iot_core::entropy::{Entropy, EntropyError};
use iot_identity::key::Secret;
use iot_identity::{pkcs11, ring, rustcrypto, tpm};

/// Does not compile when the type has one of the traits: which function is meant would be open then (E0283).
macro_rules! never {
    ($type:ty: $($trait:path),+) => {
        const _: fn() = || {
            trait Chosen<Which> {
                fn chosen() {}
            }
            impl<T: ?Sized> Chosen<()> for T {}
            $({
                #[allow(dead_code, reason = "it only makes the choice ambiguous")]
                struct Has;
                impl<T: ?Sized + $trait> Chosen<Has> for T {}
            })+
            let _ = <$type as Chosen<_>>::chosen;
        };
    };
}

macro_rules! keeps {
    ($($type:ty),+) => {
        $(never!($type: Clone, Copy, Display, LowerHex, AsRef<[u8]>, serde::Serialize);)+
    };
}

struct Sevens;

impl Entropy for Sevens {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(7);
        Ok(())
    }
}

keeps!(
    Secret,
    ring::SoftwareKey,
    ring::SoftwareKeys,
    ring::SoftwareSigner<'static>,
    rustcrypto::P256Key,
    rustcrypto::SoftwareKeys<Sevens, 1>,
    rustcrypto::SoftwareSigner<'static, Sevens, 1>,
    pkcs11::Pkcs11Keys,
    pkcs11::Pkcs11Signer<'static>,
    pkcs11::Config,
    tpm::TpmKeys,
    tpm::TpmSigner<'static>,
    tpm::Config
);

#[test]
fn what_a_key_shows_of_itself_is_not_the_key() {
    let key = rustcrypto::P256Key::generate(&mut Sevens).unwrap();
    assert_eq!(format!("{key:?}"), "P256Key(…)");
    let keys = rustcrypto::SoftwareKeys::<_, 1>::new(Sevens);
    let (slot, p256) = (SlotId::new(0), SignatureAlgorithm::EcdsaP256Sha256);
    keys.generate(slot, p256, KeyPolicy::Sign).unwrap();
    let shown = format!("{keys:?} {:?}", keys.signer(slot).unwrap());
    assert!(!shown.contains("07"), "{shown}");
    let config = tpm::Config::new().owner(Secret::new("sesame"));
    assert!(!format!("{config:?}").contains("sesame"));
}
