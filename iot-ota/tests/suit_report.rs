//! Reports of what a device did, and what becomes of reports that are not true.
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
#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/vectors.rs"]
mod vectors;

use std::collections::BTreeSet;

use iot_core::cose::{Content, Sign1, Tagged, sign1};
use iot_core::sim::ToyKey;
use iot_ota::manifest::{
    Author, CommandList, Element, Image, Limits, Manifest, ParameterList, SignedManifest,
    SigningKey, SlotImage,
};
use iot_ota::process::{Capabilities, Check, Component, Identity, Procedure, Process, Step};
use iot_ota::report::{FalseReport, Report, Reporter};
use keys::Sha256;

const COMPONENTS: &[Component<'static>] =
    &[Component::new(&[b"firmware"]), Component::new(&[b"store"])];
/// What the verifier asked with.
const NONCE: &[u8] = b"fresh";
const DEVICE: Capabilities<'static> =
    Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);

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

/// Two slots, an image for each, and everything recorded.
fn slots() -> Vec<u8> {
    let images = [
        SlotImage::new(0, Image::new([3; 32], 100), "iot:a"),
        SlotImage::new(1, Image::new([4; 32], 200), "iot:b"),
    ];
    let author = Author::new(7, &[&[b"firmware"]]).either_slot(0, [1; 16], [2; 16], &images);
    signed(&author.reference_uri("https://example.com/7"))
}

