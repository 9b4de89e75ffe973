//! Updates that people and schedules have a say in, and downloads that do not get on.
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

use core::time::Duration;

use device::{BLOCK, Rig, SIZE, World, encode, runs_a_whole_image};
use iot_core::time::TimeBounds;
use iot_core::{Engine, Event, Instant, Now};
use iot_ota::schedule::{Conditions, Decision, Schedule, Stage, Why};
use iot_ota::update::{Activity, Outcome, Source, ToDevice, Want};

fn asking(world: &World) -> Rig {
    let mut rig = world.rig();
    rig.updater = rig.updater.take().map(|updater| updater.with_approval());
    rig
}

fn wait(until: Option<u64>) -> Decision {
    Decision::Wait {
        why: Why::Window,
        until: until.map(Instant::from_millis),
    }
}

#[test]
fn nothing_is_fetched_before_somebody_has_agreed() {
    let world = World::new();
    let mut rig = asking(&world);
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Approve));
    assert!(matches!(
        rig.updater().status().activity,
        Activity::AwaitingApproval { release } if release.sequence == 2
    ));
    assert!(!rig.updater().approve(3), "nobody waits for that one");
    // The same offer again changes nothing, nor does a block that nobody asked for.
    rig.deliver(&encode(&ToDevice::Block {
        sequence: 2,
        offset: 0,
        bytes: &world.image[..96],
    }));
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Approve));
    assert_eq!(rig.requests, []);

    assert!(rig.updater().approve(2));
    assert!(!rig.updater().approve(2), "once is enough");
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Reboot));
    world.finish(&mut rig).unwrap();
    assert_eq!(runs_a_whole_image(&mut rig, &world), 2);
}

#[test]
fn who_agreed_to_one_release_has_not_agreed_to_the_next() {
    let world = World::new();
    let newer = device::image(3, 300);
    let newer_offer = device::offer(&world.key, 3, device::KIND, &newer);
    let mut rig = asking(&world);
    rig.talk(&world.offer, &world.source()).unwrap();
    assert!(rig.updater().approve(2));
    rig.run().unwrap();
    let asked = rig.requests.len();
    let source = Source::new(3, &newer);
    assert_eq!(rig.talk(&newer_offer, &source), Ok(Want::Approve));
    assert_eq!(rig.requests.len(), asked, "something of it was fetched");
    // Nor is it on record: a reboot brings no download of it.
    rig.reboot();
    assert_eq!(rig.run().unwrap(), []);
    assert_eq!(rig.updater().status().activity, Activity::Idle);
}

#[test]
fn a_reboot_does_not_agree_to_anything() {
    let world = World::new();
    let mut rig = asking(&world);
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    assert_eq!(rig.run().unwrap(), []);
    assert_eq!(rig.updater().status().activity, Activity::Idle);
    // What was agreed to goes on.
    let mut rig = asking(&world);
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.updater().approve(2);
    assert!(!rig.run().unwrap().is_empty());
    rig.reboot();
    rig.updater = rig.updater.take().map(|updater| updater.with_approval());
    assert!(!rig.run().unwrap().is_empty());
}

#[test]
fn what_is_called_off_at_the_device_is_told_and_what_is_staged_stays() {
    let world = World::new();
    let mut rig = asking(&world);
    assert!(!rig.updater().cancel(), "there is nothing yet");
    rig.talk(&world.offer, &world.source()).unwrap();
    assert!(rig.updater().cancel());
    rig.run().unwrap();
    assert_eq!(rig.reports[0].outcome, Outcome::Cancelled);
    assert_eq!(rig.updater().status().activity, Activity::Idle);

    let mut rig = world.rig();
    rig.deliver(&world.offer);
    rig.run().unwrap();
    assert!(rig.updater().cancel());
    rig.run().unwrap();
    assert_eq!(rig.reports[0].outcome, Outcome::Cancelled);

    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    assert!(!rig.updater().cancel());
    assert_eq!(rig.updater().wants(), Want::Reboot);
}

#[test]
fn while_a_schedule_says_no_nothing_is_asked_for_and_nothing_is_lost() {
    let world = World::new();
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    let asked = rig.run().unwrap();
    rig.deliver(&encode(&world.source().answer(&asked[0]).unwrap()));
    rig.updater().gate(Stage::Fetch, wait(Some(90_000)));
    assert_eq!(rig.run().unwrap(), []);
    // The driver wakes up when the schedule should be asked again, and not before.
    assert_eq!(rig.updater().deadline(), Some(Instant::from_millis(90_000)));
    rig.now_ms = 80_000;
    assert_eq!(rig.run().unwrap(), []);
    rig.updater().gate(Stage::Fetch, Decision::Go);
    let asked = rig.run().unwrap();
    assert_eq!(asked[0].offset, BLOCK, "the first block was kept");

    rig.deliver(&encode(&world.source().answer(&asked[0]).unwrap()));
    rig.updater().gate(Stage::Restart, wait(None));
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Nothing));
    assert!(matches!(
        rig.updater().status().activity,
        Activity::Staged { .. }
    ));
    rig.updater().gate(Stage::Restart, Decision::Go);
    assert_eq!(rig.updater().wants(), Want::Reboot);
}

