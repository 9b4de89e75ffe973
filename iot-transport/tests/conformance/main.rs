//! Every binding of this crate passes the conformance suite, and the suite finds bindings that do not.
#![cfg(all(feature = "conformance", feature = "sim"))]
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
#[cfg(all(feature = "hub", feature = "chip"))]
mod chip;
mod layers;
#[cfg(feature = "hub")]
mod mqtt;
#[cfg(feature = "hub")]
mod server;
mod subjects;

use iot_core::sim::Faults;
use iot_transport::conformance::{Fact, Lack, Report, run};

use subjects::{Memory, Simulated};

/// Everything that can be shown was shown and held.
pub(crate) fn assert_passed(report: &Report, lacks: &[Lack]) {
    println!("{report}");
    assert_eq!(report.iter().count(), Fact::ALL.len());
    assert_eq!(report.failures().count(), 0, "\n{report}");
    for (fact, why) in report.not_shown() {
        let declared = fact.needs().iter().any(|need| lacks.contains(need));
        let vacuous = fact == Fact::DroppedSubmit && why == "submit never waits";
        assert!(declared || vacuous, "{fact} was left out: {why}");
    }
}

#[test]
fn the_link_in_memory_passes() {
    let mut subject = Memory::new(|end| end, |end| end);
    let report = futures::executor::block_on(run(&mut subject));
    assert_passed(&report, &[Lack::Session, Lack::Clock]);
}

#[test]
fn the_simulated_net_passes() {
    for (seed, faults) in [(1, Faults::NONE), (2, Faults::new(0, 0, 20, 20))] {
        let mut subject = Simulated::new(seed, faults, |end| end, |end| end);
        let report = futures::executor::block_on(run(&mut subject));
        assert_passed(&report, &[Lack::EndToEnd]);
    }
}

/// Loss, repetition and delay break nothing of the contract but the order.
#[test]
fn the_simulated_net_passes_under_faults_except_for_the_order() {
    for seed in 0..20 {
        let faults = Faults::new(100, 100, 0, 90);
        let mut subject = Simulated::new(seed, faults, |end| end, |end| end).without(Lack::Order);
        let report = futures::executor::block_on(run(&mut subject));
        assert_eq!(report.failures().count(), 0, "seed {seed}\n{report}");
    }
}
