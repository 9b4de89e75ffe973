//! Updates from offer to confirmation, roll back or refusal.
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

use std::time::Duration;

use device::{BLOCK, KIND, SIZE, TRIALS, World, encode, image, offer, runs_a_whole_image};
use iot_core::engine::{Done, Failure};
use iot_core::message::Fate;
use iot_core::time::TimeBounds;
use iot_core::{Engine, Event, Instant, Now, Step};
use iot_ota::manifest::{Author, CommandList, Device, Element, Image, ParameterList, SigningKey};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Bank, Banks, BootEvent, BootState, RecordCopy, Release, RollBackReason};
use iot_ota::slot::{boot, load, store};
use iot_ota::update::{Activity, Outcome, Probation, Source, ToDevice, Trust, Updater, Want};
use keys::{P256Key, Sha256, sha256};

#[test]
fn a_trial_that_the_loader_could_not_have_waits_under_its_own_name() {
    let (first, second) = (image(1, SIZE), image(2, SIZE));
    let release = |sequence, bytes: &[u8]| {
        Release::new(sequence, sha256(bytes), bytes.len().try_into().unwrap())
    };
    let mut banks = MemoryBanks::factory(1_024, 64, &first, release(1, &first));
    let candidate = release(2, &second);
    banks.write(Bank::B, 0, &second).unwrap();
    let record = load(&mut banks).unwrap().unwrap();
    let staged = BootEvent::Stage {
        candidate,
        trials: 2,
    };
    store(&mut banks, &record.on(staged).unwrap()).unwrap();
    // The trial is written where it cannot be read: it does not begin.
    banks.fail_record_reads(RecordCopy::First);
    assert_eq!(boot(&mut banks, &mut Sha256::default()), Ok(Bank::A));
    banks.heal_reads();
    let keys = SigningKey::new(P256Key::generate().public());
    let mut updater = Updater::new(banks, Trust::new(keys, Sha256::default(), KIND));
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    updater.input(now, &Event::Restored);
    let state = load(&mut updater.banks().clone()).unwrap().unwrap().state;
    assert!(matches!(state, BootState::Trial { .. }), "{state:?}");
    let status = updater.status();
    assert_eq!(status.activity, Activity::Staged { release: candidate });
    assert_eq!(status.running.map(|release| release.sequence), Some(1));
}

#[test]
fn an_update_goes_from_offer_to_confirmation_and_is_reported_once() {
    let world = World::new();
    let mut rig = world.rig();
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Reboot));
    assert_eq!(
        rig.requests.len(),
        SIZE.div_ceil(usize::try_from(BLOCK).unwrap())
    );
    let release = Release::new(
        2,
        sha256(&world.image),
        world.image.len().try_into().unwrap(),
    )
    .with_counter(7);
    assert_eq!(
        rig.updater().status().activity,
        Activity::Staged { release }
    );
    rig.reboot();
    assert_eq!(rig.updater().wants(), Want::Confirm);
    assert!(
        rig.reports.is_empty(),
        "nothing is reported before it is true"
    );
    rig.confirm(true);
    rig.run().unwrap();
    let report = rig.reports[0];
    assert_eq!(
        (report.sequence, report.outcome),
        (Some(2), Outcome::Confirmed)
    );
    assert_eq!(report.running.unwrap().digest, sha256(&world.image));
    rig.reboot();
    rig.run().unwrap();
    assert_eq!(rig.reports.len(), 1, "the service knows it");
    assert_eq!(runs_a_whole_image(&mut rig, &world), 2);
    // A service that forgot may ask by offering it again.
    rig.talk(&world.offer, &world.source()).unwrap();
    assert_eq!(rig.reports.len(), 2);
    assert_eq!(rig.reports[0], rig.reports[1]);
}

#[test]
fn a_release_whose_probes_take_too_long_is_rolled_back_for_that_reason() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    let deadline = Instant::from_millis(5_000);
    let mut probation = Probation::<2>::new(deadline);
    probation.report(0, true);
    let pending = probation.verdict(Instant::from_millis(4_999));
    rig.updater().conclude(pending);
    assert_eq!(rig.updater().wants(), Want::Confirm);
    rig.updater().conclude(probation.verdict(deadline));
    assert_eq!(rig.updater().wants(), Want::Reboot);
    rig.reboot();
    rig.run().unwrap();
    let reason = Outcome::RolledBack(RollBackReason::Unconfirmed);
    assert_eq!(rig.reports[0].outcome, reason);
    assert_eq!(runs_a_whole_image(&mut rig, &world), 1);
}

