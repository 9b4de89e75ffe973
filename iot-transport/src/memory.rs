//! A link inside one program: two ends, fixed capacity, no allocator.
//!
//! For firmware whose radio stack runs beside it, for tests and for examples. It keeps the whole contract of
//! a [`Transport`]: a message is [`Delivered`](Fate::Delivered) when the other end came back for the next
//! one, a message handed over on a link that broke is handed over again, and a full queue says
//! [`Busy`](MemoryError::Busy). It has no clock, so nothing on it expires.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message, Priority, Qos, Ticket};

/// Why a call to an [`End`] failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryError {
    /// Every place of the queue is taken by a message or by a fate that was not read.
    #[error("all {messages} places are taken: read events until a message is settled")]
    Busy {
        /// How many places there are.
        messages: usize,
    },
    /// The payload does not fit a place.
    #[error("the payload has {bytes} bytes: a place holds {limit}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The caller's buffer is too small for the message that arrived.
    #[error(
        "the message needs a buffer of {needed} bytes, {given} were given: call again with more"
    )]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
        /// How many were given.
        given: usize,
    },
}

impl TransportError for MemoryError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Busy { .. } => TransportErrorKind::Busy,
            Self::TooLarge { .. } => TransportErrorKind::TooLarge,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Free,
    Waiting,
    /// Handed over and not acknowledged.
    Handed,
    /// Acknowledged; the sender has not read that yet.
    Settled,
}

#[derive(Clone, Copy, Debug)]
struct Place<const BYTES: usize> {
    phase: Phase,
    ticket: u64,
    channel: Channel,
    priority: Priority,
    qos: Qos,
    len: usize,
    payload: [u8; BYTES],
}

/// One end's own things: what it sends, and how far it has noticed the link's changes.
#[derive(Debug)]
struct Lane<const MESSAGES: usize, const BYTES: usize> {
    places: [Place<BYTES>; MESSAGES],
    last_ticket: u64,
    subscribed: [bool; Channel::ALL.len()],
    noticed: Option<u32>,
    ever_connected: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct State<const MESSAGES: usize, const BYTES: usize> {
    lanes: [Lane<MESSAGES, BYTES>; 2],
    up: bool,
    /// Counts the link's lives, so that an acknowledgement never reaches a later one.
    life: u32,
}

/// A link with room for `MESSAGES` messages of `BYTES` bytes in each direction.
///
/// ```
/// use iot_core::{Event, Fate, Message, port::Transport};
/// use iot_transport::memory::Link;
///
/// let mut link = Link::<4, 64>::new();
/// let (mut device, mut service) = link.split();
/// # futures::executor::block_on(async {
/// service.subscribe(iot_core::Channel::Telemetry).await?;
/// let ticket = device.submit(&Message::telemetry(b"21.5")).await?;
///
/// let mut buffer = [0; 64];
/// assert!(matches!(service.next(&mut buffer).await?, Event::Connected { .. }));
/// let Event::Message(message) = service.next(&mut buffer).await? else { panic!("expected the message") };
/// assert_eq!(message.payload, b"21.5");
/// # Ok::<(), iot_transport::memory::MemoryError>(())
/// # })?;
/// # Ok::<(), iot_transport::memory::MemoryError>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Link<const MESSAGES: usize, const BYTES: usize> {
    state: RefCell<State<MESSAGES, BYTES>>,
}

impl<const MESSAGES: usize, const BYTES: usize> Default for Link<MESSAGES, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const MESSAGES: usize, const BYTES: usize> Link<MESSAGES, BYTES> {
    /// An empty link that is up.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(MESSAGES > 0, "a link needs room for a message") };
        Self {
            state: RefCell::new(State {
                lanes: [const { Lane::new() }; 2],
                up: true,
                life: 1,
            }),
        }
    }

    /// Gives out both ends: a device's and its service's, though neither is special.
    ///
    /// Splitting a link again after its ends are gone is like a reboot of both: what was handed over and not
    /// acknowledged is handed over again, subscriptions have to be made again.
    pub fn split(&mut self) -> (End<'_, MESSAGES, BYTES>, End<'_, MESSAGES, BYTES>) {
        let state = self.state.get_mut();
        state.restart();
        for lane in &mut state.lanes {
            (lane.noticed, lane.ever_connected, lane.waker) = (None, false, None);
            lane.subscribed = [false; Channel::ALL.len()];
        }
        let end = |upper| End {
            state: &self.state,
            upper,
            handed: None,
        };
        (end(false), end(true))
    }
}

