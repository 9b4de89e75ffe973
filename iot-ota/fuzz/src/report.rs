//! Reports from devices that may lie.

use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};
use iot_ota::report::{Report, Reporter};

use crate::Believer;
use crate::{authors, envelope_of, verify};

const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[b"a"]),
    Component::new(&[b"b"]),
    Component::new(&[b"c"]),
];
const DEVICE: Capabilities<'static> =
    Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);

/// A verdict is reached on whatever reads as a report, against each kind of manifest.
pub fn run(data: &[u8]) {
    let Ok(report) = Report::decode(data) else {
        return;
    };
    for author in authors() {
        let built = author.build(&mut Believer);
        let envelope = envelope_of(built.manifest()).expect("a small manifest");
        let manifest = verify(&envelope).expect("a good manifest");
        let _ = report.replay(manifest, Procedure::Update, report.nonce(), &DEVICE, |_| {
            Some(manifest)
        });
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for author in authors() {
        let built = author.build(&mut Believer);
        let envelope = envelope_of(built.manifest()).expect("a small manifest");
        let manifest = verify(&envelope).expect("a good manifest");
        let (mut room, mut out) = ([0; 2_000], [0; 2_200]);
        let mut reporter = Reporter::new(&mut room);
        let process = Process::<24>::new(manifest, Procedure::Update, &DEVICE);
        let Ok(mut process) = process.map(Process::recording) else {
            continue;
        };
        let result = loop {
            match process.step() {
                Err(error) => break Err(error),
                Ok(Step::Finished) => break Ok(()),
                Ok(Step::Dependency { .. }) => process.dependency(Some(manifest)),
                Ok(Step::Record(record)) => {
                    reporter.push(&record);
                    process.done(true);
                }
                Ok(_) => process.done(true),
            }
        };
        let report = reporter
            .finish(&manifest, Procedure::Update, None, result, &mut out)
            .expect("room");
        seeds.push(report.to_vec());
    }
    seeds
}

#[test]
fn the_seeds_keep_the_claims() {
    assert!(seeds().len() >= 4);
    for seed in seeds() {
        run(&seed);
    }
}
