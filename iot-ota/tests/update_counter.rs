//! The two numbers of a release: sequence numbers, which may go back where a signer has that right, and security counters,
//! which never do.
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

use device::{BLOCK, CAPACITY, KIND, Rig, believing, encode, image, offer_of, template};
use iot_ota::manifest::Role;
use iot_ota::slot::{Banks, Release, RollBackReason};
use iot_ota::update::{Activity, Outcome, Source, ToDevice, Want};
use keys::P256Key;

const SIZE: usize = 300;

/// A release: what is offered, and what is fetched.
struct Shipped {
    sequence: u64,
    offer: Vec<u8>,
    image: Vec<u8>,
}

impl Shipped {
    fn new(key: &P256Key, sequence: u64, counter: u64) -> Self {
        let image = image(sequence, SIZE);
        let template = template(sequence, KIND, &image).with_counter(counter);
        Self {
            sequence,
            offer: offer_of(key, &template),
            image,
        }
    }

    fn source(&self) -> Source<'_> {
        Source::new(self.sequence, &self.image)
    }

    /// Offers it and does what the device wants, until it rests; says how that ended, and what runs then.
    fn install(&self, rig: &mut Rig) -> (Option<u64>, Outcome, u64) {
        loop {
            match rig.talk(&self.offer, &self.source()).unwrap() {
                Want::Reboot => rig.reboot(),
                Want::Confirm => {
                    rig.confirm(true);
                    rig.run().unwrap();
                }
                _ => break,
            }
        }
        let report = *rig.reports.last().unwrap();
        let running = rig.updater().status().running.unwrap();
        let bytes = rig.banks().bytes(rig.banks().running());
        if running.sequence == self.sequence {
            assert_eq!(&bytes[..SIZE], self.image);
        }
        (report.sequence, report.outcome, running.sequence)
    }
}

fn counter(rig: &Rig) -> u64 {
    rig.banks().clone().counter().unwrap()
}

fn rig(key: &P256Key, role: Role, sequence: u64, counter: u64) -> Rig {
    let release = Release::new(sequence, [0; 32], 0).with_counter(counter);
    Rig::factory_of(key.public(), role, CAPACITY, release)
}

const USUAL: Role = Role::new(1, 0b1);
const MAY_GO_BACK: Role = USUAL.with_downgrade();

#[test]
fn a_lower_security_counter_is_refused_by_the_updater_whatever_the_sequence_number() {
    let key = P256Key::generate();
    for role in [USUAL, MAY_GO_BACK] {
        let mut rig = rig(&key, role, 1, 0);
        let two = Shipped::new(&key, 2, 5);
        assert_eq!(two.install(&mut rig), (Some(2), Outcome::Confirmed, 2));
        let asked = rig.requests.len();
        for (sequence, counter) in [(3, 4), (4, 1), (5, 0)] {
            let lower = Shipped::new(&key, sequence, counter);
            let refused = (Some(sequence), Outcome::BelowCounter, 2);
            assert_eq!(lower.install(&mut rig), refused);
        }
        assert_eq!(rig.requests.len(), asked, "nothing of them was fetched");
        let same = Shipped::new(&key, 6, 5);
        assert_eq!(same.install(&mut rig), (Some(6), Outcome::Confirmed, 6));
    }
}

#[test]
fn the_counter_is_the_manifests_and_rises_only_after_the_confirmation() {
    let key = P256Key::generate();
    let mut rig = rig(&key, USUAL, 7, 3);
    let eight = Shipped::new(&key, 8, 4);
    rig.talk(&eight.offer, &eight.source()).unwrap();
    assert_eq!((rig.updater().wants(), counter(&rig)), (Want::Reboot, 3));
    rig.reboot();
    assert_eq!((rig.updater().wants(), counter(&rig)), (Want::Confirm, 3));
    rig.confirm(false);
    rig.reboot();
    assert_eq!(counter(&rig), 3, "it failed");
    let nine = Shipped::new(&key, 9, 4);
    rig.talk(&nine.offer, &nine.source()).unwrap();
    rig.reboot();
    rig.confirm(true);
    assert_eq!(counter(&rig), 4);
}

#[test]
fn a_lower_sequence_number_is_followed_where_a_signer_may_go_back_and_nowhere_else() {
    let key = P256Key::generate();
    let (two, three) = (Shipped::new(&key, 2, 0), Shipped::new(&key, 3, 0));
    for (role, expected) in [
        (USUAL, (Some(2), Outcome::TooOld, 3)),
        (MAY_GO_BACK, (Some(2), Outcome::Confirmed, 2)),
    ] {
        let mut rig = rig(&key, role, 1, 0);
        assert_eq!(three.install(&mut rig), (Some(3), Outcome::Confirmed, 3));
        assert_eq!(two.install(&mut rig), expected);
        // The same offer again leads to the same.
        assert_eq!(two.install(&mut rig), expected);
    }
}