impl<const MESSAGES: usize, const BYTES: usize> Lane<MESSAGES, BYTES> {
    const fn new() -> Self {
        Self {
            places: [Place {
                phase: Phase::Free,
                ticket: 0,
                channel: Channel::Twin,
                priority: Priority::Normal,
                qos: Qos::AtLeastOnce,
                len: 0,
                payload: [0; BYTES],
            }; MESSAGES],
            last_ticket: 0,
            subscribed: [false; Channel::ALL.len()],
            noticed: None,
            ever_connected: false,
            waker: None,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn place(&mut self, ticket: u64) -> Option<&mut Place<BYTES>> {
        self.places
            .iter_mut()
            .find(|place| place.phase != Phase::Free && place.ticket == ticket)
    }

    fn is_subscribed(&self, channel: Channel) -> bool {
        Channel::ALL
            .iter()
            .zip(self.subscribed)
            .any(|(known, subscribed)| *known == channel && subscribed)
    }
}

impl<const MESSAGES: usize, const BYTES: usize> State<MESSAGES, BYTES> {
    /// This end's lane and the other's.
    fn lanes(&mut self, upper: bool) -> (&mut Lane<MESSAGES, BYTES>, &mut Lane<MESSAGES, BYTES>) {
        let [lower_lane, upper_lane] = &mut self.lanes;
        if upper {
            (upper_lane, lower_lane)
        } else {
            (lower_lane, upper_lane)
        }
    }

    /// Begins a new life of the link: what was not acknowledged goes again.
    fn restart(&mut self) {
        self.life = self.life.wrapping_add(1);
        for lane in &mut self.lanes {
            for place in &mut lane.places {
                if place.phase == Phase::Handed {
                    place.phase = Phase::Waiting;
                }
            }
            lane.wake();
        }
    }
}

/// What `next` found; the message itself is copied afterwards.
enum Found {
    Settled { ticket: Ticket },
    Connected { resumed: bool },
    Disconnected,
    Message { ticket: u64 },
}

/// One end of a [`Link`].
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct End<'l, const MESSAGES: usize, const BYTES: usize> {
    state: &'l RefCell<State<MESSAGES, BYTES>>,
    upper: bool,
    /// The message returned last, and in which life of the link.
    handed: Option<(u32, u64)>,
}

impl<const MESSAGES: usize, const BYTES: usize> End<'_, MESSAGES, BYTES> {
    /// Takes the link down or up; both ends notice with their next event.
    ///
    /// While it is down messages are queued. Taking a link up that is up breaks it for a moment.
    pub fn set_connected(&mut self, connected: bool) {
        let mut state = self.state.borrow_mut();
        state.up = connected;
        state.restart();
    }

