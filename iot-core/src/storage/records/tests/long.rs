//! Long runs with power cuts. `IOT_FLASH_OPERATIONS` says how many commits a run has.

use std::env;

use super::*;
use crate::sim::SimEntropy;

fn operations() -> u32 {
    let asked = env::var("IOT_FLASH_OPERATIONS").ok();
    let reduced = if cfg!(debug_assertions) {
        4_000
    } else {
        100_000
    };
    asked.map_or(reduced, |asked| asked.parse().unwrap())
}

fn any(random: &mut SimEntropy) -> Vec<Change> {
    let change = |random: &mut SimEntropy| {
        let len = random.below(30);
        let value = (0..len).map(|_| random.below(256) as u8).collect();
        (random.below(4) as u32, random.chance(800).then_some(value))
    };
    (0..=random.below(2)).map(|_| change(random)).collect()
}

/// Commits, boots and loses power at random; at most one word or page at a time reads unstably.
fn survives(mode: Mode, torn: &[Torn], unstable: &[Torn]) {
    let mut random = SimEntropy::new(2024);
    let mut flash = SimFlash::<4, 256>::new(PAGES, mode);
    let (mut map, mut changes) = (Map::new(), Vec::new());
    let (mut left, mut cuts, mut recovery, mut clean_boots) = (operations(), 0, 0, 0);
    let mut stopped = false;
    while left > 0 {
        flash.reboot();
        if random.chance(750) {
            let stable = flash.image().unstable_units() == 0;
            let kinds = match stable && random.chance(300) {
                true => unstable,
                false => torn,
            };
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            flash.cut_after(random.below(200) as u32, kind);
        }
        let seed = random.next_u64();
        flash.set_reading(match random.below(4) {
            0 => Reading::Erased,
            1 => Reading::Value,
            2 => Reading::Random(seed),
            _ => Reading::Flicker(seed),
        });
        let stable = flash.image().unstable_units() == 0;
        let Ok(mut store) = open(&mut flash) else {
            assert!(flash.cut().is_some(), "a boot failed without a cut");
            (stopped, cuts, left) = (false, cuts + 1, left.saturating_sub(1));
            continue;
        };
        let operations = store.flash().operations();
        recovery = operations.max(recovery);
        if stopped && stable {
            assert_eq!(operations, 0, "a boot after a clean stop wrote something");
            clean_boots += 1;
        }
        let found = content(&mut store);
        let mut whole = map.clone();
        apply(&mut whole, &changes);
        assert!(found == map || found == whole, "{found:?}");
        (map, changes, stopped) = (found, Vec::new(), true);
        for _ in 0..random.below(60) {
            left = left.saturating_sub(1);
            changes = any(&mut random);
            if let Err(error) = commit(&mut store, &changes) {
                let cut = FlashError::Log(LogError::Flash(SimFlashError::Cut));
                assert_eq!(error, cut);
                (stopped, cuts) = (false, cuts + 1);
                break;
            }
            apply(&mut map, &changes);
            changes.clear();
        }
        assert_eq!(flash.violation(), None);
    }
    let erases = (0..4).map(|page| flash.image().erases(page));
    let (wraps, most) = (erases.clone().min().unwrap(), erases.max().unwrap());
    std::println!(
        "records mode={mode:?} operations={} wraps={wraps} erases={wraps}..{most} cuts={cuts} \
         recovery<={recovery} clean_boots={clean_boots}",
        operations()
    );
    assert!(wraps >= operations() / 1_000, "only {wraps} wraps");
    assert!(cuts > operations() / 60, "only {cuts} cuts");
    assert!((1..=16).contains(&recovery), "{recovery}");
    assert!(clean_boots > operations() / 1_000, "{clean_boots}");
}

#[test]
fn a_long_run_with_power_cuts_loses_nothing() {
    let both = [
        Torn::NotStarted,
        Torn::Complete,
        Torn::Attempted,
        Torn::Reordered(0),
        Torn::Reordered(1),
        Torn::Reordered(2),
        Torn::Reordered(5),
        Torn::EraseFirstHalf,
        Torn::EraseSecondHalf,
        Torn::EraseAlternate,
        Torn::EraseGarbage(3),
    ];
    let unstable = [Torn::Unstable, Torn::EraseMarginal];
    let partly = [Torn::Prefix(1), Torn::Prefix(3), Torn::Bits(0)];
    survives(Mode::Rewritable, &[&both[..], &partly].concat(), &unstable);
    let errors = [Torn::Ecc, Torn::EraseEcc];
    survives(Mode::WriteOnce, &[&both[..], &errors].concat(), &unstable);
}

#[test]
fn all_pages_are_erased_equally_often() {
    let mut flash = SimFlash::<4, 256>::new(PAGES, Mode::WriteOnce);
    let mut store = open(&mut flash).unwrap();
    for round in 0..operations() {
        commit(&mut store, &script(round)).unwrap();
    }
    let erases = (0..4).map(|page| flash.image().erases(page));
    let (least, most) = (erases.clone().min().unwrap(), erases.max().unwrap());
    std::println!(
        "records levelled writes={} erases={least}..{most}",
        operations()
    );
    assert!(least > 50, "only {least} erasures");
    assert!(most * 10 <= least * 12, "{least} to {most} erasures");
    assert_eq!(flash.violation(), None);
}