/// What a device reports that answers so; dependencies are all `below`.
fn report(
    manifest: Manifest<'_>,
    below: Option<Manifest<'_>>,
    answer: impl Fn(&Step<'_>) -> bool,
) -> Vec<u8> {
    // Both manifests live as long as this function does.
    fn run<'m>(
        manifest: Manifest<'m>,
        below: Option<Manifest<'m>>,
        answer: &dyn Fn(&Step<'_>) -> bool,
    ) -> Vec<u8> {
        let mut room = [0; 600];
        let mut reporter = Reporter::new(&mut room);
        let mut process = Process::<48>::new(manifest, Procedure::Update, &DEVICE)
            .unwrap()
            .recording();
        let result = loop {
            match process.step() {
                Err(error) => break Err(error),
                Ok(Step::Finished) => break Ok(()),
                Ok(Step::Record(record)) => {
                    reporter.push(&record);
                    process.done(true);
                }
                Ok(Step::Dependency { .. }) => process.dependency(below),
                Ok(step) => process.done(answer(&step)),
            }
        };
        assert_eq!(reporter.lost(), 0);
        let mut out = [0; 800];
        reporter
            .finish(&manifest, Procedure::Update, Some(NONCE), result, &mut out)
            .unwrap()
            .to_vec()
    }
    run(manifest, below, &answer)
}

fn replay(report: &[u8], manifest: Manifest<'_>) -> Result<(), FalseReport> {
    let report = Report::decode(report).unwrap();
    report.replay(manifest, Procedure::Update, Some(NONCE), &DEVICE, |_| None)
}

fn is_slot(step: &Step<'_>, number: u64) -> bool {
    matches!(step, Step::Check { check: Check::Slot(slot), .. } if *slot == number)
}

#[test]
fn a_true_report_replays_whichever_way_the_update_went() {
    let envelope = slots();
    let manifest = verify(&envelope);
    let first = report(manifest, None, |_| true);
    let second = report(manifest, None, |step| !is_slot(step, 0));
    let neither = report(manifest, None, |step| {
        !is_slot(step, 0) && !is_slot(step, 1)
    });
    let unfetched = report(manifest, None, |step| !matches!(step, Step::Perform { .. }));
    let unmatched = report(manifest, None, |step| {
        !matches!(
            step,
            Step::Check {
                check: Check::Image { .. },
                ..
            }
        )
    });
    for (bytes, succeeded) in [
        (&first, true),
        (&second, true),
        (&neither, false),
        (&unfetched, false),
        (&unmatched, false),
    ] {
        let report = Report::decode(bytes).unwrap();
        assert_eq!(report.succeeded(), succeeded);
        assert_eq!(
            (report.uri(), report.nonce()),
            ("https://example.com/7", Some(&b"fresh"[..]))
        );
        assert_eq!(replay(bytes, manifest), Ok(()));
    }
    assert_ne!(first, second);
    let failure = |bytes: &[u8]| Report::decode(bytes).unwrap().failure();
    assert_eq!(
        failure(&neither),
        Some((15, 10)),
        "no alternative's condition held"
    );
    assert_eq!(failure(&unfetched), Some((21, 11)), "the operation failed");
    assert_eq!(
        failure(&unmatched),
        Some((3, 10)),
        "the condition did not hold"
    );
}

/// The ends of the records, found without the crate's own decoder.
fn record_ends(report: &[u8]) -> Vec<usize> {
    let mut decoder = minicbor::Decoder::new(report);
    let mut ends = Vec::new();
    for _ in 0..decoder.map().unwrap().unwrap() {
        if decoder.i32().unwrap() == 3 {
            for _ in 0..decoder.array().unwrap().unwrap() {
                ends.push(decoder.position());
                decoder.skip().unwrap();
            }
            ends.push(decoder.position());
        } else {
            decoder.skip().unwrap();
        }
    }
    ends
}

#[test]
fn every_altered_byte_of_a_record_is_found_and_the_first_false_record_is_named() {
    let envelope = slots();
    let manifest = verify(&envelope);
    let truth = report(manifest, None, |step| !is_slot(step, 0));
    let ends = record_ends(&truth);
    assert!(ends.len() > 8, "{ends:?}");
    let mut named = 0;
    for (record, span) in ends.windows(2).enumerate() {
        for at in span[0]..span[1] {
            for flip in [0x01, 0x02, 0x10, 0x80] {
                let mut lie = truth.clone();
                lie[at] ^= flip;
                // Bytes that are no report say so themselves.
                let Ok(report) = Report::decode(&lie) else {
                    continue;
                };
                let found =
                    report.replay(manifest, Procedure::Update, Some(NONCE), &DEVICE, |_| None);
                match found {
                    Err(FalseReport::Record { index }) => {
                        // The outcome of a question is believed; what follows from it is not so.
                        assert!(index as usize >= record, "byte {at}: {index} for {record}");
                        named += 1;
                    }
                    Err(FalseReport::Missing { .. } | FalseReport::Result) => named += 1,
                    other => panic!("byte {at} of record {record}: {other:?}"),
                }
            }
        }
    }
    assert!(named > 80, "only {named} lies were told");
}

/// A record, taken apart without the crate's own decoder.
#[derive(Clone, Debug, PartialEq)]
struct Taken {
    path: Vec<u8>,
    section: i32,
    offset: u32,
    component: u32,
    key: i32,
    success: bool,
}

/// The records of a report.
fn taken(report: &[u8]) -> Vec<Taken> {
    let ends = record_ends(report);
    let records = ends.windows(2).map(|span| {
        let mut decoder = minicbor::Decoder::new(&report[span[0]..span[1]]);
        decoder.array().unwrap();
        let path = decoder.array_iter().unwrap().collect::<Result<_, _>>();
        let (path, section) = (path.unwrap(), decoder.i32().unwrap());
        let (offset, component) = (decoder.u32().unwrap(), decoder.u32().unwrap());
        decoder.map().unwrap();
        let (key, success) = (decoder.i32().unwrap(), decoder.bool().unwrap());
        Taken {
            path,
            section,
            offset,
            component,
            key,
            success,
        }
    });
    records.collect()
}

/// The same report with other records.
fn with(report: &[u8], records: &[Taken]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    encoder.array(records.len() as u64).unwrap();
    for record in records {
        encoder.array(5).unwrap();
        encoder.array(record.path.len() as u64).unwrap();
        for index in &record.path {
            encoder.u8(*index).unwrap();
        }
        encoder.i32(record.section).unwrap();
        encoder.u32(record.offset).unwrap();
        encoder.u32(record.component).unwrap().map(1).unwrap();
        encoder
            .i32(record.key)
            .unwrap()
            .bool(record.success)
            .unwrap();
    }
    with_value(report, 3, &bytes)
}

/// The ways in which one record can say something else: wherever a record is in any run, and nearby.
fn lies(truth: &Taken, offsets: &BTreeSet<u32>) -> Vec<Taken> {
    let mut lies = vec![Taken {
        success: !truth.success,
        ..truth.clone()
    }];
    for index in 0..4 {
        let mut longer = truth.clone();
        longer.path.push(index);
        lies.push(longer);
        let mut other = truth.clone();
        if let Some(last) = other.path.last_mut() {
            *last = index;
        }
        lies.push(other);
    }
    let mut shorter = truth.clone();
    shorter.path.pop();
    lies.push(shorter);
    for section in [0, 3, 7, 8, 9, 15, 16, 18, 20, 24, 25] {
        lies.push(Taken {
            section,
            ..truth.clone()
        });
    }
    let near = [0, truth.offset ^ 1, truth.offset + 1, truth.offset + 2];
    for offset in offsets.iter().chain(&near) {
        lies.push(Taken {
            offset: *offset,
            ..truth.clone()
        });
    }
    for component in [0, 1, 2, 3, 255] {
        lies.push(Taken {
            component,
            ..truth.clone()
        });
    }
    lies.retain(|lie| lie != truth);
    lies
}

/// The report of one run: the first answers are given, the others are yes. And how many there were.
fn run(
    manifest: Manifest<'_>,
    procedure: Procedure,
    device: &Capabilities<'_>,
    below: Option<Manifest<'_>>,
    first: &[bool],
) -> Option<(Vec<u8>, usize)> {
    // All manifests live as long as this function does.
    fn run<'m>(
        manifest: Manifest<'m>,
        procedure: Procedure,
        device: &Capabilities<'_>,
        below: Option<Manifest<'m>>,
        first: &[bool],
    ) -> Option<(Vec<u8>, usize)> {
        let process = Process::<48>::new(manifest, procedure, device).ok()?;
        let mut process = process.recording();
        let (mut room, mut asked) = ([0; 2_000], 0);
        let mut reporter = Reporter::new(&mut room);
        let result = loop {
            match process.step() {
                Err(error) => break Err(error),
                Ok(Step::Finished) => break Ok(()),
                Ok(Step::Record(record)) => {
                    reporter.push(&record);
                    process.done(true);
                }
                Ok(Step::Dependency { .. }) => process.dependency(below),
                Ok(_) => {
                    process.done(first.get(asked).copied().unwrap_or(true));
                    asked += 1;
                }
            }
        };
        assert_eq!(reporter.lost(), 0);
        let mut out = [0; 2_500];
        let report = reporter.finish(&manifest, procedure, Some(NONCE), result, &mut out);
        Some((report.unwrap().to_vec(), asked))
    }
    run(manifest, procedure, device, below, first)
}

