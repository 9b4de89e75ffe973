//! Sessions that are taken up again: what the new connection asked for is kept, and what ends a session does.

use core::time::Duration;

use iot_core::port::Transport;
use iot_core::{Channel, Event, Message, Peer};
use iot_transport::mqtt::hub::HubSettings;
use iot_transport::mqtt::{Client, Hub, Tcp, Version};

use crate::common::{device_settings, service, settled, subscribed, until};
use crate::hub::{Raw, packet};

/// Properties of a CONNECT.
fn asked(receive_maximum: u16, packet_bytes: u32, expiry: u32) -> Vec<u8> {
    let mut properties = vec![0x11];
    properties.extend(expiry.to_be_bytes());
    properties.push(0x21);
    properties.extend(receive_maximum.to_be_bytes());
    properties.push(0x27);
    properties.extend(packet_bytes.to_be_bytes());
    properties
}

/// Leaves letters of these sizes on the wire to "reader", unacknowledged; each begins with its number.
async fn unacknowledged(hub: &Hub, sizes: &[usize]) {
    let (mut reader, _) = Raw::connect5(hub, "reader", true, &asked(20, 1 << 20, 300)).await;
    reader.subscribe5("t", 1).await;
    let (mut sender, _) = Raw::connect(hub, "sender", true).await;
    for (number, bytes) in (1..).zip(sizes) {
        sender.publish("t", &vec![number; *bytes]).await;
    }
    for _ in sizes {
        assert_eq!(reader.receive().await.unwrap().0, 0x32);
    }
}

/// A PUBLISH of "t" to an MQTT 5 client: its first byte, identifier and number.
fn letter((first, body): &(u8, Vec<u8>)) -> (u8, u16, u8) {
    let id = u16::from_be_bytes([body[3], body[4]]);
    (*first, id, *body.last().unwrap())
}

async fn acknowledge(reader: &mut Raw, id: u16) {
    reader.send(&packet(0x40, &[&id.to_be_bytes()])).await;
}

#[tokio::test]
async fn no_more_is_sent_again_at_once_than_the_new_connection_takes() {
    let hub = Hub::default();
    unacknowledged(&hub, &[10; 10]).await;
    let (mut reader, connack) = Raw::connect5(&hub, "reader", false, &asked(1, 1 << 20, 300)).await;
    assert_eq!(connack[0], 1, "no session");
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.publish("t", &[11]).await;
    for number in 1..=11 {
        let (first, id, came) = letter(&reader.receive().await.unwrap());
        let repeated = if number == 11 { 0x32 } else { 0x3a };
        assert_eq!((first, came), (repeated, number));
        assert!(reader.is_quiet().await, "more than one at a time");
        acknowledge(&mut reader, id).await;
    }
    assert!(reader.is_quiet().await);
    assert_eq!(hub.stats().delivered, 11);
}

#[tokio::test]
async fn what_waits_to_be_sent_again_survives_another_connection_in_its_order() {
    let hub = Hub::default();
    unacknowledged(&hub, &[10; 5]).await;
    let (mut reader, _) = Raw::connect5(&hub, "reader", false, &asked(2, 1 << 20, 300)).await;
    for number in 1..=2 {
        assert_eq!(letter(&reader.receive().await.unwrap()).2, number);
    }
    let (mut sender, _) = Raw::connect(&hub, "sender", true).await;
    sender.publish("t", &[6]).await;
    let (mut reader, _) = Raw::connect5(&hub, "reader", false, &asked(20, 1 << 20, 300)).await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        let (first, id, came) = letter(&reader.receive().await.unwrap());
        assert_eq!((first & 8 != 0, came), (number < 6, number));
        assert!(!ids.contains(&id), "identifier {id} means two letters");
        ids.push(id);
    }
}

#[tokio::test]
async fn what_is_too_long_for_the_new_connection_is_dropped_and_counted() {
    let hub = Hub::default();
    unacknowledged(&hub, &[10, 5_000, 10]).await;
    let (mut reader, _) = Raw::connect5(&hub, "reader", false, &asked(20, 200, 300)).await;
    for number in [1, 3] {
        let (_, id, came) = letter(&reader.receive().await.unwrap());
        assert_eq!(came, number);
        acknowledge(&mut reader, id).await;
    }
    assert!(reader.is_quiet().await);
    assert_eq!(hub.stats().overflowed, 1);
}

