//! A gateway between two hubs: cut again and again, with an outside that forgets.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use iot_core::engine::RecordKey;
use iot_core::node::Node;
use iot_core::port::Transport;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Channel, DeviceId, Event, Fate, Message, Peer};
use iot_transport::TokioTimer;
use iot_transport::bridge::{Bridge, Carried, Turn};
use iot_transport::envelope::Envelope;
use iot_transport::gaps::{GapTracker, Receipt};
use iot_transport::mqtt::{Client, Hub, Settings, Tcp, Version};
use iot_transport::outbox::{Cursor, Outbox};
use tokio::time::{sleep, timeout};

use crate::common::{PATIENCE, device, device_settings, service, service_settings, tenant};

const DEVICES: usize = 5;
const EACH: usize = 1_000;
const ALL: usize = DEVICES * EACH;
const CUTS: usize = 20;
const RESTARTS: usize = 4;
/// What the local hub has on the wire to the bridge at a time.
const WINDOW: u16 = 4;

type Store = Outbox<64, 8_192>;
type Local = Client<Tcp>;
type Gateway<'r> = Node<Client<Tcp>, &'r mut MemoryRecords, TokioTimer>;

fn quick(settings: Settings) -> Settings {
    settings.with_retry(Duration::from_millis(5), Duration::from_millis(40))
}

/// One life of the gateway's process; only the records outlast it.
struct Life<'r> {
    bridge: Bridge<Local, Local, 1_024>,
    node: Gateway<'r>,
    outbox: Store,
    buffer: Vec<u8>,
}

/// What the application keeps on disk.
#[derive(Default)]
struct Kept {
    cursor: Cursor,
    fates: BTreeMap<u64, Fate>,
    stored: BTreeSet<u64>,
}

impl<'r> Life<'r> {
    async fn begin(local: &str, outside: &str, records: &'r mut MemoryRecords) -> Self {
        let named = |id: &str| {
            quick(service_settings())
                .with_client_id(id)
                .with_payload_limit(512)
        };
        let bridge = Bridge::new(
            Client::new(
                Tcp::new(local),
                named("listen")
                    .with_version(Version::V5)
                    .with_keep_alive(Duration::from_secs(60_000))
                    .with_window(WINDOW),
            ),
            Client::new(Tcp::new(local), named("speak")),
        );
        let own = quick(device_settings("gateway"));
        let link = Client::new(Tcp::new(outside), own);
        let mut life = Self {
            bridge,
            node: Node::new(link, records, TokioTimer::new()),
            outbox: Store::new(RecordKey::new(0x8000), 0x5eed),
            buffer: vec![0; 16_384],
        };
        let channels = [Channel::Telemetry, Channel::Command];
        let restored = life.bridge.restore(
            &mut life.node,
            &mut life.outbox,
            &channels,
            &mut life.buffer,
        );
        restored.await.unwrap();
        life
    }

    /// Begins a turn and is cut where it waits first.
    async fn cut(mut self) {
        let mut turn = pin!(
            self.bridge
                .turn(&mut self.node, &mut self.outbox, &mut self.buffer)
        );
        poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx).is_ready())).await;
    }

    async fn turn(&mut self, kept: &mut Kept) {
        let turned = self
            .bridge
            .turn(&mut self.node, &mut self.outbox, &mut self.buffer);
        match turned.await.unwrap() {
            Turn::Moved => {}
            Turn::Stored(sequence) => assert!(kept.stored.insert(sequence.get()), "stored twice"),
            other => panic!("{other:?}"),
        }
        while let Some(settled) = self.outbox.settled_after(kept.cursor) {
            assert_eq!(
                kept.fates.insert(settled.sequence.get(), settled.fate),
                None
            );
            kept.cursor = settled.cursor;
        }
    }
}

/// What came to the service outside.
#[derive(Default)]
struct Came {
    tracker: GapTracker<8>,
    /// By device, the numbers that came and how often.
    numbers: BTreeMap<(String, usize), usize>,
    sequences: BTreeSet<u64>,
    missing: BTreeSet<u64>,
}

impl Came {
    fn take(&mut self, message: &Message<'_>) {
        assert_eq!(message.peer.unwrap().device(), "gateway");
        let envelope = Envelope::decode(message.payload).unwrap();
        let missing = &mut self.missing;
        let receipt = self.tracker.receive(envelope.position, |gap| {
            missing.extend(gap.first..=gap.last)
        });
        if receipt == Receipt::New {
            let carried = Carried::decode(envelope.payload).unwrap();
            let number = core::str::from_utf8(carried.payload)
                .unwrap()
                .parse()
                .unwrap();
            *self
                .numbers
                .entry((carried.peer.device().into(), number))
                .or_default() += 1;
            assert!(
                self.sequences.insert(envelope.position.sequence),
                "new twice"
            );
        }
    }
}

