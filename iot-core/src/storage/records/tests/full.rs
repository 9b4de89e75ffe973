//! Stores that are full: what they refuse, what they still take, and how much work that is.

use super::*;

type Large<'f, const W: usize, const E: usize, const P: usize> =
    FlashRecords<&'f mut SimFlash<W, E>, P, 64>;

fn open_large<const W: usize, const E: usize, const P: usize>(
    flash: &mut SimFlash<W, E>,
) -> Large<'_, W, E, P> {
    block_on(Large::open(flash, 0..(P * E) as u32, Config::new())).unwrap()
}

fn put(key: u32, len: usize) -> [Change; 1] {
    [(key, Some([key as u8].repeat(len)))]
}

fn is_full<E>(result: &Result<(), FlashError<E>>) -> bool {
    matches!(result, Err(FlashError::Log(LogError::Full)))
}

/// Commits `changes` while the power fails at one operation; says what is there afterwards.
fn cut<const W: usize, const E: usize, const P: usize>(
    flash: &mut SimFlash<W, E>,
    (at, torn): (u32, Torn),
    changes: &[Change],
) -> Map {
    flash.reboot();
    flash.cut_after(at, torn);
    let region = 0..(P * E) as u32;
    if let Ok(mut store) = block_on(Large::<W, E, P>::open(&mut *flash, region, Config::new())) {
        commit(&mut store, changes).ok();
    }
    flash.reboot();
    content(&mut open_large::<W, E, P>(flash))
}

#[test]
fn a_refused_batch_costs_no_operation_although_an_interrupted_write_left_an_empty_page() {
    for (at, len) in (0..12).flat_map(|at| [60, 90, 120].map(|len| (at, len))) {
        let mut flash = SimFlash::<4, 256>::new(4, Mode::WriteOnce);
        let mut store = open_large::<4, 256, 4>(&mut flash);
        let mut key = 0;
        while commit(&mut store, &put(key, 20)).is_ok() {
            key += 1;
        }
        cut::<4, 256, 4>(&mut flash, (at, Torn::NotStarted), &put(1, 1));
        let mut store = open_large::<4, 256, 4>(&mut flash);
        let before = store.flash().operations();
        // Without an end to it, the cut ends it.
        store
            .machine
            .flash
            .cut_after(before + 2_000, Torn::NotStarted);
        let result = commit(&mut store, &put(63, len));
        assert!(is_full(&result), "{len} bytes, cut at {at}: {result:?}");
        assert_eq!(store.flash().operations(), before, "cut at {at}");
    }
}
