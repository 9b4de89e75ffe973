//! Bad weather on a device's link: while it storms, messages of twins are lost and doubled, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use iot_core::port::{Limits, Transport};
use iot_core::sim::SimEntropy;
use iot_core::{Channel, Event, Message, Ticket};

/// Of a thousand messages so many are lost, and of the others so many are doubled.
const LOST: u16 = 100;
const DOUBLED: u16 = 150;

/// The weather over the whole building.
#[derive(Debug, Default)]
pub struct Skies {
    storm: AtomicBool,
    pub lost: AtomicU64,
    pub doubled: AtomicU64,
}

impl Skies {
    pub fn set_storm(&self, storm: bool) {
        self.storm.store(storm, Ordering::Relaxed);
    }

    fn strikes(&self, random: &mut SimEntropy, per_mille: u16, count: &AtomicU64) -> bool {
        let strikes = self.storm.load(Ordering::Relaxed) && random.chance(per_mille);
        count.fetch_add(u64::from(strikes), Ordering::Relaxed);
        strikes
    }
}

/// A link under these skies.
pub struct Weather<T> {
    inner: T,
    skies: Arc<Skies>,
    random: SimEntropy,
    /// What is handed over a second time.
    again: Option<Vec<u8>>,
}

impl<T> Weather<T> {
    pub const fn new(inner: T, skies: Arc<Skies>, random: SimEntropy) -> Self {
        Self {
            inner,
            skies,
            random,
            again: None,
        }
    }

    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    fn loses(&mut self) -> bool {
        self.skies.strikes(&mut self.random, LOST, &self.skies.lost)
    }

    fn doubles(&mut self) -> bool {
        self.skies
            .strikes(&mut self.random, DOUBLED, &self.skies.doubled)
    }
}

impl<T: Transport> Transport for Weather<T> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        if message.channel == Channel::Twin {
            if self.loses() {
                // Nobody asks for the fate of a twin's message: what it said is told again until it is answered.
                return Ok(Ticket::new(u64::MAX));
            }
            if self.doubles() {
                self.inner.submit(message).await?;
            }
        }
        self.inner.submit(message).await
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        if let Some(payload) = self.again.take() {
            let room = buffer.get_mut(..payload.len());
            let payload = room.map_or(&[][..], |room| {
                room.copy_from_slice(&payload);
                room
            });
            return Ok(Event::Message(Message::new(Channel::Twin, payload)));
        }
        let event = self.inner.next(buffer).await?;
        match event {
            // What is lost arrives as noise, which is no message to any engine.
            Event::Message(message) if message.channel == Channel::Twin && self.loses() => {
                Ok(Event::Message(Message::new(Channel::Twin, &[])))
            }
            Event::Message(message) if message.channel == Channel::Twin && self.doubles() => {
                self.again = Some(message.payload.to_vec());
                Ok(event)
            }
            _ => Ok(event),
        }
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        self.inner.subscribe(channel).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}
