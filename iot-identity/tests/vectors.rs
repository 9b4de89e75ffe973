//! Signatures and tags made by others.
#![cfg(all(feature = "cert", feature = "rustcrypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::path::PathBuf;

use iot_core::crypto::{Mac, SignatureAlgorithm, Verifier};
use iot_identity::cert::path::OWN_ALGORITHMS;
use iot_identity::key::PublicKey;
use iot_identity::{ring, rustcrypto};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let root = std::env::var_os("IOT_VECTORS").unwrap_or_else(|| default.into());
    let folder = PathBuf::from(root).join(name);
    assert!(
        folder.is_dir(),
        "set IOT_VECTORS: {} is missing",
        folder.display()
    );
    folder
}

/// The groups of a file, and how many tests they hold.
fn groups(file: &str) -> (Vec<Value>, usize) {
    let text = std::fs::read(folder("wycheproof").join(file)).unwrap();
    let whole: Value = serde_json::from_slice(&text).unwrap();
    let count = usize::try_from(whole["numberOfTests"].as_u64().unwrap()).unwrap();
    assert!(count > 100);
    (whole["testGroups"].as_array().unwrap().clone(), count)
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Runs every case against both providers; returns how many were valid and how many were not.
fn signatures(file: &str, algorithm: SignatureAlgorithm) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    let (groups, count) = groups(file);
    for group in groups {
        let key = PublicKey::from_spki(&hex(&group["publicKeyDer"])).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let ring = ring::SoftwareVerifier::new(key);
        let pure: Option<Box<dyn Verifier>> = match algorithm {
            SignatureAlgorithm::Ed25519 => {
                rustcrypto::Ed25519Verifier::new(&key).map(|one| Box::new(one) as Box<dyn Verifier>)
            }
            _ => rustcrypto::P256Verifier::new(&key).map(|one| Box::new(one) as Box<dyn Verifier>),
        };
        let pure = pure.unwrap();
        for case in group["tests"].as_array().unwrap() {
            let good = case["result"] == "valid";
            let (message, signature) = (hex(&case["msg"]), hex(&case["sig"]));
            assert_eq!(ring.verify(&[&message], &signature).is_ok(), good, "{case}");
            assert_eq!(pure.verify(&[&message], &signature).is_ok(), good, "{case}");
            *(if good { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!(valid + invalid, count);
    (valid, invalid)
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn both_providers_judge_p256_signatures_as_wycheproof_does() {
    let file = "ecdsa_secp256r1_sha256_p1363_test.json";
    let (valid, invalid) = signatures(file, SignatureAlgorithm::EcdsaP256Sha256);
    assert!(valid > 100 && invalid > 50, "{valid} {invalid}");
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn both_providers_judge_ed25519_signatures_as_wycheproof_does() {
    let (valid, invalid) = signatures("ed25519_test.json", SignatureAlgorithm::Ed25519);
    assert!(valid > 70 && invalid > 50, "{valid} {invalid}");
}

/// Certificates, requests and TLS carry P-256 signatures in DER, and Ed25519's as they are.
#[test]
#[ignore = "needs IOT_VECTORS"]
fn both_providers_judge_signatures_in_certificates_as_wycheproof_does() {
    for (place, file) in ["ecdsa_secp256r1_sha256_test.json", "ed25519_test.json"]
        .iter()
        .enumerate()
    {
        let (mut valid, mut invalid) = (0, 0);
        let (groups, count) = groups(file);
        for group in groups {
            let key = PublicKey::from_spki(&hex(&group["publicKeyDer"])).unwrap();
            for case in group["tests"].as_array().unwrap() {
                let good = case["result"] == "valid";
                let (message, signature) = (hex(&case["msg"]), hex(&case["sig"]));
                for provider in [OWN_ALGORITHMS, rustcrypto::ALGORITHMS] {
                    let algorithm = provider[place];
                    let found = algorithm.verify_signature(key.as_bytes(), &message, &signature);
                    assert_eq!(found.is_ok(), good, "{algorithm:?} {case}");
                }
                *(if good { &mut valid } else { &mut invalid }) += 1;
            }
        }
        println!("wycheproof {file} valid={valid} invalid={invalid}");
        assert_eq!(valid + invalid, count);
        assert!(valid > 80 && invalid > 60, "{valid} {invalid}");
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn both_providers_judge_full_tags_as_wycheproof_does() {
    let (mut valid, mut invalid) = (0, 0);
    let (groups, count) = groups("hmac_sha256_test.json");
    for group in groups {
        // A truncated tag is never accepted here, whatever it would be elsewhere.
        let full = group["tagSize"] == 256;
        for case in group["tests"].as_array().unwrap() {
            let (key, message, tag) = (hex(&case["key"]), hex(&case["msg"]), hex(&case["tag"]));
            let good = full && case["result"] == "valid";
            let macs: [Box<dyn Mac>; 2] = [
                Box::new(ring::HmacSha256::new(&key)),
                Box::new(rustcrypto::HmacSha256::new(&key).unwrap()),
            ];
            for mac in macs {
                assert_eq!(mac.verify(&[&message], &tag).is_ok(), good, "{case}");
            }
            *(if good { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!(valid + invalid, count);
    assert!(valid > 20 && invalid > 50, "{valid} {invalid}");
}
