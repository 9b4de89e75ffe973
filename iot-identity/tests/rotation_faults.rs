//! A rotation whose key store, records or service fail for long: it keeps its sessions, and finds its own way out.
#![cfg(all(feature = "cert", feature = "sim"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[allow(dead_code, reason = "the tests of rotation use more of it")]
#[path = "rotation/site.rs"]
mod site;

use core::time::Duration;

use iot_core::codec::encode_into;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore};
use iot_core::engine::{Engine, Event, Failure};
use iot_core::{Channel, DeviceId, Message};
use iot_identity::cert::Validity;
use iot_identity::enrol::{Refusal, Request};
use iot_identity::revocation::Denied;
use iot_identity::ring::{Sha256, SystemEntropy};
use iot_identity::rotate::{Identity, Policy, RenewAfterExpiry, Standing, Unfit, Want};

use site::{A, B, DAY, Device, FACTORY, HOUR, RECORD, START, Site, Store, authority, id};

const MINUTE: Duration = Duration::from_secs(60);

fn enrolled() -> (Site, Device) {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    (site, device)
}

/// The link breaks, and for an hour everything else is as it was.
fn reconnects(site: &mut Site, device: &mut Device) {
    device.disconnects(site);
    device.runs(site, HOUR);
    assert_eq!(site.session, Some(Identity::Own(A)));
}

#[test]
fn a_key_store_that_makes_no_key_costs_no_session() {
    let (mut site, mut device) = enrolled();
    device.store = |want| match want {
        Want::Generate(_) => Store::Fails,
        _ => Store::Works,
    };
    device.runs(&mut site, 23 * DAY);
    assert_eq!(device.rotation.standing(), Standing::Renewing);
    reconnects(&mut site, &mut device);
    device.store = |_| Store::Works;
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
}

#[test]
fn a_key_store_that_destroys_no_key_costs_no_session() {
    let (mut site, mut device) = enrolled();
    device.rotation.renew();
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    device.store = |want| match want {
        Want::Destroy(_) => Store::Fails,
        _ => Store::Works,
    };
    device.runs(&mut site, 3 * DAY);
    assert_eq!(device.keys_held(), [true, true]);
    device.disconnects(&mut site);
    device.runs(&mut site, HOUR);
    assert_eq!(site.session, Some(Identity::Own(B)));
}

#[test]
fn a_slot_that_cannot_be_looked_at_does_not_keep_the_other_one_from_its_work() {
    for (broken, policy) in [(A, "current"), (B, "spare")] {
        let (mut site, mut device) = enrolled();
        device.store = if broken == A {
            |want| match want {
                Want::Inspect(slot) if slot == A => Store::Fails,
                _ => Store::Works,
            }
        } else {
            |want| match want {
                Want::Inspect(slot) if slot == B => Store::Fails,
                _ => Store::Works,
            }
        };
        device.boot();
        reconnects(&mut site, &mut device);
        assert_eq!(device.rotation.standing(), Standing::Enrolled, "{policy}");
        // What cannot be read is taken for what its record says, and nothing was destroyed over it.
        assert_eq!(device.keys_held(), [true, false], "{policy}");
        device.runs(&mut site, 23 * DAY);
        assert_eq!(device.rotation.identity(), Identity::Own(B), "{policy}");
    }
}

#[test]
fn a_key_that_was_made_although_the_store_says_it_failed_is_found_and_used() {
    let mut site = Site::new();
    let mut device = Device::new(&site, 1);
    device.store = |want| match want {
        Want::Generate(_) => Store::Lies,
        _ => Store::Works,
    };
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(A));
    assert_eq!(device.generated, 1);
}

#[test]
fn what_lies_in_the_spare_slot_and_is_no_key_is_removed() {
    let (mut site, mut device) = enrolled();
    // Half a key pair, as a cut leaves it: the store shows none, and makes none beside it.
    device
        .keys
        .generate(B, EcdsaP256Sha256, KeyPolicy::Sign)
        .unwrap();
    device.hides = Some(device.public(B).unwrap());
    device.boot();
    device.runs(&mut site, 23 * DAY);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_ne!(device.public(B), device.hides);
}

#[test]
fn a_key_that_never_signs_makes_room_for_another() {
    let (mut site, mut device) = enrolled();
    device.rotation.renew();
    device.breaks_next_key = true;
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(device.generated, 3);
}

