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

#[path = "support/follow.rs"]
mod follow;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;

use follow::{
    DEVICE, INSTALL, Line, Run, VALIDATE, all, check_slot, choose, content, follow, named, one,
    run, set, slot, three, try_each, write,
};
use forge::{Forge, array, map, text, truth, uint, verify, wrapped};
use iot_core::cose::Tagged;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{CommandCode, Limits, SignedManifest, SigningKey};
use iot_ota::process::{
    Capabilities, CommandSet, Component, Identity, Procedure, Process, ProcessError,
};
use keys::Sha256;

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
fn with_several_components_each_sequence_chooses_before_anything_is_done() {
    let acts = [choose(0), set(&[content(1)]), write()];
    let unchosen = three()
        .section(INSTALL, &acts)
        .section(VALIDATE, &[write()]);
    let error = ["refused: at byte 1 of part 7: no component is chosen, or none may be"];
    assert_eq!(follow(&unchosen), error);
    // What the shared sequence chose does not last, and it chooses itself.
    let shared = three().shared(&[choose(1)]).section(INSTALL, &[write()]);
    let error = ["refused: at byte 1 of part 20: no component is chosen, or none may be"];
    assert_eq!(follow(&shared), error);
    let shared = three().shared(&[check_slot()]).section(INSTALL, &acts);
    let error = ["refused: at byte 1 of part 3: no component is chosen, or none may be"];
    assert_eq!(follow(&shared), error);
    // Sequences within sequences need not, nor do those without a command.
    let within = [choose(0), set(&[content(1)]), run(&[write()])];
    let forge = three().section(INSTALL, &within).section(VALIDATE, &[]);
    assert_eq!(follow(&forge), ["write a [1]"]);
}

