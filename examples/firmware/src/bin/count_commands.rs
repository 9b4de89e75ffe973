//! How many instructions it takes to admit a duplicate, and to answer it; `.ci/count` runs it.
//!
//! The emulator must be told that every instruction takes the same time (`-icount`), so that the processor's
//! timer counts instructions; no interrupt is enabled meanwhile.
#![no_std]
#![no_main]

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use iot_core::command::{Inbox, Outcome};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, IssuerId, Message, Now, Ticket};
use iot_firmware::board::{decimal, exit, opaque, print};
use iot_firmware::fixture::{ISSUER, Job, SET_VALVE};

type Jobs = Inbox<Job, 2, 64, 8>;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const LONGEST: u32 = 0x00ff_ffff;
/// As many instructions as the calibration takes: cortex-m's delay is a subtraction and a branch for every two.
const KNOWN: u32 = 10_000;

#[entry]
fn main() -> ! {
    let Some(peripherals) = Peripherals::take() else {
        exit(false)
    };
    let mut timer = peripherals.SYST;
    timer.set_reload(LONGEST);
    timer.clear_current();
    timer.set_clock_source(SystClkSource::Core);
    timer.enable_counter();

    let mut jobs = Jobs::new();
    let allowed = jobs.allow(IssuerId::new(opaque(ISSUER))).is_ok();
    jobs.input(NOW, &Event::Restored);
    take_in(&mut jobs);
    let (mut runs, mut answers) = (0, settle(&mut jobs));
    while let Some(job) = jobs.next() {
        runs += usize::from(jobs.finish(job.id, Outcome::DONE).is_ok());
        answers += settle(&mut jobs);
    }
    let admit = ticks(|| take_in(&mut jobs));
    let answer = ticks(|| answers += settle(&mut jobs));
    let known = ticks(|| spin(opaque(KNOWN)));
    let nothing = ticks(|| spin(opaque(0)));
    let mut room = [0; 10];
    let ok = allowed && (runs, answers) == (1, 2);
    print(&[if ok { "RESULT ok" } else { "RESULT failed" }]);
    for (name, ticks) in [
        (" admit=", admit),
        (" answer=", answer),
        (" calibration=", known - nothing),
        (" instructions=", KNOWN),
    ] {
        print(&[name, decimal(ticks as usize, &mut room)]);
    }
    print(&["\n"]);
    exit(ok)
}

/// The timer's ticks while `work` is done.
#[inline(never)]
fn ticks(work: impl FnOnce()) -> u32 {
    let before = SYST::get_current();
    work();
    // It counts down.
    before.wrapping_sub(SYST::get_current()) & LONGEST
}

/// A known number of instructions: the measure that the others are divided by.
#[inline(never)]
fn spin(instructions: u32) {
    cortex_m::asm::delay(instructions);
}

#[inline(never)]
fn take_in(jobs: &mut Jobs) {
    let request = Message::new(Channel::Command, opaque(SET_VALVE));
    jobs.input(NOW, &Event::Message(request));
}

/// Does what the inbox asks for, as a driver would, and counts the answers.
#[inline(never)]
fn settle(jobs: &mut Jobs) -> usize {
    let (mut answers, mut buffer) = (0, [0; Jobs::BUFFER_BYTES + 64]);
    loop {
        let done = match jobs.step(NOW, &mut buffer) {
            Step::Persist(batch) => {
                opaque(batch.is_empty());
                Done::Persisted
            }
            Step::Send(message) => {
                answers += usize::from(!opaque(message.payload).is_empty());
                Done::Sent(Ticket::new(1))
            }
            _ => return answers,
        };
        jobs.done(NOW, done);
    }
}
