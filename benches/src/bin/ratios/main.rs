//! Every claim of speed or cost against a peer, measured in the same run, one line each.
//!
//! `cargo run --release -p iot-benches --bin ratios [-- --only NAME --gate]`

mod engine;

use std::process::ExitCode;

use iot_benches::Ratio;

type Entry = (&'static str, fn() -> Ratio);

const ENTRIES: [Entry; 2] = [
    ("engine_call", engine::engine_call),
    ("node_turn", engine::node_turn),
];

fn main() -> ExitCode {
    let (mut only, mut gate) = (None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--gate" => gate = true,
            "--only" => only = arguments.next(),
            _ => return usage(&argument),
        }
    }
    let chosen = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let (mut ran, mut short) = (0, false);
    for (_, measure) in ENTRIES.iter().filter(|(name, _)| chosen(name)) {
        let ratio = measure();
        short |= !ratio.is_met();
        ran += 1;
        println!("{ratio}");
    }
    match ran {
        0 => usage(&only.unwrap_or_default()),
        _ if gate && short => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("`{what}` is neither an option nor a name; give --gate or --only with one of:");
    for (name, _) in ENTRIES {
        eprintln!("  {name}");
    }
    ExitCode::FAILURE
}
