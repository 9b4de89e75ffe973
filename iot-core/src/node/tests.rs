use super::*;
use crate::crypto::SlotId;
use crate::engine::{BatchWriter, Done, Effect, Failure, RecordKey, RecordRange};
use crate::port::{RecordsError, RecordsErrorKind};
use crate::sim::{Faults, SimClock, SimLink, SimNetwork};
use crate::{Channel, Engine, Event, Instant, Message, Now, Step};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// Counts messages durably and acknowledges each with the new count.
struct Counter {
    key: RecordKey,
    channel: Channel,
    arrived: u32,
    durable: u32,
    answered: u32,
}

impl Counter {
    fn new(key: u32, channel: Channel) -> Self {
        Self {
            key: RecordKey::new(key),
            channel,
            arrived: 0,
            durable: 0,
            answered: 0,
        }
    }
}

impl Engine for Counter {
    fn handles(&self, channel: Channel) -> bool {
        channel == self.channel
    }
    fn records(&self) -> RecordRange {
        RecordRange::new(self.key, 1)
    }
    fn input(&mut self, _: Now, event: &Event<'_>) {
        match event {
            Event::Message(_) => self.arrived += 1,
            Event::Record { value, .. } => {
                self.durable = u32::from_be_bytes((*value).try_into().unwrap());
                self.arrived = self.durable;
                self.answered = self.durable;
            }
            _ => {}
        }
    }
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if self.durable < self.arrived {
            let mut batch = BatchWriter::new(buffer);
            batch.put(self.key, &self.arrived.to_be_bytes()).unwrap();
            return Step::Persist(batch.finish());
        }
        if self.answered < self.durable {
            buffer[..4].copy_from_slice(&self.durable.to_be_bytes());
            return Step::Send(Message::new(self.channel, &buffer[..4]));
        }
        Step::Idle
    }
    fn done(&mut self, _: Now, done: Done<'_>) {
        match done {
            Done::Persisted => self.durable = self.arrived,
            Done::Sent(_) => self.answered = self.durable,
            _ => {}
        }
    }
}

/// Sends one message at each of its deadlines.
struct Beacon {
    due: Instant,
    sent: u32,
}

impl Engine for Beacon {
    fn handles(&self, _: Channel) -> bool {
        false
    }
    fn input(&mut self, _: Now, _: &Event<'_>) {}
    fn step<'b>(&mut self, now: Now, _: &'b mut [u8]) -> Step<'b> {
        match now.instant >= self.due {
            true => Step::Send(Message::new(Channel::Health, b"alive")),
            false => Step::Idle,
        }
    }
    fn done(&mut self, now: Now, done: Done<'_>) {
        if matches!(done, Done::Sent(_)) {
            self.sent += 1;
            self.due = now.instant + Duration::from_secs(10);
        }
    }
    fn deadline(&self) -> Option<Instant> {
        Some(self.due)
    }
}

/// Records that wait once before each operation, so that a test can drop the future there.
#[derive(Debug, Default)]
struct SlowRecords {
    values: BTreeMap<RecordKey, Vec<u8>>,
    full: bool,
    commits: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("full")]
struct Full;

impl RecordsError for Full {
    fn kind(&self) -> RecordsErrorKind {
        RecordsErrorKind::Full
    }
}

async fn yield_once() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Records for SlowRecords {
    type Error = Full;
    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Full> {
        yield_once().await;
        Ok(self.values.get(&key).map(|value| {
            buffer[..value.len()].copy_from_slice(value);
            &buffer[..value.len()]
        }))
    }
    async fn commit(&mut self, batch: &crate::engine::Batch<'_>) -> Result<(), Full> {
        yield_once().await;
        if self.full {
            return Err(Full);
        }
        self.commits += 1;
        for (key, value) in batch.iter() {
            self.values.insert(key, value.unwrap().to_vec());
        }
        yield_once().await;
        Ok(())
    }
    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Full> {
        Ok(self.values.range(from..).next().map(|(key, _)| *key))
    }
}

fn world() -> (SimClock, SimLink, SimLink) {
    let clock = SimClock::new();
    let (device, service) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
    (clock, device, service)
}

fn received(link: &mut SimLink) -> Option<(Channel, Vec<u8>)> {
    let mut buffer = [0; 64];
    loop {
        let mut next = pin!(link.next(&mut buffer));
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Event::Message(message))) => {
                return Some((message.channel, message.payload.to_vec()));
            }
            Poll::Ready(_) => {}
            Poll::Pending => return None,
        }
    }
}

