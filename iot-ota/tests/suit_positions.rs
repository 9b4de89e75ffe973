//! What comes after a power cut: the step that was next, whatever has become of the dependencies meanwhile.
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
    DEVICE, INSTALL, Line, VALIDATE, all, check_slot, choose, content, go_on, named, one, process,
    set, slot, try_each, write,
};
use forge::{Forge, text, uint, verify};
use iot_core::sim::ToyKey;
use iot_ota::manifest::{Manifest, SigningKey};
use iot_ota::process::{Position, Procedure, Process, ProcessError, Step};

const UNINSTALL: i64 = 24;

fn trusted(envelope: &[u8]) -> Manifest<'_> {
    verify(envelope, &SigningKey::new(ToyKey::new(1)), 0).unwrap()
}

fn begun(manifest: Manifest<'_>) -> Process<'_, 'static, 16> {
    Process::new(manifest, Procedure::Update, &DEVICE).unwrap()
}

/// Through the bytes of its position.
fn cut<'a>(process: &Process<'a, '_, 16>, manifest: Manifest<'a>) -> Process<'a, 'static, 16> {
    let mut room = [0; Position::MAX_BYTES];
    let used = process.position().unwrap().encode(&mut room).unwrap();
    let position = Position::decode(&room[..used]).unwrap();
    assert_eq!(Some(position), process.position());
    Process::resume(manifest, &position, &DEVICE).unwrap()
}

/// What is left when nobody cares how often a manifest had to be brought.
fn effects(trace: &[String]) -> Vec<&str> {
    let lines = trace.iter().map(String::as_str);
    lines.filter(|line| *line != "dependency store").collect()
}

fn below(byte: u8) -> Forge {
    Forge::of(&[b"below"])
        .section(INSTALL, &[set(&[content(byte)]), write()])
        .section(UNINSTALL, &[set(&[content(byte)]), write()])
}

/// Fetches a dependency unless it is there, does something else, and follows it.
fn fetching(dependency: &Forge) -> Forge {
    let there = [(7, uint(0))];
    let bring = [set(&[(21, text("iot:d"))]), (21, uint(0))];
    let commands = [
        choose(1),
        set(&[named(&dependency.manifest())]),
        try_each(&[Some(&there), Some(&bring)]),
        choose(0),
        set(&[content(1)]),
        write(),
        choose(1),
        process(),
        choose(0),
        set(&[content(2)]),
        write(),
    ];
    Forge::of(&[b"a"])
        .depends_on(1, b"store")
        .section(INSTALL, &commands)
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
                set(&[named(&below(5).manifest())]),
                (7, uint(2)),
                process(),
                all(),
                try_each(&[Some(&wanted), Some(&fallback)]),
                write(),
            ],
        )
        .section(VALIDATE, &[all(), (6, uint(15))]);
    let (envelope, dependency) = (forge.signed(), below(5).signed());
    let (manifest, under) = (trusted(&envelope), [trusted(&dependency); 3]);
    let no = ["slot b 0"];
    let whole = go_on(&mut begun(manifest), &under, &no, usize::MAX);
    assert_eq!((whole.len(), effects(&whole).len()), (11, 9), "{whole:?}");
    for at in 0..=whole.len() {
        let mut first = begun(manifest);
        go_on(&mut first, &under, &no, at);
        let rest = go_on(&mut cut(&first, manifest), &under, &no, usize::MAX);
        assert_eq!(effects(&rest), effects(&whole[at..]), "cut at {at}");
        // Only what is followed is brought again.
        let again = rest.len() - effects(&rest).len();
        assert_eq!(again, if at == 0 { 2 } else { 1 }, "cut at {at}");
    }
    let position = begun(manifest).position().unwrap();
    let other = Process::<16>::resume(under[0], &position, &DEVICE);
    assert_eq!(other.err(), Some(ProcessError::Structure));
}

#[test]
fn a_dependency_that_has_come_since_does_not_shift_the_answers() {
    let (envelope, dependency) = (fetching(&below(5)).signed(), below(5).signed());
    let (manifest, dependency) = (trusted(&envelope), trusted(&dependency));
    let mut first = begun(manifest);
    assert_eq!(
        go_on(&mut first, &[], &[], 2),
        ["dependency store", "fetch store"]
    );
    let rest = go_on(&mut cut(&first, manifest), &[dependency], &[], usize::MAX);
    let expected = [
        "write a [1]",
        "dependency store",
        "write below [5]",
        "write a [2]",
    ];
    assert_eq!(rest, expected);
}

