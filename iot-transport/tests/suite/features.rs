//! What MQTT offers beyond publish and subscribe, against the hub and against scripted brokers.

use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeSet;

use iot_core::port::{Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message, Peer};
use iot_transport::mqtt::client::ClientError;
use iot_transport::mqtt::hub::{HubSettings, Listening};
use iot_transport::mqtt::{Client, Extras, Hub, Reason, Tcp, Version, Will};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::common::{
    self, PATIENCE, device, device_settings, drain, service, service_settings, settled, until,
};

const VERSIONS: [Version; 2] = [Version::V3, Version::V5];

async fn hub() -> (Hub, Listening) {
    hub_with(HubSettings::default()).await
}

async fn hub_with(settings: HubSettings) -> (Hub, Listening) {
    let hub = Hub::new(settings);
    let listening = hub.listen("127.0.0.1:0").await.unwrap();
    (hub, listening)
}

fn tcp(listening: &Listening) -> Tcp {
    Tcp::new(listening.address().to_string())
}

/// A service that hears `channel`.
async fn listener(
    hub: &Hub,
    listening: &Listening,
    version: Version,
    channel: Channel,
) -> Client<Tcp> {
    let mut service = service(listening.address(), version);
    service.subscribe(channel).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(hub, &mut service, 1).await;
    service
}

#[tokio::test]
async fn a_will_is_published_for_a_client_that_vanishes_and_only_then() {
    for version in VERSIONS {
        let (hub, listening) = hub().await;
        let mut service = listener(&hub, &listening, version, Channel::Health).await;
        let will = Will::new(&Message::new(Channel::Health, b"gone"));
        let settings = device_settings("d1").with_version(version);
        let settings = settings.with_will(will).unwrap();

        let mut polite = Client::new(tcp(&listening), settings.clone());
        polite.connected(PATIENCE).await.unwrap();
        polite.reconnect(PATIENCE);
        until(&mut polite, |event| matches!(event, Event::Disconnected)).await;
        polite.connected(PATIENCE).await.unwrap();
        polite.close(PATIENCE).await;
        while hub.stats().connected > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(hub.stats().published, 0, "who says goodbye has no will");

        let mut rude = Client::new(tcp(&listening), settings);
        rude.connected(PATIENCE).await.unwrap();
        drop(rude);
        let heard = drain(&mut service, 1).await;
        assert_eq!(
            (heard[0].1.as_str(), heard[0].3.as_slice()),
            ("d1", &b"gone"[..])
        );
    }
}

#[tokio::test]
async fn a_receiver_learns_how_long_a_message_is_still_worth_something() {
    let (hub, listening) = hub().await;
    let mut service = listener(&hub, &listening, Version::V5, Channel::Telemetry).await;
    let mut sender = device(listening.address(), "d1", Version::V5);
    for (life, expected) in [(None, None), (Some(600), Some(600))] {
        let mut message = Message::telemetry(b"21.5");
        message.expires_in = life.map(Duration::from_secs);
        sender.submit(&message).await.unwrap();
        settled(&mut sender, 1).await;
        let mut buffer = [0; 256];
        let left = loop {
            if let Event::Message(message) = service.next(&mut buffer).await.unwrap() {
                break message.expires_in.map(|left| left.as_secs());
            }
        };
        // A second may have passed on the way.
        assert!(
            left == expected || left == expected.map(|expected| expected - 1),
            "{left:?}"
        );
    }
}

#[test]
fn a_will_for_somebody_else_is_refused() {
    let other = Peer::parse("acme", "d2").unwrap();
    let foreign = Will::new(&Message::new(Channel::Health, b"x").to(other));
    let error = device_settings("d1")
        .with_will(foreign.clone())
        .unwrap_err();
    assert_eq!(error, ClientError::Address);
    assert!(service_settings().with_will(foreign).is_ok());
    let long = Will::new(&Message::new(Channel::Health, &[0; 65_536]));
    let error = device_settings("d1").with_will(long).unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::TooLarge);
}

