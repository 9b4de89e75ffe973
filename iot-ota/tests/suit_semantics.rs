//! The rules of the processor, one by one, on manifests written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;

use forge::{Forge, array, map, sequence, text, truth, uint, verify, wrapped};
use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{CommandCode, Limits, Manifest, SignedManifest, SigningKey};
use iot_ota::process::{
    Capabilities, Check, CommandSet, Component, Effect, Identity, Position, Procedure, Process,
    ProcessError, Step,
};

use keys::Sha256;

const VALIDATE: i64 = 7;
const INSTALL: i64 = 20;
const COMPONENTS: &[Component<'static>] = &[
    Component::new(&[b"a"]),
    Component::new(&[b"b"]),
    Component::new(&[b"c"]),
    Component::new(&[b"store"]),
    Component::new(&[b"below"]),
];
const DEVICE: Capabilities<'static> =
    Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);

/// What a device did, in words; what it is asked holds unless it is in `no`.
struct Run {
    capabilities: Capabilities<'static>,
    no: Vec<&'static str>,
    below: Vec<Vec<u8>>,
    records: bool,
}

impl Run {
    fn new() -> Self {
        Self {
            capabilities: DEVICE,
            no: Vec::new(),
            below: Vec::new(),
            records: false,
        }
    }

    fn no(mut self, question: &'static str) -> Self {
        self.no.push(question);
        self
    }

    fn follow(&self, forge: &Forge) -> Vec<String> {
        let envelope = forge.signed();
        let keys = SigningKey::new(ToyKey::new(1));
        let manifest = verify(&envelope, &keys, 0).unwrap();
        let process = Process::<16>::new(manifest, Procedure::Update, &self.capabilities);
        let mut process = match process {
            Ok(process) => process,
            Err(error) => return vec![format!("refused: {error}")],
        };
        if self.records {
            process = process.recording();
        }
        let mut below = self.below.iter();
        let mut trace = Vec::new();
        loop {
            let step = match process.step() {
                Ok(step) => step,
                Err(error) => {
                    trace.push(error.to_string());
                    return trace;
                }
            };
            let line = words(&step);
            let answer = !self.no.contains(&line.as_str());
            match step {
                Step::Finished => return trace,
                Step::Dependency { .. } => {
                    let next = below
                        .next()
                        .map(|envelope| verify(envelope, &keys, 0).unwrap());
                    process.dependency(next);
                }
                _ => process.done(answer),
            }
            trace.push(line);
        }
    }
}

fn words(step: &Step<'_>) -> String {
    let name = |id: iot_ota::manifest::ComponentId<'_>| {
        String::from_utf8(id.segments().next().unwrap().to_vec()).unwrap()
    };
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
            Effect::Fetch(_) => format!("fetch {}", name(target.id)),
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

fn follow(forge: &Forge) -> Vec<String> {
    Run::new().follow(forge)
}

// Commands, and parameters.

/// A code and its argument.
type Line = (i64, Vec<u8>);

fn choose(index: u64) -> Line {
    (12, uint(index))
}
fn all() -> Line {
    (12, truth(true))
}
fn set(parameters: &[Line]) -> Line {
    (20, map(parameters))
}
fn slot(number: u64) -> Line {
    (5, uint(number))
}
fn content(byte: u8) -> Line {
    (18, wrapped(&[byte]))
}
const WRITE: i64 = 18;
fn write() -> Line {
    (WRITE, uint(2))
}
fn check_slot() -> Line {
    (5, uint(2))
}
fn try_each(branches: &[Option<&[Line]>]) -> Line {
    let branches: Vec<_> = branches
        .iter()
        .map(|branch| branch.map_or(vec![0xf6], |commands| wrapped(&sequence(commands))))
        .collect();
    (15, array(&branches))
}
fn run(commands: &[Line]) -> Line {
    (32, wrapped(&sequence(commands)))
}
fn one() -> Forge {
    Forge::of(&[b"a"])
}
fn three() -> Forge {
    Forge::of(&[b"a", b"b", b"c"])
}

