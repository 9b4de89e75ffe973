//! What the hub promises, told in raw packets, so that nothing depends on our own client.

use core::time::Duration;

use iot_transport::mqtt::Hub;
use iot_transport::mqtt::hub::{HubSettings, Overflow};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::common::PATIENCE;

const CONNACK: u8 = 0x20;
const SUBACK: u8 = 0x90;
const PUBACK: u8 = 0x40;

/// A client that speaks MQTT 3.1.1 byte by byte.
pub(crate) struct Raw(DuplexStream);

pub(crate) fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(body);
    bytes
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn publish(first: u8, topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let id = if first & 6 == 0 {
        vec![]
    } else {
        id.to_be_bytes().to_vec()
    };
    packet(first, &[&text(topic), &id, payload])
}

impl Raw {
    pub(crate) fn open(hub: &Hub) -> Self {
        let (client, server) = duplex(1 << 16);
        let hub = hub.clone();
        tokio::spawn(async move { hub.serve(server).await });
        Self(client)
    }

    /// Connects and returns whether a session was present.
    pub(crate) async fn connect(hub: &Hub, id: &str, clean: bool) -> (Self, bool) {
        Self::connect_with(hub, id, u8::from(clean) << 1, 0, &[]).await
    }

    async fn connect_with(
        hub: &Hub,
        id: &str,
        flags: u8,
        keep_alive: u8,
        rest: &[u8],
    ) -> (Self, bool) {
        let mut raw = Self::open(hub);
        let fixed = [0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, keep_alive];
        raw.send(&packet(0x10, &[&fixed, &text(id), rest])).await;
        let (first, body) = raw.receive().await.expect("no CONNACK");
        assert_eq!((first, body[1]), (CONNACK, 0));
        (raw, body[0] == 1)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.send(&packet(0x82, &[&[0, 9], &text(filter), &[qos]]))
            .await;
        let (first, body) = self.receive().await.expect("no SUBACK");
        assert_eq!(first, SUBACK);
        body[2]
    }

    /// Connects with MQTT 5 and these properties; returns the body of the CONNACK.
    pub(crate) async fn connect5(
        hub: &Hub,
        id: &str,
        clean: bool,
        properties: &[u8],
    ) -> (Self, Vec<u8>) {
        let mut raw = Self::open(hub);
        let fixed = [0, 4, b'M', b'Q', b'T', b'T', 5, u8::from(clean) << 1, 0, 0];
        let length = [u8::try_from(properties.len()).unwrap()];
        let hello = packet(0x10, &[&fixed, &length, properties, &text(id)]);
        raw.send(&hello).await;
        let (first, body) = raw.receive().await.expect("no CONNACK");
        assert_eq!((first, body[1]), (CONNACK, 0), "the hub said no");
        (raw, body)
    }

    /// Subscribes with MQTT 5 and returns what was granted.
    pub(crate) async fn subscribe5(&mut self, filter: &str, options: u8) -> u8 {
        let wish = packet(0x82, &[&[0, 9, 0], &text(filter), &[options]]);
        self.send(&wish).await;
        let (first, body) = self.receive().await.expect("no SUBACK");
        assert_eq!(first, SUBACK);
        body[3]
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(&publish(0x32, topic, 5, payload)).await;
        let (first, body) = self.receive().await.expect("no PUBACK");
        assert_eq!((first, body.as_slice()), (PUBACK, &[0, 5][..]));
    }

    /// The next packet; `None` when the hub ended the connection.
    pub(crate) async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let first = self.0.read_u8().await.ok()?;
            let mut length = 0;
            for shift in [0, 7, 14, 21] {
                let byte = self.0.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.ok()?;
            Some((first, body))
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the hub is silent")
    }

