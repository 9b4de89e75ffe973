use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use std::process::Command;
use std::{fs, path::Path};

use embedded_storage::nor_flash::NorFlash;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{Mode, Torn};
use proptest::prelude::*;

use super::*;

const SLOT: u32 = 1024;

fn slots(mode: Mode) -> McubootSlots<SimFlash<8, 512>> {
    McubootSlots::new(SimFlash::new(4, mode), SLOT, 2 * SLOT, Align::Eight).unwrap()
}

/// The tables of MCUboot's design document, every combination of what they tell apart.
#[test]
fn the_tables_of_the_design_document_say_what_is_swapped() {
    const ALL: [Flag; 3] = [Flag::Set, Flag::Unset, Flag::Bad];
    let trailer = |magic, image_ok, copy_done| Trailer {
        magic,
        image_ok,
        copy_done,
        ..Trailer::ERASED
    };
    let mut met = [0; 4];
    for (a, b, c) in cube(ALL) {
        for (d, e, f) in cube(ALL) {
            let (primary, secondary) = (trailer(a, b, c), trailer(d, e, f));
            let expected = if d == Flag::Set && e == Flag::Unset {
                Swap::Test
            } else if d == Flag::Set && e == Flag::Set {
                Swap::Permanent
            } else if a == Flag::Set && d == Flag::Unset && b == Flag::Unset && c == Flag::Set {
                Swap::Revert
            } else {
                Swap::None
            };
            assert_eq!(
                next_swap(&primary, &secondary),
                expected,
                "{primary:?} {secondary:?}"
            );
            met[usize::from(expected.code() - 1)] += 1;
        }
    }
    assert!(met.iter().all(|met| *met > 0), "{met:?}");
}

fn cube(all: [Flag; 3]) -> impl Iterator<Item = (Flag, Flag, Flag)> {
    let pairs = move |a| all.into_iter().map(move |b| (a, b));
    let all_pairs = all.into_iter().flat_map(pairs);
    all_pairs.flat_map(move |(a, b)| all.into_iter().map(move |c| (a, b, c)))
}

#[test]
fn the_fields_lie_where_the_design_document_has_them() {
    let trailer = Trailer {
        swap_bytes: Some(0x0102_0304),
        ..Trailer::request(Swap::Permanent).copied()
    };
    let mut out = [0; Trailer::MAX_BYTES];
    let bytes = trailer.encode(Align::Eight, &mut out);
    let mut expected = vec![0xff; 48];
    expected[..4].copy_from_slice(&[4, 3, 2, 1]);
    expected[8] = 3;
    expected[16] = 1;
    expected[24] = 1;
    expected[32..].copy_from_slice(&MAGIC);
    assert_eq!(bytes, expected);
    assert_eq!(Align::ThirtyTwo.trailer_bytes(), 160);
}

#[test]
fn a_request_that_is_cut_short_asks_for_nothing_and_one_that_is_done_stays() {
    for (mode, torn) in [
        (Mode::WriteOnce, Torn::Ecc),
        (Mode::WriteOnce, Torn::Attempted),
        (Mode::Rewritable, Torn::Prefix(3)),
    ] {
        for swap in [Swap::Test, Swap::Permanent] {
            let mut cuts = 0;
            for operation in 0.. {
                let mut slots = slots(mode);
                slots.flash.cut_after(operation, torn);
                let asked = slots.request(swap);
                slots.flash.reboot();
                if asked.is_ok() {
                    assert_eq!(slots.next_swap(), Ok(swap));
                    assert_eq!(slots.request(swap), Ok(()));
                    break;
                }
                cuts += 1;
                // A word that cannot be read makes MCUboot see no magic.
                assert!(matches!(
                    slots.next_swap(),
                    Ok(Swap::None) | Err(McubootError::Flash(_))
                ));
                assert!(slots.flash.violation().is_none());
            }
            assert!(cuts >= 3, "{cuts}");
        }
    }
}

/// What MCUboot leaves after the swap.
fn on_trial(mode: Mode) -> McubootSlots<SimFlash<8, 512>> {
    let mut slots = slots(mode);
    let mut bytes = [0; Trailer::MAX_BYTES];
    let bytes = Trailer::request(Swap::Test)
        .copied()
        .encode(Align::Eight, &mut bytes);
    for (at, word) in (SLOT - 48..).step_by(8).zip(bytes.chunks(8)) {
        if word != [0xff; 8] {
            NorFlash::write(&mut slots.flash, at, word).unwrap();
        }
    }
    slots
}

#[test]
fn a_slot_without_room_for_a_trailer_is_none() {
    let fits = |primary, secondary| {
        let flash = SimFlash::<8, 512>::new(4, Mode::WriteOnce);
        McubootSlots::new(flash, primary, secondary, Align::Eight).is_some()
    };
    assert!(fits(48, 96));
    assert!(!fits(47, 96) && !fits(96, 47));
}

#[test]
fn nothing_is_asked_for_while_an_image_is_on_trial() {
    let mut slots = on_trial(Mode::WriteOnce);
    for swap in [Swap::Test, Swap::Permanent] {
        assert_eq!(slots.request(swap), Err(McubootError::OnTrial));
        assert_eq!(slots.next_swap(), Ok(Swap::Revert));
    }
    slots.confirm().unwrap();
    slots.request(Swap::Test).unwrap();
    assert_eq!(slots.next_swap(), Ok(Swap::Test));
}

