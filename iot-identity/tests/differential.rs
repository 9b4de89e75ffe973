//! Chains that OpenSSL judges beside us.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "support/chains.rs"]
mod chains;
#[allow(dead_code, reason = "other tests forge more")]
#[path = "support/forge.rs"]
mod forge;

use alloc::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use iot_core::Timestamp;
use iot_core::time::TimeBounds;
use iot_identity::cert::path::{Anchor, PathError, PathPolicy, Purpose};
use rustls_pki_types::{CertificateDer, ServerName};

use chains::{Ask, Chain};

const NOW: u64 = 1_800_000_000;

/// What we say where OpenSSL says nothing, after which changes it may, and what makes us right.
const STRICTER: &[(&str, &[&str], &str)] = &[
    (
        "Leaf(AuthorityAsLeaf)",
        &["authority as leaf", "basic constraints"],
        "on purpose: a key that serves could sign certificates from where it serves",
    ),
    (
        "Leaf(AlternativeName)",
        &["alternative names", "name constraints"],
        "RFC 5280 §4.2.1.6: a name is a host, a mailbox, an absolute URI, an address of 4 or 16 octets",
    ),
    (
        "ServerName",
        &["alternative names", "subject"],
        "RFC 9525 §2: the common name is no host name; and one that is an address must be an alternative name",
    ),
    (
        "Purpose",
        &["extended key usage", "key usage"],
        "RFC 5280 §4.2.1.12: any purpose MAY be rejected; §4.2.1.3: TLS 1.3 signs, so digitalSignature",
    ),
    (
        "Authority(ExtendedKeyUsage)",
        &["extended key usage"],
        "RFC 5280 §4.2.1.12: at least one purpose; of an anchor no rule says what one means",
    ),
    (
        "Leaf(ExtendedKeyUsage)",
        &["extended key usage"],
        "RFC 5280 §4.2.1.12: SEQUENCE SIZE (1..MAX)",
    ),
    (
        "Authority(KeyIdentifier)",
        &["bit", "key identifier", "encoding"],
        "RFC 5280 §4.2.1.1 and §4.2.1.2: in all certificates, non-critical, and that of the issuer",
    ),
    (
        "Leaf(KeyIdentifier)",
        &["key identifier", "encoding"],
        "RFC 5280 §4.2.1.1 and §4.2.1.2, in DER",
    ),
    (
        "Authority(NameConstraints)",
        &["name constraints"],
        "RFC 5280 §4.2.1.10: no leading period in a DNS name, an address with a CIDR mask",
    ),
    (
        "Authority(CriticalExtension)",
        &["bit", "policy extension"],
        "RFC 5280 §4.2.1.4: policies are not processed, so a critical one is refused",
    ),
    (
        "Leaf(CriticalExtension)",
        &["policy extension"],
        "RFC 5280 §4.2.1.4: policies are not processed, so a critical one is refused",
    ),
    (
        "NoAnchor",
        &["bit", "issuer"],
        "RFC 5280 §7.1: names that are equal but for case or kind of string; ours are copied",
    ),
    (
        "Signature",
        &["algorithm"],
        "RFC 8410 §3: \"the parameters MUST be absent\"",
    ),
    (
        "Authority(Version)",
        &["bit", "version"],
        "RFC 5280 §4.1.2.1: extensions are of version 3",
    ),
    (
        "Leaf(Version)",
        &["version"],
        "RFC 5280 §4.1.2.1: extensions are of version 3",
    ),
    (
        "Authority(Serial)",
        &["bit", "serial"],
        "RFC 5280 §4.1.2.2: positive, at most 20 octets",
    ),
    (
        "Leaf(Serial)",
        &["serial"],
        "RFC 5280 §4.1.2.2: positive, at most 20 octets",
    ),
    (
        "Authority(Dates)",
        &["bit", "form of a date"],
        "RFC 5280 §4.1.2.5: UTCTime through 2049",
    ),
    (
        "Leaf(Dates)",
        &["form of a date"],
        "RFC 5280 §4.1.2.5: UTCTime through 2049",
    ),
    (
        "Authority(UniqueId)",
        &["bit", "unique id"],
        "RFC 5280 §4.1.2.8: MUST NOT be generated",
    ),
    (
        "Leaf(UniqueId)",
        &["unique id"],
        "RFC 5280 §4.1.2.8: MUST NOT be generated",
    ),
    (
        "Authority(BasicConstraints)",
        &["bit", "encoding", "basic constraints"],
        "X.690 §11.1 and §11.5: a true is ff, a default is not written",
    ),
    (
        "Leaf(BasicConstraints)",
        &["encoding", "basic constraints"],
        "X.690 §11.1 and §11.5: a true is ff, a default is not written",
    ),
    (
        "Authority(KeyUsage)",
        &["bit", "encoding", "key usage"],
        "X.690 §11.2.2: trailing zeros are not written; RFC 5280 §4.2.1.3: in every authority's certificate",
    ),
    (
        "Leaf(KeyUsage)",
        &["encoding", "key usage"],
        "X.690 §11.2.2; RFC 5280 §4.2.1.9: keyCertSign only with cA",
    ),
    (
        "Authority(Key)",
        &["bit"],
        "RFC 5280 §4.1.2.7: a key is a BIT STRING of whole octets",
    ),
    (
        "Authority(Encoding)",
        &[
            "long length",
            "trailing byte",
            "unused bits",
            "encoding",
            "subject",
            "bit",
        ],
        "RFC 5280 §4.1: DER, and nothing behind it",
    ),
    (
        "Leaf(Encoding)",
        &[
            "long length",
            "trailing byte",
            "unused bits",
            "encoding",
            "subject",
            "bit",
        ],
        "RFC 5280 §4.1: DER, and nothing behind it",
    ),
];

