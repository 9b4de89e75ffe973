//! A device that does what a process asks, and writes down what that was.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::HashMap;

use iot_ota::manifest::{ComponentId, Limits, SignedManifest};
use iot_ota::process::{
    Capabilities, Check, Component, Details, Effect, Identity, Procedure, Process, Source, Step,
};

use crate::keys::Sha256;
use crate::vectors;

const UUID: &[u8] = &[
    0x8d, 0x82, 0x57, 0x3a, 0x92, 0x6d, 0x47, 0x54, 0x93, 0x53, 0x32, 0xdc, 0x29, 0x99, 0x7f, 0x74,
];

/// Every component that a file names.
pub(crate) const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[&[0x00]]),
    Component::new(&[&[0x01]]),
    Component::new(&[&[0x02]]),
    Component::new(&[b"00"]),
    Component::new(&[b"10"]),
    Component::new(&[b"plaintext-firmware"]),
    Component::new(&[b"encrypted-firmware"]),
    Component::new(&[b"decrypted-firmware"]),
    Component::new(&[b"dependent.suit"]),
    Component::new(&[b"dependency-manifest.suit"]),
    Component::new(&[b"TEEP-Device", b"SecureFS", UUID, b"ta"]),
    Component::new(&[b"TEEP-Device", b"SecureFS", UUID, b"suit"]),
    Component::new(&[b"TEEP-Device", b"SecureFS", b"config.json"]),
    Component::new(&[b"usr", b"bin", b"example"]),
    Component::new(&[b"usr", b"local", b"bin"]),
    Component::new(&[b"usr", b"local", b"bin", b"example3"]),
];

pub(crate) struct Scripted {
    pub(crate) identity: Identity<'static>,
    answers: HashMap<String, bool>,
}

impl Scripted {
    /// The device that a file is for.
    pub(crate) fn for_file(name: &str) -> Self {
        let uuid = |hex: u128| hex.to_be_bytes();
        let identity = if ["D", "I", "U"].contains(&name) {
            Identity::new(
                uuid(0xc0dd_d5f1_5243_5660_87db_4f5b_0aa2_6c2f),
                uuid(0xdb42_f709_3d8c_55ba_a8c5_265f_c582_0f4e),
            )
        } else {
            Identity::new(
                uuid(0xfa6b_4a53_d5ad_5fdf_be9d_e663_e4d4_1ffe),
                uuid(0x1492_af14_2569_5e48_bf42_9b2d_51f2_ab45),
            )
        };
        Self {
            identity,
            answers: HashMap::new(),
        }
    }

    /// Answers so when it is asked that; everything else holds and works.
    pub(crate) fn answering(mut self, question: &str, answer: bool) -> Self {
        self.answers.insert(question.to_owned(), answer);
        self
    }

    /// Follows a file and returns what was asked, and how it ended.
    pub(crate) fn run(&mut self, name: &str, procedure: Procedure) -> Vec<String> {
        let envelope = vectors::libcsuit(name);
        let dependencies = [vectors::libcsuit("U"), vectors::libcsuit("S0")];
        let keys = vectors::keys_of(name);
        let verify = |bytes| {
            let name = if name == "D" || bytes == &envelope[..] {
                name
            } else {
                "0"
            };
            SignedManifest::decode(bytes, vectors::tagged(name), Limits::default())
                .unwrap()
                .verify(&*keys, &mut Sha256::default(), 0)
                .unwrap()
        };
        let capabilities = Capabilities::new(self.identity, COMPONENTS);
        let mut trace = Vec::new();
        let process = Process::<64>::new(verify(&envelope), procedure, &capabilities);
        let mut process = match process {
            Ok(process) => process,
            Err(error) => return vec![error.to_string()],
        };
        let mut integrated = None;
        loop {
            let step = match process.step() {
                Ok(step) => step,
                Err(error) => {
                    trace.push(error.to_string());
                    return trace;
                }
            };
            assert_eq!(
                process.step(),
                Ok(step),
                "a step is the same until it is done"
            );
            let mut line = describe(&step);
            match step {
                Step::Finished => {
                    trace.push(line);
                    return trace;
                }
                Step::Dependency { .. } => {
                    let stored = match name {
                        "D" => &dependencies[0][..],
                        "S2" => &dependencies[1],
                        _ => integrated.unwrap(),
                    };
                    process.dependency(Some(verify(stored)));
                }
                Step::Perform {
                    effect: Effect::Fetch(fetch),
                    ..
                } => {
                    if let Source::Integrated(bytes) = fetch.source {
                        integrated = Some(bytes);
                    }
                    process.done(true);
                }
                _ => {
                    let answer = self.answers.get(&line).copied().unwrap_or(true);
                    process.done(answer);
                    if !answer {
                        line += ": no";
                    }
                }
            }
            trace.push(line);
        }
    }
}

