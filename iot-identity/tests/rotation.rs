//! A rotation with real keys, a real registrar and a front that verifies.
#![cfg(all(feature = "cert", feature = "sim"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[allow(dead_code, reason = "the tests of faults use more of it")]
#[path = "rotation/site.rs"]
mod site;

use core::time::Duration;

use iot_core::crypto::SlotId;
use iot_core::engine::{Engine, Event, Failure, Step};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Timestamp};
use iot_identity::enrol::{Answer, Refusal, Request};
use iot_identity::revocation::Denied;
use iot_identity::rotate::{Identity, Policy, RenewAfterExpiry, Session, Standing, Want};

use site::{A, B, DAY, Device, HOUR, START, Site, id, new_rotation, request, tenant};

#[test]
fn a_device_enrols_and_renews_before_its_certificate_ends() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    let end = device.rotation.not_after().unwrap();
    assert_eq!(end, START.after(30 * DAY));

    device.runs(&mut site, 19 * DAY);
    assert_eq!(device.rotation.not_after(), Some(end), "too early");
    device.runs(&mut site, 4 * DAY);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert!(device.rotation.not_after().unwrap() > end);
    assert_eq!(site.asked, [Identity::Factory, Identity::Own(A)]);
    assert_eq!(device.keys_held(), [false, true], "the overlap is over");
}

#[test]
fn losses_doubles_and_power_cuts_on_both_sides_make_one_certificate_for_each_key() {
    let mut cuts = 0;
    for seed in 0..60 {
        let mut site = Site::new();
        site.chance = Some(SimEntropy::new(seed));
        let mut device = Device::new(&site, seed);
        device.cut_per_mille = 100;
        device.runs_until(&mut site, DAY, |device| {
            device.rotation.standing() == Standing::Enrolled
        });
        assert_eq!(
            device.rotation.standing(),
            Standing::Enrolled,
            "seed {seed}"
        );
        assert_eq!(site.registrar.enrolments().count(), 1, "seed {seed}");
        let held: Vec<_> = device.rotation.chain(A).map(<[u8]>::to_vec).collect();
        let book = site.registrar.enrolments().next().unwrap();
        assert_eq!(held, [book.certificate().to_vec()], "seed {seed}");
        cuts += device.cuts;
    }
    assert!(cuts > 60, "only {cuts} cuts");
}

#[test]
fn a_candidate_on_record_is_probed_after_a_boot_and_not_asked_for_again() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs_until(&mut site, HOUR, |device| device.rotation.has_candidate());
    assert_eq!(device.rotation.identity(), Identity::Factory);
    device.boot();
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    assert_eq!(site.asked.len(), 1);
    assert_eq!(site.shown.last(), Some(&Identity::Own(A)));
}

#[test]
fn a_key_without_a_record_is_asked_for_again_and_a_record_without_a_key_is_given_up() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs_until(&mut site, HOUR, |device| device.keys_held()[0]);
    device.boot();
    device.runs(&mut site, HOUR);
    assert_eq!(device.generated, 1);
    assert_eq!(device.rotation.standing(), Standing::Enrolled);

    device.loses_key(A);
    device.boot();
    assert_eq!(device.rotation.identity(), Identity::Factory);
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
}

#[test]
fn a_candidate_that_is_refused_is_thrown_away_and_the_current_one_stays() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    site.refuses = Some(Identity::Own(B));
    device.runs(&mut site, 23 * DAY);
    let probes = site.shown.iter().filter(|&&one| one == Identity::Own(B));
    assert!(probes.count() >= 4);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    assert_eq!(site.session, Some(Identity::Own(A)), "it stays at work");
    // Keys that were thrown away are few: each time it waits for longer.
    assert!(device.generated <= 9, "{} keys", device.generated);

    site.refuses = None;
    device.runs(&mut site, 3 * DAY);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
}