type Proof = fn(&Chain) -> bool;

/// What OpenSSL says where we say nothing, and the proof that it is wrong.
const LAXER: &[(&str, Proof, &str)] = &[(
    "certificate has expired",
    |chain| ours_at(chain, NOW + 1) == Err(PathError::Expired),
    "RFC 5280 §4.1.2.5: \"from notBefore through notAfter, inclusive\"",
)];

fn ours_at(chain: &Chain, now: u64) -> Result<(), PathError> {
    let anchors: Vec<_> = chain
        .anchors
        .iter()
        .map(|der| Anchor::new(&CertificateDer::from(der.clone())))
        .collect::<Result<_, _>>()
        .map_err(PathError::Authority)?;
    let purpose = match chain.ask {
        Ask::Any => Purpose::Any,
        Ask::Client => Purpose::Client,
        Ask::Host(name) | Ask::Address(name) => {
            Purpose::Server(ServerName::try_from(name).unwrap())
        }
    };
    let between: Vec<&[u8]> = chain.between.iter().map(Vec::as_slice).collect();
    let wall = TimeBounds::exact(Timestamp::from_secs(now));
    let policy = PathPolicy::new(wall, purpose);
    let found = policy.verify(&chain.leaf, &between, &anchors).map(|_| ());
    #[cfg(feature = "rustcrypto")]
    {
        let chip = policy.algorithms(iot_identity::rustcrypto::ALGORITHMS);
        let chip = chip.verify(&chain.leaf, &between, &anchors).map(|_| ());
        assert_eq!(chip, found, "a chip judges otherwise: {:?}", chain.kinds);
    }
    found
}

fn pem(ders: &[Vec<u8>]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for der in ders {
        out += "-----BEGIN CERTIFICATE-----\n";
        for line in der.chunks(48) {
            for three in line.chunks(3) {
                let mut bits = [0; 4];
                bits[1..=three.len()].copy_from_slice(three);
                let bits = u32::from_be_bytes(bits);
                for place in 0..4usize {
                    let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
                    out.push(if place <= three.len() {
                        char::from(DIGITS[digit])
                    } else {
                        '='
                    });
                }
            }
            out.push('\n');
        }
        out += "-----END CERTIFICATE-----\n";
    }
    out
}

