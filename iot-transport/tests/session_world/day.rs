//! A day of a device that sleeps whenever its session lets it.

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use iot_core::Instant;
use iot_core::retry::Policy;
use iot_core::sim::SimEntropy;
use iot_transport::session::{Cause, Event, Session, Step, Terms, Welcome};

pub(crate) const DAY_S: u64 = 86_400;
const DAY: Instant = Instant::from_millis(DAY_S * 1_000);
const TRIP: Duration = Duration::from_millis(80);

/// What the device connects through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Network {
    Steady,
    /// Streams fail to open, break, or fall silent.
    Failing {
        seed: u64,
    },
}

/// What woke the device, and how often.
#[derive(Debug, Default)]
pub(crate) struct Day {
    causes: BTreeMap<Cause, u64>,
    /// Wake-ups because something arrived.
    pub(crate) heard: u64,
    pub(crate) pings: u64,
    /// Wake-ups by the clock without a step to take.
    pub(crate) for_nothing: u64,
}

impl Day {
    /// The causes by name, in the order of their kinds.
    pub(crate) fn woken(&self) -> Vec<(&'static str, u64)> {
        self.causes
            .iter()
            .map(|(cause, count)| (name(*cause), *count))
            .collect()
    }
}

fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::BackOff => "back-off",
        Cause::Attempt => "attempt",
        Cause::KeepAlive => "keep-alive",
        Cause::PingAnswer => "ping answer",
        other => panic!("an idle device was woken by {other:?}"),
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_clock: u64 = self.causes.values().sum();
        write!(f, "{} wake-ups: ", by_clock + self.heard)?;
        for (name, count) in self.woken() {
            write!(f, "{count} {name}, ")?;
        }
        write!(f, "{} arrivals", self.heard)
    }
}

/// What is on its way to the device.
type Arriving = Option<(Instant, Event<u8>)>;

pub(crate) fn run(keep_alive_s: u64, network: Network, policy: Policy) -> Day {
    let terms = Terms::new(policy).with_keep_alive(Duration::from_secs(keep_alive_s));
    let mut session = Session::<u8, 1>::new(terms);
    let mut entropy = SimEntropy::new(1);
    let mut luck = match network {
        Network::Steady => None,
        Network::Failing { seed } => Some(SimEntropy::new(seed)),
    };
    let (mut now, mut day, mut arriving) = (Instant::ZERO, Day::default(), None);
    session.subscribe(1).unwrap();
    session.start(now);
    // The device is awake when it starts.
    let mut clock_woke = false;
    loop {
        let mut steps = 0;
        loop {
            let step = session.step(now, &mut entropy);
            if step == Step::Idle {
                break;
            }
            steps += 1;
            day.pings += u64::from(step == Step::Ping);
            session.done(now);
            session.input(now, Event::Sent);
            arriving = answer(step, now, luck.as_mut());
        }
        day.for_nothing += u64::from(clock_woke && steps == 0);
        let wake = session.wake();
        match (arriving.take(), wake) {
            (Some((at, event)), wake) if wake.is_none_or(|wake| at <= wake.at) => {
                now = at;
                if now >= DAY {
                    return day;
                }
                (day.heard, clock_woke) = (day.heard + 1, false);
                if !matches!(event, Event::Opened | Event::Lost { .. }) {
                    session.input(now, Event::Received);
                }
                session.input(now, event);
            }
            (later, Some(wake)) => {
                (arriving, now) = (later, wake.at);
                if now >= DAY {
                    return day;
                }
                *day.causes.entry(wake.cause).or_default() += 1;
                clock_woke = true;
            }
            (_, None) => panic!("it sleeps for ever"),
        }
    }
}

/// What comes back for a step, and when.
fn answer(step: Step<u8>, now: Instant, luck: Option<&mut SimEntropy>) -> Arriving {
    let fate = luck.map_or(9, |luck| luck.below(10));
    let event = match (step, fate) {
        // Silence: no answer ever comes.
        (_, 0) => return None,
        (_, 1 | 2) => Event::Lost { wait: None },
        (Step::Dial, _) => Event::Opened,
        (Step::Greet, _) => Event::Welcomed(Welcome::new(false)),
        (Step::Subscribe(key), _) => {
            let granted = true;
            Event::Subscribed { key, granted }
        }
        (Step::Ping, _) => Event::Received,
        _ => return None,
    };
    Some((now + TRIP, event))
}
