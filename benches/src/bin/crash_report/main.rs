//! Every claim of safety under power cuts, explored to its fixpoint, one line each.
//!
//! `cargo run --release -p iot-benches --bin crash_report [-- --full --only NAME --flash 'write=4 u=1']`
//!
//! `--full` takes minutes for each kind of flash, and ends some runs at a budget; `--whole` ends none of those
//! before its fixpoint, or twenty million states.
//!
//! Seconds are those that the run computed, without what other programs took, where the system tells.
//! It ends with an error when there is a violation, when a key was found weak, or when a run that must reach its
//! fixpoint did not. The way to a violation goes to standard error.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a report may fail loudly, and its numbers are small"
)]

extern crate alloc;

mod boot;
mod commands;
#[path = "../../../../iot-core/tests/power/counter.rs"]
#[allow(dead_code, reason = "the tests use more of it than the report")]
mod counter;
mod delta;
mod download;
mod engines;
mod entry;
mod full;
mod journal;
mod log;
mod outbox;
mod records;
mod rest;
#[allow(clippy::expect_used, reason = "what it is made of is good")]
#[path = "../../../../iot-ota/tests/support/rig.rs"]
mod rig;
mod rotation;
mod twin;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::process::ExitCode;
use std::thread;

use entry::{Effort, Entry};

const ENTRIES: &[&[Entry]] = &[
    &engines::COUNTER,
    &engines::LOG,
    &engines::RECORDS,
    &engines::FULL,
    &journal::ONE_BY_ONE,
    &journal::ANY_ORDER,
    engines::OUTBOX[0],
    engines::OUTBOX[1],
    &engines::ROTATION,
    &engines::ROTATION_IN_USE,
    engines::TWIN[0],
    engines::TWIN[1],
    boot::entries::BOOT[0],
    boot::entries::BOOT[1],
    boot::entries::BOOT[2],
    boot::entries::BOOT[3],
    boot::entries::BOOT[4],
    &delta::DELTA,
    &download::IMAGE,
    &download::PATCH,
];

fn main() -> ExitCode {
    let (mut only, mut flash, mut effort) = (None, String::new(), Effort::Quick);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--full" => effort = Effort::Full,
            "--whole" => effort = Effort::Whole,
            "--only" => only = arguments.next().or_else(|| Some(String::new())),
            "--flash" => flash = arguments.next().unwrap_or_default(),
            _ => return usage(&argument),
        }
    }
    let on_flash = |entry: &Entry| {
        let has = |wanted| entry.flash.split(' ').any(|word| word == wanted);
        flash.split_whitespace().all(has)
    };
    let wanted =
        |entry: &&Entry| only.as_deref().is_none_or(|only| only == entry.name) && on_flash(entry);
    let chosen: Vec<_> = ENTRIES.iter().copied().flatten().filter(wanted).collect();
    if chosen.is_empty() {
        return usage(&only.unwrap_or_default());
    }
    match run(&chosen, effort) {
        0 => ExitCode::SUCCESS,
        short => {
            eprintln!("{short} of {} runs are not what they must be", chosen.len());
            ExitCode::FAILURE
        }
    }
}

/// Runs the entries on all cores, and counts those that are not what they must be.
fn run(entries: &[&Entry], effort: Effort) -> usize {
    let (next, short) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(entries.len()) {
            scope.spawn(|| {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // One print for each run: lines of other threads must not come between.
                    let outcome = (entry.run)(effort);
                    print!("{}", outcome.lines(entry.name));
                    eprint!("{}", outcome.complaints(entry.name));
                    if !outcome.is_good() {
                        short.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    short.into_inner()
}

fn usage(what: &str) -> ExitCode {
    eprintln!(
        "`{what}` is neither an option nor a name; give --full or --whole, --flash WORDS or --only with one of:"
    );
    let mut names: Vec<_> = ENTRIES
        .iter()
        .copied()
        .flatten()
        .map(|entry| entry.name)
        .collect();
    names.dedup();
    for name in names {
        eprintln!("  {name}");
    }
    ExitCode::FAILURE
}
