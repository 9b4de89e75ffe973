//! Manifests that others wrote, from a file of the host, verified and followed with the chip's own cryptography.
//!
//! `.ci/manifests` writes the file `manifests.bin` and holds the counts that are printed here against it. It begins with
//! the public key that everything is signed with, as an uncompressed point; the device's private scalar, 32 bytes; and the
//! SHA-256 of what every encrypted image must decrypt to. A record is the procedure, the length of the expected trace,
//! and that of the envelope, big-endian in two bytes; then trace and envelope.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_core::crypto::{Digest, Sha256Digest, SignatureAlgorithm};
use iot_firmware::board::{Board, File, exit};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{P256Verifier, Sha256};
use iot_ota::decrypt::{AgreementKey, Decryptor};
use iot_ota::manifest::{EncryptionInfo, Limits, Manifest, SignedManifest, SigningKey};
use iot_ota::process::{
    Capabilities, Check, Component, Effect, Identity, Procedure, Process, Source, Step,
};

const KEY_BYTES: usize = 65;
const SCALAR_BYTES: usize = 32;
const DIGEST_BYTES: usize = 32;
const HEAD_BYTES: usize = 4;
const ROOM_BYTES: usize = 2_048;
const TRACE_BYTES: usize = 64;

/// Traces name a component by its place here.
const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[&[0x00]]),
    Component::new(&[&[0x01]]),
    Component::new(&[&[0x02]]),
    Component::new(&[b"decrypted-firmware"]),
    Component::new(&[b"dependency-manifest.suit"]),
];

/// Vendor and class of the draft's examples (draft-ietf-suit-manifest-37, appendix B).
const VENDOR: [u8; 16] = 0xfa6b_4a53_d5ad_5fdf_be9d_e663_e4d4_1ffe_u128.to_be_bytes();
const CLASS: [u8; 16] = 0x1492_af14_2569_5e48_bf42_9b2d_51f2_ab45_u128.to_be_bytes();

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let Some(file) = File::open(c"manifests.bin") else {
        board.finish(Err("no-file"))
    };
    let mut room = [0; ROOM_BYTES];
    match run(file, &mut room) {
        Ok(counts) if counts.mismatches == 0 => board.finish(Ok(&[
            ("manifests", counts.manifests),
            ("refused", counts.refused),
            ("decrypted", counts.decrypted),
            ("mismatches", counts.mismatches),
        ])),
        Ok(_) => board.finish(Err("mismatch")),
        Err(stage) => board.finish(Err(stage)),
    }
}

#[derive(Default)]
struct Counts {
    manifests: usize,
    refused: usize,
    decrypted: usize,
    mismatches: usize,
}

fn run(mut file: File, room: &mut [u8]) -> Result<Counts, &'static str> {
    let mut own = [0; KEY_BYTES + SCALAR_BYTES + DIGEST_BYTES];
    if !file.read(0, &mut own) {
        return Err("no-keys");
    }
    let device = Device::new(&own).ok_or("unusable-key")?;
    let (mut at, mut counts, mut head) = (own.len(), Counts::default(), [0; HEAD_BYTES]);
    while file.read(at, &mut head) {
        let [procedure, trace, e1, e0] = head;
        let (trace, envelope) = (
            usize::from(trace),
            usize::from(u16::from_be_bytes([e1, e0])),
        );
        let body = room.get_mut(..trace + envelope).ok_or("too-long")?;
        if !file.read(at + HEAD_BYTES, body) {
            return Err("cut-short");
        }
        at += HEAD_BYTES + body.len();
        let (expected, envelope) = body.split_at(trace);
        let procedure = if procedure == 0 {
            Procedure::Update
        } else {
            Procedure::Invoke
        };
        let mut trace = Trace::new();
        device.follow(envelope, procedure, &mut trace);
        counts.manifests += 1;
        counts.refused += usize::from(trace.text() == b"!");
        counts.decrypted += trace.text().iter().filter(|step| **step == b'W').count();
        counts.mismatches += usize::from(trace.text() != expected);
    }
    Ok(counts)
}

struct Device {
    keys: SigningKey<P256Verifier>,
    own: AgreementKey,
    plain: Sha256Digest,
}