#[test]
fn an_index_that_stands_for_nothing_is_found_before_anything_is_done() {
    let acts = [choose(0), set(&[content(1)]), write()];
    for command in [
        choose(3),
        (12, array(&[uint(0), uint(3)])),
        set(&[(22, uint(3))]),
        (34, map(&[(3, map(&[content(1)]))])),
        (35, map(&[(3, array(&[uint(18)]))])),
        run(&[choose(3)]),
        try_each(&[Some(&[choose(3)]), None]),
    ] {
        let forge = three().section(
            INSTALL,
            &[&acts[..], core::slice::from_ref(&command)].concat(),
        );
        let error = ["refused: the manifest's component 3 is none of this device's"];
        assert_eq!(follow(&forge), error, "{command:?}");
        // A dependency is one that stands for something.
        let forge = forge.depends_on(3, b"store");
        assert_eq!(follow(&forge)[0], "write a [1]", "{command:?}");
    }
    let none = three().section(INSTALL, &[&acts[..], &[(12, array(&[]))]].concat());
    let error = ["refused: directive-set-component-index has an argument of the wrong type"];
    assert_eq!(follow(&none), error);
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
fn choosing_setting_and_copying_parameters_end_what_is_without_order() {
    let both = (12, array(&[uint(0), uint(1)]));
    let source = |from, to| (34, map(&[(to, map(&[(22, uint(from))]))]));
    let unordered = set(&[(12, truth(false))]);
    // What is written to b is copied to a: alternatives have one of them take part each time.
    let written = try_each(&[Some(&[check_slot(), write()]), None]);
    let copied = try_each(&[Some(&[(6, uint(0)), (22, uint(0))]), None]);
    let outcome = |between: &[Line]| {
        let start = [
            both.clone(),
            set(&[slot(0), content(1)]),
            source(1, 0),
            source(2, 1),
            unordered.clone(),
        ];
        let commands = [
            &start[..],
            core::slice::from_ref(&written),
            between,
            core::slice::from_ref(&copied),
        ]
        .concat();
        let run = Run::new().no("slot a 0").no("content b [1]");
        run.follow(&three().section(INSTALL, &commands))
    };
    let start = ["slot a 0", "slot b 0", "write b [1]", "content a [1]"];
    let mixed = "component 0 is source and target of commands without order";
    assert_eq!(outcome(&[]), [&start[..], &[mixed]].concat());
    // One after the other is what it says (§6.7).
    for barrier in [
        both.clone(),
        (19, map(&[content(1)])),
        set(&[content(1)]),
        (34, map(&[(2, map(&[content(1)]))])),
        (35, map(&[(1, array(&[uint(18)]))])),
    ] {
        let expected = [&start[..], &["copy a b", "content b [1]"]].concat();
        assert_eq!(
            outcome(core::slice::from_ref(&barrier)),
            expected,
            "{barrier:?}"
        );
    }
}

#[test]
fn a_component_may_be_of_another_vendor_and_class_than_its_device() {
    const OWN: &[Component<'static>] = &[
        Component::new(&[b"a"])
            .with_identity(Identity::new([9; 16], [8; 16]).with_enterprise(&[1, 2])),
        Component::new(&[b"b"]),
    ];
    let device = Identity::new([1; 16], [2; 16]).with_device([3; 16]);
    let mut run = Run::new();
    run.capabilities = Capabilities::new(device, OWN);
    let holds = |index: u64, code: i64, value: Vec<u8>| {
        let commands = [choose(index), set(&[(code, value)]), (code, uint(0))];
        let trace = run.follow(&Forge::of(&[b"a", b"b"]).section(INSTALL, &commands));
        assert!(trace.len() < 2, "{trace:?}");
        trace.is_empty()
    };
    let uuid = |byte: u8| wrapped(&[byte; 16]);
    let enterprise = |number: &[u8]| [&[0xd8, 112][..], &wrapped(number)].concat();
    for (index, vendor, class) in [(0, 9, 8), (1, 1, 2)] {
        let other = 10 - vendor;
        assert!(holds(index, 1, uuid(vendor)) && !holds(index, 1, uuid(other)));
        let other = 10 - class;
        assert!(holds(index, 2, uuid(class)) && !holds(index, 2, uuid(other)));
    }
    // The number is the component's own, and stands for nobody else.
    assert!(holds(0, 1, enterprise(&[1, 2])) && !holds(0, 1, enterprise(&[1, 3])));
    assert!(!holds(1, 1, enterprise(&[1, 2])));
    // A component that says who it is has no device's identifier unless it says so.
    assert!(holds(1, 24, uuid(3)) && !holds(0, 24, uuid(3)) && !holds(1, 24, uuid(4)));
}

#[test]
fn counter_mode_brings_nothing_without_a_digest() {
    // COSE_Encrypt: counter mode has its algorithm outside of what a tag protects.
    let info = |protected: &[u8]| {
        let parts = [wrapped(protected), vec![0xa0], vec![0xf6], vec![0x80]];
        wrapped(&[&[0xd8, 96][..], &array(&parts)].concat())
    };
    let counter = (19, info(&[]));
    let tagged = (19, info(&[0xa1, 0x01, 0x01]));
    let digest = named(b"an image");
    let brought = |code: i64, parameters: &[Line]| {
        let common = [content(1), (21, text("iot:x")), (22, uint(1))];
        let parameters = [&common[..], parameters].concat();
        let commands = [choose(0), set(&parameters), (code, uint(0))];
        let trace = follow(&three().section(INSTALL, &commands));
        !trace[0].contains("failed")
    };
    for code in [21, 22, 31] {
        assert!(!brought(code, core::slice::from_ref(&counter)), "{code}");
        assert!(brought(code, &[counter.clone(), digest.clone()]), "{code}");
        assert!(brought(code, core::slice::from_ref(&tagged)), "{code}");
        // What is no such structure is not believed to have a tag.
        assert!(!brought(code, &[(19, wrapped(&[1, 2]))]), "{code}");
    }
    // What the manifest itself holds was signed with it.
    assert!(brought(18, &[counter]));
}

#[test]
fn more_than_the_most_that_is_followed_counts_as_the_most() {
    let device = DEVICE.with_nesting(20).with_dependencies(20);
    assert_eq!((device.nesting, device.dependencies), (8, 3));
    // Nor does a field that somebody has set lead deeper.
    let mut deep = Run::new();
    deep.capabilities.nesting = 255;
    let mut inner = vec![set(&[content(1)]), write()];
    for _ in 0..8 {
        inner = vec![run(&inner)];
    }
    let forge = one().section(INSTALL, &inner);
    assert_eq!(deep.follow(&forge), ["write a [1]"]);
    let forge = one().section(INSTALL, &[run(&inner)]);
    assert!(deep.follow(&forge)[0].starts_with("refused: sequences or dependencies"));
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
    let forge = Forge::of(&[&b"a"[..]; 257]).section(
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