#[tokio::test]
async fn a_retained_message_greets_who_comes_later_until_it_is_forgotten() {
    for version in VERSIONS {
        let (hub, listening) = hub().await;
        let mut device = device(listening.address(), "d1", version);
        let kept = Extras::new().retained();
        device
            .submit_with(&Message::telemetry(b"21.5"), &kept)
            .unwrap();
        settled(&mut device, 1).await;
        let mut late = service(listening.address(), version);
        late.subscribe(Channel::Telemetry).await.unwrap();
        assert_eq!(drain(&mut late, 1).await[0].3, b"21.5");
        assert!(late.was_retained());
        device.submit(&Message::telemetry(b"22")).await.unwrap();
        settled(&mut device, 1).await;
        assert_eq!(drain(&mut late, 1).await[0].3, b"22");
        assert!(!late.was_retained());
        device.submit_with(&Message::telemetry(b""), &kept).unwrap();
        settled(&mut device, 1).await;
        assert_eq!(hub.stats().retained, 0);
    }
}

#[tokio::test]
async fn user_properties_arrive_in_their_order_and_need_mqtt_5() {
    let (hub, listening) = hub().await;
    let mut service = listener(&hub, &listening, Version::V5, Channel::Telemetry).await;
    let mut five = device(listening.address(), "d1", Version::V5);
    let pairs = [("site", "north"), ("site", "south"), ("", "ä")];
    let extras = pairs.iter().fold(Extras::new(), |extras, (name, value)| {
        extras.with_property(name, value)
    });
    five.submit_with(&Message::telemetry(b"x"), &extras)
        .unwrap();
    settled(&mut five, 1).await;
    until(&mut service, |event| matches!(event, Event::Message(_))).await;
    assert_eq!(service.properties().collect::<Vec<_>>(), pairs);
    five.submit(&Message::telemetry(b"y")).await.unwrap();
    settled(&mut five, 1).await;
    until(&mut service, |event| matches!(event, Event::Message(_))).await;
    assert_eq!(service.properties().count(), 0, "those of another message");

    let mut three = device(listening.address(), "d2", Version::V3);
    let error = three.submit_with(&Message::telemetry(b"x"), &extras);
    assert_eq!(error, Err(ClientError::Properties));
    let long = Extras::new().with_property("name", &"x".repeat(65_536));
    let error = five.submit_with(&Message::telemetry(b"x"), &long);
    assert_eq!(error, Err(ClientError::Properties));
}

#[tokio::test]
async fn a_session_outlives_its_connection_as_long_as_was_asked() {
    for (expiry, kept) in [(Duration::ZERO, false), (Duration::from_secs(60), true)] {
        let (hub, listening) = hub().await;
        let settings = device_settings("d1").with_version(Version::V5);
        let settings = settings.with_session_expiry(expiry);
        let mut device = Client::new(tcp(&listening), settings);
        device.subscribe(Channel::Command).await.unwrap();
        device.connected(PATIENCE).await.unwrap();
        common::subscribed(&hub, &mut device, 1).await;
        device.reconnect(PATIENCE);
        until(&mut device, |event| matches!(event, Event::Disconnected)).await;
        until(
            &mut device,
            |event| matches!(event, Event::Connected { resumed } if *resumed == kept),
        )
        .await;
        // Either way it hears again.
        common::subscribed(&hub, &mut device, 1).await;
    }
}

/// A broker that greets with `connack` and lets a script talk; the client's end of the stream.
fn scripted<F: Future<Output = ()> + Send + 'static>(
    connack: &'static [u8],
    mut script: impl FnMut(DuplexStream) -> F + Send + Copy + 'static,
) -> impl iot_transport::mqtt::Connect {
    move || {
        let (client, mut server) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut hello = [0; 512];
            assert!(server.read(&mut hello).await.unwrap() > 0);
            server.write_all(connack).await.unwrap();
            script(server).await;
        });
        async move { Ok::<_, std::io::Error>(client) }
    }
}