#[test]
fn whatever_has_become_of_a_dependency_the_next_step_is_the_same_or_there_is_none() {
    let envelopes = [fetching(&below(5)), below(5), below(6)].map(|forge| forge.signed());
    let [manifest, right, wrong] = [0, 1, 2].map(|at| trusted(&envelopes[at]));
    let (mut same, mut ended) = (0, 0);
    for before in [&[right; 2][..], &[wrong, right], &[right, wrong], &[right]] {
        let whole = go_on(&mut begun(manifest), before, &[], usize::MAX);
        for at in 0..=whole.len() {
            let mut first = begun(manifest);
            go_on(&mut first, before, &[], at);
            let next = first.step();
            for after in [None, Some(wrong), Some(right)] {
                let mut second = cut(&first, manifest);
                // What was followed is asked for again.
                while let Ok(Step::Dependency { .. }) = second.step()
                    && second.step() != next
                {
                    second.dependency(after);
                }
                match second.step() {
                    Ok(step) => {
                        assert_eq!(Ok(step), next, "cut at {at} of {whole:?}, now {after:?}");
                        same += 1;
                    }
                    // What had failed has failed.
                    Err(_) => ended += 1,
                }
            }
        }
    }
    assert!(same > 20 && ended > 5, "{same} went on, {ended} ended");
}

#[test]
fn a_dependency_that_no_digest_names_is_the_same_after_a_cut() {
    let commands: &[Line] = &[
        choose(1),
        process(),
        choose(0),
        set(&[content(1)]),
        write(),
        set(&[content(2)]),
        write(),
    ];
    let envelopes = [
        Forge::of(&[b"a"])
            .depends_on(1, b"store")
            .section(UNINSTALL, commands),
        below(5),
        below(6),
    ];
    let envelopes = envelopes.map(|forge| forge.signed());
    let [manifest, one, other] = [0, 1, 2].map(|at| trusted(&envelopes[at]));
    let begin = || Process::<16>::new(manifest, Procedure::Uninstall, &DEVICE).unwrap();
    let whole = go_on(&mut begin(), &[one], &[], usize::MAX);
    let expected = [
        "dependency store",
        "write below [5]",
        "write a [1]",
        "write a [2]",
    ];
    assert_eq!(whole, expected);
    for at in 1..=whole.len() {
        let mut first = begin();
        go_on(&mut first, &[one], &[], at);
        let rest = go_on(&mut cut(&first, manifest), &[one], &[], usize::MAX);
        assert_eq!(effects(&rest), effects(&whole[at..]), "cut at {at}");
        for now in [&[other][..], &[]] {
            let rest = go_on(&mut cut(&first, manifest), now, &[], usize::MAX);
            assert_eq!(rest.len(), 2, "{rest:?}");
            let expected = "directive-process-dependency failed";
            assert!(rest[1].starts_with(expected), "{rest:?}");
        }
    }
    // As long as it was not followed it may become another one.
    let rest = go_on(&mut cut(&begin(), manifest), &[other], &[], usize::MAX);
    assert_eq!(rest[1], "write below [6]");
}

#[test]
fn an_invocation_begins_again_and_is_never_resumed_past_its_image_match() {
    let digest = named(b"an image");
    let envelope = one()
        .section(VALIDATE, &[set(&[digest]), (3, uint(0))])
        .section(9, &[(23, uint(0))])
        .signed();
    let manifest = trusted(&envelope);
    let mut invocation = Process::<16>::new(manifest, Procedure::Invoke, &DEVICE).unwrap();
    assert_eq!(invocation.position(), None);
    invocation.step().unwrap();
    invocation.done(true);
    assert_eq!(invocation.position(), None);
    // The position of another procedure, altered.
    let mut room = [0; Position::MAX_BYTES];
    let mut update = begun(manifest);
    update.step().unwrap();
    update.done(true);
    let used = update.position().unwrap().encode(&mut room).unwrap();
    assert!(Position::decode(&room[..used]).is_ok());
    room[1] = 3;
    assert!(Position::decode(&room[..used]).is_err());
}

#[test]
fn a_position_has_one_encoding_and_nothing_else_is_one() {
    let envelope = one()
        .section(INSTALL, &[set(&[content(1)]), write(), write()])
        .signed();
    let mut process = begun(trusted(&envelope));
    process.step().unwrap();
    process.done(true);
    let mut room = [0; Position::MAX_BYTES];
    let used = process.position().unwrap().encode(&mut room).unwrap();
    let good = &room[..used];
    assert!(Position::decode(good).is_ok());
    for (at, value) in [(0, 1), (1, 9), (10, 1), (12, 3)] {
        let mut bad = good.to_vec();
        bad[at] = value;
        assert!(Position::decode(&bad).is_err(), "byte {at}");
    }
    assert!(Position::decode(&good[..used - 1]).is_err());
    assert!(Position::decode(&[good, &[0]].concat()).is_err());
    assert_eq!(process.position().unwrap().encode(&mut [0; 12]), None);
}
