//! While a bank is erased behind an image, nothing is asked for, and the download is not too slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host, and its numbers are small"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/keys.rs"]
mod keys;

use core::time::Duration;

use device::{KIND, Rig, encode, image, offer};
use iot_core::engine::{Done, Engine, Event};
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now, Step, Ticket};
use iot_ota::update::{Activity, FromDevice, Outcome, Request, Source};
use keys::P256Key;

const BANK: u32 = 64 * 1024;

fn at(ms: u64) -> Now {
    Now::new(Instant::from_millis(ms), TimeBounds::UNKNOWN)
}

/// A device to which all of an image of 700 bytes has come at time zero, in a bank of 1,024 pages.
fn all_is_there(key: &P256Key, new: &[u8]) -> Rig {
    let mut rig = Rig::factory(key.public(), BANK);
    rig.updater = rig.updater.take().map(|updater| {
        updater
            .with_timeout(Duration::from_secs(10))
            .with_minimum_rate(1, Duration::from_secs(20))
    });
    let source = Source::new(2, new);
    rig.deliver(&offer(key, 2, KIND, new));
    for _ in 0..new.len().div_ceil(device::BLOCK as usize) {
        let request = rig.run().unwrap()[0];
        rig.deliver(&encode(&source.answer(&request).unwrap()));
    }
    rig
}

/// Lets it step until the image is staged or given up, each step at the end of `page_ms`, which is what an erasure
/// takes; returns what it asked for, and what it said.
fn erase(rig: &mut Rig, page_ms: u64) -> (Vec<Request>, Vec<Outcome>) {
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    for turn in 1..=3_000_u64 {
        let now = at(turn * page_ms);
        let mut buffer = [0; 256];
        let done = match rig.updater().step(now, &mut buffer) {
            Step::Idle => {
                if rig.updater().deadline() != Some(Instant::ZERO) {
                    return (asked, said);
                }
                continue;
            }
            Step::Persist(_) => Done::Persisted,
            Step::Send(message) => {
                match FromDevice::decode(message.payload).unwrap() {
                    FromDevice::Request(request) => asked.push(request),
                    FromDevice::Report(report) => said.push(report.outcome),
                    other => panic!("{other:?}"),
                }
                Done::Sent(Ticket::new(turn))
            }
            other => panic!("{other:?}"),
        };
        rig.updater().done(now, done);
    }
    panic!("it never rests: {:?}", rig.updater().status());
}

#[test]
fn an_image_that_is_there_is_not_given_up_as_too_slow_while_its_bank_is_erased() {
    let (key, new) = (P256Key::generate(), image(2, 700));
    let mut rig = all_is_there(&key, &new);
    // A page takes 45 ms, as serial flash does: the rest of the bank 46 s.
    let (_, said) = erase(&mut rig, 45);
    assert_eq!(said, []);
    assert!(matches!(
        rig.updater().status().activity,
        Activity::Staged { .. }
    ));
}

#[test]
fn nothing_is_fetched_again_while_the_bank_is_erased_behind_an_image() {
    let (key, new) = (P256Key::generate(), image(2, 700));
    let mut rig = all_is_there(&key, &new);
    let (asked, _) = erase(&mut rig, 45);
    assert_eq!(asked, []);
}

#[test]
fn a_link_that_comes_up_while_a_bank_is_erased_brings_no_block_again() {
    let (key, new) = (P256Key::generate(), image(2, 700));
    let mut rig = all_is_there(&key, &new);
    rig.updater()
        .input(at(0), &Event::Connected { resumed: true });
    // So fast that nothing is late.
    let (asked, _) = erase(&mut rig, 1);
    assert_eq!(asked, []);
}
