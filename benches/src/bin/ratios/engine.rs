//! What it costs to ask an engine, and to drive one with a node.

use core::convert::Infallible;
use core::future::ready;
use core::hint::black_box;
use core::pin::Pin;

use iot_benches::{Goal, Ratio};
use iot_core::engine::{Done, Event};
use iot_core::node::{Node, PollTimer, block_on};
use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Instant, Message, Now, Step, Ticket};
use tokio::sync::mpsc;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const PAYLOAD: [u8; 64] = [7; 64];

/// Sends back every message it gets.
struct Echo {
    channel: Channel,
    waiting: u32,
    sent: u64,
}

impl Echo {
    const fn new(channel: Channel) -> Self {
        Self {
            channel,
            waiting: 0,
            sent: 0,
        }
    }
}

impl Engine for Echo {
    fn handles(&self, channel: Channel) -> bool {
        channel == self.channel
    }
    fn input(&mut self, _: Now, event: &Event<'_>) {
        if let Event::Message(message) = event {
            self.waiting += u32::from(!message.payload.is_empty());
        }
    }
    fn step<'b>(&mut self, _: Now, buffer: &'b mut [u8]) -> Step<'b> {
        match buffer.split_first_mut() {
            Some((first, _)) if self.waiting > 0 => {
                *first = 7;
                Step::Send(Message::new(self.channel, buffer))
            }
            _ => Step::Idle,
        }
    }
    fn done(&mut self, _: Now, done: Done<'_>) {
        if matches!(done, Done::Sent(_)) {
            self.waiting -= 1;
            self.sent += 1;
        }
    }
}

/// The same work as the usual async trait gives it: one boxed future a call.
trait Service {
    fn send<'s>(&'s mut self, message: Message<'s>) -> Pin<Box<dyn Future<Output = u64> + 's>>;
}

impl Service for Echo {
    fn send<'s>(&'s mut self, message: Message<'s>) -> Pin<Box<dyn Future<Output = u64> + 's>> {
        Box::pin(async move {
            self.sent += u64::from(!message.payload.is_empty());
            self.sent
        })
    }
}

/// A whole call (input, step, done) of an engine behind `dyn`, against one call of a boxed async trait.
pub(crate) fn engine_call() -> Ratio {
    let (mut engine, mut service) = (Echo::new(Channel::Command), Echo::new(Channel::Command));
    let engine: &mut dyn Engine = black_box(&mut engine);
    let service: &mut dyn Service = black_box(&mut service);
    let message = Message::new(Channel::Command, &PAYLOAD);
    let mut buffer = [0; 64];
    Ratio::of_times(
        "engine_call",
        Goal::AtMost(1.0),
        || {
            engine.input(NOW, &Event::Message(black_box(message)));
            let sends = matches!(engine.step(NOW, &mut buffer), Step::Send(_));
            engine.done(NOW, Done::Sent(Ticket::new(1)));
            sends
        },
        || block_on(service.send(black_box(message))),
    )
}

/// A link that always has a message and swallows all it is given.
struct Endless;

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never(Infallible);

impl TransportError for Never {
    fn kind(&self) -> TransportErrorKind {
        match self.0 {}
    }
}

impl Transport for Endless {
    type Error = Never;
    fn submit(&mut self, message: &Message<'_>) -> impl Future<Output = Result<Ticket, Never>> {
        black_box(message.payload);
        ready(Ok(Ticket::new(1)))
    }
    fn next<'b>(&mut self, buffer: &'b mut [u8]) -> impl Future<Output = Result<Event<'b>, Never>> {
        let payload = match buffer.get_mut(..PAYLOAD.len()) {
            Some(room) => {
                room.copy_from_slice(black_box(&PAYLOAD));
                &*room
            }
            None => &[],
        };
        ready(Ok(Event::Message(Message::new(Channel::Command, payload))))
    }
    fn subscribe(&mut self, _: Channel) -> impl Future<Output = Result<(), Never>> {
        ready(Ok(()))
    }
    fn limits(&self) -> Limits {
        Limits::new(PAYLOAD.len(), 1)
    }
}

/// One turn of a node with two engines that answers one message, against handing one owned message through a
/// tokio channel, which is what an SDK made of tasks does at least twice for the same.
pub(crate) fn node_turn() -> Ratio {
    let timer = PollTimer::new(|| NOW);
    let mut node = Node::new(Endless, FixedRecords::<4, 64>::new(), timer);
    let (mut echo, mut idle) = (Echo::new(Channel::Command), Echo::new(Channel::Twin));
    let mut buffer = [0; 128];
    let mut engines = (&mut echo, &mut idle);
    let restored = block_on(node.restore(&mut engines, &mut buffer)).is_ok();
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(16);
    let ratio = Ratio::of_times(
        "node_turn",
        Goal::AtMost(2.0),
        || block_on(node.turn(&mut engines, &mut buffer)).is_ok(),
        || {
            block_on(async {
                let sent = sender.send(black_box(&PAYLOAD).to_vec()).await.is_ok();
                sent && receiver.recv().await.is_some()
            })
        },
    );
    assert!(restored && engines.0.sent > 0, "nothing was measured");
    ratio
}
