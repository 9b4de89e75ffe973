//! A network that loses, doubles, reorders, delays and falls apart, the same way for the same seed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

use super::clock::SimClock;
use super::entropy::SimEntropy;
use crate::engine::Event;
use crate::message::{Channel, Fate, Message, Peer, Priority, Qos, Ticket};
use crate::port::{Limits, Transport, TransportError, TransportErrorKind};
use crate::time::Instant;

/// How badly the network behaves; probabilities are in thousandths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// A message the next hop acknowledged never arrives, as when a broker forgets it.
    pub loss: u16,
    /// A message arrives twice.
    pub duplicate: u16,
    /// The shortest way in milliseconds.
    pub delay_min_ms: u32,
    /// The longest way in milliseconds; messages overtake each other within the difference.
    pub delay_max_ms: u32,
}

impl Faults {
    /// Nothing goes wrong and nothing takes time.
    pub const NONE: Self = Self {
        loss: 0,
        duplicate: 0,
        delay_min_ms: 0,
        delay_max_ms: 0,
    };

    /// States all four.
    #[must_use]
    pub const fn new(loss: u16, duplicate: u16, delay_min_ms: u32, delay_max_ms: u32) -> Self {
        Self {
            loss,
            duplicate,
            delay_min_ms,
            delay_max_ms,
        }
    }
}

/// What a simulated link refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The link is partitioned.
    #[error("the link is down")]
    Down,
    /// The message is longer than the link carries.
    #[error("{bytes} bytes exceed what the link carries")]
    TooLarge {
        /// How long it was.
        bytes: usize,
    },
    /// The caller's buffer is too small; the message is kept.
    #[error("the buffer is too small: give {needed} bytes")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
}

impl TransportError for SimError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Down => TransportErrorKind::Busy,
            Self::TooLarge { .. } => TransportErrorKind::TooLarge,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
        }
    }
}

/// Any number of links in one virtual time.
///
/// ```
/// use iot_core::node::block_on;
/// use iot_core::port::Transport;
/// use iot_core::sim::{Faults, SimClock, SimNetwork};
/// use iot_core::{Channel, Event, Message};
///
/// let network = SimNetwork::new(1, SimClock::new(), Faults::NONE);
/// let (mut device, mut service) = network.link();
/// let mut buffer = [0; 64];
/// block_on(async {
///     assert!(matches!(service.next(&mut buffer).await, Ok(Event::Connected { .. })));
///     device.submit(&Message::telemetry(b"21.5")).await?;
///     let Event::Message(message) = service.next(&mut buffer).await? else { unreachable!() };
///     assert_eq!(message.payload, b"21.5");
///     Ok::<(), iot_core::sim::SimError>(())
/// })?;
/// # Ok::<(), iot_core::sim::SimError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimNetwork {
    world: Rc<RefCell<World>>,
    clock: SimClock,
}

#[derive(Debug)]
struct World {
    random: SimEntropy,
    faults: Faults,
    ends: Vec<End>,
    sent: u64,
    lost: u64,
    doubled: u64,
}

#[derive(Debug, Default)]
struct End {
    arriving: BTreeMap<(Instant, u64), Letter>,
    /// Handed out and not yet acknowledged: comes again after a reboot.
    handed: Option<Letter>,
    settled: VecDeque<Ticket>,
    up: bool,
    reported_up: Option<bool>,
}

#[derive(Clone, Debug)]
struct Letter {
    channel: Channel,
    peer: Option<(String, String)>,
    payload: Vec<u8>,
    priority: Priority,
    qos: Qos,
}

const PAYLOAD_BYTES: usize = 1 << 20;

impl SimNetwork {
    /// A network without links.
    #[must_use]
    pub fn new(seed: u64, clock: SimClock, faults: Faults) -> Self {
        let world = World {
            random: SimEntropy::new(seed),
            faults,
            ends: Vec::new(),
            sent: 0,
            lost: 0,
            doubled: 0,
        };
        Self {
            world: Rc::new(RefCell::new(world)),
            clock,
        }
    }

    /// Two ends of a new link that is up.
    #[must_use]
    pub fn link(&self) -> (SimLink, SimLink) {
        let mut world = self.world.borrow_mut();
        let first = world.ends.len();
        for _ in 0..2 {
            world.ends.push(End {
                up: true,
                ..End::default()
            });
        }
        let end = |me, other| SimLink {
            network: self.clone(),
            me,
            other,
        };
        (end(first, first + 1), end(first + 1, first))
    }

    /// Changes how badly the network behaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }

    /// Messages submitted, lost and doubled so far: a test asserts that its faults fired.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        let world = self.world.borrow();
        (world.sent, world.lost, world.doubled)
    }

    /// When the next message arrives anywhere; `None` when nothing is under way.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        let world = self.world.borrow();
        let first = |end: &End| end.arriving.keys().next().map(|(at, _)| *at);
        world.ends.iter().filter_map(first).min()
    }
}

/// One end of a simulated link.
#[derive(Debug)]
pub struct SimLink {
    network: SimNetwork,
    me: usize,
    other: usize,
}

impl SimLink {
    /// Cuts or restores the link at both ends; what is under way still arrives after it is restored.
    pub fn set_up(&self, up: bool) {
        let mut world = self.network.world.borrow_mut();
        for end in [self.me, self.other] {
            if let Some(end) = world.ends.get_mut(end) {
                end.up = up;
            }
        }
        drop(world);
        self.network.clock.wake();
    }

