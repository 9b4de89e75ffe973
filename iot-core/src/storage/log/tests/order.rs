//! What an interrupted write of several words left, and what stands around a batch, when either lies later.

use super::*;
use crate::sim::flash::{Reading, Torn};

fn readings() -> impl Iterator<Item = Reading> {
    let random = (0..64).flat_map(|seed| [Reading::Random(seed), Reading::Flicker(seed)]);
    [Reading::Erased, Reading::Value].into_iter().chain(random)
}

#[test]
fn a_mark_and_a_guard_that_both_read_badly_hide_nothing_behind_them() {
    let mut flash = new_flash();
    let mut log = open(&mut flash).unwrap();
    append(&mut log, &told(1)).unwrap();
    let flash = log.into_flash();
    let image = flash.clone();
    flash.reboot();
    append(&mut open(&mut *flash).unwrap(), &told(2)).unwrap();
    let mark = flash.operations() - 1;

    // The mark reads differently from time to time, but as itself when the next boot reads it …
    let mut flash = image;
    flash.reboot();
    flash.cut_after(mark, Torn::Unstable);
    assert!(append(&mut open(&mut flash).unwrap(), &told(2)).is_err());
    assert_eq!(flash.image().unstable_units(), 1);
    flash.set_reading(Reading::Value);
    // … and the guard behind it is attempted, and then fails.
    flash.reboot();
    flash.cut_after(0, Torn::Attempted);
    assert!(append(&mut open(&mut flash).unwrap(), &told(3)).is_err());
    flash.reboot();
    flash.set_guard_fails(true);
    append(&mut open(&mut flash).unwrap(), &told(3)).unwrap();

    let all = [told(1), told(2), told(3)].concat();
    for reading in readings() {
        let mut flash = flash.clone();
        flash.set_reading(reading);
        for number in [4, 5] {
            flash.reboot();
            let mut log = open(&mut flash).unwrap();
            assert!(content(&mut log).starts_with(&all), "{reading:?}");
            append(&mut log, &told(number)).unwrap();
        }
        assert_eq!(flash.violation(), None, "{reading:?}");
    }
}

/// Cuts the write that begins with each operation of a session, so that its words land in an order of their own.
fn survives_reordering(mode: Mode, sample: u8) -> u32 {
    let mut cuts = 0;
    for at in 0..100 {
        let mut flash = Flash::new(PAGES, mode);
        append(&mut open(&mut flash).unwrap(), &told(1)).unwrap();
        flash.reboot();
        flash.cut_after(at, Torn::Reordered(sample));
        let mut log = open(&mut flash).unwrap();
        let mut all = told(1).to_vec();
        let cut = (2..12).map(told).find(|batch| {
            let failed = append(&mut log, batch).is_err();
            if !failed {
                all.extend_from_slice(batch);
            }
            failed
        });
        let Some(batch) = cut else {
            continue;
        };
        cuts += u32::from(flash.cut() == Some(Torn::Reordered(sample)));
        let whole = [&all[..], &batch].concat();
        flash.set_reading(Reading::Value);
        flash.reboot();
        let found = content(&mut open(&mut flash).unwrap());
        assert!(
            found == all || found == whole,
            "{sample} at {at}: {found:?}"
        );
        // What was found once is there for ever, and the log goes on.
        for reading in readings().take(4) {
            let mut flash = flash.clone();
            flash.set_reading(reading);
            flash.reboot();
            let mut log = open(&mut flash).unwrap();
            assert_eq!(content(&mut log), found, "{sample} at {at}, {reading:?}");
            append_anyway(&mut log, &told(20));
            append_anyway(&mut log, &told(21));
            let expected = [found.clone(), told(20).into(), told(21).into()].concat();
            assert!(expected.ends_with(&content(&mut log)));
            assert_eq!(flash.violation(), None, "{sample} at {at}, {reading:?}");
        }
    }
    cuts
}

#[test]
fn words_of_one_write_may_land_in_any_order() {
    let mut cuts = 0;
    for sample in 0..12 {
        cuts += survives_reordering(Mode::Rewritable, sample);
        cuts += survives_reordering(Mode::WriteOnce, sample);
    }
    assert!(cuts > 150, "only {cuts} cuts");
}
