//! Each bug is found by the fact that is named for it, and each fact finds one.

use futures::executor::block_on;
use iot_core::sim::Faults;
use iot_transport::conformance::{Fact, Lack, Report, run};

use crate::broken::{Broken, Bug};
use crate::subjects::{Memory, Simulated};

/// The bug, the fact that must find it, and on which good transport: true is the simulated net.
const FOUND: [(Bug, Fact, bool); 26] = [
    (Bug::TellsFatesTwice, Fact::OneFate, false),
    (Bug::ForgetsFatesAfterBreak, Fact::OneFate, false),
    (Bug::LosesOnReconnect, Fact::DeliveredArrives, false),
    (Bug::AcknowledgesEarly, Fact::DeliveredAfterReturn, false),
    (Bug::Reorders, Fact::Order, false),
    (Bug::HandsOverOnce, Fact::HandedOverComesAgain, false),
    (Bug::RepeatsAtMostOnce, Fact::AtMostOnce, false),
    (Bug::SendsWhatWasBusy, Fact::Busy, false),
    (Bug::StatesTooManyInFlight, Fact::Busy, false),
    (Bug::SendsTheStartOfTooLarge, Fact::TooLarge, false),
    (Bug::StatesTooLittle, Fact::Limits, false),
    (Bug::LosesWithSmallBuffer, Fact::SmallBuffer, false),
    (Bug::LosesWithDroppedNext, Fact::DroppedNext, false),
    (Bug::QueuesDroppedSubmit, Fact::DroppedSubmit, false),
    (Bug::RefusesWhileDown, Fact::KeptWhileDown, false),
    (Bug::ForgetsWhileDown, Fact::KeptWhileDown, false),
    (Bug::TellsConnectedTwice, Fact::LinkTold, false),
    (Bug::HidesDisconnected, Fact::LinkTold, false),
    (Bug::IgnoresExpiry, Fact::Expiry, true),
    (Bug::ForgetsSubscriptions, Fact::SubscriptionsSurvive, true),
    (Bug::HidesLostSession, Fact::SubscriptionsSurvive, true),
    (Bug::SubscribesEverything, Fact::Unsubscribed, false),
    (Bug::SwallowsEmpty, Fact::Payloads, false),
    (Bug::CutsZeros, Fact::Payloads, false),
    (Bug::SwapsChannels, Fact::Address, false),
    (Bug::LosesPeers, Fact::Address, true),
];

/// Subjects take plain functions, so the bug travels in a static of this thread.
fn report(bug: Bug, simulated: bool) -> Report {
    use core::cell::Cell;
    std::thread_local!(static BUG: Cell<Bug> = const { Cell::new(Bug::Nothing) });
    BUG.set(bug);
    if simulated {
        let wrap = |end| Broken::new(end, BUG.get());
        block_on(run(&mut Simulated::new(
            1,
            Faults::NONE,
            wrap,
            Broken::inner,
        )))
    } else {
        let wrap = |end| Broken::new(end, BUG.get());
        block_on(run(&mut Memory::new(wrap, Broken::inner)))
    }
}

#[test]
fn each_bug_is_found_by_the_fact_that_is_named_for_it() {
    for (bug, fact, simulated) in FOUND {
        let report = report(bug, simulated);
        let failures: Vec<Fact> = report.failures().collect();
        println!("{bug:?}: {failures:?}");
        assert!(
            failures.contains(&fact),
            "{bug:?} was not found by {fact}:\n{report}"
        );
        // What is wrong in one way is not called wrong in every way.
        assert!(failures.len() < 8, "{bug:?}:\n{report}");
    }
}

#[test]
fn each_fact_finds_a_bug() {
    for fact in Fact::ALL {
        assert!(
            FOUND.iter().any(|(_, found_by, _)| *found_by == fact),
            "{fact} finds nothing"
        );
    }
}

#[test]
fn the_wrapper_without_a_bug_passes() {
    crate::assert_passed(&report(Bug::Nothing, false), &[Lack::Session, Lack::Clock]);
    crate::assert_passed(&report(Bug::Nothing, true), &[Lack::EndToEnd]);
}
