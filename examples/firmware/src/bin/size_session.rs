//! The session engine, driven by hand: it comes up, publishes, pings, loses its link and pauses.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::entropy::{Entropy, EntropyError};
use iot_core::retry::Policy;
use iot_core::{Channel, Instant};
use iot_firmware::board::{Board, exit, opaque};
use iot_transport::session::{Cause, Event, Session, State, Step, Terms, Welcome};

const TERMS: Terms = Terms::new(Policy::new(
    Duration::from_secs(20),
    Duration::from_secs(120),
))
.with_keep_alive(Duration::from_secs(900))
.with_window(4);

/// Stands for a chip's generator.
struct Noise;

impl Entropy for Noise {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(opaque(0x5a));
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut session = Session::<Channel, 6>::new(opaque(TERMS));
    let (mut now, mut steps, mut wakes) = (Instant::ZERO, 0, 0);
    for channel in [Channel::Command, Channel::Twin] {
        if session.subscribe(opaque(channel)).is_err() {
            board.finish(Err("no place for a subscription"))
        }
    }
    session.start(now);
    while opaque(wakes) < 6 {
        let step = session.step(now, &mut Noise);
        session.done(now);
        let event = match step {
            Step::Idle => match session.wake() {
                // The link is lost once it has been pinged.
                Some(wake) if opaque(wake.cause) == Cause::PingAnswer => {
                    let wait = opaque(Some(Duration::from_secs(5)));
                    Event::Lost { wait }
                }
                Some(wake) => {
                    (now, wakes) = (wake.at, wakes + 1);
                    let taken = session.publish().is_ok();
                    if opaque(taken) {
                        Event::Acknowledged
                    } else {
                        Event::Sent
                    }
                }
                None => board.finish(Err("it sleeps for ever")),
            },
            Step::Dial => Event::Opened,
            Step::Greet => Event::Welcomed(opaque(Welcome::new(false).with_window(2))),
            Step::Subscribe(key) => {
                let granted = opaque(true);
                Event::Subscribed { key, granted }
            }
            Step::Close(_) => Event::Lost { wait: None },
            _ => Event::Sent,
        };
        steps += usize::from(step != Step::Idle);
        session.input(now, opaque(event));
    }
    session.reconnect(now, Duration::from_secs(5));
    session.stop();
    if opaque(session.state()) == State::Waiting {
        board.finish(Err("it was stopped"))
    }
    board.finish(Ok(&[("steps", steps), ("wakes", wakes)]))
}