#[test]
fn a_command_is_executed_for_each_selected_component_in_the_order_of_the_selection() {
    let every = three().section(INSTALL, &[all(), set(&[content(1)]), write()]);
    assert_eq!(
        follow(&every),
        ["write a [1]", "write b [1]", "write c [1]"]
    );
    let some = (12, array(&[uint(2), uint(0)]));
    let some = three().section(INSTALL, &[some, set(&[content(1)]), write()]);
    assert_eq!(follow(&some), ["write c [1]", "write a [1]"]);
}

#[test]
fn a_sequence_within_a_loop_is_followed_once_for_each_component_and_chooses_for_itself() {
    let inner = [
        set(&[content(1)]),
        write(),
        choose(2),
        set(&[content(9)]),
        write(),
    ];
    let outer = [all(), run(&inner), write()];
    let expected = [
        "write a [1]",
        "write c [9]",
        "write b [1]",
        "write c [9]",
        "write c [1]",
        "write c [9]",
        // The loop's own selection is as it was.
        "write a [1]",
        "write b [1]",
        "write c [9]",
    ];
    assert_eq!(follow(&three().section(INSTALL, &outer)), expected);
}

#[test]
fn with_several_components_each_sequence_chooses_before_it_acts() {
    let unchosen = three().section(INSTALL, &[set(&[content(1)]), write()]);
    let error = ["at byte 1 of part 20: no component is chosen, or none may be"];
    assert_eq!(follow(&unchosen), error);
    // What the shared sequence chose does not last.
    let shared = three()
        .shared(&[choose(1), set(&[content(1)])])
        .section(INSTALL, &[write()]);
    assert_eq!(follow(&shared), error);
    let beyond = three().section(INSTALL, &[choose(3), write()]);
    assert_eq!(
        follow(&beyond),
        ["at byte 3 of part 20: no component is chosen, or none may be"]
    );
}

#[test]
fn a_condition_that_fails_in_an_alternative_leads_to_the_next_and_at_last_fails() {
    let branch = |number: u8| {
        [
            set(&[slot(number.into()), content(number)]),
            check_slot(),
            write(),
        ]
    };
    let (first, second) = (branch(0), branch(1));
    let forge = one().section(INSTALL, &[try_each(&[Some(&first), Some(&second)])]);
    assert_eq!(follow(&forge), ["slot a 0", "write a [0]"]);
    let run = Run::new().no("slot a 0");
    assert_eq!(run.follow(&forge), ["slot a 0", "slot a 1", "write a [1]"]);
    let run = run.no("slot a 1");
    let failed = "directive-try-each failed, at byte 1 of part 20";
    // The error names what failed first: the alternatives as a whole.
    assert_eq!(run.follow(&forge), ["slot a 0", "slot a 1", failed]);
    // Nothing at the end always succeeds.
    let forge = one().section(INSTALL, &[try_each(&[Some(&first), None]), write()]);
    let run = Run::new().no("slot a 0");
    assert_eq!(run.follow(&forge), ["slot a 0", "write a [0]"]);
}

#[test]
fn a_condition_that_fails_in_a_sequence_ends_the_update_unless_the_sequence_is_soft() {
    let hard = [set(&[slot(0), content(1)]), check_slot(), write()];
    let soft = [
        set(&[slot(0), content(1), (13, truth(true))]),
        check_slot(),
        write(),
    ];
    let after = [set(&[content(2)]), write()];
    let forge =
        |inner: &[Line]| one().section(INSTALL, &[run(inner), after[0].clone(), after[1].clone()]);
    let no = Run::new().no("slot a 0");
    let failed = "condition-component-slot failed, at byte 12 of part 20";
    assert_eq!(no.follow(&forge(&hard)), ["slot a 0", failed]);
    assert_eq!(no.follow(&forge(&soft)), ["slot a 0", "write a [2]"]);
    // An alternative may be hard, and is then no alternative.
    let stern = [set(&[slot(0), (13, truth(false))]), check_slot()];
    let forge = one().section(INSTALL, &[try_each(&[Some(&stern), Some(&after)])]);
    assert_eq!(
        no.follow(&forge).len(),
        2,
        "the second alternative was not tried"
    );
    // Softness ends with its sequence, and may not be set outside of one.
    let forge = one().section(INSTALL, &[set(&[(13, truth(true))])]);
    assert!(
        follow(&forge)[0].contains("part 20"),
        "{:?}",
        follow(&forge)
    );
}

