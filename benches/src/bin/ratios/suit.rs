//! What a signed manifest costs beyond its signature.

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_core::cose::Tagged;
use iot_core::crypto::{Signature, SignatureAlgorithm, Signer, Verifier};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use iot_ota::manifest::{Author, Image, Limits, SignedManifest, SigningKey};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};

/// Decoding, verifying and executing a manifest that boots what it has matched, against the verification of one
/// signature with the same key over as many bytes as are signed here. The harness says that the image matches.
pub(crate) fn suit_verify() -> Result<Ratio, Box<dyn Error>> {
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
    let public = PublicKey::of(&key)?;
    let image = Image::new([3; 32], 34_768);
    let author = Author::new(0, &[&[&[0]]])
        .compatibility_check(0, [1; 16], [2; 16], Some(&image))
        .trusted_invocation(0);
    let mut envelope = author.build(&mut Sha256::new());
    envelope.sign(&key, None)?;
    let envelope = envelope.encode();
    let verifier = SoftwareVerifier::new(public);
    let keys = SigningKey::new(&verifier);
    let own = [Component::new(&[&[0]])];
    let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
    let execute = || -> Result<u32, Box<dyn Error>> {
        let signed =
            SignedManifest::decode(black_box(&envelope), Tagged::Required, Limits::default())?;
        let manifest = signed.verify(&keys, &mut Sha256::new(), 0)?;
        let mut process = Process::<48>::new(manifest, Procedure::Invoke, &device)?;
        let mut steps = 0;
        while process.step()? != Step::Finished {
            process.done(true);
            steps += 1;
        }
        Ok(steps)
    };
    let message = [7; 56];
    let mut signature = Signature::empty();
    key.sign(&[&message], &mut signature)?;
    let bare = || {
        verifier
            .verify(&[black_box(&message)], signature.as_bytes())
            .is_ok()
    };
    assert!(execute()? == 2 && bare());
    Ok(Ratio::of_times(
        "suit_verify",
        Goal::AtMost(1.05),
        || execute().is_ok(),
        bare,
    ))
}