/// Polls until nothing moves any more; true when the turn ended.
fn settle<F: Future>(future: F, polls: usize) -> bool {
    let mut future = pin!(future);
    (0..polls).any(|_| {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    })
}

#[test]
fn it_persists_before_it_answers_and_two_engines_share_a_node() {
    let (clock, device, mut service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock);
    let (mut a, mut b) = (
        Counter::new(1, Channel::Command),
        Counter::new(2, Channel::Twin),
    );
    let mut buffer = [0; 64];
    block_on(service.submit(&Message::new(Channel::Command, b"go"))).unwrap();
    block_on(node.restore(&mut (&mut a, &mut b), &mut buffer)).unwrap();
    for _ in 0..6 {
        settle(node.turn(&mut (&mut a, &mut b), &mut buffer), 100);
    }
    assert_eq!(
        received(&mut service),
        Some((Channel::Command, [0, 0, 0, 1].to_vec()))
    );
    assert_eq!((a.answered, b.arrived), (1, 0));
    assert_eq!(node.records().values[&RecordKey::new(1)], [0, 0, 0, 1]);
}

#[test]
fn a_turn_dropped_at_every_await_loses_nothing() {
    for polls in 1..12 {
        let (clock, device, mut service) = world();
        let mut node = Node::new(device, SlowRecords::default(), clock);
        let mut counter = Counter::new(1, Channel::Command);
        let mut buffer = [0; 64];
        block_on(node.restore(&mut (&mut counter,), &mut buffer)).unwrap();
        for _ in 0..5 {
            block_on(service.submit(&Message::new(Channel::Command, b"go"))).unwrap();
        }
        let mut dropped = 0;
        for round in 0..200 {
            // Every turn is given up after a few polls, a different number each time.
            dropped += u32::from(!settle(
                node.turn(&mut (&mut counter,), &mut buffer),
                1 + (polls + round) % 4,
            ));
        }
        assert!(dropped > 10, "the fault never fired");
        assert_eq!(
            (counter.arrived, counter.durable, counter.answered),
            (5, 5, 5)
        );
        let last = core::iter::from_fn(|| received(&mut service)).last();
        assert_eq!(last, Some((Channel::Command, [0, 0, 0, 5].to_vec())));
    }
}

#[test]
fn after_a_power_cut_the_record_speaks_and_the_message_in_hand_comes_again() {
    let (clock, device, mut service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock.clone());
    let mut counter = Counter::new(1, Channel::Command);
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut counter,), &mut buffer)).unwrap();
    block_on(service.submit(&Message::new(Channel::Command, b"go"))).unwrap();
    // Cut after the message was taken in and before its record was durable.
    while counter.arrived == 0 {
        settle(node.turn(&mut (&mut counter,), &mut buffer), 1);
    }
    assert_eq!(counter.durable, 0);
    let (link, records, _) = node.into_parts();
    link.reboot();
    let mut node = Node::new(link, records, clock);
    let mut counter = Counter::new(1, Channel::Command);
    block_on(node.restore(&mut (&mut counter,), &mut buffer)).unwrap();
    for _ in 0..6 {
        settle(node.turn(&mut (&mut counter,), &mut buffer), 100);
    }
    assert_eq!(counter.answered, 1);
    assert_eq!(
        received(&mut service),
        Some((Channel::Command, [0, 0, 0, 1].to_vec()))
    );
}

#[test]
fn a_deadline_ends_the_wait_and_a_message_does_not_delay_it() {
    let (clock, device, mut service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock.clone());
    let mut beacon = Beacon {
        due: Instant::from_millis(10_000),
        sent: 0,
    };
    let mut counter = Counter::new(1, Channel::Command);
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut beacon, &mut counter), &mut buffer)).unwrap();
    for second in 1..=30 {
        clock.advance(Duration::from_secs(1));
        block_on(service.submit(&Message::new(Channel::Command, b"go"))).unwrap();
        for _ in 0..6 {
            settle(
                node.turn(&mut (&mut beacon, &mut counter), &mut buffer),
                100,
            );
        }
        assert_eq!(beacon.sent, second / 10, "after {second} s");
    }
    assert_eq!(counter.answered, 30);
}