#[test]
fn a_full_storage_at_the_commit_costs_no_session() {
    let (mut site, mut device) = enrolled();
    device.rotation.renew();
    device.runs_until(&mut site, HOUR, |device| device.rotation.has_candidate());
    device.fails = Some(Failure::StorageFull);
    device.runs(&mut site, HOUR);
    assert_eq!(site.session, Some(Identity::Own(B)), "it was probed");
    reconnects(&mut site, &mut device);
    device.fails = None;
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
}

#[test]
fn a_key_that_was_revoked_before_its_certificate_came_is_not_asked_for_for_ever() {
    // Told so by an answer, or by the front before it can ask again; and by a boot instead of a word.
    for (over_session, by_boot) in [(false, false), (true, false), (false, true)] {
        let mut site = Site::new();
        let mut device = Device::new(&site, 1);
        site.is_unheard = true;
        device.runs(&mut site, MINUTE);
        let issued: Vec<_> = site.registrar.enrolments().cloned().collect();
        assert_eq!(issued.len(), 1);
        site.revocations.deny(Denied::Key(*issued[0].key()));
        if over_session {
            let factory = device.public(FACTORY).unwrap().hash(&mut Sha256::new());
            site.revocations.deny(Denied::Key(factory));
            device.disconnects(&mut site);
            device.runs(&mut site, HOUR);
            site.revocations.withdraw(&Denied::Key(factory));
        }
        site.is_unheard = false;
        device.runs(&mut site, HOUR);
        let refused = Standing::Refused(Refusal::Revoked);
        assert_eq!(device.rotation.standing(), refused);
        assert_eq!(device.rotation.deadline(), None);

        assert_eq!(site.registrar.readmit(&id()).len(), 1);
        if by_boot {
            device.boot();
        } else {
            device.rotation.apply_again();
        }
        device.runs(&mut site, HOUR);
        assert_eq!(device.rotation.identity(), Identity::Own(A));
        assert_eq!(site.registrar.enrolments().count(), 2);
    }
}

#[test]
fn a_revoked_factory_identity_costs_no_current_one() {
    let (mut site, mut device) = enrolled();
    let factory = device.public(FACTORY).unwrap().hash(&mut Sha256::new());
    site.revocations.deny(Denied::Key(factory));
    // Out of reach for so long that the other identity is tried, and that first when the link is back.
    site.is_up = false;
    device.disconnects(&mut site);
    let turned = |device: &Device| {
        let mut rotation = device.rotation.clone();
        rotation.wants(device.now()) == Some(Want::Session(Identity::Factory))
    };
    device.runs_until(&mut site, 3 * DAY, turned);
    assert!(turned(&device));
    site.is_up = true;
    device.runs(&mut site, HOUR);
    assert!(site.shown.contains(&Identity::Factory));
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
    assert_eq!(site.session, Some(Identity::Own(A)));
}

#[test]
fn a_clock_that_is_wrong_by_decades_costs_no_certificate_where_the_factory_is_refused() {
    let (mut site, mut device) = enrolled();
    device.policy = Policy::default().after_expiry(RenewAfterExpiry::Never);
    device.ahead = 20 * 365 * DAY;
    site.refuses = Some(Identity::Factory);
    device.disconnects(&mut site);
    device.boot();
    device.runs(&mut site, HOUR);
    assert!(matches!(site.session, Some(Identity::Own(_))));
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
}

