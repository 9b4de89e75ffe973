//! A hundred thousand sessions that lose their broker at the same moment.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

use iot_core::Instant;
use iot_core::retry::Policy;
use iot_core::sim::SimEntropy;
use iot_transport::session::{Event, Session, State, Step, Terms, Welcome};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Everybody is connected when the broker goes away.
const CRASH: Instant = Instant::from_millis(600_000);
/// How long it takes to open a stream, or to learn that there is none.
const TRIP: Duration = Duration::from_millis(50);

pub(crate) struct Herd {
    pub(crate) sessions: usize,
    pub(crate) outage: Duration,
    pub(crate) seed: u64,
}

/// How the herd came back.
#[derive(Debug)]
pub(crate) struct Back {
    pub(crate) connects: usize,
    /// Attempts while the broker was away.
    pub(crate) failed: usize,
    /// The most connects within a second.
    pub(crate) peak: usize,
    /// Connects a second over the span in which 95 of 100 connect.
    pub(crate) mean: f64,
    pub(crate) span_s: usize,
}

impl Back {
    pub(crate) fn ratio(&self) -> f64 {
        self.peak as f64 / self.mean
    }
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "peak {} a second, mean {:.1} over {} s, ratio {:.2}; {} attempts failed",
            self.peak,
            self.mean,
            self.span_s,
            self.ratio(),
            self.failed
        )
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum What {
    Deadline,
    /// The attempt to open a stream has an outcome.
    Opened,
    /// The broker's answer arrives.
    Answer,
}

type Queue = BinaryHeap<Reverse<(Instant, usize, What)>>;

impl Herd {
    pub(crate) fn run(&self, policy: Policy) -> Back {
        let mut random = SimEntropy::new(self.seed);
        let terms = Terms::new(policy).with_keep_alive(Duration::from_secs(3_600));
        let mut herd = vec![Session::<u8, 1>::new(terms); self.sessions];
        let mut queue = Queue::new();
        for (at, session) in herd.iter_mut().enumerate() {
            session.start(Instant::ZERO);
            drive(session, at, Instant::ZERO, &mut random, &mut queue);
        }
        let back = CRASH + self.outage;
        let is_down = |now: Instant| now >= CRASH && now < back;
        let (mut buckets, mut connects, mut failed) = (Vec::new(), 0, 0);
        let mut crashed = false;
        while let Some(Reverse((now, at, what))) = queue.pop() {
            if !crashed && now >= CRASH {
                crashed = true;
                for (at, session) in herd.iter_mut().enumerate() {
                    assert_eq!(session.state(), State::Up);
                    session.input(CRASH, Event::Lost { wait: None });
                    drive(session, at, CRASH, &mut random, &mut queue);
                }
            }
            let session = &mut herd[at];
            match what {
                // An older deadline of the same session may still be queued: it finds nothing to do.
                What::Deadline => {}
                What::Opened if is_down(now) => {
                    failed += 1;
                    session.input(now, Event::Lost { wait: None });
                }
                What::Opened => session.input(now, Event::Opened),
                What::Answer if is_down(now) => session.input(now, Event::Lost { wait: None }),
                What::Answer => {
                    session.input(now, Event::Welcomed(Welcome::new(false)));
                    if now >= back {
                        connects += 1;
                        let second = usize::try_from(now.since(back).as_secs()).unwrap();
                        buckets.resize(buckets.len().max(second + 1), 0);
                        buckets[second] += 1;
                    }
                }
            }
            if connects == self.sessions {
                break;
            }
            drive(session, at, now, &mut random, &mut queue);
        }
        summary(&buckets, connects, failed)
    }
}

/// Takes every step there is and plans what follows from it.
fn drive(
    session: &mut Session<u8, 1>,
    at: usize,
    now: Instant,
    random: &mut SimEntropy,
    queue: &mut Queue,
) {
    loop {
        let (after, what) = match session.step(now, random) {
            Step::Idle => break,
            Step::Dial => (TRIP, What::Opened),
            Step::Greet => (TRIP, What::Answer),
            other => panic!("nobody asked for {other:?}"),
        };
        session.done(now);
        queue.push(Reverse((now + after, at, what)));
    }
    // The others wait for an answer that is on its way.
    if session.state() == State::Waiting {
        let deadline = session.deadline().expect("it waits for ever");
        queue.push(Reverse((deadline, at, What::Deadline)));
    } else if session.state() == State::Up && now < CRASH {
        queue.push(Reverse((CRASH, at, What::Deadline)));
    }
}

fn summary(buckets: &[usize], connects: usize, failed: usize) -> Back {
    let (mut sum, mut span_s) = (0, 0);
    for bucket in buckets {
        (sum, span_s) = (sum + bucket, span_s + 1);
        if sum * 100 >= connects * 95 {
            break;
        }
    }
    Back {
        connects,
        failed,
        peak: buckets.iter().copied().max().unwrap_or_default(),
        mean: sum as f64 / span_s as f64,
        span_s,
    }
}
