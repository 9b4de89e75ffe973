//! What the client promises when its link misbehaves.

use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use iot_core::port::{Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message, Peer, Priority, Qos};
use iot_transport::mqtt::client::{ClientError, ClientStats};
use iot_transport::mqtt::{Client, Connect, ConnectError, Hub, Tcp, Version};
use proptest::prelude::*;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

use crate::common::{self, PATIENCE, device_settings, drain, service_settings, settled, until};

/// A stream that breaks after a number of bytes, read or written.
struct Flaky {
    stream: DuplexStream,
    left: usize,
}

impl Flaky {
    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Flaky {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, room)?;
        let read = room.filled().len() - before;
        self.spend(read)?;
        polled.map(Ok)
    }
}

impl AsyncWrite for Flaky {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A part goes through before the break, so that packets are torn.
        let bytes = &bytes[..bytes.len().min(self.left.max(1))];
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes)?;
        if let Poll::Ready(written) = polled {
            self.spend(written)?;
        }
        polled.map(Ok)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Connects to the hub in memory; each link breaks after as many bytes as the list says, the last never.
fn flaky(hub: &Hub, mut breaks: Vec<usize>, broken: &Arc<AtomicUsize>) -> impl Connect + use<> {
    let (hub, broken) = (hub.clone(), broken.clone());
    move || {
        let (client, server) = duplex(512);
        let serving = hub.clone();
        tokio::spawn(async move { serving.serve(server).await });
        let left = breaks.pop().unwrap_or(usize::MAX);
        broken.fetch_add(usize::from(left != usize::MAX), Ordering::Relaxed);
        async move {
            Ok::<_, io::Error>(Flaky {
                stream: client,
                left,
            })
        }
    }
}

/// A server that does what a test tells it, for one connection.
fn scripted<F: Future<Output = ()> + Send + 'static>(
    mut script: impl FnMut(DuplexStream) -> F + Send,
) -> impl Connect {
    move || {
        let (client, server) = duplex(1 << 16);
        tokio::spawn(script(server));
        async move { Ok::<_, io::Error>(client) }
    }
}

async fn greet(server: &mut DuplexStream, code: u8) {
    let mut hello = [0; 256];
    assert!(server.read(&mut hello).await.unwrap() > 0);
    server.write_all(&[0x20, 2, 0, code]).await.unwrap();
}

/// Everything here is in memory, so time may jump: a message that never settles fails at once.
fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Submits and settles over links that break; `next` is dropped after every poll that was not ready.
async fn ordeal(breaks: Vec<usize>, version: Version, messages: usize) -> ClientStats {
    let hub = Hub::default();
    let broken = Arc::new(AtomicUsize::new(0));
    let steady = flaky(&hub, vec![], &broken);
    let mut service = Client::new(steady, service_settings().with_version(version));
    service.subscribe(Channel::Telemetry).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut service, 1).await;

    let settings = device_settings("d1")
        .with_version(version)
        .with_retry(Duration::from_micros(1), Duration::from_micros(2));
    let mut device = Client::new(flaky(&hub, breaks, &broken), settings);
    let mut tickets = BTreeSet::new();
    let mut fates = BTreeMap::new();
    let mut buffer = [0; 256];
    let mut polls = 0_u32;
    while fates.len() < messages {
        if tickets.len() < messages {
            let payload = [u8::try_from(tickets.len()).unwrap()];
            tickets.insert(device.submit(&Message::telemetry(&payload)).await.unwrap());
        }
        polls += 1;
        assert!(polls < 20_000, "no progress");
        let ready = futures::poll!(core::pin::pin!(device.next(&mut buffer)));
        if let Poll::Ready(Ok(Event::Settled { ticket, fate })) = ready {
            assert_eq!(fates.insert(ticket, fate), None, "a ticket met two fates");
        } else if ready.is_pending() {
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    }
    assert!(fates.values().all(|fate| *fate == Fate::Delivered));
    assert_eq!(fates.into_keys().collect::<BTreeSet<_>>(), tickets);
    assert_eq!(drain(&mut service, messages).await.len(), messages);
    device.stats()
}

