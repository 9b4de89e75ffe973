//! Exactly once (quality of service 2), told in raw packets, with the link cut at every step.

use iot_transport::mqtt::Hub;

use crate::hub::{Raw, packet, publish, text};

const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

async fn step(raw: &mut Raw, first: u8, id: u16) {
    raw.send(&packet(first, &[&id.to_be_bytes()])).await;
}

/// Expects a step of a handshake, and returns its identifier.
async fn told(raw: &mut Raw, first: u8) -> u16 {
    let (came, body) = raw.receive().await.expect("the hub ended the connection");
    assert_eq!(came, first, "{body:02x?}");
    u16::from_be_bytes([body[0], body[1]])
}

/// Takes a PUBLISH of "t": its first byte, identifier and last byte.
async fn letter(raw: &mut Raw) -> (u8, u16, u8) {
    let (first, body) = raw.receive().await.expect("the hub ended the connection");
    assert_eq!(first & 0xf0, 0x30, "{body:02x?}");
    let id = u16::from_be_bytes([body[3], body[4]]);
    (first, id, *body.last().unwrap())
}

async fn reader(hub: &Hub, id: &str, filter: &str) -> Raw {
    let (mut reader, _) = Raw::connect(hub, id, false).await;
    assert_eq!(reader.subscribe(filter, 2).await, 2, "less was granted");
    reader
}

async fn back(hub: &Hub, id: &str) -> Raw {
    let (raw, present) = Raw::connect(hub, id, false).await;
    assert!(present, "no session");
    raw
}

/// Publishes "t" exactly once; the link is cut behind step `cut` of three.
async fn send(hub: &Hub, mut raw: Raw, number: u8, cut: usize) -> Raw {
    let id = u16::from(number) + 1;
    raw.send(&publish(0x34, "t", id, &[number])).await;
    if cut == 0 {
        raw = back(hub, "sender").await;
        raw.send(&publish(0x3c, "t", id, &[number])).await;
    }
    assert_eq!(told(&mut raw, PUBREC).await, id);
    if cut == 1 {
        // The answer is as good as lost.
        raw = back(hub, "sender").await;
        raw.send(&publish(0x3c, "t", id, &[number])).await;
        assert_eq!(told(&mut raw, PUBREC).await, id);
    }
    step(&mut raw, PUBREL, id).await;
    if cut == 2 {
        raw = back(hub, "sender").await;
        step(&mut raw, PUBREL, id).await;
    }
    assert_eq!(told(&mut raw, PUBCOMP).await, id);
    raw
}

/// Takes one letter in exactly once; the link is cut behind step `cut` of three.
async fn take(hub: &Hub, mut raw: Raw, number: u8, cut: usize) -> Raw {
    let (first, id, came) = letter(&mut raw).await;
    assert_eq!((first, came), (0x34, number));
    if cut == 0 {
        raw = back(hub, "reader").await;
        assert_eq!(letter(&mut raw).await, (0x3c, id, number));
    }
    step(&mut raw, PUBREC, id).await;
    if cut == 1 {
        assert_eq!(told(&mut raw, PUBREL).await, id);
        raw = back(hub, "reader").await;
    }
    // What was received is not sent again; only its release is.
    assert_eq!(told(&mut raw, PUBREL).await, id);
    if cut == 2 {
        raw = back(hub, "reader").await;
        assert_eq!(told(&mut raw, PUBREL).await, id);
    }
    step(&mut raw, PUBCOMP, id).await;
    raw
}

#[tokio::test]
async fn every_message_arrives_once_wherever_either_link_is_cut() {
    let hub = Hub::default();
    let mut reader = reader(&hub, "reader", "t").await;
    let (mut sender, _) = Raw::connect(&hub, "sender", false).await;
    let cuts = (0..4).flat_map(|one| (0..4).map(move |other| (one, other)));
    for (number, (sending, taking)) in (0..).zip(cuts) {
        sender = send(&hub, sender, number, sending).await;
        reader = take(&hub, reader, number, taking).await;
    }
    assert!(reader.is_quiet().await && sender.is_quiet().await);
    let stats = hub.stats();
    assert_eq!(
        (stats.published, stats.routed, stats.delivered),
        (16, 16, 16)
    );
    let mut reader = back(&hub, "reader").await;
    assert!(reader.is_quiet().await, "something is left");
}

#[tokio::test]
async fn what_was_published_is_not_published_again_until_it_is_released() {
    let hub = Hub::default();
    let mut reader = reader(&hub, "reader", "t").await;
    let (mut sender, _) = Raw::connect5(&hub, "sender", true, &[]).await;
    let body = |number| packet(0x34, &[&text("t"), &[0, 7, 0, number]]);
    for _ in 0..3 {
        sender.send(&body(1)).await;
        assert_eq!(told(&mut sender, PUBREC).await, 7);
    }
    assert_eq!(letter(&mut reader).await.2, 1);
    assert!(reader.is_quiet().await);
    step(&mut sender, PUBREL, 7).await;
    assert_eq!(sender.receive().await, Some((PUBCOMP, vec![0, 7])));
    // 0x92: there is no such identifier.
    step(&mut sender, PUBREL, 7).await;
    assert_eq!(sender.receive().await, Some((PUBCOMP, vec![0, 7, 0x92])));
    sender.send(&body(2)).await;
    assert_eq!(letter(&mut reader).await.2, 2);
}