#[test]
fn without_a_link_no_candidate_is_given_up() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs_until(&mut site, HOUR, |device| device.rotation.has_candidate());
    site.is_up = false;
    device.disconnects(&mut site);
    device.runs(&mut site, 3 * DAY);
    site.is_up = true;
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    assert_eq!(device.generated, 1);
}

#[test]
fn a_fleet_does_not_renew_at_once() {
    let mut site = Site::new();
    let (mut early, mut half, mut all) = (0, 0, 0);
    for seed in 0..60 {
        let mut device = Device::new(&site, seed);
        device.runs(&mut site, HOUR);
        for (before, count) in [
            (10 * DAY + HOUR, &mut early),
            (9 * DAY, &mut half),
            (8 * DAY, &mut all),
        ] {
            let at = START.after(30 * DAY).before(before);
            // A boot, so that only the clock tells.
            let mut booted = device.booted_at(at);
            let now = Now::new(Instant::ZERO, TimeBounds::exact(at));
            *count += u32::from(booted.wants(now) == Some(Want::Generate(B)));
        }
        site.restart();
    }
    assert_eq!((early, all), (0, 60));
    assert!((15..=45).contains(&half), "{half} of 60 in the first half");
}

#[test]
fn an_expired_certificate_is_shown_or_not_as_the_policy_says_and_the_factory_helps() {
    for (policy, after_expiry, shown) in [
        (RenewAfterExpiry::Allowed, true, Identity::Own(A)),
        (RenewAfterExpiry::Allowed, false, Identity::Factory),
        (RenewAfterExpiry::Never, true, Identity::Factory),
    ] {
        let mut site = Site::new();
        site.takes_expired = after_expiry;
        let mut device = Device::new(&site, 1);
        device.policy = Policy::default().after_expiry(policy);
        device.boot();
        device.runs(&mut site, HOUR);
        device.sleeps(&mut site, 400 * DAY);
        device.runs(&mut site, HOUR);
        assert_eq!(device.rotation.identity(), Identity::Own(B), "{policy:?}");
        assert_eq!(site.asked.last(), Some(&shown), "{policy:?}");
    }
}

#[test]
fn the_revoked_ask_for_nothing_more_until_they_are_told_to() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    site.revocations.deny(Denied::Device(tenant(), id()));
    // Over the session that is open still.
    device.rotation.renew();
    device.runs(&mut site, HOUR);
    assert_eq!(
        device.rotation.standing(),
        Standing::Refused(Refusal::Revoked)
    );
    let asked = site.asked.len();
    device.disconnects(&mut site);
    device.runs(&mut site, 60 * DAY);
    assert_eq!(
        (site.asked.len(), device.rotation.deadline()),
        (asked, None)
    );

    // Told to ask again it shows its factory identity, and is refused there too.
    site.shown.clear();
    device.rotation.apply_again();
    device.runs(&mut site, HOUR);
    assert_eq!(site.shown, [Identity::Factory]);
    assert_eq!(
        device.rotation.standing(),
        Standing::Refused(Refusal::Revoked)
    );
    // After a boot it learns the same with the first session.
    device.boot();
    device.runs(&mut site, 60 * DAY);
    assert_eq!(
        device.rotation.standing(),
        Standing::Refused(Refusal::Revoked)
    );
    assert_eq!(site.registrar.enrolments().count(), 1);
}

#[test]
fn a_revoked_certificate_is_replaced_once_its_device_is_readmitted() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    let key = *site.registrar.enrolments().next().unwrap().key();
    site.revocations.deny(Denied::Key(key));
    device.disconnects(&mut site);
    device.runs(&mut site, HOUR);
    device.rotation.apply_again();
    device.runs(&mut site, HOUR);
    assert_eq!(
        device.rotation.standing(),
        Standing::Refused(Refusal::Revoked)
    );
    assert_eq!(site.registrar.readmit(&id()).len(), 1);
    device.rotation.apply_again();
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
}

