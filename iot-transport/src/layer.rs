//! Layers: each is a transport over a transport.
//!
//! A layer changes one thing and keeps the whole contract of a [`Transport`]: what it refuses is not queued,
//! what it passes has one fate, and dropping a future loses nothing. They stack in any order:
//!
//! ```
//! use core::time::Duration;
//! use iot_core::node::PollTimer;
//! use iot_core::port::{Transport, TransportError, TransportErrorKind};
//! use iot_core::{Instant, Message, Now, time::TimeBounds};
//! use iot_transport::layer::{ByteBudget, Layered as _, Meter, Metered, MeteredGate};
//! use iot_transport::memory::Link;
//! use iot_core::Priority;
//!
//! # let timer = PollTimer::new(|| Now::new(Instant::from_millis(0), TimeBounds::UNKNOWN));
//! let mut link = Link::<4, 64>::new();
//! let (device, _service) = link.split();
//! let metered = Metered::new(); // told by whoever knows the modem
//! let mut transport = device
//!     .layer(ByteBudget::per_day(1_000, timer))
//!     .layer(MeteredGate::new(&metered, Priority::High))
//!     .layer(Meter::new(timer));
//! # futures::executor::block_on(async {
//! transport.submit(&Message::telemetry(b"21.5")).await?;
//! metered.set(true);
//! let refused = transport.submit(&Message::telemetry(b"21.6")).await.unwrap_err();
//! assert_eq!(refused.kind(), TransportErrorKind::Busy); // and nothing is lost: offer it again later
//! assert_eq!(transport.readings().submitted, 1);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#[cfg(feature = "sim")]
mod fault;
mod limit;
mod meter;
mod metered;
#[cfg(feature = "alloc")]
mod record;
#[cfg(feature = "alloc")]
mod replay;
#[cfg(feature = "alloc")]
pub mod tape;
#[cfg(feature = "trace")]
mod trace;

use iot_core::port::Transport;

#[cfg(feature = "sim")]
pub use fault::{Fault, FaultCounts, FaultError, Faulty};
pub use limit::{ByteBudget, LimitError, Limited, RateLimit};
pub use meter::{Latency, Measured, Meter, Readings, Traffic};
pub use metered::{Gated, GatedError, Metered, MeteredGate};
#[cfg(feature = "alloc")]
pub use record::{Record, Recorded};
#[cfg(feature = "alloc")]
pub use replay::{Replay, ReplayError};
#[cfg(feature = "trace")]
pub use trace::{Trace, Traced};

/// Something that can be laid over a transport.
pub trait Layer<T> {
    /// The transport that comes of it.
    type Over: Transport;

    /// Lays it over `inner`.
    fn over(self, inner: T) -> Self::Over;
}

/// Puts layers over any transport.
pub trait Layered: Transport + Sized {
    /// Lays `layer` over this transport.
    fn layer<L: Layer<Self>>(self, layer: L) -> L::Over {
        layer.over(self)
    }
}

impl<T: Transport> Layered for T {}
