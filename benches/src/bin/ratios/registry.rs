//! A registry in memory: what a twin costs and how fast it is changed.

use alloc::borrow::Cow;
use core::error::Error;
use core::num::NonZero;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use futures::executor::block_on;
use iot_benches::{Goal, Ratio};
use iot_core::engine::{Engine as _, Event};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Message, Now, Timestamp};
use iot_twin::TwinService;
use iot_twin::registry::{Draft, Expect, Memory, Record, Registry, TwinKey};
use iot_twin::schema::{Access, Field, FieldId, Schema};
use minicbor::Encoder;

/// How many twins there are.
const TWINS: u32 = 1_000_000;
/// How many updates each thread makes at a time, and how often the best of them is looked for.
const UPDATES: u32 = 500_000;
const ROUNDS: u32 = 5;
/// The option under which a process measures its own memory.
pub(crate) const ALONE: &str = "--registry-alone";

/// Ten desired fields and ten reported ones.
const FIELDS: [Schema; 20] = {
    const fn field(number: u16, access: Access, name: &'static str) -> Schema {
        Schema::new(Field::of::<f32>(number, access), name)
    }
    use Access::{Desired, Reported};
    [
        field(1, Desired, "setpoint"),
        field(2, Desired, "setback"),
        field(3, Desired, "maximum"),
        field(4, Desired, "minimum"),
        field(5, Desired, "fan-speed"),
        field(6, Desired, "valve"),
        field(7, Desired, "light-level"),
        field(8, Desired, "blind"),
        field(9, Desired, "interval-s"),
        field(10, Desired, "deadband"),
        field(11, Reported, "temperature"),
        field(12, Reported, "humidity"),
        field(13, Reported, "co2"),
        field(14, Reported, "pressure"),
        field(15, Reported, "battery"),
        field(16, Reported, "signal"),
        field(17, Reported, "power"),
        field(18, Reported, "energy"),
        field(19, Reported, "uptime-h"),
        field(20, Reported, "door"),
    ]
};

pub(crate) fn key(number: u32) -> Result<TwinKey, iot_core::id::NameError> {
    format!("acme/boiler-{number}").parse()
}

/// A twin whose twenty values all depend on `number` and `round`, as a record.
pub(crate) fn record(number: u32, round: u32) -> Result<Record, Box<dyn Error>> {
    let mut twin = TwinService::with_schema(Cow::Borrowed(&FIELDS));
    let value = |id: u16| f64::from(number % 1_000) + f64::from(round) + f64::from(id) / 64.0;
    for id in 1..=10 {
        twin.set_field(FieldId::new(id), value(id))?;
    }
    // What the device says of the other ten, as it would come over the link.
    let mut payload = [0; 256];
    let mut out = Encoder::new(&mut payload[..]);
    let versions = u64::from(round) * 10;
    out.array(11)?
        .u8(1)?
        .u8(1)?
        .u32(0)?
        .u64(0)?
        .u64(1)?
        .u64(0)?
        .bool(false)?;
    out.array(10)?;
    for id in 11..=20_u16 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value fits single precision"
        )]
        let single = value(id) as f32;
        out.array(3)?
            .u16(id)?
            .u64(versions + u64::from(id))?
            .f32(single)?;
    }
    out.u64(versions + 20)?.null()?.null()?;
    let used = 256 - out.writer().len();
    let now = Now::new(iot_core::Instant::ZERO, TimeBounds::UNKNOWN);
    let message = Message::new(Channel::Twin, payload.get(..used).unwrap_or(&[]));
    twin.input(now, &Event::Message(message));
    let mut draft = Draft::of(&twin);
    draft.set_label(
        "site",
        if number.is_multiple_of(2) {
            "north"
        } else {
            "south"
        },
    )?;
    draft.set_label("stage", "pilot")?;
    Ok(draft.finish()?)
}

/// A registry with a million twins, each changed in all twenty leaves so often.
fn filled(changes: u32) -> Result<Registry<Memory>, Box<dyn Error>> {
    let registry = Registry::open(Memory::new().with_backlog(1_024));
    for round in 0..=changes {
        for number in 0..TWINS {
            let record = record(number, round)?;
            block_on(registry.put(&key(number)?, Expect::Any, record, Timestamp::EPOCH))?;
        }
    }
    Ok(registry)
}

/// Each thread reads a twin and stores a record that rests on what it read; records are encoded before.
fn updates(registry: &Registry<Memory>, threads: u32) -> Result<f64, Box<dyn Error>> {
    let records: Vec<_> = (0..64)
        .map(|number| record(number, 7))
        .collect::<Result<_, _>>()?;
    let work = |own: u32| {
        let keys: Vec<_> = (0..UPDATES)
            .map(|at| key((at.wrapping_mul(2_654_435_761) ^ own.wrapping_mul(7_919)) % TWINS))
            .collect::<Result<Vec<_>, _>>()
            .unwrap_or_default();
        // What one writer makes it shares with no other: else they would mostly wait for each other's counts.
        let own = records
            .iter()
            .map(|record| Record::from_cbor(record.as_cbor()));
        let records: Vec<_> = own.collect::<Result<_, _>>().unwrap_or_default();
        let registry = registry.clone();
        thread::spawn(move || {
            let mut won = 0_u32;
            let start = Instant::now();
            block_on(async {
                for (key, record) in keys.iter().zip(records.iter().cycle()) {
                    let Ok(found) = registry.read(key).await;
                    let expect = found.map_or(Expect::Absent, |stored| Expect::At(stored.revision));
                    let put = registry.put(key, expect, record.clone(), Timestamp::EPOCH);
                    won += u32::from(put.await.is_ok());
                }
            });
            f64::from(won) / start.elapsed().as_secs_f64()
        })
    };
    let running: Vec<_> = (0..threads).map(work).collect();
    let rates = running.into_iter().map(thread::JoinHandle::join);
    rates
        .map(|rate| rate.map_err(|_| "a writer panicked".into()))
        .sum()
}

/// Updates a second in a million twins, from as many threads as there are processors.
pub(crate) fn registry_memory() -> Result<Ratio, Box<dyn Error>> {
    let registry = filled(0)?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = u32::try_from(threads)?.min(8);
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        best = best.max(updates(&registry, threads)?);
    }
    Ok(Ratio::new(
        "registry_memory",
        best,
        1e6,
        "updates/s",
        Goal::AtLeast(1.0),
    ))
}

/// What a twin takes of a process's memory, with its history full; everything else of the process counted in.
pub(crate) fn registry_twin_bytes() -> Result<Ratio, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).arg(ALONE).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let bytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(Ratio::new(
        "registry_twin_bytes",
        bytes / f64::from(TWINS),
        2_000.0,
        "bytes",
        Goal::AtMost(1.0),
    ))
}

/// The process of its own: prints the resident memory that the twins have added, in bytes.
pub(crate) fn alone() -> ExitCode {
    let measure = || -> Result<u64, Box<dyn Error>> {
        let before = resident()?;
        let registry = filled(2)?;
        let after = resident()?;
        drop(registry);
        Ok(after.saturating_sub(before))
    };
    match measure() {
        Ok(bytes) => {
            println!("{bytes}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .ok_or("no VmRSS")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1_024)
}