    /// How many messages of this end wait for their fate or for it to be read.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let (own, _) = state.lanes(self.upper);
        let used = |place: &&Place<BYTES>| place.phase != Phase::Free;
        own.places.iter().filter(used).count()
    }

    fn acknowledge(&mut self) {
        let Some((life, ticket)) = self.handed.take() else {
            return;
        };
        let mut state = self.state.borrow_mut();
        if state.life != life {
            return;
        }
        let (_, other) = state.lanes(self.upper);
        if let Some(place) = other.place(ticket) {
            place.phase = Phase::Settled;
            other.wake();
        }
    }

    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        let mut state = self.state.borrow_mut();
        let (up, life) = (state.up, state.life);
        let (own, other) = state.lanes(self.upper);
        match own.noticed {
            Some(noticed) if !up || noticed != life => {
                own.noticed = None;
                return Poll::Ready(Found::Disconnected);
            }
            None if up => {
                own.noticed = Some(life);
                let resumed = core::mem::replace(&mut own.ever_connected, true);
                return Poll::Ready(Found::Connected { resumed });
            }
            _ => {}
        }
        let settled = own
            .places
            .iter_mut()
            .filter(|place| place.phase == Phase::Settled)
            .min_by_key(|place| place.ticket);
        if let Some(place) = settled {
            place.phase = Phase::Free;
            let ticket = Ticket::new(place.ticket);
            return Poll::Ready(Found::Settled { ticket });
        }
        let waiting = other
            .places
            .iter()
            .filter(|place| place.phase == Phase::Waiting && own.is_subscribed(place.channel))
            .max_by_key(|place| (place.priority, core::cmp::Reverse(place.ticket)));
        if let Some(place) = waiting.filter(|_| up) {
            let ticket = place.ticket;
            return Poll::Ready(Found::Message { ticket });
        }
        own.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Copies the message out; only then is it handed over.
    fn hand_over<'b>(
        &mut self,
        ticket: u64,
        buffer: &'b mut [u8],
    ) -> Result<Event<'b>, MemoryError> {
        let mut state = self.state.borrow_mut();
        let life = state.life;
        let (_, other) = state.lanes(self.upper);
        let given = buffer.len();
        let Some(place) = other.place(ticket) else {
            return Ok(Event::Disconnected);
        };
        let needed = place.len;
        let (Some(to), Some(from)) = (buffer.get_mut(..needed), place.payload.get(..needed)) else {
            return Err(MemoryError::Buffer { needed, given });
        };
        to.copy_from_slice(from);
        let message = Message::new(place.channel, to)
            .with_priority(place.priority)
            .with_qos(place.qos);
        if place.qos == Qos::AtMostOnce {
            // Never again, whatever happens to the link: that is what at most once means.
            place.phase = Phase::Settled;
            other.wake();
        } else {
            place.phase = Phase::Handed;
            self.handed = Some((life, ticket));
        }
        Ok(Event::Message(message))
    }
}

impl<const MESSAGES: usize, const BYTES: usize> Transport for End<'_, MESSAGES, BYTES> {
    type Error = MemoryError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, MemoryError> {
        let mut state = self.state.borrow_mut();
        let (own, other) = state.lanes(self.upper);
        let bytes = message.payload.len();
        if bytes > BYTES {
            return Err(MemoryError::TooLarge {
                bytes,
                limit: BYTES,
            });
        }
        let free = own
            .places
            .iter_mut()
            .find(|place| place.phase == Phase::Free)
            .ok_or(MemoryError::Busy { messages: MESSAGES })?;
        own.last_ticket += 1;
        if let Some(to) = free.payload.get_mut(..bytes) {
            to.copy_from_slice(message.payload);
        }
        free.phase = Phase::Waiting;
        free.ticket = own.last_ticket;
        free.channel = message.channel;
        free.priority = message.priority;
        free.qos = message.qos;
        free.len = bytes;
        other.wake();
        Ok(Ticket::new(own.last_ticket))
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, MemoryError> {
        self.acknowledge();
        match poll_fn(|cx| self.poll_found(cx)).await {
            Found::Settled { ticket } => Ok(Event::Settled {
                ticket,
                fate: Fate::Delivered,
            }),
            Found::Connected { resumed } => Ok(Event::Connected { resumed }),
            Found::Disconnected => Ok(Event::Disconnected),
            Found::Message { ticket } => self.hand_over(ticket, buffer),
        }
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), MemoryError> {
        let mut state = self.state.borrow_mut();
        let (own, _) = state.lanes(self.upper);
        for (known, subscribed) in Channel::ALL.iter().zip(&mut own.subscribed) {
            *subscribed |= *known == channel;
        }
        own.wake();
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::new(BYTES, MESSAGES)
    }
}

#[cfg(test)]
mod tests;