#[tokio::test]
async fn nobody_holds_more_identifiers_than_was_said() {
    let hub = Hub::new(iot_transport::mqtt::hub::HubSettings::default().with_window(3));
    let (mut sender, connack) = Raw::connect5(&hub, "sender", true, &[]).await;
    let props = &connack[3..];
    assert!(props.starts_with(&[0x21, 0, 3]), "{props:02x?}");
    assert!(
        !props.contains(&0x24),
        "quality 2 is said by saying nothing"
    );
    for id in 1..=3 {
        sender.send(&packet(0x34, &[&text("t"), &[0, id, 0]])).await;
        // 0x10: nobody subscribes.
        let answer = sender.receive().await.unwrap();
        assert_eq!(answer, (PUBREC, vec![0, id, 0x10]));
    }
    sender.send(&packet(0x34, &[&text("t"), &[0, 4, 0]])).await;
    assert_eq!(sender.receive().await, Some((0xe0, vec![0x93])));
}

#[tokio::test]
async fn a_subscriber_that_refuses_is_not_sent_the_message_again() {
    let hub = Hub::default();
    let kept = [0x11, 0, 0, 1, 0];
    let (mut reader, _) = Raw::connect5(&hub, "reader", true, &kept).await;
    assert_eq!(reader.subscribe5("t", 2).await, 2);
    let (mut sender, _) = Raw::connect(&hub, "sender", false).await;
    sender = send(&hub, sender, 1, 3).await;
    let (_, id, _) = letter(&mut reader).await;
    let [high, low] = id.to_be_bytes();
    reader.send(&packet(PUBREC, &[&[high, low, 0x83]])).await;
    assert!(reader.is_quiet().await, "a refused message is not released");
    // An identifier that is not known is told as such.
    step(&mut reader, PUBREC, 999).await;
    let told = reader.receive().await.unwrap();
    assert_eq!(told, (PUBREL, vec![3, 0xe7, 0x92]));
    let (mut reader, _) = Raw::connect5(&hub, "reader", false, &kept).await;
    assert!(reader.is_quiet().await);
    assert_eq!((hub.stats().rejected, hub.stats().delivered), (1, 0));
    send(&hub, sender, 2, 3).await;
    assert_eq!(letter(&mut reader).await.2, 2);
}

#[tokio::test]
async fn what_a_member_has_begun_to_receive_goes_to_no_other() {
    let hub = Hub::new(iot_transport::mqtt::hub::HubSettings::default().with_window(1));
    let (mut mortal, _) = Raw::connect(&hub, "mortal", true).await;
    mortal.subscribe("$share/g/t", 2).await;
    let (mut sender, _) = Raw::connect(&hub, "sender", false).await;
    for number in 1..=2 {
        sender = send(&hub, sender, number, 3).await;
    }
    assert_eq!(letter(&mut mortal).await.2, 1);
    let mut heir = reader(&hub, "heir", "$share/g/t").await;
    drop(mortal);
    // "the Server MUST NOT send the Application Message to any other subscribed Client" [MQTT-4.8.2-5].
    assert_eq!(letter(&mut heir).await.2, 2);
    assert!(heir.is_quiet().await);
    assert_eq!(hub.stats().discarded, 1);
}

#[tokio::test]
async fn quality_is_the_lower_of_what_is_sent_and_what_is_asked_for() {
    let hub = Hub::default();
    let (mut sender, _) = Raw::connect(&hub, "sender", false).await;
    sender.send(&publish(0x35, "t", 9, b"kept")).await;
    assert_eq!(told(&mut sender, PUBREC).await, 9);
    for (qos, expected) in [(0, 0x31), (1, 0x33), (2, 0x35)] {
        let (mut reader, _) = Raw::connect(&hub, "late", true).await;
        assert_eq!(reader.subscribe("t", qos).await, qos);
        assert_eq!(reader.receive().await.unwrap().0, expected);
        drop(reader);
        let (mut reader, _) = Raw::connect(&hub, "now", true).await;
        reader.subscribe("u", qos).await;
        for (sent, id) in [(0x30, 0), (0x32, 1), (0x34, 2 + u16::from(qos))] {
            sender.send(&publish(sent, "u", id, b"x")).await;
            let got = reader.receive().await.unwrap().0;
            assert_eq!((got >> 1) & 3, qos.min((sent >> 1) & 3));
            if sent != 0x30 {
                sender.receive().await.unwrap();
            }
        }
    }
}