#[test]
fn a_release_that_fails_its_self_test_is_rolled_back_and_says_so() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    rig.confirm(false);
    assert_eq!(rig.updater().wants(), Want::Reboot);
    assert_eq!(rig.updater().status().activity, Activity::Rejected);
    assert_eq!(
        rig.updater().status().running,
        None,
        "it is on neither side"
    );
    rig.run().unwrap();
    assert!(rig.reports.is_empty(), "the old firmware does not run yet");
    rig.reboot();
    rig.run().unwrap();
    let reason = Outcome::RolledBack(RollBackReason::SelfTest);
    assert_eq!(
        (
            rig.reports[0].outcome,
            rig.reports[0].running.unwrap().sequence
        ),
        (reason, 1)
    );
    assert_eq!(runs_a_whole_image(&mut rig, &world), 1);
    assert_eq!(
        rig.updater().banks().clone().counter(),
        Ok(0),
        "the counter never rose"
    );
    // The same release is not tried again; its end is.
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Nothing));
    assert_eq!(rig.reports[1].outcome, reason);
    let next = image(3, SIZE);
    let better = offer(&world.key, 3, KIND, &next);
    assert_eq!(rig.talk(&better, &Source::new(3, &next)), Ok(Want::Reboot));
}

#[test]
fn a_release_that_never_answers_is_rolled_back_after_its_trials() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    let mut boots = 0;
    loop {
        rig.reboot();
        if rig.updater().wants() != Want::Confirm {
            break;
        }
        boots += 1;
    }
    assert_eq!(boots, TRIALS);
    rig.run().unwrap();
    assert_eq!(
        rig.reports[0].outcome,
        Outcome::RolledBack(RollBackReason::Unconfirmed)
    );
}

#[test]
fn an_image_that_is_not_the_signed_one_is_never_staged() {
    let world = World::new();
    let mut lie = world.image.clone();
    lie[SIZE - 1] ^= 1;
    let mut rig = world.rig();
    assert_eq!(
        rig.talk(&world.offer, &Source::new(2, &lie)),
        Ok(Want::Nothing)
    );
    assert_eq!(rig.reports[0].outcome, Outcome::BadImage);
    // Nothing of it is in the way of the right one.
    assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Reboot));
}

#[test]
fn only_the_block_that_was_asked_for_is_written() {
    let world = World::new();
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    rig.run().unwrap();
    let before = rig.banks().written();
    let block = usize::try_from(BLOCK).unwrap();
    let first = &world.image[..block];
    for hostile in [
        ToDevice::Block {
            sequence: 2,
            offset: 0,
            bytes: &first[1..],
        },
        ToDevice::Block {
            sequence: 2,
            offset: 0,
            bytes: &world.image[..block + 1],
        },
        ToDevice::Block {
            sequence: 2,
            offset: BLOCK,
            bytes: first,
        },
        ToDevice::Block {
            sequence: 2,
            offset: u32::MAX,
            bytes: first,
        },
        ToDevice::Block {
            sequence: 3,
            offset: 0,
            bytes: first,
        },
    ] {
        rig.deliver(&encode(&hostile));
    }
    assert_eq!(rig.banks().written(), before);
    let right = encode(&ToDevice::Block {
        sequence: 2,
        offset: 0,
        bytes: first,
    });
    rig.deliver(&right);
    let once = rig.banks().written();
    assert!(once >= before + u64::from(BLOCK));
    for _ in 0..2 {
        rig.deliver(&right);
    }
    assert_eq!(rig.banks().written(), once, "duplicates write nothing");
    // After the last byte of the image the spare bank is as it was cleared.
    rig.talk(&world.offer, &world.source()).unwrap();
    assert_eq!(rig.banks().bytes(Bank::B), world.image);
}

