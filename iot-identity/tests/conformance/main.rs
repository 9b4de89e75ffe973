//! Both software providers pass the conformance suite, and the suite finds stores that do not.
#![cfg(feature = "conformance")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    reason = "these are tests, helpers included"
)]

mod bites;
mod broken;

use iot_core::crypto::SignatureAlgorithm;
use iot_identity::conformance::{Fact, Lack, Report, Subject, Work, run, together};
use iot_identity::{ring, rustcrypto};

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

struct Ring;

impl Subject for Ring {
    type Store = ring::SoftwareKeys;

    fn open(&mut self) -> Self::Store {
        ring::SoftwareKeys::new()
    }

    fn together(&self, store: &Self::Store, threads: usize, work: Work<'_, Self::Store>) {
        together(store, threads, work);
    }

    fn lacks(&self) -> &[Lack] {
        &[Lack::Durable, Lack::Limit]
    }
}

struct RustCrypto;

impl Subject for RustCrypto {
    type Store = rustcrypto::SoftwareKeys<ring::SystemEntropy, 4>;

    fn open(&mut self) -> Self::Store {
        rustcrypto::SoftwareKeys::new(ring::SystemEntropy::new())
    }

    fn algorithms(&self) -> &[SignatureAlgorithm] {
        &[SignatureAlgorithm::EcdsaP256Sha256]
    }

    fn lacks(&self) -> &[Lack] {
        &[Lack::Durable, Lack::Threads]
    }
}

#[test]
fn ring_keys_pass() {
    assert_passed(&run(&mut Ring), Ring.lacks());
}

#[test]
fn rustcrypto_keys_pass() {
    assert_passed(&run(&mut RustCrypto), RustCrypto.lacks());
}