    /// The next PUBLISH, acknowledged: its first byte, topic and payload.
    pub(crate) async fn message(&mut self) -> (u8, String, Vec<u8>) {
        let (first, body) = self.receive().await.expect("the hub ended the connection");
        assert_eq!(first & 0xf0, 0x30, "not a PUBLISH");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let mut rest = &body[2 + length..];
        if first & 6 != 0 {
            let (id, payload) = rest.split_at(2);
            self.send(&packet(PUBACK, &[id])).await;
            rest = payload;
        }
        (first, topic, rest.to_vec())
    }

    /// Whether nothing arrives for a moment.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = self.0.read(&mut byte);
        tokio::time::timeout(Duration::from_millis(50), read)
            .await
            .is_err()
    }
}

#[tokio::test]
async fn a_retained_message_greets_later_subscribers_until_it_is_emptied() {
    let hub = Hub::default();
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.send(&publish(0x31, "a/b", 0, b"kept")).await;
    sender.publish("a/c", b"not kept").await;
    for filter in ["a/b", "a/+", "#", "a/#"] {
        let (mut reader, _) = Raw::connect(&hub, "reader", true).await;
        assert_eq!(reader.subscribe(filter, 1).await, 1);
        assert_eq!(
            reader.message().await,
            (0x31, "a/b".into(), b"kept".to_vec())
        );
        assert!(reader.is_quiet().await);
    }
    sender.send(&publish(0x31, "a/b", 0, b"")).await;
    sender.publish("x", b"").await;
    assert_eq!(hub.stats().retained, 0);
}

#[tokio::test]
async fn messages_wait_for_a_client_that_is_away_and_come_in_order() {
    let hub = Hub::default();
    let (mut reader, present) = Raw::connect(&hub, "reader", false).await;
    assert!(!present);
    reader.subscribe("a/#", 1).await;
    drop(reader);
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    while hub.stats().connected > 1 {
        tokio::task::yield_now().await;
    }
    for number in 0..100_u8 {
        sender.publish("a/b", &[number]).await;
    }
    sender.send(&publish(0x30, "a/b", 0, b"at most once")).await;
    sender.publish("x", b"").await;
    let (mut reader, present) = Raw::connect(&hub, "reader", false).await;
    assert!(present);
    for number in 0..100_u8 {
        assert_eq!(reader.message().await.2, [number]);
    }
    assert!(reader.is_quiet().await);
    assert_eq!(hub.stats().missed, 1);
}

#[tokio::test]
async fn what_was_sent_and_not_acknowledged_is_sent_again_marked_as_repeated() {
    let hub = Hub::default();
    let (mut reader, _) = Raw::connect(&hub, "reader", false).await;
    reader.subscribe("a", 1).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.publish("a", b"1").await;
    let (first, body) = reader.receive().await.unwrap();
    assert_eq!(first, 0x32);
    drop(reader);
    let (mut reader, _) = Raw::connect(&hub, "reader", false).await;
    let (again, same) = reader.receive().await.unwrap();
    assert_eq!((again, same), (0x3a, body));
}

#[tokio::test]
async fn a_newer_connection_takes_the_session_over() {
    let hub = Hub::default();
    let (mut first, _) = Raw::connect(&hub, "same", false).await;
    first.subscribe("a", 1).await;
    let (mut second, present) = Raw::connect(&hub, "same", false).await;
    assert!(present);
    assert_eq!(first.receive().await, None);
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.publish("a", b"1").await;
    assert_eq!(second.message().await.2, b"1");
    let stats = hub.stats();
    assert_eq!(
        (stats.taken_over, stats.sessions, stats.connected),
        (1, 2, 2)
    );
}

#[tokio::test]
async fn a_full_queue_drops_by_policy_and_counts_it() {
    for (overflow, first) in [(Overflow::Oldest, 7), (Overflow::Newest, 0)] {
        let hub = Hub::new(HubSettings::default().with_queue(3, 1 << 20, overflow));
        let (mut reader, _) = Raw::connect(&hub, "reader", false).await;
        reader.subscribe("a", 1).await;
        drop(reader);
        while hub.stats().connected > 0 {
            tokio::task::yield_now().await;
        }
        let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
        for number in 0..10_u8 {
            sender.publish("a", &[number]).await;
        }
        let stats = hub.stats();
        assert_eq!((stats.overflowed, stats.queued), (7, 3));
        let (mut reader, _) = Raw::connect(&hub, "reader", false).await;
        for number in first..first + 3 {
            assert_eq!(reader.message().await.2, [number]);
        }
    }
}