#[test]
fn what_a_device_cannot_or_must_not_install_is_refused_by_name() {
    let world = World::new();
    let refused = |payload: &[u8]| {
        let mut rig = world.rig();
        rig.deliver(payload);
        rig.run().unwrap();
        assert!(rig.requests.is_empty());
        assert_eq!(rig.banks().written(), 0);
        (rig.reports[0].sequence, rig.reports[0].outcome)
    };
    let stranger = P256Key::generate();
    let small = image(2, 10);
    let other = Device::new([1; 16], KIND.class, KIND.component);
    let path = Device::new(KIND.vendor, KIND.class, &[b"radio"]);
    let big = image(2, 1_025);
    assert_eq!(
        refused(&offer(&stranger, 2, KIND, &small)),
        (None, Outcome::NotAuthentic)
    );
    assert_eq!(
        refused(&offer(&world.key, 2, other, &small)),
        (Some(2), Outcome::OtherDevice)
    );
    assert_eq!(
        refused(&offer(&world.key, 2, path, &small)),
        (Some(2), Outcome::OtherDevice)
    );
    assert_eq!(
        refused(&offer(&world.key, 2, KIND, &big)),
        (Some(2), Outcome::TooLarge)
    );
    assert_eq!(
        refused(&offer(&world.key, 2, KIND, &[])),
        (Some(2), Outcome::Unsupported)
    );
    assert_eq!(
        refused(&offer(&world.key, 0, KIND, &small)),
        (Some(0), Outcome::TooOld)
    );
    assert_eq!(
        refused(&offer(&world.key, 1, KIND, &small)),
        (Some(1), Outcome::SequenceReused)
    );
    let running = image(1, 200);
    assert_eq!(
        refused(&offer(&world.key, 1, KIND, &running)),
        (Some(1), Outcome::Confirmed)
    );
}

#[test]
fn a_newer_offer_replaces_a_download_and_none_disturbs_a_trial() {
    let world = World::new();
    let newer = image(3, 300);
    let newer_offer = offer(&world.key, 3, KIND, &newer);
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    rig.run().unwrap();
    assert_eq!(
        rig.talk(&newer_offer, &Source::new(3, &newer)),
        Ok(Want::Reboot)
    );
    rig.deliver(&world.offer);
    rig.run().unwrap();
    assert_eq!(rig.reports.last().unwrap().outcome, Outcome::Busy);
    rig.reboot();
    rig.deliver(&newer_offer);
    rig.run().unwrap();
    assert_eq!(rig.updater().wants(), Want::Confirm);
    assert_eq!(
        rig.reports.len(),
        1,
        "its own offer again is no reason for a report"
    );
}

#[test]
fn a_download_that_was_called_off_does_not_come_back() {
    let world = World::new();
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    rig.run().unwrap();
    let abort = encode(&ToDevice::Abort { sequence: 2 });
    for _ in 0..2 {
        rig.deliver(&abort);
        assert!(rig.run().unwrap().is_empty());
    }
    assert_eq!(rig.reports.len(), 1);
    assert_eq!(rig.reports[0].outcome, Outcome::Aborted);
    rig.reboot();
    assert!(rig.run().unwrap().is_empty());
    assert_eq!(rig.updater().status().activity, Activity::Idle);
}

#[test]
fn an_unanswered_request_is_repeated_later_and_later() {
    let world = World::new();
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    assert_eq!(rig.run().unwrap().len(), 1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let deadline = rig.updater().deadline().unwrap().as_millis();
        waits.push((deadline - rig.now_ms) / 1_000);
        rig.now_ms = deadline - 1;
        assert!(rig.run().unwrap().is_empty());
        rig.now_ms = deadline;
        assert_eq!(rig.run().unwrap().len(), 1);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320, 320]);
    let now = Now::new(Instant::from_millis(rig.now_ms), TimeBounds::UNKNOWN);
    rig.updater()
        .input(now, &Event::Connected { resumed: true });
    assert_eq!(
        rig.run().unwrap().len(),
        1,
        "a new link is a reason to ask at once"
    );
}

#[test]
fn a_report_is_sent_until_it_arrives_also_after_a_reboot() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    rig.fate = Fate::Expired;
    rig.confirm(true);
    rig.run().unwrap();
    assert!(rig.reports.is_empty());
    let retry = rig.updater().deadline().unwrap();
    assert_eq!(
        retry.since(Instant::from_millis(rig.now_ms)),
        Duration::from_secs(10)
    );
    rig.reboot();
    rig.run().unwrap();
    rig.fate = Fate::Delivered;
    rig.now_ms += 10_000;
    rig.run().unwrap();
    assert_eq!(rig.reports.len(), 1);
}

#[test]
fn a_step_that_was_dropped_is_asked_for_again_and_a_busy_link_is_waited_for() {
    let world = World::new();
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let (mut first, mut second) = ([0; 256], [0; 256]);
    let updater = rig.updater();
    let dropped = format!("{:?}", updater.step(now, &mut first));
    assert_eq!(format!("{:?}", updater.step(now, &mut second)), dropped);
    updater.done(now, Done::Persisted);
    assert!(matches!(updater.step(now, &mut first), Step::Send(_)));
    updater.done(now, Done::Failed(Failure::Busy));
    assert!(matches!(updater.step(now, &mut first), Step::Idle));
    assert!(updater.deadline().is_some());
}

