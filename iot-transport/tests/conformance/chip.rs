//! The client for chips, over a socket, with the client for hosts as its service.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use iot_core::retry::Policy;
use iot_core::sim::SimEntropy;
use iot_core::{DeviceId, Peer, TenantId};
use iot_transport::TokioTimer;
use iot_transport::conformance::{Lack, Pace, Subject, run};
use iot_transport::mqtt::chip::{Broken, Client, Settings, Stream};
use iot_transport::mqtt::{self, Tcp, Version};
use iot_transport::session::Terms;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::assert_passed;
use crate::mqtt::Broker;
use crate::server::Front;

const MESSAGES: usize = 8;
const BYTES: usize = 1_024;
type Device = Client<'static, Socket, TokioTimer, SimEntropy, MESSAGES, BYTES, 1_280>;

type Opening = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// A TCP stream as a chip would see it; short reads and writes on purpose.
pub(crate) struct Socket {
    address: SocketAddr,
    opening: Option<Opening>,
    stream: Option<TcpStream>,
}

impl Socket {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            opening: None,
            stream: None,
        }
    }

    fn open(&mut self) -> Result<Pin<&mut TcpStream>, Broken> {
        self.stream.as_mut().map(Pin::new).ok_or(Broken::new())
    }
}

impl Stream for Socket {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let address = self.address;
        let opening = self
            .opening
            .get_or_insert_with(|| Box::pin(TcpStream::connect(address)));
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        self.stream = Some(opened.map_err(|_| Broken::new())?);
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        let most = room.len().min(100);
        let mut room = ReadBuf::new(&mut room[..most]);
        let read = ready!(self.open()?.poll_read(cx, &mut room));
        Poll::Ready(
            read.map(|()| room.filled().len())
                .map_err(|_| Broken::new()),
        )
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let some = &bytes[..bytes.len().min(100)];
        let written = ready!(self.open()?.poll_write(cx, some));
        Poll::Ready(written.map_err(|_| Broken::new()))
    }

    fn close(&mut self) {
        (self.opening, self.stream) = (None, None);
    }
}

struct Chip {
    broker: Broker,
    front: Front,
    version: Version,
    opened: u32,
    names: (TenantId, DeviceId),
}

impl Subject for Chip {
    type Device = Device;
    type Service = mqtt::Client<Tcp>;

    async fn open(&mut self) -> (Device, mqtt::Client<Tcp>) {
        self.front.set_up(true);
        // Names of their own keep what a broker stored for earlier ends away.
        self.opened += 1;
        let name = |kind: &str| format!("{kind}{}", self.opened);
        self.names = (
            TenantId::new(&name("chips")).unwrap(),
            DeviceId::new(&name("chip")).unwrap(),
        );
        let (tenant, device) = self.names;
        let (base, cap) = (Duration::from_millis(10), Duration::from_millis(100));
        let settings = Settings::device(tenant, device)
            .with_version(self.version)
            .with_terms(Terms::new(Policy::new(base, cap)).with_window(3));
        let socket = Socket::new(self.front.address);
        let entropy = SimEntropy::new(self.opened.into());
        let device = Device::new(socket, TokioTimer::new(), entropy, settings);
        let service = DeviceId::new(&name("service")).unwrap();
        let settings = mqtt::Settings::service(tenant, service)
            .with_version(self.version)
            .with_retry(base, cap)
            .with_queue(100, 16 << 20)
            .with_payload_limit(BYTES);
        let tcp = Tcp::new(self.front.address.to_string());
        (device, mqtt::Client::new(tcp, settings))
    }

    async fn set_link(&mut self, _: &mut Device, _: &mut mqtt::Client<Tcp>, up: bool) {
        self.front.set_up(up);
    }

    async fn lose_session(&mut self, _: &mut Device, _: &mut mqtt::Client<Tcp>) {
        self.broker.restart_empty().await;
    }

    async fn pause(&mut self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    fn peer(&self) -> Option<Peer<'_>> {
        Some(Peer::new(&self.names.0, &self.names.1))
    }

    fn lacks(&self) -> &[Lack] {
        &[Lack::EndToEnd]
    }

    fn pace(&self) -> Pace {
        Pace::NETWORK
    }
}

async fn passes(broker: Broker, version: Version) {
    let front = Front::before(broker.address()).await;
    let mut chip = Chip {
        broker,
        front,
        version,
        opened: 0,
        names: (TenantId::new("t").unwrap(), DeviceId::new("d").unwrap()),
    };
    assert_passed(&run(&mut chip).await, &[Lack::EndToEnd]);
}

#[tokio::test]
async fn the_chip_passes_through_the_hub_with_mqtt_3() {
    passes(Broker::hub().await, Version::V3).await;
}

#[tokio::test]
async fn the_chip_passes_through_the_hub_with_mqtt_5() {
    passes(Broker::hub().await, Version::V5).await;
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn the_chip_passes_through_mosquitto_with_mqtt_3() {
    passes(Broker::mosquitto().await, Version::V3).await;
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn the_chip_passes_through_mosquitto_with_mqtt_5() {
    passes(Broker::mosquitto().await, Version::V5).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_chip_passes_through_the_gateway_of_nats_with_mqtt_3() {
    passes(Broker::nats().await, Version::V3).await;
}