/// Where the value of a key lies in a report, found without the crate's own decoder.
fn value(report: &[u8], wanted: i32) -> core::ops::Range<usize> {
    let mut decoder = minicbor::Decoder::new(report);
    for _ in 0..decoder.map().unwrap().unwrap() {
        let key = decoder.i32().unwrap();
        let start = decoder.position();
        decoder.skip().unwrap();
        if key == wanted {
            return start..decoder.position();
        }
    }
    panic!("no {wanted}");
}

/// The same report with another value.
fn with_value(report: &[u8], key: i32, new: &[u8]) -> Vec<u8> {
    let place = value(report, key);
    [&report[..place.start], new, &report[place.end..]].concat()
}

/// The ways in which a report can say something else than its records: procedure, nonce, manifest and result.
fn lies_beside(truth: &[u8]) -> Vec<Vec<u8>> {
    let mut lies: Vec<_> = (0..5).map(|n| with_value(truth, -257, &[n])).collect();
    lies.push(with_value(truth, 2, b"\x45stale"));
    lies.push(with_value(truth, 2, b"\x44fres"));
    lies.push(with_value(truth, 2, b"\x40"));
    let nonce = value(truth, 2);
    let mut without = [&truth[..nonce.start - 1], &truth[nonce.end..]].concat();
    without[0] -= 1;
    lies.push(without);
    let reference = value(truth, 99);
    let mut other = truth.to_vec();
    other[reference.end - 1] ^= 1;
    lies.push(other);
    lies.push(with_value(
        truth,
        99,
        &[b"\x82\x61x", &truth[reference.end - 36..reference.end]].concat(),
    ));
    // Other results, with the first or the last of the records in them, and without one.
    lies.push(with_value(truth, 4, &[0xf5]));
    let ends = record_ends(truth);
    let records = ends.windows(2).map(|span| &truth[span[0]..span[1]]);
    let records: Vec<_> = records.collect();
    let records = [None, records.first().copied(), records.last().copied()];
    for code in [0, 3, 15, 21] {
        for reason in 1..=12 {
            for record in &records {
                let mut result = vec![0xa2 + u8::from(record.is_some()), 5, code];
                if let Some(record) = record {
                    result.push(6);
                    result.extend(*record);
                }
                result.extend([7, reason]);
                lies.push(with_value(truth, 4, &result));
            }
        }
    }
    lies.retain(|lie| lie != truth);
    lies
}

