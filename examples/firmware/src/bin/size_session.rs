//! The session engine, driven by hand: dialled, greeted, subscribed, pinged, lost and tried again.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::retry::Policy;
use iot_core::{Channel, Instant};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::uart::Jitter;
use iot_transport::session::{Event, Session, Step, Terms, Welcome};

type Link = Session<Channel, 6>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let retry = opaque(Policy::new(Duration::from_secs(1), Duration::from_secs(60)));
    let mut session = Link::new(Terms::new(retry).with_window(opaque(4)));
    let (dials, pings) = run(&mut session);
    let facts = [("dials", dials), ("pings", pings)];
    board.finish(if dials > 1 && pings > 0 {
        Ok(&facts)
    } else {
        Err("session")
    })
}

/// Does what a binding does; returns how often it dialled and pinged.
#[inline(never)]
fn run(session: &mut Link) -> (usize, usize) {
    let (mut entropy, mut now) = (Jitter::default(), Instant::ZERO);
    let (mut dials, mut pings) = (0, 0);
    opaque(session.subscribe(opaque(Channel::Command)).is_ok());
    session.start(now);
    for _ in 0..40 {
        let step = session.step(now, &mut entropy);
        session.done(now);
        match step {
            Step::Dial => {
                dials += 1;
                session.input(now, opaque(Event::Opened));
            }
            Step::Greet => session.input(now, opaque(Event::Welcomed(Welcome::new(false)))),
            Step::Subscribe(key) => {
                let granted = opaque(true);
                session.input(now, Event::Subscribed { key, granted });
            }
            Step::Ping => {
                pings += 1;
                session.input(now, opaque(Event::Received));
            }
            _ => {
                opaque(session.publish().is_ok());
                session.input(now, opaque(Event::Acknowledged));
                if pings > 2 {
                    session.input(now, opaque(Event::Lost { wait: None }));
                }
                opaque(session.may_publish());
                now = session.deadline().unwrap_or(now);
            }
        }
    }
    session.reconnect(now, opaque(Duration::ZERO));
    session.stop();
    (dials, pings)
}
