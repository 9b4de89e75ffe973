//! A good transport made bad in one way at a time.

use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message, Peer, Qos, Ticket};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bug {
    /// Nothing: the wrapper itself must be innocent.
    Nothing,
    TellsFatesTwice,
    ForgetsFatesAfterBreak,
    LosesOnReconnect,
    AcknowledgesEarly,
    Reorders,
    HandsOverOnce,
    RepeatsAtMostOnce,
    SendsWhatWasBusy,
    SendsTheStartOfTooLarge,
    StatesTooLittle,
    StatesTooManyInFlight,
    LosesWithSmallBuffer,
    LosesWithDroppedNext,
    QueuesDroppedSubmit,
    RefusesWhileDown,
    ForgetsWhileDown,
    TellsConnectedTwice,
    HidesDisconnected,
    IgnoresExpiry,
    ForgetsSubscriptions,
    HidesLostSession,
    SubscribesEverything,
    SwallowsEmpty,
    CutsZeros,
    SwapsChannels,
    LosesPeers,
}

/// An event that owns what it carries.
#[derive(Clone, Debug)]
enum Owned {
    Message(Channel, Qos, Vec<u8>, Option<(String, String)>),
    Settled(Ticket, Fate),
    Connected(bool),
    Disconnected,
}

impl Owned {
    fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Message(message) => {
                let peer = message
                    .peer
                    .map(|peer| (peer.tenant().into(), peer.device().into()));
                Self::Message(message.channel, message.qos, message.payload.into(), peer)
            }
            Event::Settled { ticket, fate } => Self::Settled(*ticket, *fate),
            Event::Connected { resumed } => Self::Connected(*resumed),
            Event::Disconnected => Self::Disconnected,
            _ => unreachable!("a transport has no other events"),
        }
    }

    fn into_buffer(self, buffer: &mut [u8]) -> Event<'_> {
        match self {
            Self::Settled(ticket, fate) => Event::Settled { ticket, fate },
            Self::Connected(resumed) => Event::Connected { resumed },
            Self::Disconnected => Event::Disconnected,
            Self::Message(channel, qos, payload, peer) => {
                let (to, rest) = buffer.split_at_mut(payload.len());
                to.copy_from_slice(&payload);
                let message = Message::new(channel, to).with_qos(qos);
                Event::Message(match peer {
                    Some((tenant, device)) => {
                        let (to_tenant, rest) = rest.split_at_mut(tenant.len());
                        let (to_device, _) = rest.split_at_mut(device.len());
                        to_tenant.copy_from_slice(tenant.as_bytes());
                        to_device.copy_from_slice(device.as_bytes());
                        let text = |bytes| core::str::from_utf8(bytes).unwrap();
                        message.to(Peer::parse(text(to_tenant), text(to_device)).unwrap())
                    }
                    None => message,
                })
            }
        }
    }
}

#[derive(Debug)]
pub(crate) enum BrokenError<E> {
    Inner(E),
    Busy,
}

impl<E: fmt::Display> fmt::Display for BrokenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Busy => f.write_str("busy"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for BrokenError<E> {}

impl<E: TransportError> TransportError for BrokenError<E> {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Inner(error) => error.kind(),
            Self::Busy => TransportErrorKind::Busy,
        }
    }
}

pub(crate) struct Broken<T> {
    inner: T,
    bug: Bug,
    /// Told before anything of the inner transport.
    held: Vec<Owned>,
    up: bool,
    breaks: usize,
    connects: usize,
    deaf: bool,
    swallow: bool,
    last: Vec<u8>,
    busy: Option<(Channel, Vec<u8>)>,
}

impl<T> Broken<T> {
    pub(crate) const fn new(inner: T, bug: Bug) -> Self {
        Self {
            inner,
            bug,
            held: Vec::new(),
            up: false,
            breaks: 0,
            connects: 0,
            deaf: false,
            swallow: false,
            last: Vec::new(),
            busy: None,
        }
    }

