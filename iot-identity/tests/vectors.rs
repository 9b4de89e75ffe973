//! Signatures, tags and requests made by others.
#![cfg(all(feature = "cert", feature = "rustcrypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "support/pem.rs"]
mod pem;

use std::path::PathBuf;
use std::process::Command;

use iot_core::crypto::{Mac, SignatureAlgorithm, Verifier};
use iot_core::{DeviceId, Timestamp};
use iot_identity::cert::{Authority, Request, RequestError, Validity, csr};
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

fn groups(file: &str) -> Vec<Value> {
    let text = std::fs::read(folder("wycheproof").join(file)).unwrap();
    let whole: Value = serde_json::from_slice(&text).unwrap();
    whole["testGroups"].as_array().unwrap().clone()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Runs every case against both providers; returns how many were valid and how many were not.
fn signatures(file: &str, algorithm: SignatureAlgorithm) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for group in groups(file) {
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

#[test]
#[ignore = "needs IOT_VECTORS"]
fn both_providers_judge_full_tags_as_wycheproof_does() {
    let (mut valid, mut invalid) = (0, 0);
    for group in groups("hmac_sha256_test.json") {
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
    assert!(valid > 20 && invalid > 50, "{valid} {invalid}");
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn requests_with_other_keys_or_broken_structure_are_refused_by_name() {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder("csr")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let der = if name.ends_with(".pem") {
            pem::decode(core::str::from_utf8(&bytes).unwrap())
        } else {
            bytes
        };
        seen.push((name, Request::parse(&der).unwrap_err()));
    }
    let of = |name: &str| seen.iter().find(|(file, _)| file == name).unwrap().1;
    assert_eq!(of("bad-version.pem"), RequestError::Malformed);
    assert_eq!(of("ec_sha256.der"), RequestError::Key);
    assert_eq!(of("rsa_sha256.der"), RequestError::Key);
    assert!(seen.len() > 20, "{}", seen.len());
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

#[test]
#[ignore = "needs openssl"]
fn openssl_reads_what_we_write_and_writes_what_we_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let device = DeviceId::new("boiler-7").unwrap();
    let mut entropy = ring::SystemEntropy::new();
    for (algorithm, options) in [
        (
            SignatureAlgorithm::EcdsaP256Sha256,
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        ),
        (SignatureAlgorithm::Ed25519, &["-algorithm", "ED25519"]),
    ] {
        let ours = ring::SoftwareKey::generate(algorithm).unwrap();
        let mut buffer = [0; csr::MAX_CSR_BYTES];
        std::fs::write(
            path("csr"),
            csr::write(&device, &ours, &mut buffer).unwrap(),
        )
        .unwrap();
        let text = openssl(&[
            "req",
            "-inform",
            "DER",
            "-in",
            &path("csr"),
            "-verify",
            "-noout",
            "-subject",
        ]);
        assert!(text.contains("boiler-7"), "{text}");

        openssl(&[&["genpkey", "-out", &path("key")][..], options].concat());
        openssl(&[
            "req",
            "-new",
            "-key",
            &path("key"),
            "-subj",
            "/CN=boiler-7",
            "-outform",
            "DER",
            "-out",
            &path("csr2"),
        ]);
        let request = Request::parse(&std::fs::read(path("csr2")).unwrap()).unwrap();
        assert_eq!(request.device(), &device);

        let start = Timestamp::from_secs(1_700_000_000);
        let validity = Validity::for_ever(start);
        let root = ring::SoftwareKey::generate(algorithm).unwrap();
        let root = Authority::root(root, "Acme", validity, &mut entropy).unwrap();
        let idevid = root.idevid(
            &device,
            "1.3.6.1.4.1.32473.1",
            request.public_key(),
            start,
            &mut entropy,
        );
        let ldevid = root.ldevid_for(&request, validity, &mut entropy);
        std::fs::write(path("root"), root.certificate()).unwrap();
        openssl(&[
            "x509",
            "-inform",
            "DER",
            "-in",
            &path("root"),
            "-out",
            &path("root.pem"),
        ]);
        for leaf in [idevid.unwrap(), ldevid.unwrap()] {
            std::fs::write(path("leaf"), &leaf).unwrap();
            openssl(&[
                "x509",
                "-inform",
                "DER",
                "-in",
                &path("leaf"),
                "-out",
                &path("leaf.pem"),
            ]);
            openssl(&[
                "verify",
                "-x509_strict",
                "-purpose",
                "sslclient",
                "-CAfile",
                &path("root.pem"),
                &path("leaf.pem"),
            ]);
        }
    }
}
