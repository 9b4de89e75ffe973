//! The processor, with a device that answers as the input says.

use iot_ota::process::{Capabilities, Component, Identity, Position, Procedure, Process, Step};

use crate::{envelope_with, manifest, verify, verify_with};

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

/// It ends, says each step until it is done, and goes on after a cut with the step it was cut at or not at all, whatever
/// has become of the dependencies meanwhile.
///
/// The input is how the device answers, when it is cut, which manifests it finds in its stores before and after that, how
/// long the manifest is, the manifest, and another one.
pub fn run(data: &[u8]) {
    let Some(([answers, cut, stored, high, low], contents)) = data.split_first_chunk() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    let (content, other) = contents.split_at_checked(len).unwrap_or((contents, &[]));
    let envelopes = [(content, 0), (other, 1)].map(|(content, own)| envelope_with(content, own));
    let [Some(envelope), Some(other)] = &envelopes else {
        return;
    };
    let Some(manifest) = verify(envelope) else {
        return;
    };
    let finds = |which: u8| match which & 3 {
        0 => None,
        1 => verify_with(other, 1),
        _ => Some(manifest),
    };
    let (before, after) = (finds(*stored), finds(stored >> 2));
    let device =
        Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS).with_dependencies(3);
    for procedure in PROCEDURES {
        let Ok(mut process) = Process::<24>::new(manifest, procedure, &device) else {
            continue;
        };
        let (mut steps, mut found) = (0_u32, before);
        loop {
            let step = process.step();
            assert_eq!(process.step(), step, "a step is the same until it is done");
            if steps == u32::from(*cut)
                && let Some(position) = process.position()
            {
                found = after;
                let mut room = [0; Position::MAX_BYTES];
                let used = position.encode(&mut room).expect("room");
                let position = Position::decode(&room[..used]).expect("its own bytes");
                process = Process::resume(manifest, &position, &device).expect("the same manifest");
                while let Ok(Step::Dependency { .. }) = process.step()
                    && process.step() != step
                {
                    process.dependency(found);
                }
                let next = process.step();
                assert!(
                    next.is_err() || next == step,
                    "it goes on with another step"
                );
            }
            match process.step() {
                Err(_) | Ok(Step::Finished) => break,
                Ok(Step::Dependency { .. }) => process.dependency(found),
                Ok(_) => process.done(answers >> (steps % 8) & 1 == 1),
            }
            steps += 1;
            assert!(steps < 10_000, "it does not end");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let contents = manifest::seeds();
    for (content, other) in contents.iter().zip(contents.iter().cycle().skip(1)) {
        let len = u16::try_from(content.len()).expect("a small manifest");
        for (answers, cut, stored) in [(0xff, 0, 0b1110), (0xfe, 1, 0b1000), (0x0f, 3, 0b1101)] {
            let head = [&[answers, cut, stored][..], &len.to_be_bytes()].concat();
            seeds.push([&head, &content[..], other].concat());
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
