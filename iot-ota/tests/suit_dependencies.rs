//! A manifest and those it depends on: what is followed, whose words count where, and what comes after a power cut.
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
    DEVICE, INSTALL, Line, Run, VALIDATE, choose, content, named, process, run, set, words, write,
};
use forge::{Forge, array, block, envelope, map, text, uint, verify};
use iot_core::sim::ToyKey;
use iot_core::time::TimeBounds;
use iot_ota::manifest::{Role, Roles, SigningKey, VerifyError};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, ProcessError};

const UNINSTALL: i64 = 24;

fn below() -> Forge {
    Forge::of(&[b"below"]).section(INSTALL, &[set(&[content(5)]), write()])
}

/// One that depends on what is kept in the store, and has these commands for it.
fn above(commands: &[Line]) -> Forge {
    let mut all = vec![choose(1)];
    all.extend_from_slice(commands);
    Forge::of(&[b"a"])
        .depends_on(1, b"store")
        .section(INSTALL, &all)
}

/// Chooses a dependency, says which one it is, and follows it.
fn down(index: u64, dependency: &Forge) -> [Line; 3] {
    let pin = set(&[named(&dependency.manifest())]);
    [choose(index), pin, process()]
}

#[test]
fn a_dependency_is_followed_only_with_the_digest_that_its_dependent_names() {
    let run = Run::new().below(&[below().signed()]);
    let right = set(&[named(&below().manifest())]);
    let trace = run.follow(&above(&[right.clone(), process()]));
    assert_eq!(trace, ["dependency store", "write below [5]"]);
    let wrong = set(&[named(b"another manifest")]);
    let trace = run.follow(&above(&[wrong.clone(), process()]));
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
    let trace = Run::new().follow(&above(&[right, process()]));
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
fn only_an_uninstallation_follows_a_dependency_that_no_digest_names() {
    let below = below().section(UNINSTALL, &[(33, uint(0))]);
    for (procedure, section) in [
        (Procedure::Update, INSTALL),
        (Procedure::Stage, 16),
        (Procedure::Install, INSTALL),
        (Procedure::Invoke, VALIDATE),
    ] {
        let forge = above(&[]).section(section, &[choose(1), process()]);
        let mut run = Run::new().below(&[below.signed()]);
        run.procedure = procedure;
        // Nobody needs to look for it.
        let expected = "directive-process-dependency failed, at byte 3";
        let trace = run.follow(&forge);
        assert!(trace[0].starts_with(expected), "{procedure:?}: {trace:?}");
    }
    let forge = above(&[]).section(UNINSTALL, &[choose(1), process()]);
    let mut run = Run::new().below(&[below.signed()]);
    run.procedure = Procedure::Uninstall;
    assert_eq!(run.follow(&forge), ["dependency store", "unlink below"]);
    // Its conditions have nothing to compare with there either.
    for code in [3, 7, 25] {
        let forge = above(&[]).section(UNINSTALL, &[choose(1), (code, uint(0))]);
        let trace = run.follow(&forge);
        assert!(trace[0].contains("failed, at byte 3"), "{code}: {trace:?}");
    }
}

#[test]
fn dependencies_lie_no_deeper_than_the_device_follows() {
    let middle = Forge::of(&[b"below"])
        .depends_on(1, b"store")
        .section(INSTALL, &down(1, &below()));
    let first = above(&down(1, &middle));
    let mut run = Run::new().below(&[middle.signed(), below().signed()]);
    let trace = run.follow(&first);
    assert!(trace[2].contains("nested deeper"), "{trace:?}");
    run.capabilities = DEVICE.with_dependencies(2);
    assert_eq!(
        run.follow(&first),
        ["dependency store", "dependency store", "write below [5]"]
    );
}

#[test]
fn what_a_dependency_has_too_much_is_refused_before_its_first_step() {
    let with = |last: Line| below().section(INSTALL, &[set(&[content(5)]), write(), last]);
    let mut long = vec![set(&[content(5)]), write()];
    for _ in 0..5 {
        long = vec![run(&long)];
    }
    for (dependency, expected) in [
        (with((99, uint(0))), "command 99"),
        (with((5, uint(16))), "argument of the wrong type"),
        (with(set(&[(99, uint(0))])), "parameter 99"),
        (with(choose(7)), "component 7"),
        (below().section(INSTALL, &long), "nested deeper"),
        (
            Forge::of(&[b"elsewhere"]).section(INSTALL, &[(14, uint(0))]),
            "component 0",
        ),
        (
            with((14, uint(0))).shared(&[set(&[content(5)]), write()]),
            "directive-write is not supported here",
        ),
    ] {
        let run = Run::new().below(&[dependency.signed()]);
        let trace = run.follow(&above(&down(1, &dependency)));
        assert_eq!(trace.len(), 2, "{trace:?}");
        assert!(trace[1].contains(expected), "{trace:?}");
    }
}

#[test]
fn a_dependencys_signers_need_a_right_to_its_components() {
    const KEYS: [(&[u8], ToyKey); 2] = [(b"one", ToyKey::new(1)), (b"two", ToyKey::new(2))];
    let roles = [Role::new(1, 0b01), Role::new(1, 0b10)];
    let policy = Roles::new(&KEYS, &roles, TimeBounds::UNKNOWN);
    let own = [
        Component::new(&[b"a"]).for_roles(0b01),
        Component::new(&[b"below"]).for_roles(0b01),
        Component::new(&[b"store"]).for_roles(0b01),
        Component::new(&[b"free"]),
    ];
    let device = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
    let signed = |forge: &Forge, (id, key): (&[u8], ToyKey)| {
        let manifest = forge.manifest();
        envelope(&manifest, &[block(&manifest, key, Some(id))])
    };
    let first = signed(&above(&down(1, &below())), KEYS[0]);
    let first = verify(&first, &policy, 0).unwrap();
    let outcome = |key| {
        let dependency = signed(&below(), key);
        let dependency = verify(&dependency, &policy, 0).unwrap();
        let mut process = Process::<16>::new(first, Procedure::Update, &device).unwrap();
        process.step().unwrap();
        process.dependency(Some(dependency));
        process.step().map(|step| words(&step))
    };
    assert_eq!(outcome(KEYS[0]), Ok("write below [5]".to_owned()));
    let index = 0;
    assert_eq!(outcome(KEYS[1]), Err(ProcessError::Unauthorised { index }));
    // And who chooses a dependency, to where it is kept.
    let free = Forge::of(&[b"free"]).depends_on(1, b"store");
    let chosen = signed(&free.section(INSTALL, &down(1, &below())), KEYS[1]);
    let chosen = verify(&chosen, &policy, 0).unwrap();
    let begun = Process::<16>::new(chosen, Procedure::Update, &device);
    let index = 1;
    assert_eq!(begun.err(), Some(ProcessError::Unauthorised { index }));
}

#[test]
fn a_dependency_has_an_index_that_no_component_has() {
    // The draft's text counts dependencies among the components, its examples behind them: no write may go to the
    // store because one number stands for two places.
    let outcome = |index| {
        let envelope = Forge::of(&[b"a", b"b"])
            .depends_on(index, b"store")
            .signed();
        let keys = SigningKey::new(ToyKey::new(1));
        verify(&envelope, &keys, 0).map(|_| ())
    };
    assert_eq!(outcome(0), Err(VerifyError::Structure));
    assert_eq!(outcome(1), Err(VerifyError::Structure));
    assert_eq!(outcome(2), Ok(()));
}

#[test]
fn what_a_dependency_sets_stays_set_for_its_dependent() {
    // Trust domains: changes to parameters persist in the dependent.
    let dependency = Forge::of(&[b"a"]).section(INSTALL, &[set(&[content(5)])]);
    let commands = [
        &[choose(0), set(&[content(1)])][..],
        &down(1, &dependency),
        &[choose(0), write()],
    ];
    let forge = above(&commands.concat());
    let run = Run::new().below(&[dependency.signed()]);
    assert_eq!(run.follow(&forge), ["dependency store", "write a [5]"]);
}

#[test]
fn an_index_of_a_source_counts_only_in_the_manifest_that_has_set_it() {
    let copy = (22, uint(0));
    let source = |index| (22, uint(index));
    let unset = |trace: &[String], code: &str| {
        assert_eq!(trace.len(), 2, "{trace:?}");
        assert!(trace[1].starts_with(code), "{trace:?}");
    };
    let above = |commands: &[Line]| {
        Forge::of(&[b"b", b"c"])
            .depends_on(2, b"store")
            .section(INSTALL, commands)
    };
    // Upwards: its component 1 is a, and its dependent's c.
    let dependency = Forge::of(&[b"b", b"a"]).section(INSTALL, &[choose(0), set(&[source(1)])]);
    let run = Run::new().below(&[dependency.signed(), dependency.signed()]);
    let behind = [&down(2, &dependency)[..], &[choose(0), copy.clone()]].concat();
    unset(&run.follow(&above(&behind)), "directive-copy failed");
    let swap = [&down(2, &dependency)[..], &[choose(0), (31, uint(0))]].concat();
    unset(&run.follow(&above(&swap)), "directive-swap failed");
    let copied = (35, map(&[(0, array(&[uint(22)]))]));
    let copied = [&down(2, &dependency)[..], &[choose(1), copied]].concat();
    unset(&run.follow(&above(&copied)), "directive-copy-params failed");
    // To its neighbour, which is as deep.
    let neighbour = Forge::of(&[b"b", b"c"]).section(INSTALL, &[choose(0), copy.clone()]);
    let beside = [&down(2, &dependency)[..], &down(2, &neighbour)].concat();
    let both = Run::new().below(&[dependency.signed(), neighbour.signed()]);
    let trace = both.follow(&above(&beside));
    assert!(trace[2].starts_with("directive-copy failed"), "{trace:?}");
    // Downwards: where it is not set, the dependency sets its own.
    let own = (19, map(&[source(1)]));
    let dependency = Forge::of(&[b"b", b"a"]);
    let fallback = dependency
        .clone()
        .section(INSTALL, &[choose(0), own, copy.clone()]);
    let first = |dependency: &Forge| {
        let before = [choose(0), set(&[source(1)])];
        above(&[&before[..], &down(2, dependency)].concat())
    };
    let run = Run::new().below(&[fallback.signed()]);
    assert_eq!(
        run.follow(&first(&fallback)),
        ["dependency store", "copy b a"]
    );
    let bare = dependency.section(INSTALL, &[choose(0), copy]);
    let run = Run::new().below(&[bare.signed()]);
    unset(&run.follow(&first(&bare)), "directive-copy failed");
}

#[test]
fn a_payload_is_looked_for_in_the_envelope_of_the_manifest_that_has_set_its_name() {
    let here = set(&[(21, text("#x"))]);
    let fetch = (21, uint(0));
    let failed = |trace: &[String]| {
        assert_eq!(trace.len(), 2, "{trace:?}");
        assert!(trace[1].starts_with("directive-fetch failed"), "{trace:?}");
    };
    let dependency = Forge::of(&[b"a"])
        .section(INSTALL, core::slice::from_ref(&here))
        .carrying("#x", &[2]);
    let behind = [&down(1, &dependency)[..], &[choose(0), fetch.clone()]].concat();
    let run = Run::new().below(&[dependency.signed()]);
    failed(&run.follow(&above(&behind).carrying("#x", &[1])));
    // And downwards; an address from elsewhere means the same everywhere.
    let dependency = Forge::of(&[b"a"])
        .section(INSTALL, core::slice::from_ref(&fetch))
        .carrying("#x", &[2]);
    let first = |uri: Line| {
        let commands = [&[choose(0), uri][..], &down(1, &dependency)].concat();
        above(&commands).carrying("#x", &[1])
    };
    let run = Run::new().below(&[dependency.signed()]);
    failed(&run.follow(&first(here.clone())));
    let elsewhere = set(&[(21, text("iot:x"))]);
    assert_eq!(
        run.follow(&first(elsewhere)),
        ["dependency store", "fetch a"]
    );
    let own = above(&[choose(0), here, fetch]).carrying("#x", &[1]);
    assert_eq!(run.follow(&own), ["fetch a [1]"]);
}

#[test]
fn as_many_sequences_lie_open_as_there_is_room_for_in_all_manifests_together() {
    fn nest(inner: &[Line], depth: usize) -> Vec<Line> {
        (0..depth).fold(inner.to_vec(), |inner, _| vec![run(&inner)])
    }
    let outcome = |first: usize, second: usize| {
        let written = nest(&[set(&[content(5)]), write()], second);
        let dependency = below().section(INSTALL, &written);
        let pin = set(&[named(&dependency.manifest())]);
        let mut commands = vec![pin];
        commands.extend(nest(&[process()], first));
        let mut run = Run::new().below(&[dependency.signed()]);
        run.capabilities = DEVICE.with_nesting(8);
        run.follow(&above(&commands)).pop().unwrap()
    };
    // Sixteen sections and sequences within them; the last of them is found before the first effect of its manifest.
    assert_eq!(outcome(8, 6), "write below [5]");
    assert_eq!(outcome(6, 8), "write below [5]");
    assert!(outcome(8, 7).contains("nested deeper"));
    assert!(outcome(7, 8).contains("nested deeper"));
    let shallow = [set(&[content(4)]), write(), run(&nest(&[], 7))].to_vec();
    let dependency = below().section(INSTALL, &shallow);
    let pin = set(&[named(&dependency.manifest())]);
    let mut commands = vec![pin];
    commands.extend(nest(&[process()], 8));
    let mut run = Run::new().below(&[dependency.signed()]);
    run.capabilities = DEVICE.with_nesting(8);
    assert_eq!(
        run.follow(&above(&commands)).len(),
        2,
        "nothing was written"
    );
}
