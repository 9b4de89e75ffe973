//! What hangs on the gateway's own wires: sensors too simple for a network of their own.
//!
//! Each speaks to the gateway over a link in memory, as it would over a bus; the gateway numbers what they
//! say and forwards it under their names.

use std::task::{Context, Waker};

use iot_core::node::block_on;
use iot_core::port::Transport;
use iot_core::sim::SimEntropy;
use iot_core::{Channel, Event, Message};
use iot_transport::memory::{Link, MemoryError};

use crate::pack::{self, Pack};
use crate::sensor::Sensor;

const PLACES: usize = 2;
const PLACE_BYTES: usize = 192;

/// A sensor on a wire.
#[derive(Debug)]
pub struct Wired {
    name: String,
    sensor: Sensor,
    link: Link<PLACES, PLACE_BYTES>,
    spoken: u64,
}

impl Wired {
    pub fn new(number: usize, random: SimEntropy) -> Self {
        let (name, sensor) = (format!("wired-{number}"), Sensor::new(random));
        Self {
            name,
            sensor,
            link: Link::new(),
            spoken: 0,
        }
    }

    /// Lets the sensor measure once; what it says is forwarded as the gateway's pack of that number.
    pub fn forward(&mut self, number: u64) -> Result<Option<Vec<u8>>, MemoryError> {
        let next = self.spoken + 1;
        let Some(said) = self.sensor.measure(next, &self.name) else {
            return Ok(None);
        };
        // Everything on a wire of this program is there as soon as it was said: nothing waits here.
        let Some(mut heard) = block_on(carry(&mut self.link, &said))? else {
            return Ok(None);
        };
        self.spoken = heard.number;
        heard.number = number;
        Ok(Some(pack::encode(&self.name, &heard)))
    }
}

async fn carry(
    link: &mut Link<PLACES, PLACE_BYTES>,
    said: &[u8],
) -> Result<Option<Pack>, MemoryError> {
    let (mut sensor, mut gateway) = link.split();
    gateway.subscribe(Channel::Telemetry).await?;
    sensor.submit(&Message::telemetry(said)).await?;
    let mut buffer = [0; PLACE_BYTES];
    let heard = loop {
        if let Event::Message(message) = gateway.next(&mut buffer).await? {
            break pack::decode(message.payload);
        }
    };
    // Coming back for more acknowledges the message, and the sensor learns of it.
    let mut waiting = core::pin::pin!(gateway.next(&mut buffer));
    let mut context = Context::from_waker(Waker::noop());
    let _ = waiting.as_mut().poll(&mut context);
    let mut fates = [0; PLACE_BYTES];
    while !matches!(sensor.next(&mut fates).await?, Event::Settled { .. }) {}
    Ok(heard)
}