    pub(crate) const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<T: Transport> Broken<T> {
    async fn ask(&mut self, buffer: &mut [u8]) -> Result<Owned, BrokenError<T::Error>> {
        let event = self.inner.next(buffer).await;
        event
            .map(|event| Owned::of(&event))
            .map_err(BrokenError::Inner)
    }

    /// What is ready now besides.
    async fn peek(&mut self) -> Option<Owned> {
        let mut room = vec![0; 1 << 17];
        let mut next = pin!(self.ask(&mut room));
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(Ok(event)) => Poll::Ready(Some(event)),
            _ => Poll::Ready(None),
        })
        .await
    }

    fn note(&mut self, event: &Owned) {
        match event {
            Owned::Connected(resumed) => {
                self.up = true;
                self.connects += 1;
                self.swallow = self.connects > 1;
                self.deaf |= self.connects > 1 && !resumed;
            }
            Owned::Disconnected => {
                self.up = false;
                self.breaks += 1;
            }
            _ => {}
        }
    }

    /// The event as this transport tells it; `None` when it swallows it.
    async fn spoil(&mut self, event: Owned) -> Option<Owned> {
        match (self.bug, event) {
            (Bug::TellsFatesTwice, event @ Owned::Settled(..))
            | (Bug::TellsConnectedTwice, event @ Owned::Connected(_)) => {
                self.held.push(event.clone());
                Some(event)
            }
            (Bug::ForgetsFatesAfterBreak, Owned::Settled(..)) if self.breaks > 0 => None,
            (Bug::LosesOnReconnect, Owned::Message(..)) if core::mem::take(&mut self.swallow) => {
                None
            }
            (Bug::AcknowledgesEarly, event @ Owned::Message(..)) => {
                if let Some(next) = self.peek().await {
                    self.note(&next);
                    self.held.push(next);
                }
                Some(event)
            }
            (Bug::Reorders, event @ Owned::Message(..)) => match self.peek().await {
                Some(second) => {
                    self.note(&second);
                    self.held.push(event);
                    Some(second)
                }
                None => Some(event),
            },
            (Bug::HandsOverOnce, Owned::Message(_, _, payload, _))
                if payload == self.last && payload.starts_with(b"in hand") =>
            {
                None
            }
            (Bug::HidesDisconnected, Owned::Disconnected) => None,
            (Bug::ForgetsSubscriptions, Owned::Message(..)) if self.deaf => None,
            (Bug::HidesLostSession, Owned::Connected(_)) => Some(Owned::Connected(true)),
            (Bug::SwallowsEmpty, Owned::Message(_, _, payload, _)) if payload.is_empty() => None,
            (Bug::CutsZeros, Owned::Message(channel, qos, mut payload, peer)) => {
                while payload.last() == Some(&0) {
                    payload.pop();
                }
                Some(Owned::Message(channel, qos, payload, peer))
            }
            (Bug::SwapsChannels, Owned::Message(Channel::Twin, qos, payload, peer)) => {
                Some(Owned::Message(Channel::Update, qos, payload, peer))
            }
            (Bug::LosesPeers, Owned::Message(channel, qos, payload, _)) => {
                Some(Owned::Message(channel, qos, payload, None))
            }
            (Bug::LosesWithDroppedNext, event) => {
                yield_once().await;
                Some(event)
            }
            (_, event) => Some(event),
        }
    }
}

impl<T: Transport> Transport for Broken<T> {
    type Error = BrokenError<T::Error>;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, Self::Error> {
        let mut message = *message;
        match self.bug {
            Bug::RefusesWhileDown if !self.up && self.connects > 0 => {
                return Err(BrokenError::Busy);
            }
            Bug::ForgetsWhileDown if !self.up && self.connects > 0 => {
                return Ok(Ticket::new(1 << 40));
            }
            Bug::RepeatsAtMostOnce => message.qos = Qos::AtLeastOnce,
            Bug::IgnoresExpiry => message.expires_in = None,
            _ => {}
        }
        let answer = self.inner.submit(&message).await;
        if self.bug == Bug::QueuesDroppedSubmit {
            yield_once().await;
        }
        if let Err(error) = &answer {
            match (self.bug, error.kind()) {
                (Bug::SendsWhatWasBusy, TransportErrorKind::Busy) => {
                    self.busy = Some((message.channel, message.payload.into()));
                }
                (Bug::SendsTheStartOfTooLarge, TransportErrorKind::TooLarge) => {
                    message.payload = &message.payload[..8];
                    let _ = self.inner.submit(&message).await;
                }
                _ => {}
            }
        }
        answer.map_err(BrokenError::Inner)
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
        if let Some(event) = self.held.pop() {
            return Ok(event.into_buffer(buffer));
        }
        if let Some((channel, payload)) = self.busy.take() {
            let again = Message::new(channel, &payload);
            if self.inner.submit(&again).await.is_err() {
                self.busy = Some((channel, payload));
            }
        }
        loop {
            let event = match self.ask(buffer).await {
                Err(error)
                    if error.kind() == TransportErrorKind::Buffer
                        && self.bug == Bug::LosesWithSmallBuffer =>
                {
                    self.peek().await;
                    return Err(error);
                }
                event => event?,
            };
            self.note(&event);
            let payload = match &event {
                Owned::Message(_, _, payload, _) => Some(payload.clone()),
                _ => None,
            };
            let told = self.spoil(event).await;
            if let Some(payload) = payload {
                self.last = payload;
            }
            if let Some(told) = told {
                return Ok(told.into_buffer(buffer));
            }
        }
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), Self::Error> {
        if self.bug == Bug::SubscribesEverything {
            for other in Channel::ALL {
                self.inner
                    .subscribe(other)
                    .await
                    .map_err(BrokenError::Inner)?;
            }
        }
        self.inner
            .subscribe(channel)
            .await
            .map_err(BrokenError::Inner)
    }

    fn limits(&self) -> Limits {
        let limits = self.inner.limits();
        match self.bug {
            Bug::StatesTooLittle => Limits::new(limits.payload_bytes - 1, limits.in_flight),
            Bug::StatesTooManyInFlight => Limits::new(limits.payload_bytes, limits.in_flight + 1),
            _ => limits,
        }
    }
}
