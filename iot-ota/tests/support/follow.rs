//! A device that answers as a test says, and writes down what it was asked; and the words of manifests for it.
#![allow(dead_code, reason = "each test file uses a part")]

use iot_core::sim::ToyKey;
use iot_ota::manifest::{ComponentId, Manifest, SigningKey};
use iot_ota::process::{
    Capabilities, Check, Component, Effect, Fetch, Identity, Procedure, Process, Source, Step,
};

use crate::forge::{Forge, array, digest_of, map, sequence, truth, uint, verify, wrapped};

pub(crate) const VALIDATE: i64 = 7;
pub(crate) const INSTALL: i64 = 20;
pub(crate) const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[b"a"]),
    Component::new(&[b"b"]),
    Component::new(&[b"c"]),
    Component::new(&[b"store"]),
    Component::new(&[b"below"]),
];
pub(crate) const DEVICE: Capabilities<'static> =
    Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);

/// What a device did, in words; what it is asked holds unless it is in `no`.
pub(crate) struct Run {
    pub(crate) capabilities: Capabilities<'static>,
    pub(crate) procedure: Procedure,
    pub(crate) no: Vec<&'static str>,
    /// The envelopes of dependencies in the order in which they are asked for; then there are none.
    pub(crate) below: Vec<Vec<u8>>,
    pub(crate) records: bool,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self {
            capabilities: DEVICE,
            procedure: Procedure::Update,
            no: Vec::new(),
            below: Vec::new(),
            records: false,
        }
    }

    pub(crate) fn no(mut self, question: &'static str) -> Self {
        self.no.push(question);
        self
    }

    pub(crate) fn below(mut self, envelopes: &[Vec<u8>]) -> Self {
        self.below = envelopes.to_vec();
        self
    }

    pub(crate) fn follow(&self, forge: &Forge) -> Vec<String> {
        let envelope = forge.signed();
        let keys = SigningKey::new(ToyKey::new(1));
        let manifest = verify(&envelope, &keys, 0).unwrap();
        let process = Process::<16>::new(manifest, self.procedure, &self.capabilities);
        let mut process = match process {
            Ok(process) => process,
            Err(error) => return vec![format!("refused: {error}")],
        };
        if self.records {
            process = process.recording();
        }
        let below = self.below.iter();
        let below: Vec<_> = below
            .map(|envelope| verify(envelope, &keys, 0).unwrap())
            .collect();
        go_on(&mut process, &below, &self.no, usize::MAX)
    }
}

/// Goes on to the end, or for so many steps.
pub(crate) fn go_on<'a>(
    process: &mut Process<'a, '_, 16>,
    below: &[Manifest<'a>],
    no: &[&str],
    most: usize,
) -> Vec<String> {
    let mut below = below.iter();
    let mut trace = Vec::new();
    while trace.len() < most {
        let step = match process.step() {
            Ok(step) => step,
            Err(error) => {
                trace.push(error.to_string());
                break;
            }
        };
        let line = words(&step);
        match step {
            Step::Finished => break,
            Step::Dependency { .. } => process.dependency(below.next().copied()),
            _ => process.done(!no.contains(&line.as_str())),
        }
        trace.push(line);
    }
    trace
}

pub(crate) fn words(step: &Step<'_>) -> String {
    let name =
        |id: ComponentId<'_>| String::from_utf8(id.segments().next().unwrap().to_vec()).unwrap();
    match *step {
        Step::Check { target, check } => match check {
            Check::Slot(slot) => format!("slot {} {slot}", name(target.id)),
            Check::Content(bytes) => format!("content {} {bytes:?}", name(target.id)),
            Check::Image { .. } => format!("image {}", name(target.id)),
            Check::NotImage { .. } => format!("other {}", name(target.id)),
            other => format!("{other:?}"),
        },
        Step::Perform { target, effect, .. } => match effect {
            Effect::Write(bytes) => format!("write {} {bytes:?}", name(target.id)),
            Effect::Copy { from } => format!("copy {} {}", name(target.id), name(from.id)),
            Effect::Swap { with } => format!("swap {} {}", name(target.id), name(with.id)),
            Effect::Fetch(Fetch {
                source: Source::Integrated(bytes),
                ..
            }) => format!("fetch {} {bytes:?}", name(target.id)),
            Effect::Fetch(_) => format!("fetch {}", name(target.id)),
            Effect::Unlink => format!("unlink {}", name(target.id)),
            other => format!("{other:?}"),
        },
        Step::Dependency { target } => format!("dependency {}", name(target.id)),
        Step::Record(record) => format!(
            "record {} of {}@{}: {} {}",
            record.command, record.section, record.offset, record.component, record.success
        ),
        Step::Finished => "finished".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn follow(forge: &Forge) -> Vec<String> {
    Run::new().follow(forge)
}

// Commands, and parameters.

/// A code and its argument.
pub(crate) type Line = (i64, Vec<u8>);

pub(crate) fn choose(index: u64) -> Line {
    (12, uint(index))
}
pub(crate) fn all() -> Line {
    (12, truth(true))
}
pub(crate) fn set(parameters: &[Line]) -> Line {
    (20, map(parameters))
}
pub(crate) fn slot(number: u64) -> Line {
    (5, uint(number))
}
pub(crate) fn content(byte: u8) -> Line {
    (18, wrapped(&[byte]))
}
pub(crate) const WRITE: i64 = 18;
pub(crate) fn write() -> Line {
    (WRITE, uint(2))
}
pub(crate) fn check_slot() -> Line {
    (5, uint(2))
}
pub(crate) fn try_each(branches: &[Option<&[Line]>]) -> Line {
    let branches: Vec<_> = branches
        .iter()
        .map(|branch| branch.map_or(vec![0xf6], |commands| wrapped(&sequence(commands))))
        .collect();
    (15, array(&branches))
}
pub(crate) fn run(commands: &[Line]) -> Line {
    (32, wrapped(&sequence(commands)))
}
pub(crate) fn one() -> Forge {
    Forge::of(&[b"a"])
}
pub(crate) fn three() -> Forge {
    Forge::of(&[b"a", b"b", b"c"])
}
pub(crate) fn process() -> Line {
    (11, uint(2))
}
/// The digest parameter of what is to be that manifest.
pub(crate) fn named(manifest: &[u8]) -> Line {
    (3, wrapped(&digest_of(&wrapped(manifest))))
}
