//! Devices, services and a broker in virtual time, the same way for the same seed.
//!
//! A [`Net`] has one broker and any number of ends; each [`End`] is a [`Transport`]. Ends and broker speak the
//! protocol of MQTT at quality of service 0 and 1 over links that delay, lose, double and reorder packets, are
//! cut, fall silent, and come back; the broker restarts with and without its sessions. There are no threads,
//! no sockets and no wall clock: time moves when [`Net::step`] or [`Net::advance`] moves it.
//!
//! An end keeps the contract of a transport under all of that, except that messages overtake each other where
//! packets do. What a broker that lost its sessions had accepted is gone: to notice that is the work of what
//! stands above, and to make it happen is the work of this module.
//!
//! ```
//! use core::time::Duration;
//! use iot_core::node::block_on;
//! use iot_core::port::Transport;
//! use iot_core::sim::{Faults, SimClock};
//! use iot_core::{Channel, Event, Message};
//! use iot_transport::sim::{Net, SimError};
//!
//! let net = Net::new(7, SimClock::new(), Faults::new(100, 100, 5, 40)); // a tenth lost, a tenth doubled
//! let mut device = net.device("acme", "boiler-7")?;
//! let mut service = net.service("acme")?;
//! block_on(async {
//!     service.subscribe(Channel::Telemetry).await?;
//!     net.advance(Duration::from_secs(5)); // both connect
//!     device.submit(&Message::telemetry(b"21.5")).await?;
//!     net.advance(Duration::from_secs(5));
//!     let mut buffer = [0; 64];
//!     assert!(matches!(service.next(&mut buffer).await?, Event::Connected { resumed: false }));
//!     let Event::Message(message) = service.next(&mut buffer).await? else { unreachable!() };
//!     assert_eq!(message.payload, b"21.5");
//!     assert_eq!(message.peer.map(|peer| peer.device()), Some("boiler-7"));
//!     Ok::<(), SimError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Transport`]: iot_core::port::Transport

mod broker;
mod client;
mod end;
mod weather;
mod world;

use alloc::rc::Rc;
use core::cell::RefCell;
use core::time::Duration;

use iot_core::id::NameError;
use iot_core::sim::{Faults, SimClock};
use iot_core::{Instant, Peer};

use self::world::World;

pub use end::{End, SimError};
pub use weather::{Sessions, Weather};

/// How ends and broker behave; every value has a default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rules {
    /// The longest payload in bytes; 64 KiB.
    pub payload_bytes: usize,
    /// How many messages of one end may wait for their fate, or for it to be read; 64.
    pub in_flight: usize,
    /// How many messages may be on a link unacknowledged, each way; 16.
    pub window: usize,
    /// After how many milliseconds without an answer a packet is sent again; 500.
    pub resend_ms: u64,
    /// After how many milliseconds of silence both sides give a link up; 3,000.
    pub silence_ms: u64,
    /// The longest pause before the first attempt to connect again, in milliseconds; it doubles up to
    /// eightfold; 200.
    pub retry_ms: u64,
    /// How many messages the broker keeps for one end; what comes then is dropped and counted; 100,000.
    pub queue: usize,
}

impl Rules {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        payload_bytes: 64 << 10,
        in_flight: 64,
        window: 16,
        resend_ms: 500,
        silence_ms: 3_000,
        retry_ms: 200,
        queue: 100_000,
    };

    /// Sets how many messages of one end may wait, and how many of them may be on its link.
    #[must_use]
    pub const fn with_room(mut self, in_flight: usize, window: usize) -> Self {
        self.in_flight = in_flight;
        self.window = window;
        self
    }

    /// Sets the longest payload in bytes.
    #[must_use]
    pub const fn with_payload_limit(mut self, bytes: usize) -> Self {
        self.payload_bytes = bytes;
        self
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What happened so far: a test asserts that its faults fired.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages that ends submitted.
    pub submitted: u64,
    /// Messages handed over to ends, repetitions included.
    pub handed: u64,
    /// Packets put on links.
    pub packets: u64,
    /// Packets that links lost.
    pub lost: u64,
    /// Packets that links doubled.
    pub doubled: u64,
    /// Messages sent again because no answer came.
    pub resent: u64,
    /// Messages that the broker refused.
    pub refused: u64,
    /// Messages that ran out of time at an end or in the broker.
    pub expired: u64,
    /// Links cut.
    pub cuts: u64,
    /// Links that fell silent.
    pub partitions: u64,
    /// Restarts of the broker.
    pub restarts: u64,
    /// Messages that the broker had accepted and lost with its sessions.
    pub discarded: u64,
    /// Messages that the broker accepted and nobody had asked for.
    pub unrouted: u64,
    /// Messages that the broker dropped because a queue was full, or at most once because nobody was there.
    pub dropped: u64,
    /// Messages that forgetful ends cleared without a fate.
    pub forgotten: u64,
}

