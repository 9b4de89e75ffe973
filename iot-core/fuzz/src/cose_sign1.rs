//! `COSE_Sign1`: arbitrary bytes, and a genuine message of which one byte is changed.

use iot_core::cose::{Content, Sign1, Tagged, sign1};
use iot_core::sim::ToyKey;

use crate::input::Input;

const KEY: ToyKey = ToyKey::new(7);

/// Nothing panics, another key verifies nothing, and no payload but the signed one is ever handed out.
pub fn run(data: &[u8]) {
    for tagged in [Tagged::Required, Tagged::Absent] {
        if let Ok(message) = Sign1::decode(data, tagged) {
            let detached = message.is_detached().then_some(&b"beside"[..]);
            let _ = message.header().key_id;
            if message.verify(detached, &[], &KEY).is_ok() {
                assert!(message.verify(detached, &[], &ToyKey::new(8)).is_err());
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
    let attached = flip & 1 == 0;
    let content = match attached {
        true => Content::Attached(payload),
        false => Content::Detached(payload),
    };
    let detached = (!attached).then_some(payload);
    let mut buffer = vec![0; data.len() + 128];
    let message = sign1(&mut buffer, &KEY, Some(key_id), content, b"external").expect("it fits");
    let whole = Sign1::decode(message, Tagged::Required).expect("our own message");
    assert_eq!(whole.header().key_id, Some(key_id));
    assert_eq!(whole.verify(detached, b"external", &KEY), Ok(payload));
    let mut other = message.to_vec();
    let at = at % other.len();
    other[at] ^= flip;
    if let Ok(message) = Sign1::decode(&other, Tagged::Required)
        && let Ok(verified) = message.verify(detached, b"external", &KEY)
    {
        // Only the unprotected key id may change unnoticed: it is a hint.
        assert_eq!(verified, payload);
        assert_eq!(message.header().algorithm, whole.header().algorithm);
    }
    Some(())
}

/// Messages with and without payload and key id.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for key_id in [None, Some(&b"key-1"[..])] {
        for content in [Content::Attached(b"open"), Content::Detached(b"beside")] {
            let mut buffer = [0; 256];
            let message = sign1(&mut buffer, &KEY, key_id, content, &[]).expect("it fits");
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
        let message = Sign1::decode(seed, tagged).unwrap();
        let detached = message.is_detached().then_some(&b"beside"[..]);
        assert!(message.verify(detached, &[], &KEY).is_ok());
        run(seed);
    }
}