#[test]
fn a_directive_that_fails_ends_the_update_whatever_is_soft() {
    let branch = [set(&[content(1)]), write()];
    let other = [set(&[content(2)]), write()];
    let forge = one().section(INSTALL, &[try_each(&[Some(&branch), Some(&other)])]);
    let run = Run::new().no("write a [1]");
    let trace = run.follow(&forge);
    assert_eq!(trace.len(), 2);
    assert!(trace[1].starts_with("directive-write failed"), "{trace:?}");
}

#[test]
fn what_is_compared_and_was_never_set_fails_without_a_question() {
    for code in [3, 4, 5, 6, 25, 26, 27, 28, 1, 2, 24, 7, 8, 14] {
        let forge = one().section(INSTALL, &[(code, uint(15))]);
        let name = CommandCode::new(i32::try_from(code).unwrap());
        let expected = format!("{name} failed, at byte 1 of part 20");
        assert_eq!(follow(&forge), [expected]);
    }
    for code in [18, 21, 22, 29, 31, 11] {
        let forge = one().section(INSTALL, &[(code, uint(2))]);
        assert!(follow(&forge)[0].contains("failed, at byte 1"), "{code}");
    }
}

#[test]
fn parameters_are_set_if_unset_overridden_copied_and_set_for_several_at_once() {
    let if_unset = (19, map(&[content(2)]));
    let forge = one().section(INSTALL, &[set(&[content(1)]), if_unset.clone(), write()]);
    assert_eq!(follow(&forge), ["write a [1]"]);
    let forge = one().section(INSTALL, &[if_unset, write()]);
    assert_eq!(follow(&forge), ["write a [2]"]);
    let multiple = (34, map(&[(0, map(&[content(1)])), (2, map(&[content(3)]))]));
    let copied = (35, map(&[(2, array(&[uint(18)]))]));
    let commands = [multiple, choose(1), copied, all(), write()];
    let forge = three().section(INSTALL, &commands);
    assert_eq!(
        follow(&forge),
        ["write a [1]", "write b [3]", "write c [3]"]
    );
    // What was never set cannot be copied.
    let copied = (35, map(&[(2, array(&[uint(18)]))]));
    let forge = three().section(INSTALL, &[choose(0), copied]);
    assert!(follow(&forge)[0].starts_with("directive-copy-params failed"));
}

#[test]
fn without_order_a_component_is_not_both_source_and_target() {
    let unordered = (12, truth(false));
    let copy = (22, uint(2));
    let chain = |order: &[Line]| {
        let sources = (
            34,
            map(&[(1, map(&[(22, uint(0))])), (2, map(&[(22, uint(1))]))]),
        );
        let group = (12, array(&[uint(1), uint(2)]));
        let commands = [sources, group, set(order), copy.clone()];
        follow(&three().section(INSTALL, &commands))
    };
    assert_eq!(chain(&[]), ["copy b a", "copy c b"]);
    let expected = [
        "copy b a",
        "component 2 is source and target of commands without order",
    ];
    assert_eq!(chain(&[unordered]), expected);
}

#[test]
fn a_sequence_without_order_chooses_its_component_first_and_only_once() {
    let unordered = set(&[(12, truth(false))]);
    let outcome = |inner: &[Line]| {
        let commands = [choose(0), set(&[content(1)]), unordered.clone(), run(inner)];
        follow(&three().section(INSTALL, &commands)).pop().unwrap()
    };
    let chooses = [choose(1), set(&[content(2)]), write()];
    assert_eq!(outcome(&chooses), "write b [2]");
    assert!(outcome(&[write()]).contains("no component is chosen, or none may be"));
    let again = [choose(1), choose(2)];
    assert!(outcome(&again).contains("no component is chosen, or none may be"));
}