#[test]
fn a_confirmation_that_was_cut_short_is_one_and_no_error() {
    // Of the first byte, some bits were cleared, and not all that should be.
    for torn in [0x00, 0x41, 0x7f] {
        let mut slots = on_trial(Mode::Rewritable);
        let field = [torn, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        NorFlash::write(&mut slots.flash, SLOT - 24, &field).unwrap();
        assert_eq!(slots.primary().unwrap().image_ok, Flag::Bad);
        assert_eq!(slots.next_swap(), Ok(Swap::None));
        assert_eq!(slots.confirm(), Ok(()));
        assert_eq!(slots.next_swap(), Ok(Swap::None));
    }
}

#[test]
fn only_an_image_on_trial_is_confirmed_and_no_word_is_written_twice() {
    let mut slots = slots(Mode::WriteOnce);
    slots.confirm().unwrap();
    assert_eq!(slots.primary(), Ok(Trailer::ERASED));
    let mut slots = on_trial(Mode::WriteOnce);
    assert_eq!(slots.next_swap(), Ok(Swap::Revert));
    slots.confirm().unwrap();
    slots.confirm().unwrap();
    assert_eq!(slots.next_swap(), Ok(Swap::None));
    assert_eq!(slots.primary().unwrap().image_ok, Flag::Set);
    assert_eq!(slots.request(Swap::Revert), Err(McubootError::NotForUs));
    assert!(slots.flash.violation().is_none());
}

/// What a request writes is read by MCUboot's own tool as it is meant, and what the tool writes is read here.
#[test]
#[ignore = "needs imgtool"]
fn imgtool_reads_and_writes_the_same_trailers() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw.bin");
    fs::write(&raw, [7; 1000]).unwrap();
    for align in [Align::Eight, Align::ThirtyTwo] {
        for (swap, confirm) in [(Swap::Test, false), (Swap::Permanent, true)] {
            let padded = sign(&raw, align, Some(confirm));
            let read = Trailer::decode(align, &padded).unwrap();
            assert_eq!(
                read,
                Trailer {
                    swap: None,
                    ..Trailer::request(swap)
                }
            );
            // The same image, and a trailer of ours.
            let mut slot = sign(&raw, align, None);
            slot.resize(0x8000, 0xff);
            let mut out = [0; Trailer::MAX_BYTES];
            let trailer = Trailer::request(swap).copied().encode(align, &mut out);
            let start = slot.len() - trailer.len();
            slot[start..].copy_from_slice(trailer);
            let path = folder.path().join("slot.bin");
            fs::write(&path, slot).unwrap();
            let told = imgtool(&["dumpinfo", path.to_str().unwrap()]);
            let line = |name: &str| {
                let found = told.lines().find(|line| line.starts_with(name));
                found
                    .unwrap_or_else(|| panic!("no {name} in {told}"))
                    .to_owned()
            };
            assert!(
                line("image_ok").contains(if confirm { " SET" } else { "0xff" }),
                "{told}"
            );
            assert!(line("copy_done").contains(" SET"), "{told}");
            assert!(
                line("swap_info").contains(&format!("{:#x}", swap.code())),
                "{told}"
            );
            assert!(!told.contains("invalid"), "{told}");
        }
    }
}

/// A signed image, in a slot with a trailer when it is padded.
fn sign(raw: &Path, align: Align, confirm: Option<bool>) -> Vec<u8> {
    let out = raw.with_file_name("signed.bin");
    let align = align.bytes().to_string();
    let mut arguments = vec![
        "sign",
        "--version",
        "1.0.0",
        "--header-size",
        "0x200",
        "--pad-header",
        "--slot-size",
        "0x8000",
        "--align",
        &align,
        "--max-align",
        &align,
    ];
    match confirm {
        Some(true) => arguments.extend(["--pad", "--confirm"]),
        Some(false) => arguments.push("--pad"),
        None => {}
    }
    arguments.extend([raw.to_str().unwrap(), out.to_str().unwrap()]);
    imgtool(&arguments);
    fs::read(out).unwrap()
}

fn imgtool(arguments: &[&str]) -> String {
    let output = Command::new("python3")
        .args(["-m", "imgtool.main"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![Just(Flag::Set), Just(Flag::Unset), Just(Flag::Bad)]
}

fn align() -> impl Strategy<Value = Align> {
    prop_oneof![
        Just(Align::Eight),
        Just(Align::Sixteen),
        Just(Align::ThirtyTwo)
    ]
}

proptest! {
    #[test]
    fn a_trailer_is_read_as_it_was_written(
        align in align(), flags in (flag(), flag(), flag()), code in 1_u8..5, image in 0_u8..16, has_swap: bool,
        bytes in proptest::option::of(0..u32::MAX),
    ) {
        let trailer = Trailer {
            magic: flags.0,
            image_ok: flags.1,
            copy_done: flags.2,
            swap: has_swap.then(|| (Swap::of_code(code).unwrap(), image)),
            swap_bytes: bytes,
        };
        let mut out = [0; Trailer::MAX_BYTES];
        let written = trailer.encode(align, &mut out);
        prop_assert_eq!(written.len(), align.trailer_bytes());
        prop_assert_eq!(Trailer::decode(align, written), Some(trailer));
        prop_assert_eq!(Trailer::decode(align, &written[1..]), None);
        let longer = [&[7; 5], written].concat();
        prop_assert_eq!(Trailer::decode(align, &longer), Some(trailer));
    }

    #[test]
    fn arbitrary_bytes_never_panic(align in align(), tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Trailer::decode(align, &tail);
    }
}