#[tokio::test]
async fn a_slow_client_is_ended_with_a_reason_where_the_hub_is_told_to() {
    for (messages, bytes, expected) in [(2, 1 << 20, (1, 0)), (100, 500, (0, 1))] {
        let settings = HubSettings::default().with_window(1);
        let hub = Hub::new(settings.with_queue(messages, bytes, Overflow::Close));
        let kept = [0x11, 0, 0, 1, 0];
        let (mut slow, _) = Raw::connect5(&hub, "slow", true, &kept).await;
        slow.subscribe5("a", 1).await;
        let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
        sender.publish("a", &[0]).await;
        assert_eq!(slow.receive().await.unwrap().0, 0x32);
        // Two messages of 129 bytes and a bit each fit, a third one of 300 does not.
        for payload in [&[1][..], &[2], &[3; 300]] {
            sender.publish("a", payload).await;
        }
        assert_eq!(slow.receive().await, Some((0xe0, vec![0x97])));
        assert_eq!(slow.receive().await, None);
        let stats = hub.stats();
        assert_eq!((stats.slow_messages, stats.slow_bytes), expected);
        assert_eq!((stats.overflowed, stats.queued), (1, 2));
        // Away it is not slow any more, and finds what there was room for.
        sender.publish("a", &[4; 300]).await;
        let (mut back, connack) = Raw::connect5(&hub, "slow", false, &kept).await;
        assert_eq!(connack[0], 1, "the session went with the connection");
        for number in 0..=2 {
            let (_, body) = back.receive().await.unwrap();
            assert_eq!(body.last(), Some(&number));
            back.send(&packet(0x40, &[&body[3..5]])).await;
        }
        assert!(back.is_quiet().await);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_blocks_nobody_and_costs_bounded_memory() {
    let hub = Hub::new(HubSettings::default().with_queue(10, 1 << 20, Overflow::Oldest));
    let (mut slow, _) = Raw::connect(&hub, "slow", true).await;
    slow.subscribe("a", 0).await;
    let (mut quick, _) = Raw::connect(&hub, "quick", true).await;
    quick.subscribe("a", 1).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    let payload = [0; 8_192];
    for _ in 0..100 {
        sender.publish("a", &payload).await;
        assert_eq!(quick.message().await.2.len(), payload.len());
    }
    let stats = hub.stats();
    assert!(stats.overflowed > 50, "{stats:?}");
    assert!(stats.queued <= 10);
}

#[tokio::test]
async fn a_will_is_published_when_a_client_vanishes_and_not_when_it_says_goodbye() {
    let hub = Hub::default();
    let (mut reader, _) = Raw::connect(&hub, "reader", true).await;
    reader.subscribe("will", 1).await;
    let will = [text("will"), text("gone")].concat();
    let (mut polite, _) = Raw::connect_with(&hub, "polite", 0b110, 0, &will).await;
    polite.send(&[0xe0, 0]).await;
    assert_eq!(polite.receive().await, None);
    let (vanishing, _) = Raw::connect_with(&hub, "vanishing", 0b110, 0, &will).await;
    drop(vanishing);
    assert_eq!(reader.message().await.2, b"gone");
    assert!(reader.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_ended_after_one_and_a_half_keep_alives() {
    let hub = Hub::default();
    let (mut silent, _) = Raw::connect_with(&hub, "silent", 2, 10, &[]).await;
    let (mut pinging, _) = Raw::connect_with(&hub, "pinging", 2, 10, &[]).await;
    let start = tokio::time::Instant::now();
    let ping = async {
        loop {
            pinging.send(&[0xc0, 0]).await;
            assert_eq!(pinging.receive().await.unwrap().0, 0xd0);
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    };
    tokio::select! {
        ended = silent.receive() => assert_eq!(ended, None),
        () = ping => {}
    }
    assert_eq!(start.elapsed().as_secs(), 15);
    let stats = hub.stats();
    assert_eq!((stats.connected, stats.timed_out), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_says_connect_is_ended() {
    let hub = Hub::default();
    let mut raw = Raw::open(&hub);
    raw.send(&[0x10]).await;
    assert_eq!(raw.receive().await, None);
}

#[tokio::test]
async fn what_the_hub_does_not_serve_is_refused_cleanly() {
    let hub = Hub::default();
    let (mut client, _) = Raw::connect(&hub, "client", true).await;
    assert_eq!(client.subscribe("$share/g", 1).await, 0x80);
    assert_eq!(client.subscribe("a/#/b", 1).await, 0x80);
    // 3 is no quality of service.
    client.send(&publish(0x36, "a", 1, b"more than once")).await;
    assert_eq!(client.receive().await, None);
    assert_eq!(hub.stats().refused, 1);
}

#[tokio::test]
async fn sessions_and_packets_are_limited() {
    let hub = Hub::new(
        HubSettings::default()
            .with_sessions(1)
            .with_packet_limit(100),
    );
    let (mut client, _) = Raw::connect(&hub, "one", true).await;
    let mut second = Raw::open(&hub);
    let fixed = [0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
    second.send(&packet(0x10, &[&fixed, &text("two")])).await;
    assert_eq!(second.receive().await, Some((CONNACK, vec![0, 3])));
    client.send(&publish(0x30, "a", 0, &[0; 200])[..4]).await;
    assert_eq!(client.receive().await, None);
}

#[tokio::test]
async fn every_span_may_be_as_short_and_as_long_as_can_be_said() {
    for span in [Duration::ZERO, Duration::MAX] {
        for settings in [
            HubSettings::default().with_connect_timeout(span),
            HubSettings::default().with_write_timeout(span),
            HubSettings::default().with_session_expiry(span),
        ] {
            let hub = Hub::new(settings);
            let (client, server) = duplex(1 << 10);
            let served = tokio::spawn({
                let hub = hub.clone();
                async move { hub.serve(server).await }
            });
            let mut client = Raw(client);
            let fixed = [0, 4, b'M', b'Q', b'T', b'T', 5, 0b110, 0xff, 0xff];
            let (kept, delay) = ([5, 0x11, 255, 255, 255, 255], [5, 0x18, 255, 255, 255, 255]);
            let (id, topic, payload) = (text("x"), text("will"), text("gone"));
            let hello = packet(0x10, &[&fixed, &kept, &id, &delay, &topic, &payload]);
            // With no time at all to say it, the hub may be gone already.
            let _ = client.0.write_all(&hello).await;
            let _ = tokio::time::timeout(Duration::from_millis(50), client.receive()).await;
            drop(client);
            let end = served.await;
            assert!(end.is_ok(), "{settings:?}: {end:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_bytes_never_hurt_the_other_clients(
        greeted in any::<bool>(),
        attack in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(first, body)| packet(first, &[&body])),
            Just(publish(0x32, "a", 1, b"noise")),
        ], 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = Hub::default();
            let (mut reader, _) = Raw::connect(&hub, "reader", true).await;
            reader.subscribe("good", 1).await;
            let mut attacker = if greeted {
                Raw::connect(&hub, "attacker", true).await.0
            } else {
                Raw::open(&hub)
            };
            for bytes in attack {
                // The hub may have ended the connection already.
                let _ = attacker.0.write_all(&bytes).await;
                tokio::task::yield_now().await;
            }
            drop(attacker);
            let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
            sender.publish("good", b"still here").await;
            assert_eq!(reader.message().await.2, b"still here");
        });
    }
}
