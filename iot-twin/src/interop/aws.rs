//! The AWS IoT device shadow, classic and named: topics and JSON in, topics and JSON out.
//!
//! [`ShadowLink`] is the device's side: it carries a [`TwinDevice`](crate::TwinDevice) over shadow topics, and the
//! engine on the device does not know that a shadow is behind it. [`Shadows`] is the service's side, good enough to
//! answer devices in tests, in simulators and on gateways that are cut off. Neither of them opens a connection:
//! [`Publish`] says what is to be published.
//!
//! ```
//! use iot_twin::iot_core::Timestamp;
//! use iot_twin::interop::aws::{Caller, ShadowId, Shadows};
//!
//! let mut shadows = Shadows::new();
//! shadows.add_thing("boiler-7");
//! let topic = "$aws/things/boiler-7/shadow/update";
//! let payload = br#"{"state":{"desired":{"setpoint":21}},"clientToken":"a"}"#;
//! let answers = shadows.handle(Timestamp::from_secs(1), Caller::ALLOWED, topic, payload);
//! let topics: Vec<_> = answers.iter().map(|answer| answer.topic.rsplit("shadow/").next().unwrap()).collect();
//! assert_eq!(topics, ["update/accepted", "update/delta", "update/documents"]);
//! # Ok::<(), iot_twin::interop::aws::NameError>(())
//! ```
//!
//! What is known and enforced on both sides: the lengths of names and tokens, 8 KiB of state, six levels, no null in
//! arrays, ten requests under way and twenty a second.

mod limit;
mod link;
mod rejection;
mod request;
mod service;
mod shadow;
mod topic;

use alloc::string::String;
use core::fmt;

pub use limit::{
    MAX_DEPTH, MAX_IN_FLIGHT, MAX_REQUESTS_PER_S, MAX_SHADOW_NAME_BYTES, MAX_STATE_BYTES,
    MAX_THING_NAME_BYTES, MAX_TOKEN_BYTES,
};
pub use link::{Notice, SendError, ShadowLink};
pub use rejection::Rejection;
pub use service::{Caller, Shadows};
pub use topic::{Kind, NameError, Operation, ShadowId, Topic};

/// Something to be published.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Publish {
    /// The MQTT topic.
    pub topic: String,
    /// JSON, or nothing.
    pub payload: String,
}

// No values: some are not for logs.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("topic", &self.topic)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
