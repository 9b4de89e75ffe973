//! Updates while the power fails and the link loses, doubles and reorders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/keys.rs"]
mod keys;

use device::{
    BLOCK, CAPACITY, KIND, PowerCut, SECTOR, SIZE, World, encode, image, offer, runs_a_whole_image,
};
use iot_core::{Engine, Instant};
use iot_ota::slot::EndedAs;
use iot_ota::update::{Activity, Source, Want};

#[test]
fn a_power_cut_at_any_byte_leaves_a_device_that_boots_a_whole_image_and_finishes_the_update() {
    let world = World::new();
    let whole = {
        let mut rig = world.rig();
        world.finish(&mut rig).unwrap();
        rig.banks().written()
    };
    assert!(
        whole > 1_024 + 700 + 3 * 128,
        "erasure, image and records: {whole}"
    );
    let (mut before, mut after) = (0, 0);
    for cut in 0..whole {
        let mut rig = world.rig();
        rig.cut_power_after(cut);
        assert_eq!(
            world.finish(&mut rig),
            Err(PowerCut),
            "the cut at {cut} never fired"
        );
        // Every third time the boot itself is interrupted as well.
        if cut % 3 == 0 {
            rig.reboot_interrupted(cut % 130)
        } else {
            rig.reboot()
        }
        match runs_a_whole_image(&mut rig, &world) {
            1 => before += 1,
            _ => after += 1,
        }
        world.finish(&mut rig).unwrap();
        assert_eq!(runs_a_whole_image(&mut rig, &world), 2);
        assert_eq!(
            rig.updater().status().ended.unwrap().how,
            EndedAs::Confirmed
        );
    }
    assert!(before > 0 && after > 0);
}

#[test]
fn a_power_cut_before_any_commit_costs_at_most_a_block_and_a_sector() {
    let world = World::new();
    let mut resumed = 0;
    for commits in 0..12 {
        let mut rig = world.rig();
        rig.commits_left = Some(commits);
        let cut = world.finish(&mut rig);
        rig.commits_left = None;
        rig.reboot();
        runs_a_whole_image(&mut rig, &world);
        world.finish(&mut rig).unwrap();
        let fetched: u32 = rig.requests.iter().map(|request| request.length).sum();
        let size = u32::try_from(SIZE).unwrap();
        // The first commit names the release; without it the download starts afresh.
        if cut.is_err() && commits > 0 {
            assert!(
                fetched <= size + 2 * BLOCK + SECTOR,
                "{commits}: {fetched} bytes"
            );
            resumed += u32::from(fetched > size);
        }
    }
    assert!(resumed > 3, "the cuts were not in the download");
}

/// A link that loses, doubles and reorders, and a service that offers again when it hears nothing.
struct Link {
    random: u64,
    loss_percent: u64,
    lost: u32,
    doubled: u32,
}

impl Link {
    fn below(&mut self, bound: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.random >> 40).unwrap() % bound
    }

    fn send(&mut self, queue: &mut Vec<Vec<u8>>, payload: Vec<u8>) {
        let dice = u64::try_from(self.below(100)).unwrap();
        if dice < self.loss_percent {
            self.lost += 1;
            return;
        }
        if dice > 85 {
            self.doubled += 1;
            let at = self.below(queue.len() + 1);
            queue.insert(at, payload.clone());
        }
        let at = self.below(queue.len() + 1);
        queue.insert(at, payload);
    }
}

#[test]
fn an_update_ends_whatever_the_link_loses_doubles_and_reorders() {
    let world = World::new();
    let (mut lost, mut doubled) = (0, 0);
    for seed in 0..60 {
        let mut rig = world.rig();
        let mut link = Link {
            random: seed,
            loss_percent: seed % 40,
            lost: 0,
            doubled: 0,
        };
        let mut arriving = Vec::new();
        for round in 0.. {
            assert!(round < 3_000, "seed {seed}: {:?}", rig.updater().status());
            // What the broker lost was delivered as far as the device knows: only the service can ask.
            if round % 50 == 0 {
                link.send(&mut arriving, world.offer.clone());
            }
            for request in rig.run().unwrap() {
                let block = world.source().answer(&request).unwrap();
                link.send(&mut arriving, encode(&block));
            }
            match rig.updater().wants() {
                Want::Confirm => rig.confirm(true),
                Want::Reboot => rig.reboot(),
                _ => {}
            }
            match arriving.pop() {
                Some(payload) => rig.deliver(&payload),
                None => {
                    let deadline = rig.updater().deadline();
                    rig.now_ms = deadline
                        .map_or(rig.now_ms, Instant::as_millis)
                        .max(rig.now_ms);
                }
            }
            if rig.reports.iter().any(|report| report.outcome.is_success()) {
                break;
            }
        }
        assert_eq!(runs_a_whole_image(&mut rig, &world), 2);
        // Erasure, image, three boot records in both copies, and the counter: duplicates wrote nothing.
        assert_eq!(rig.banks().written(), 1_024 + 700 + 3 * 2 * 128 + 1);
        lost += link.lost;
        doubled += link.doubled;
    }
    assert!(lost > 50 && doubled > 50, "{lost} lost, {doubled} doubled");
}

#[test]
fn a_power_cut_while_a_newer_release_replaces_a_download_never_calls_a_good_image_bad() {
    let world = World::new();
    let newer = image(3, 300);
    let newer_offer = offer(&world.key, 3, KIND, &newer);
    let (mut second, mut third) = (0, 0);
    for cut in 0..2 * u64::from(CAPACITY) {
        let mut rig = world.rig();
        rig.deliver(&world.offer);
        for _ in 0..4 {
            let requests = rig.run().unwrap();
            let block = world.source().answer(&requests[0]).unwrap();
            rig.deliver(&encode(&block));
        }
        rig.run().unwrap();
        rig.cut_power_after(cut);
        rig.deliver(&newer_offer);
        let _ = rig.run();
        rig.reboot();
        // Whichever of the two goes on, it is staged.
        while rig.updater().wants() == Want::Nothing {
            let requests = rig.run().unwrap();
            let Some(request) = requests.first() else {
                rig.deliver(&world.offer);
                continue;
            };
            let (source, offer) = match request.sequence {
                2 => (world.source(), &world.offer),
                _ => (Source::new(3, &newer), &newer_offer),
            };
            match request.sequence {
                2 => second += 1,
                _ => third += 1,
            }
            rig.deliver(&encode(&source.answer(request).unwrap()));
            if source.is_last(request) {
                rig.deliver(offer);
            }
            assert!(rig.reports.is_empty(), "{cut}: {:?}", rig.reports);
        }
        assert!(matches!(
            rig.updater().status().activity,
            Activity::Staged { .. }
        ));
    }
    assert!(second > 0 && third > 0);
}
