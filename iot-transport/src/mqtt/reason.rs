//! Why a broker refuses, and what helps.

/// Why a broker refused a session, a subscription or a message, whichever MQTT version it speaks.
///
/// Its text says what is wrong and what helps.
///
/// ```
/// use iot_transport::mqtt::Reason;
/// assert_eq!(Reason::of(0x87), Reason::NotAuthorized);
/// assert_eq!(Reason::of(0x87).to_string(), "not authorised: check the identity and the policy");
/// assert!(Reason::of(0x89).is_transient());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The broker gives no reason; MQTT 3.1.1 has none for subscriptions.
    #[error("no reason is given: look into the broker's log")]
    Unspecified,
    /// What we sent was not understood, or is against the protocol.
    #[error("the broker calls a packet malformed or out of place: report this with its log")]
    Protocol,
    /// The broker does not speak this version.
    #[error("unsupported protocol version: set the other MQTT version")]
    Version,
    /// The client id is not allowed.
    #[error("client id not valid: use the name in the certificate")]
    ClientId,
    /// The user name or the password is wrong.
    #[error("bad user name or password: check the login")]
    Login,
    /// The identity may not do that.
    #[error("not authorised: check the identity and the policy")]
    NotAuthorized,
    /// The broker cannot serve anybody now.
    #[error("server unavailable: try again later")]
    Unavailable,
    /// The broker has too much to do.
    #[error("server busy: try again later, and spread the fleet")]
    Busy,
    /// Somebody has banned this client.
    #[error("banned: ask the operator")]
    Banned,
    /// The broker is being stopped.
    #[error("the broker is shutting down: try again later")]
    ShuttingDown,
    /// The broker did not hear from us in time.
    #[error("the broker heard nothing for too long: check the network, or raise the keep-alive")]
    KeepAlive,
    /// Another client has the same client id.
    #[error("another client took the session over: give each client an id of its own")]
    TakenOver,
    /// A topic or a filter is not allowed.
    #[error("the topic or filter is not allowed: check the names and the policy")]
    Topic,
    /// More was on the wire than the broker takes at a time, or under an alias it does not know.
    #[error("the broker's limit for messages under way or aliases was passed: lower the window")]
    Flow,
    /// A packet was too large for the broker.
    #[error("packet too large: split the message, or raise the broker's limit")]
    TooLarge,
    /// Too many messages or connections.
    #[error("quota or rate exceeded: try again later, and send less")]
    Quota,
    /// Somebody ended the session at the broker.
    #[error("ended by the operator: ask there")]
    Administrative,
    /// The payload is not what the broker expects on this topic.
    #[error("the broker does not accept the payload: check its format")]
    Payload,
    /// The broker keeps no messages for later subscribers.
    #[error("retained messages are not supported: send without, or allow them at the broker")]
    Retain,
    /// The broker does not offer this quality of service.
    #[error("the quality of service is not supported: use another one")]
    Qos,
    /// The broker asks us to go to another one.
    #[error("the broker has moved: change the address")]
    Moved,
    /// A kind of subscription that the broker does not offer.
    #[error("the broker does not offer this kind of subscription: use plain filters")]
    Subscription,
    /// A code that no standard names.
    #[error("code {0:#04x}, see the MQTT standard: ask the operator")]
    Other(u8),
}

impl Reason {
    /// The meaning of a return code (MQTT 3.1.1 §3.2.2.3) or reason code (MQTT 5 §2.4); the two never overlap.
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match code {
            0x80 => Self::Unspecified,
            0x81..=0x83 | 0x91 | 0x92 => Self::Protocol,
            1 | 0x84 => Self::Version,
            2 | 0x85 => Self::ClientId,
            4 | 0x86 | 0x8c => Self::Login,
            5 | 0x87 => Self::NotAuthorized,
            3 | 0x88 => Self::Unavailable,
            0x89 => Self::Busy,
            0x8a => Self::Banned,
            0x8b => Self::ShuttingDown,
            0x8d => Self::KeepAlive,
            0x8e => Self::TakenOver,
            0x8f | 0x90 => Self::Topic,
            0x93 | 0x94 => Self::Flow,
            0x95 => Self::TooLarge,
            0x96 | 0x97 | 0x9f => Self::Quota,
            0x98 | 0xa0 => Self::Administrative,
            0x99 => Self::Payload,
            0x9a => Self::Retain,
            0x9b => Self::Qos,
            0x9c | 0x9d => Self::Moved,
            0x9e | 0xa1 | 0xa2 => Self::Subscription,
            other => Self::Other(other),
        }
    }

    /// Whether waiting may help; if not, somebody has to change something first.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::Busy | Self::ShuttingDown | Self::KeepAlive | Self::Quota
        )
    }
}
