//! One more signature on an envelope.

use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_ota::manifest::{Envelope, SigningKey};

use crate::args::Sign;
use crate::files;
use crate::followed::is_for_devices;
use crate::keys::{key_id, public_of, with_signer};
use crate::opened::{decode, is_tagged, unverified};
use crate::payloads;
use crate::problem::Problem;
use crate::values::{key_id_of, segment};

pub(crate) fn sign(options: &Sign) -> Result<(), Problem> {
    let path = &options.envelope;
    let bytes = files::read(path)?;
    let signed = decode(path, &bytes)?;
    // Nobody should sign what no device could follow, or what brings something else than it says.
    let manifest = unverified(path, &signed)?;
    is_for_devices(path, &bytes, &manifest)?;
    payloads::check(path, &manifest)?;
    let mut envelope = Envelope::open(&signed, &mut Sha256::new()).ok_or_else(|| {
        let remedy = "write the envelope anew: manifest create";
        Problem::new(path.display(), "its parts cannot be told apart", remedy)
    })?;
    let key = &options.key;
    let (public, id) = with_signer(key, |signer| {
        let public = public_of(key, signer)?;
        let trusted = SigningKey::new(SoftwareVerifier::new(public));
        if signed.verify(&trusted, &mut Sha256::new(), 0).is_ok() {
            let cause = "this key has signed it already, and counts once";
            return Err(Problem::new(
                key,
                cause,
                "sign with another key; under another name, in a new envelope: manifest create",
            ));
        }
        let id = match &options.key_id {
            Some(name) => key_id_of("--key-id", name)?,
            None => key_id(&public),
        };
        envelope.sign(signer, Some(&id)).map_err(|error| {
            Problem::new(
                key,
                error,
                "check that the key may sign, and its token works",
            )
        })?;
        Ok((public, id))
    })?;
    let bytes = if is_tagged(&bytes) {
        envelope.encode()
    } else {
        envelope.encode_untagged()
    };
    let output = options.output.as_ref().unwrap_or(path);
    // A token may sign with another key than the one that it shows.
    let trusted = SigningKey::new(SoftwareVerifier::new(public));
    decode(output, &bytes)?
        .verify(&trusted, &mut Sha256::new(), 0)
        .map_err(|error| Problem::new(key, error, "the key does not work: use another one"))?;
    files::write(output, &bytes)?;
    println!(
        "{}: {} by {}",
        output.display(),
        match envelope.proofs() {
            1 => "1 signature, the last".to_owned(),
            count => format!("{count} signatures, the last"),
        },
        segment(&id)
    );
    Ok(())
}