fn path(id: ComponentId<'_>) -> String {
    let segments: Vec<String> = id
        .segments()
        .map(|segment| match segment {
            [0..=9] => hex(segment),
            b"00" => "00-text".to_owned(),
            text if text.is_ascii() => String::from_utf8(text.to_vec()).unwrap(),
            bytes => hex(bytes),
        })
        .collect();
    format!("[{}]", segments.join("/"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn image(digest: Option<&[u8; 32]>, size: Option<u64>) -> String {
    let digest = digest.map_or("-".to_owned(), |digest| hex(&digest[..4]));
    let size = size.map_or("-".to_owned(), |size| size.to_string());
    format!("{digest} {size}")
}

fn describe_details(details: Details<'_>) -> String {
    let encrypted = if details.encryption.is_some() {
        " encrypted"
    } else {
        ""
    };
    let metadata = if details.metadata.is_some() {
        " with metadata"
    } else {
        ""
    };
    format!("{encrypted}{metadata}")
}

pub(crate) fn describe(step: &Step<'_>) -> String {
    match *step {
        Step::Finished => "finished".to_owned(),
        Step::Dependency { target } => format!("dependency {}", path(target.id)),
        Step::Check { target, check } => {
            let id = path(target.id);
            match check {
                Check::Image { digest, size } => {
                    format!("image {id} {}", image(Some(digest), size))
                }
                Check::NotImage { digest, size } => {
                    format!("not image {id} {}", image(Some(digest), size))
                }
                Check::Content(content) => format!("content {id} {}", hex(content)),
                Check::Slot(slot) => format!("slot {id} {slot}"),
                Check::UseBefore(seconds) => format!("before {id} {seconds}"),
                Check::MinimumBattery(level) => format!("battery {id} {level}"),
                Check::Authorized(priority) => format!("authorized {id} {priority}"),
                Check::Version(version) => {
                    format!("version {id} {:?}", version.numbers().collect::<Vec<_>>())
                }
                other => panic!("{other:?}"),
            }
        }
        Step::Perform {
            target,
            effect,
            details,
        } => {
            let id = path(target.id);
            let details = describe_details(details);
            match effect {
                Effect::Fetch(fetch) => {
                    let source = match fetch.source {
                        Source::Uri(uri) => uri.to_owned(),
                        Source::Integrated(bytes) => format!("{} bytes here", bytes.len()),
                        other => panic!("{other:?}"),
                    };
                    let image = image(fetch.digest, fetch.size);
                    format!("fetch {id} {source} {image}{details}")
                }
                Effect::Copy { from } => format!("copy {id} from {}{details}", path(from.id)),
                Effect::Swap { with } => format!("swap {id} with {}", path(with.id)),
                Effect::Write(content) => format!("write {id} {} bytes{details}", content.len()),
                Effect::Invoke(arguments) => {
                    let text = arguments.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                    let text = text.map_or(String::new(), |text| format!(" {text}"));
                    format!("invoke {id}{text}")
                }
                Effect::Wait(events) => format!("wait {id} {}", hex(events)),
                Effect::Unlink => format!("unlink {id}"),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}
