//! The explorer bites: a correct counter reaches its fixpoint clean, and each way to get it wrong is caught.

#[path = "power/counter.rs"]
mod counter;

use counter::{Counter, Fault, KeyStyle};
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Ending, Explorer, Report};

type Explored = Explorer<Counter, 8, 32>;

const MODES: [Mode; 3] = [Mode::Rewritable, Mode::Multiwrite, Mode::WriteOnce];

fn explorer(counter: Counter, pages: u16, mode: Mode, config: Config) -> Explored {
    Explorer::new(counter, FlashImage::new(pages, mode), (0, 0), config)
}

fn explore(counter: Counter, pages: u16, mode: Mode, config: Config) -> Report {
    let report = explorer(counter, pages, mode, config).run();
    println!("counter {report}");
    report
}

/// Without instability two pages are enough, with one unstable unit it takes three.
const SOUND: [(u16, Config); 3] = [
    (2, Config::STABLE),
    (3, Config::STABLE),
    (3, Config::UNSTABLE),
];

#[test]
fn the_correct_counter_reaches_its_fixpoint_clean() {
    for mode in MODES {
        for (pages, mut config) in SOUND {
            if mode == Mode::Multiwrite && config.unstable_units > 0 {
                continue; // this counter never writes a word twice, so it is the same as rewritable
            }
            config.audit = true;
            config.merged_samples = 50;
            let report = explore(Counter::new(5), pages, mode, config);
            assert!(report.is_clean(), "{report:#?}");
            assert_eq!(report.merged_checked, 50);
        }
    }
}

#[test]
fn each_fault_is_caught_with_a_path_that_can_be_walked() {
    // Every fault under a configuration in which the correct counter is clean, see above.
    let all = [
        (Fault::MarkFirst, Config::STABLE),
        (Fault::WordWrittenTwice, Config::STABLE),
        (Fault::EraseBeforeCopy, Config::STABLE),
        (Fault::TornTrusted, Config::STABLE),
        (Fault::LastWordTrusted, Config::UNSTABLE),
        (Fault::ErasedTrusted, Config::UNSTABLE),
        (Fault::PriorErased, Config::UNSTABLE),
    ];
    for (fault, mut config) in all {
        // The cheapest models that can catch it, so that it is not caught by accident.
        config.torn.attempted &= fault == Fault::WordWrittenTwice;
        let subject = Counter {
            fault,
            key: KeyStyle::Words,
            ..Counter::new(5)
        };
        let mut explorer = explorer(subject, 3, Mode::Rewritable, config);
        let report = explorer.run();
        println!("{fault:?}: {report}");
        assert!(!report.fixpoint && report.failures.len() == 1, "{fault:?}");
        let failure = &report.failures[0];
        println!("{failure}");
        assert_eq!(failure.path.last().unwrap().ending, Ending::Violation);
        assert_eq!(failure.to_string().lines().count(), 1 + failure.path.len());
        let again = explorer.replay(&failure.path);
        assert_eq!(again.as_ref(), Some(&failure.violation), "{fault:?}");
    }
}

#[test]
fn two_pages_are_not_enough_when_the_newest_word_may_lie() {
    let report = explore(Counter::new(5), 2, Mode::WriteOnce, Config::UNSTABLE);
    assert_eq!(report.failures.len(), 1);
    let mut blind = Config::UNSTABLE;
    blind.unstable_units = 0;
    let report = explore(Counter::new(5), 2, Mode::WriteOnce, blind);
    assert!(report.is_clean() && report.capped > 0, "the cap hides it");
}

#[test]
fn a_path_leads_nowhere_once_the_fault_is_repaired() {
    let faulty = Counter {
        fault: Fault::EraseBeforeCopy,
        ..Counter::new(5)
    };
    let report = explorer(faulty, 3, Mode::Rewritable, Config::BASIC).run();
    let path = &report.failures[0].path;
    let mut repaired = explorer(Counter::new(5), 3, Mode::Rewritable, Config::BASIC);
    assert_eq!(repaired.replay(path), None);
}

