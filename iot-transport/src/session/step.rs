//! What goes into a session and what comes out of it.

use core::time::Duration;

use iot_core::Instant;

/// What happened, told by the binding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event<K> {
    /// The stream that was dialled stands.
    Opened,
    /// The other end took us in.
    Welcomed(Welcome),
    /// The attempt failed, or the link is gone; the binding has dropped its stream.
    Lost {
        /// How long the other end asks us to stay away, if it said so.
        wait: Option<Duration>,
    },
    /// Bytes came in.
    Received,
    /// Bytes went out.
    Sent,
    /// The other end answered a subscription.
    Subscribed {
        /// Which.
        key: K,
        /// Whether it was granted; if not, it is asked for again with the next link.
        granted: bool,
    },
    /// A message that took a place in the window was acknowledged, whatever the answer.
    Acknowledged,
}

/// What the other end says when it takes us in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcome {
    pub(super) resumed: bool,
    pub(super) window: u16,
    pub(super) keep_alive: Option<Duration>,
}

impl Welcome {
    /// Whether the other end still has our session, and with it our subscriptions.
    #[must_use]
    pub const fn new(resumed: bool) -> Self {
        Self {
            resumed,
            window: u16::MAX,
            keep_alive: None,
        }
    }

    /// Takes no more than `messages` at a time (MQTT's receive maximum); 0 counts as 1.
    #[must_use]
    pub const fn with_window(mut self, messages: u16) -> Self {
        self.window = if messages == 0 { 1 } else { messages };
        self
    }

    /// Wants another keep-alive than ours; zero means none at all.
    #[must_use]
    pub const fn with_keep_alive(mut self, span: Duration) -> Self {
        self.keep_alive = Some(span);
        self
    }
}

/// What to do next; report it with [`done`](super::Session::done).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub enum Step<K> {
    /// Nothing until the next event, or until [`deadline`](super::Session::deadline).
    Idle,
    /// Begin to open a stream.
    Dial,
    /// Ask the other end to take us in, over the stream that stands.
    Greet,
    /// Ask for what `K` stands for.
    Subscribe(K),
    /// Ask for a sign of life.
    Ping,
    /// Give the stream up.
    Close(Reason),
}

/// Why a stream is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The attempt took too long.
    #[error("the other end did not answer in time")]
    TimedOut,
    /// Nothing came, not even an answer to a ping.
    #[error("the other end fell silent")]
    Silent,
    /// The application wants another session at once: say goodbye first.
    #[error("a new session was asked for")]
    Asked,
    /// The application wants no session: say goodbye first.
    #[error("the session was stopped")]
    Stopped,
}

impl Reason {
    /// Whether the other end still listens, so that a goodbye is worth sending.
    #[must_use]
    pub const fn is_polite(self) -> bool {
        matches!(self, Self::Asked | Self::Stopped)
    }
}

/// When a session wants to be asked again, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Wake {
    /// When.
    pub at: Instant,
    /// Why.
    pub cause: Cause,
}

/// Why a session wants to be asked again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Cause {
    /// There is a step to take right now.
    Work,
    /// The pause before the next attempt ends.
    BackOff,
    /// The attempt has taken too long.
    Attempt,
    /// The link was silent for as long as the keep-alive.
    KeepAlive,
    /// The answer to a ping is missing.
    PingAnswer,
    /// What is on the wire was given its time to be acknowledged.
    Drain,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// No link, and none is wanted.
    Stopped,
    /// No link, and the next attempt is planned.
    Waiting,
    /// A stream is being opened, or the other end has not answered yet.
    Connecting,
    /// The other end took us in.
    Up,
    /// The link is being given up.
    Closing,
    /// No link: as many attempts in a row failed as the policy allows.
    GaveUp,
}
