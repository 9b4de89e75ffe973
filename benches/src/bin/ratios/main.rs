//! Every claim of speed or cost against a peer, measured in the same run, one line each.
//!
//! `cargo run --release -p iot-benches --bin ratios [-- --only NAME --gate]`

extern crate alloc;

mod coap;
mod denied;
mod engine;
mod flash;
mod image;
mod mqtt;
mod outbox;
mod places;
mod postgres;
mod registry;
mod suit;
mod suit_peer;
mod twin;

use core::error::Error;
use std::process::ExitCode;

use iot_benches::Ratio;

type Entry = (&'static str, fn() -> Result<Ratio, Box<dyn Error>>);

const ENTRIES: [Entry; 28] = [
    ("engine_call", || Ok(engine::engine_call())),
    ("node_turn", || Ok(engine::node_turn())),
    ("log_append", flash::log_append),
    ("log_read", flash::log_read),
    ("record_commit", flash::record_commit),
    ("record_read", flash::record_read),
    ("log_overhead_4", flash::log_overhead_4),
    ("log_overhead_8", flash::log_overhead_8),
    ("outbox_push_pop", outbox::outbox_push_pop),
    ("outbox_overhead_4", outbox::outbox_overhead_4),
    ("outbox_places", places::outbox_places),
    ("mqtt_publish", mqtt::mqtt_publish),
    ("coap_lossy", coap::coap_lossy),
    ("deny_list_entry", denied::deny_list_entry),
    ("deny_list_lookup", denied::deny_list_lookup),
    ("suit_verify", suit::suit_verify),
    ("image_stream", image::image_stream),
    ("suit_whole", suit_peer::suit_whole),
    ("suit_overhead", suit_peer::suit_overhead),
    ("twin_apply", twin::twin_apply),
    ("twin_decode", twin::twin_decode),
    ("twin_document", twin::twin_document),
    ("registry_memory", registry::registry_memory),
    ("registry_twin_bytes", registry::registry_twin_bytes),
    ("registry_redb_64", postgres::registry_redb_64),
    ("registry_redb_256", postgres::registry_redb_256),
    ("registry_redb_512", postgres::registry_redb_512),
    ("registry_redb", postgres::registry_redb),
];

/// A peer that is not installed: its row is left out, and said so; with `--gate` it fails.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not installed")]
struct Missing(&'static str);

fn main() -> ExitCode {
    let (mut only, mut gate) = (None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--gate" => gate = true,
            "--only" => only = arguments.next(),
            // A process of its own, so that nothing else has used its memory.
            registry::ALONE => return registry::alone(),
            _ => return usage(&argument),
        }
    }
    let chosen = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let (mut ran, mut short) = (0, false);
    for (name, measure) in ENTRIES.iter().filter(|(name, _)| chosen(name)) {
        let ratio = match measure() {
            Ok(ratio) => ratio,
            Err(error) if error.is::<Missing>() && !gate => {
                eprintln!("{name} LEFT OUT: {error}");
                ran += 1;
                continue;
            }
            Err(error) => {
                eprintln!("{name} could not be measured: {error}");
                return ExitCode::FAILURE;
            }
        };
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
