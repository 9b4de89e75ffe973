//! Each bug is found by the fact that is named for it, and each fact finds one.

use iot_core::crypto::SignatureAlgorithm;
use iot_identity::conformance::{Fact, Report, Subject, Work, run, together};

use crate::broken::{Broken, Bug};

const FOUND: [(Bug, Fact); 28] = [
    (Bug::MakesTheOtherAlgorithm, Fact::Generate),
    (Bug::Overwrites, Fact::Occupied),
    (Bug::LendsTheNeighbour, Fact::Absent),
    (Bug::OccupiesUnsupported, Fact::Algorithm),
    (Bug::TakesEverySlot, Fact::Limit),
    (Bug::DestroysOnce, Fact::Destroy),
    (Bug::ForgetsToDestroy, Fact::Destroy),
    (Bug::DestroysForLife, Fact::ForLife),
    (Bug::RepeatsKeys, Fact::Fresh),
    (Bug::DestroysTheNeighbour, Fact::Isolation),
    (Bug::SignsWithTheNeighbour, Fact::Isolation),
    (Bug::LentSignsOn, Fact::LentStops),
    (Bug::LentSignsWithTheNext, Fact::LentStops),
    (Bug::CompressesPoints, Fact::PublicForm),
    (Bug::MiscountsBuffers, Fact::PublicForm),
    (Bug::ForgetsKeys, Fact::Durable),
    (Bug::ForgetsPolicies, Fact::Durable),
    (Bug::BringsKeysBack, Fact::Durable),
    (Bug::SignsWithTheNeighbour, Fact::Verifies),
    (Bug::SignsDer, Fact::SignatureForm),
    (Bug::StripsZeros, Fact::SignatureForm),
    (Bug::SignsTheFirstPart, Fact::Parts),
    (Bug::RefusesEmpty, Fact::Sizes),
    (Bug::CutsLarge, Fact::Sizes),
    (Bug::HashesDigests, Fact::Digest),
    (Bug::FailsOnDigests, Fact::Digest),
    (Bug::TiresOfThreads, Fact::Threads),
    (Bug::FillsTwice, Fact::OneGenerates),
];

struct Planted(Bug);

impl Subject for Planted {
    type Store = Broken;

    fn open(&mut self) -> Broken {
        Broken::new(self.0)
    }

    fn reopen(&mut self, store: Broken) -> Broken {
        store.reopened()
    }

    fn together(&self, store: &Broken, threads: usize, work: Work<'_, Broken>) {
        together(store, threads, work);
    }

    fn algorithms(&self) -> &[SignatureAlgorithm] {
        let both = &[
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::Ed25519,
        ];
        if self.0 == Bug::OccupiesUnsupported {
            &both[..1]
        } else {
            both
        }
    }

    fn signatures(&self) -> usize {
        if self.0 == Bug::StripsZeros {
            2_000
        } else {
            64
        }
    }
}

fn report(bug: Bug) -> Report {
    run(&mut Planted(bug))
}

#[test]
fn a_store_without_a_bug_shows_every_fact() {
    let report = report(Bug::Nothing);
    assert_eq!(report.held().count(), Fact::ALL.len(), "\n{report}");
}

#[test]
fn each_bug_is_found_by_the_fact_that_is_named_for_it() {
    for (bug, fact) in FOUND
        .into_iter()
        .chain([(Bug::DestroysLater, Fact::Disarmed)])
    {
        let report = report(bug);
        let failures: Vec<Fact> = report.failures().collect();
        println!("{bug:?}: {failures:?}");
        assert!(
            failures.contains(&fact),
            "{bug:?} was not found by {fact}:\n{report}"
        );
        // What is wrong in one way is not called wrong in every way.
        // These two spoil whatever is signed.
        let all = matches!(bug, Bug::CompressesPoints | Bug::SignsDer);
        let few = failures.len() < 12 || all;
        assert!(few, "{bug:?}:\n{report}");
    }
}

#[test]
fn each_fact_finds_a_bug() {
    for fact in Fact::ALL {
        let found = FOUND.iter().any(|(_, by)| *by == fact) || fact == Fact::Disarmed;
        assert!(found, "{fact} finds nothing");
    }
}
