//! Updates on a flash of which one page is worn, or cannot be read for a while: the device boots all the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/nor.rs"]
mod nor;

use bench::{Bench, END, End, PAGE, Way, image};
use iot_core::port::MonotonicCounter;
use iot_core::sim::SimCounter;
use iot_ota::slot::{Bank, Banks, FlashBanks, FlashCounter, Layout, load};
use nor::{Fault, Nor};

const WAYS: [Way; 3] = [Way::Direct, Way::Swap, Way::Overwrite];
const FAULTS: [Fault; 7] = [
    Fault::Erase,
    Fault::EraseLost,
    Fault::Write,
    Fault::WriteLost,
    Fault::Reads(1),
    Fault::Reads(3),
    Fault::Reads(7),
];

/// Every page, whatever is wrong with it, whatever becomes of the update.
fn every_fault() -> impl Iterator<Item = (Way, u32, Fault, End)> {
    let pages = WAYS.into_iter();
    let pages = pages.flat_map(|way| (0..way.pages()).map(move |page| (way, page)));
    let faults = pages.flat_map(|(way, page)| FAULTS.map(move |fault| (way, page, fault)));
    faults.flat_map(|(way, page, fault)| END.map(move |end| (way, page, fault, end)))
}

/// A page where images run is written with each move. If it takes nothing more when it does not hold what it should,
/// nothing can run there.
fn nothing_helps(bench: &Bench, (way, page, fault, _): (Way, u32, Fault, End)) -> bool {
    let worn = !matches!(fault, Fault::Reads(_));
    worn && way.runs_on(page) && !bench.runs_release_1_on(page)
}

#[derive(Default)]
struct Count {
    lives: u32,
    /// The fault was met.
    met: u32,
    /// The update was installed all the same.
    installed: u32,
    /// Nothing boots any more, where nothing helps.
    dead: u32,
}

impl Count {
    fn add(&mut self, bench: &Bench, case: (Way, u32, Fault, End), operation: u32) {
        let life = bench.live(case.3);
        assert_eq!(life.broken, None, "{case:?} at {operation}: {life:?}");
        self.lives += 1;
        self.met += u32::from(life.met);
        self.installed += u32::from(case.3 == End::Confirm && life.last == Ok(Bank::B));
        if life.last.is_err() {
            assert!(
                nothing_helps(bench, case),
                "{case:?} at {operation}: {life:?}"
            );
            self.dead += 1;
        }
    }

    fn tell(&self, what: &str) {
        let Self {
            lives,
            met,
            installed,
            dead,
        } = self;
        println!("{what}: lives={lives} met={met} installed={installed} dead={dead} bricked=0");
        assert!(met * 2 > *lives, "hardly any fault was met");
        assert!(installed * 10 > *lives, "hardly any update was installed");
        assert!(*dead > 0 && dead * 10 < *lives, "{dead} of {lives}");
    }
}

/// Each operation at which something may begin: of all of them in turn in a gate, every one with `IOT_FAULTS=1`.
fn operations(whole: u32, seed: &mut u32) -> impl Iterator<Item = u32> + use<> {
    let every = std::env::var("IOT_FAULTS").map_or(11, |every| every.parse().unwrap());
    *seed += 1;
    (*seed % every..whole).step_by(every as usize)
}

#[test]
fn no_fault_of_one_page_keeps_a_device_from_booting_whenever_it_begins() {
    let (mut count, mut seed) = (Count::default(), 0);
    for case @ (way, page, fault, end) in every_fault() {
        let whole = Bench::new(way).live(end).operations;
        for operation in operations(whole, &mut seed) {
            let bench = Bench::new(way);
            bench.fault(page, fault, operation);
            count.add(&bench, case, operation);
        }
    }
    count.tell("faults");
}

#[test]
fn nor_does_one_page_and_a_power_cut_at_any_operation() {
    let (mut count, mut seed) = (Count::default(), 0);
    for case @ (way, page, fault, end) in every_fault() {
        let whole = Bench::new(way).live(end).operations;
        for operation in operations(whole, &mut seed) {
            let bench = Bench::new(way);
            bench.fault(page, fault, 0);
            bench.cut_after(operation);
            count.add(&bench, case, operation);
        }
    }
    count.tell("faults and cuts");
}

#[test]
fn a_damaged_copy_where_images_run_is_made_anew_from_its_bank() {
    let bench = Bench::staged(Way::Overwrite, 1);
    assert_eq!(bench.boot(), Ok(Bank::B));
    assert_eq!(bench.boot(), Ok(Bank::A));
    for page in 0..2 {
        bench.flash.flip((3 + page) * PAGE + 5);
        assert!(!bench.flash.holds(3 * PAGE, &image(1)));
        assert_eq!(bench.boot(), Ok(Bank::A));
        assert!(bench.flash.holds(3 * PAGE, &image(1)));
    }
    // Where there is no second copy nothing is made up.
    let bench = Bench::staged(Way::Swap, 1);
    assert_eq!(bench.boot(), Ok(Bank::B));
    assert_eq!(bench.boot(), Ok(Bank::A));
    bench.flash.flip(4 * PAGE + 5);
    assert!(bench.boot().is_err());
}

