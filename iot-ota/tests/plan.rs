//! What a device makes of a manifest before it does anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/keys.rs"]
mod keys;

use iot_core::Timestamp;
use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_core::time::TimeBounds;
use iot_ota::manifest::{
    Author, CommandList, Device, Element, Limits, ParameterList, Plan, PlanError, SignedManifest,
    SigningKey, Situation,
};
use iot_ota::process::ProcessError;
use keys::Sha256;

const KIND: Device<'static> =
    Device::new([1; 16], [2; 16], &[b"firmware"]).with_patches(&[b"patch"]);
const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];
const PATCH: [u8; 32] = [9; 32];

fn at(second: u64) -> TimeBounds {
    TimeBounds::exact(Timestamp::from_secs(second))
}

/// A device that runs the old image, at that second.
fn running(second: u64) -> Situation {
    Situation::new(at(second)).running(OLD, 500)
}

/// What a manifest that was signed makes a device plan, and where.
fn plan_of<T>(
    author: Author,
    device: Device<'_>,
    situation: &Situation,
    look: impl FnOnce(Plan<'_>) -> T,
) -> Result<T, PlanError> {
    let mut digest = Sha256::default();
    let mut envelope = author.build(&mut digest);
    envelope.sign(&ToyKey::new(1), None).unwrap();
    let bytes = envelope.encode();
    let signed = SignedManifest::decode(&bytes, Tagged::Required, Limits::default()).unwrap();
    let manifest = signed
        .verify(&SigningKey::new(ToyKey::new(1)), &mut digest, 0)
        .unwrap();
    manifest.plan_in(&device, situation).map(look)
}

/// The identity check of both components, and what the new image is.
fn author() -> Author {
    let own = ParameterList::new()
        .vendor([1; 16])
        .class([2; 16])
        .digest(&NEW)
        .size(700);
    let checks = CommandList::new().choose(0).set(own).vendor().class();
    Author::new(5, &[&[b"firmware"], &[b"patch"]]).shared(checks)
}

fn full() -> CommandList {
    let uri = ParameterList::new().uri("iot:full");
    CommandList::new().choose(0).set(uri).fetch()
}

/// Fetches a patch and copies it to the image.
fn patched() -> CommandList {
    let patch = ParameterList::new()
        .digest(&PATCH)
        .size(60)
        .uri("iot:patch");
    let from = ParameterList::new().source(1);
    CommandList::new()
        .choose(1)
        .set(patch)
        .fetch()
        .image_match()
        .choose(0)
        .set(from)
        .copy()
        .image_match()
}

/// Goes on only where the old image runs, and sets the new one's digest again.
fn only_on_old() -> CommandList {
    let old = ParameterList::new().digest(&OLD);
    let new = ParameterList::new().digest(&NEW);
    let size = |bytes| ParameterList::new().size(bytes);
    CommandList::new()
        .choose(0)
        .set(old)
        .set(size(500))
        .image_match()
        .set(new)
        .set(size(700))
}

fn valid(author: Author) -> Author {
    author.validate(CommandList::new().choose(0).image_match())
}

#[test]
fn a_device_that_runs_what_a_patch_is_for_takes_the_patch_and_another_one_the_image() {
    let release = || {
        let delta = only_on_old().then(patched());
        let again = ParameterList::new().digest(&NEW).size(700);
        let whole = CommandList::new().choose(0).set(again).then(full());
        let both = CommandList::new().choose(0).try_each(&[delta, whole]);
        valid(author().section(Element::Install, both))
    };
    let seen = |situation: &Situation, device: Device<'_>| {
        plan_of(release(), device, situation, |plan| {
            assert_eq!((plan.release.digest, plan.release.size), (NEW, 700));
            (plan.patch, plan.uri.to_owned(), plan.content_bytes)
        })
    };
    let patch = (true, "iot:patch".to_owned(), 60);
    let whole = (false, "iot:full".to_owned(), 700);
    assert_eq!(seen(&running(1), KIND), Ok(patch));
    let other = Situation::new(at(1)).running([6; 32], 500);
    assert_eq!(seen(&other, KIND), Ok(whole));
    // Of an image that is not known nothing is assumed.
    let unknown = Situation::new(at(1));
    assert!(matches!(
        seen(&unknown, KIND),
        Err(PlanError::Unsupported { command }) if command.get() == 3
    ));
    let without = Device::new([1; 16], [2; 16], &[b"firmware"]);
    assert_eq!(seen(&running(1), without), Err(PlanError::OtherComponent));
}

