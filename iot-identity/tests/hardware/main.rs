//! Keys in hardware, which SoftHSM and swtpm stand for; each test starts its own and ends it.
#![cfg(all(
    feature = "conformance",
    feature = "pkcs11",
    feature = "tpm",
    feature = "tls"
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    reason = "these are tests, helpers included"
)]

extern crate alloc;

#[path = "../support/carry.rs"]
mod carry;
mod lying;
mod pkcs11;
mod softhsm;
mod swtpm;
mod tls;
mod tpm;
mod tpm_false;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use iot_core::crypto::{KeyStore, Signature, Signer, SlotId, Verifier};
use iot_identity::conformance::{Fact, Lack, Report, together};
use iot_identity::key::PublicKey;
use iot_identity::ring::SoftwareVerifier;

/// Everything that can be shown was shown and held.
fn assert_passed(report: &Report, lacks: &[Lack]) {
    println!("{report}");
    assert_eq!(report.iter().count(), Fact::ALL.len());
    assert_eq!(report.failures().count(), 0, "\n{report}");
    for (fact, why) in report.not_shown() {
        let declared = fact.needs().iter().any(|need| lacks.contains(need));
        assert!(declared, "{fact} was left out: {why}");
    }
}

const THREADS: usize = 8;

/// How many signatures the threads make; 10,000 in the long counts.
fn signatures() -> usize {
    std::env::var("IOT_SIGNATURES").map_or(400, |count| count.parse().unwrap())
}

/// Signs from eight threads with the keys in these slots; each signature must be good.
fn sign_from_threads<K: KeyStore + Sync>(name: &str, keys: &K, slots: &[SlotId]) {
    let verifiers: Vec<SoftwareVerifier> = slots
        .iter()
        .map(|slot| SoftwareVerifier::new(PublicKey::of(&keys.signer(*slot).unwrap()).unwrap()))
        .collect();
    let (wanted, next, good) = (signatures(), AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = Instant::now();
    together(keys, THREADS, &|keys, thread| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= wanted {
                return;
            }
            let at = number % slots.len();
            let message = format!("message {number} of thread {thread}");
            let mut signature = Signature::empty();
            let signer = keys.signer(slots[at]).expect("no slot error");
            signer
                .sign(&[message.as_bytes()], &mut signature)
                .expect("no slot error");
            let checked = verifiers[at].verify(&[message.as_bytes()], signature.as_bytes());
            checked.expect("a good signature");
            good.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (good, millis) = (good.into_inner(), begin.elapsed().as_millis());
    println!("{name}: {good} signatures from {THREADS} threads in {millis} ms, 0 errors");
    assert_eq!(good, wanted);
}