#[test]
fn a_flash_that_cannot_be_read_is_an_error_and_not_a_device_without_a_record() {
    let bench = Bench::staged(Way::Direct, 1);
    bench.flash.fault(0..3 * PAGE, Fault::Reads(u32::MAX), 0);
    assert!(load(&mut bench.open(Bank::A)).is_err());
    bench.flash.heal();
    assert!(load(&mut bench.open(Bank::A)).is_ok_and(|record| record.is_some()));
}

#[test]
fn a_layout_in_which_anything_overlaps_or_ends_past_the_flash_is_refused() {
    let opens = |layout| {
        let fuses = SimCounter::new(1);
        FlashBanks::open(Nor::<1, 4, 256>::new(11), layout, fuses).is_ok()
    };
    let page = |number: u32| number * PAGE;
    let direct = |record, a, b| Layout::direct(page(record), page(a), page(b), page(3), Bank::A);
    let swap = |record, journal, run, other| {
        Layout::swap(page(record), page(journal), page(run), page(other), page(3))
    };
    let overwrite =
        |record, run, a, b| Layout::overwrite(page(record), page(run), page(a), page(b), page(2));
    let fits = [
        direct(0, 3, 6),
        direct(8, 5, 2),
        swap(0, 3, 4, 7),
        swap(8, 7, 0, 3),
        overwrite(0, 3, 5, 7),
        overwrite(8, 6, 4, 2),
    ];
    for layout in fits {
        assert!(opens(layout), "{layout:?}");
    }
    let refused = [
        direct(0, 3, 9),
        direct(0, 2, 6),
        direct(0, 3, 5),
        direct(0, 3, 3),
        direct(9, 3, 6),
        Layout::direct(u32::MAX - 255, page(3), page(6), page(3), Bank::A),
        swap(0, 4, 4, 7),
        swap(10, 3, 4, 7),
        swap(0, 3, 4, 8),
        swap(0, 2, 4, 7),
        swap(0, 3, 5, 7),
        overwrite(0, 3, 4, 7),
        overwrite(0, 3, 5, 6),
        overwrite(0, 3, 5, 10),
        overwrite(4, 3, 5, 7),
    ];
    for layout in refused {
        assert!(!opens(layout), "{layout:?}");
    }
}

#[test]
fn banks_are_read_at_any_offset_whatever_the_flash_reads_at_once() {
    let flash = Nor::<4, 4, 256>::new(11);
    let layout = Layout::direct(0, 3 * PAGE, 6 * PAGE, 3 * PAGE, Bank::A);
    let mut banks = FlashBanks::open(flash, layout, SimCounter::new(1)).unwrap();
    let stored = image(1);
    banks.write(Bank::A, 0, &stored).unwrap();
    for offset in 0..9 {
        for len in 0..18 {
            let mut out = vec![0; len];
            banks.read(Bank::A, offset as u32, &mut out).unwrap();
            assert_eq!(out, stored[offset..offset + len], "{len} bytes at {offset}");
        }
    }
    // Up to the last byte of a bank, and no further.
    let mut out = [0; 3];
    assert_eq!(banks.read(Bank::A, 3 * PAGE - 3, &mut out), Ok(()));
    assert!(banks.read(Bank::A, 3 * PAGE - 2, &mut out).is_err());
}

#[test]
fn no_fault_of_one_page_keeps_a_counter_from_being_told_or_lets_it_fall() {
    let mut met = 0;
    for page in 0..3 {
        for fault in FAULTS {
            for operation in 0..40 {
                let flash = Nor::<1, 4, 256>::new(3);
                let mut counter = FlashCounter::new(flash.clone(), 0);
                counter.raise(1).unwrap();
                let before = flash.operations();
                flash.fault(page * PAGE..(page + 1) * PAGE, fault, before + operation);
                let mut known = 1;
                for to in 2..6 {
                    let mut counter = FlashCounter::new(flash.clone(), 0);
                    assert_eq!(counter.value(), Ok(known), "page {page}, {fault:?}");
                    // Two pages are left, whatever the third one does.
                    assert_eq!(counter.raise(to), Ok(()), "page {page}, {fault:?}");
                    known = to;
                }
                met += u32::from(flash.fired() > 0);
            }
        }
    }
    assert!(met > 400, "{met}");
}

#[test]
fn a_counter_that_cannot_be_read_is_an_error_and_not_zero() {
    let flash = Nor::<1, 4, 256>::new(3);
    FlashCounter::new(flash.clone(), 0).raise(7).unwrap();
    flash.fault(0..3 * PAGE, Fault::Reads(u32::MAX), 0);
    assert!(FlashCounter::new(flash.clone(), 0).value().is_err());
    // One page of three is enough.
    flash.fault(0..2 * PAGE, Fault::Reads(12), 0);
    assert_eq!(FlashCounter::new(flash, 0).value(), Ok(7));
}
