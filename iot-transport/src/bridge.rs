//! A gateway: what local devices say goes into an outbox on record and on to a broker outside, and what is said outside
//! to a device comes down to it.
//!
//! [`Bridge`] joins parts that exist: two clients of the local broker, an [`Outbox`] and the [`Node`] that drives it over
//! the transport to the outside. It stores nothing itself.
//!
//! **Upwards** the local broker has its acknowledgement when the message is on record in the outbox, and not before: a
//! bridge that is cut anywhere has lost nothing, and the message in its hand comes again. So at most that one message is
//! stored twice for each cut, and for each time the local link breaks. A full outbox takes no message, and so the local
//! broker keeps them; let the outbox refuse what is new ([`Overflow::Newest`](crate::outbox::Overflow), its default), or
//! each message that is pushed out for another ends as [`Evicted`](iot_core::Fate::Evicted).
//!
//! **Who said it** is said by [`Carried`], the payload of each envelope. An outbox numbers all that goes through it in one
//! stream, so the receiver keeps one [`GapTracker`](crate::gaps::GapTracker) for each gateway, not for each device. A
//! device that numbers its own messages (with an outbox of its own) has its envelope inside; a second tracker, for that
//! device, tells what the gateway stored twice. Of devices that do not, one message may come twice where a gateway was
//! cut. The receiver trusts the gateway's word for who spoke: it should ask whether that gateway may speak for that
//! device.
//!
//! Its priority and how long it lives are those of the message, or of the envelope inside.
//!
//! **Downwards** the payload is a [`Carried`] too, addressed to the gateway. The outside has its acknowledgement when the
//! local broker has the message. While it has not, the bridge asks the outside for nothing more.
//!
//! What it does not do: what the local broker has acknowledged and not handed on ends with that broker, if it keeps
//! its sessions in memory as [`Hub`](crate::mqtt) does. Devices that must not lose anything then confirm from end to end.

mod carried;
mod down;
mod up;

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;

use iot_core::authz::Direction;
use iot_core::node::{Node, NodeError};
use iot_core::port::{Records, Timer, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message};

use self::down::{Down, Way};
use self::up::Up;
use crate::outbox::{Outbox, PushError, Sequence};

pub use carried::{Carried, NotCarried, OVERHEAD_BYTES};

/// What a turn of a [`Bridge`] came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Turn {
    /// Something moved, or was waited for.
    Moved,
    /// A message from below is on record under this number, and its fate will be told by the outbox.
    Stored(Sequence),
    /// A message goes no further and is lost.
    Refused(Refusal),
}

/// A message that the bridge cannot hand on, now or later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Refusal {
    /// Where it was going.
    pub direction: Direction,
    /// On which channel.
    pub channel: Channel,
    /// How long its payload was.
    pub bytes: usize,
    /// How it ended: at the local broker, if it came so far, or because its time ran out while the outbox was full.
    pub fate: Option<Fate>,
}

/// Why a turn failed; another may be tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError<L, S, R, T> {
    /// The client that listens to the local broker failed.
    #[error("the local client that listens failed: {0}")]
    Listen(L),
    /// The client that speaks to local devices failed.
    #[error("the local client that speaks failed: {0}")]
    Speak(S),
    /// The node failed.
    #[error("the node failed: {0}")]
    Node(NodeError<R, T>),
    /// The outbox cannot be used.
    #[error("the outbox takes nothing: {0}")]
    Outbox(PushError),
}

type Failed<L, S, R, T> = BridgeError<
    <L as Transport>::Error,
    <S as Transport>::Error,
    <R as Records>::Error,
    <T as Transport>::Error,
>;

/// Joins a local broker with an [`Outbox`]; see the [module](self) for what it guarantees.
///
/// `listen` and `speak` are two clients of the local broker, each of a whole tenant. `BYTES` is the longest message with
/// its names: give `listen` a payload limit [`OVERHEAD_BYTES`] below it. A link that nobody serves while the outbox is
/// full must not end for that: give `listen` a long keep-alive.
///
/// ```
/// use iot_core::Channel;
/// use iot_core::node::Node;
/// use iot_core::port::{Records, Timer, Transport};
/// use iot_transport::bridge::{Bridge, Turn};
/// use iot_transport::outbox::{Cursor, Outbox};
///
/// async fn gateway(
///     (listen, speak): (impl Transport, impl Transport),
///     node: &mut Node<impl Transport, impl Records, impl Timer>,
///     outbox: &mut Outbox<64, 8_192>,
///     mut cursor: Cursor,
/// ) -> Option<()> {
///     let mut bridge = Bridge::<_, _, 1_024>::new(listen, speak);
///     let mut buffer = [0; 16_384];
///     bridge.restore(node, outbox, &[Channel::Telemetry], &mut buffer).await.ok()?;
///     loop {
///         match bridge.turn(node, outbox, &mut buffer).await.ok()? {
///             Turn::Refused(refusal) => println!("lost: {refusal:?}"),
///             _ => {}
///         }
///         while let Some(settled) = outbox.settled_after(cursor) {
///             cursor = settled.cursor; // to be kept
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Bridge<L, S, const BYTES: usize> {
    listen: L,
    speak: S,
    up: Up<BYTES>,
    down: Down<BYTES>,
    scratch: [u8; BYTES],
}

