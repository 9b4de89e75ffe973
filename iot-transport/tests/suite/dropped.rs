//! Futures of the hub and of the client, dropped at every poll.

use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use iot_core::port::{Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Fate, Message, Ticket};
use iot_transport::mqtt::{Client, Connect, Hub};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use crate::common::{PATIENCE, device_settings, until};
use crate::hub::{packet, text};

const COUNT: u8 = 6;
/// Less than a packet, so that everything waits in the middle of something.
const ROOM: usize = 5;

/// Polls a future so often and drops it where it waits then; its output, if it came to its end.
struct DroppedAfter<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> DroppedAfter<F> {
    fn new(polls: usize, future: F) -> Self {
        let future = Some(Box::pin(future));
        Self { future, polls }
    }
}

impl<F: Future> Future for DroppedAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls -= 1;
        let output = self.future.as_mut().unwrap().as_mut().poll(cx);
        match output {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => {
                self.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A client that speaks MQTT 3.1.1 byte by byte over a narrow stream, served for so many polls.
struct Narrow {
    from: ReadHalf<DuplexStream>,
    to: WriteHalf<DuplexStream>,
    served: tokio::task::JoinHandle<Option<()>>,
}

impl Narrow {
    fn open(hub: &Hub, polls: usize) -> Self {
        let (client, server) = duplex(ROOM);
        let hub = hub.clone();
        let serving = DroppedAfter::new(polls, async move { hub.serve(server).await });
        let (from, to) = split(client);
        let served = tokio::spawn(serving);
        Self { from, to, served }
    }

    /// Writes the CONNECT and `packets`, while `hears` is given what comes and answers; until it says that it is
    /// enough, or the connection ends. Whether the hub served to the end.
    async fn talk(
        mut self,
        id: &str,
        packets: &[u8],
        mut hears: impl FnMut(u8, &[u8]) -> (Vec<u8>, bool),
    ) -> bool {
        let hello = packet(0x10, &[b"\x00\x04MQTT\x04\x00\x00\x00", &text(id)]);
        let (say, mut answers) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        let first = [&hello, packets].concat();
        let mut to = self.to;
        let write = async move {
            let mut bytes = Some(first);
            while let Some(some) = bytes {
                if to.write_all(&some).await.is_err() {
                    return;
                }
                bytes = answers.recv().await;
            }
            // Given back half of the stream: the other end sees that this one is gone.
            let _ = to.shutdown().await;
        };
        let read = async move {
            while let Some((first, body)) = receive(&mut self.from).await {
                let (answer, enough) = hears(first, &body);
                let _ = say.send(answer);
                if enough {
                    break;
                }
            }
            drop(say);
            // What is written last has to be read by the hub before it notices the end.
            let mut rest = Vec::new();
            let _ = self.from.read_to_end(&mut rest).await;
        };
        let both = async { tokio::join!(write, read) };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("it hangs");
        self.served.await.unwrap().is_some()
    }
}

async fn receive(from: &mut ReadHalf<DuplexStream>) -> Option<(u8, Vec<u8>)> {
    let first = from.read_u8().await.ok()?;
    // Everything here is shorter than 128 bytes.
    let mut body = vec![0; from.read_u8().await.ok()?.into()];
    from.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

fn publish(first: u8, number: u8) -> Vec<u8> {
    packet(first, &[&text("t"), &[0, number], &[number; 20]])
}

/// Connects with a kept session, subscribes, and goes.
async fn subscribe(hub: &Hub) {
    let wish = packet(0x82, &[&[0, 9], &text("t"), &[1]]);
    let granted = |first, _: &[u8]| (Vec::new(), first == 0x90);
    assert!(
        Narrow::open(hub, usize::MAX)
            .talk("reader", &wish, granted)
            .await
    );
}

/// Reads and acknowledges what the hub still has, for so many polls; how often each came.
async fn read(hub: &Hub, polls: usize, came: &mut BTreeMap<u8, usize>) -> bool {
    let mut owed = u64::from(COUNT) - hub.stats().delivered;
    let hears = |first: u8, body: &[u8]| {
        if first & 0xf0 != 0x30 {
            return (Vec::new(), false);
        }
        *came.entry(*body.last().unwrap()).or_default() += 1;
        owed -= 1;
        (vec![0x40, 2, body[3], body[4]], owed == 0)
    };
    Narrow::open(hub, polls).talk("reader", &[], hears).await
}

/// Publishes what is not acknowledged yet, for so many polls.
async fn send(hub: &Hub, polls: usize, first: u8, acknowledged: &mut BTreeSet<u8>) -> bool {
    let numbers = (1..=COUNT).filter(|number| !acknowledged.contains(number));
    let packets: Vec<u8> = numbers.flat_map(|number| publish(first, number)).collect();
    let hears = |first: u8, body: &[u8]| {
        if first == 0x40 {
            assert!(acknowledged.insert(body[1]), "acknowledged twice");
        }
        (Vec::new(), acknowledged.len() == usize::from(COUNT))
    };
    Narrow::open(hub, polls)
        .talk("sender", &packets, hears)
        .await
}

#[tokio::test]
async fn a_hub_that_is_dropped_anywhere_keeps_what_it_acknowledged() {
    for polls in 1.. {
        let hub = Hub::default();
        subscribe(&hub).await;
        let mut acknowledged = BTreeSet::new();
        let whole = send(&hub, polls, 0x32, &mut acknowledged).await;
        let before = acknowledged.clone();
        if acknowledged.len() < usize::from(COUNT) {
            assert!(!whole && send(&hub, usize::MAX, 0x3a, &mut acknowledged).await);
        }
        let mut came = BTreeMap::new();
        read(&hub, usize::MAX, &mut came).await;
        for number in 1..=COUNT {
            let most = if before.contains(&number) { 1 } else { 2 };
            let times = came.get(&number).copied().unwrap_or(0);
            assert!(
                (1..=most).contains(&times),
                "{number} came {times} times after {polls} polls"
            );
        }
        if whole {
            assert!(polls > 20, "it was dropped at {polls} places only");
            return;
        }
    }
}

#[tokio::test]
async fn a_hub_that_is_dropped_anywhere_delivers_each_message_once_by_its_books() {
    for polls in 1.. {
        let hub = Hub::default();
        subscribe(&hub).await;
        assert!(send(&hub, usize::MAX, 0x32, &mut BTreeSet::new()).await);
        let mut came = BTreeMap::new();
        let whole = read(&hub, polls, &mut came).await;
        let first = came.clone();
        // What was heard and not acknowledged, as far as the hub knows, comes again.
        if hub.stats().delivered < COUNT.into() {
            assert!(!whole && read(&hub, usize::MAX, &mut came).await);
        }
        assert_eq!(
            came.len(),
            usize::from(COUNT),
            "after {polls} polls {first:?} came"
        );
        assert!(came.values().all(|times| *times <= 2), "{came:?}");
        let stats = hub.stats();
        let lost = stats.discarded + stats.overflowed + stats.missed + stats.expired;
        assert_eq!(
            (stats.routed, stats.delivered, lost),
            (COUNT.into(), COUNT.into(), 0)
        );
        if whole {
            assert!(polls > 20, "it was dropped at {polls} places only");
            return;
        }
    }
}

fn narrow_client(hub: &Hub) -> Client<impl Connect + use<>> {
    let hub = hub.clone();
    let connect = move || {
        let (client, server) = duplex(ROOM);
        let hub = hub.clone();
        tokio::spawn(async move { hub.serve(server).await });
        async move { Ok(client) }
    };
    Client::new(connect, device_settings("d1"))
}

/// Takes fates until there are no more to wait for, or the client is closed.
async fn fates(client: &mut Client<impl Connect>, fates: &mut BTreeMap<Ticket, Fate>) {
    let mut buffer = [0; 256];
    let wait = async {
        while fates.len() < COUNT.into() {
            match client.next(&mut buffer).await {
                Ok(Event::Settled { ticket, fate }) => {
                    assert_eq!(fates.insert(ticket, fate), None, "a ticket met two fates");
                }
                Ok(_) => {}
                Err(error) => return assert_eq!(error.kind(), TransportErrorKind::Closed),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("fates are missing");
}

#[tokio::test]
async fn a_close_that_is_dropped_anywhere_costs_no_message_and_gives_none_two_fates() {
    let mut places = 0;
    for closes_again in [false, true] {
        for polls in 1.. {
            let hub = Hub::default();
            let mut client = narrow_client(&hub);
            until(&mut client, |event| {
                matches!(event, Event::Connected { .. })
            })
            .await;
            let mut tickets = BTreeSet::new();
            for number in 1..=COUNT {
                let payload = [number; 20];
                let message = Message::new(Channel::Telemetry, &payload);
                tickets.insert(client.submit(&message).await.unwrap());
            }
            let whole = DroppedAfter::new(polls, client.close(PATIENCE))
                .await
                .is_some();
            let mut told = BTreeMap::new();
            if closes_again && !whole {
                client.close(PATIENCE).await;
            }
            fates(&mut client, &mut told).await;
            if closes_again || whole {
                assert_eq!(
                    told.len() + client.waiting(),
                    usize::from(COUNT),
                    "after {polls} polls"
                );
            } else {
                assert_eq!(told.len(), usize::from(COUNT), "after {polls} polls");
            }
            assert!(told.keys().all(|ticket| tickets.contains(ticket)));
            assert!(
                told.values().all(|fate| *fate == Fate::Delivered),
                "{told:?}"
            );
            assert!(hub.stats().published >= told.len() as u64);
            if whole {
                places += polls;
                break;
            }
        }
    }
    assert!(places > 10, "it was dropped at {places} places only");
}

/// Polls once: what is ready is done, what waits is dropped.
#[tokio::test]
async fn the_counter_drops_where_it_says() {
    let mut waits = pin!(DroppedAfter::new(2, tokio::time::sleep(Duration::MAX)));
    let polled = core::future::poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    assert_eq!(waits.await, None);
    assert_eq!(DroppedAfter::new(1, async { 7 }).await, Some(7));
}
