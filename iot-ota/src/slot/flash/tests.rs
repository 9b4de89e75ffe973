use alloc::vec;
use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;
use iot_core::sim::flash::{Mode as FlashMode, Torn};
use iot_core::sim::{SimCounter, SimFlash};

use super::*;
use crate::slot::{BootEvent, BootRecord, BootState, Release, RollBackReason, boot, load, store};
use crate::testing::{Sha256, sha256};

const PAGE: u32 = 256;
const CAPACITY: u32 = 3 * PAGE;
const RUN: u32 = 4 * PAGE;

type Flash = SimFlash<4, 256>;
type OnFlash = FlashBanks<Flash, SimCounter>;

fn image(release: u8) -> [u8; 700] {
    core::array::from_fn(|at| release.wrapping_mul(59).wrapping_add(at.to_le_bytes()[0]))
}

fn release(number: u8) -> Release {
    Release::new(number.into(), sha256(&image(number)), 700).with_counter(number.into())
}

fn layout() -> Layout {
    Layout::swap(0, 3 * PAGE, RUN, 7 * PAGE, CAPACITY)
}

fn open(flash: Flash) -> OnFlash {
    FlashBanks::open(flash, layout(), SimCounter::new(1)).unwrap()
}

/// Release 1 runs, release 2 is staged.
fn staged(mode: FlashMode) -> OnFlash {
    let mut banks = open(SimFlash::new(11, mode));
    banks.write(Bank::A, 0, &image(1)).unwrap();
    store(&mut banks, &BootRecord::factory(Bank::A, release(1))).unwrap();
    banks.clear(Bank::B, 0).unwrap();
    banks.write(Bank::B, 0, &image(2)).unwrap();
    let stage = BootEvent::Stage {
        candidate: release(2),
        trials: 2,
    };
    let record = load(&mut banks).unwrap().unwrap().on(stage).unwrap();
    store(&mut banks, &record).unwrap();
    banks
}

#[test]
fn a_bank_is_cleared_a_page_at_a_time() {
    let mut banks = staged(FlashMode::WriteOnce);
    assert_eq!(banks.clear(Bank::B, PAGE + 5), Ok(PAGE..2 * PAGE));
    let mut bytes = [0; 700];
    banks.read(Bank::B, 0, &mut bytes).unwrap();
    let (page, mut expected) = (PAGE as usize, image(2));
    expected[page..2 * page].fill(0xff);
    assert_eq!(bytes, expected);
    let end = banks.clear(Bank::B, CAPACITY + 1);
    assert_eq!(end, Ok(CAPACITY..CAPACITY), "there is nothing to clear");
}

fn what_runs(flash: &Flash) -> Vec<u8> {
    let (mut flash, mut bytes) = (flash.clone(), vec![0; 700]);
    embedded_storage::nor_flash::ReadNorFlash::read(&mut flash, RUN, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_image_on_trial_is_swapped_in_and_out_again() {
    let mut flash = staged(FlashMode::WriteOnce).into_parts().0;
    for (bank, number) in [(Bank::B, 2), (Bank::B, 2), (Bank::A, 1), (Bank::A, 1)] {
        let mut banks = open(flash);
        assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(bank));
        flash = banks.into_parts().0;
        assert_eq!(what_runs(&flash), image(number));
    }
    assert!(flash.violation().is_none());
}

#[test]
fn a_power_cut_at_any_operation_of_a_swap_is_no_trial() {
    let start = staged(FlashMode::WriteOnce).into_parts().0;
    let mut cuts = 0;
    for operation in 0.. {
        let mut flash = start.clone();
        flash.cut_after(operation, Torn::Ecc);
        let mut banks = open(flash);
        let whole = boot(&mut banks, &mut Sha256::default()).is_ok();
        let mut flash = banks.into_parts().0;
        flash.reboot();
        let mut banks = open(flash);
        assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::B));
        let record = load(&mut banks).unwrap().unwrap();
        let BootState::Trial { left, .. } = record.state else {
            panic!("{record:?}");
        };
        let flash = banks.into_parts().0;
        assert_eq!(what_runs(&flash), image(2));
        assert!(flash.violation().is_none());
        if whole {
            assert_eq!(left, 0);
            break;
        }
        // Only while the trial itself is noted, at the very end, it may count already.
        cuts += u32::from(left == 1);
    }
    assert!(cuts > 300, "{cuts}");
}

