//! The facts, by name.

use core::fmt;

use super::Lack;

/// What every transport must show.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Fact {
    /// Each submitted message meets one fate, exactly once, also when the link breaks.
    OneFate,
    /// What was told as delivered arrives at the other end.
    DeliveredArrives,
    /// A message is told as delivered only after the other end came back for the next event.
    DeliveredAfterReturn,
    /// Messages of one channel and one priority arrive in the order of their submission.
    Order,
    /// A message handed over on a link that broke before the next event was asked for comes again.
    HandedOverComesAgain,
    /// A message at most once is never handed over again.
    AtMostOnce,
    /// A refusal with `Busy` comes at the stated limit, not before, and changes nothing.
    Busy,
    /// A refusal with `TooLarge` changes nothing.
    TooLarge,
    /// The longest payload passes and one byte more does not.
    Limits,
    /// A message that does not fit the caller's buffer is kept.
    SmallBuffer,
    /// Dropping `next` at any await loses nothing.
    DroppedNext,
    /// Dropping `submit` before it is ready queues nothing.
    DroppedSubmit,
    /// What is submitted while the link is down is kept, and arrives afterwards.
    KeptWhileDown,
    /// `Connected` and `Disconnected` are told in turn, beginning with `Connected`.
    LinkTold,
    /// A message whose time ran out while the link was down is told as expired, and does not arrive.
    Expiry,
    /// Subscriptions survive a lost session, and the loss is told.
    SubscriptionsSurvive,
    /// A channel that was not subscribed delivers nothing.
    Unsubscribed,
    /// Payloads arrive as they were, empty ones and those of every byte value too.
    Payloads,
    /// Channel and peer arrive as they were.
    Address,
}

impl Fact {
    /// Every fact, in the order in which they are shown.
    pub const ALL: [Self; 19] = [
        Self::OneFate,
        Self::DeliveredArrives,
        Self::DeliveredAfterReturn,
        Self::Order,
        Self::HandedOverComesAgain,
        Self::AtMostOnce,
        Self::Busy,
        Self::TooLarge,
        Self::Limits,
        Self::SmallBuffer,
        Self::DroppedNext,
        Self::DroppedSubmit,
        Self::KeptWhileDown,
        Self::LinkTold,
        Self::Expiry,
        Self::SubscriptionsSurvive,
        Self::Unsubscribed,
        Self::Payloads,
        Self::Address,
    ];

    /// The name used in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneFate => "one_fate",
            Self::DeliveredArrives => "delivered_arrives",
            Self::DeliveredAfterReturn => "delivered_after_return",
            Self::Order => "order",
            Self::HandedOverComesAgain => "handed_over_comes_again",
            Self::AtMostOnce => "at_most_once",
            Self::Busy => "busy",
            Self::TooLarge => "too_large",
            Self::Limits => "limits",
            Self::SmallBuffer => "small_buffer",
            Self::DroppedNext => "dropped_next",
            Self::DroppedSubmit => "dropped_submit",
            Self::KeptWhileDown => "kept_while_down",
            Self::LinkTold => "link_told",
            Self::Expiry => "expiry",
            Self::SubscriptionsSurvive => "subscriptions_survive",
            Self::Unsubscribed => "unsubscribed",
            Self::Payloads => "payloads",
            Self::Address => "address",
        }
    }

    /// Without any of these the fact cannot be shown.
    #[must_use]
    pub const fn needs(self) -> &'static [Lack] {
        match self {
            Self::DeliveredAfterReturn => &[Lack::EndToEnd],
            Self::Order => &[Lack::Order],
            Self::HandedOverComesAgain | Self::AtMostOnce | Self::LinkTold => &[Lack::Cut],
            Self::KeptWhileDown => &[Lack::Cut, Lack::Queue],
            Self::Expiry => &[Lack::Clock, Lack::Cut, Lack::Queue],
            Self::SubscriptionsSurvive => &[Lack::Session],
            _ => &[],
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
