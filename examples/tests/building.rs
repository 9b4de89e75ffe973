//! What the building's campaigns rest on: its flash forgives nothing, its places are counted, its witnesses see lies.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host, and needs parts of the example alone"
)]

#[path = "../smart_building/board.rs"]
mod board;
#[path = "../smart_building/chip.rs"]
mod chip;
#[path = "../smart_building/firmware.rs"]
mod firmware;
#[path = "../smart_building/power.rs"]
mod power;
#[path = "../smart_building/transfers.rs"]
mod transfers;
#[path = "../smart_building/witness.rs"]
mod witness;

/// What these parts expect of the rest of the example.
mod pki {
    pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
}
mod device {
    pub const BLOCK_BYTES: u32 = 16 * 1024;
}

use std::sync::Arc;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Engine, Event, Instant, Now};
use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_ota::manifest::SigningKey;
use iot_ota::slot::{Bank, Banks, BootEvent, load, store};
use iot_ota::update::{Status, Trust, Updater, Verdict};

use board::Board;
use chip::{Broken, Chip, PAGE, Stock};
use firmware::{Conduct, DEVICE, Fault, Releases, TRIALS};
use power::Power;
use transfers::{AT_ONCE, Transfers};
use witness::Witness;

fn chip() -> (Chip, Power) {
    let power = Power::default();
    (Chip::new(2, Stock::default(), power.clone()), power)
}

#[test]
fn a_word_is_programmed_once_and_one_that_power_may_have_touched_never() {
    let (mut chip, power) = chip();
    chip.write(0, &[1; 8]).unwrap();
    power.cut_after(2);
    assert_eq!(chip.write(8, &[2; 16]), Err(Broken::Off));
    assert!(chip.holds(0, &[[1; 8], [2; 8]].concat()));
    assert!(chip.holds(16, &[2, 2, 0xff, 0xff, 0xff, 0xff]));
    assert_eq!(chip.read(0, &mut [0; 4]), Err(Broken::Off));
    assert!(power.restore());
    assert_eq!((power.cuts(), chip.broken()), (1, None));
    chip.write(20, &[3; 4]).unwrap();
    assert_eq!(chip.write(16, &[3; 4]), Err(Broken::ProgrammedTwice));
    assert_eq!(chip.broken(), Some(Broken::ProgrammedTwice));
    chip.erase(0, PAGE).unwrap();
    chip.write(0, &[4; 24]).unwrap();
}

#[test]
fn a_page_whose_erasure_was_torn_takes_nothing_before_it_is_erased() {
    let (mut chip, power) = chip();
    chip.write(0, &[1; PAGE as usize]).unwrap();
    power.cut_after(0);
    assert_eq!(chip.erase(0, PAGE), Err(Broken::Off));
    power.restore();
    assert_eq!(chip.write(0, &[1; 4]), Err(Broken::ProgrammedTwice));
    chip.erase(0, PAGE).unwrap();
    chip.write(0, &[1; 4]).unwrap();
}

#[test]
fn equal_pages_lie_in_memory_once_and_each_chip_keeps_its_own() {
    let stock = Stock::default();
    let mut chips = [0; 3].map(|_| Chip::new(4, stock.clone(), Power::default()));
    for chip in &mut chips {
        chip.write(0, &[7; 2 * PAGE as usize]).unwrap();
    }
    assert_eq!(stock.pages(), (1, 6));
    let [first, second, _] = &mut chips;
    first.erase(0, PAGE).unwrap();
    assert!(first.holds(0, &[0xff; PAGE as usize]));
    assert!(second.holds(0, &[7; PAGE as usize]));
    assert_eq!(stock.pages(), (1, 5));
}

#[test]
fn nobody_fetches_beside_those_who_have_a_place() {
    let device = |number: usize| DeviceId::new(&format!("device-{number}")).unwrap();
    let mut transfers = Transfers::default();
    for number in 0..=AT_ONCE {
        transfers.queue(device(number));
    }
    let mut begun = 0;
    while let Some(next) = transfers.next() {
        assert!(transfers.admit(next));
        transfers.sent(next, false);
        begun += 1;
    }
    assert_eq!((begun, transfers.most), (AT_ONCE, AT_ONCE));
    assert!(!transfers.admit(device(AT_ONCE)));
    transfers.sent(device(0), true);
    assert_eq!(transfers.next(), Some(device(AT_ONCE)));
    // What goes over the wire is counted whoever sent it.
    transfers.sent(device(AT_ONCE), false);
    transfers.sent(device(0), false);
    assert_eq!((transfers.most, transfers.turned_away), (AT_ONCE + 1, 1));
}

/// A device that has staged a release, and who stands beside it.
struct Staged {
    board: Board,
    witness: Witness,
    releases: Releases,
}