#[test]
fn a_refused_engine_waits_and_does_not_starve_the_others() {
    let (clock, device, service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock.clone());
    let mut beacon = Beacon {
        due: Instant::ZERO,
        sent: 0,
    };
    let mut counter = Counter::new(1, Channel::Command);
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut beacon, &mut counter), &mut buffer)).unwrap();
    counter.arrived = 1;
    service.set_up(false);
    for _ in 0..6 {
        settle(
            node.turn(&mut (&mut beacon, &mut counter), &mut buffer),
            100,
        );
    }
    assert_eq!((beacon.sent, counter.durable, counter.answered), (0, 1, 0));
    // Both deadlines are long past, and still the node waits instead of asking for ever.
    {
        let mut engines = (&mut beacon, &mut counter);
        let mut turn = pin!(node.turn(&mut engines, &mut buffer));
        assert!(!settle(turn.as_mut(), 100));
        clock.advance(Duration::from_millis(250));
        assert!(settle(turn.as_mut(), 100));
    }
    service.set_up(true);
    for _ in 0..6 {
        settle(
            node.turn(&mut (&mut beacon, &mut counter), &mut buffer),
            100,
        );
    }
    assert_eq!((beacon.sent, counter.answered), (1, 1));
}

/// Stores something new whenever it is asked.
struct Busybody(u32);

impl Engine for Busybody {
    fn handles(&self, _: Channel) -> bool {
        false
    }
    fn records(&self) -> RecordRange {
        RecordRange::new(RecordKey::new(9), 1)
    }
    fn input(&mut self, _: Now, _: &Event<'_>) {}
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if self.0 == 0 {
            return Step::Idle;
        }
        let mut batch = BatchWriter::new(buffer);
        batch.put(RecordKey::new(9), b"x").unwrap();
        Step::Persist(batch.finish())
    }
    fn done(&mut self, _: Now, _: Done<'_>) {
        self.0 -= 1;
    }
}

#[test]
fn an_application_that_keeps_an_engine_busy_does_not_keep_the_node_from_the_network() {
    let (clock, device, mut service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock);
    let (mut busy, mut counter) = (Busybody(0), Counter::new(1, Channel::Command));
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut busy, &mut counter), &mut buffer)).unwrap();
    block_on(service.submit(&Message::new(Channel::Command, b"go"))).unwrap();
    for _ in 0..6 {
        busy.0 = 1;
        assert!(settle(
            node.turn(&mut (&mut busy, &mut counter), &mut buffer),
            100
        ));
    }
    assert_eq!(counter.answered, 1);
}

/// Offers two messages that no link can carry, and then a good one.
struct Hopeless(usize);

impl Engine for Hopeless {
    fn handles(&self, _: Channel) -> bool {
        false
    }
    fn input(&mut self, _: Now, _: &Event<'_>) {}
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        match self.0 {
            0 | 1 => Step::Sign {
                slot: SlotId::new(1),
                message: &buffer[..1],
            },
            2 => Step::Send(Message::telemetry(b"good")),
            _ => Step::Idle,
        }
    }
    fn done(&mut self, _: Now, _: Done<'_>) {
        self.0 += 1;
    }
}

#[test]
fn two_failures_in_a_row_do_not_park_an_engine_that_went_on() {
    let (clock, device, mut service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock);
    let mut hopeless = Hopeless(0);
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut hopeless,), &mut buffer)).unwrap();
    assert!(settle(node.turn(&mut (&mut hopeless,), &mut buffer), 100));
    assert_eq!(
        received(&mut service),
        Some((Channel::Telemetry, b"good".to_vec()))
    );
}

#[test]
fn full_storage_is_told_to_the_engine_and_changes_nothing() {
    let (clock, device, _service) = world();
    let records = SlowRecords {
        full: true,
        ..SlowRecords::default()
    };
    let mut node = Node::new(device, records, clock);
    let mut counter = Counter::new(1, Channel::Command);
    let mut buffer = [0; 64];
    block_on(node.restore(&mut (&mut counter,), &mut buffer)).unwrap();
    counter.arrived = 1;
    for _ in 0..4 {
        settle(node.turn(&mut (&mut counter,), &mut buffer), 100);
    }
    assert_eq!((counter.durable, counter.answered), (0, 0));
    node.records().full = false;
    settle(node.turn(&mut (&mut counter,), &mut buffer), 100);
    assert_eq!(counter.answered, 1);
}

#[test]
fn a_set_that_cannot_work_is_refused_before_it_starts() {
    let (clock, device, _service) = world();
    let mut node = Node::new(device, SlowRecords::default(), clock);
    let (mut a, mut b) = (
        Counter::new(1, Channel::Command),
        Counter::new(1, Channel::Twin),
    );
    let mut buffer = [0; 64];
    assert!(matches!(
        block_on(node.turn(&mut (&mut a,), &mut buffer)),
        Err(NodeError::NotRestored)
    ));
    let refused = block_on(node.restore(&mut (&mut a, &mut b), &mut buffer));
    assert!(matches!(
        refused,
        Err(NodeError::Overlap {
            first: 0,
            second: 1
        })
    ));
}