impl<L: Transport, S: Transport, const BYTES: usize> Bridge<L, S, BYTES> {
    /// Joins nothing yet.
    #[must_use]
    pub const fn new(listen: L, speak: S) -> Self {
        Self {
            listen,
            speak,
            up: Up::new(),
            down: Down::new(),
            scratch: [0; BYTES],
        }
    }

    /// Shows the outbox its records, and listens to `channels` below and to everything that comes down from outside.
    ///
    /// # Errors
    ///
    /// [`BridgeError`]; try again.
    pub async fn restore<T, R, C, const I: usize, const B: usize>(
        &mut self,
        node: &mut Node<T, R, C>,
        outbox: &mut Outbox<I, B>,
        channels: &[Channel],
        buffer: &mut [u8],
    ) -> Result<(), Failed<L, S, R, T>>
    where
        T: Transport,
        R: Records,
        C: Timer,
    {
        let restored = node.restore(&mut (outbox, &mut self.down), buffer).await;
        restored.map_err(BridgeError::Node)?;
        for channel in channels {
            let subscribed = self.listen.subscribe(*channel).await;
            subscribed.map_err(BridgeError::Listen)?;
        }
        Ok(())
    }

    /// Moves what can be moved, and waits when there is nothing.
    ///
    /// `buffer` is the node's, as long as the outbox asks for. Cancel-safe. Read the outbox's fates in between, or it
    /// will take no more.
    ///
    /// # Errors
    ///
    /// [`BridgeError`]; what was in hand still is.
    pub async fn turn<T, R, C, const I: usize, const B: usize>(
        &mut self,
        node: &mut Node<T, R, C>,
        outbox: &mut Outbox<I, B>,
        buffer: &mut [u8],
    ) -> Result<Turn, Failed<L, S, R, T>>
    where
        T: Transport,
        R: Records,
        C: Timer,
    {
        let now = node.timer().now();
        let kept = self.up.keep(outbox, now);
        if let Some(turn) = kept.map_err(BridgeError::Outbox)? {
            return Ok(turn);
        }
        // Asked for another event, the node would acknowledge this one.
        if self.down.way() != Way::Empty {
            return self.hand_down().await.map_err(BridgeError::Speak);
        }
        let mut engines = (outbox, &mut self.down);
        let node = pin!(node.turn(&mut engines, buffer));
        if !self.up.is_empty() {
            return node.await.map(|()| Turn::Moved).map_err(BridgeError::Node);
        }
        let next = pin!(self.listen.next(&mut self.scratch));
        match first(next, node).await {
            First::One(event) => match event.map_err(BridgeError::Listen)? {
                Event::Message(message) => Ok(self.up.take(now, &message)),
                _ => Ok(Turn::Moved),
            },
            First::Other(turned) => turned.map(|()| Turn::Moved).map_err(BridgeError::Node),
        }
    }

    /// Hands the message from outside to the local broker, and waits for its answer.
    async fn hand_down(&mut self) -> Result<Turn, S::Error> {
        let (message, ticket) = match self.down.message() {
            Ok(found) => found,
            Err(refusal) => return Ok(self.down.refuse(refusal)),
        };
        if ticket.is_none() {
            match self.speak.submit(&message).await {
                Ok(ticket) => {
                    self.down.handed(ticket);
                    return Ok(Turn::Moved);
                }
                // Its client makes room when it is asked for fates.
                Err(error) if error.kind() == TransportErrorKind::Busy => {}
                Err(error) => match error.kind() {
                    TransportErrorKind::TooLarge | TransportErrorKind::Refused => {
                        let refusal = refusal(&message, Direction::Down);
                        return Ok(self.down.refuse(refusal));
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(match self.speak.next(&mut self.scratch).await? {
            Event::Settled {
                ticket: settled,
                fate,
            } if ticket == Some(settled) => self.down.ended(fate),
            _ => Turn::Moved,
        })
    }

    /// Whether nothing is in hand: what was heard is on record, and what came down has arrived below.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.up.is_empty() && self.down.way() == Way::Empty
    }
}

const fn refusal(message: &Message<'_>, direction: Direction) -> Refusal {
    Refusal {
        direction,
        channel: message.channel,
        bytes: message.payload.len(),
        fate: None,
    }
}

enum First<A, B> {
    One(A),
    Other(B),
}

/// What is ready first; the other future stays where it is.
async fn first<A: Future, B: Future>(
    mut one: Pin<&mut A>,
    mut other: Pin<&mut B>,
) -> First<A::Output, B::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

#[cfg(test)]
mod tests;
