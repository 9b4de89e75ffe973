//! The client: what it holds, and how the core's [`Transport`] reaches it.

mod flow;
mod input;
mod link;
mod pass;

pub use pass::PassedOver;

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use iot_core::entropy::Entropy;
use iot_core::port::{Limits, Timer, Transport};
use iot_core::{Channel, Event, Fate, Instant, Message, Peer, Qos, Ticket};

use super::encode::Head;
use super::error::ClientError;
use super::settings::Settings;
use super::shelf::{FIRST_SUBSCRIPTION, Shelf};
use super::stream::Stream;
use crate::mqtt::Reason;
use crate::session::{Cause, Session};
use pass::Passing;

/// How many subscriptions there can be.
const CHANNELS: usize = Channel::ALL.len();

/// What stands between this end and the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Down,
    Dialling,
    Greeting,
    Up,
}

/// Where the message is that came last; there is never more than one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hand {
    Empty,
    /// Its payload is at the front of the input, until the caller brings a buffer that is long enough.
    Arrived {
        channel: Channel,
        id: u16,
        len: usize,
    },
    /// With the caller, who has not come back yet.
    Returned {
        id: u16,
    },
    /// The caller came back: it is to be acknowledged.
    Owed {
        id: u16,
    },
}

/// What `next` returns.
#[derive(Clone, Copy, Debug)]
enum Happened {
    Connected { resumed: bool },
    Disconnected,
    Settled { ticket: Ticket, fate: Fate },
    Message,
}

/// An MQTT client for one device, over the byte stream `S`, with the timer `C` and the randomness `E`.
///
/// Up to `MESSAGES` messages with `BYTES` bytes of payload together wait for their fate. Packets of up to `PACKET`
/// bytes are received, at least 128; with MQTT 5 the broker is told so and withholds longer ones, with 3.1.1 they are
/// [passed over](Self::passed_over). All of it lies in the client, and one packet on its way out with it: about 500
/// bytes more.
///
/// A message that is longer than the caller's buffer waits for a larger one, and everything else goes on meanwhile:
/// the session, fates, pings. What comes behind it then comes again later, on another link, unless it was sent at most
/// once.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use core::task::{Context, Poll};
/// use iot_core::node::{block_on, PollTimer};
/// use iot_core::port::{Timer, Transport};
/// use iot_core::{Channel, DeviceId, Event, Message, TenantId, sim::{SimClock, SimEntropy}};
/// use iot_transport::mqtt::chip::{Broken, Client, Settings, Stream};
/// # /// A broker that takes everybody in, and acknowledges the first message.
/// # #[derive(Default)]
/// # struct Uart(usize, usize);
/// # impl Stream for Uart {
/// #     fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> { Poll::Ready(Ok(())) }
/// #     fn poll_read(&mut self, _: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
/// #         let answers = [0x20, 3, 0, 0, 0, 0x40, 2, 0, 1];
/// #         let there = if self.1 > 60 { 9 } else if self.1 > 0 { 5 } else { 0 };
/// #         let some = &answers[self.0..there];
/// #         if some.is_empty() { return Poll::Pending }
/// #         room[..some.len()].copy_from_slice(some);
/// #         self.0 += some.len();
/// #         Poll::Ready(Ok(some.len()))
/// #     }
/// #     fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
/// #         self.1 += bytes.len();
/// #         Poll::Ready(Ok(bytes.len()))
/// #     }
/// #     fn close(&mut self) {}
/// # }
///
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let (clock, entropy) = (SimClock::new(), SimEntropy::new(1));
/// # let uart = Uart::default();
/// // Room for 8 messages with 1,024 bytes, and for packets of 512 bytes that come in.
/// let mut client = Client::<_, _, _, 8, 1_024, 512>::new(uart, clock, entropy, settings);
/// block_on(async {
///     let ticket = client.submit(&Message::telemetry(b"21.5")).await?;
///     let mut buffer = [0; 512];
///     loop {
///         if let Event::Settled { ticket: settled, fate } = client.next(&mut buffer).await? {
///             assert_eq!(settled, ticket); // and `fate` says how it ended
///             break Ok::<(), iot_transport::mqtt::chip::ClientError>(());
///         }
///     }
/// })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client<'s, S, C, E, const MESSAGES: usize, const BYTES: usize, const PACKET: usize> {
    stream: S,
    timer: C,
    entropy: E,
    settings: Settings<'s>,
    session: Session<Channel, CHANNELS>,
    link: Link,
    shelf: Shelf<MESSAGES, BYTES>,
    head: Head,
    /// How much of the payload behind the head is written.
    written: usize,
    owes_ping: bool,
    input: [u8; PACKET],
    filled: usize,
    hand: Hand,
    passing: Option<Passing>,
    /// Messages were passed over that another link brings again.
    again: bool,
    passed_over: Option<PassedOver>,
    /// An attempt was not answered since a session stood last: the next one's session may be without subscriptions.
    doubtful: bool,
    resumed: bool,
    /// The longest packet that the broker takes.
    packet_limit: usize,
    refusal: Option<Reason>,
}

impl<'s, S, C, E, const MESSAGES: usize, const BYTES: usize, const PACKET: usize>
    Client<'s, S, C, E, MESSAGES, BYTES, PACKET>