/// Whether OpenSSL takes the chain, and what it says otherwise.
fn theirs(folder: &Path, chain: &Chain) -> Result<(), String> {
    let write = |name: &str, ders: &[Vec<u8>]| {
        let path = folder.join(name);
        std::fs::write(&path, pem(ders)).unwrap();
        path
    };
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-x509_strict",
        "-partial_chain",
        "-no-CApath",
        "-no-CAstore",
    ]);
    command.arg("-attime").arg(NOW.to_string());
    command.arg("-CAfile").arg(write("anchors", &chain.anchors));
    if !chain.between.is_empty() {
        command
            .arg("-untrusted")
            .arg(write("between", &chain.between));
    }
    match chain.ask {
        Ask::Any => {}
        Ask::Client => {
            command.args(["-purpose", "sslclient"]);
        }
        Ask::Host(name) => {
            command.args(["-purpose", "sslserver", "-verify_hostname", name]);
        }
        Ask::Address(name) => {
            command.args(["-purpose", "sslserver", "-verify_ip", name]);
        }
    }
    command.arg(write("leaf", core::slice::from_ref(&chain.leaf)));
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("error ") || line.contains("nable to"));
    Err(line.unwrap_or(&text).to_owned())
}

#[test]
#[ignore = "needs openssl"]
fn whatever_openssl_refuses_is_refused_and_what_only_we_refuse_is_listed() {
    let count = std::env::var("IOT_CHAINS").map_or(600, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let keys = chains::keys();
    let mut tally: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut open: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut used = vec![0; STRICTER.len()];
    let (mut both, mut neither, mut stricter, mut inclusive) = (0, 0, 0, 0);
    for seed in 0..count {
        let chain = chains::chain(&keys, seed);
        let (ours, theirs) = (ours_at(&chain, NOW), theirs(folder.path(), &chain));
        let kinds: &[&str] = if chain.kinds.is_empty() {
            &["none"]
        } else {
            &chain.kinds
        };
        let column = match (&ours, &theirs) {
            (Ok(()), Ok(())) => 0,
            (Err(_), Err(_)) => 1,
            (Err(_), Ok(())) => 2,
            (Ok(()), Err(_)) => 3,
        };
        for kind in kinds {
            tally.entry(kind).or_default()[column] += 1;
        }
        match (&ours, &theirs) {
            (Ok(()), Ok(())) => both += 1,
            (Err(_), Err(_)) => neither += 1,
            (Err(error), Ok(())) => {
                let said = format!("{error:?}");
                let listed = STRICTER.iter().position(|(ours, after, _)| {
                    *ours == said && kinds.iter().any(|kind| after.contains(kind))
                });
                if let Some(place) = listed {
                    used[place] += 1;
                    stricter += 1;
                } else {
                    let entry = open
                        .entry(format!("stricter {kinds:?} {said}"))
                        .or_insert((0, seed));
                    entry.0 += 1;
                }
            }
            (Ok(()), Err(text)) => {
                let listed = LAXER
                    .iter()
                    .any(|(what, proof, _)| text.contains(what) && proof(&chain));
                if listed {
                    inclusive += 1;
                    continue;
                }
                let entry = open
                    .entry(format!("LAXER {kinds:?} {text}"))
                    .or_insert((0, seed));
                entry.0 += 1;
            }
        }
        assert!(
            !chain.kinds.is_empty() || ours.is_ok(),
            "seed {seed}: {ours:?} {theirs:?}"
        );
    }
    for (kind, [both, neither, ours, theirs]) in &tally {
        println!(
            "{kind}: accepted {both}, refused {neither}, only by us {ours}, only by them {theirs}"
        );
    }
    println!(
        "chains={count} accepted={both} refused={neither} stricter={stricter} inclusive={inclusive} unexplained={}",
        open.values().map(|(times, _)| times).sum::<usize>()
    );
    for (what, (times, seed)) in &open {
        println!("{times} times, first seed {seed}: {what}");
    }
    assert!(open.is_empty());
    // The whole table has to be met, or it says what nobody has seen.
    if count >= 10_000 {
        for ((ours, after, _), times) in STRICTER.iter().zip(&used) {
            // A bit that hits just there is rare.
            assert!(*times > 0 || *after == ["bit"], "never met: {ours}");
        }
    }
    assert!(both * 8 > count && neither * 4 > count);
}