impl Device {
    fn new(bytes: &[u8; KEY_BYTES + SCALAR_BYTES + DIGEST_BYTES]) -> Option<Self> {
        let (key, rest) = bytes.split_at(KEY_BYTES);
        let (scalar, plain) = rest.split_at(SCALAR_BYTES);
        let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, key)?;
        Some(Self {
            keys: SigningKey::new(P256Verifier::new(&key)?),
            own: AgreementKey::new(scalar.try_into().ok()?)?,
            plain: plain.try_into().ok()?,
        })
    }

    fn verify<'a>(&self, envelope: &'a [u8]) -> Option<Manifest<'a>> {
        let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
        signed.verify(&self.keys, &mut Sha256::new(), 0).ok()
    }

    /// Does what a manifest says, as far as a device without storage can, and writes down what that was.
    fn follow(&self, envelope: &[u8], procedure: Procedure, trace: &mut Trace) {
        let device = Capabilities::new(Identity::new(VENDOR, CLASS), COMPONENTS);
        let process = self
            .verify(envelope)
            .and_then(|manifest| Process::<32>::new(manifest, procedure, &device).ok());
        let Some(mut process) = process else {
            return trace.push(b'!');
        };
        let mut stored: &[u8] = &[];
        loop {
            let Ok(step) = process.step() else {
                return trace.push(b'!');
            };
            let answer = match step {
                Step::Finished => return trace.push(b'.'),
                Step::Dependency { target } => {
                    trace.step(b'd', target.place);
                    process.dependency(self.verify(stored));
                    continue;
                }
                Step::Check { target, check } => match check {
                    // Only what was decrypted here is known; anything else is as the manifest says.
                    Check::Image { digest, .. } => {
                        trace.step(b'm', target.place);
                        !trace.text().contains(&b'W') || *digest == self.plain
                    }
                    Check::Slot(_) => {
                        trace.step(b's', target.place);
                        true
                    }
                    _ => false,
                },
                Step::Perform {
                    target,
                    effect,
                    details,
                } => match effect {
                    Effect::Fetch(fetch) => {
                        trace.step(b'f', target.place);
                        if let Source::Integrated(bytes) = fetch.source {
                            stored = bytes;
                        }
                        true
                    }
                    Effect::Copy { from } => {
                        trace.step(b'c', target.place);
                        trace.step(b'<', from.place);
                        true
                    }
                    Effect::Write(content) => {
                        let plain = details
                            .encryption
                            .and_then(|info| self.decrypt(info, content));
                        let right = plain == Some(self.plain);
                        trace.step(if right { b'W' } else { b'w' }, target.place);
                        right
                    }
                    Effect::Invoke(_) => {
                        trace.step(b'i', target.place);
                        true
                    }
                    _ => false,
                },
                _ => false,
            };
            process.done(answer);
        }
    }

    /// The SHA-256 of what a ciphertext holds for this device.
    fn decrypt(&self, info: &[u8], ciphertext: &[u8]) -> Option<Sha256Digest> {
        let info = EncryptionInfo::decode(info)?;
        let mut decryptor = Decryptor::new(&info, &[&self.own]).ok()?;
        let mut sha256 = Sha256::new();
        let mut write = |_, bytes: &[u8]| {
            sha256.update(bytes);
            Ok::<(), Infallible>(())
        };
        // In pieces, as they come over a slow link.
        for piece in ciphertext.chunks(7) {
            decryptor.push(piece, &mut write).ok()?;
        }
        decryptor.finish(&mut write).ok()?;
        Some(sha256.finish())
    }
}

/// What was done: a letter for each step, and the component's place.
struct Trace {
    bytes: [u8; TRACE_BYTES],
    len: usize,
}

impl Trace {
    const fn new() -> Self {
        Self {
            bytes: [0; TRACE_BYTES],
            len: 0,
        }
    }

    fn step(&mut self, letter: u8, place: usize) {
        self.push(letter);
        let place = u8::try_from(place).ok().filter(|place| *place < 10);
        self.push(place.map_or(b'?', |place| b'0' + place));
    }

    /// What does not fit is not the expected trace either.
    fn push(&mut self, letter: u8) {
        if let Some(byte) = self.bytes.get_mut(self.len) {
            *byte = letter;
            self.len += 1;
        }
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}
