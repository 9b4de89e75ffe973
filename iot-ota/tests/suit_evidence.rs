//! What a report is evidence of: the procedure and the question that were asked, and no more than it tells.
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

use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{
    Author, CommandList, Element, Image, Limits, Manifest, ParameterList, SignedManifest,
    SigningKey,
};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};
use iot_ota::report::{CapabilityError, FalseReport, Report, Reporter, capability_report};
use keys::Sha256;

const COMPONENTS: &[Component<'static>] = &[Component::new(&[b"firmware"])];
const DEVICE: Capabilities<'static> =
    Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);
const PROCEDURES: [Procedure; 5] = [
    Procedure::Update,
    Procedure::Stage,
    Procedure::Install,
    Procedure::Invoke,
    Procedure::Uninstall,
];

fn signed(author: &Author) -> Vec<u8> {
    let mut envelope = author.build(&mut Sha256::default());
    envelope.sign(&ToyKey::new(1), None).unwrap();
    envelope.encode()
}

fn verify(bytes: &[u8]) -> Manifest<'_> {
    SignedManifest::decode(bytes, Tagged::Required, Limits::default())
        .unwrap()
        .verify(&SigningKey::new(ToyKey::new(1)), &mut Sha256::default(), 0)
        .unwrap()
}

/// Staged, installed, validated, started and taken away, and nothing of it recorded.
fn silent() -> Vec<u8> {
    let set = ParameterList::new().digest(&[3; 32]).uri("iot:a");
    signed(
        &Author::new(7, &[&[b"firmware"]])
            .section(
                Element::PayloadFetch,
                CommandList::new().set(set.clone()).command(21, 0),
            )
            .section(
                Element::Install,
                CommandList::new().set(set.clone()).command(3, 0),
            )
            .validate(CommandList::new().set(set).command(3, 0))
            .invoke(CommandList::new().command(23, 0))
            .uninstall(CommandList::new().command(33, 0)),
    )
}

/// A fetch, of which success and failure are recorded, and a match.
fn recorded() -> Vec<u8> {
    let image = Image::new([3; 32], 100);
    signed(
        &Author::new(7, &[&[b"firmware"]])
            .compatibility_check(0, [1; 16], [2; 16], Some(&image))
            .fetch_and_install(0, "iot:a")
            .matched(0),
    )
}

/// The report of a device that works, or of one on which no effect does, with so much room for records.
fn report(
    manifest: Manifest<'_>,
    procedure: Procedure,
    nonce: Option<&[u8]>,
    works: bool,
    room: usize,
) -> Vec<u8> {
    let process = Process::<48>::new(manifest, procedure, &DEVICE);
    let mut process = process.unwrap().recording();
    let mut room = vec![0; room];
    let mut reporter = Reporter::new(&mut room);
    let result = loop {
        match process.step() {
            Err(error) => break Err(error),
            Ok(Step::Finished) => break Ok(()),
            Ok(Step::Record(record)) => {
                reporter.push(&record);
                process.done(true);
            }
            Ok(Step::Perform { .. }) => process.done(works),
            Ok(_) => process.done(true),
        }
    };
    let mut out = [0; 600];
    let written = reporter.finish(&manifest, procedure, nonce, result, &mut out);
    written.unwrap().to_vec()
}

#[test]
fn a_report_of_one_procedure_is_no_report_of_another() {
    let envelope = silent();
    let manifest = verify(&envelope);
    for told in PROCEDURES {
        let bytes = report(manifest, told, Some(b"n"), true, 100);
        let report = Report::decode(&bytes).unwrap();
        assert!(report.succeeded() && report.procedure() == Some(told));
        for expected in PROCEDURES {
            let verdict = report.replay(manifest, expected, Some(b"n"), &DEVICE, |_| None);
            let right = match expected == told {
                true => Ok(()),
                false => Err(FalseReport::Procedure { expected }),
            };
            assert_eq!(verdict, right, "{told:?} for {expected:?}");
        }
        // One that does not say about which proves none.
        let mut silent = bytes[..bytes.len() - 4].to_vec();
        silent[0] -= 1;
        let report = Report::decode(&silent).unwrap();
        let verdict = report.replay(manifest, told, Some(b"n"), &DEVICE, |_| None);
        assert_eq!(verdict, Err(FalseReport::Procedure { expected: told }));
    }
    let mut unknown = report(manifest, Procedure::Update, None, true, 100);
    *unknown.last_mut().unwrap() = 5;
    assert!(Report::decode(&unknown).is_err(), "no such procedure");
}

