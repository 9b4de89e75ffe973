//! What a room measures.

use iot_core::sim::SimEntropy;

use crate::pack::{self, Pack};

/// A thermometer and an occupancy sensor with a life of their own.
#[derive(Clone, Debug)]
pub struct Sensor {
    random: SimEntropy,
    tenths: i64,
    occupied: bool,
    filter: pack::Filter,
}

impl Sensor {
    pub fn new(mut random: SimEntropy) -> Self {
        let tenths = 180 + random.below(40) as i64;
        Self {
            random,
            tenths,
            occupied: false,
            filter: pack::filter(),
        }
    }

    /// A generator of its own for something else, which does not change what is measured.
    pub fn chance(&self) -> SimEntropy {
        self.random.clone().fork()
    }

    /// Degrees Celsius.
    pub fn temperature(&self) -> f32 {
        self.tenths as f32 / 10.0
    }

    pub const fn occupied(&self) -> bool {
        self.occupied
    }

    /// Measures once; a pack when the reading is worth one.
    pub fn measure(&mut self, number: u64, name: &str) -> Option<Vec<u8>> {
        self.tenths += self.random.below(9) as i64 - 4;
        self.occupied = self.random.chance(300);
        let temperature = self.temperature();
        if !pack::is_worth(&mut self.filter, temperature) {
            return None;
        }
        Some(pack::encode(
            name,
            &Pack {
                number,
                temperature,
                occupied: self.occupied,
            },
        ))
    }
}