/// The records in another order, one too few or one too many.
fn rows(records: &[Taken]) -> Vec<Vec<Taken>> {
    let mut rows = Vec::new();
    for from in 0..records.len() {
        let mut fewer = records.to_vec();
        let moved = fewer.remove(from);
        rows.push(fewer.clone());
        for to in 0..=records.len() {
            let mut more = records.to_vec();
            more.insert(to, moved.clone());
            rows.push(more);
            if to < records.len() {
                let mut other = fewer.clone();
                other.insert(to, moved.clone());
                rows.push(other);
                let mut swapped = records.to_vec();
                swapped.swap(from, to);
                rows.push(swapped);
            }
        }
        rows.push(records[..from].to_vec());
        rows.push(records[from..].to_vec());
    }
    rows.retain(|row| row != records);
    rows
}

/// What a replay was shown, and what came of it.
#[derive(Debug, Default)]
struct Shown {
    truths: usize,
    lies: usize,
    // Lies beside the records, and in their order and number.
    beside: usize,
    rows: usize,
    // Lies that are the report of another run: nobody can tell.
    other_truths: usize,
}

impl Shown {
    /// Every run that a manifest has, whatever the answers; and each report with every record altered in every way.
    fn every_run(
        &mut self,
        name: &str,
        manifest: Manifest<'_>,
        procedure: Procedure,
        device: &Capabilities<'_>,
        below: Option<Manifest<'_>>,
    ) {
        let (mut truths, mut open) = (BTreeSet::new(), vec![Vec::new()]);
        while let Some(first) = open.pop() {
            let Some((report, asked)) = run(manifest, procedure, device, below, &first) else {
                return;
            };
            truths.insert(report);
            assert!(truths.len() < 2_000, "{name} has too many runs");
            for at in first.len()..asked {
                let mut other = first.clone();
                other.resize(at, true);
                other.push(false);
                open.push(other);
            }
        }
        let replay = |bytes: &[u8]| {
            let report = Report::decode(bytes).unwrap();
            report.replay(manifest, procedure, Some(NONCE), device, |_| below)
        };
        let all = truths.iter().flat_map(|truth| taken(truth));
        let offsets = all.map(|record| record.offset).collect();
        for truth in &truths {
            assert_eq!(replay(truth), Ok(()), "{name}");
            let records = taken(truth);
            assert!(with(truth, &records) == *truth, "{name}");
            self.truths += 1;
            let mut told = |lie: &[u8]| {
                let is_true = truths.contains(lie);
                let result = Report::decode(lie).map(|_| replay(lie));
                let accepted = result == Ok(Ok(()));
                assert_eq!(accepted, is_true, "{name}: {lie:02x?} for {truth:02x?}");
                self.other_truths += usize::from(is_true);
                usize::from(!is_true)
            };
            for lie in lies_beside(truth) {
                self.beside += told(&lie);
            }
            for row in rows(&records) {
                self.rows += told(&with(truth, &row));
            }
            for (place, record) in records.iter().enumerate() {
                for lie in lies(record, &offsets) {
                    let mut altered = records.clone();
                    altered[place] = lie;
                    let report = with(truth, &altered);
                    let result = replay(&report);
                    let is_true = truths.contains(&report);
                    let lie = &altered[place];
                    assert_eq!(
                        result.is_ok(),
                        is_true,
                        "{name}: record {place} of {records:?} is {lie:?}"
                    );
                    // What comes before it is true.
                    if let Err(FalseReport::Record { index } | FalseReport::Missing { index }) =
                        result
                    {
                        assert!(index as usize >= place, "{name}: {index} for {place}");
                    }
                    self.other_truths += usize::from(is_true);
                    self.lies += usize::from(!is_true);
                }
            }
        }
    }
}

