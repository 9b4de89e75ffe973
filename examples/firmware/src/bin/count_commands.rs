//! How many instructions it takes to admit a duplicate, and to answer it; `.ci/count` runs it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::command::{Inbox, Outcome};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, IssuerId, Message, Now, Ticket};
use iot_firmware::board::opaque;
use iot_firmware::count::{self, ticks};
use iot_firmware::fixture::{ISSUER, Job, SET_VALVE};

type Jobs = Inbox<Job, 2, 64, 8>;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

#[entry]
fn main() -> ! {
    count::start();
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
    let ok = allowed && (runs, answers) == (1, 2);
    count::finish(ok, &[("admit", admit), ("answer", answer)])
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