/// Publishes so many numbers, each once, and waits for the local hub to have them.
async fn say(hub: &Hub, address: SocketAddr, name: &str, count: usize) {
    while hub.stats().subscriptions < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut client = device(address, name, Version::V5);
    let mut buffer = [0; 256];
    let (mut sent, mut settled) = (0, 0);
    while settled < count {
        while sent < count && sent - settled < 32 {
            client
                .submit(&Message::telemetry(sent.to_string().as_bytes()))
                .await
                .unwrap();
            sent += 1;
        }
        if let Event::Settled { fate, .. } = client.next(&mut buffer).await.unwrap() {
            assert_eq!(fate, Fate::Delivered);
            settled += 1;
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_unsaid_by_a_gateway_that_is_cut_and_an_outside_that_forgets() {
    let (inside, outside) = (Hub::default(), Hub::default());
    let below = inside.listen("127.0.0.1:0").await.unwrap();
    let above = outside.listen("127.0.0.1:0").await.unwrap();
    let (local, far) = (below.address().to_string(), above.address().to_string());
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| {
            let (hub, address) = (inside.clone(), below.address());
            tokio::spawn(async move { say(&hub, address, &format!("d{number}"), EACH).await })
        })
        .collect();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let listening = tokio::spawn({
        let far = far.clone();
        async move {
            let mut service = Client::new(Tcp::new(far), quick(service_settings()));
            service.subscribe(Channel::Telemetry).await.unwrap();
            let mut buffer = vec![0; 4_096];
            loop {
                if let Event::Message(message) = service.next(&mut buffer).await.unwrap() {
                    tell.send(message.payload.to_vec()).unwrap();
                }
            }
        }
    });
    let peer = (tenant(), DeviceId::new("gateway").unwrap());
    let (mut records, mut kept, mut came) =
        (MemoryRecords::new(), Kept::default(), Came::default());
    let mut hear = |came: &mut Came| {
        while let Ok(payload) = told.try_recv() {
            came.take(&Message::telemetry(&payload).to(Peer::new(&peer.0, &peer.1)));
        }
    };
    let mut restarts = 0;
    let whole = async {
        for life in 0..=CUTS {
            let mut alive = Life::begin(&local, &far, &mut records).await;
            // Each life goes on for so long that some of all that there is comes through.
            let goal = ALL * (life + 1) / (CUTS + 1);
            while life == CUTS || kept.stored.len() < goal {
                alive.turn(&mut kept).await;
                hear(&mut came);
                if restarts < RESTARTS && kept.stored.len() > ALL * (restarts + 1) / (RESTARTS + 2)
                {
                    outside.restart_empty();
                    restarts += 1;
                }
                let is_over = inside.stats().queued == 0
                    && alive.bridge.is_empty()
                    && alive.outbox.is_empty();
                let is_told = || {
                    kept.stored
                        .iter()
                        .all(|sequence| kept.fates.contains_key(sequence))
                };
                if is_over
                    && is_told()
                    && devices.iter().all(tokio::task::JoinHandle::is_finished)
                    && inside.stats().published >= ALL as u64
                {
                    break;
                }
            }
            alive.cut().await;
        }
    };
    timeout(PATIENCE * 2, whole)
        .await
        .expect("it takes too long");
    // What the outside has it hands over; the last number closes every gap.
    for _ in 0..200 {
        sleep(Duration::from_millis(10)).await;
        hear(&mut came);
    }
    listening.abort();
    let lost = ALL - came.numbers.len();
    println!(
        "stored {} fates {} came {} missing {} lost {lost} restarts {restarts}",
        kept.stored.len(),
        kept.fates.len(),
        came.sequences.len(),
        came.missing.len(),
    );
    assert_eq!(restarts, RESTARTS);
    // Every number has a fate, and what was delivered came, unless the outside forgot it: then its gap has a name.
    let last = came.sequences.last().copied().unwrap();
    for (sequence, fate) in &kept.fates {
        assert_eq!((*fate, *sequence <= last), (Fate::Delivered, true));
        assert!(
            came.sequences.contains(sequence) || came.missing.contains(sequence),
            "{sequence} is lost unsaid"
        );
    }
    assert!(
        lost <= came.missing.len(),
        "{lost} are lost, {} are named",
        came.missing.len()
    );
    // A cut doubles at most what was on the wire below.
    let doubled: usize = came.numbers.values().map(|times| times - 1).sum();
    assert!(
        doubled <= CUTS * usize::from(WINDOW),
        "{doubled} came under two numbers"
    );
    for device in devices {
        device.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_outbox_leaves_messages_with_the_local_hub() {
    let (inside, outside) = (Hub::default(), Hub::default());
    let below = inside.listen("127.0.0.1:0").await.unwrap();
    let above = outside.listen("127.0.0.1:0").await.unwrap();
    let far = above.address().to_string();
    above.stop().await;
    let mut records = MemoryRecords::new();
    let mut alive = Life::begin(&below.address().to_string(), &far, &mut records).await;
    let mut kept = Kept::default();
    let count = 300;
    let talking = tokio::spawn({
        let (inside, address) = (inside.clone(), below.address());
        async move { say(&inside, address, "d1", count).await }
    });
    // Nobody is outside: the outbox fills, and then nothing moves.
    let fill = async {
        while !talking.is_finished() || alive.outbox.len() < 64 {
            let _ = timeout(Duration::from_millis(20), alive.turn(&mut kept)).await;
        }
        let _ = timeout(Duration::from_millis(500), async {
            loop {
                alive.turn(&mut kept).await;
            }
        })
        .await;
    };
    timeout(PATIENCE, fill)
        .await
        .expect("the outbox does not fill");
    assert_eq!((alive.outbox.len(), kept.stored.len()), (64, 64));
    let stats = inside.stats();
    assert_eq!(
        (stats.overflowed, stats.discarded, stats.published),
        (0, 0, count as u64)
    );
    assert!(
        stats.delivered <= 64,
        "{} were acknowledged below",
        stats.delivered
    );
    // The outside comes, and everything goes there.
    let above = outside.listen(far.as_str()).await.unwrap();
    let drain = async {
        while kept.fates.len() < count {
            alive.turn(&mut kept).await;
        }
    };
    timeout(PATIENCE, drain).await.expect("it does not go on");
    assert!(kept.fates.values().all(|fate| *fate == Fate::Delivered));
    assert_eq!(outside.stats().published, count as u64);
    above.stop().await;
}

#[tokio::test]
async fn what_comes_down_reaches_its_device_before_the_outside_is_answered() {
    let (inside, outside) = (Hub::default(), Hub::default());
    let below = inside.listen("127.0.0.1:0").await.unwrap();
    let above = outside.listen("127.0.0.1:0").await.unwrap();
    let mut records = MemoryRecords::new();
    let (near, far) = (below.address().to_string(), above.address().to_string());
    let mut alive = Life::begin(&near, &far, &mut records).await;
    let mut kept = Kept::default();
    let mut boiler = device(below.address(), "d1", Version::V5);
    boiler.subscribe(Channel::Command).await.unwrap();
    crate::common::subscribed(&inside, &mut boiler, 1).await;
    let up = async {
        while outside.stats().subscriptions < Channel::ALL.len() {
            let _ = timeout(Duration::from_millis(20), alive.turn(&mut kept)).await;
        }
    };
    timeout(PATIENCE, up)
        .await
        .expect("it does not listen outside");
    let mut service = service(above.address(), Version::V5);
    let (own, target) = (
        DeviceId::new("gateway").unwrap(),
        DeviceId::new("d1").unwrap(),
    );
    let tenant = tenant();
    let send = async {
        let mut buffer = [0; 256];
        for (peer, payload) in [
            (&target, &b"open"[..]),
            (&own, b"not carried"),
            (&target, b"close"),
        ] {
            let carried = Carried::new(Peer::new(&tenant, peer), payload);
            let bytes = if peer == &own {
                payload
            } else {
                carried.encode(&mut buffer).unwrap()
            };
            let message = Message::new(Channel::Command, bytes).to(Peer::new(&tenant, &own));
            service.submit(&message).await.unwrap();
        }
        crate::common::settled(&mut service, 3).await;
        core::future::pending::<()>().await;
    };
    let drive = async {
        loop {
            alive.turn(&mut kept).await;
        }
    };
    let hear = crate::common::drain(&mut boiler, 2);
    let heard = tokio::select! {
        () = send => unreachable!(),
        () = drive => unreachable!(),
        heard = hear => heard,
    };
    let payloads: Vec<_> = heard.iter().map(|heard| heard.3.as_slice()).collect();
    assert_eq!(payloads, [&b"open"[..], b"close"]);
}
