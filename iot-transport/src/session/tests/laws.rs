//! What holds whatever the network does, and in whatever order.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// What may happen next; what does not fit is told all the same, as a confused binding would.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// What a binding does on a network that works.
    Go {
        resumed: bool,
    },
    Step {
        done: bool,
    },
    Opened,
    Welcomed {
        resumed: bool,
        window: u16,
    },
    Lost {
        wait: Option<u16>,
    },
    Received,
    Sent,
    Answered {
        key: u8,
        granted: bool,
    },
    Acknowledged,
    Publish,
    Subscribe(u8),
    Reconnect,
    Stop,
    Start,
    Pass {
        ms: u32,
    },
    Sleep,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => any::<bool>().prop_map(|resumed| Act::Go { resumed }),
        6 => prop::bool::weighted(0.9).prop_map(|done| Act::Step { done }),
        6 => Just(Act::Opened),
        6 => (any::<bool>(), 0..6_u16).prop_map(|(resumed, window)| Act::Welcomed { resumed, window }),
        2 => prop::option::weighted(0.2, 0..600_u16).prop_map(|wait| Act::Lost { wait }),
        2 => Just(Act::Received),
        2 => Just(Act::Sent),
        4 => (0..6_u8, prop::bool::weighted(0.8)).prop_map(|(key, granted)| Act::Answered { key, granted }),
        4 => Just(Act::Acknowledged),
        6 => Just(Act::Publish),
        2 => (0..6_u8).prop_map(Act::Subscribe),
        1 => Just(Act::Reconnect),
        1 => Just(Act::Stop),
        1 => Just(Act::Start),
        3 => (0..40_000_u32).prop_map(|ms| Act::Pass { ms }),
        4 => Just(Act::Sleep),
    ]
}

/// A binding that keeps its own books about what it was told to do.
struct Binding {
    session: Four,
    entropy: Random,
    now: Instant,
    /// Whether a stream is being opened or stands.
    stream: bool,
    greeted: bool,
    up: bool,
    window: u16,
    in_flight: u16,
    wanted: BTreeSet<u8>,
    /// What the other end has granted and would know again.
    granted: BTreeSet<u8>,
    /// What was asked for on this link, or was granted before and is remembered there.
    known: BTreeSet<u8>,
    draining: bool,
    /// A greeting may be out on this stream, and on so many since the last answer.
    opened: bool,
    unanswered: u32,
    /// A link ended and the next step chooses the pause.
    failed: bool,
    /// When the pause was chosen.
    ended: Option<Instant>,
    /// The longest the other end ever asked to wait.
    told: Duration,
}

impl Binding {
    fn new(seed: u64) -> Self {
        let mut session = Four::new(TERMS);
        session.start(Instant::ZERO);
        Self {
            session,
            entropy: Random(seed),
            now: Instant::ZERO,
            stream: false,
            greeted: false,
            up: false,
            window: 0,
            in_flight: 0,
            wanted: BTreeSet::new(),
            granted: BTreeSet::new(),
            known: BTreeSet::new(),
            draining: false,
            opened: false,
            unanswered: 0,
            failed: false,
            ended: None,
            told: Duration::ZERO,
        }
    }

    fn end(&mut self, failed: bool) {
        if self.stream {
            (self.failed, self.ended) = (failed, None);
        }
        (self.stream, self.greeted, self.up) = (false, false, false);
        self.opened = false;
        (self.in_flight, self.window, self.draining) = (0, 0, false);
        self.known.clear();
    }

    fn take_step(&mut self, done: bool) -> Step<u8> {
        if core::mem::take(&mut self.failed) {
            self.ended = Some(self.now);
        }
        let step = self.session.step(self.now, &mut self.entropy);
        match step {
            Step::Dial => {
                assert!(!self.stream, "two dials at once");
                if let Some(at) = self.ended {
                    let pause = self.session.deadline().unwrap().since(at);
                    let most = self.told + (60 * S).max(self.told / 4);
                    assert!(pause >= S && pause <= most, "{pause:?} is not the policy");
                }
            }
            Step::Greet => assert!(self.stream && !self.greeted),
            Step::Subscribe(key) => {
                assert!(self.up && self.wanted.contains(&key));
                assert!(!self.known.contains(&key), "{key} was asked for twice");
            }
            Step::Ping => assert!(self.up),
            Step::Close(_) => assert!(self.stream, "there is no stream to close"),
            Step::Idle => self.check_idle(),
        }
        if step != Step::Idle {
            // Whoever sleeps until the deadline must not miss it.
            assert!(self.session.deadline().is_some_and(|at| at <= self.now));
        }
        if !done {
            return step;
        }
        self.session.done(self.now);
        match step {
            Step::Dial => (self.stream, self.ended) = (true, None),
            Step::Greet => self.greeted = true,
            Step::Subscribe(key) => {
                self.known.insert(key);
            }
            Step::Close(reason) => self.end(!reason.is_polite()),
            _ => {}
        }
        step
    }

    /// An event tells of a step that was handed out and not reported as done: then it has been done.
    fn caused(&mut self, step: Step<u8>) {
        if self.session.offered == Some(step) {
            match step {
                Step::Dial => (self.stream, self.ended) = (true, None),
                _ => self.greeted = true,
            }
        }
    }

