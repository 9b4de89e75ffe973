//! The MQTT client against rumqttc, before one real broker, in the time that the client's thread computes.
//!
//! Rates by the clock say how busy the machine was; what a client costs is what it computes for each message that the
//! broker has acknowledged. Both keep up to 100 messages under way, and take turns before the same Mosquitto.

use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use iot_benches::{Goal, Ratio};
use iot_core::port::{Transport, TransportError, TransportErrorKind};
use iot_core::{DeviceId, Event, Fate, Message, TenantId};
use iot_transport::mqtt::{Client, Settings, Tcp};
use rumqttc::{AsyncClient, MqttOptions, Packet, QoS};
use tokio::runtime::{Builder, Runtime};

const MESSAGES: u32 = 20_000;
const UNDER_WAY: usize = 100;
const PAYLOAD: [u8; 100] = [0x5A; 100];
const ROUNDS: u32 = 5;

/// A broker of this run's own, ended with it.
struct Broker {
    process: Child,
    address: SocketAddr,
}

impl Broker {
    fn start() -> Result<Self, Box<dyn Error>> {
        let free = TcpListener::bind("127.0.0.1:0")?;
        let address = free.local_addr()?;
        drop(free);
        let process = Command::new("mosquitto")
            .args(["-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("mosquitto does not start, is it installed? {error}"))?;
        let broker = Self { process, address };
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                return Ok(broker);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err("mosquitto does not listen".into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What this thread has computed so far, in nanoseconds.
fn computed() -> Result<f64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = statistics.split(' ').next().unwrap_or_default();
    Ok(first.parse()?)
}

/// A runtime that computes on this thread alone.
fn runtime() -> Result<Runtime, Box<dyn Error>> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Sends all messages and reads the fate of each; gives nanoseconds of computing for each.
fn ours(address: SocketAddr, round: u32) -> Result<f64, Box<dyn Error>> {
    let device = DeviceId::new(&format!("ours-{round}"))?;
    let settings = Settings::device(TenantId::new("acme")?, device).with_queue(UNDER_WAY, 1 << 20);
    let mut client = Client::new(Tcp::new(address.to_string()), settings);
    let mut buffer = [0; 256];
    runtime()?.block_on(async {
        client.connected(Duration::from_secs(10)).await?;
        let before = computed()?;
        let (mut sent, mut delivered) = (0, 0);
        while delivered < MESSAGES {
            while sent < MESSAGES {
                match client.submit(&Message::telemetry(&PAYLOAD)).await {
                    Ok(_) => sent += 1,
                    Err(error) if error.kind() == TransportErrorKind::Busy => break,
                    Err(error) => return Err(error.into()),
                }
            }
            match client.next(&mut buffer).await? {
                Event::Settled {
                    fate: Fate::Delivered,
                    ..
                } => delivered += 1,
                Event::Settled { fate, .. } => return Err(format!("{fate:?}").into()),
                _ => {}
            }
        }
        Ok((computed()? - before) / f64::from(MESSAGES))
    })
}

/// The same with the peer, which tells no fates: its acknowledgements are counted.
fn peers(address: SocketAddr, round: u32) -> Result<f64, Box<dyn Error>> {
    let mut options = MqttOptions::new(format!("peer-{round}"), "127.0.0.1", address.port());
    options
        .set_inflight(100)
        .set_keep_alive(Duration::from_secs(60));
    let topic = format!("iot/1/acme/peer-{round}/telemetry/up");
    runtime()?.block_on(async {
        let (client, mut events) = AsyncClient::new(options, UNDER_WAY);
        while !matches!(
            events.poll().await?,
            rumqttc::Event::Incoming(Packet::ConnAck(_))
        ) {}
        let before = computed()?;
        let (mut sent, mut acknowledged) = (0, 0);
        while acknowledged < MESSAGES {
            while sent < MESSAGES
                && client
                    .try_publish(topic.as_str(), QoS::AtLeastOnce, false, PAYLOAD)
                    .is_ok()
            {
                sent += 1;
            }
            if let rumqttc::Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
                acknowledged += 1;
            }
        }
        Ok((computed()? - before) / f64::from(MESSAGES))
    })
}

/// What a message at least once costs the client's thread, its result included.
pub(crate) fn mqtt_publish() -> Result<Ratio, Box<dyn Error>> {
    let broker = Broker::start()?;
    let (mut best, mut best_of_peer) = (f64::MAX, f64::MAX);
    for round in 0..ROUNDS {
        best = best.min(ours(broker.address, round)?);
        best_of_peer = best_of_peer.min(peers(broker.address, round)?);
    }
    Ok(Ratio::new(
        "mqtt_publish",
        best,
        best_of_peer,
        "ns",
        Goal::AtMost(0.65),
    ))
}