impl Staged {
    fn new(fault: Fault) -> Self {
        let releases = Releases::sign(&[9; 5_000]).unwrap();
        let mut board = releases.board(1, Power::default()).unwrap();
        let known = releases.known.iter();
        let mut found = known.filter(|known| known.release.sequence == fault.sequence());
        let found = found.next().unwrap();
        let mut memory = board.boot().unwrap();
        memory.clear(Bank::B, 0).unwrap();
        memory.write(Bank::B, 0, &found.bytes).unwrap();
        let candidate = found.release;
        let stage = BootEvent::Stage {
            candidate,
            trials: TRIALS,
        };
        let record = load(&mut memory).unwrap().unwrap().on(stage).unwrap();
        store(&mut memory, &record).unwrap();
        let mut witness = Witness::new(Arc::clone(&releases.known));
        assert_eq!(witness.booted(&board), Ok(Conduct::Well));
        witness.fetches(candidate, candidate.size);
        witness.hear(&says(memory, &releases), &board).unwrap();
        assert!(witness.is_staged());
        Self {
            board,
            witness,
            releases,
        }
    }

    fn boot(&mut self) -> (board::Memory, Conduct) {
        let memory = self.board.boot().unwrap();
        let conduct = self.witness.booted(&self.board).unwrap();
        (memory, conduct)
    }

    fn compare(&mut self, memory: board::Memory) -> Result<(), String> {
        let status = says(memory, &self.releases);
        self.witness.compare(&status, &self.board)
    }
}

fn says(memory: board::Memory, releases: &Releases) -> Status {
    let key = SigningKey::new(SoftwareVerifier::new(releases.key));
    let mut update = Updater::new(memory, Trust::new(key, Sha256::new(), DEVICE));
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    update.input(now, &Event::Restored);
    update.status()
}

fn end(memory: &mut board::Memory, event: BootEvent) {
    let record = load(memory).unwrap().unwrap().on(event).unwrap();
    store(memory, &record).unwrap();
}

#[test]
fn a_witness_believes_a_device_that_tells_what_happened() {
    let mut device = Staged::new(Fault::PowerCuts);
    let (memory, conduct) = device.boot();
    assert_eq!(conduct, Conduct::Well);
    assert_eq!(device.compare(memory), Ok(()));
    let (mut memory, _) = device.boot();
    end(&mut memory, BootEvent::Confirm);
    device.witness.judged(Verdict::Well, true);
    let (memory, _) = device.boot();
    assert_eq!(device.compare(memory), Ok(()));
    assert_eq!(device.witness.compared, 2);
}

#[test]
fn a_device_that_says_it_confirmed_what_was_never_judged_lies() {
    let mut device = Staged::new(Fault::None);
    let (mut memory, _) = device.boot();
    end(&mut memory, BootEvent::Confirm);
    let lie = device.compare(memory).unwrap_err();
    assert!(lie.starts_with("how the last update ended"), "{lie}");
}

#[test]
fn a_device_that_gives_another_reason_lies() {
    let mut device = Staged::new(Fault::Crash);
    for _ in 0..TRIALS {
        assert_eq!(device.boot().1, Conduct::Crashes);
    }
    let (memory, _) = device.boot();
    assert_eq!(device.compare(memory), Ok(()));
    let mut device = Staged::new(Fault::Sick);
    let (mut memory, conduct) = device.boot();
    assert_eq!(conduct, Conduct::Sick);
    end(
        &mut memory,
        BootEvent::Reject(iot_ota::slot::RollBackReason::Damaged),
    );
    device.witness.judged(Verdict::Failed, true);
    let (memory, _) = device.boot();
    let lie = device.compare(memory).unwrap_err();
    assert!(lie.starts_with("how the last update ended"), "{lie}");
}

#[test]
fn a_release_that_is_given_up_before_its_trials_are_used_is_noticed() {
    let mut device = Staged::new(Fault::None);
    let (mut memory, _) = device.boot();
    end(
        &mut memory,
        BootEvent::Reject(iot_ota::slot::RollBackReason::Unconfirmed),
    );
    device.board.boot().unwrap();
    let lie = device.witness.booted(&device.board).unwrap_err();
    assert!(lie.starts_with("it was given up"), "{lie}");
}

#[test]
fn bytes_that_nobody_signed_do_not_run_unseen() {
    let releases = Releases::sign(&[9; 5_000]).unwrap();
    let others = Releases::sign(&[8; 5_000]).unwrap();
    let mut device = Staged::new(Fault::None);
    device.boot();
    let mut stranger = Witness::new(Arc::clone(&others.known));
    assert!(stranger.booted(&device.board).is_err());
    // The same bytes, but nobody has seen them staged.
    let mut late = Witness::new(Arc::clone(&releases.known));
    assert!(late.booted(&device.board).is_err());
}
