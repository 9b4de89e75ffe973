//! What `.ci/count` counts on the host: a program that does one thing so many times, each time in a function of its own.
//!
//! Valgrind counts the instructions of `apply` and `answer`, and the allocations of the whole program.

use std::process::ExitCode;

use core::hint::black_box;

use iot_benches::plant::{Delta, Plant};
use iot_core::engine::{Done, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Instant, Message, Now, Ticket};
use iot_twin::{Twin, TwinDevice};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// How often each is done.
const TIMES: usize = 1_000;

fn main() -> ExitCode {
    let mut twin = TwinDevice::<Plant, 16>::new();
    twin.input(NOW, &Event::Restored);
    twin.input(NOW, &Event::Connected { resumed: false });
    let (mut delta, mut buffer, mut bytes) = (Delta::new(), [0; 1_024], 0);
    for _ in 0..TIMES {
        apply(&mut twin, delta.again());
        let records = persist(&mut twin, &mut buffer);
        bytes = answer(&mut twin, &mut buffer);
        twin.done(NOW, Done::Sent(Ticket::new(1)));
        if records != 11 || bytes < 120 {
            eprintln!(
                "a change of ten leaves made {records} records and an answer of {bytes} bytes"
            );
            return ExitCode::FAILURE;
        }
    }
    println!("times={TIMES} answer_bytes={bytes}");
    ExitCode::SUCCESS
}

/// Takes a change of ten leaves in, with every check.
#[inline(never)]
fn apply<T: Twin>(twin: &mut TwinDevice<T, 16>, payload: &[u8]) {
    let message = Message::new(Channel::Twin, black_box(payload));
    twin.input(NOW, &Event::Message(message));
}

/// Encodes ten leaves, each with the version and the code of its answer.
#[inline(never)]
fn answer<T: Twin>(twin: &mut TwinDevice<T, 16>, buffer: &mut [u8]) -> usize {
    match twin.step(NOW, buffer) {
        Step::Send(message) => black_box(message.payload).len(),
        _ => 0,
    }
}

fn persist<T: Twin>(twin: &mut TwinDevice<T, 16>, buffer: &mut [u8]) -> usize {
    let mut records = 0;
    while let Step::Persist(batch) = twin.step(NOW, buffer) {
        records += batch.iter().count();
        twin.done(NOW, Done::Persisted);
    }
    records
}