#[test]
fn without_its_head_the_newest_chain_that_is_taken_counts_and_nothing_goes_round() {
    let (mut site, mut device) = enrolled();
    for _ in 0..6 {
        device.rotation.renew();
        device.runs(&mut site, HOUR);
    }
    device.rotation.renew();
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(device.keys_held(), [true, true]);
    let end = device.rotation.not_after();
    device.records.remove(&RECORD).unwrap();
    site.shown.clear();
    device.disconnects(&mut site);
    device.boot();
    device.runs(&mut site, 12 * HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(device.rotation.not_after(), end);
    assert!(site.shown.len() <= 3, "{:?}", site.shown);
}

#[test]
fn a_front_that_takes_nothing_but_factory_identities_is_asked_seldom_and_found_again_when_it_recovers()
 {
    let (mut site, mut device) = enrolled();
    site.is_mistaken = true;
    device.disconnects(&mut site);
    site.shown.clear();
    device.runs(&mut site, 2 * DAY);
    assert!(
        site.shown.len() < 2 * 24 * 60,
        "{} sessions",
        site.shown.len()
    );
    assert!(device.generated < 12, "{} keys", device.generated);
    site.is_mistaken = false;
    device.runs(&mut site, HOUR);
    assert!(matches!(site.session, Some(Identity::Own(_))));
}

/// Gives the device's last request this chain for an answer.
fn answers(site: &Site, device: &mut Device, chain: &[&[u8]]) {
    let number = Request::decode(site.heard.last().unwrap()).unwrap().number;
    let mut buffer = vec![0; 8_192];
    let bytes = encode_into(&mut buffer, |out| {
        out.array(3)?.u8(1)?.u32(number)?;
        out.array(chain.len() as u64)?;
        chain.iter().try_for_each(|one| out.bytes(one)?.ok())
    });
    let message = Message::new(Channel::Enrol, bytes.unwrap());
    let now = device.now();
    device.rotation.input(now, &Event::Message(message));
}

#[test]
fn a_certificate_that_cannot_be_taken_is_told_and_asked_for_again_with_another_key() {
    let (mut site, mut device) = enrolled();
    site.is_deaf = true;
    device.rotation.renew();
    device.runs(&mut site, MINUTE);
    let public = device.public(B).unwrap();
    let (authority, mut entropy) = (authority("devices"), SystemEntropy::new());
    let validity = Validity::lasting(START, 30 * DAY);
    let mut issue = |name| {
        let name = DeviceId::new(name).unwrap();
        authority.ldevid(&name, &public, validity, &mut entropy)
    };
    let (other, own) = (issue("boiler-8").unwrap(), issue("boiler-7").unwrap());
    answers(&site, &mut device, &[&other]);
    assert_eq!(device.rotation.unfit(), Some(Unfit::OtherDevice));
    answers(&site, &mut device, &[&own, &[7; 1_000]]);
    let told = device.rotation.unfit();
    assert!(
        matches!(told, Some(Unfit::TooLong { bytes: 1_024.. })),
        "{told:?}"
    );
    answers(&site, &mut device, &[b"no certificate"]);
    assert_eq!(device.rotation.unfit(), Some(Unfit::Unreadable));
    assert!(!device.rotation.has_candidate());
    assert_eq!(site.session, Some(Identity::Own(A)));
    // The fourth time it is the key.
    answers(&site, &mut device, &[&other]);
    site.is_deaf = false;
    device.runs(&mut site, 3 * HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    assert_eq!(device.rotation.unfit(), None);
    assert_ne!(device.public(B), Some(public));
}

#[test]
fn a_service_that_issues_what_is_over_or_not_yet_valid_costs_no_current_certificate() {
    for (from, span) in [(0, 0), (40, 30), (0, 1)] {
        let (mut site, mut device) = enrolled();
        device.runs(&mut site, 10 * DAY);
        site.is_deaf = true;
        device.rotation.renew();
        device.runs(&mut site, MINUTE);
        let public = device.public(B).unwrap();
        let validity = Validity::lasting(START.after(from * DAY), span * DAY);
        let mut entropy = SystemEntropy::new();
        let issued = site
            .registrar
            .authority()
            .ldevid(&id(), &public, validity, &mut entropy)
            .unwrap();
        answers(&site, &mut device, &[&issued]);
        assert_eq!(device.rotation.unfit(), None);
        site.is_deaf = false;
        device.runs(&mut site, 12 * HOUR);
        assert_eq!(
            device.rotation.identity(),
            Identity::Own(B),
            "{from} {span}"
        );
        assert_ne!(device.public(B), Some(public));
        assert!(device.generated <= 4, "{} keys", device.generated);
    }
}

#[test]
fn certificates_that_live_for_seconds_wear_no_key_store_out() {
    let mut site = Site::new();
    site.renews_after(Duration::from_secs(30));
    let mut device = Device::new(&site, 1);
    device.runs(&mut site, DAY);
    assert!(device.generated <= 24 * 13, "{} keys", device.generated);
}

#[test]
fn a_clock_that_is_set_does_not_end_the_overlap() {
    let (mut site, mut device) = enrolled();
    device.has_clock = false;
    device.rotation.renew();
    device.runs(&mut site, HOUR);
    assert_eq!(device.rotation.identity(), Identity::Own(B));
    device.has_clock = true;
    device.ahead = 10 * DAY;
    device.runs(&mut site, HOUR);
    assert_eq!(
        device.keys_held(),
        [true, true],
        "the old key went too early"
    );
    device.runs(&mut site, DAY);
    assert_eq!(device.keys_held(), [false, true]);
}
