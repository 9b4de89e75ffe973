//! Each fault is found by the suite, and by the fact that is about it.

use futures::executor::block_on;
use iot_twin::registry::conformance::{self, Fact, Subject};

use super::broken::{Broken, Flaw};

struct Bitten(Flaw);

impl Subject for Bitten {
    type Store = Broken;

    async fn open(&mut self) -> Broken {
        Broken::new(self.0)
    }

    // Nothing here takes time, so what was not woken by now never is.
    async fn pause(&mut self) {}
}

#[test]
fn the_suite_finds_every_planted_fault_and_none_in_the_control() {
    let control = block_on(conformance::run(&mut Bitten(Flaw::None)));
    assert!(control.failures().next().is_none(), "{control}");
    for flaw in Flaw::ALL {
        let report = block_on(conformance::run(&mut Bitten(flaw)));
        let fact = match flaw {
            Flaw::None => continue,
            Flaw::ExpectIgnored | Flaw::ConflictMute => Fact::Conflict,
            Flaw::FalseSuccess => Fact::NoLostUpdate,
            Flaw::HalfBatch => Fact::WholeBatch,
            Flaw::TwiceTaken | Flaw::NoLimit => Fact::BadBatch,
            Flaw::WrongNumber => Fact::Numbers,
            Flaw::NotRemoved | Flaw::StaleRead | Flaw::TimeForgotten => Fact::ReadBack,
            Flaw::PageOverlaps | Flaw::PageSkips | Flaw::TestsIgnored => Fact::Query,
            Flaw::TenantIgnored => Fact::Tenant,
            Flaw::HistoryBackwards | Flaw::HistoryShort => Fact::History,
            Flaw::EventSkipped | Flaw::EventTwice | Flaw::RemovalUntold => Fact::Watch,
            Flaw::LossUntold => Fact::Lost,
            Flaw::NotWoken => Fact::Wakes,
            Flaw::DropLoses => Fact::DroppedNext,
            Flaw::PlaceBelieved => Fact::Foreign,
            Flaw::ResumeLate => Fact::Resume,
        };
        assert!(
            report.failures().any(|failed| failed == fact),
            "{flaw:?} was not found:\n{report}"
        );
    }
}
