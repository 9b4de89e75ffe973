//! Simulated surroundings that fail on purpose, repeatably by seed. Users test with what we test with.

mod clock;
mod counter;
mod entropy;
mod exchange;
pub mod flash;
mod key;
mod network;
pub mod power;

pub use clock::SimClock;
pub use counter::SimCounter;
pub use entropy::SimEntropy;
pub use exchange::{SimExchange, SimExchangeError};
pub use flash::SimFlash;
pub use key::ToyKey;
pub use network::{Faults, SimError, SimLink, SimNetwork};
