//! Topics: which channel of which device, and which way; and templates for everybody else's.
//!
//! Every message of this SDK travels under `iot/1/{tenant}/{device}/{channel}/{up|down}`, where `1` is the version of
//! this layout and `up` leads from the device to its service. [`Topic`] and [`Filter`] read and write it. The topics of
//! other systems, such as a cloud's shadows, are described by a [`Template`]. All of it works on borrowed text in both
//! directions and needs no allocator; whatever does not follow the layout is refused.
//!
//! # The channels
//!
//! | channel | up: the device sends | down: the service sends | payload | format |
//! |---|---|---|---|---|
//! | `twin` | reports, and what it knows of the desired half | changes of the desired half | one message of the twin | `iot-twin/src/sync/wire.cddl` |
//! | `command` | answers | commands, cancels | one or more of them | `iot-core/src/command/command.cddl` |
//! | `telemetry` | measurements | nothing of ours | the application's, such as SenML (RFC 8428) | none of ours |
//! | `update` | requests for blocks, reports | offers, blocks, aborts | one message of the updater | `iot-ota/src/update/update.cddl` |
//! | `health` | liveness, metrics, anomalies | nothing of ours | the application's | none of ours |
//! | `enrol` | requests for a certificate | certificates, refusals | one message of the enrolment | `iot-identity/src/enrol/enrol.cddl` |
//!
//! What goes through an [`Outbox`](crate::outbox::Outbox) is wrapped in an [`Envelope`](crate::envelope::Envelope),
//! `envelope.cddl` in the sources of this crate: sequence, priority, life, correlation and trace context travel inside,
//! because many brokers' gateways speak MQTT 3.1.1, which has no place for them. What an
//! [`exchange`](crate::exchange) asks and answers, up and down one channel, is in `exchange.cddl`.
//!
//! # Which versions meet
//!
//! The `1` stands in front of tenant and device, so that a broker can route, and an authoriser can forbid, one version
//! of the layout as a whole. A later layout is another prefix; nobody reads one as the other. Formats of payloads have
//! version numbers of their own.

mod filter;
mod map;
mod matches;
pub mod template;

pub use filter::Filter;
pub use map::{MAX_TOPIC_BYTES, Topic, TopicError, direction_name};
pub use matches::matches;
pub use template::Template;

#[cfg(test)]
mod tests;