#[test]
fn the_shared_sequence_runs_before_each_section_and_has_no_effects() {
    let forge = one()
        .shared(&[set(&[slot(4)]), check_slot()])
        .section(INSTALL, &[set(&[content(1)]), write()])
        .section(VALIDATE, &[(6, uint(15))]);
    let expected = ["slot a 4", "write a [1]", "slot a 4", "content a [1]"];
    assert_eq!(follow(&forge), expected);
    let forge = one()
        .shared(&[set(&[content(1)]), write()])
        .section(INSTALL, &[check_slot()]);
    assert_eq!(
        follow(&forge),
        ["refused: directive-write is not supported here"]
    );
}

#[test]
fn what_the_device_does_not_take_is_refused_before_anything_is_done() {
    let first = [set(&[content(1)]), write()];
    let with = |last: Line| {
        let mut commands = first.to_vec();
        commands.push(last);
        one().section(INSTALL, &commands)
    };
    let refusal = |run: &Run, forge: &Forge| {
        let trace = run.follow(forge);
        assert_eq!(trace.len(), 1, "{trace:?}");
        trace[0].clone()
    };
    let any = Run::new();
    assert!(refusal(&any, &with((99, uint(0)))).contains("command 99"));
    assert!(refusal(&any, &with((-300, uint(0)))).contains("command -300"));
    assert!(refusal(&any, &with((5, uint(16)))).contains("argument of the wrong type"));
    assert!(refusal(&any, &with(set(&[(99, uint(0))]))).contains("parameter 99"));
    assert!(refusal(&any, &with(set(&[(5, truth(true))]))).contains("component-slot"));
    assert!(refusal(&any, &with(try_each(&[Some(&first)]))).contains("argument"));
    let nil_first = try_each(&[None, Some(&first)]);
    assert!(refusal(&any, &with(nil_first)).contains("argument"));
    let mut no_copy = Run::new();
    no_copy.capabilities = DEVICE.with_commands(CommandSet::ALL.without(CommandCode::new(22)));
    assert!(refusal(&no_copy, &with((22, uint(2)))).contains("directive-copy"));
    let foreign = Forge::of(&[b"a", b"elsewhere"]).section(INSTALL, &first);
    assert!(refusal(&any, &foreign).contains("component 1"));
}

#[test]
fn nesting_steps_and_parameters_have_exact_limits() {
    let mut inner = vec![set(&[content(1)]), write()];
    for _ in 0..4 {
        inner = vec![run(&inner)];
    }
    assert_eq!(follow(&one().section(INSTALL, &inner)), ["write a [1]"]);
    let deeper = one().section(INSTALL, &[run(&inner)]);
    assert!(follow(&deeper)[0].starts_with("refused: sequences or dependencies"));

    let mut short = Run::new();
    short.capabilities = DEVICE.with_steps(4);
    let commands = |n: usize| one().section(INSTALL, &vec![set(&[content(1)]); n]);
    assert!(short.follow(&commands(4)).is_empty());
    assert_eq!(
        short.follow(&commands(5)),
        ["the procedure takes more than 4 commands"]
    );

    // Room for 16: six for each of three components are too many.
    let six = [
        content(1),
        slot(1),
        (4, uint(1)),
        (14, uint(1)),
        (26, uint(1)),
        (21, text("x")),
    ];
    let forge = |n: usize| three().section(INSTALL, &[all(), set(&six[..n])]);
    assert!(follow(&forge(5)).is_empty());
    assert!(follow(&forge(6))[0].contains("more than 16 parameters"));
}

fn below() -> Forge {
    Forge::of(&[b"below"]).section(INSTALL, &[set(&[content(5)]), write()])
}

fn above(commands: &[Line]) -> Forge {
    let mut all = vec![choose(1)];
    all.extend_from_slice(commands);
    Forge::of(&[b"a"])
        .depends_on(1, b"store")
        .section(INSTALL, &all)
}

