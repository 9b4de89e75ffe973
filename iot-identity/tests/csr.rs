//! Certification requests made by others, and ours read by others.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "support/forge.rs"]
#[allow(dead_code, reason = "other tests forge more")]
mod forge;
#[path = "support/pem.rs"]
mod pem;

use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

use iot_core::crypto::SignatureAlgorithm;
use iot_core::{DeviceId, Timestamp};
use iot_identity::cert::path::COMMON_ALGORITHMS;
use iot_identity::cert::{Authority, CertificationRequest, Request, RequestError, Validity, csr};
use iot_identity::key::PublicKey;
use iot_identity::ring;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::request::CertReq;

/// What each of the requests is found to be: how many extensions it asks for, or why it is refused.
const VECTORS: &[(&str, Result<usize, RequestError>, &str)] = &[
    ("bad-version.pem", Err(RequestError::Version), "version 2"),
    (
        "basic_constraints.pem",
        Err(RequestError::Algorithm),
        "SHA-1",
    ),
    (
        "challenge-invalid.der",
        Err(RequestError::NoPossession),
        "signed before it was changed",
    ),
    (
        "challenge-multi-valued.der",
        Err(RequestError::Malformed),
        "a set in no order",
    ),
    ("challenge-unstructured.pem", Ok(0), ""),
    ("challenge.pem", Ok(0), ""),
    ("dsa_sha1.der", Err(RequestError::Key), "DSA"),
    ("dsa_sha1.pem", Err(RequestError::Key), "DSA"),
    ("ec_sha256.der", Ok(0), "P-384"),
    ("ec_sha256.pem", Ok(0), "P-384"),
    ("ec_sha256_old_header.pem", Ok(0), "P-384"),
    (
        "freeipa-bad-critical.pem",
        Err(RequestError::Attribute),
        "a default that is written",
    ),
    (
        "invalid_signature.pem",
        Err(RequestError::NoPossession),
        "another's signature",
    ),
    (
        "long-form-attribute.pem",
        Err(RequestError::Malformed),
        "a length in the long form",
    ),
    ("rsa_md4.der", Err(RequestError::Algorithm), "MD4"),
    ("rsa_md4.pem", Err(RequestError::Algorithm), "MD4"),
    ("rsa_sha1.der", Err(RequestError::Algorithm), "SHA-1"),
    ("rsa_sha1.pem", Err(RequestError::Algorithm), "SHA-1"),
    ("rsa_sha256.der", Ok(0), ""),
    ("rsa_sha256.pem", Ok(0), ""),
    ("san_rsa_sha1.der", Err(RequestError::Algorithm), "SHA-1"),
    ("san_rsa_sha1.pem", Err(RequestError::Algorithm), "SHA-1"),
    (
        "two_basic_constraints.pem",
        Err(RequestError::Attribute),
        "an extension twice",
    ),
    (
        "unsupported_extension.pem",
        Err(RequestError::Algorithm),
        "SHA-1",
    ),
    (
        "unsupported_extension_critical.pem",
        Err(RequestError::Algorithm),
        "SHA-1",
    ),
    (
        "zero-element-attribute.pem",
        Err(RequestError::Attribute),
        "an attribute without a value",
    ),
];

#[test]
#[ignore = "needs IOT_VECTORS"]
fn each_request_is_read_or_refused_by_name() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors");
    let root = std::env::var_os("IOT_VECTORS").unwrap_or_else(|| default.into());
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(PathBuf::from(root).join("csr")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let der = if name.ends_with(".pem") {
            pem::decode(core::str::from_utf8(&bytes).unwrap())
        } else {
            bytes
        };
        let found = CertificationRequest::parse(&der, COMMON_ALGORITHMS)
            .map(|request| request.extensions().len());
        println!("{name}: {found:?}");
        let listed = VECTORS.iter().find(|(file, _, _)| *file == name);
        if listed.map(|(_, expected, _)| *expected) != Some(found) {
            wrong.push((name, found));
        }
        // For a device, none of them is one: other keys, and subjects of more than a name.
        assert!(Request::parse(&der).is_err());
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((seen, VECTORS.len()), (26, 26));
}

