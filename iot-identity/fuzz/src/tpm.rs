//! Responses of a TPM that says what it likes.

use std::time::Duration;

use iot_core::crypto::{KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId};
use iot_identity::key::PublicKey;
use iot_identity::ring::SoftwareKey;
use iot_identity::tpm::{Config, Link, LinkError, TpmKeys};

const SLOT: SlotId = SlotId::new(0);
const NO_OBJECT: u32 = 0x18b;

/// Each response of the input in turn, then none.
///
/// One begins with a byte of kind and one of length. Kind 0 is a whole response, header included; 1 is the body of
/// one without sessions, 2 of one with, and anything else a refusal with the code in the first four bytes.
struct Script(Vec<u8>);

impl Link for Script {
    fn transact(&mut self, _: &[u8], out: &mut [u8], _: Duration) -> Result<usize, LinkError> {
        let [kind, length, rest @ ..] = self.0.as_slice() else {
            return Err(LinkError::new());
        };
        let (body, later) = rest.split_at(usize::from(*length).min(rest.len()));
        let answer = match kind {
            0 => body.to_vec(),
            1 => response(false, 0, body),
            2 => response(true, 0, body),
            _ => {
                let mut code = [0; 4];
                code.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
                response(false, u32::from_be_bytes(code), &[])
            }
        };
        self.0 = later.to_vec();
        out.get_mut(..answer.len())
            .ok_or(LinkError::new())?
            .copy_from_slice(&answer);
        Ok(answer.len())
    }
}

fn response(sessions: bool, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 10).unwrap_or(u32::MAX);
    let tag = if sessions { [0x80, 2] } else { [0x80, 1] };
    [&tag[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// Whatever is answered, a key is a point in its form and a signature has its length.
pub fn run(data: &[u8]) {
    // Shorter than the shortest pause: what a TPM puts off is given up at once.
    let config = Config::new().patience(Duration::from_millis(4));
    let Ok(keys) = TpmKeys::open(Script(data.to_vec()), config) else {
        return;
    };
    let _ = keys.generate(SLOT, SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign);
    if let Ok(signer) = keys.signer(SLOT) {
        let key = PublicKey::of(&signer).expect("a key in its form");
        assert_eq!(key.algorithm(), SignatureAlgorithm::EcdsaP256Sha256);
        let mut signature = Signature::empty();
        if signer.sign(&[b"x"], &mut signature).is_ok() {
            assert_eq!(signature.as_bytes().len(), 64);
        }
    }
    let _ = keys.destroy(SLOT);
}

/// A key is made, used and destroyed; and one is found that was there before.
pub fn seeds() -> Vec<Vec<u8>> {
    let part = |kind: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).expect("a short response");
        [&[kind, length], body].concat()
    };
    let with = |handle: &[u8], parameters: &[u8]| {
        let size = u32::try_from(parameters.len()).expect("short parameters");
        part(
            2,
            &[handle, &size.to_be_bytes(), parameters, &[0, 0, 1, 0, 0]].concat(),
        )
    };
    // Each signature is verified before it is given out, so a key and a signature that belong together.
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256).expect("a key");
    let public = PublicKey::of(&key).expect("a public key");
    let mut signature = Signature::empty();
    key.sign(&[b"x"], &mut signature).expect("a signature");
    let number = |bytes: &[u8], half: usize| {
        let half = &bytes[half * 32..][..32];
        [&[0, 32][..], half].concat()
    };
    let point = &public.as_bytes()[1..];
    let area = [
        &[0, 0x23, 0, 0x0b, 0, 4, 4, 0x72, 0, 0][..],
        &[0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10],
        &number(point, 0),
        &number(point, 1),
    ]
    .concat();
    let read = part(1, &[&[0, 88][..], &area, &[0, 0, 0, 0]].concat());
    let absent = part(3, &NO_OBJECT.to_be_bytes());
    let none = part(1, &[0, 0, 0, 0, 1, 0, 0, 0, 0]);
    let one = part(1, &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0x81, 0x30, 0, 0]);
    let created = [&[0; 4][..], &[0; 8]].concat();
    let primary = with(&[0x80, 0, 0, 0], &[&[0, 0][..], &created, &[0, 0]].concat());
    let child = with(&[], &[&[0, 0, 0, 0][..], &created].concat());
    let loaded = with(&[0x80, 0, 0, 1], &[0, 0]);
    let done = with(&[], &[]);
    let flushed = part(1, &[]);
    let (r, s) = (
        number(signature.as_bytes(), 0),
        number(signature.as_bytes(), 1),
    );
    let signed = with(&[], &[&[0, 0x18, 0, 0x0b][..], &r, &s].concat());
    let made = [&primary[..], &child, &loaded, &done, &flushed, &flushed].concat();
    let used = [&read[..], &read, &signed, &read, &done].concat();
    vec![
        [&none[..], &absent, &made, &used].concat(),
        // Occupied: it is looked at when the store opens, and before a key would be made.
        [&one[..], &read, &none, &read, &used].concat(),
    ]
}

#[test]
fn every_seed_signs_and_keeps_the_claims() {
    for seed in seeds() {
        let keys = TpmKeys::open(Script(seed.clone()), Config::new()).expect("a store");
        let _ = keys.generate(SLOT, SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign);
        let signer = keys.signer(SLOT).expect("a key");
        signer
            .sign(&[b"x"], &mut Signature::empty())
            .expect("a signature");
        keys.destroy(SLOT).expect("the end of the key");
        run(&seed);
    }
}
