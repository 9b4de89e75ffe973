//! What the client promises, against a real Mosquitto that each test starts for itself.
//!
//! `IOT_MESSAGES` says how many messages go through the broker that is killed and over the links that are cut:
//! 200,000 for the full count.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::Arc;

use iot_core::port::Transport;
use iot_core::sim::SimEntropy;
use iot_core::{Channel, Event, Fate, Message, Ticket};
use iot_transport::mqtt::{Client, Extras, Reason, Tcp, Version, Will};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::common::{
    PATIENCE, device, device_settings, drain, service, service_settings, settled, until,
};
use crate::mosquitto::{Mosquitto, listen};

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];
/// The full counts take minutes.
const LONG: Duration = Duration::from_secs(600);

fn messages() -> usize {
    env::var("IOT_MESSAGES").map_or(4_000, |count| count.parse().unwrap())
}

/// Numbers that are submitted one after the other, and what became of each.
#[derive(Default)]
struct Load {
    tickets: BTreeSet<Ticket>,
    fates: BTreeMap<Ticket, Fate>,
}

impl Load {
    /// Keeps messages under way until `told` fates are known.
    async fn run(&mut self, device: &mut Client<Tcp>, all: usize, told: usize) {
        let mut buffer = [0; 256];
        while self.fates.len() < told {
            while self.tickets.len() < all && self.tickets.len() < self.fates.len() + 500 {
                let number = u32::try_from(self.tickets.len()).unwrap().to_be_bytes();
                let ticket = device.submit(&Message::telemetry(&number)).await.unwrap();
                assert!(self.tickets.insert(ticket));
            }
            if let Event::Settled { ticket, fate } = device.next(&mut buffer).await.unwrap() {
                let before = self.fates.insert(ticket, fate);
                assert_eq!(before, None, "a ticket met two fates");
            }
        }
    }

    fn check(&self, all: usize) {
        assert_eq!(self.tickets.len(), all);
        assert!(self.fates.keys().eq(&self.tickets), "a message has no fate");
        let delivered = |fate: &Fate| *fate == Fate::Delivered;
        assert!(self.fates.values().all(delivered));
    }
}