#[test]
fn a_page_that_cannot_be_read_costs_the_candidate_and_not_the_device() {
    let start = staged(FlashMode::WriteOnce).into_parts().0;
    let mut flash = start.clone();
    // The last page of the candidate, one page higher because of the spare one.
    flash.cut_after(1, Torn::Ecc);
    let at = 10 * PAGE;
    NorFlash::erase(&mut flash, at, at + PAGE).unwrap();
    let _ = NorFlash::write(&mut flash, at, &[0; 8]);
    flash.reboot();
    let mut banks = open(flash);
    assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::A));
    let ended = load(&mut banks).unwrap().unwrap().ended.unwrap();
    assert_eq!(
        ended.how,
        crate::slot::EndedAs::RolledBack(RollBackReason::Damaged)
    );
    assert_eq!(what_runs(banks.flash()), image(1));
}

#[test]
fn a_layout_that_does_not_fit_is_refused_before_anything_is_touched() {
    let flash = || SimFlash::<4, 256>::new(11, FlashMode::WriteOnce);
    let refused = |layout| {
        let banks = FlashBanks::open(flash(), layout, SimCounter::new(1));
        matches!(banks, Err(FlashBanksError::Layout))
    };
    assert!(!refused(layout()));
    assert!(refused(Layout::swap(4, 3 * PAGE, RUN, 7 * PAGE, CAPACITY)));
    assert!(refused(Layout::swap(
        0,
        3 * PAGE,
        RUN + 1,
        7 * PAGE,
        CAPACITY
    )));
    assert!(refused(Layout::swap(
        0,
        3 * PAGE,
        RUN,
        7 * PAGE,
        CAPACITY - 1
    )));
    assert!(refused(Layout::direct(0, RUN, 7 * PAGE, 0, Bank::A)));
    // A page that holds no record.
    let small = FlashBanks::open(
        SimFlash::<4, 128>::new(22, FlashMode::WriteOnce),
        layout(),
        SimCounter::new(1),
    );
    assert!(matches!(small, Err(FlashBanksError::Layout)));
}

#[test]
fn nothing_is_read_or_written_past_a_bank() {
    let mut banks = staged(FlashMode::WriteOnce);
    let mut byte = [0];
    assert_eq!(
        banks.read(Bank::B, CAPACITY, &mut byte),
        Err(FlashBanksError::OutOfRange)
    );
    assert_eq!(
        banks.write(Bank::B, CAPACITY, &[1]),
        Err(FlashBanksError::OutOfRange)
    );
    assert_eq!(
        banks.write(Bank::B, u32::MAX, &[1]),
        Err(FlashBanksError::OutOfRange)
    );
}

#[test]
fn a_counter_on_flash_never_falls_whatever_operation_is_cut() {
    let mut cuts = 0;
    for operation in 0.. {
        let mut counter = FlashCounter::new(SimFlash::<8, 64>::new(3, FlashMode::WriteOnce), 0);
        for to in [1, 2, 3] {
            counter.raise(to).unwrap();
        }
        let mut flash = counter.into_flash();
        flash.reboot();
        flash.cut_after(operation, Torn::Ecc);
        let raised = FlashCounter::new(flash, 0);
        let mut counter = raised;
        let whole = counter.raise(9).is_ok();
        let mut flash = counter.into_flash();
        flash.reboot();
        let mut counter = FlashCounter::new(flash, 0);
        let value = counter.value().unwrap();
        assert!(value == 3 || value == 9, "{value}");
        assert_eq!(counter.value(), Ok(value));
        if whole {
            assert_eq!(value, 9);
            break;
        }
        cuts += 1;
    }
    assert!(cuts >= 4, "{cuts}");
}