#[test]
fn without_a_clock_it_renews_by_how_long_it_has_been_up() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.has_clock = false;
    device.runs(&mut site, 19 * DAY);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    device.runs(&mut site, 4 * DAY);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
}

#[test]
fn a_clock_that_runs_ahead_is_found_out_and_believed_again_once_it_is_set() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.ahead = 5_000 * DAY;
    device.runs(&mut site, 5 * DAY);
    assert_eq!(device.generated, 1, "a fresh certificate is never due");
    device.runs(&mut site, 20 * DAY);
    let generated = device.generated;
    assert!((2..=4).contains(&generated), "{generated} keys");
    device.ahead = Duration::ZERO;
    device.runs(&mut site, 30 * DAY);
    assert!(device.generated > generated);
    assert!(device.rotation.not_after().unwrap() > START.after(60 * DAY));
}

#[test]
fn storage_that_is_full_delays_and_gives_nothing_up() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.fails = Some(Failure::StorageFull);
    device.runs(&mut site, DAY);
    assert_eq!(device.rotation.standing(), Standing::Applying);
    assert_eq!(site.registrar.enrolments().count(), 1);
    device.fails = None;
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
    assert_eq!(site.registrar.enrolments().count(), 1);
}

#[test]
fn another_keys_certificate_and_a_late_refusal_are_ignored() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    site.is_deaf = true;
    device.runs_until(&mut site, HOUR, |_| false);
    let number = Request::decode(&site.heard[0]).unwrap().number;
    let now = device.now();

    // The same number, the same device, but a certificate of another key.
    let mut small = [0; 1_024];
    let foreign = request();
    let foreign = Request::new(number, &foreign).encode(&mut small).unwrap();
    let answer = site.answers(Identity::Factory, foreign, device.wall());
    let hear = |device: &mut Device, answer: &[u8]| {
        device
            .rotation
            .input(now, &Event::Message(Message::new(Channel::Enrol, answer)));
    };
    hear(&mut device, &answer);
    assert_eq!(device.rotation.standing(), Standing::Applying);
    assert!(!device.rotation.has_candidate());

    let late = Answer::refused(number.wrapping_add(1), Refusal::Revoked);
    hear(&mut device, late.encode(&mut small).unwrap());
    assert_eq!(device.rotation.standing(), Standing::Applying);
    let last = Request::decode(site.heard.last().unwrap()).unwrap().number;
    hear(
        &mut device,
        Answer::refused(last, Refusal::Revoked)
            .encode(&mut small)
            .unwrap(),
    );
    assert_eq!(
        device.rotation.standing(),
        Standing::Refused(Refusal::Revoked)
    );
}

#[test]
fn a_front_that_hangs_up_on_an_expired_certificate_is_met_with_the_factory_identity() {
    let mut site = Site::new();
    site.is_silent = true;
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    device.sleeps(&mut site, 100 * DAY);
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(site.asked.last(), Some(&Identity::Factory));
}

#[test]
fn a_session_is_not_wanted_twice_and_nothing_is_wanted_at_rest() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, 2 * HOUR);
    let now = device.now();
    assert_eq!(device.rotation.wants(now), None);
    assert!(matches!(
        device.rotation.step(now, &mut [0; 64]),
        Step::Idle
    ));
    device
        .rotation
        .session(now, Identity::Own(SlotId::new(9)), Session::Refused);
    assert_eq!(
        device.rotation.wants(now),
        Some(Want::Session(Identity::Own(A)))
    );
    let later = new_rotation(Policy::default(), 3);
    assert_eq!(later.standing(), Standing::Restoring);
    assert!(
        device
            .rotation
            .deadline()
            .is_some_and(|at| at > now.instant)
    );
    assert_eq!(device.rotation.chain(B).count(), 0);
    assert!(Timestamp::EPOCH < device.rotation.not_after().unwrap());
}