#[test]
fn a_report_answers_the_question_that_was_asked_and_no_other() {
    let envelope = recorded();
    let manifest = verify(&envelope);
    let nonces: [Option<&[u8]>; 5] = [None, Some(b""), Some(b"one"), Some(b"two"), Some(b"ones")];
    for told in nonces {
        let bytes = report(manifest, Procedure::Update, told, true, 300);
        let report = Report::decode(&bytes).unwrap();
        for asked in nonces {
            let verdict = report.replay(manifest, Procedure::Update, asked, &DEVICE, |_| None);
            let right = match asked == told {
                true => Ok(()),
                false => Err(FalseReport::Nonce),
            };
            assert_eq!(verdict, right, "{told:?} for {asked:?}");
        }
    }
}

#[test]
fn a_report_that_lost_records_says_how_many_and_never_replays() {
    let envelope = recorded();
    let manifest = verify(&envelope);
    let whole = report(manifest, Procedure::Update, None, true, 300);
    let count = Report::decode(&whole).unwrap().records();
    assert!(count > 3);
    // Even where it would have been the last one.
    let mut claimed = [&whole[..], &[0x39, 1, 1, 1]].concat();
    claimed[0] += 1;
    let claiming = Report::decode(&claimed).unwrap();
    let verdict = claiming.replay(manifest, Procedure::Update, None, &DEVICE, |_| None);
    assert_eq!(verdict, Err(FalseReport::Lost { count: 1 }));
    let mut seen = 0;
    for room in 0..60 {
        let bytes = report(manifest, Procedure::Update, None, true, room);
        let report = Report::decode(&bytes).unwrap();
        let lost = report.lost();
        assert_eq!(report.records() + lost, count, "{room}");
        // What it tells is the front of what happened, without a gap.
        let verdict = report.replay(manifest, Procedure::Update, None, &DEVICE, |_| None);
        let right = match lost {
            0 => Ok(()),
            count => Err(FalseReport::Lost { count }),
        };
        assert_eq!(verdict, right, "{room}");
        seen |= 1_u32 << lost;
        if lost > 0 {
            // Whoever hides the loss is found out.
            let mut hidden = bytes.clone();
            hidden[0] -= 1;
            hidden.truncate(bytes.len() - 4);
            let report = Report::decode(&hidden).unwrap();
            let verdict = report.replay(manifest, Procedure::Update, None, &DEVICE, |_| None);
            let index = count - lost;
            assert_eq!(verdict, Err(FalseReport::Missing { index }));
        }
    }
    assert_eq!(
        seen,
        (2 << count) - 1,
        "every number of records was lost once"
    );
}

/// Where the result of a report begins: behind its key, which follows the records.
fn result_of(report: &[u8]) -> usize {
    let mut decoder = minicbor::Decoder::new(report);
    decoder.map().unwrap();
    while decoder.i32().unwrap() != 4 {
        decoder.skip().unwrap();
    }
    decoder.position()
}