#[test]
fn a_device_goes_back_behind_the_release_that_it_left_the_factory_with() {
    let key = P256Key::generate();
    let mut rig = rig(&key, MAY_GO_BACK, 9, 2);
    let older = Shipped::new(&key, 4, 2);
    assert_eq!(older.install(&mut rig), (Some(4), Outcome::Confirmed, 4));
    let oldest = Shipped::new(&key, 3, 1);
    let refused = (Some(3), Outcome::BelowCounter, 4);
    assert_eq!(oldest.install(&mut rig), refused);
}

#[test]
fn what_a_device_went_back_from_returns_under_a_new_number_only() {
    let key = P256Key::generate();
    let mut rig = rig(&key, MAY_GO_BACK, 1, 0);
    let (two, four) = (Shipped::new(&key, 2, 0), Shipped::new(&key, 4, 0));
    four.install(&mut rig);
    two.install(&mut rig);
    // A signer without that right, whose offer of release 4 or 3 is late.
    rig.trusted = believing(key.public(), vec![USUAL]);
    rig.reboot();
    let refused = |sequence| (Some(sequence), Outcome::TooOld, 2);
    assert_eq!(four.install(&mut rig), refused(4));
    assert_eq!(Shipped::new(&key, 3, 0).install(&mut rig), refused(3));
    let five = Shipped::new(&key, 5, 0);
    assert_eq!(five.install(&mut rig), (Some(5), Outcome::Confirmed, 5));
}

#[test]
fn a_release_that_was_rolled_back_is_not_tried_again_by_who_may_go_back() {
    let key = P256Key::generate();
    let mut rig = rig(&key, MAY_GO_BACK, 3, 0);
    let two = Shipped::new(&key, 2, 0);
    rig.talk(&two.offer, &two.source()).unwrap();
    rig.reboot();
    rig.confirm(false);
    rig.reboot();
    let reason = Outcome::RolledBack(RollBackReason::SelfTest);
    let asked = rig.requests.len();
    assert_eq!(two.install(&mut rig), (Some(2), reason, 3));
    assert_eq!(rig.requests.len(), asked);
}

#[test]
fn a_right_to_go_back_with_another_component_is_none() {
    let key = P256Key::generate();
    let (two, three) = (Shipped::new(&key, 2, 0), Shipped::new(&key, 3, 0));
    for (role, expected) in [
        (0b01, (Some(2), Outcome::TooOld, 1)),
        (0b10, (Some(2), Outcome::Confirmed, 2)),
    ] {
        let mut rig = rig(&key, USUAL, 1, 0);
        rig.kind = KIND.for_roles(role);
        rig.trusted = believing(key.public(), vec![USUAL, MAY_GO_BACK]);
        rig.reboot();
        rig.talk(&three.offer, &three.source()).unwrap();
        rig.reboot();
        rig.confirm(false);
        rig.reboot();
        // Higher than what runs, and lower than what was tried.
        assert_eq!(two.install(&mut rig), expected);
    }
}

#[test]
fn a_download_that_goes_back_goes_on_after_a_reboot_and_keeps_its_counter() {
    let key = P256Key::generate();
    let mut rig = rig(&key, MAY_GO_BACK, 3, 1);
    let two = Shipped::new(&key, 2, 6);
    rig.deliver(&two.offer);
    let asked = rig.run().unwrap();
    rig.deliver(&encode(&two.source().answer(&asked[0]).unwrap()));
    rig.run().unwrap();
    rig.reboot();
    let asked = rig.run().unwrap();
    let at = BLOCK - BLOCK % device::SECTOR;
    assert_eq!(asked[0].offset, at, "it goes on, without an offer");
    rig.deliver(&encode(&two.source().answer(&asked[0]).unwrap()));
    two.install(&mut rig);
    assert_eq!(counter(&rig), 6);
}

#[test]
fn a_download_below_a_counter_that_has_risen_meanwhile_is_given_up() {
    let key = P256Key::generate();
    let mut rig = rig(&key, USUAL, 1, 1);
    let two = Shipped::new(&key, 2, 1);
    rig.deliver(&two.offer);
    rig.run().unwrap();
    let mut banks = rig.banks().clone();
    banks.raise_counter(2).unwrap();
    rig.start(banks);
    assert_eq!(rig.updater().status().activity, Activity::Idle);
    assert_eq!(rig.run().unwrap(), []);
}

#[test]
fn nobody_goes_back_behind_a_download_before_it_was_called_off() {
    let key = P256Key::generate();
    let mut rig = rig(&key, MAY_GO_BACK, 3, 0);
    let (two, four) = (Shipped::new(&key, 2, 0), Shipped::new(&key, 4, 0));
    rig.deliver(&four.offer);
    rig.run().unwrap();
    rig.deliver(&two.offer);
    rig.run().unwrap();
    assert_eq!(rig.reports.last().unwrap().outcome, Outcome::TooOld);
    rig.deliver(&encode(&ToDevice::Abort { sequence: 4 }));
    assert_eq!(two.install(&mut rig), (Some(2), Outcome::Confirmed, 2));
}