#[test]
fn what_a_request_asks_for_is_returned_and_not_certified() {
    let key = forge::Key::new(SignatureAlgorithm::Ed25519);
    let unknown = forge::extension(&[0x2a, 3, 4], true, &[5, 0]);
    let authority = forge::standard(19, true, &[0x30, 3, 1, 1, 0xff]);
    let asked = forge::seq(&[unknown, authority]);
    let request = forge::tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]);
    let attribute = forge::seq(&[request, forge::tlv(0x31, &asked)]);
    let message = forge::seq(&[
        vec![2, 1, 0],
        forge::name(&[(forge::COMMON_NAME, forge::UTF8, "boiler-7")]),
        key.spki.clone(),
        forge::tlv(0xa0, &attribute),
    ]);
    let signature = key.sign(&message);
    let der = forge::signed(message, key.algorithm(), &signature);
    let found = CertificationRequest::parse(&der, COMMON_ALGORITHMS).unwrap();
    let kinds: Vec<_> = found
        .extensions()
        .iter()
        .map(|one| (one.kind(), one.is_critical()))
        .collect();
    assert_eq!(
        kinds,
        [(&[0x2a, 3, 4][..], true), (&[0x55, 0x1d, 19], true)]
    );

    let mut entropy = ring::SystemEntropy::new();
    let day = Validity::lasting(
        Timestamp::from_secs(1_800_000_000),
        Duration::from_secs(86_400),
    );
    let root = ring::SoftwareKey::generate(SignatureAlgorithm::Ed25519).unwrap();
    let root = Authority::root(root, "Acme", day, &mut entropy).unwrap();
    let request = Request::parse(&der).unwrap();
    let issued = root.ldevid_for(&request, day, &mut entropy).unwrap();
    let issued = Certificate::from_der(&issued).unwrap();
    let extensions = issued.tbs_certificate().extensions().unwrap();
    let kinds: Vec<_> = extensions
        .iter()
        .map(|one| one.extn_id.to_string())
        .collect();
    assert_eq!(
        kinds,
        [
            "2.5.29.35",
            "2.5.29.14",
            "2.5.29.15",
            "2.5.29.37",
            "2.5.29.17"
        ]
    );
}

#[test]
fn a_key_for_which_anybody_can_sign_is_no_key_to_possess() {
    // The neutral element: for it, one signature is right over every message.
    let signature = [&[1][..], &[0; 63]].concat();
    let key = PublicKey::new(SignatureAlgorithm::Ed25519, &signature[..32]).unwrap();
    let message = forge::seq(&[
        vec![2, 1, 0],
        forge::name(&[(forge::COMMON_NAME, forge::UTF8, "boiler-7")]),
        key.spki_parts().concat(),
        vec![0xa0, 0],
    ]);
    let algorithm = forge::seq(&[forge::tlv(6, &[0x2b, 0x65, 0x70])]);
    let der = forge::signed(message, algorithm, &signature);
    assert_eq!(Request::parse(&der), Err(RequestError::Key));
}

#[test]
fn x509_cert_reads_what_we_write() {
    let device = DeviceId::new("boiler-7").unwrap();
    for algorithm in [
        SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::Ed25519,
    ] {
        let key = ring::SoftwareKey::generate(algorithm).unwrap();
        let mut buffer = [0; csr::MAX_CSR_BYTES];
        let der = csr::write(&device, &key, &mut buffer).unwrap();
        let request = CertReq::from_der(der).unwrap();
        assert_eq!(request.info.subject.to_string(), "CN=boiler-7");
        assert_eq!(request.info.attributes.len(), 0);
        let spki = request.info.public_key.to_der().unwrap();
        assert_eq!(PublicKey::from_spki(&spki), PublicKey::of(&key).ok());
        assert_eq!(request.to_der().unwrap(), der);
    }
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