    fn check_idle(&self) {
        if let Some(at) = self.session.deadline() {
            assert!(at > self.now, "it has nothing to do, yet wants to be asked");
        }
        let open = self.session.may_publish();
        if open {
            assert!(self.up);
            assert!(
                self.known.is_superset(&self.wanted),
                "a subscription was not restored"
            );
        }
    }

    fn act(&mut self, act: Act) {
        let now = self.now;
        match act {
            Act::Go { resumed } => match self.take_step(true) {
                Step::Dial => self.act(Act::Opened),
                Step::Greet => self.act(Act::Welcomed { resumed, window: 2 }),
                Step::Subscribe(key) => self.act(Act::Answered { key, granted: true }),
                Step::Ping => self.act(Act::Received),
                _ => {}
            },
            Act::Step { done } => {
                let _ = self.take_step(done);
            }
            Act::Opened => {
                self.caused(Step::Dial);
                self.session.input(now, Event::Opened);
                if self.stream && !self.opened && self.session.state() == State::Connecting {
                    self.opened = true;
                    self.unanswered += 1;
                }
            }
            Act::Welcomed { resumed, window } => {
                self.caused(Step::Greet);
                let welcome = Welcome::new(resumed).with_window(window);
                let took = self.session.state() == State::Connecting && self.greeted;
                self.session.input(now, Event::Welcomed(welcome));
                if took {
                    assert_eq!(self.session.state(), State::Up);
                    (self.up, self.window) = (true, window.clamp(1, 3));
                    // Only the session that no other greeting can have made is ours.
                    if !(resumed && self.unanswered == 1) {
                        self.granted.clear();
                    }
                    self.unanswered = 0;
                    self.known = self.granted.clone();
                }
            }
            Act::Lost { wait } => {
                self.caused(Step::Dial);
                let wait = wait.map(|seconds| Duration::from_secs(seconds.into()));
                let failed = match self.session.state() {
                    State::Connecting => true,
                    State::Up => !self.draining || wait.is_some(),
                    _ => false,
                };
                self.told = self.told.max(wait.unwrap_or_default());
                self.session.input(now, Event::Lost { wait });
                self.end(failed);
            }
            Act::Received => self.session.input(now, Event::Received),
            Act::Sent => self.session.input(now, Event::Sent),
            Act::Answered { key, granted } => {
                self.session.input(now, Event::Subscribed { key, granted });
                if self.session.is_subscribed(key) {
                    assert!(self.granted.contains(&key) || (self.known.contains(&key) && granted));
                    self.granted.insert(key);
                }
            }
            Act::Acknowledged => {
                self.session.input(now, Event::Acknowledged);
                if self.up {
                    self.in_flight = self.in_flight.saturating_sub(1);
                }
            }
            Act::Publish => {
                if self.session.publish().is_ok() {
                    self.in_flight += 1;
                }
                assert!(self.in_flight <= self.window, "more than the window");
            }
            Act::Subscribe(key) => {
                if self.session.subscribe(key).is_ok() {
                    self.wanted.insert(key);
                }
                assert!(self.wanted.len() <= 4);
            }
            Act::Reconnect => {
                self.draining |= self.session.state() == State::Up;
                self.session.reconnect(now, 5 * S);
                (self.failed, self.ended) = (false, None);
            }
            Act::Stop => {
                self.session.stop();
                (self.failed, self.ended) = (false, None);
            }
            Act::Start => {
                self.session.start(now);
            }
            Act::Pass { ms } => self.now = now + Duration::from_millis(ms.into()),
            Act::Sleep => {
                if let Some(at) = self.session.deadline() {
                    self.now = self.now.max(at);
                }
            }
        }
        if !self.up {
            assert_eq!(self.session.publish(), Err(PublishError::Closed));
        }
    }
}

proptest! {
    #[test]
    fn the_laws_hold_in_any_order_of_events(
        seed in any::<u64>(), acts in prop::collection::vec(act(), 1..200)
    ) {
        let mut binding = Binding::new(seed);
        for act in acts {
            binding.act(act);
        }
    }

    #[test]
    fn whatever_happened_a_network_that_works_brings_the_session_up(
        seed in any::<u64>(), acts in prop::collection::vec(act(), 0..100)
    ) {
        let mut binding = Binding::new(seed);
        for act in acts {
            binding.act(act);
        }
        // Answers that never came will not come any more.
        binding.session.input(binding.now, LOST);
        binding.act(Act::Start);
        let mut steps = Vec::new();
        for _ in 0..60 {
            let step = binding.session.step(binding.now, &mut binding.entropy);
            binding.session.done(binding.now);
            match step {
                Step::Dial => binding.session.input(binding.now, Event::Opened),
                Step::Greet => {
                    let welcome = Event::Welcomed(Welcome::new(false));
                    binding.session.input(binding.now, welcome);
                }
                Step::Ping => binding.session.input(binding.now, Event::Received),
                Step::Subscribe(key) => {
                    let granted = true;
                    binding.session.input(binding.now, Event::Subscribed { key, granted });
                }
                Step::Idle => {
                    let at = binding.session.deadline().unwrap();
                    binding.now = binding.now.max(at);
                }
                Step::Close(_) => {}
            }
            steps.push(step);
        }
        prop_assert_eq!(binding.session.state(), State::Up, "{:?}", steps);
        for key in &binding.wanted {
            prop_assert!(binding.session.is_subscribed(*key));
        }
    }
}