where
    S: Stream,
    C: Timer,
    E: Entropy,
{
    /// A client that opens `stream` as soon as [`next`](Transport::next) is polled.
    ///
    /// `entropy` spreads the attempts to connect, so that a fleet does not return in step.
    #[must_use]
    pub fn new(stream: S, timer: C, entropy: E, settings: Settings<'s>) -> Self {
        const {
            assert!(
                MESSAGES > 0 && MESSAGES < FIRST_SUBSCRIPTION as usize,
                "a client has 1 to 32,767 places"
            );
            assert!(
                PACKET >= 128,
                "a client receives packets of 128 bytes at least"
            );
        }
        let mut session = Session::new(settings.terms);
        session.start(timer.now().instant);
        Self {
            stream,
            timer,
            entropy,
            settings,
            session,
            link: Link::Down,
            shelf: Shelf::new(),
            head: Head::new(),
            written: 0,
            owes_ping: false,
            input: [0; PACKET],
            filled: 0,
            hand: Hand::Empty,
            passing: None,
            again: false,
            passed_over: None,
            doubtful: false,
            resumed: false,
            packet_limit: usize::MAX,
            refusal: None,
        }
    }

    /// Begins a new session at once, over a new stream: credentials or address have changed.
    ///
    /// What is on the wire may be acknowledged for at most `patience` before. Nothing is lost either way: what is not
    /// acknowledged by then is sent again.
    pub fn reconnect(&mut self, patience: Duration) {
        self.session.reconnect(self.timer.now().instant, patience);
    }

    /// Wants no link any more: the next [`next`](Transport::next) says goodbye and closes the stream.
    ///
    /// What has no fate keeps waiting for it, until [`start`](Self::start).
    pub fn stop(&mut self) {
        self.session.stop();
    }

    /// Wants a link again after [`stop`](Self::stop), or after it gave up.
    pub fn start(&mut self) {
        self.session.start(self.timer.now().instant);
    }

    /// Whether a session stands right now, as far as this side knows.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link == Link::Up
    }

    /// How many messages wait for their fate.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.shelf.len()
    }

    /// Why the broker refused last, be it the session, a subscription or a message.
    #[must_use]
    pub const fn last_refusal(&self) -> Option<Reason> {
        self.refusal
    }

    /// The messages that came in packets longer than `PACKET` and are lost, if there were any.
    #[must_use]
    pub const fn passed_over(&self) -> Option<PassedOver> {
        self.passed_over
    }

    /// The stream below.
    pub const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Copies the message at the front of the input to the caller.
    fn hand_over<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, ClientError> {
        let Hand::Arrived { channel, id, len } = self.hand else {
            // It was looked at when it arrived, and the input has not moved since.
            return Ok(Event::Disconnected);
        };
        let (Some(room), Some(payload)) = (buffer.get_mut(..len), self.input.get(..len)) else {
            return Err(ClientError::Buffer { needed: len });
        };
        room.copy_from_slice(payload);
        let qos = if id == 0 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        };
        self.hand = match id {
            0 => Hand::Empty,
            id => Hand::Returned { id },
        };
        self.consume(0, len);
        Ok(Event::Message(Message::new(channel, room).with_qos(qos)))
    }

    /// When to look again although nothing moved.
    fn deadline(&self) -> Option<Instant> {
        // Work that is left over waits for the stream, not for the clock.
        let wake = self.session.wake().filter(|wake| wake.cause != Cause::Work);
        match (wake.map(|wake| wake.at), self.shelf.next_expiry()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl<S, C, E, const MESSAGES: usize, const BYTES: usize, const PACKET: usize> Transport
    for Client<'_, S, C, E, MESSAGES, BYTES, PACKET>
where
    S: Stream,
    C: Timer,
    E: Entropy,
{
    type Error = ClientError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, ClientError> {
        let own = Peer::new(&self.settings.tenant, &self.settings.device);
        if message.peer.is_some_and(|peer| peer != own) {
            return Err(ClientError::Address);
        }
        let (bytes, limit) = (message.payload.len(), BYTES);
        if bytes > limit {
            return Err(ClientError::TooLarge { bytes, limit });
        }
        let now = self.timer.now().instant;
        let expires = message.expires_in.map(|span| now + span);
        let waiting = self.shelf.len();
        self.shelf
            .push(message, expires)
            .ok_or(ClientError::Busy { waiting })
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, ClientError> {
        // The caller came back: what it was given has had its effect.
        if let Hand::Returned { id } = self.hand {
            self.hand = Hand::Owed { id };
        }
        let room = buffer.len();
        let happened = loop {
            let now = self.timer.now().instant;
            let moved = poll_fn(|cx| Poll::Ready(self.poll_event(cx, now, room))).await;
            if let Poll::Ready(happened) = moved {
                break happened;
            }
            // Whatever wakes the task, the time is another one then, and everything is looked at anew.
            let deadline = self.deadline();
            let mut wait = pin!(self.timer.until(deadline));
            let mut woken = false;
            poll_fn(|cx| {
                let due = wait.as_mut().poll(cx).is_ready();
                if due || core::mem::replace(&mut woken, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        };
        match happened {
            Happened::Connected { resumed } => Ok(Event::Connected { resumed }),
            Happened::Disconnected => Ok(Event::Disconnected),
            Happened::Settled { ticket, fate } => Ok(Event::Settled { ticket, fate }),
            Happened::Message => self.hand_over(buffer),
        }
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), ClientError> {
        // There is a place for every channel.
        let _ = self.session.subscribe(channel);
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::new(BYTES, MESSAGES)
    }
}
