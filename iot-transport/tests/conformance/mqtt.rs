//! The MQTT client through our hub, Mosquitto and the gateway of NATS.

use core::net::SocketAddr;
use core::time::Duration;

use iot_core::port::Transport;
use iot_core::{DeviceId, Message, Peer, TenantId};
use iot_transport::TokioTimer;
use iot_transport::conformance::{Lack, Pace, Subject, run};
use iot_transport::layer::{ByteBudget, Layered as _, Limited, Measured, Meter};
use iot_transport::mqtt::hub::Listening;
use iot_transport::mqtt::{Client, Hub, Settings, Tcp, Version};

use crate::assert_passed;
use crate::server::{Front, Server, free_port};

pub(crate) enum Broker {
    Hub(Hub, Listening),
    Process(Server),
}

impl Broker {
    pub(crate) async fn hub() -> Self {
        let hub = Hub::default();
        let listening = hub.listen("127.0.0.1:0").await.unwrap();
        Self::Hub(hub, listening)
    }

    pub(crate) async fn mosquitto() -> Self {
        let port = free_port();
        let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
        Self::Process(Server::start("mosquitto", port, config).await)
    }

    pub(crate) async fn nats() -> Self {
        let (port, own) = (free_port(), free_port());
        let config = format!(
            "server_name: test\nlisten: 127.0.0.1:{own}\njetstream {{ store_dir: \"FOLDER\" }}\n\
             mqtt {{ host: 127.0.0.1, port: {port}, ack_wait: \"2s\" }}\n"
        );
        Self::Process(Server::start("nats-server", port, config).await)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Hub(_, listening) => listening.address(),
            Self::Process(server) => server.address,
        }
    }

    pub(crate) async fn restart_empty(&mut self) {
        match self {
            Self::Hub(hub, _) => hub.restart_empty(),
            Self::Process(server) => server.restart_empty().await,
        }
    }
}

struct Mqtt<W> {
    broker: Broker,
    wrap: fn(Client<Tcp>) -> W,
    front: Front,
    version: Version,
    opened: u32,
    names: (TenantId, DeviceId),
}

impl<W> Mqtt<W> {
    async fn new(broker: Broker, version: Version, wrap: fn(Client<Tcp>) -> W) -> Self {
        let front = Front::before(broker.address()).await;
        Self {
            broker,
            wrap,
            front,
            version,
            opened: 0,
            names: (TenantId::new("t").unwrap(), DeviceId::new("d").unwrap()),
        }
    }

    fn client(&self, settings: Settings) -> W {
        let settings = settings
            .with_version(self.version)
            .with_retry(Duration::from_millis(10), Duration::from_millis(100))
            .with_queue(100, 16 << 20)
            .with_payload_limit(100_000);
        (self.wrap)(Client::new(
            Tcp::new(self.front.address.to_string()),
            settings,
        ))
    }
}

impl<W: Transport> Subject for Mqtt<W> {
    type Device = W;
    type Service = W;

    async fn open(&mut self) -> (W, W) {
        self.front.set_up(true);
        // Names of their own keep what a broker stored for earlier ends away.
        self.opened += 1;
        let name = |kind: &str| format!("{kind}{}", self.opened);
        self.names = (
            TenantId::new(&name("tenant")).unwrap(),
            DeviceId::new(&name("device")).unwrap(),
        );
        let (tenant, device) = self.names;
        let service = DeviceId::new(&name("service")).unwrap();
        (
            self.client(Settings::device(tenant, device)),
            self.client(Settings::service(tenant, service)),
        )
    }

    async fn set_link(&mut self, _: &mut W, _: &mut W, up: bool) {
        self.front.set_up(up);
    }

    async fn lose_session(&mut self, _: &mut W, _: &mut W) {
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
    let report = run(&mut Mqtt::new(broker, version, |client| client).await).await;
    assert_passed(&report, &[Lack::EndToEnd]);
}

/// What a gateway builds: a budget and a meter over the client, moved to a task of its own.
fn gateway(client: Client<Tcp>) -> Measured<Limited<Client<Tcp>, TokioTimer>, TokioTimer> {
    let timer = TokioTimer::new();
    client
        .layer(ByteBudget::per_day(20_000_000, timer))
        .layer(Meter::new(timer))
}

#[tokio::test]
async fn a_budget_and_a_meter_over_the_client_pass_through_the_hub() {
    let mut subject = Mqtt::new(Broker::hub().await, Version::V5, gateway).await;
    assert_passed(&run(&mut subject).await, &[Lack::EndToEnd]);
    let (mut device, _service) = subject.open().await;
    let spawned = tokio::spawn(async move {
        let mut buffer = [0; 64];
        device.submit(&Message::telemetry(b"21.5")).await.unwrap();
        while device.readings().delivered == 0 {
            device.next(&mut buffer).await.unwrap();
        }
        *device.readings()
    });
    let readings = spawned.await.unwrap();
    assert_eq!((readings.submitted, readings.latency.count()), (1, 1));
}

#[cfg(feature = "dynamic")]
#[tokio::test]
async fn the_boxed_client_passes_through_the_hub() {
    use iot_transport::dynamic::DynTransport;
    let boxed = |client| -> Box<dyn DynTransport> { Box::new(client) };
    let mut subject = Mqtt::new(Broker::hub().await, Version::V3, boxed).await;
    assert_passed(&run(&mut subject).await, &[Lack::EndToEnd]);
}

#[tokio::test]
async fn the_client_passes_through_the_hub_with_mqtt_3() {
    passes(Broker::hub().await, Version::V3).await;
}

#[tokio::test]
async fn the_client_passes_through_the_hub_with_mqtt_5() {
    passes(Broker::hub().await, Version::V5).await;
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn the_client_passes_through_mosquitto_with_mqtt_3() {
    passes(Broker::mosquitto().await, Version::V3).await;
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn the_client_passes_through_mosquitto_with_mqtt_5() {
    passes(Broker::mosquitto().await, Version::V5).await;
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_client_passes_through_the_gateway_of_nats_with_mqtt_3() {
    passes(Broker::nats().await, Version::V3).await;
}
