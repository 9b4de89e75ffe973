//! How many instructions a session takes that has nothing to do, and one that has to ping; `.ci/count` runs it.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::retry::Policy;
use iot_core::{Channel, Instant};
use iot_firmware::board::opaque;
use iot_firmware::count::{self, ticks};
use iot_firmware::uart::Jitter;
use iot_transport::session::{Event, Session, Step, Terms, Welcome};

/// As many places as a device with every engine needs.
type Link = Session<Channel, 6>;

const TERMS: Terms = Terms::new(Policy::new(
    Duration::from_secs(20),
    Duration::from_secs(120),
));

#[entry]
fn main() -> ! {
    count::start();
    let mut session = Link::new(opaque(TERMS));
    let mut room = true;
    for channel in [Channel::Command, Channel::Twin] {
        room &= session.subscribe(opaque(channel)).is_ok();
    }
    let begin = Instant::from_millis(opaque(5_000));
    session.start(begin);
    let up = connect(&mut session, begin);

    let (now, mut idle, mut pinged) = (begin.after(Duration::from_secs(1)), None, None);
    let poll_idle = ticks(|| idle = Some(poll(&mut session, now)));
    let due = session.deadline().unwrap_or(Instant::ZERO);
    let poll_due = ticks(|| pinged = Some(ping(&mut session, due)));

    let waits = |asked: Option<(Step<Channel>, Option<Instant>)>, step, until| {
        asked.is_some_and(|(first, wake)| first == step && wake == Some(until))
    };
    let half = due.after(Duration::from_secs(15));
    let ok = room
        && up
        && due == begin.after(Duration::from_secs(30))
        && waits(idle, Step::Idle, due)
        && waits(pinged, Step::Ping, half);
    count::finish(ok, &[("idle", poll_idle), ("ping", poll_due)])
}

/// Takes every step until nothing is left to do; whether the link stands with all it was asked for.
#[inline(never)]
fn connect(session: &mut Link, now: Instant) -> bool {
    loop {
        let step = session.step(now, &mut Jitter::default());
        session.done(now);
        let event = match step {
            Step::Dial => Event::Opened,
            Step::Greet => Event::Welcomed(opaque(Welcome::new(false))),
            Step::Subscribe(key) => Event::Subscribed { key, granted: true },
            _ => return session.may_publish() && session.is_subscribed(Channel::Twin),
        };
        session.input(now, opaque(event));
    }
}

/// What a binding does each time that it is polled: asks what to do, and for how long it may sleep.
#[inline(never)]
fn poll(session: &mut Link, now: Instant) -> (Step<Channel>, Option<Instant>) {
    let step = session.step(opaque(now), &mut Jitter::default());
    (step, session.deadline())
}

/// The same when a sign of life is due, which is then sent.
#[inline(never)]
fn ping(session: &mut Link, now: Instant) -> (Step<Channel>, Option<Instant>) {
    let step = session.step(opaque(now), &mut Jitter::default());
    session.done(now);
    (step, session.deadline())
}
