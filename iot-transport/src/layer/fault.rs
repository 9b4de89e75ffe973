//! Faults on purpose, the same for the same seed.

use alloc::string::String;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::sim::SimEntropy;
use iot_core::{Channel, Event, Message, Peer, Priority, Qos, Ticket};

use super::Layer;
use crate::hand;

/// Why a call to a [`Faulty`] transport failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError<E> {
    /// Refused on purpose.
    #[error("refused on purpose: offer it again")]
    Refused,
    /// The transport below.
    #[error(transparent)]
    Inner(E),
}

impl<E: TransportError> TransportError for FaultError<E> {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Refused => TransportErrorKind::Busy,
            Self::Inner(error) => error.kind(),
        }
    }
}

/// Whatever a transport may do to whoever uses it, and seldom does in a test; chances are in thousandths.
///
/// The contract is kept: a refusal changes nothing, a repetition is one that at least once allows, a delay loses
/// nothing.
///
/// ```
/// use iot_core::sim::{Faults, SimClock};
/// use iot_transport::layer::{Fault, Layered as _};
/// use iot_transport::sim::{End, Net};
/// let net = Net::new(1, SimClock::new(), Faults::NONE);
/// let device = net.device("acme", "boiler-7")?.layer(
///     Fault::new(7)
///         .with_refusals(100)
///         .with_duplicates(50)
///         .with_delays(200, 3)
///         .with_cuts(5, |end: &mut End| end.cut()),
/// );
/// # drop(device);
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fault<T> {
    random: SimEntropy,
    refuse: u16,
    duplicate: u16,
    delay: u16,
    delay_polls: u32,
    cut: u16,
    cutter: Option<fn(&mut T)>,
}

impl<T> Fault<T> {
    /// No faults yet; all of them are drawn from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            random: SimEntropy::new(seed),
            refuse: 0,
            duplicate: 0,
            delay: 0,
            delay_polls: 0,
            cut: 0,
            cutter: None,
        }
    }

    /// Refuses so many submissions of a thousand as [`Busy`](TransportErrorKind::Busy).
    #[must_use]
    pub const fn with_refusals(mut self, per_mille: u16) -> Self {
        self.refuse = per_mille;
        self
    }

    /// Hands so many of a thousand messages at least once over twice.
    #[must_use]
    pub const fn with_duplicates(mut self, per_mille: u16) -> Self {
        self.duplicate = per_mille;
        self
    }

    /// Lets so many of a thousand calls of `next` wait for up to `polls` polls first.
    #[must_use]
    pub const fn with_delays(mut self, per_mille: u16, polls: u32) -> Self {
        self.delay = per_mille;
        self.delay_polls = polls;
        self
    }

    /// Breaks the link below with `cutter` before so many calls of a thousand.
    #[must_use]
    pub const fn with_cuts(mut self, per_mille: u16, cutter: fn(&mut T)) -> Self {
        self.cut = per_mille;
        self.cutter = Some(cutter);
        self
    }
}

impl<T: Transport> Layer<T> for Fault<T> {
    type Over = Faulty<T>;
    fn over(self, inner: T) -> Faulty<T> {
        Faulty {
            inner,
            fault: self,
            again: None,
            waiting: 0,
            counts: FaultCounts::default(),
        }
    }
}

/// Faults that fired: a test asserts that they did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Submissions refused.
    pub refused: u64,
    /// Messages handed over twice.
    pub doubled: u64,
    /// Calls of `next` that waited.
    pub delayed: u64,
    /// Links broken.
    pub cuts: u64,
}

/// A transport that misbehaves within its contract.
#[derive(Clone, Debug)]
pub struct Faulty<T> {
    inner: T,
    fault: Fault<T>,
    /// Handed over a second time before anything else.
    again: Option<Copy>,
    /// Polls of `next` that are still to wait; kept here, because the future may be dropped.
    waiting: u32,
    counts: FaultCounts,
}

/// A message that owns what it carries.
#[derive(Clone, Debug)]
struct Copy {
    channel: Channel,
    priority: Priority,
    qos: Qos,
    payload: Vec<u8>,
    peer: Option<(String, String)>,
}

impl Copy {
    fn of(message: &Message<'_>) -> Self {
        let owned = |peer: Peer<'_>| (peer.tenant().into(), peer.device().into());
        Self {
            channel: message.channel,
            priority: message.priority,
            qos: message.qos,
            payload: message.payload.into(),
            peer: message.peer.map(owned),
        }
    }

    fn message(&self) -> Message<'_> {
        let message = Message::new(self.channel, &self.payload)
            .with_priority(self.priority)
            .with_qos(self.qos);
        let peer = self.peer.as_ref();
        match peer.and_then(|(tenant, device)| Peer::parse(tenant, device).ok()) {
            Some(peer) => message.to(peer),
            None => message,
        }
    }
}

impl<T> Faulty<T> {
    /// Which faults fired.
    #[must_use]
    pub const fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back; a second copy that waits is dropped, as if the first had been the only one.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn maybe_cut(&mut self) {
        if let Some(cutter) = self.fault.cutter
            && self.fault.random.chance(self.fault.cut)
        {
            self.counts.cuts += 1;
            cutter(&mut self.inner);
        }
    }
}

impl<T: Transport> Transport for Faulty<T> {
    type Error = FaultError<T::Error>;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, Self::Error> {
        self.maybe_cut();
        if self.fault.random.chance(self.fault.refuse) {
            self.counts.refused += 1;
            return Err(FaultError::Refused);
        }
        self.inner.submit(message).await.map_err(FaultError::Inner)
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
        if self.waiting == 0 && self.fault.random.chance(self.fault.delay) {
            self.counts.delayed += 1;
            let most = u64::from(self.fault.delay_polls.max(1));
            let polls = 1 + self.fault.random.below(most);
            self.waiting = u32::try_from(polls).unwrap_or(1);
        }
        poll_fn(|cx| {
            if self.waiting == 0 {
                return Poll::Ready(());
            }
            self.waiting -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        // The copy stands in the buffer's way only when it does not fit: then it is kept.
        let fits = |copy: &mut Copy| hand::needed(&copy.message()) <= buffer.len();
        if let Some(copy) = self.again.take_if(fits) {
            if let Some(message) = hand::copy(&copy.message(), buffer) {
                return Ok(Event::Message(message));
            }
            return Err(FaultError::Refused);
        }
        self.maybe_cut();
        let event = self.inner.next(buffer).await.map_err(FaultError::Inner)?;
        if let Event::Message(message) = &event
            && message.qos != Qos::AtMostOnce
            && self.fault.random.chance(self.fault.duplicate)
        {
            self.counts.doubled += 1;
            self.again = Some(Copy::of(message));
        }
        Ok(event)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), Self::Error> {
        self.inner
            .subscribe(channel)
            .await
            .map_err(FaultError::Inner)
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}