/// The packets of a version 5 client, each with its first byte and its body.
async fn packet(server: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    server.read_exact(&mut head).await.unwrap();
    assert!(head[1] < 0x80, "the script reads short packets only");
    let mut body = vec![0; head[1].into()];
    server.read_exact(&mut body).await.unwrap();
    (head[0], body)
}

#[tokio::test(start_paused = true)]
async fn a_topic_goes_over_the_wire_once_when_the_broker_keeps_aliases() {
    const TOPIC: &[u8] = b"iot/1/acme/d1/telemetry/up";
    for (connack, in_full) in [
        (&[0x20, 6, 0, 0, 3, 34, 0, 1][..], 1),
        (&[0x20, 3, 0, 0, 0][..], 3),
    ] {
        let connector = scripted(connack, move |mut server| async move {
            let mut named = 0;
            for _ in 0..3 {
                let (_, body) = packet(&mut server).await;
                let id = if body[1] == 0 { 2 } else { 2 + TOPIC.len() };
                named += usize::from(body[2..].starts_with(TOPIC));
                let ack = [0x40, 2, body[id], body[id + 1]];
                server.write_all(&ack).await.unwrap();
            }
            assert_eq!(named, in_full);
            // Only a script that came this far says goodbye like this.
            server.write_all(&[0xe0, 1, 0x8b]).await.unwrap();
        });
        let settings = device_settings("d1").with_version(Version::V5);
        let mut device = Client::new(connector, settings);
        for _ in 0..3 {
            device.submit(&Message::telemetry(b"x")).await.unwrap();
        }
        settled(&mut device, 3).await;
        until(&mut device, |event| matches!(event, Event::Disconnected)).await;
        let reason = device.last_error().unwrap().reason();
        assert_eq!(reason, Some(Reason::ShuttingDown));
    }
}