#[test]
fn without_a_canonical_key_there_is_no_fixpoint() {
    let cells = Counter {
        key: KeyStyle::Cells,
        ..Counter::new(3)
    };
    let mut config = Config::BASIC;
    config.states = 30_000;
    let report = explore(cells, 3, Mode::WriteOnce, config);
    assert!(!report.fixpoint && report.failures.is_empty());
    let meaning = explore(Counter::new(3), 3, Mode::WriteOnce, config);
    assert!(meaning.is_clean() && meaning.states < 300);
}

#[test]
fn a_finer_key_finds_nothing_that_the_canonical_one_overlooks() {
    for mode in MODES {
        let words = Counter {
            key: KeyStyle::Words,
            ..Counter::new(4)
        };
        let report = explore(words, 2, mode, Config::STABLE);
        assert!(report.is_clean(), "{report:?}");
    }
}

#[test]
fn random_runs_agree_with_the_exploration() {
    for (pages, config) in SOUND {
        let mut explorer = explorer(Counter::new(5), pages, Mode::WriteOnce, config);
        assert!(explorer.run().is_clean());
        let random = explorer.random_run(5, 4_000);
        assert_eq!(random.failure, None);
        assert_eq!(random.cuts, 4_000);
        // See `Report::weak_keys` for what a few strangers mean when words are unstable.
        let bound = u64::from(config.unstable_units) * 20;
        assert!(
            random.checked > 100 && random.strangers <= bound,
            "{random:?}"
        );
    }
    let faulty = Counter {
        fault: Fault::LastWordTrusted,
        ..Counter::new(5)
    };
    let mut explorer = explorer(faulty, 3, Mode::WriteOnce, Config::UNSTABLE);
    let failure = explorer.random_run(5, 4_000).failure.unwrap();
    assert_eq!(explorer.replay(&failure.path), Some(failure.violation));
}

#[test]
fn a_fault_that_a_weak_key_hides_is_found_by_samples_and_by_chance() {
    let weak = Counter {
        fault: Fault::WordWrittenTwice,
        key: KeyStyle::NewestValue,
        ..Counter::new(5)
    };
    let mut config = Config::STABLE;
    let mut blind = explorer(weak, 3, Mode::Rewritable, config);
    let report = blind.run();
    assert!(report.is_clean(), "the key hides it: {report}");
    let failure = blind.random_run(1, 1_000).failure.unwrap();
    let what = failure.violation.to_string();
    assert!(what.contains("a program of it was tried"), "{failure}");

    config.merged_samples = 100;
    let mut audited = explorer(weak, 3, Mode::Rewritable, config);
    let report = audited.run();
    assert!(!report.failures.is_empty(), "{report}");
    let failure = &report.failures[0];
    assert_eq!(
        audited.replay(&failure.path).as_ref(),
        Some(&failure.violation)
    );
}

#[test]
fn an_environment_that_counts_twice_is_explored_too() {
    let jumping = Counter {
        jumps: true,
        ..Counter::new(5)
    };
    let mut config = Config::STABLE;
    config.merged_samples = 50;
    let report = explore(jumping, 2, Mode::WriteOnce, config);
    assert!(report.is_clean(), "{report:?}");
    let plain = explore(Counter::new(5), 2, Mode::WriteOnce, config);
    assert!(report.steps > plain.steps && report.states > plain.states);
}

#[test]
fn words_that_overtake_each_other_harm_no_log_that_writes_one_at_a_time() {
    let mut config = Config::STABLE;
    config.torn.reordered = 6;
    let report = explore(Counter::new(5), 2, Mode::WriteOnce, config);
    assert!(report.is_clean());
    let reordered = report.histogram().find(|(name, _)| *name == "reordered");
    assert_eq!(reordered, Some(("reordered", 0)));
}
