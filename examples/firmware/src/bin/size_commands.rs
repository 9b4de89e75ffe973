//! The command inbox with its journal, driven by hand: a command runs once although it arrives twice.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::command::{Inbox, Outcome};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, IssuerId, Message, Now, Ticket};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{ISSUER, Job, SET_VALVE};

type Jobs = Inbox<Job, 2, 64, 8>;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut jobs = Jobs::new();
    let allowed = jobs.allow(IssuerId::new(opaque(ISSUER))).is_ok();
    board.finish(match (allowed, run(&mut jobs)) {
        (true, (1, 2)) => Ok(&[("answers", 2)]),
        _ => Err("commands"),
    })
}

/// Does what a driver and an application do; returns how often the command ran, and was answered.
#[inline(never)]
fn run(jobs: &mut Jobs) -> (usize, usize) {
    // Neither the time nor the events are known to the compiler: nothing that a device needs is left out.
    let now = *opaque(&NOW);
    let request = Event::Message(Message::new(Channel::Command, SET_VALVE));
    let (mut runs, mut answers, mut buffer) = (0, 0, [0; Jobs::BUFFER_BYTES + 64]);
    for event in [&Event::Restored, &request, &request] {
        jobs.input(now, opaque(event));
        loop {
            let done = match jobs.step(now, &mut buffer) {
                Step::Persist(batch) => {
                    opaque(batch.is_empty());
                    Done::Persisted
                }
                Step::Send(message) => {
                    answers += usize::from(!opaque(message.payload).is_empty());
                    Done::Sent(Ticket::new(1))
                }
                _ => match jobs.next() {
                    Some(job) => {
                        runs += usize::from(job.command == Job::SetValve { open: true });
                        let _ = jobs.finish(job.id, Outcome::from(opaque(Ok(()))));
                        continue;
                    }
                    None if opaque(jobs.deadline().is_some()) => continue,
                    None => break,
                },
            };
            jobs.done(now, done);
        }
    }
    (runs, answers)
}
