//! The command inbox with its journal, driven by hand: a command runs once although it arrives twice.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::command::{Inbox, Outcome};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, IssuerId, Message, Now, Ticket};
use iot_firmware::board::{Board, exit, millis, opaque};
use iot_firmware::fixture::{ISSUER, Job, SET_VALVE};

type Jobs = Inbox<Job, 2, 64, 8>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut jobs = Jobs::new();
    let allowed = jobs.allow(IssuerId::new(opaque(ISSUER))).is_ok();
    jobs.input(now(), &Event::Restored);
    let (mut runs, mut answers) = (0, 0);
    for _ in 0..2 {
        let request = Message::new(Channel::Command, opaque(SET_VALVE));
        jobs.input(now(), &Event::Message(request));
        answers += settle(&mut jobs);
        while let Some(job) = jobs.next() {
            runs += usize::from(job.command == Job::SetValve { open: true });
            let _ = jobs.finish(job.id, Outcome::DONE);
        }
        answers += settle(&mut jobs);
    }
    board.finish(match (allowed, runs, answers) {
        (true, 1, 2) => Ok(&[("runs", 1), ("answers", 2)]),
        _ => Err("commands"),
    })
}

fn now() -> Now {
    Now::new(Instant::from_millis(millis().into()), TimeBounds::UNKNOWN)
}

/// Does what the inbox asks for, as a driver would, and counts the answers.
fn settle(jobs: &mut Jobs) -> usize {
    let (mut answers, mut buffer) = (0, [0; Jobs::BUFFER_BYTES + 64]);
    loop {
        let done = match jobs.step(now(), &mut buffer) {
            Step::Persist(batch) => {
                opaque(batch.value_bytes());
                Done::Persisted
            }
            Step::Send(message) => {
                answers += usize::from(!opaque(message.payload).is_empty());
                Done::Sent(Ticket::new(1))
            }
            _ => return answers,
        };
        jobs.done(now(), done);
    }
}
