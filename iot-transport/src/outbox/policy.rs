//! What happens when there is no room.

use iot_core::Channel;

/// What a channel's message does when the outbox is full, and what is done to it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Overflow {
    /// The newest is dropped: it is refused, and the application knows at once. It may be pushed out by
    /// [`LowestPriority`](Self::LowestPriority).
    #[default]
    Newest,
    /// It pushes out the oldest of its channel: for measurements of which the last is worth most.
    Oldest,
    /// It pushes out the oldest of the lowest priority of all channels, when that is lower than its own.
    LowestPriority,
    /// It is refused, and nothing ever pushes it out: for alarms and accounts.
    Never,
}

/// One [`Overflow`] for each channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Policies([Overflow; Channel::ALL.len()]);

impl Policies {
    pub(super) const fn new() -> Self {
        Self([Overflow::Newest; Channel::ALL.len()])
    }

    pub(super) fn set(&mut self, channel: Channel, overflow: Overflow) {
        if let Some(place) = self.0.get_mut(usize::from(channel_code(channel))) {
            *place = overflow;
        }
    }

    pub(super) fn of(&self, channel: Channel) -> Overflow {
        let place = self.0.get(usize::from(channel_code(channel)));
        place.copied().unwrap_or_default()
    }
}

/// The number of a channel in records.
pub(super) fn channel_code(channel: Channel) -> u8 {
    let at = Channel::ALL.iter().position(|known| *known == channel);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

pub(super) fn channel_of(code: u8) -> Option<Channel> {
    Channel::ALL.get(usize::from(code)).copied()
}
