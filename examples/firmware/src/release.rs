//! Whether a release is what the release key signed.

use iot_core::cose::Tagged;
use iot_core::crypto::SignatureAlgorithm;
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{P256Verifier, Sha256};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey};

use crate::board::opaque;
use crate::fixture::{DEVICE, MANIFEST, RELEASE_KEY, SEQUENCE};

const MAX_MANIFEST_BYTES: usize = 512;
// A curve operation takes a while in an emulator: every byte is the business of iot-ota's own tests.
const STRIDE: usize = 37;

/// The size of the image that `manifest` announces; `None` unless it is signed, current, and for this device.
#[must_use]
pub fn verify(manifest: &[u8]) -> Option<usize> {
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, opaque(RELEASE_KEY))?;
    let keys = SigningKey::new(P256Verifier::new(&key)?);
    let signed = SignedManifest::decode(manifest, Tagged::Required, Limits::default()).ok()?;
    let manifest = signed
        .verify(&keys, &mut Sha256::new(), opaque(SEQUENCE))
        .ok()?;
    let plan = manifest.plan(&DEVICE).ok()?;
    usize::try_from(plan.release.size).ok()
}

/// How many forgeries of the manifest, each with one bit flipped, were refused; `None` when one was accepted.
#[must_use]
pub fn refused_forgeries() -> Option<usize> {
    let mut bytes = [0; MAX_MANIFEST_BYTES];
    let forged = bytes.get_mut(..MANIFEST.len())?;
    let mut refused = 0;
    for at in (0..MANIFEST.len()).step_by(STRIDE) {
        forged.copy_from_slice(opaque(MANIFEST));
        *forged.get_mut(at)? ^= 1;
        if verify(forged).is_some() {
            return None;
        }
        refused += 1;
    }
    Some(refused)
}