#[test]
fn a_record_that_was_not_saved_is_saved_later_and_the_download_does_not_run_ahead_of_it() {
    let world = World::new();
    let mut rig = world.rig();
    rig.run().unwrap();
    rig.deliver(&world.offer);
    let at = |secs: u64| Now::new(Instant::from_millis(secs * 1_000), TimeBounds::UNKNOWN);
    let mut buffer = [0; 256];
    let updater = rig.updater();
    for secs in [0, 10] {
        assert!(matches!(
            updater.step(at(secs), &mut buffer),
            Step::Persist(_)
        ));
        updater.done(at(secs), Done::Failed(Failure::StorageFull));
        assert!(matches!(updater.step(at(secs), &mut buffer), Step::Idle));
        assert_eq!(updater.deadline(), Some(at(secs + 10).instant));
    }
    // A buffer that is too small for the step fails it as well.
    assert!(matches!(updater.step(at(20), &mut [0; 4]), Step::Idle));
    assert_eq!(updater.deadline(), Some(at(30).instant));
    rig.now_ms = 30_000;
    assert_eq!(rig.run().unwrap().len(), 1);
}

#[test]
fn the_end_of_an_update_is_told_even_when_a_refusal_follows_before_it_arrived() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    rig.fate = Fate::Expired;
    rig.confirm(true);
    rig.run().unwrap();
    assert!(rig.reports.is_empty());
    let foreign = offer(&P256Key::generate(), 3, KIND, &world.image);
    rig.deliver(&foreign);
    rig.fate = Fate::Delivered;
    rig.now_ms += 10_000;
    rig.run().unwrap();
    let outcomes: Vec<_> = rig.reports.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Confirmed, Outcome::NotAuthentic]);
}

#[test]
fn no_release_below_the_last_one_that_was_tried_is_tried_again() {
    let world = World::new();
    let newer = image(3, 300);
    let newer_offer = offer(&world.key, 3, KIND, &newer);
    let mut rig = world.rig();
    for (offer, source) in [
        (&world.offer, world.source()),
        (&newer_offer, Source::new(3, &newer)),
    ] {
        assert_eq!(rig.talk(offer, &source), Ok(Want::Reboot));
        rig.reboot();
        rig.confirm(false);
        rig.reboot();
        rig.run().unwrap();
    }
    assert_eq!(
        rig.talk(&world.offer, &world.source()),
        Ok(Want::Nothing),
        "a replayed offer"
    );
    let last = rig.reports.last().unwrap();
    assert_eq!((last.sequence, last.outcome), (Some(2), Outcome::TooOld));
}

#[test]
fn a_release_of_signers_without_a_right_to_the_component_is_refused() {
    let world = World::new();
    for (roles, expected) in [(0b10, Want::Nothing), (0b01, Want::Reboot)] {
        let mut rig = world.rig();
        rig.kind = KIND.for_roles(roles);
        rig.reboot();
        assert_eq!(rig.talk(&world.offer, &world.source()), Ok(expected));
        if expected == Want::Nothing {
            assert_eq!(rig.reports[0].outcome, Outcome::NotAuthentic);
            assert_eq!(rig.requests, []);
        }
    }
}

#[test]
fn a_release_whose_time_is_over_is_refused_as_one_that_does_not_apply() {
    let world = World::new();
    let mut rig = world.rig();
    let own = ParameterList::new().use_before(9);
    let image = Image::new(sha256(&world.image), SIZE as u64);
    let author = Author::new(2, &[KIND.component])
        .compatibility_check(0, KIND.vendor, KIND.class, Some(&image))
        .section(Element::Install, CommandList::new().set(own).command(4, 15))
        .fetch_and_install(0, "iot:firmware")
        .matched(0);
    let mut envelope = author.build(&mut Sha256::default());
    envelope.sign(&world.key, Some(b"k1")).unwrap();
    let late = encode(&ToDevice::Offer {
        envelope: &envelope.encode(),
    });
    // The device has no clock.
    assert_eq!(rig.talk(&late, &world.source()), Ok(Want::Nothing));
    let report = rig.reports[0];
    assert_eq!(
        (report.sequence, report.outcome),
        (Some(2), Outcome::NotApplicable)
    );
}
