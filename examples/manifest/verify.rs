//! An envelope, verified as a device would.

use std::path::Path;

use iot_core::cose::Header;
use iot_core::crypto::{Digest, Sha256Digest, Verifier};
use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_ota::manifest::{Floor, Manifest, ManifestKeys, SignedManifest, SigningKey, VerifyError};

use crate::args::Verify;
use crate::files;
use crate::followed::is_for_devices;
use crate::keys::{key_id, read_public};
use crate::named::{images, parameters};
use crate::opened::{decode, is_tagged, verify_problem};
use crate::payloads;
use crate::problem::Problem;
use crate::values::{hex, key_id_of, segment};

pub(crate) fn verify(options: &Verify) -> Result<(), Problem> {
    let path = &options.envelope;
    let bytes = files::read(path)?;
    if is_tagged(&bytes) == options.untagged {
        let cause = "the envelope's tag 107 is missing, or not expected";
        let remedy = "say --untagged for envelopes of TEEP, and for no others";
        return Err(Problem::new(path.display(), cause, remedy));
    }
    let signed = decode(path, &bytes)?;
    let trusted = Trusted::read(options)?;
    let floor = Floor::new(options.sequence).with_counter(options.counter);
    let signers = trusted.signers(&signed);
    let manifest =
        signed
            .verify(&trusted, &mut Sha256::new(), floor)
            .map_err(|error| match error {
                VerifyError::Unauthenticated => trusted.too_few(path, &signed, &signers),
                error => verify_problem(path, &error),
            })?;
    is_for_devices(path, &bytes, &manifest)?;
    for finding in payloads::check(path, &manifest)? {
        println!("{finding}");
    }
    println!("{}", crate::plan::line(&manifest));
    for image in &options.image {
        names(&manifest, image)?;
    }
    println!(
        "{}: sequence {}, security counter {}, manifest {}, signed by {}",
        path.display(),
        manifest.sequence(),
        manifest.security_counter(),
        hex(manifest.digest()),
        signers.join(", ")
    );
    Ok(())
}

/// The keys that were named on the command line, of which so many must have signed.
struct Trusted {
    keys: Vec<(Vec<u8>, SoftwareVerifier)>,
    threshold: u8,
    any_key_id: bool,
}

impl Trusted {
    fn read(options: &Verify) -> Result<Self, Problem> {
        let mut keys: Vec<(Vec<u8>, SoftwareVerifier)> = Vec::new();
        let mut seen = Vec::new();
        for text in &options.keys {
            let (id, file) = match text.split_once('=') {
                Some((id, file)) => (Some(key_id_of(text, id)?), file),
                None => (None, text.as_str()),
            };
            let public = read_public(Path::new(file))?;
            let id = id.unwrap_or_else(|| key_id(&public));
            let own = key_id(&public);
            let known = keys.iter().any(|(other, _)| *other == id) || seen.contains(&own);
            seen.push(own);
            if known {
                let remedy = "name each key once";
                return Err(Problem::new(
                    text,
                    "the key, or its name, is there twice",
                    remedy,
                ));
            }
            keys.push((id, SoftwareVerifier::new(public)));
        }
        let possible = 1..=keys.len().min(32);
        if !possible.contains(&usize::from(options.threshold)) {
            let cause = format!("{} of {} keys", options.threshold, keys.len());
            let remedy = "ask for at least one signature, and for no more than there are keys";
            return Err(Problem::new("--threshold", cause, remedy));
        }
        if options.any_key_id && keys.len() > 1 {
            let cause = "with several keys, the name says which one to try";
            return Err(Problem::new(
                "--any-key-id",
                cause,
                "leave it out, or give one key",
            ));
        }
        Ok(Self {
            keys,
            threshold: options.threshold,
            any_key_id: options.any_key_id,
        })
    }

    fn place(&self, header: &Header<'_>) -> Option<usize> {
        if self.any_key_id {
            return Some(0);
        }
        let wanted = header.key_id?;
        self.keys.iter().position(|(id, _)| id == wanted)
    }

    /// Who is missing, and who has signed under a name that devices do not look for.
    fn too_few(&self, path: &Path, signed: &SignedManifest<'_>, signers: &[String]) -> Problem {
        let element = format!("{}, authentication-wrapper", path.display());
        let mut cause = format!(
            "{} of the {} signatures that are needed: {}",
            signers.len(),
            self.threshold,
            if signers.is_empty() {
                "none".to_owned()
            } else {
                signers.join(", ")
            }
        );
        for (id, key) in &self.keys {
            let name = segment(id);
            let by_any_name = SigningKey::new(key);
            let holds = signed.verify(&by_any_name, &mut Sha256::new(), 0).is_ok();
            if holds && !signers.contains(&name) {
                cause += &format!("; the key {name} has signed, under another name");
                let remedy = format!(
                    "sign with --key-id {name}, or verify with NAME=FILE if devices know the key by that name: manifest inspect {}",
                    path.display()
                );
                return Problem::new(element, cause, remedy);
            }
        }
        let missing = usize::from(self.threshold).saturating_sub(signers.len());
        let remedy = format!(
            "have {missing} more of the trusted keys sign: manifest sign {}",
            path.display()
        );
        Problem::new(element, cause, remedy)
    }

    /// The names of those whose signatures hold.
    fn signers(&self, signed: &SignedManifest<'_>) -> Vec<String> {
        let mut signers = Vec::new();
        for (place, (id, _)) in self.keys.iter().enumerate() {
            let one = One { all: self, place };
            if signed.verify(&one, &mut Sha256::new(), 0).is_ok() {
                signers.push(segment(id));
            }
        }
        signers
    }
}

impl ManifestKeys for Trusted {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        let (_, key) = self.keys.get(self.place(header)?)?;
        Some(key)
    }
    fn number(&self, header: &Header<'_>) -> u8 {
        let place = self.place(header).and_then(|at| u8::try_from(at).ok());
        place.unwrap_or(u8::MAX)
    }
    fn granted(&self, verified: u32) -> u32 {
        if verified.count_ones() >= u32::from(self.threshold) {
            u32::MAX
        } else {
            0
        }
    }
}

/// One of them alone.
struct One<'t> {
    all: &'t Trusted,
    place: usize,
}

impl ManifestKeys for One<'_> {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        let own = self.all.place(header) == Some(self.place);
        self.all.verifier(header).filter(|_| own)
    }
}

/// Whether the manifest names a file's digest and size.
fn names(manifest: &Manifest<'_>, path: &Path) -> Result<(), Problem> {
    let bytes = files::read(path)?;
    let (digest, size) = (sha256(&bytes), bytes.len() as u64);
    let named = images(&parameters(manifest));
    let found = named.iter().find(|(own, _)| *own == digest);
    let Some((_, own)) = found else {
        let cause = format!("no component has the SHA-256 {}", hex(&digest));
        let known: Vec<_> = named.iter().map(|(digest, _)| hex(digest)).collect();
        let remedy = format!("take the image that was described: {}", known.join(", "));
        return Err(Problem::new(path.display(), cause, remedy));
    };
    if own.is_some_and(|own| own != size) {
        let cause = format!("{size} bytes, where the manifest says {own:?}");
        return Err(Problem::new(
            path.display(),
            cause,
            "write the manifest anew",
        ));
    }
    println!("{}: {size} bytes, named by the manifest", path.display());
    Ok(())
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut sha256 = Sha256::new();
    sha256.update(bytes);
    sha256.finish()
}