/// A release in which that comes before the fetch of the whole image.
fn with(before: CommandList) -> Author {
    let commands = CommandList::new().choose(0).then(before).then(full());
    valid(author().section(Element::Install, commands))
}

fn result(author: Author, device: Device<'_>, situation: &Situation) -> Result<(), PlanError> {
    plan_of(author, device, situation, |_| ())
}

/// The command of a condition that did not hold.
fn failed(author: Author, device: Device<'_>, situation: &Situation) -> Option<i32> {
    match result(author, device, situation) {
        Ok(()) => None,
        Err(PlanError::Process(ProcessError::Failed { command, .. })) => Some(command.get()),
        other => panic!("{other:?}"),
    }
}

/// The command that was refused by name.
fn unsupported(author: Author, device: Device<'_>, situation: &Situation) -> i32 {
    match result(author, device, situation) {
        Err(PlanError::Unsupported { command }) => command.get(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn conditions_are_answered_from_what_the_device_says_and_refused_where_it_says_nothing() {
    let set = |parameters, code| CommandList::new().set(parameters).command(code, 15);
    let now = running(1_000);

    let until = || with(set(ParameterList::new().use_before(1_001), 4));
    assert_eq!(failed(until(), KIND, &now), None);
    assert_eq!(failed(until(), KIND, &running(1_001)), Some(4));
    let unknown = Situation::new(TimeBounds::UNKNOWN).running(OLD, 500);
    assert_eq!(failed(until(), KIND, &unknown), Some(4));

    let slot = || with(set(ParameterList::new().slot(1), 5));
    assert_eq!(unsupported(slot(), KIND, &now), 5);
    assert_eq!(failed(slot(), KIND, &now.in_slot(Some(1))), None);
    assert_eq!(failed(slot(), KIND, &now.in_slot(Some(0))), Some(5));

    // At least 1.2.
    let at_least = [0x82, 0x02, 0x82, 0x01, 0x02];
    let mut value = vec![0x45];
    value.extend(at_least);
    let version = || with(set(ParameterList::new().raw(28, value.clone()), 28));
    assert_eq!(unsupported(version(), KIND, &now), 28);
    assert_eq!(failed(version(), KIND.with_version(&[1, 3]), &now), None);
    assert_eq!(
        failed(version(), KIND.with_version(&[1, 1]), &now),
        Some(28)
    );

    let authorized = with(set(ParameterList::new().priority(3), 27));
    assert_eq!(failed(authorized, KIND, &now), None);
    let battery = with(set(ParameterList::new().minimum_battery(9), 26));
    assert_eq!(unsupported(battery, KIND, &now), 26);
    let content = with(set(ParameterList::new().content(b"x"), 6));
    assert_eq!(unsupported(content, KIND, &now), 6);

    let one = || with(set(ParameterList::new().device([4; 16]), 24));
    assert_eq!(failed(one(), KIND.with_device([4; 16]), &now), None);
    let other = PlanError::OtherDevice {
        condition: iot_ota::manifest::CommandCode::new(24),
    };
    assert_eq!(result(one(), KIND.with_device([5; 16]), &now), Err(other));
    assert_eq!(result(one(), KIND, &now), Err(other));
}

#[test]
fn an_image_that_must_not_run_is_known_from_the_one_that_runs() {
    let not = || {
        let unwanted = ParameterList::new().digest(&OLD).size(500);
        let again = ParameterList::new().digest(&NEW).size(700);
        let not = CommandList::new().set(unwanted).command(25, 15);
        with(not.set(again))
    };
    assert_eq!(failed(not(), KIND, &running(1)), Some(25));
    let other = Situation::new(at(1)).running([6; 32], 500);
    assert_eq!(failed(not(), KIND, &other), None);
    assert_eq!(unsupported(not(), KIND, &Situation::new(at(1))), 25);
}

#[test]
fn a_manifest_that_a_device_of_another_kind_would_follow_too_is_not_followed() {
    let checks = |vendor: bool, class: bool| {
        let own = ParameterList::new().vendor([1; 16]).class([2; 16]);
        let mut checks = CommandList::new().choose(0).set(own.digest(&NEW).size(700));
        if vendor {
            checks = checks.vendor();
        }
        if class {
            checks = checks.class();
        }
        let author = Author::new(5, &[&[b"firmware"], &[b"patch"]]).shared(checks);
        result(
            valid(author.section(Element::Install, full())),
            KIND,
            &running(1),
        )
    };
    assert_eq!(checks(true, true), Ok(()));
    assert_eq!(checks(true, false), Err(PlanError::Unchecked));
    assert_eq!(checks(false, true), Err(PlanError::Unchecked));
    // A check that others only fail softly is none.
    let soft = CommandList::new().try_each(&[
        CommandList::new().choose(0).class(),
        CommandList::new().choose(0),
    ]);
    let own = ParameterList::new().vendor([1; 16]).class([2; 16]);
    let set = own.digest(&NEW).size(700);
    let shared = CommandList::new().choose(0).set(set).vendor().then(soft);
    let author = Author::new(5, &[&[b"firmware"], &[b"patch"]]).shared(shared);
    let author = valid(author.section(Element::Install, full()));
    assert_eq!(result(author, KIND, &running(1)), Err(PlanError::Unchecked));
}

#[test]
fn what_would_have_effects_that_no_plan_has_is_refused() {
    let now = running(1);
    let twice = with(full());
    assert_eq!(result(twice, KIND, &now), Err(PlanError::Fetch));
    let only_patch = CommandList::new().choose(1);
    let patch = ParameterList::new().digest(&PATCH).size(60).uri("iot:p");
    let only_patch = valid(author().section(Element::Install, only_patch.set(patch).fetch()));
    // The image is matched, but it is the old one.
    assert!(matches!(failed(only_patch, KIND, &now), Some(3)));
    let empty = CommandList::new()
        .choose(0)
        .set(ParameterList::new().source(1))
        .copy();
    let empty = valid(author().section(Element::Install, empty));
    assert_eq!(unsupported(empty, KIND, &now), 22);
    let loaded = valid(author().section(Element::Install, full()));
    let from = ParameterList::new().source(1);
    let loaded = loaded.load(CommandList::new().choose(0).set(from).copy());
    assert_eq!(unsupported(loaded, KIND, &now), 22);
    let inside = ParameterList::new().uri("#image");
    let inside = CommandList::new().choose(0).set(inside).fetch();
    let inside = author().section(Element::Install, inside);
    let inside = valid(inside.payload("#image", b"x"));
    assert_eq!(result(inside, KIND, &now), Err(PlanError::Integrated));
}

#[test]
fn an_image_that_is_matched_only_while_it_is_installed_is_not_followed() {
    let matched = full().image_match();
    let author = author().section(Element::Install, matched);
    let author = author.invoke(CommandList::new().choose(0).invoke());
    assert_eq!(result(author, KIND, &running(1)), Err(PlanError::Unmatched));
}

#[test]
fn how_a_payload_is_encrypted_is_in_the_plan() {
    let info = b"how";
    let encrypted = |place| {
        let own = ParameterList::new().encryption(info);
        CommandList::new().choose(place).set(own)
    };
    let image = valid(author().section(Element::Install, encrypted(0).then(full())));
    let patch = valid(author().section(Element::Install, encrypted(1).then(patched())));
    for (author, is_patch, bytes) in [(image, false, 700), (patch, true, 60)] {
        let plan = plan_of(author, KIND, &running(1), |plan| {
            assert_eq!(plan.encryption, Some(&info[..]));
            assert_eq!((plan.patch, plan.content_bytes), (is_patch, bytes));
        });
        assert_eq!(plan, Ok(()));
    }
    // A patch that is only decrypted when it is copied is not what is fetched.
    let late = valid(author().section(Element::Install, encrypted(0).then(patched())));
    assert!(matches!(
        result(late, KIND, &running(1)),
        Err(PlanError::UnsupportedParameter { code }) if code.get() == 19
    ));
}
