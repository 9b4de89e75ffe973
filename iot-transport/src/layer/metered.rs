//! While a link costs money, only what is worth it passes.

use core::ops::Deref;
use core::sync::atomic::{AtomicBool, Ordering};

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Message, Priority, Ticket};

use super::Layer;

/// Whether the link is metered now; set by whoever knows the modem, from any task or interrupt.
///
/// ```
/// use iot_transport::layer::Metered;
/// static MODEM: Metered = Metered::new();
/// MODEM.set(true);
/// assert!(MODEM.get());
/// ```
#[derive(Debug, Default)]
pub struct Metered(AtomicBool);

impl Metered {
    /// Not metered.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// States whether the link is metered from now on.
    pub fn set(&self, metered: bool) {
        self.0.store(metered, Ordering::Relaxed);
    }

    /// Whether it is.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a call to a [`Gated`] transport failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GatedError<E> {
    /// The link is metered, and the message is not worth it.
    #[error(
        "the link is metered: only messages of priority {least:?} or more pass; offer it again later"
    )]
    Metered {
        /// What passes.
        least: Priority,
    },
    /// The transport below.
    #[error(transparent)]
    Inner(E),
}

impl<E: TransportError> TransportError for GatedError<E> {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Metered { .. } => TransportErrorKind::Busy,
            Self::Inner(error) => error.kind(),
        }
    }
}

/// Lets only messages of at least a priority pass while the link is metered.
///
/// What the transport below has accepted before goes on; what is received is not held back.
#[derive(Clone, Copy, Debug)]
pub struct MeteredGate<F> {
    metered: F,
    least: Priority,
}

impl<F: Deref<Target = Metered>> MeteredGate<F> {
    /// Lets messages of priority `least` and more pass while `metered` says so, and all of them otherwise.
    #[must_use]
    pub const fn new(metered: F, least: Priority) -> Self {
        Self { metered, least }
    }
}

impl<T: Transport, F: Deref<Target = Metered>> Layer<T> for MeteredGate<F> {
    type Over = Gated<T, F>;
    fn over(self, inner: T) -> Gated<T, F> {
        Gated { inner, gate: self }
    }
}

/// A transport behind a [`MeteredGate`].
#[derive(Clone, Copy, Debug)]
pub struct Gated<T, F> {
    inner: T,
    gate: MeteredGate<F>,
}

impl<T, F> Gated<T, F> {
    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Transport, F: Deref<Target = Metered>> Transport for Gated<T, F> {
    type Error = GatedError<T::Error>;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, Self::Error> {
        let least = self.gate.least;
        if self.gate.metered.get() && message.priority < least {
            return Err(GatedError::Metered { least });
        }
        self.inner.submit(message).await.map_err(GatedError::Inner)
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
        self.inner.next(buffer).await.map_err(GatedError::Inner)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), Self::Error> {
        self.inner
            .subscribe(channel)
            .await
            .map_err(GatedError::Inner)
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::layer::Layered as _;
    use crate::memory::Link;

    #[test]
    fn only_what_is_worth_it_passes_while_the_link_is_metered_and_the_rest_waits_outside() {
        let mut link = Link::<4, 16>::new();
        let (device, _) = link.split();
        let metered = Metered::new();
        let mut gated = device.layer(MeteredGate::new(&metered, Priority::High));
        let normal = Message::telemetry(b"x");
        block_on(gated.submit(&normal)).unwrap();
        metered.set(true);
        let refused = block_on(gated.submit(&normal)).unwrap_err();
        assert_eq!(
            refused,
            GatedError::Metered {
                least: Priority::High
            }
        );
        assert_eq!(refused.kind(), TransportErrorKind::Busy);
        for priority in [Priority::High, Priority::Critical] {
            block_on(gated.submit(&normal.with_priority(priority))).unwrap();
        }
        assert_eq!(gated.inner().waiting(), 3);
        metered.set(false);
        block_on(gated.submit(&normal)).unwrap();
        let full = block_on(gated.submit(&normal)).unwrap_err();
        assert!(matches!(full, GatedError::Inner(_)));
    }
}