/// Hears telemetry until told otherwise; the different payloads.
async fn hear(service: &mut Client<Tcp>, heard: &mut BTreeSet<Vec<u8>>, enough: usize) {
    let mut buffer = [0; 1_024];
    while heard.len() < enough {
        if let Event::Message(message) = service.next(&mut buffer).await.unwrap() {
            heard.insert(message.payload.to_vec());
        }
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn a_broker_killed_under_load_and_restarted_empty_costs_no_message_its_fate() {
    for version in VERSIONS {
        let all = messages();
        let mut broker = Mosquitto::start().await;
        let mut device = device(broker.address, "d1", version);
        let mut load = Load::default();
        let run = async {
            load.run(&mut device, all, all / 2).await;
            // The load goes on while the broker is away; dropping it in the middle must not matter.
            tokio::select! {
                () = load.run(&mut device, all, all) => panic!("it went on without a broker"),
                () = broker.restart_empty() => {}
            }
            load.run(&mut device, all, all).await;
        };
        tokio::time::timeout(LONG, run).await.unwrap();
        load.check(all);
        let stats = device.stats();
        assert!(stats.connections > 1, "the broker was never away");
        println!("{version:?}: {all} submitted, {all} told delivered, {stats:?}");
    }
}

/// A way to the broker that breaks after random numbers of bytes, as often as it was told.
struct Cutter {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Cutter {
    /// `bytes` go over a link on average before it breaks.
    async fn start(broker: SocketAddr, cuts: usize, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let counter = done.clone();
        tokio::spawn(async move {
            let mut random = SimEntropy::new(7);
            while let Ok((client, _)) = listener.accept().await {
                let left = bytes / 2 + random.below(bytes);
                let last = counter.load(Ordering::Relaxed) >= cuts;
                let counter = counter.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(broker).await.unwrap();
                    if pass(client, server, if last { u64::MAX } else { left }).await {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self {
            address,
            cuts: done,
        }
    }
}

/// Passes bytes both ways; true when they are used up, and the link is cut in the middle of whatever there is.
async fn pass(mut client: TcpStream, mut server: TcpStream, mut left: u64) -> bool {
    let (mut up, mut down) = ([0; 512], [0; 512]);
    loop {
        let (count, from_client) = tokio::select! {
            count = client.read(&mut up) => (count, true),
            count = server.read(&mut down) => (count, false),
        };
        let Ok(count @ 1..) = count else {
            return false;
        };
        let some = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let sent = if from_client {
            server.write_all(&up[..some]).await
        } else {
            client.write_all(&down[..some]).await
        };
        left -= some as u64;
        if left == 0 {
            return true;
        }
        if sent.is_err() {
            return false;
        }
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn fifty_cuts_lose_no_message() {
    const CUTS: usize = 50;
    // Up, and the acknowledgement down.
    const MESSAGE_BYTES: u64 = 40;
    for version in VERSIONS {
        let all = messages();
        // Half of the messages go over links that are cut.
        let bytes = MESSAGE_BYTES * all as u64 / (2 * CUTS as u64);
        let broker = Mosquitto::start_with("max_queued_messages 0").await;
        let cutter = Cutter::start(broker.address, CUTS, bytes.max(200)).await;
        let mut service = service(broker.address, version);
        listen(&mut service).await;
        let mut device = device(cutter.address, "d1", version);
        let (mut load, mut heard) = (Load::default(), BTreeSet::new());
        let run = async {
            tokio::join!(
                load.run(&mut device, all, all),
                hear(&mut service, &mut heard, all)
            )
        };
        tokio::time::timeout(LONG, run).await.unwrap();
        load.check(all);
        let (cuts, stats) = (cutter.cuts.load(Ordering::Relaxed), device.stats());
        assert!(cuts >= CUTS, "only {cuts} cuts");
        assert!(stats.resent > 0, "no cut hurt");
        assert_eq!(heard.len(), all);
        println!("{version:?}: {cuts} cuts, {all} submitted and heard, {stats:?}");
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn five_hundred_clients_get_everything_through() {
    const CLIENTS: usize = 500;
    const EACH: u8 = 4;
    // Mosquitto drops what a subscriber does not take at once beyond 1,000 messages: none of ours here.
    let broker = Mosquitto::start_with("max_queued_messages 0").await;
    let mut service = service(broker.address, Version::V5);
    listen(&mut service).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let version = VERSIONS[number % 2];
        let mut device = device(broker.address, &format!("d{number}"), version);
        clients.spawn(async move {
            for message in 0..EACH {
                device
                    .submit(&Message::telemetry(&[message]))
                    .await
                    .unwrap();
            }
            settled(&mut device, EACH.into()).await
        });
    }
    let all = CLIENTS * usize::from(EACH);
    let (fates, heard) = tokio::join!(clients.join_all(), drain(&mut service, all));
    let mut fates = fates.iter().flat_map(BTreeMap::values);
    assert!(fates.all(|fate| *fate == Fate::Delivered));
    assert_eq!(heard.len(), all);
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn with_a_receive_maximum_of_one_on_either_side_everything_arrives() {
    let broker = Mosquitto::start_with("max_inflight_messages 1").await;
    for (window, version) in [(64, Version::V5), (1, Version::V5), (1, Version::V3)] {
        let settings = service_settings().with_version(version).with_window(window);
        let mut service = Client::new(Tcp::new(broker.address.to_string()), settings);
        listen(&mut service).await;
        let settings = device_settings("d1").with_version(version);
        let settings = settings.with_window(window);
        let mut device = Client::new(Tcp::new(broker.address.to_string()), settings);
        for number in 0..200_u8 {
            device.submit(&Message::telemetry(&[number])).await.unwrap();
        }
        let (fates, heard) = tokio::join!(settled(&mut device, 200), drain(&mut service, 200));
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(heard.len(), 200);
        assert_eq!(device.stats().connections, 1, "the broker found fault");
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn an_oversized_message_is_refused_on_5_expires_on_3_and_takes_no_other_with_it() {
    let broker = Mosquitto::start_with("max_packet_size 1000").await;
    for (version, expected) in [(Version::V5, Fate::Refused), (Version::V3, Fate::Expired)] {
        let mut device = device(broker.address, "d1", version);
        let large = Message::telemetry(&[0; 2_000]).expires_in(Duration::from_secs(2));
        let large = device.submit(&large).await.unwrap();
        let mut small = BTreeSet::new();
        for number in 0..50_u8 {
            small.insert(device.submit(&Message::telemetry(&[number])).await.unwrap());
        }
        let fates = settled(&mut device, 51).await;
        assert_eq!(fates[&large], expected);
        assert!(small.iter().all(|ticket| fates[ticket] == Fate::Delivered));
        if version == Version::V5 {
            assert_eq!(device.last_refusal(), Some((large, Reason::TooLarge)));
            assert_eq!(device.stats().connections, 1);
        }
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn retained_messages_wills_properties_and_sessions_work_with_mosquitto() {
    for version in VERSIONS {
        let broker = Mosquitto::start().await;
        let mut device = device(broker.address, "d1", version);
        let extras = match version {
            Version::V3 => Extras::new().retained(),
            _ => Extras::new().retained().with_property("site", "north"),
        };
        device
            .submit_with(&Message::telemetry(b"21.5"), &extras)
            .unwrap();
        settled(&mut device, 1).await;

        let mut service = service(broker.address, version);
        service.subscribe(Channel::Telemetry).await.unwrap();
        service.subscribe(Channel::Health).await.unwrap();
        until(&mut service, |event| matches!(event, Event::Message(_))).await;
        assert!(service.was_retained());
        let told: Vec<_> = service.properties().collect();
        match version {
            Version::V3 => assert_eq!(told, []),
            _ => assert_eq!(told, [("site", "north")]),
        }

        let will = Will::new(&Message::new(Channel::Health, b"gone"));
        let settings = device_settings("d2").with_version(version);
        let settings = settings.with_will(will).unwrap();
        let mut rude = Client::new(Tcp::new(broker.address.to_string()), settings);
        rude.connected(PATIENCE).await.unwrap();
        drop(rude);
        let heard = drain(&mut service, 1).await;
        assert_eq!((heard[0].1.as_str(), heard[0].2), ("d2", Channel::Health));
    }
    let broker = Mosquitto::start().await;
    for (expiry_s, kept) in [(0, false), (60, true)] {
        let settings = device_settings("d3")
            .with_version(Version::V5)
            .with_session_expiry(Duration::from_secs(expiry_s));
        let mut device = Client::new(Tcp::new(broker.address.to_string()), settings);
        device.connected(PATIENCE).await.unwrap();
        device.reconnect(PATIENCE);
        until(&mut device, |event| matches!(event, Event::Disconnected)).await;
        until(
            &mut device,
            |event| matches!(event, Event::Connected { resumed } if *resumed == kept),
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn reconnecting_at_chosen_moments_under_load_sends_nothing_twice() {
    for version in VERSIONS {
        let all = 2_000;
        let broker = Mosquitto::start().await;
        let mut device = device(broker.address, "d1", version);
        let mut load = Load::default();
        for part in 1..=5 {
            load.run(&mut device, all, all * part / 5).await;
            device.reconnect_through(Tcp::new(broker.address.to_string()), PATIENCE);
        }
        load.check(all);
        let stats = device.stats();
        assert_eq!(stats.resent, 0, "{stats:?}");
        assert!(stats.connections >= 5, "{stats:?}");
    }
}
