//! Envelopes in files, opened without believing them.

use std::path::Path;

use iot_core::codec;
use iot_core::cose::{Header, Proofs, Tagged};
use iot_core::crypto::Verifier;
use iot_identity::ring::Sha256;
use iot_ota::manifest::{
    EnvelopeError, Limits, Manifest, ManifestKeys, SignedManifest, VerifyError,
};
use minicbor::Decoder;
use minicbor::data::Type;

use crate::problem::Problem;
use crate::values::segment;

/// More than any device takes, so that what none takes can still be shown.
const LIMITS: codec::Limits = codec::Limits::new(256 << 20, 16, 65_536);

/// Looks at manifests of anybody; for showing and comparing only.
struct Anybody;

impl ManifestKeys for Anybody {
    fn verifier(&self, _: &Header<'_>) -> Option<&dyn Verifier> {
        None
    }
    fn granted(&self, _: u32) -> u32 {
        u32::MAX
    }
}

/// Whether the envelope has its tag, which TEEP leaves out.
pub(crate) fn is_tagged(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0xd8)
}

pub(crate) fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<SignedManifest<'a>, Problem> {
    let mut limits = Limits::default();
    limits.codec = LIMITS;
    limits.components = 256;
    limits.commands = 1_024;
    decode_within(bytes, limits).map_err(|error| envelope_problem(path, &error))
}

/// Decodes it within the limits that devices have unless they change them.
pub(crate) fn as_devices_read(bytes: &[u8]) -> Result<SignedManifest<'_>, EnvelopeError> {
    decode_within(bytes, Limits::default())
}

fn decode_within(bytes: &[u8], limits: Limits) -> Result<SignedManifest<'_>, EnvelopeError> {
    let tagged = if is_tagged(bytes) {
        Tagged::Required
    } else {
        Tagged::Absent
    };
    SignedManifest::decode(bytes, tagged, limits)
}

/// Reads the manifest without asking who has signed it; its digest, and those of its parts, must be right.
pub(crate) fn unverified<'a>(
    path: &Path,
    signed: &SignedManifest<'a>,
) -> Result<Manifest<'a>, Problem> {
    signed
        .verify(&Anybody, &mut Sha256::new(), 0)
        .map_err(|error| verify_problem(path, &error))
}

fn envelope_problem(path: &Path, error: &EnvelopeError) -> Problem {
    let name = path.display();
    let (element, remedy) = match error {
        EnvelopeError::Tag | EnvelopeError::Structure => (
            format!("{name}"),
            "give an envelope, as manifest create writes it; its first bytes are d8 6b",
        ),
        EnvelopeError::Unknown { key } => (
            format!("{name}, element {key}"),
            "leave the element out: no device will take it",
        ),
        EnvelopeError::NoManifest => (
            format!("{name}, manifest"),
            "take the whole envelope, not a part that was severed",
        ),
        EnvelopeError::NotSigned => (
            format!("{name}, authentication-wrapper"),
            "write the envelope anew: manifest create",
        ),
        _ => (
            format!("{name}"),
            "have it written by a tool that writes deterministic CBOR, or get it again whole",
        ),
    };
    Problem::new(element, error, remedy)
}

pub(crate) fn verify_problem(path: &Path, error: &VerifyError) -> Problem {
    let name = path.display();
    let (element, remedy) = match error {
        VerifyError::Unauthenticated => (
            "authentication-wrapper".to_owned(),
            "have it signed by a trusted key: manifest sign".to_owned(),
        ),
        VerifyError::Digest => (
            "manifest".to_owned(),
            "it was changed after it was written: take the original".to_owned(),
        ),
        VerifyError::Severed { element } => (
            format!("part {}", part_name(element.key())),
            "it was changed, or nobody signed for it: take the original envelope".to_owned(),
        ),
        VerifyError::TooOld { current, .. } => (
            "manifest-sequence-number".to_owned(),
            format!("write a release with a sequence of {current} or more"),
        ),
        VerifyError::Counter { current, .. } => (
            "security counter".to_owned(),
            format!("write a release with a security-counter of {current} or more"),
        ),
        VerifyError::Version { .. } => (
            "manifest-version".to_owned(),
            "write it in version 1".to_owned(),
        ),
        VerifyError::Unknown { key } => (
            format!("part {key} of the manifest"),
            "leave it out: devices refuse what they do not know".to_owned(),
        ),
        VerifyError::TooManyComponents { .. } => (
            "components".to_owned(),
            "split the release into several manifests".to_owned(),
        ),
        _ => (
            "manifest".to_owned(),
            "have it written by a tool that keeps to the draft".to_owned(),
        ),
    };
    Problem::new(format!("{name}, {element}"), error, remedy)
}

/// What the draft calls a part of the manifest.
pub(crate) fn part_name(key: i32) -> &'static str {
    match key {
        14 => "coswid",
        15 => "dependency-resolution",
        16 => "payload-fetch",
        18 => "candidate-verification",
        20 => "install",
        23 => "text",
        _ => "unknown",
    }
}

/// Who claims to have signed an envelope: algorithm and key id. Nothing of it is verified.
pub(crate) fn claims(bytes: &[u8]) -> Vec<String> {
    let mut claims = Vec::new();
    for block in blocks(bytes).unwrap_or_default() {
        let Ok(proofs) = Proofs::decode(&block) else {
            claims.push("a proof of an unknown kind".to_owned());
            continue;
        };
        for proof in proofs {
            claims.push(match proof {
                Ok(proof) => describe(proof.header()),
                Err(error) => error.to_string(),
            });
        }
    }
    claims
}

pub(crate) fn describe(header: &Header<'_>) -> String {
    let key_id = header.key_id.map_or("none".to_owned(), segment);
    format!("{:?}, key id {key_id}", header.algorithm)
}

fn blocks(envelope: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut decoder = Decoder::new(envelope);
    if is_tagged(envelope) {
        decoder.tag().ok()?;
    }
    for _ in 0..decoder.map().ok()?? {
        // Payloads have names, everything else has a number.
        let key = match decoder.datatype().ok()? {
            Type::String => decoder.skip().map(|()| None).ok()?,
            _ => Some(decoder.i64().ok()?),
        };
        if key == Some(2) {
            let mut wrapper = Decoder::new(decoder.bytes().ok()?);
            let count = wrapper.array().ok()??.checked_sub(1)?;
            wrapper.skip().ok()?;
            return (0..count)
                .map(|_| wrapper.bytes().ok().map(<[u8]>::to_vec))
                .collect();
        }
        decoder.skip().ok()?;
    }
    None
}
