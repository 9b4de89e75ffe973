//! `COSE_Mac0`: arbitrary bytes, and a genuine message of which one byte is changed.

use iot_core::cose::{Content, Mac0, Tagged, mac0};
use iot_core::crypto::{BadSignature, KeyError, Mac, Signature, Signer, Tag};
use iot_core::sim::ToyKey;

use crate::input::Input;

/// The toy key's checksum, cut to the length of a tag.
struct ToyMac(ToyKey);

const KEY: ToyMac = ToyMac(ToyKey::new(7));

impl Mac for ToyMac {
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError> {
        let mut signature = Signature::empty();
        self.0.sign(message, &mut signature)?;
        out.copy_from_slice(&signature.as_bytes()[..32]);
        Ok(())
    }

    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature> {
        let mut expected = Tag::default();
        self.authenticate(message, &mut expected)
            .map_err(|_| BadSignature::new())?;
        (tag == expected)
            .then_some(())
            .ok_or_else(BadSignature::new)
    }
}

/// Nothing panics, another key verifies nothing, and no payload but the authentic one is ever handed out.
pub fn run(data: &[u8]) {
    for tagged in [Tagged::Required, Tagged::Absent] {
        if let Ok(message) = Mac0::decode(data, tagged) {
            let detached = message.is_detached().then_some(&b"beside"[..]);
            if message.verify(detached, &[], &KEY).is_ok() {
                assert!(
                    message
                        .verify(detached, &[], &ToyMac(ToyKey::new(8)))
                        .is_err()
                );
                assert!(message.verify(detached, b"other", &KEY).is_err());
            }
        }
    }
    changed(data);
}

/// The input as key id, payload and a change: where, and by what.
fn changed(data: &[u8]) -> Option<()> {
    let mut input = Input(data);
    let (at, flip) = (usize::from(input.byte()?), input.byte()?);
    let (key_id, payload) = (input.short()?, input.0);
    let mut buffer = vec![0; data.len() + 128];
    let message = mac0(
        &mut buffer,
        &KEY,
        Some(key_id),
        Content::Attached(payload),
        b"external",
    );
    let message = message.expect("it fits");
    let whole = Mac0::decode(message, Tagged::Required).expect("our own message");
    assert_eq!(whole.header().key_id, Some(key_id));
    assert_eq!(whole.verify(None, b"external", &KEY), Ok(payload));
    let mut other = message.to_vec();
    let at = at % other.len();
    other[at] ^= flip;
    if let Ok(message) = Mac0::decode(&other, Tagged::Required)
        && let Ok(verified) = message.verify(None, b"external", &KEY)
    {
        // Only the unprotected key id may change unnoticed: it is a hint.
        assert_eq!(verified, payload);
    }
    Some(())
}

/// Messages with and without payload and key id.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for key_id in [None, Some(&b"key-1"[..])] {
        for content in [Content::Attached(b"open"), Content::Detached(b"beside")] {
            let mut buffer = [0; 256];
            let message = mac0(&mut buffer, &KEY, key_id, content, &[]).expect("it fits");
            seeds.push(message.to_vec());
            // Without its tag it is the other form.
            seeds.push(message[1..].to_vec());
        }
    }
    seeds
}

#[test]
fn every_seed_verifies_and_keeps_the_claims() {
    for (seed, tagged) in seeds()
        .iter()
        .zip([Tagged::Required, Tagged::Absent].into_iter().cycle())
    {
        let message = Mac0::decode(seed, tagged).unwrap();
        let detached = message.is_detached().then_some(&b"beside"[..]);
        assert!(message.verify(detached, &[], &KEY).is_ok());
        run(seed);
    }
}
