//! The processor, with a device that answers as the input says.

use iot_ota::process::{Capabilities, Component, Identity, Position, Procedure, Process, Step};

use crate::{envelope_of, manifest, verify};

const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[b"a"]),
    Component::new(&[b"b"]),
    Component::new(&[b"c"]),
];
const PROCEDURES: [Procedure; 5] = [
    Procedure::Update,
    Procedure::Stage,
    Procedure::Install,
    Procedure::Invoke,
    Procedure::Uninstall,
];

/// It ends, says each step until it is done, and goes on after a cut with the step it was cut at.
pub fn run(data: &[u8]) {
    let Some(([answers, cut], content)) = data.split_first_chunk() else {
        return;
    };
    let Some(envelope) = envelope_of(content) else {
        return;
    };
    let Some(manifest) = verify(&envelope) else {
        return;
    };
    let device =
        Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS).with_dependencies(3);
    for procedure in PROCEDURES {
        let Ok(mut process) = Process::<24>::new(manifest, procedure, &device) else {
            continue;
        };
        let (mut steps, mut resumed) = (0_u32, false);
        loop {
            let step = process.step();
            assert_eq!(process.step(), step, "a step is the same until it is done");
            let Ok(step) = step else { break };
            match step {
                Step::Finished => break,
                Step::Dependency { .. } => process.dependency(Some(manifest)),
                _ if !resumed && steps == u32::from(*cut) => {
                    resumed = true;
                    let Some(position) = process.position() else {
                        continue;
                    };
                    let mut room = [0; Position::MAX_BYTES];
                    let used = position.encode(&mut room).expect("room");
                    let position = Position::decode(&room[..used]).expect("its own bytes");
                    process =
                        Process::resume(manifest, &position, &device).expect("the same manifest");
                    while let Ok(Step::Dependency { .. }) = process.step() {
                        process.dependency(Some(manifest));
                    }
                    assert_eq!(process.step(), Ok(step), "it goes on with another step");
                }
                _ => process.done(answers >> (steps % 8) & 1 == 1),
            }
            steps += 1;
            assert!(steps < 10_000, "it does not end");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for content in manifest::seeds() {
        for (answers, cut) in [(0xff, 0), (0xfe, 1), (0x0f, 3), (0xff, 9)] {
            seeds.push([&[answers, cut][..], &content].concat());
        }
    }
    seeds
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
}