#[tokio::test(start_paused = true)]
async fn links_that_break_in_mid_packet_make_messages_go_again() {
    for version in [Version::V3, Version::V5] {
        let stats = ordeal(vec![700, 500, 300, 120], version, 39).await;
        assert!(stats.connections >= 4, "{stats:?}");
        assert!(stats.resent > 0, "{stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_ticket_meets_one_fate_and_every_message_arrives(
        breaks in prop::collection::vec(30..900_usize, 0..6),
        five in any::<bool>(),
        messages in 1..40_usize,
    ) {
        let runtime = paused();
        let version = if five { Version::V5 } else { Version::V3 };
        runtime.block_on(ordeal(breaks, version, messages));
    }

    #[test]
    fn a_hostile_broker_never_makes_it_panic(
        greeted in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let runtime = paused();
        runtime.block_on(async {
            let connector = scripted(move |mut server: DuplexStream| {
                let bytes = bytes.clone();
                async move {
                    if greeted {
                        greet(&mut server, 0).await;
                    }
                    let _ = server.write_all(&bytes).await;
                }
            });
            let mut device = Client::new(connector, device_settings("d1"));
            device.submit(&Message::telemetry(b"x")).await.unwrap();
            let mut buffer = [0; 256];
            for _ in 0..20 {
                let _ = futures::poll!(core::pin::pin!(device.next(&mut buffer)));
                tokio::task::yield_now().await;
            }
        });
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_only_when_the_application_comes_back() {
    let hub = Hub::default();
    let broken = Arc::new(AtomicUsize::new(0));
    let mut service = Client::new(flaky(&hub, vec![], &broken), service_settings());
    service.connected(PATIENCE).await.unwrap();
    let mut device = Client::new(flaky(&hub, vec![], &broken), device_settings("d1"));
    device.subscribe(Channel::Command).await.unwrap();
    device.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut device, 1).await;
    let open = Message::new(Channel::Command, b"open").to(Peer::parse("acme", "d1").unwrap());
    service.submit(&open).await.unwrap();
    settled(&mut service, 1).await;

    until(&mut device, |event| matches!(event, Event::Message(_))).await;
    // It ends without coming back for more: its effect may be lost, so the message has to come again. Closing
    // sends whatever waits to be sent, so an acknowledgement given too early would be seen.
    device.close(PATIENCE).await;
    let mut device = Client::new(flaky(&hub, vec![], &broken), device_settings("d1"));
    device.subscribe(Channel::Command).await.unwrap();
    until(&mut device, |event| matches!(event, Event::Message(_))).await;
    let acknowledged = hub.stats().delivered;
    let mut buffer = [0; 64];
    let more = tokio::time::timeout(Duration::from_millis(100), device.next(&mut buffer)).await;
    assert!(more.is_err(), "it came although it was acknowledged");
    assert_eq!(hub.stats().delivered, acknowledged + 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_time_runs_out_without_a_link_expires() {
    let nowhere =
        || async { Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) };
    let mut device = Client::new(nowhere, device_settings("d1"));
    let short = Message::telemetry(b"x").expires_in(Duration::from_secs(5));
    let ticket = device.submit(&short).await.unwrap();
    device.submit(&Message::telemetry(b"y")).await.unwrap();
    let start = tokio::time::Instant::now();
    let fates = settled(&mut device, 1).await;
    assert_eq!(fates, BTreeMap::from([(ticket, Fate::Expired)]));
    assert!((5..=6).contains(&start.elapsed().as_secs()));
    assert_eq!(device.waiting(), 1);
}

#[tokio::test]
async fn a_full_queue_is_busy_and_unread_fates_count() {
    let hub = Hub::default();
    let broken = Arc::new(AtomicUsize::new(0));
    let settings = device_settings("d1")
        .with_queue(2, 100)
        .with_payload_limit(60);
    let mut device = Client::new(flaky(&hub, vec![], &broken), settings);
    let long = device
        .submit(&Message::telemetry(&[0; 61]))
        .await
        .unwrap_err();
    assert_eq!(long.kind(), TransportErrorKind::TooLarge);
    device.submit(&Message::telemetry(&[0; 60])).await.unwrap();
    let bytes = device
        .submit(&Message::telemetry(&[0; 60]))
        .await
        .unwrap_err();
    assert_eq!(bytes, ClientError::Busy { waiting: 1 });
    device.submit(&Message::telemetry(b"x")).await.unwrap();
    assert!(device.submit(&Message::telemetry(b"y")).await.is_err());
    until(&mut device, |event| matches!(event, Event::Settled { .. })).await;
    until(&mut device, |event| matches!(event, Event::Settled { .. })).await;
    device.submit(&Message::telemetry(b"y")).await.unwrap();
}

#[tokio::test]
async fn what_is_more_urgent_goes_first() {
    let hub = Hub::default();
    let broken = Arc::new(AtomicUsize::new(0));
    let mut service = Client::new(flaky(&hub, vec![], &broken), service_settings());
    service.subscribe(Channel::Telemetry).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut service, 1).await;
    let mut device = Client::new(flaky(&hub, vec![], &broken), device_settings("d1"));
    for (payload, priority) in [
        (b"c", Priority::Low),
        (b"b", Priority::Normal),
        (b"a", Priority::Critical),
    ] {
        let message = Message::telemetry(payload)
            .with_priority(priority)
            .with_qos(Qos::AtMostOnce);
        device.submit(&message).await.unwrap();
    }
    let (_, heard) = tokio::join!(settled(&mut device, 3), drain(&mut service, 3));
    let order: Vec<u8> = heard
        .into_iter()
        .flat_map(|(_, _, _, payload)| payload)
        .collect();
    assert_eq!(order, b"abc");
}

#[tokio::test]
async fn a_buffer_that_is_too_small_keeps_the_message() {
    let hub = Hub::default();
    let broken = Arc::new(AtomicUsize::new(0));
    let mut service = Client::new(flaky(&hub, vec![], &broken), service_settings());
    service.subscribe(Channel::Telemetry).await.unwrap();
    service.connected(PATIENCE).await.unwrap();
    common::subscribed(&hub, &mut service, 1).await;
    let mut device = Client::new(flaky(&hub, vec![], &broken), device_settings("d1"));
    device
        .submit(&Message::telemetry(b"0123456789"))
        .await
        .unwrap();
    settled(&mut device, 1).await;
    let error = service.next(&mut [0; 12]).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Buffer);
    assert_eq!(drain(&mut service, 1).await[0].3, b"0123456789");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_falls_silent_is_given_up() {
    let connector = scripted(|mut server: DuplexStream| async move {
        greet(&mut server, 0).await;
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    });
    let settings = device_settings("d1").with_keep_alive(Duration::from_secs(10));
    let mut device = Client::new(connector, settings);
    until(&mut device, |event| {
        matches!(event, Event::Connected { .. })
    })
    .await;
    let start = tokio::time::Instant::now();
    until(&mut device, |event| matches!(event, Event::Disconnected)).await;
    assert_eq!(start.elapsed().as_secs(), 15);
}

/// A broker that acknowledges the first `count` messages a second after they came, and then is mute.
fn acknowledging(count: u8) -> impl Connect {
    scripted(move |mut server: DuplexStream| async move {
        greet(&mut server, 0).await;
        let mut published = [0; 1_024];
        assert!(server.read(&mut published).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let acks: Vec<u8> = (1..=count).flat_map(|id| [0x40, 2, 0, id]).collect();
        server.write_all(&acks).await.unwrap();
        tokio::time::sleep(Duration::from_secs(86_400)).await;
    })
}

#[tokio::test(start_paused = true)]
async fn fates_that_are_known_at_the_end_are_told_after_closing() {
    let mut device = Client::new(acknowledging(3), device_settings("d1"));
    let mut tickets = BTreeSet::new();
    for _ in 0..4 {
        tickets.insert(device.submit(&Message::telemetry(b"x")).await.unwrap());
    }
    let mut told = settled(&mut device, 1).await;
    device.close(PATIENCE).await;
    told.extend(settled(&mut device, 2).await);
    assert!(told.values().all(|fate| *fate == Fate::Delivered));
    assert!(told.len() == 3 && told.keys().all(|ticket| tickets.contains(ticket)));
    assert_eq!(device.waiting(), 1);
    let mut buffer = [0; 64];
    let end = device.next(&mut buffer).await;
    assert!(matches!(end, Err(ClientError::Closed)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_takes_in_the_acknowledgements_that_have_arrived() {
    let mut device = Client::new(acknowledging(1), device_settings("d1"));
    let ticket = device.submit(&Message::telemetry(b"x")).await.unwrap();
    device.connected(PATIENCE).await.unwrap();
    until(&mut device, |event| {
        matches!(event, Event::Connected { .. })
    })
    .await;
    assert!(futures::poll!(core::pin::pin!(device.next(&mut [0; 64]))).is_pending());
    // The acknowledgement comes while nobody polls.
    tokio::time::sleep(Duration::from_secs(2)).await;
    device.close(PATIENCE).await;
    let fates = settled(&mut device, 1).await;
    assert_eq!(fates, BTreeMap::from([(ticket, Fate::Delivered)]));
}

#[tokio::test(start_paused = true)]
async fn goodbye_is_said_also_while_a_ping_is_unanswered() {
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let connector = scripted(move |mut server: DuplexStream| {
        let heard = hearing.clone();
        async move {
            greet(&mut server, 0).await;
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.unwrap();
            *heard.lock().unwrap() = bytes;
        }
    });
    let settings = device_settings("d1").with_keep_alive(Duration::from_secs(10));
    let mut device = Client::new(connector, settings);
    until(&mut device, |event| {
        matches!(event, Event::Connected { .. })
    })
    .await;
    let mut buffer = [0; 64];
    let quiet = tokio::time::timeout(Duration::from_secs(12), device.next(&mut buffer)).await;
    assert!(quiet.is_err(), "the link was given up too early");
    device.close(PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*heard.lock().unwrap(), [0xc0, 0, 0xe0, 0], "ping, goodbye");
}

#[tokio::test]
async fn what_waiting_cannot_cure_is_told_at_once_with_a_remedy() {
    let connector = scripted(|mut server: DuplexStream| async move {
        greet(&mut server, 5).await;
    });
    let mut device = Client::new(connector, device_settings("d1"));
    let error = device.connected(PATIENCE).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { code: 5 }));
    assert!(error.to_string().contains("check the identity"), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_when_patience_ends() {
    // Bound and dropped: nobody listens there now.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut device = Client::new(Tcp::new(address.to_string()), device_settings("d1"));
    let error = device
        .connected(Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("check its address"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_when_it_was_told_to_and_begins_again_when_asked() {
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let nowhere = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Err::<DuplexStream, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
    };
    let mut device = Client::new(nowhere, device_settings("d1").with_attempts(3));
    for round in 1..=2 {
        let error = device.connected(PATIENCE).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable(_)), "{error}");
        while !device.has_given_up() {
            let mut buffer = [0; 64];
            let some = Duration::from_millis(50);
            assert!(
                tokio::time::timeout(some, device.next(&mut buffer))
                    .await
                    .is_err()
            );
        }
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(dials.load(Ordering::Relaxed), 3 * round);
        device.reconnect(Duration::ZERO);
    }
}

#[tokio::test]
async fn a_service_needs_a_peer_of_its_own_tenant() {
    let mut service = Client::new(Tcp::new("127.0.0.1:1"), service_settings());
    let plain = Message::new(Channel::Command, b"x");
    let foreign = plain.to(Peer::parse("other", "d1").unwrap());
    for message in [plain, foreign] {
        assert_eq!(service.submit(&message).await, Err(ClientError::Address));
    }
    service.close(PATIENCE).await;
    assert_eq!(service.submit(&plain).await, Err(ClientError::Closed));
}

/// Reads one packet: its first byte and its body.
async fn packet(server: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
    let first = server.read_u8().await.ok()?;
    // None of this test is longer than one byte of length can say.
    let mut body = vec![0; server.read_u8().await.ok()?.into()];
    server.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

#[test]
fn a_session_that_an_attempt_without_an_answer_made_is_not_believed() {
    let (tries, subscribed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, told) = (tries.clone(), subscribed.clone());
    let connector = scripted(move |mut server: DuplexStream| {
        let (number, told) = (counter.fetch_add(1, Ordering::Relaxed), told.clone());
        async move {
            packet(&mut server).await;
            match number {
                // A good session with its subscription; then the broker loses everything.
                0 => {
                    server.write_all(&[0x20, 2, 0, 0]).await.unwrap();
                    let (_, body) = packet(&mut server).await.unwrap();
                    server
                        .write_all(&[0x90, 3, body[0], body[1], 1])
                        .await
                        .unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // It makes a new session, and the answer is lost.
                1 => {}
                // It finds that one.
                _ => {
                    server.write_all(&[0x20, 2, 1, 0]).await.unwrap();
                    while let Some((first, _)) = packet(&mut server).await {
                        told.fetch_add(usize::from(first == 0x82), Ordering::Relaxed);
                    }
                }
            }
        }
    });
    paused().block_on(async {
        let mut device = Client::new(connector, device_settings("d1"));
        device.subscribe(Channel::Command).await.unwrap();
        let (mut buffer, mut links) = ([0; 256], Vec::new());
        let events = async {
            loop {
                if let Event::Connected { resumed } = device.next(&mut buffer).await.unwrap() {
                    links.push(resumed);
                }
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), events)
                .await
                .is_err()
        );
        assert_eq!(links, [false, false]);
    });
    assert_eq!(subscribed.load(Ordering::Relaxed), 1, "the client is deaf");
}