    /// This end lost power: the message it was handling comes again, and the link is announced anew.
    pub fn reboot(&self) {
        let mut world = self.network.world.borrow_mut();
        let at = self.network.clock.instant();
        if let Some(end) = world.ends.get_mut(self.me) {
            end.reported_up = None;
            end.settled.clear();
            if let Some(letter) = end.handed.take() {
                end.arriving.insert((at, 0), letter);
            }
        }
    }

    fn post(&self, message: &Message<'_>) -> Result<Ticket, SimError> {
        let bytes = message.payload.len();
        if bytes > PAYLOAD_BYTES {
            return Err(SimError::TooLarge { bytes });
        }
        let now = self.network.clock.instant();
        let mut world = self.network.world.borrow_mut();
        let world = &mut *world;
        let up = world.ends.get(self.me).is_some_and(|end| end.up);
        if !up {
            return Err(SimError::Down);
        }
        world.sent += 1;
        let ticket = Ticket::new(world.sent);
        let copies = match world.random.chance(world.faults.loss) {
            true => 0,
            false if world.random.chance(world.faults.duplicate) => 2,
            false => 1,
        };
        world.lost += u64::from(copies == 0);
        world.doubled += u64::from(copies == 2);
        for copy in 0..copies {
            let spread = world
                .faults
                .delay_max_ms
                .saturating_sub(world.faults.delay_min_ms);
            let way =
                u64::from(world.faults.delay_min_ms) + world.random.below(u64::from(spread) + 1);
            let letter = Letter {
                channel: message.channel,
                peer: message
                    .peer
                    .map(|peer| (peer.tenant().into(), peer.device().into())),
                payload: message.payload.to_vec(),
                priority: message.priority,
                qos: message.qos,
            };
            if let Some(end) = world.ends.get_mut(self.other) {
                let place = (now + Duration::from_millis(way), world.sent * 2 + copy);
                end.arriving.insert(place, letter);
            }
        }
        if let Some(end) = world.ends.get_mut(self.me) {
            end.settled.push_back(ticket);
        }
        self.network.clock.wake();
        Ok(ticket)
    }

    fn take<'b>(&self, buffer: &'b mut [u8]) -> Option<Result<Event<'b>, SimError>> {
        let now = self.network.clock.instant();
        let mut world = self.network.world.borrow_mut();
        let end = world.ends.get_mut(self.me)?;
        end.handed = None;
        if end.reported_up != Some(end.up) {
            let first = end.reported_up.is_none();
            end.reported_up = Some(end.up);
            match end.up {
                true => return Some(Ok(Event::Connected { resumed: !first })),
                false if !first => return Some(Ok(Event::Disconnected)),
                false => {}
            }
        }
        if let Some(ticket) = end.settled.pop_front() {
            return Some(Ok(Event::Settled {
                ticket,
                fate: Fate::Delivered,
            }));
        }
        if !end.up {
            return None;
        }
        let entry = end
            .arriving
            .first_entry()
            .filter(|entry| entry.key().0 <= now)?;
        let letter = entry.get();
        let (tenant, device) = letter
            .peer
            .as_ref()
            .map_or(("", ""), |(tenant, device)| (tenant, device));
        let needed = letter.payload.len() + tenant.len() + device.len();
        if buffer.len() < needed {
            return Some(Err(SimError::Buffer { needed }));
        }
        let letter = entry.remove();
        end.handed = Some(letter.clone());
        drop(world);
        Some(Ok(Event::Message(letter.into_buffer(buffer)?)))
    }
}

impl Letter {
    fn into_buffer(self, buffer: &mut [u8]) -> Option<Message<'_>> {
        let (payload, rest) = buffer.split_at_mut_checked(self.payload.len())?;
        payload.copy_from_slice(&self.payload);
        let mut message = Message::new(self.channel, payload)
            .with_priority(self.priority)
            .with_qos(self.qos);
        if let Some((tenant, device)) = &self.peer {
            let (to_tenant, rest) = rest.split_at_mut_checked(tenant.len())?;
            to_tenant.copy_from_slice(tenant.as_bytes());
            let to_device = rest.get_mut(..device.len())?;
            to_device.copy_from_slice(device.as_bytes());
            let text = |bytes| core::str::from_utf8(bytes).ok();
            message = message.to(Peer::parse(text(to_tenant)?, text(to_device)?).ok()?);
        }
        Some(message)
    }
}

impl Transport for SimLink {
    type Error = SimError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, SimError> {
        self.post(message)
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, SimError> {
        let mut buffer = Some(buffer);
        poll_fn(move |context| {
            // The borrow is only given away with a result, so a pending poll keeps it for the next.
            let Some(room) = buffer.take() else {
                return Poll::Pending;
            };
            if self.is_ready() {
                return self.take(room).map_or(Poll::Pending, Poll::Ready);
            }
            buffer = Some(room);
            self.network.clock.register(context.waker());
            Poll::Pending
        })
        .await
    }

    async fn subscribe(&mut self, _: Channel) -> Result<(), SimError> {
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::new(PAYLOAD_BYTES, 1_024)
    }
}

impl SimLink {
    /// Whether [`take`](Self::take) has something to give.
    fn is_ready(&self) -> bool {
        let now = self.network.clock.instant();
        let mut world = self.network.world.borrow_mut();
        let Some(end) = world.ends.get_mut(self.me) else {
            return false;
        };
        // Asking for the next event acknowledges the last message even if nothing has come yet.
        end.handed = None;
        let changed = match end.reported_up {
            None => end.up,
            Some(reported) => reported != end.up,
        };
        let due = end.arriving.keys().next().is_some_and(|(at, _)| *at <= now);
        changed || !end.settled.is_empty() || (end.up && due)
    }
}

#[cfg(test)]
mod tests;