/// One broker and its ends in one virtual time; clones share it.
#[derive(Clone, Debug)]
pub struct Net {
    world: Rc<RefCell<World>>,
    clock: SimClock,
}

impl Net {
    /// A broker without ends; `faults` are those of every packet.
    #[must_use]
    pub fn new(seed: u64, clock: SimClock, faults: Faults) -> Self {
        Self::with_rules(seed, clock, faults, Rules::DEFAULT)
    }

    /// The same with other rules.
    #[must_use]
    pub fn with_rules(seed: u64, clock: SimClock, faults: Faults, rules: Rules) -> Self {
        Self {
            world: Rc::new(RefCell::new(World::new(seed, faults, rules))),
            clock,
        }
    }

    /// The end of one device: its messages carry no peer.
    ///
    /// # Errors
    ///
    /// [`NameError`] when a name is not valid. A second end of the same name takes the first one's messages.
    pub fn device(&self, tenant: &str, device: &str) -> Result<End, NameError> {
        Peer::parse(tenant, device)?;
        Ok(self.end(tenant, Some(device)))
    }

    /// The end of a service: it reaches every device of `tenant`, and each message carries its peer.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name is not valid.
    pub fn service(&self, tenant: &str) -> Result<End, NameError> {
        Peer::parse(tenant, "service")?;
        Ok(self.end(tenant, None))
    }

    fn end(&self, tenant: &str, device: Option<&str>) -> End {
        let now = self.now();
        let me = self.world.borrow_mut().add_end(now, tenant, device);
        End::new(self.clone(), me)
    }

    /// Changes what packets suffer from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }

    /// Lets links break and the broker restart at random from now on.
    pub fn set_weather(&self, weather: Weather) {
        let now = self.now();
        self.world.borrow_mut().set_weather(now, weather);
    }

    /// Ends all faults and heals every link, so that everything can come to rest.
    pub fn calm(&self) {
        let now = self.now();
        let mut world = self.world.borrow_mut();
        world.faults = Faults::NONE;
        world.set_weather(now, Weather::CALM);
        world.heal_all(now);
    }

    /// Restarts the broker: every link breaks.
    pub fn restart_broker(&self, sessions: Sessions) {
        let now = self.now();
        self.world.borrow_mut().restart(now, sessions);
    }

    /// Moves the clock to the next thing that happens and lets it happen; false when nothing is left to.
    #[allow(
        clippy::must_use_candidate,
        reason = "whoever steps a number of times does not ask"
    )]
    pub fn step(&self) -> bool {
        let Some(at) = self.next_at() else {
            return false;
        };
        self.clock.advance(at.since(self.clock.instant()));
        self.catch_up();
        true
    }

    /// Lets `span` pass. Ends are not asked for anything meanwhile.
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.catch_up();
    }

    /// When the next thing happens; `None` when nothing is left to.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.world.borrow().next_at().map(Instant::from_millis)
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.world.borrow().counts
    }

    /// A digest of everything that happened so far, in its order: the same run has the same one.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.world.borrow().digest
    }

    fn now(&self) -> u64 {
        self.clock.instant().as_millis()
    }

    fn catch_up(&self) {
        let now = self.now();
        self.world.borrow_mut().run(now);
    }
}

#[cfg(test)]
mod tests;