#[tokio::test]
async fn a_device_whose_limit_became_smaller_still_gets_through() {
    let hub = Hub::default();
    let listening = hub.listen("127.0.0.1:0").await.unwrap();
    let address = listening.address();
    let settings = device_settings("d1").with_version(Version::V5);
    let mut device = Client::new(Tcp::new(address.to_string()), settings.clone());
    device.subscribe(Channel::Command).await.unwrap();
    subscribed(&hub, &mut device, 1).await;
    let mut backend = service(address, Version::V5);
    let peer = Peer::parse("acme", "d1").unwrap();
    let long = vec![1; 20_000];
    let command = Message::new(Channel::Command, &long).to(peer);
    backend.submit(&command).await.unwrap();
    settled(&mut backend, 1).await;
    // It arrives and is not acknowledged: the device is updated in this moment.
    until(&mut device, |event| matches!(event, Event::Message(_))).await;
    drop(device);
    let settings = settings.with_payload_limit(1_000);
    let mut device = Client::new(Tcp::new(address.to_string()), settings);
    device.submit(&Message::telemetry(b"21.5")).await.unwrap();
    let fates = tokio::time::timeout(Duration::from_secs(20), settled(&mut device, 1)).await;
    assert!(fates.is_ok(), "{:?}", device.last_error());
    // What comes behind the long one is not in its way either.
    device.submit(&Message::telemetry(b"22")).await.unwrap();
    let fates = tokio::time::timeout(Duration::from_secs(20), settled(&mut device, 1)).await;
    assert!(fates.is_ok(), "{:?}", device.last_error());
}

#[tokio::test]
async fn a_goodbye_may_change_how_long_the_session_lives() {
    let hub = Hub::default();
    let (mut raw, _) = Raw::connect5(&hub, "x", true, &asked(20, 1 << 20, 300)).await;
    raw.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]).await;
    assert_eq!(raw.receive().await, None);
    assert_eq!(hub.stats().sessions, 0);

    // Who asked for none may not ask for one at the end (5.0 §3.14.2.2.2).
    let (mut raw, _) = Raw::connect5(&hub, "x", true, &asked(20, 1 << 20, 0)).await;
    raw.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9]).await;
    assert_eq!(raw.receive().await, Some((0xe0, vec![0x82])));
    assert_eq!((hub.stats().sessions, hub.stats().refused), (0, 1));
}

#[tokio::test]
async fn a_session_expiry_that_is_not_the_one_asked_for_is_told() {
    let settings = HubSettings::default().with_session_expiry(Duration::from_secs(60));
    let hub = Hub::new(settings);
    for (expiry, told) in [(86_400, true), (u32::MAX, true), (60, false), (0, false)] {
        let (_raw, connack) = Raw::connect5(&hub, "x", true, &asked(20, 1 << 20, expiry)).await;
        let found = connack.windows(5).any(|five| five == [0x11, 0, 0, 0, 60]);
        assert_eq!(found, told, "{expiry} s: {connack:02x?}");
    }
}

#[tokio::test]
async fn a_session_that_ends_with_its_connection_is_not_taken_over() {
    let hub = Hub::default();
    let (mut old, _) = Raw::connect5(&hub, "x", true, &asked(20, 1 << 20, 0)).await;
    old.subscribe5("t", 1).await;
    let (_new, connack) = Raw::connect5(&hub, "x", false, &asked(20, 1 << 20, 300)).await;
    assert_eq!(connack[0], 0, "session present");
    assert_eq!(old.receive().await, Some((0xe0, vec![0x8e])));
    let stats = hub.stats();
    assert_eq!(
        (stats.sessions, stats.subscriptions, stats.taken_over),
        (1, 0, 1)
    );

    // In 3.1.1 it is the clean session that ends so [MQTT-3.1.2-6].
    let (_old, _) = Raw::connect(&hub, "y", true).await;
    assert!(!Raw::connect(&hub, "y", false).await.1);
}

#[tokio::test]
async fn what_a_subscriber_refuses_is_not_counted_as_delivered() {
    let hub = Hub::default();
    unacknowledged(&hub, &[10; 2]).await;
    let (mut reader, _) = Raw::connect5(&hub, "reader", false, &asked(20, 1 << 20, 300)).await;
    for code in [0x80, 0x10] {
        let (_, id, _) = letter(&reader.receive().await.unwrap());
        let [high, low] = id.to_be_bytes();
        reader.send(&packet(0x40, &[&[high, low, code]])).await;
    }
    assert!(reader.is_quiet().await);
    let stats = hub.stats();
    assert_eq!((stats.delivered, stats.rejected), (1, 1));
}
