//! Bindings without a server: the link in memory and the simulated net, as they are or wrapped.

use core::time::Duration;

use iot_core::Peer;
use iot_core::port::Transport;
use iot_core::sim::{Faults, SimClock};
use iot_transport::conformance::{Lack, Pace, Subject};
use iot_transport::memory::{self, Link};
use iot_transport::sim::{self, Net, Sessions};

pub(crate) type MemoryEnd = memory::End<'static, 4, 300>;

pub(crate) struct Memory<W> {
    wrap: fn(MemoryEnd) -> W,
    inner: fn(&mut W) -> &mut MemoryEnd,
}

impl<W> Memory<W> {
    pub(crate) const fn new(wrap: fn(MemoryEnd) -> W, inner: fn(&mut W) -> &mut MemoryEnd) -> Self {
        Self { wrap, inner }
    }
}

impl<W: Transport> Subject for Memory<W> {
    type Device = W;
    type Service = W;
    async fn open(&mut self) -> (W, W) {
        let (device, service) = Box::leak(Box::new(Link::new())).split();
        ((self.wrap)(device), (self.wrap)(service))
    }
    async fn set_link(&mut self, device: &mut W, _: &mut W, up: bool) {
        (self.inner)(device).set_connected(up);
    }
    async fn pause(&mut self, _: Duration) {}
    fn lacks(&self) -> &[Lack] {
        &[Lack::Session, Lack::Clock]
    }
    fn pace(&self) -> Pace {
        Pace::IMMEDIATE
    }
}

pub(crate) struct Simulated<W> {
    net: Net,
    seed: u64,
    faults: Faults,
    lacks: Vec<Lack>,
    wrap: fn(sim::End) -> W,
    inner: fn(&mut W) -> &mut sim::End,
}

impl<W> Simulated<W> {
    pub(crate) fn new(
        seed: u64,
        faults: Faults,
        wrap: fn(sim::End) -> W,
        inner: fn(&mut W) -> &mut sim::End,
    ) -> Self {
        Self {
            net: Net::new(seed, SimClock::new(), faults),
            seed,
            faults,
            lacks: vec![Lack::EndToEnd],
            wrap,
            inner,
        }
    }

    pub(crate) fn without(mut self, lack: Lack) -> Self {
        self.lacks.push(lack);
        self
    }
}

impl<W: Transport> Subject for Simulated<W> {
    type Device = W;
    type Service = W;
    async fn open(&mut self) -> (W, W) {
        self.seed = self.seed.wrapping_add(1 << 32);
        self.net = Net::new(self.seed, SimClock::new(), self.faults);
        let device = self.net.device("acme", "boiler-7").unwrap();
        let service = self.net.service("acme").unwrap();
        ((self.wrap)(device), (self.wrap)(service))
    }
    async fn set_link(&mut self, device: &mut W, service: &mut W, up: bool) {
        for end in [device, service] {
            (self.inner)(end).set_connected(up);
        }
    }
    async fn lose_session(&mut self, _: &mut W, _: &mut W) {
        self.net.restart_broker(Sessions::Lost);
    }
    async fn pause(&mut self, span: Duration) {
        self.net.advance(span);
    }
    fn peer(&self) -> Option<Peer<'_>> {
        Peer::parse("acme", "boiler-7").ok()
    }
    fn lacks(&self) -> &[Lack] {
        &self.lacks
    }
    fn pace(&self) -> Pace {
        let ms = Duration::from_millis;
        Pace::new(ms(10), ms(60_000), ms(1_000))
    }
}
