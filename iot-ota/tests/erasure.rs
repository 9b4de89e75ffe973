//! What an update erases, and when: a page at a time, and nothing of an older image is left behind a newer one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, and its numbers are small"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/keys.rs"]
mod keys;

use device::{BLOCK, KIND, Rig, SECTOR, encode, image, offer};
use iot_core::engine::{Done, Engine, RecordKey};
use iot_core::node::block_on;
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now, Step, Ticket};
use iot_ota::image::{Expected, Intake, Plain, fill};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Bank, Release};
use iot_ota::update::{Activity, FromDevice, Source, Want};
use keys::{P256Key, Sha256, sha256};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const BANK: u32 = 64 * 1024;

#[test]
fn no_call_of_an_updater_erases_more_than_the_pages_of_a_block() {
    let key = P256Key::generate();
    let mut rig = Rig::factory(key.public(), BANK);
    let new = image(2, 700);
    let source = Source::new(2, &new);
    rig.deliver(&offer(&key, 2, KIND, &new));
    let (mut most, mut tickets) = (0, 0);
    while !matches!(rig.updater().status().activity, Activity::Staged { .. }) {
        let before = rig.banks().written();
        let (mut buffer, mut block) = ([0; 256], None);
        match rig.updater().step(NOW, &mut buffer) {
            Step::Persist(_) => rig.updater().done(NOW, Done::Persisted),
            Step::Send(message) => {
                if let FromDevice::Request(request) = FromDevice::decode(message.payload).unwrap() {
                    block = source.answer(&request).ok();
                }
                tickets += 1;
                rig.updater().done(NOW, Done::Sent(Ticket::new(tickets)));
            }
            step => assert_eq!(
                rig.updater().deadline(),
                Some(Instant::ZERO),
                "{step:?}: it goes on with the next page at once"
            ),
        }
        most = most.max(rig.banks().written() - before);
        if let Some(block) = block.map(|block| encode(&block)) {
            let before = rig.banks().written();
            rig.deliver(&block);
            most = most.max(rig.banks().written() - before);
        }
    }
    // A block may begin and end inside a page; the boot record is written besides.
    let allowed = u64::from(BLOCK.next_multiple_of(SECTOR) + SECTOR + BLOCK) + 256;
    assert!(most <= allowed, "{most} bytes in one call");
    assert!(rig.banks().written() > u64::from(BANK), "all was erased");
}

#[test]
fn a_device_that_restarts_in_a_download_wears_a_page_each_time() {
    let key = P256Key::generate();
    let mut rig = Rig::factory(key.public(), BANK);
    let new = image(2, 700);
    let source = Source::new(2, &new);
    rig.deliver(&offer(&key, 2, KIND, &new));
    for _ in 0..3 {
        let request = rig.run().unwrap()[0];
        rig.deliver(&encode(&source.answer(&request).unwrap()));
    }
    rig.run().unwrap();
    let before = rig.banks().written();
    for _ in 0..20 {
        rig.reboot();
        rig.run().unwrap();
    }
    let worn = rig.banks().written() - before;
    assert!(worn <= 20 * u64::from(SECTOR), "{worn} bytes");
}

#[test]
fn nothing_of_an_older_download_is_left_behind_an_image_that_is_staged() {
    let key = P256Key::generate();
    let mut rig = Rig::factory(key.public(), 4_096);
    let (long, short) = (image(2, 4_000), image(3, 300));
    let source = Source::new(2, &long);
    rig.deliver(&offer(&key, 2, KIND, &long));
    for _ in 0..30 {
        let request = rig.run().unwrap()[0];
        rig.deliver(&encode(&source.answer(&request).unwrap()));
    }
    assert!(rig.banks().bytes(Bank::B).len() > 2_000);
    let offer = offer(&key, 3, KIND, &short);
    let wants = rig.talk(&offer, &Source::new(3, &short)).unwrap();
    assert_eq!(wants, Want::Reboot);
    assert_eq!(rig.banks().bytes(Bank::B), short);
}

type Taking = Intake<Plain, Sha256, 64, 4>;

fn begin(banks: &mut MemoryBanks, image: &[u8]) -> Taking {
    let size = image.len() as u32;
    let expected = Expected::new(size, size, sha256(image));
    Intake::begin(Plain::new(), Sha256::default(), expected, banks).unwrap()
}

/// Banks whose spare one is full of something older.
fn used() -> MemoryBanks {
    let old = b"old".as_slice();
    let mut banks = MemoryBanks::factory(1_024, 64, old, Release::new(1, sha256(old), 3));
    let older = [9; 1_000];
    let mut intake = begin(&mut banks, &older);
    intake.push(&mut banks, 0, &older[..990]).unwrap();
    assert_eq!(banks.bytes(Bank::B).len(), 960);
    banks
}

#[test]
fn an_intake_leaves_nothing_behind_its_image() {
    let new = [7; 100];
    let mut banks = used();
    let mut intake = begin(&mut banks, &new);
    intake.push(&mut banks, 0, &new).unwrap();
    intake.finish(&mut banks).unwrap();
    assert_eq!(banks.bytes(Bank::B), new);
}

#[test]
fn an_intake_erases_what_is_behind_its_image_a_page_at_a_time_for_who_asks() {
    let new = [7; 100];
    let mut banks = used();
    let mut intake = begin(&mut banks, &new);
    intake.push(&mut banks, 0, &new).unwrap();
    let mut before = banks.written();
    while !intake.clear_next(&mut banks).unwrap() {
        assert_eq!(banks.written() - before, 64);
        before = banks.written();
    }
    let before = banks.written();
    intake.finish(&mut banks).unwrap();
    assert_eq!(banks.written(), before, "it was erased already");
    assert_eq!(banks.bytes(Bank::B), new);
}

#[test]
fn a_bank_that_was_filled_is_erased_behind_its_image() {
    let new = [7; 100];
    let mut banks = used();
    let mut intake = begin(&mut banks, &new);
    let mut records = FixedRecords::<4, 4_096>::new();
    let mut block = [0; 64];
    let key = RecordKey::new(1);
    let mut source = &new[..];
    block_on(fill(
        &mut source,
        &mut intake,
        &mut banks,
        &mut records,
        key,
        &mut block,
    ))
    .unwrap();
    assert_eq!(banks.bytes(Bank::B), new);
    let before = banks.written();
    intake.finish(&mut banks).unwrap();
    assert_eq!(banks.written(), before);
}
