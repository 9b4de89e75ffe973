//! Compact deny-lists, signed and not.

use iot_core::codec::FlatReader;
use iot_core::cose::{Content, sign1};
use iot_core::crypto::{BadSignature, KeyError, Signature, SignatureAlgorithm, Signer, Verifier};
use iot_identity::key::KeyHash;
use iot_identity::revocation::{CompactError, CompactList, CompactWriter, Denied};
use iot_identity::ring::Sha256;

const CONTEXT: &[u8] = b"iot-identity compact deny-list";

/// An issuer whose signature anybody could write: what it signs is what is fuzzed.
struct Anybody;

impl Signer for Anybody {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }
    fn public_key<'o>(&self, _: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        Err(KeyError::Unsupported)
    }
    fn sign(&self, _: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        out.set(&[7; 64]).then_some(()).ok_or(KeyError::Device)
    }
}

impl Verifier for Anybody {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }
    fn verify(&self, _: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        (signature == [7; 64])
            .then_some(())
            .ok_or(BadSignature::new())
    }
}

/// Bytes as a message, then as what is signed in one: a list denies its entries, and what is beside them not.
pub fn run(data: &[u8]) {
    let _ = CompactList::verify(data, &Anybody, None, &mut Sha256::new());
    let mut buffer = vec![0; data.len() + 128];
    let message = sign1(
        &mut buffer,
        &Anybody,
        None,
        Content::Attached(data),
        CONTEXT,
    );
    let message = message.expect("it fits");
    let list = match CompactList::verify(message, &Anybody, None, &mut Sha256::new()) {
        Ok(list) => list,
        Err(error) => {
            assert_eq!(error, CompactError::Format);
            return;
        }
    };
    let edition = *list.edition();
    let again = CompactList::verify(message, &Anybody, Some(&edition), &mut Sha256::new());
    assert_eq!(again, Ok(list));
    let all = prefixes(data);
    assert_eq!(list.len(), all.len());
    let mut writer = CompactWriter::new(edition.version);
    for prefix in &all {
        let key = |change: u8| {
            let mut hash = [0; 32];
            hash[..9].copy_from_slice(prefix);
            hash[8] ^= change;
            KeyHash::new(hash)
        };
        assert!(list.denies_key(&key(0)));
        writer.deny(&Denied::Key(key(0)), &mut Sha256::new());
        let beside = key(1);
        let known = all.iter().any(|one| one[..] == beside.as_bytes()[..9]);
        assert_eq!(list.denies_key(&beside), known);
    }
    // Its entries make the same list again, so it has one encoding.
    assert_eq!(writer.sign(&Anybody).as_deref(), Ok(message));
}

/// The entries of a list that was accepted, with what their places tell put back.
fn prefixes(payload: &[u8]) -> Vec<[u8; 9]> {
    let mut input = FlatReader::new(payload);
    input.array(5, 1);
    let _version = input.uint();
    let told = usize::try_from(input.uint()).expect("a small number");
    let (table, entries) = (input.bytes(), input.bytes());
    let ends: Vec<usize> = table
        .chunks(4)
        .map(|end| usize::try_from(u32::from_be_bytes(end.try_into().expect("four bytes"))))
        .map(|end| end.expect("a short list"))
        .collect();
    let entries = entries.chunks(9 - told).enumerate();
    let put_back = entries.map(|(place, entry)| {
        // The first bucket that ends behind it.
        let bucket = ends.iter().position(|&end| end > place).unwrap_or(0);
        let told_bytes = bucket.to_be_bytes();
        let whole = [&told_bytes[told_bytes.len() - told..], entry].concat();
        whole.try_into().expect("nine bytes")
    });
    put_back.collect()
}

/// What is signed in lists of two of the three layouts; the third is too long for a fuzzer.
pub fn seeds() -> Vec<Vec<u8>> {
    let payload = |entries: u32| {
        let mut writer = CompactWriter::new(7);
        for number in 0..entries {
            let mut hash = [9; 32];
            hash[..4].copy_from_slice(&(number << 19 | number).to_be_bytes());
            writer.deny(&Denied::Key(KeyHash::new(hash)), &mut Sha256::new());
        }
        let message = writer.sign(&Anybody).expect("a list");
        // Behind the message's head and headers, and before its signature.
        let signed = &message[7..message.len() - 66];
        let head = match signed[0] {
            0x58 => 2,
            0x59 => 3,
            _ => 1,
        };
        signed[head..].to_vec()
    };
    vec![payload(0), payload(1), payload(5), payload(1_100)]
}

#[test]
fn every_seed_is_a_list_and_keeps_the_claims() {
    for (seed, entries) in seeds().iter().zip([0, 1, 5, 1_100]) {
        assert_eq!(prefixes(seed).len(), entries);
        let mut buffer = vec![0; seed.len() + 128];
        let message = sign1(
            &mut buffer,
            &Anybody,
            None,
            Content::Attached(seed),
            CONTEXT,
        );
        let list = CompactList::verify(message.unwrap(), &Anybody, None, &mut Sha256::new());
        assert_eq!(list.map(|list| list.len()), Ok(entries));
        run(seed);
    }
}
