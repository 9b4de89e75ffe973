//! A deny-list of a million entries against a hash set of the same keys: what an entry takes, and a look-up.

use core::error::Error;
use core::hint::black_box;
use std::collections::HashSet;

use iot_benches::{Goal, Ratio};
use iot_core::crypto::{Digest, SignatureAlgorithm};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{CompactList, CompactWriter, Denied};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};

const ENTRIES: u32 = 1_000_000;

fn hash(number: u32) -> KeyHash {
    let mut digest = Sha256::new();
    digest.update(&number.to_le_bytes());
    KeyHash::new(digest.finish())
}

fn signed() -> Result<(Vec<u8>, SoftwareVerifier), Box<dyn Error>> {
    let key = SoftwareKey::generate(SignatureAlgorithm::Ed25519)?;
    let mut writer = CompactWriter::new(1);
    for number in 0..ENTRIES {
        writer.deny(&Denied::Key(hash(number)), &mut Sha256::new());
    }
    let issuer = SoftwareVerifier::new(PublicKey::of(&key)?);
    Ok((writer.sign(&key)?, issuer))
}

/// Bytes an entry, signature and all. Of the set only the room of its entries is counted, and a byte for each that says
/// whether it is taken: less than it has.
pub(crate) fn deny_list_entry() -> Result<Ratio, Box<dyn Error>> {
    let (bytes, issuer) = signed()?;
    let list = CompactList::verify(&bytes, &issuer, None, &mut Sha256::new())?;
    let set: HashSet<KeyHash> = (0..ENTRIES).map(hash).collect();
    assert!(list.len() == set.len());
    let each = |bytes: usize| bytes as f64 / f64::from(ENTRIES);
    Ok(Ratio::new(
        "deny_list_entry",
        each(bytes.len()),
        each(set.capacity() * (size_of::<KeyHash>() + 1)),
        "bytes",
        Goal::AtMost(0.2),
    ))
}

/// One look-up of a key, every other of which is denied; none comes again before a million others.
pub(crate) fn deny_list_lookup() -> Result<Ratio, Box<dyn Error>> {
    let (bytes, issuer) = signed()?;
    let list = CompactList::verify(&bytes, &issuer, None, &mut Sha256::new())?;
    let set: HashSet<KeyHash> = (0..ENTRIES).map(hash).collect();
    let both = |number| [hash(number), hash(ENTRIES + number)];
    let asked: Vec<_> = (0..ENTRIES / 2).flat_map(both).collect();
    let (ours, peers) = (
        asked.iter().filter(|key| list.denies_key(key)).count(),
        asked.iter().filter(|key| set.contains(*key)).count(),
    );
    assert!(ours == peers && ours == asked.len() / 2);
    let mut ours = asked.iter().cycle();
    let mut peers = asked.iter().cycle();
    Ok(Ratio::of_times(
        "deny_list_lookup",
        Goal::AtMost(1.0),
        || {
            ours.next()
                .is_some_and(|key| list.denies_key(black_box(key)))
        },
        || peers.next().is_some_and(|key| set.contains(black_box(key))),
    ))
}