#[test]
fn the_record_of_what_failed_is_in_the_result() {
    let envelope = recorded();
    let manifest = verify(&envelope);
    let bytes = report(manifest, Procedure::Update, None, false, 300);
    let told = Report::decode(&bytes).unwrap();
    assert_eq!(told.failure(), Some((21, 11)));
    let verdict = |bytes: &[u8]| {
        let report = Report::decode(bytes).ok()?;
        Some(report.replay(manifest, Procedure::Update, None, &DEVICE, |_| None))
    };
    assert_eq!(verdict(&bytes), Some(Ok(())));
    // {5: code, 6: record, 7: reason}, and the record is the last one.
    let at = result_of(&bytes);
    assert_eq!(bytes[at..at + 4], [0xa3, 5, 21, 6]);
    let start = at + 4;
    let end = start + length(&bytes[start..]);
    let record = &bytes[start..end];
    assert_eq!(&bytes[at - 1 - record.len()..at - 1], record);
    // Another record, or one that succeeded, is a lie; one that says what was compared instead is the same record.
    let with = |record: &[u8]| [&bytes[..start], record, &bytes[end..]].concat();
    assert_eq!(with(record), bytes);
    let mut other = record.to_vec();
    other[2] = 16;
    assert_eq!(verdict(&with(&other)), Some(Err(FalseReport::Result)));
    let mut success = record.to_vec();
    *success.last_mut().unwrap() = 0xf5;
    assert_eq!(
        verdict(&with(&success)),
        None,
        "what failed has not succeeded"
    );
    let theirs = [&record[..record.len() - 4], b"\xa1\x0e\x18\x64"].concat();
    assert_eq!(verdict(&with(&theirs)), Some(Ok(())));
}

/// How long the first item is.
fn length(bytes: &[u8]) -> usize {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.skip().unwrap();
    decoder.position()
}

/// A key's value in a map, as CBOR.
fn value(map: &[u8], wanted: i32) -> Vec<u8> {
    let mut decoder = minicbor::Decoder::new(map);
    for _ in 0..decoder.map().unwrap().unwrap() {
        let key = decoder.i32().unwrap();
        let start = decoder.position();
        decoder.skip().unwrap();
        if key == wanted {
            return map[start..decoder.position()].to_vec();
        }
    }
    panic!("no {wanted}");
}

fn numbers(array: &[u8]) -> Vec<i64> {
    let mut decoder = minicbor::Decoder::new(array);
    let items = decoder.array_iter::<i64>().unwrap();
    items.map(Result::unwrap).collect()
}

#[test]
fn a_device_says_how_much_it_reads_and_follows() {
    let device = DEVICE.with_nesting(5).with_dependencies(2).with_steps(700);
    let mut limits = Limits::default();
    limits.components = 4;
    let mut out = [0; 300];
    let report = capability_report(&device, &limits, 24, &[-16, -9], &mut out).unwrap();
    assert_eq!(
        numbers(&value(report, -256)),
        [5, 2, 700, 24, 65_536, 8, 512, 4, 64]
    );
    assert!(
        numbers(&value(report, 6)).contains(&-256),
        "the security counter"
    );
    assert_eq!(numbers(&value(report, 4)), [-16, -9]);
    // Its own word for more than a process follows counts for nothing.
    let device = DEVICE.with_nesting(200).with_dependencies(200);
    let report = capability_report(&device, &limits, 24, &[], &mut out).unwrap();
    assert_eq!(numbers(&value(report, -256))[..2], [8, 3]);
}

#[test]
fn components_that_no_process_finds_are_not_claimed() {
    let names: Vec<[u8; 1]> = (0..33).map(|n| [n]).collect();
    let paths: Vec<[&[u8]; 1]> = names.iter().map(|name| [&name[..]]).collect();
    let components: Vec<_> = paths.iter().map(|path| Component::new(path)).collect();
    let mut out = [0; 500];
    let mut report = |count: usize| {
        let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &components[..count]);
        capability_report(&device, &Limits::default(), 24, &[-9], &mut out).map(<[u8]>::to_vec)
    };
    let whole = report(32).unwrap();
    assert_eq!(value(&whole, 1)[..2], [0x98, 32]);
    let (count, limit) = (33, 32);
    assert_eq!(
        report(33),
        Err(CapabilityError::Components { count, limit })
    );
}