#[test]
fn a_dependency_is_followed_only_with_the_digest_that_its_dependent_names() {
    let process = (11, uint(2));
    let mut run = Run::new();
    run.below = vec![below().signed()];
    assert_eq!(
        run.follow(&above(core::slice::from_ref(&process))),
        ["dependency store", "write below [5]"]
    );
    let named = |manifest: &[u8]| set(&[(3, wrapped(&forge::digest_of(&wrapped(manifest))))]);
    let right = named(&below().manifest());
    let trace = run.follow(&above(&[right, process.clone()]));
    assert_eq!(trace, ["dependency store", "write below [5]"]);
    let wrong = named(b"another manifest");
    let trace = run.follow(&above(&[wrong.clone(), process.clone()]));
    assert!(
        trace[1].starts_with("directive-process-dependency failed"),
        "{trace:?}"
    );
    let trace = run.follow(&above(&[wrong, (7, uint(15))]));
    assert!(
        trace[1].starts_with("condition-dependency-integrity failed"),
        "{trace:?}"
    );
    // One that does not verify is none.
    let trace = Run::new().follow(&above(core::slice::from_ref(&process)));
    assert!(
        trace[1].starts_with("directive-process-dependency failed"),
        "{trace:?}"
    );
    // What is no dependency is told apart.
    let forge = above(&[(8, uint(15)), choose(0), (8, uint(15))]);
    let trace = run.follow(&forge);
    assert!(
        trace[0].starts_with("condition-is-dependency failed, at byte 7"),
        "{trace:?}"
    );
}

#[test]
fn dependencies_lie_no_deeper_than_the_device_follows() {
    let process = (11, uint(2));
    let middle = Forge::of(&[b"below"])
        .depends_on(1, b"store")
        .section(INSTALL, &[choose(1), process.clone()]);
    let mut run = Run::new();
    run.below = vec![middle.signed(), below().signed()];
    let trace = run.follow(&above(core::slice::from_ref(&process)));
    assert!(trace[2].contains("nested deeper"), "{trace:?}");
    run.capabilities = DEVICE.with_dependencies(2);
    let trace = run.follow(&above(&[process]));
    assert_eq!(
        trace,
        ["dependency store", "dependency store", "write below [5]"]
    );
}

#[test]
fn records_say_what_their_author_asked_for_and_nothing_else() {
    let commands = [
        set(&[content(1), slot(0)]),
        (6, uint(1)),
        (6, uint(2)),
        (5, uint(2)),
        (5, uint(0)),
    ];
    let mut run = Run::new().no("slot a 0");
    run.records = true;
    let expected = [
        "content a [1]",
        "record condition-check-content of 20@8: 0 true",
        "content a [1]",
        "slot a 0",
        "record condition-component-slot of 20@12: 0 false",
        "condition-component-slot failed, at byte 12 of part 20",
    ];
    assert_eq!(run.follow(&one().section(INSTALL, &commands)), expected);
}

