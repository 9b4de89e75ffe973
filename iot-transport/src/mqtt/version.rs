//! The versions of MQTT.

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Version {
    /// MQTT 3.1.1, which every broker speaks.
    #[default]
    V3,
    /// MQTT 5: refusals carry a reason, expiry and limits are told to the broker.
    V5,
}
