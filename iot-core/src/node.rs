//! The driver: a transport, records, a timer and a tuple of engines, wired once and for all.
//!
//! A [`Node`] does what engines ask for, in the order that keeps their promises: a record is durable
//! before [`Engine::done`](crate::Engine::done) says so, and a received message is acknowledged to the
//! network only after every engine has had its steps done, because only then the next message is asked for.
//!
//! There is one driver for all worlds. On a chip an executor polls it, on a host tokio does (its futures
//! are `Send` when its parts are), and [`block_on`] drives it in a bare loop.

mod block;
mod engines;
mod ports;
mod restore;
mod turn;

pub use block::{PollTimer, block_on};
pub use engines::Engines;
pub use ports::{Effects, Keys, KeysOf, NoEffects, NoKeys};
pub use restore::restore;

use crate::port::{Records, Timer, Transport};

/// Drives engines. See the [module](self) for what it guarantees.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::node::{Node, block_on};
/// use iot_core::sim::{Faults, SimClock, SimNetwork};
/// use iot_core::storage::memory::MemoryRecords;
/// # use iot_core::{Channel, Engine, Event, Message, Now, Step, engine::Done};
/// # struct Greeter { greeted: bool }
/// # impl Engine for Greeter {
/// #     fn handles(&self, _: Channel) -> bool { false }
/// #     fn input(&mut self, _: Now, _: &Event<'_>) {}
/// #     fn step<'b>(&mut self, _: Now, _: &'b mut [u8]) -> Step<'b> {
/// #         if self.greeted { Step::Idle } else { Step::Send(Message::telemetry(b"hello")) }
/// #     }
/// #     fn done(&mut self, _: Now, _: Done<'_>) { self.greeted = true; }
/// # }
///
/// let clock = SimClock::new();
/// let (link, _service) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
/// let mut node = Node::new(link, MemoryRecords::new(), clock);
/// let mut greeter = Greeter { greeted: false };
/// let mut buffer = [0; 256];
/// block_on(async {
///     let mut engines = (&mut greeter,);
///     node.restore(&mut engines, &mut buffer).await?;
///     node.turn(&mut engines, &mut buffer).await
/// })?;
/// assert!(greeter.greeted);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Node<T, R, C, K = NoKeys, F = NoEffects> {
    transport: T,
    records: R,
    timer: C,
    keys: K,
    effects: F,
    restored: bool,
}

/// Why a node stopped. Losing the link is no reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NodeError<R, T> {
    /// The record store failed; the step it was for will be tried again with the next turn.
    #[error("the record store failed: {0}")]
    Records(R),
    /// The transport failed for good, or the buffer is too small for a message that is still there.
    #[error("the transport failed: {0}")]
    Transport(T),
    /// Engines may not act before they have seen their records.
    #[error("call restore before the first turn")]
    NotRestored,
    /// Two engines own the same record.
    #[error(
        "the engines at {first} and {second} own the same records: give them ranges of their own"
    )]
    Overlap {
        /// The place of the one.
        first: usize,
        /// The place of the other.
        second: usize,
    },
    /// More than 32 engines.
    #[error("{count} engines are too many: a node drives 32")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl<T: Transport, R: Records, C: Timer> Node<T, R, C> {
    /// Joins the three parts that every node has.
    pub const fn new(transport: T, records: R, timer: C) -> Self {
        Self {
            transport,
            records,
            timer,
            keys: NoKeys,
            effects: NoEffects,
            restored: false,
        }
    }
}

impl<T, R, C, K, F> Node<T, R, C, K, F> {
    /// Adds keys for engines that sign.
    pub fn with_keys<K2: Keys>(self, keys: K2) -> Node<T, R, C, K2, F> {
        let Self {
            transport,
            records,
            timer,
            effects,
            restored,
            ..
        } = self;
        Node {
            transport,
            records,
            timer,
            keys,
            effects,
            restored,
        }
    }

    /// Adds what performs the engines' effects.
    pub fn with_effects<F2: Effects>(self, effects: F2) -> Node<T, R, C, K, F2> {
        let Self {
            transport,
            records,
            timer,
            keys,
            restored,
            ..
        } = self;
        Node {
            transport,
            records,
            timer,
            keys,
            effects,
            restored,
        }
    }

    /// The transport, for messages that belong to no engine.
    pub const fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The records, for keys that belong to no engine.
    pub const fn records(&mut self) -> &mut R {
        &mut self.records
    }

    /// The clock.
    pub const fn timer(&self) -> &C {
        &self.timer
    }

    /// Takes the node apart, as a power cut would; what was not durable is gone.
    pub fn into_parts(self) -> (T, R, C) {
        (self.transport, self.records, self.timer)
    }
}

#[cfg(test)]
mod tests;