/// Alternatives, loops, a dependency and effects: wherever it is cut, what follows is the same.
#[test]
fn a_process_that_is_cut_at_any_step_goes_on_with_the_same_step() {
    let fallback = [set(&[content(3)]), write()];
    let wanted = [set(&[slot(0)]), check_slot(), set(&[content(2)]), write()];
    let forge = Forge::of(&[b"a", b"b"])
        .depends_on(2, b"store")
        .section(
            INSTALL,
            &[
                choose(2),
                (11, uint(2)),
                all(),
                try_each(&[Some(&wanted), Some(&fallback)]),
                write(),
            ],
        )
        .section(VALIDATE, &[all(), (6, uint(15))]);
    let (envelope, dependency) = (forge.signed(), below().signed());
    let keys = SigningKey::new(ToyKey::new(1));
    let manifest = verify(&envelope, &keys, 0).unwrap();
    let under = verify(&dependency, &keys, 0).unwrap();
    // Follows to the end, or until so many steps were taken; a dependency is handed in whenever it is asked for.
    fn follow<'a>(
        process: &mut Process<'a, '_, 16>,
        under: Manifest<'a>,
        most: usize,
    ) -> Vec<String> {
        let mut trace = Vec::new();
        while trace.len() < most {
            let step = process.step().unwrap();
            let line = words(&step);
            match step {
                Step::Finished => break,
                Step::Dependency { .. } => process.dependency(Some(under)),
                _ => {
                    process.done(line != "slot b 0");
                    trace.push(line);
                }
            }
        }
        trace
    }
    let start = || Process::<16>::new(manifest, Procedure::Update, &DEVICE).unwrap();
    let whole = follow(&mut start(), under, usize::MAX);
    assert_eq!(whole.len(), 9, "{whole:?}");
    for cut in 0..=whole.len() {
        let mut first = start();
        follow(&mut first, under, cut);
        let mut room = [0; Position::MAX_BYTES];
        let used = first.position().unwrap().encode(&mut room).unwrap();
        let position = Position::decode(&room[..used]).unwrap();
        assert_eq!(usize::from(position.steps()), cut);
        let mut second = Process::<16>::resume(manifest, &position, &DEVICE).unwrap();
        assert_eq!(
            follow(&mut second, under, usize::MAX),
            whole[cut..],
            "cut at {cut}"
        );
    }
    let position = start().position().unwrap();
    let other = Process::<16>::resume(under, &position, &DEVICE);
    assert_eq!(other.err(), Some(ProcessError::Structure));
}

#[test]
fn a_position_has_one_encoding_and_nothing_else_is_one() {
    let envelope = one()
        .section(INSTALL, &[set(&[content(1)]), write(), write()])
        .signed();
    let keys = SigningKey::new(ToyKey::new(1));
    let manifest = verify(&envelope, &keys, 0).unwrap();
    let mut process = Process::<16>::new(manifest, Procedure::Update, &DEVICE).unwrap();
    process.step().unwrap();
    process.done(true);
    let mut room = [0; Position::MAX_BYTES];
    let used = process.position().unwrap().encode(&mut room).unwrap();
    let good = &room[..used];
    assert!(Position::decode(good).is_ok());
    for (at, value) in [(0, 2), (1, 9), (10, 1), (12, 3)] {
        let mut bad = good.to_vec();
        bad[at] = value;
        assert!(Position::decode(&bad).is_err(), "byte {at}");
    }
    assert!(Position::decode(&good[..used - 1]).is_err());
    assert!(Position::decode(&[good, &[0]].concat()).is_err());
    assert_eq!(process.position().unwrap().encode(&mut [0; 12]), None);
}

#[test]
fn a_number_where_a_list_belongs_is_not_counted_up_to() {
    // A component of the manifest that is the number 469,697,295: it once took seconds to refuse.
    let forge = one().part(5, uint(0x1bff_030f));
    let envelope = forge.signed();
    let keys = SigningKey::new(ToyKey::new(1));
    assert!(verify(&envelope, &keys, 0).is_err());
    let mut reader = iot_core::codec::FlatReader::new(&[0x1a, 0x1b, 0xff, 0x03, 0x0f]);
    assert_eq!((reader.array_len(), reader.rest()), (0, None));
}

#[test]
fn an_index_that_no_component_can_have_stands_for_none() {
    // As many components as there are indices, and some: a limit that somebody has raised.
    let forge = Forge::of(&[&b"a"[..]; 256]).section(
        INSTALL,
        &[
            (12, uint(256)),
            (20, map(&[(18, wrapped(b"x"))])),
            (18, uint(0)),
        ],
    );
    let envelope = forge.signed();
    let mut limits = Limits::default();
    limits.components = 300;
    limits.codec.items = 4_096;
    let keys = SigningKey::new(ToyKey::new(1));
    let signed = SignedManifest::decode(&envelope, Tagged::Required, limits).unwrap();
    let manifest = signed.verify(&keys, &mut Sha256::default(), 0).unwrap();
    let mut process = Process::<8>::new(manifest, Procedure::Install, &DEVICE).unwrap();
    assert!(matches!(process.step(), Err(ProcessError::Index { .. })));
}