#[test]
fn a_schedule_and_an_updater_fit_together() {
    let world = World::new();
    let mut rig = world.rig();
    let mut schedule = Schedule::<0>::new([]).battery_at_least(50);
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let low = Conditions::default().battery(20, false);
    let decision = schedule.may(now, Stage::Fetch, &low);
    rig.updater().gate(Stage::Fetch, decision);
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Nothing));
    assert_eq!(rig.requests, []);
    let charged = low.battery(60, false);
    let decision = schedule.may(now, Stage::Fetch, &charged);
    rig.updater().gate(Stage::Fetch, decision);
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Reboot));
}

/// Answers one request each so many milliseconds, until the device rests.
fn fetch_slowly(rig: &mut Rig, source: &Source<'_>, every_ms: u64) {
    let mut next = rig.run().unwrap();
    for _ in 0..100 {
        rig.now_ms += every_ms;
        let Some(request) = next.pop() else {
            next = rig.run().unwrap();
            if next.is_empty() {
                return;
            }
            continue;
        };
        rig.deliver(&encode(&source.answer(&request).unwrap()));
        next = rig.run().unwrap();
    }
    panic!("no end");
}

#[test]
fn a_download_below_the_minimum_rate_is_given_up_and_one_above_it_is_not() {
    let world = World::new();
    // A block each second; one takes more than a second to come.
    for (every_ms, staged) in [(900, true), (1_100, false)] {
        let mut rig = world.rig();
        let rate =
            |updater: device::TestUpdater| updater.with_minimum_rate(BLOCK, Duration::from_secs(1));
        rig.updater = rig.updater.take().map(rate);
        rig.deliver(&world.offer);
        fetch_slowly(&mut rig, &world.source(), every_ms);
        if staged {
            assert_eq!(rig.updater().wants(), Want::Reboot);
            assert_eq!(rig.reports, []);
        } else {
            assert_eq!(rig.reports[0].outcome, Outcome::TooSlow);
            assert_eq!(rig.updater().status().activity, Activity::Idle);
        }
    }
}

#[test]
fn time_without_a_link_or_behind_a_closed_gate_does_not_count() {
    let world = World::new();
    let mut rig = world.rig();
    rig.updater = rig
        .updater
        .take()
        .map(|updater| updater.with_minimum_rate(BLOCK, Duration::from_secs(60)));
    rig.deliver(&world.offer);
    rig.run().unwrap();
    // The time that counts ends with the span, and the driver wakes up then at the latest.
    assert!(rig.updater().deadline().unwrap() <= Instant::from_millis(60_000));
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    rig.updater().input(now, &Event::Disconnected);
    rig.now_ms = 3_600_000;
    let now = Now::new(Instant::from_millis(3_600_000), TimeBounds::UNKNOWN);
    let resumed = false;
    rig.updater().input(now, &Event::Connected { resumed });
    assert!(!rig.run().unwrap().is_empty());
    rig.updater().gate(Stage::Fetch, wait(None));
    rig.now_ms = 7_200_000;
    rig.updater().gate(Stage::Fetch, Decision::Go);
    rig.run().unwrap();
    assert_eq!(rig.reports, []);
    // And silence counts.
    rig.now_ms = 7_300_000;
    rig.run().unwrap();
    assert_eq!(rig.reports[0].outcome, Outcome::TooSlow);
}

#[test]
fn progress_is_told_once_for_each_change() {
    let world = World::new();
    let mut rig = world.rig();
    assert_eq!(rig.updater().progress().unwrap().activity, Activity::Idle);
    assert_eq!(rig.updater().progress(), None);
    rig.deliver(&world.offer);
    let mut offsets = Vec::new();
    loop {
        let requests = rig.run().unwrap();
        match rig.updater().progress().map(|status| status.activity) {
            Some(Activity::Fetching { offset, .. }) => offsets.push(offset),
            Some(Activity::Staged { .. }) => break,
            other => panic!("{other:?}"),
        }
        for request in requests {
            rig.deliver(&encode(&world.source().answer(&request).unwrap()));
        }
    }
    let expected: Vec<u32> = (0..u32::try_from(SIZE).unwrap()).step_by(96).collect();
    assert_eq!(offsets, expected);
    assert_eq!(rig.updater().progress(), None);
}