/// Asks for one signature and one effect.
struct Asker(Vec<bool>);

impl Engine for Asker {
    fn handles(&self, _: Channel) -> bool {
        false
    }
    fn input(&mut self, _: Now, _: &Event<'_>) {}
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        match self.0.len() {
            0 => Step::Sign {
                slot: SlotId::new(1),
                message: &buffer[..4],
            },
            1 => Step::Effect(Effect::new(7, &buffer[..2])),
            _ => Step::Idle,
        }
    }
    fn done(&mut self, _: Now, done: Done<'_>) {
        self.0
            .push(matches!(done, Done::Signed(_) | Done::Performed));
    }
}

#[test]
fn without_keys_and_effects_both_fail_and_with_them_both_succeed() {
    let (clock, device, _service) = world();
    let mut buffer = [0; 64];
    let mut node = Node::new(device, SlowRecords::default(), clock.clone());
    let mut asker = Asker(Vec::new());
    block_on(node.restore(&mut (&mut asker,), &mut buffer)).unwrap();
    settle(node.turn(&mut (&mut asker,), &mut buffer), 100);
    assert_eq!(asker.0, [false, false]);

    let (_, device, _service) = world();
    let mut performed = Vec::new();
    let mut asker = Asker(Vec::new());
    {
        let perform = |effect: Effect<'_>| match effect.code {
            7 => {
                performed.push(effect.argument.len());
                Ok(())
            }
            _ => Err(Failure::Effect),
        };
        let mut node = Node::new(device, SlowRecords::default(), clock)
            .with_keys(KeysOf::new(OneKey))
            .with_effects(perform);
        block_on(node.restore(&mut (&mut asker,), &mut buffer)).unwrap();
        settle(node.turn(&mut (&mut asker,), &mut buffer), 100);
    }
    assert_eq!(
        (asker.0.as_slice(), performed.as_slice()),
        (&[true, true][..], &[2][..])
    );
}

struct OneKey;

impl crate::crypto::KeyStore for OneKey {
    type Signer<'s> = crate::sim::ToyKey;
    fn generate(
        &self,
        _: SlotId,
        _: crate::crypto::SignatureAlgorithm,
        _: crate::crypto::KeyPolicy,
    ) -> Result<(), crate::crypto::KeyError> {
        Err(crate::crypto::KeyError::Occupied)
    }
    fn signer(&self, slot: SlotId) -> Result<crate::sim::ToyKey, crate::crypto::KeyError> {
        match slot.get() {
            1 => Ok(crate::sim::ToyKey::new(1)),
            _ => Err(crate::crypto::KeyError::Absent),
        }
    }
    fn destroy(&self, _: SlotId) -> Result<(), crate::crypto::KeyError> {
        Err(crate::crypto::KeyError::Forbidden)
    }
}

#[test]
fn a_slice_of_engines_works_and_the_future_can_cross_threads() {
    fn must_be_send<F: Future + Send>(future: F) -> F {
        future
    }
    // A transport that is Send, unlike the simulated one.
    struct Silent;
    impl Transport for Silent {
        type Error = crate::sim::SimError;
        async fn submit(&mut self, _: &Message<'_>) -> Result<crate::Ticket, Self::Error> {
            Ok(crate::Ticket::new(1))
        }
        async fn next<'b>(&mut self, _: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
            Ok(Event::Connected { resumed: false })
        }
        async fn subscribe(&mut self, _: Channel) -> Result<(), Self::Error> {
            Ok(())
        }
        fn limits(&self) -> crate::port::Limits {
            crate::port::Limits::new(64, 1)
        }
    }
    let timer = PollTimer::new(|| Now::new(Instant::ZERO, crate::time::TimeBounds::UNKNOWN));
    let mut node = Node::new(Silent, SlowRecords::default(), timer);
    let (mut a, mut b) = (
        Counter::new(1, Channel::Command),
        Counter::new(2, Channel::Twin),
    );
    let mut buffer = [0; 64];
    block_on(must_be_send(
        node.restore(&mut (&mut a, &mut b), &mut buffer),
    ))
    .unwrap();
    b.arrived = 1;
    let mut slice: Box<[&mut dyn Engine]> = Box::new([&mut a, &mut b]);
    block_on(node.turn(&mut *slice, &mut buffer)).unwrap();
    assert_eq!(b.answered, 1);
}