#[tokio::test]
async fn aliases_of_many_topics_reach_the_right_ones() {
    for aliases in [0, 1, 16] {
        let (hub, listening) = hub_with(HubSettings::default().with_topic_aliases(aliases)).await;
        let mut devices = Vec::new();
        for name in ["d1", "d2", "d3"] {
            let mut device = device(listening.address(), name, Version::V5);
            device.subscribe(Channel::Command).await.unwrap();
            device.connected(PATIENCE).await.unwrap();
            common::subscribed(&hub, &mut device, devices.len() + 1).await;
            devices.push((name, device));
        }
        let mut service = service(listening.address(), Version::V5);
        for _ in 0..3 {
            for (name, _) in &devices {
                let to = Peer::parse("acme", name).unwrap();
                let message = Message::new(Channel::Command, name.as_bytes()).to(to);
                service.submit(&message).await.unwrap();
            }
        }
        settled(&mut service, 9).await;
        for (name, device) in &mut devices {
            for _ in 0..3 {
                let heard = drain(device, 1).await;
                assert_eq!(heard[0].3, name.as_bytes());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receive_maximum_of_one_is_kept() {
    let connector = scripted(&[0x20, 6, 0, 0, 3, 33, 0, 1], |mut server| async move {
        for _ in 0..5 {
            let (_, body) = packet(&mut server).await;
            let early = tokio::time::timeout(Duration::from_secs(5), packet(&mut server)).await;
            assert!(
                early.is_err(),
                "a second message before the first was acknowledged"
            );
            let id = 2 + usize::from(body[1]);
            let ack = [0x40, 2, body[id], body[id + 1]];
            server.write_all(&ack).await.unwrap();
        }
        tokio::time::sleep(PATIENCE).await;
    });
    let settings = device_settings("d1").with_version(Version::V5);
    let mut device = Client::new(connector, settings);
    for _ in 0..5 {
        device.submit(&Message::telemetry(b"x")).await.unwrap();
    }
    let fates = settled(&mut device, 5).await;
    assert!(fates.values().all(|fate| *fate == Fate::Delivered));
    assert_eq!(device.stats().connections, 1, "the script found fault");
}

#[tokio::test]
async fn one_message_at_a_time_still_gets_everything_through_the_hub() {
    let (hub, listening) = hub_with(HubSettings::default().with_window(1)).await;
    let mut service = listener(&hub, &listening, Version::V5, Channel::Telemetry).await;
    let mut device = device(listening.address(), "d1", Version::V5);
    for number in 0..50_u8 {
        device.submit(&Message::telemetry(&[number])).await.unwrap();
    }
    let (fates, heard) = tokio::join!(settled(&mut device, 50), drain(&mut service, 50));
    assert!(fates.values().all(|fate| *fate == Fate::Delivered));
    assert_eq!(heard.len(), 50);
}

#[tokio::test]
async fn a_message_larger_than_the_other_end_takes_is_refused_with_the_reason() {
    let (hub, listening) = hub_with(HubSettings::default().with_packet_limit(200)).await;
    let mut device = device(listening.address(), "d1", Version::V5);
    let large = device.submit(&Message::telemetry(&[0; 300])).await.unwrap();
    let small = device.submit(&Message::telemetry(&[0; 50])).await.unwrap();
    let fates = settled(&mut device, 2).await;
    assert_eq!(fates[&large], Fate::Refused);
    assert_eq!(fates[&small], Fate::Delivered);
    assert_eq!(device.last_refusal(), Some((large, Reason::TooLarge)));
    assert!(Reason::TooLarge.to_string().contains("split the message"));
    assert_eq!(hub.stats().refused, 0, "it was sent");
}

#[tokio::test]
async fn the_other_end_sends_nothing_larger_than_we_take() {
    let (hub, listening) = hub().await;
    let settings = device_settings("d1").with_version(Version::V5);
    let mut device = Client::new(tcp(&listening), settings.with_payload_limit(1_000));
    device.subscribe(Channel::Command).await.unwrap();
    device.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut device, 1).await;
    let mut service = service(listening.address(), Version::V5);
    let to = Peer::parse("acme", "d1").unwrap();
    for bytes in [20_000, 10] {
        let payload = vec![7; bytes];
        let message = Message::new(Channel::Command, &payload).to(to);
        service.submit(&message).await.unwrap();
    }
    settled(&mut service, 2).await;
    assert_eq!(drain(&mut device, 1).await[0].3.len(), 10);
    assert_eq!(hub.stats().overflowed, 1);
    assert_eq!(device.stats().connections, 1, "the link broke over it");
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_and_a_refused_subscription_tell_why() {
    let connector = scripted(&[0x20, 3, 0, 0, 0], |mut server| async move {
        loop {
            let (first, body) = packet(&mut server).await;
            let answer = match first >> 4 {
                8 => vec![0x90, 4, body[0], body[1], 0, 0x87],
                _ => {
                    let id = 2 + usize::from(body[1]);
                    vec![0x40, 3, body[id], body[id + 1], 0x97]
                }
            };
            server.write_all(&answer).await.unwrap();
        }
    });
    let settings = device_settings("d1").with_version(Version::V5);
    let mut device = Client::new(connector, settings);
    device.subscribe(Channel::Command).await.unwrap();
    let ticket = device.submit(&Message::telemetry(b"x")).await.unwrap();
    assert_eq!(settled(&mut device, 1).await[&ticket], Fate::Refused);
    assert_eq!(device.last_refusal(), Some((ticket, Reason::Quota)));
    let refusal = device.subscription_refusal(Channel::Command);
    assert_eq!(refusal, Some(Reason::NotAuthorized));
    assert_eq!(device.subscription_refusal(Channel::Twin), None);
}

#[tokio::test]
async fn a_reconnect_at_any_moment_loses_nothing_and_sends_nothing_twice() {
    const MESSAGES: usize = 400;
    for version in VERSIONS {
        let (hub, listening) = hub().await;
        let mut service = listener(&hub, &listening, version, Channel::Telemetry).await;
        let mut device = device(listening.address(), "d1", version);
        let sending = async {
            let (mut fates, mut submitted) = (BTreeSet::new(), 0_usize);
            let (mut swaps, mut due) = (0, 0);
            let mut buffer = [0; 64];
            while fates.len() < MESSAGES {
                while submitted < MESSAGES && submitted < fates.len() + 100 {
                    let payload = submitted.to_be_bytes();
                    device.submit(&Message::telemetry(&payload)).await.unwrap();
                    submitted += 1;
                }
                let event = {
                    let mut next = core::pin::pin!(device.next(&mut buffer));
                    match futures::poll!(next.as_mut()) {
                        Poll::Ready(event) => Some(event.unwrap()),
                        Poll::Pending => None,
                    }
                };
                match event {
                    Some(Event::Settled { ticket, fate }) => {
                        assert_eq!(fate, Fate::Delivered);
                        assert!(fates.insert(ticket), "a ticket met two fates");
                    }
                    Some(_) => {}
                    None => {
                        // Everything that fits is on the wire, and nothing of it is acknowledged.
                        // It is asked again before the hub had a turn.
                        if device.is_connected() && fates.len() >= due {
                            (swaps, due) = (swaps + 1, fates.len() + 50);
                            device.reconnect_through(tcp(&listening), PATIENCE);
                        } else {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
            }
            swaps
        };
        let (swaps, heard) = tokio::join!(sending, drain(&mut service, MESSAGES));
        assert_eq!(heard.len(), MESSAGES);
        assert!(swaps >= 4 && device.stats().connections >= swaps);
        assert_eq!(device.stats().resent, 0, "what was on the wire was cut off");
        assert_eq!(hub.stats().published, MESSAGES as u64);
    }
}

/// Polls `next` as often as `polls` says and drops it; what it returned, if it was ready by then.
async fn dropped<T: Transport<Error: core::fmt::Debug>>(
    client: &mut T,
    buffer: &mut [u8],
    polls: usize,
    mut take: impl FnMut(&Event<'_>),
) {
    let mut next = core::pin::pin!(client.next(buffer));
    for _ in 0..polls {
        match futures::poll!(next.as_mut()) {
            Poll::Ready(event) => return take(&event.unwrap()),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_next_that_is_dropped_after_any_number_of_polls_loses_nothing() {
    const MESSAGES: usize = 500;
    for (version, polls) in VERSIONS
        .into_iter()
        .flat_map(|version| (1..=6).map(move |polls| (version, polls)))
    {
        let (hub, listening) = hub().await;
        let mut service = listener(&hub, &listening, version, Channel::Telemetry).await;
        let mut device = device(listening.address(), "d1", version);
        let (mut tickets, mut fates) = (BTreeSet::new(), BTreeSet::new());
        let mut heard = BTreeSet::new();
        let (mut one, mut other) = ([0; 256], [0; 256]);
        let exchange = async {
            while fates.len() < MESSAGES || heard.len() < MESSAGES {
                while tickets.len() < MESSAGES && tickets.len() < fates.len() + 100 {
                    let payload = tickets.len().to_be_bytes();
                    let message = Message::telemetry(&payload);
                    tickets.insert(device.submit(&message).await.unwrap());
                }
                dropped(&mut device, &mut one, polls, |event| {
                    if let Event::Settled { ticket, fate } = event {
                        assert_eq!(*fate, Fate::Delivered);
                        assert!(fates.insert(*ticket), "a ticket met two fates");
                    }
                })
                .await;
                dropped(&mut service, &mut other, polls, |event| {
                    if let Event::Message(message) = event {
                        heard.insert(message.payload.to_vec());
                    }
                })
                .await;
                // Everything runs on this thread: the hub needs its turn, too.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap();
        assert_eq!(fates, tickets);
        assert_eq!(device.stats().connections, 1);
    }
}
