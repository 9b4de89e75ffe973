//! Images over CoAP, block by block: no allocator, no `std`, any datagrams.
//!
//! [`CoapImage`] is the core's [`ImageSource`](iot_core::port::ImageSource) over a [`Datagrams`] port and a
//! [`Timer`](iot_core::port::Timer). Below it, [`Fetch`] is the engine: a client of RFC 7252 and RFC 7959 for `GET` with
//! Block2, which reads no clock and opens no socket.
//!
//! - Messages are confirmable, and repeated after a wait that follows the measured round trip (RFC 6298, as in CoCoA)
//!   and doubles each time. [`Terms`] bounds all of it.
//! - Answers may come on the acknowledgement, separately, twice, late, or in any order. What answers nothing that was
//!   asked is ignored, or rejected with four bytes, as RFC 7252 says.
//! - A server may want smaller blocks than were asked for. Blocks of two images are never mixed.
//! - Options that must be understood and are not end the exchange with an error; others are ignored.
//!
//! What it does not do: other methods, Block1, observing, proxies, multicast, CoAP over TCP, and security; DTLS is the
//! [`Datagrams`]' business.

mod answer;
mod block;
mod code;
mod datagrams;
mod error;
mod fetch;
mod ids;
mod image;
mod message;
mod number;
mod rtt;
#[cfg(feature = "sim")]
pub mod sim;
mod target;
mod terms;
#[cfg(feature = "mqtt")]
mod udp;
mod write;

pub use self::code::Code;
pub use self::datagrams::Datagrams;
pub use self::error::{CoapError, FetchError};
pub use self::fetch::{Fetch, Step};
pub use self::image::CoapImage;
pub use self::target::{BadTarget, Target};
pub use self::terms::Terms;
#[cfg(feature = "mqtt")]
pub use self::udp::Udp;
