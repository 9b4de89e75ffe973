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

/// Puts values of these lengths, each under a key of its own, then ever shorter ones until nothing fits.
fn fill<const W: usize, const E: usize, const P: usize>(
    store: &mut Large<'_, W, E, P>,
    lengths: &[usize],
) -> Map {
    let mut map = Map::new();
    let last = lengths.last().copied().unwrap_or_default();
    let rest = [last, last / 2, last / 4, 0];
    for len in lengths.iter().copied().chain(rest.repeat(64)) {
        let change = put(map.len() as u32, len);
        let before = store.flash().counters().erases;
        if map.len() < 60 && commit(store, &change).is_ok() {
            apply(&mut map, &change);
        }
        let erases = store.flash().counters().erases - before;
        assert!(erases < P as u64, "{erases} erasures for one batch");
    }
    map
}

/// Commits `changes` while the power fails at one operation; says whether it did, and what is there afterwards.
fn cut<const W: usize, const E: usize, const P: usize>(
    flash: &mut SimFlash<W, E>,
    (at, torn): (u32, Torn),
    changes: &[Change],
) -> (bool, Map) {
    flash.reboot();
    flash.cut_after(at, torn);
    let region = 0..(P * E) as u32;
    if let Ok(mut store) = block_on(Large::<W, E, P>::open(&mut *flash, region, Config::new())) {
        commit(&mut store, changes).ok();
    }
    let fired = flash.cut().is_some();
    flash.reboot();
    (fired, content(&mut open_large::<W, E, P>(flash)))
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

/// From this flash each key can be removed, and when all are gone the longest value fits.
fn can_be_emptied<const W: usize, const E: usize, const P: usize>(
    flash: &SimFlash<W, E>,
    map: &Map,
) {
    let remove = |flash: &mut SimFlash<W, E>, key| {
        let erases = flash.counters().erases;
        let mut store = open_large::<W, E, P>(flash);
        let removed = commit(&mut store, &[(key, None)]);
        assert_eq!(removed, Ok(()), "{key} of {map:?}");
        let erases = store.flash().counters().erases - erases;
        // As many pages as are in use are compacted at most, and a boot opens one.
        assert!(erases < P as u64 + 1, "{erases} erasures");
    };
    for &key in map.keys() {
        remove(&mut flash.clone(), key);
    }
    let (mut flash, mut left) = (flash.clone(), map.clone());
    for &key in map.keys() {
        remove(&mut flash, key);
        left.remove(&key);
    }
    let mut store = open_large::<W, E, P>(&mut flash);
    assert_eq!(content(&mut store), left);
    let Err(FlashError::Log(LogError::TooLong { limit })) = commit(&mut store, &put(0, E)) else {
        panic!("a value as long as a page was not refused as too long");
    };
    let longest = limit as usize - 12;
    for round in 0..20 {
        assert_eq!(commit(&mut store, &put(0, longest)), Ok(()), "{round}");
    }
    can_be_replaced(&mut store, longest);
    assert_eq!(flash.violation(), None);
}

/// A longest value is no dead end either.
fn can_be_replaced<const W: usize, const E: usize, const P: usize>(
    store: &mut Large<'_, W, E, P>,
    longest: usize,
) {
    let mut key = 1;
    while commit(store, &put(key, longest)).is_ok() {
        key += 1;
    }
    for key in 0..key {
        assert_eq!(commit(store, &[(key, None)]), Ok(()));
        assert_eq!(commit(store, &put(key, longest)), Ok(()));
    }
}

fn never_stuck<const W: usize, const E: usize, const P: usize>(
    lengths: &[usize],
    cuts: &[(u32, Torn)],
) -> usize {
    let mut flash = SimFlash::<W, E>::new(P as u16, Mode::WriteOnce);
    let map = fill(&mut open_large::<W, E, P>(&mut flash), lengths);
    let result = commit(&mut open_large::<W, E, P>(&mut flash), &put(60, 0));
    assert!(map.len() == 60 || is_full(&result), "{result:?}");
    can_be_emptied::<W, E, P>(&flash, &map);
    let mut fired = 0;
    for (round, &at) in cuts.iter().enumerate() {
        // Removals, and values for which there may be room again.
        let key = round as u32 / 2;
        let change = match round % 2 {
            0 => [(key, None)],
            _ => put(key, lengths.first().copied().unwrap_or_default()),
        };
        let (cut, map) = cut::<W, E, P>(&mut flash, at, &change);
        fired += usize::from(cut);
        can_be_emptied::<W, E, P>(&flash, &map);
    }
    fired
}

#[test]
fn pages_that_two_batches_fill_to_the_brim_take_each_removal() {
    for (first, both) in (3..45).flat_map(|words| [47, 48, 49, 50].map(|both| (words, both))) {
        // A record of so many words; a page has 48 for two of them, and has more for no other number.
        let bytes = |words: usize| (4 * words).saturating_sub(12);
        let lengths = [bytes(first), bytes(both - first)].repeat(2);
        // A removal that was cut has taken what was free behind them.
        let fired = never_stuck::<4, 256, 4>(&lengths, &[(1, Torn::NotStarted)]);
        assert_eq!(fired, 1);
    }
}

fn a_cut() -> impl Strategy<Value = (u32, Torn)> {
    let torn = [
        Torn::NotStarted,
        Torn::Complete,
        Torn::Attempted,
        Torn::Ecc,
        Torn::EraseEcc,
    ];
    (0u32..24, proptest::sample::select(torn.to_vec()))
}

fn lengths(longest: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..longest, 1..20)
}

fn cuts() -> impl Strategy<Value = Vec<(u32, Torn)>> {
    proptest::collection::vec(a_cut(), 0..8)
}

#[test]
fn a_store_that_is_full_of_values_of_one_length_takes_each_removal() {
    let cuts = [(2, Torn::NotStarted), (9, Torn::Attempted)];
    let fired: usize = (0..190)
        .map(|len| never_stuck::<4, 256, 4>(&[len], &cuts))
        .sum();
    assert!(fired >= 190, "only {fired} cuts");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn from_every_full_store_each_key_can_be_removed(lengths in lengths(130), cuts in cuts()) {
        never_stuck::<4, 192, 4>(&lengths, &cuts);
        never_stuck::<4, 256, 5>(&lengths, &cuts);
        never_stuck::<8, 256, 4>(&lengths, &cuts);
        never_stuck::<8, 512, 4>(&lengths, &cuts);
        never_stuck::<32, 1024, 4>(&lengths, &cuts);
    }
}
