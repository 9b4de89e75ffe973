//! What a signed manifest costs beyond its signature.

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_core::cose::Tagged;
use iot_core::crypto::{Signature, SignatureAlgorithm, Signer};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use iot_ota::manifest::{Device, Limits, SignedManifest, SigningKey, Template};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// Decoding, verifying and planning a manifest for one component, against ring's verification of one
/// signature over as many bytes as are signed here.
pub(crate) fn suit_verify() -> Result<Ratio, Box<dyn Error>> {
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
    let public = PublicKey::of(&key)?;
    let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
    let template = Template::new(7, device, [3; 32], 262_144, "iot:firmware");
    let envelope = template.sign(&key, None, &mut Sha256::new())?;
    let keys = SigningKey::new(SoftwareVerifier::new(public));
    let verify = || -> Result<u32, Box<dyn Error>> {
        let signed =
            SignedManifest::decode(black_box(&envelope), Tagged::Required, Limits::default())?;
        let manifest = signed.verify(&keys, &mut Sha256::new(), 6)?;
        Ok(manifest.plan(&device)?.release.size)
    };
    let message = [7; 56];
    let mut signature = Signature::empty();
    key.sign(&[&message], &mut signature)?;
    let bare = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes());
    assert!(verify()? == 262_144 && bare.verify(&message, signature.as_bytes()).is_ok());
    Ok(Ratio::of_times(
        "suit_verify",
        Goal::AtMost(1.05),
        || verify().is_ok(),
        || {
            bare.verify(black_box(&message), signature.as_bytes())
                .is_ok()
        },
    ))
}
