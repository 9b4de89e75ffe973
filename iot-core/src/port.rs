//! The ports: what the SDK asks of the world outside its engines.
//!
//! A port is a small trait with at least two implementations in the tree, one of them a simulator. Ports
//! use `async fn` without a runtime: on a chip an executor such as embassy drives them, on a host tokio
//! does, and a bare loop may use [`node::block_on`.

mod counter;
mod exchange;
mod image;
mod records;
mod timer;
mod transport;

pub use counter::MonotonicCounter;
pub use exchange::{Exchange, ExchangeError, ExchangeErrorKind};
pub use image::ImageSource;
pub use records::{Records, RecordsError, RecordsErrorKind};
pub use timer::Timer;
pub use transport::{Limits, Transport, TransportError, TransportErrorKind};
