//! A session without I/O: when to dial, greet, subscribe, ping, send, give up, and sleep.
//!
//! A [`Session`] knows nothing of MQTT's bytes, reads no clock and needs no allocator. A binding tells it the
//! time and what happened, takes one [`Step`] after the other and reports each as done. When there is no step
//! it may sleep until [`deadline`](Session::deadline): nothing is due before.
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! use core::time::Duration;
//! use iot_core::{Channel, Instant, retry::Policy, sim::SimEntropy};
//! use iot_transport::session::{Cause, Event, Session, Step, Terms, Welcome};
//!
//! let terms = Terms::new(Policy::default()).with_keep_alive(Duration::from_secs(600));
//! let mut session = Session::<Channel, 4>::new(terms); // room for 4 subscriptions
//! let (mut now, mut entropy) = (Instant::ZERO, SimEntropy::new(1));
//! session.subscribe(Channel::Command)?;
//! session.start(now);
//!
//! assert_eq!(session.step(now, &mut entropy), Step::Dial);
//! session.done(now); // the stream is being opened
//! session.input(now, Event::Opened);
//! assert_eq!(session.step(now, &mut entropy), Step::Greet);
//! session.done(now); // CONNECT is written
//! session.input(now, Event::Welcomed(Welcome::new(false)));
//! assert_eq!(session.step(now, &mut entropy), Step::Subscribe(Channel::Command));
//! session.done(now); // SUBSCRIBE is written
//! assert_eq!(session.step(now, &mut entropy), Step::Idle);
//! assert!(session.may_publish());
//!
//! let wake = session.wake().expect("a link that stands is kept alive");
//! assert_eq!((wake.at, wake.cause), (now + Duration::from_secs(600), Cause::KeepAlive));
//! now = wake.at; // the chip sleeps
//! assert_eq!(session.step(now, &mut entropy), Step::Ping);
//! # }
//! # Ok::<(), iot_transport::session::SubscribeError>(())
//! ```
//!
//! **What a binding does.** It owns the stream, and at most one. It calls [`step`](Session::step) until that is
//! [`Step::Idle`], tells every [`Event`] as it happens, and takes a place in the window with
//! [`publish`](Session::publish) before it sends a message that will be acknowledged. Whether a message of an
//! earlier link has to go again is the outbox's business: it keeps every message until its fate is known.

mod life;
mod step;
mod table;
mod terms;
mod window;

use core::time::Duration;

use iot_core::Instant;
use iot_core::entropy::Entropy;
use iot_core::retry::{Retry, RetryError};

use self::life::Life;
use self::table::Table;
use self::window::Window;

pub use self::step::{Cause, Event, Reason, State, Step, Wake, Welcome};
pub use self::table::SubscribeError;
pub use self::terms::Terms;
#[cfg(feature = "coap")]
pub(crate) use self::terms::bounded_ms;
pub use self::window::PublishError;

/// How long it waits when there is no randomness: a fleet in step is bad, a loop without a pause is worse.
const WITHOUT_ENTROPY: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Stopped,
    /// The pause before the next attempt.
    Waiting {
        until: Instant,
    },
    Dialling {
        until: Instant,
    },
    /// The stream stands, the greeting is not out.
    Opened {
        until: Instant,
    },
    Greeting {
        until: Instant,
    },
    Up {
        since: Instant,
        life: Life,
    },
    /// As up, but nothing new is sent.
    Draining {
        until: Instant,
        life: Life,
    },
    Closing(Reason),
    /// The link is gone and the pause is not chosen yet.
    Failed,
    GaveUp,
}

/// A session with `SUBSCRIPTIONS` places for what `K` stands for: a channel, a filter's number, a `&'static str`.
///
/// See the [module](self) for how it is driven.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session<K, const SUBSCRIPTIONS: usize> {
    retry: Retry,
    keep_alive_ms: u32,
    attempt_ms: u32,
    most_in_flight: u16,
    phase: Phase,
    /// The step that was handed out and is not done; it counts only where it is still of use.
    offered: Option<Step<K>>,
    subscriptions: Table<K, SUBSCRIPTIONS>,
    window: Window,
    /// A greeting may be out that was not answered.
    greeted: bool,
    /// One before it was not answered either: the session that the other end remembers may be the one that this one
    /// made, and know nothing of ours.
    doubted: bool,
    /// The other end remembers our session, and that is to be believed.
    resumed: bool,
}