#[test]
fn every_altered_record_of_every_way_an_update_can_go_is_found() {
    let mut shown = Shown::default();
    let envelope = slots();
    let manifest = verify(&envelope);
    shown.every_run("slots", manifest, Procedure::Update, &DEVICE, None);
    let (above, below) = dependency();
    let (above, below) = (verify(&above), Some(verify(&below)));
    shown.every_run("dependency", above, Procedure::Update, &DEVICE, below);
    println!("reports: {shown:?}");
    assert!(shown.truths > 30 && shown.lies > 3_000, "{shown:?}");
    assert!(shown.beside > 4_000 && shown.rows > 3_000, "{shown:?}");
    assert!(shown.other_truths * 20 < shown.lies, "{shown:?}");
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_altered_record_of_the_vectors_reports_is_found() {
    const NAMES: [&str; 14] = [
        "0", "1", "2B", "3", "4", "5", "AF", "AW", "EW", "S0", "U0", "U1", "U2", "U3",
    ];
    let mut shown = Shown::default();
    for name in NAMES {
        let envelope = vectors::libcsuit(name);
        let keys = vectors::keys_of(name);
        let signed = SignedManifest::decode(&envelope, Tagged::Required, Limits::default());
        let manifest = signed.unwrap().verify(&*keys, &mut Sha256::default(), 0);
        let identity = scripted::Scripted::for_file(name).identity;
        let device = Capabilities::new(identity, scripted::COMPONENTS);
        for procedure in [Procedure::Update, Procedure::Invoke] {
            let name = format!("{name} {procedure:?}");
            shown.every_run(&name, manifest.unwrap(), procedure, &device, None);
        }
    }
    println!("reports of the vectors: {shown:?}");
    assert!(shown.truths > 100 && shown.lies > 10_000, "{shown:?}");
    assert!(shown.beside > 10_000 && shown.rows > 1_000, "{shown:?}");
    assert!(shown.other_truths * 20 < shown.lies, "{shown:?}");
}

#[test]
fn records_that_are_missing_doubled_or_swapped_are_found() {
    let envelope = slots();
    let manifest = verify(&envelope);
    let truth = report(manifest, None, |_| true);
    let ends = record_ends(&truth);
    let count = ends.len() - 1;
    let rebuilt = |order: &[usize]| {
        let mut bytes = truth[..ends[0] - 1].to_vec();
        bytes.push(0x80 | u8::try_from(order.len()).unwrap());
        for record in order {
            bytes.extend(&truth[ends[*record]..ends[record + 1]]);
        }
        bytes.extend(&truth[ends[count]..]);
        bytes
    };
    let whole: Vec<usize> = (0..count).collect();
    assert_eq!(rebuilt(&whole), truth);
    for place in 0..count {
        let mut missing = whole.clone();
        missing.remove(place);
        assert!(
            replay(&rebuilt(&missing), manifest).is_err(),
            "without {place}"
        );
        let mut doubled = whole.clone();
        doubled.insert(place, place);
        assert!(
            replay(&rebuilt(&doubled), manifest).is_err(),
            "twice {place}"
        );
        if place > 0 && truth[ends[place - 1]..ends[place]] != truth[ends[place]..ends[place + 1]] {
            let mut swapped = whole.clone();
            swapped.swap(place - 1, place);
            assert!(
                replay(&rebuilt(&swapped), manifest).is_err(),
                "{place} before its time"
            );
        }
    }
}

#[test]
fn a_report_about_another_manifest_or_with_another_end_is_found() {
    let envelope = slots();
    let manifest = verify(&envelope);
    let bytes = report(manifest, None, |_| true);
    let other = Author::new(8, &[&[b"firmware"]]).matched(0);
    let other = signed(&other);
    assert_eq!(replay(&bytes, verify(&other)), Err(FalseReport::Manifest));
    // It says that it failed, although the records lead to success.
    let failed = report(manifest, None, |step| !matches!(step, Step::Perform { .. }));
    let (ends, true_ends) = (record_ends(&failed), record_ends(&bytes));
    let end = ends[ends.len() - 1];
    let lie = [&bytes[..true_ends[true_ends.len() - 1]], &failed[end..]].concat();
    assert_eq!(replay(&lie, manifest), Err(FalseReport::Result));
}

/// A manifest that only has another one followed, and that one.
fn dependency() -> (Vec<u8>, Vec<u8>) {
    let install = CommandList::new()
        .set(ParameterList::new().content(b"x"))
        .command(18, 15);
    let below = Author::new(1, &[&[b"firmware"]]).section(Element::Install, install);
    let below = signed(&below);
    let pin = ParameterList::new().digest(verify(&below).digest());
    let above = Author::new(1, &[&[b"firmware"]])
        .depending_on(1, &[b"store"])
        .section(
            Element::Install,
            CommandList::new().choose(1).set(pin).command(11, 15),
        );
    (signed(&above), below)
}

#[test]
fn records_of_a_dependency_carry_the_way_down_to_it() {
    let (above, below) = dependency();
    let (manifest, dependency) = (verify(&above), verify(&below));
    let bytes = report(manifest, Some(dependency), |_| true);
    let report = Report::decode(&bytes).unwrap();
    assert_eq!(report.records(), 2);
    let replay =
        |below| report.replay(manifest, Procedure::Update, Some(NONCE), &DEVICE, |_| below);
    assert_eq!(replay(Some(dependency)), Ok(()));
    assert_eq!(
        replay(None),
        Err(FalseReport::Record { index: 0 }),
        "nothing could be followed"
    );
}

#[test]
fn a_report_travels_signed() {
    let envelope = slots();
    let manifest = verify(&envelope);
    let bytes = report(manifest, None, |_| true);
    let mut room = [0; 1_000];
    let key = ToyKey::new(5);
    let message = sign1(&mut room, &key, None, Content::Attached(&bytes), &[]).unwrap();
    let received = Sign1::decode(message, Tagged::Required).unwrap();
    let payload = received.verify(None, &[], &key).unwrap();
    assert!(Report::decode(payload).is_ok());
    for at in 0..message.len() {
        let mut lie = message.to_vec();
        lie[at] ^= 1;
        let accepted = Sign1::decode(&lie, Tagged::Required)
            .and_then(|message| message.verify(None, &[], &key).map(<[u8]>::to_vec));
        assert!(accepted.is_err(), "byte {at}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_no_report_and_never_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        edits in proptest::collection::vec(proptest::prelude::any::<(proptest::sample::Index, u8)>(), 1..4),
    ) {
        let _ = Report::decode(&bytes);
        let envelope = slots();
        let manifest = verify(&envelope);
        let mut lie = report(manifest, None, |_| true);
        for (at, byte) in edits {
            let at = at.index(lie.len());
            lie[at] = byte;
        }
        if let Ok(report) = Report::decode(&lie) {
            let _ = report.replay(manifest, Procedure::Update, Some(NONCE), &DEVICE, |_| None);
        }
    }
}
