//! Long runs, without and with power cuts.
//!
//! `IOT_FLASH_OPERATIONS` says how many operations a run has.

use std::env;

use super::*;
use crate::sim::flash::{Reading, Torn};

fn operations() -> u32 {
    let asked = env::var("IOT_FLASH_OPERATIONS").ok();
    let reduced = if cfg!(debug_assertions) {
        4_000
    } else {
        100_000
    };
    asked.map_or(reduced, |asked| asked.parse().unwrap())
}

/// The generator of SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits >> 32) as u32) % limit
    }

    fn batch(&mut self) -> Vec<Told> {
        let entry = |random: &mut Self| {
            let len = random.below(40);
            let value = (0..len).map(|_| random.below(256) as u8).collect();
            (random.below(9), (random.below(5) > 0).then_some(value))
        };
        (0..=self.below(3)).map(|_| entry(self)).collect()
    }
}

fn wear(flash: &Flash) -> (u32, u32) {
    let erases = (0..flash.image().pages()).map(|page| flash.image().erases(page));
    (erases.clone().min().unwrap(), erases.max().unwrap())
}

#[test]
fn all_pages_are_erased_equally_often() {
    let mut log = open(new_flash()).unwrap();
    for number in 0..operations() {
        append_anyway(&mut log, &told(number));
    }
    let (least, most) = wear(log.flash());
    assert!(least > 50, "only {least} erasures");
    assert!(most * 10 <= least * 12, "{least} to {most} erasures");
    std::println!(
        "log levelled writes={} erases={least}..{most}",
        operations()
    );
    assert_eq!(log.flash().violation(), None);
}

/// What a log must hold.
struct Model {
    /// Everything that was ever appended and is still there, oldest first.
    entries: Vec<Told>,
    wraps: u32,
    cuts: u32,
    /// The most operations of the flash in a boot.
    recovery: u32,
    /// Boots after a clean stop, on flash without unstable words.
    clean_boots: u32,
}

impl Model {
    /// Compares after a boot: `batch` may have been appended, and pages retired if that was `retiring`.
    fn meet<F: NorFlash>(&mut self, log: &mut Log<F, 5>, batch: &[Told], retiring: bool) {
        let found = content(log);
        let appended = [&self.entries[..], batch].concat();
        let known = if retiring {
            appended.ends_with(&found) || self.entries.ends_with(&found)
        } else {
            found == self.entries || found == appended
        };
        assert!(
            known,
            "{found:?}\nbut expected\n{:?}\nand perhaps {batch:?}",
            self.entries
        );
        self.entries = found;
    }
}

/// Appends, retires, boots and loses power at random; at most one word or page at a time reads unstably.
fn survives(seed: u64, mode: Mode, torn: &[Torn], unstable: &[Torn]) -> Model {
    let mut random = Random(seed);
    let mut flash = Flash::new(PAGES, mode);
    let mut model = Model {
        entries: Vec::new(),
        wraps: 0,
        cuts: 0,
        recovery: 0,
        clean_boots: 0,
    };
    let (mut left, mut batch, mut retiring) = (operations(), Vec::new(), false);
    let mut stopped = false;
    while left > 0 {
        flash.reboot();
        if random.below(4) > 0 {
            let stable = flash.image().unstable_units() == 0;
            let kinds = if stable && random.below(3) == 0 {
                unstable
            } else {
                torn
            };
            let kind = kinds[random.below(kinds.len() as u32) as usize];
            flash.cut_after(random.below(120), kind);
        }
        let reading = match random.below(4) {
            0 => Reading::Erased,
            1 => Reading::Value,
            2 => Reading::Random(random.0),
            _ => Reading::Flicker(random.0),
        };
        flash.set_reading(reading);
        let stable = flash.image().unstable_units() == 0;
        let Ok(mut log) = open(&mut flash) else {
            assert!(flash.cut().is_some(), "a boot failed without a cut");
            model.cuts += 1;
            left = left.saturating_sub(1);
            stopped = false;
            continue;
        };
        let recovery = log.flash().operations();
        model.recovery = model.recovery.max(recovery);
        if stopped && stable {
            assert_eq!(recovery, 0, "a boot after a clean stop wrote something");
            model.clean_boots += 1;
        }
        stopped = true;
        model.meet(&mut log, &batch, retiring);
        for _ in 0..random.below(60) {
            left = left.saturating_sub(1);
            (batch, retiring) = (random.batch(), log.is_at_limit() && random.below(3) == 0);
            let retired = if retiring {
                block_on(log.retire_oldest())
            } else {
                Ok(())
            };
            let appended = match retired.and_then(|()| append(&mut log, &batch)) {
                Err(LogError::Full) => {
                    retiring = true;
                    block_on(log.retire_oldest()).and_then(|()| append(&mut log, &batch))
                }
                other => other,
            };
            match appended {
                Ok(()) => {
                    let expected = [&model.entries[..], &batch].concat();
                    let found = content(&mut log);
                    assert!(found == expected || retiring && expected.ends_with(&found));
                    assert!(found.ends_with(&batch));
                    (model.entries, batch, retiring) = (found, Vec::new(), false);
                }
                Err(error) => {
                    assert_eq!(error, LogError::Flash(SimFlashError::Cut));
                    model.cuts += 1;
                    stopped = false;
                    break;
                }
            }
        }
        assert_eq!(flash.violation(), None);
    }
    model.wraps = wear(&flash).0;
    model
}

#[test]
fn a_long_run_with_power_cuts_loses_nothing() {
    let writes = [Torn::NotStarted, Torn::Complete, Torn::Attempted];
    let erases = [
        Torn::EraseFirstHalf,
        Torn::EraseSecondHalf,
        Torn::EraseAlternate,
        Torn::EraseGarbage(3),
    ];
    let partly = [
        Torn::Prefix(1),
        Torn::Prefix(3),
        Torn::Bits(0),
        Torn::Bits(5),
    ];
    let order = [0, 1, 2, 5].map(Torn::Reordered);
    let errors = [Torn::Ecc, Torn::EraseEcc];
    let unstable = [Torn::Unstable, Torn::EraseMarginal];
    let runs = [
        (
            Mode::Rewritable,
            [&writes[..], &erases, &order, &partly].concat(),
        ),
        (
            Mode::WriteOnce,
            [&writes[..], &erases, &order, &errors].concat(),
        ),
    ];
    for (mode, torn) in runs {
        let run = survives(2024, mode, &torn, &unstable);
        std::println!(
            "log mode={mode:?} operations={} wraps={} cuts={} recovery<={} clean_boots={}",
            operations(),
            run.wraps,
            run.cuts,
            run.recovery,
            run.clean_boots
        );
        let least = operations() / 1_000;
        assert!(run.wraps >= least, "only {} wraps", run.wraps);
        assert!(run.cuts > operations() / 60, "only {} cuts", run.cuts);
        assert!((1..=16).contains(&run.recovery), "{}", run.recovery);
        assert!(run.clean_boots > operations() / 1_000);
    }
}