impl<K: Copy + Eq, const SUBSCRIPTIONS: usize> Session<K, SUBSCRIPTIONS> {
    /// A session that is stopped.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self {
            retry: Retry::new(terms.retry),
            keep_alive_ms: terms.keep_alive_ms,
            attempt_ms: terms.attempt_ms,
            most_in_flight: terms.window,
            phase: Phase::Stopped,
            offered: None,
            subscriptions: Table::new(),
            window: Window::new(terms.window),
            greeted: false,
            doubted: false,
            resumed: false,
        }
    }

    /// Wants a link from now on; also after it gave up. Without effect when it wants one already.
    ///
    /// Earlier failures are forgotten, and so is a delay that the other end asked for before [`stop`](Self::stop).
    pub const fn start(&mut self, now: Instant) {
        match self.phase {
            Phase::Stopped | Phase::GaveUp => {
                self.retry.succeeded();
                self.phase = Phase::Waiting { until: now };
            }
            // The old link still has its goodbye to say.
            Phase::Closing(Reason::Stopped) => self.leave(Reason::Asked, Phase::Stopped),
            _ => {}
        }
    }

    /// Wants no link any more; one that stands is closed politely.
    pub const fn stop(&mut self) {
        self.leave(Reason::Stopped, Phase::Stopped);
    }

    /// Wants another link at once, without a pause: the credentials or the address have changed.
    ///
    /// On a link that stands nothing new is sent until what is on the wire is acknowledged, for at most
    /// `patience`; then it is closed politely. What is not acknowledged by then has to go again. Should the other
    /// end ask for a delay meanwhile, that comes before the next attempt; a pause that has begun already is cut short.
    pub fn reconnect(&mut self, now: Instant, patience: Duration) {
        self.judge_link(now);
        match self.phase {
            Phase::Up { life, .. } => {
                let until = now + patience;
                self.phase = Phase::Draining { until, life };
            }
            Phase::Draining { .. } => {}
            Phase::GaveUp => self.start(now),
            _ => self.leave(Reason::Asked, Phase::Waiting { until: now }),
        }
    }

    /// Asks for what `key` stands for, now or with the next link, and again whenever the other end forgot it.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] when all places are taken.
    pub fn subscribe(&mut self, key: K) -> Result<(), SubscribeError> {
        self.subscriptions.add(key)
    }

    /// Takes a place in the window for a message that will be acknowledged.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: it must not be sent now; nothing was changed.
    pub fn publish(&mut self) -> Result<(), PublishError> {
        match self.phase {
            Phase::Up { .. } if self.subscriptions.wanted().is_none() => self.window.take(),
            _ => Err(PublishError::Closed),
        }
    }

    /// Takes in what happened. What does not fit where the session stands is ignored.
    ///
    /// What only a step can have caused stands for its [`done`](Self::done): a binding that dials and waits may
    /// tell the outcome alone.
    pub fn input(&mut self, now: Instant, event: Event<K>) {
        match (self.offered, event) {
            (Some(Step::Dial), Event::Opened | Event::Lost { .. })
            | (Some(Step::Greet), Event::Welcomed(_)) => self.done(now),
            _ => {}
        }
        match (&mut self.phase, event) {
            (Phase::Dialling { until }, Event::Opened) => {
                self.phase = Phase::Opened { until: *until };
                // From here on a greeting may get through, whatever this side learns of it.
                self.doubted |= self.greeted;
                self.greeted = true;
            }
            (Phase::Greeting { .. }, Event::Welcomed(welcome)) => self.welcome(now, welcome),
            (
                Phase::Up { life, .. } | Phase::Draining { life, .. },
                event @ (Event::Received | Event::Sent),
            ) => match event {
                Event::Received => life.received(now),
                _ => life.sent(now),
            },
            (Phase::Up { .. } | Phase::Draining { .. }, Event::Subscribed { key, granted }) => {
                self.subscriptions.answered(key, granted);
            }
            (Phase::Up { .. } | Phase::Draining { .. }, Event::Acknowledged) => {
                self.window.give_back();
            }
            (_, Event::Lost { wait }) => self.lost(now, wait),
            _ => {}
        }
    }

    /// What to do next. The same until it is [`done`](Self::done) or something happens.
    ///
    /// `entropy` is drawn from once for each pause.
    pub fn step(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Step<K> {
        if self.phase == Phase::Failed {
            self.phase = self.pause(now, entropy);
        }
        self.give_up_in_time(now);
        let step = self.choose(now);
        self.offered = (step != Step::Idle).then_some(step);
        step
    }

    /// The step that was handed out last has been carried out; without effect when something made it stale.
    pub fn done(&mut self, now: Instant) {
        let until = now + self.attempt();
        match (&mut self.phase, self.offered.take()) {
            (Phase::Waiting { .. }, Some(Step::Dial)) => self.phase = Phase::Dialling { until },
            (Phase::Opened { until }, Some(Step::Greet)) => {
                self.phase = Phase::Greeting { until: *until };
            }
            // The binding was already dialling when it was told to stop.
            (Phase::Stopped, Some(Step::Dial)) => self.phase = Phase::Closing(Reason::Stopped),
            (Phase::Up { .. }, Some(Step::Subscribe(key))) => self.subscriptions.asked(key),
            (Phase::Up { life, .. } | Phase::Draining { life, .. }, Some(Step::Ping)) => {
                life.pinged(now);
            }
            (Phase::Closing(_), Some(Step::Close(_))) => self.lost(now, None),
            _ => {}
        }
    }

    /// When to ask for a step although nothing happened; never in the past once [`step`](Self::step) is idle.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.wake().map(|wake| wake.at)
    }

    /// The deadline and its cause.
    #[must_use]
    pub fn wake(&self) -> Option<Wake> {
        let due = |at, cause| Some(Wake { at, cause });
        match self.phase {
            Phase::Stopped | Phase::GaveUp => None,
            Phase::Waiting { until } => due(until, Cause::BackOff),
            Phase::Dialling { until } | Phase::Greeting { until } => due(until, Cause::Attempt),
            Phase::Opened { .. } | Phase::Closing(_) | Phase::Failed => {
                due(Instant::ZERO, Cause::Work)
            }
            Phase::Up { .. } if self.subscriptions.wanted().is_some() => {
                due(Instant::ZERO, Cause::Work)
            }
            Phase::Up { life, .. } => life.wake(),
            Phase::Draining { .. } if self.window.in_flight() == 0 => {
                due(Instant::ZERO, Cause::Work)
            }
            Phase::Draining { until, life } => match life.wake() {
                Some(wake) if wake.at < until => Some(wake),
                _ => due(until, Cause::Drain),
            },
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Waiting { .. } | Phase::Failed => State::Waiting,
            Phase::Dialling { .. } | Phase::Opened { .. } | Phase::Greeting { .. } => {
                State::Connecting
            }
            Phase::Up { .. } | Phase::Draining { .. } => State::Up,
            Phase::Closing(_) => State::Closing,
            Phase::GaveUp => State::GaveUp,
        }
    }

    /// Whether a message may be sent now; subscriptions go first, so that no answer to it can be missed.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
            && self.window.has_room()
            && self.subscriptions.wanted().is_none()
    }

    /// How many messages are on the wire unacknowledged.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.window.in_flight()
    }

    /// How many messages may be on the wire unacknowledged, as both ends allow.
    #[must_use]
    pub const fn window(&self) -> u16 {
        self.window.most()
    }

    /// Whether the other end has granted the subscription, as far as this side knows.
    #[must_use]
    pub fn is_subscribed(&self, key: K) -> bool {
        self.subscriptions.is_granted(key)
    }

    /// Whether the other end has kept this session, with its subscriptions and what it had not acknowledged.
    ///
    /// What it says of itself is not believed when an earlier greeting was never answered: that one may have made
    /// the session that it remembers.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// How many attempts failed in a row.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.retry.attempts()
    }

    fn welcome(&mut self, now: Instant, welcome: Welcome) {
        self.phase = Phase::Up {
            since: now,
            life: Life::new(now, self.keep_alive_ms, welcome.keep_alive),
        };
        self.window = Window::new(self.most_in_flight.min(welcome.window));
        self.resumed = welcome.resumed && !self.doubted;
        (self.greeted, self.doubted) = (false, false);
        self.subscriptions.welcomed(self.resumed);
    }

    /// The link is gone, whoever ended it.
    fn lost(&mut self, now: Instant, wait: Option<Duration>) {
        self.judge_link(now);
        self.phase = match self.phase {
            Phase::Closing(Reason::Stopped) => Phase::Stopped,
            // Whom the other end told to stay away stays away, whatever this side wanted.
            Phase::Closing(Reason::Asked) | Phase::Draining { .. } if wait.is_none() => {
                Phase::Waiting { until: now }
            }
            // No link, so none was lost.
            Phase::Stopped | Phase::Waiting { .. } | Phase::Failed | Phase::GaveUp => return,
            _ => Phase::Failed,
        };
        // What was handed out for this link is not owed to the next.
        self.offered = None;
        if let Some(wait) = wait {
            self.retry.wait_at_least(wait);
        }
        self.window = Window::new(self.most_in_flight);
    }

    /// Closes the stream if there is one; goes on with `otherwise` if there is none.
    const fn leave(&mut self, reason: Reason, otherwise: Phase) {
        self.phase = match self.phase {
            Phase::Stopped | Phase::Waiting { .. } | Phase::Failed | Phase::GaveUp => otherwise,
            _ => Phase::Closing(reason),
        };
    }

    fn pause(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Phase {
        match self.retry.next_delay(entropy) {
            Ok(delay) => Phase::Waiting { until: now + delay },
            Err(RetryError::Exhausted { .. }) => Phase::GaveUp,
            Err(_) => Phase::Waiting {
                until: now + WITHOUT_ENTROPY,
            },
        }
    }

    fn give_up_in_time(&mut self, now: Instant) {
        let reason = match self.phase {
            Phase::Dialling { until } | Phase::Opened { until } | Phase::Greeting { until }
                if until <= now =>
            {
                Reason::TimedOut
            }
            Phase::Up { life, .. } | Phase::Draining { life, .. } if life.is_over(now) => {
                Reason::Silent
            }
            Phase::Draining { until, .. } if until <= now || self.window.in_flight() == 0 => {
                Reason::Asked
            }
            _ => return,
        };
        self.judge_link(now);
        self.phase = Phase::Closing(reason);
    }

    /// Forgets earlier failures if the link that is about to end was a success.
    fn judge_link(&mut self, now: Instant) {
        // Only one that stood for a while is: who is thrown out again at once, by a broker in trouble or by a
        // twin of the same name, must not come back without growing pauses.
        if let Phase::Up { since, .. } = self.phase
            && now.since(since) >= self.attempt()
        {
            self.retry.succeeded();
        }
    }

    const fn attempt(&self) -> Duration {
        Duration::from_millis(self.attempt_ms as u64)
    }

    fn choose(&self, now: Instant) -> Step<K> {
        match self.phase {
            Phase::Waiting { until } if until <= now => Step::Dial,
            Phase::Opened { .. } => Step::Greet,
            Phase::Closing(reason) => Step::Close(reason),
            Phase::Up { life, .. } | Phase::Draining { life, .. } => {
                match self.subscriptions.wanted() {
                    Some(key) if matches!(self.phase, Phase::Up { .. }) => Step::Subscribe(key),
                    _ if life.is_ping_due(now) => Step::Ping,
                    _ => Step::Idle,
                }
            }
            _ => Step::Idle,
        }
    }
}

#[cfg(test)]
mod tests;
