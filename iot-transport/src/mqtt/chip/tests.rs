mod laws;
mod packets;
mod room;

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::entropy::{Entropy, EntropyError};
use iot_core::node::{PollTimer, block_on};
use iot_core::port::Transport;
use iot_core::retry::Policy;
use iot_core::time::TimeBounds;
use iot_core::{Channel, DeviceId, Event, Fate, Instant, Message, Now, Qos, TenantId};

use super::*;
use crate::mqtt::{Reason, Version};
use crate::session::Terms;

/// What lies on the wire, and what becomes of it.
#[derive(Default)]
struct Wire {
    /// Bytes for the client, in the pieces in which they come.
    incoming: Vec<u8>,
    /// Bytes of the client, on this stream.
    outgoing: Vec<u8>,
    opened: usize,
    is_open: bool,
    broken: bool,
    /// It takes no bytes.
    blocked: bool,
    /// The most bytes at a time.
    piece: usize,
}

#[derive(Clone, Default)]
struct Uart(Rc<RefCell<Wire>>);

impl Stream for Uart {
    fn poll_open(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut wire = self.0.borrow_mut();
        wire.opened += 1;
        (wire.is_open, wire.broken) = (true, false);
        wire.outgoing.clear();
        Poll::Ready(Ok(()))
    }
    fn poll_read(&mut self, _: &mut Context<'_>, room: &mut [u8]) -> Poll<Result<usize, Broken>> {
        let mut wire = self.0.borrow_mut();
        assert!(wire.is_open && !room.is_empty());
        if wire.broken {
            return Poll::Ready(Ok(0));
        }
        let count = wire.incoming.len().min(room.len()).min(wire.piece.max(1));
        if count == 0 {
            return Poll::Pending;
        }
        room[..count].copy_from_slice(&wire.incoming[..count]);
        wire.incoming.drain(..count);
        Poll::Ready(Ok(count))
    }
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let mut wire = self.0.borrow_mut();
        assert!(wire.is_open && !bytes.is_empty());
        if wire.blocked {
            return Poll::Pending;
        }
        let count = bytes.len().min(wire.piece.max(1));
        wire.outgoing.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }
    fn close(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.is_open = false;
        wire.incoming.clear();
    }
}

struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(7);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

type Timer = PollTimer<alloc::boxed::Box<dyn Fn() -> Now>>;
type Small = Client<'static, Uart, Timer, Fixed, 3, 64, 128>;

/// What `next` returned, owned.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Told {
    Connected(bool),
    Disconnected,
    Settled(u64, Fate),
    Message(Channel, Vec<u8>, Qos),
}

/// A client, and the test as its broker.
struct Desk {
    client: Small,
    uart: Uart,
    clock: Clock,
}

const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
const RESUMED: [u8; 5] = [0x20, 3, 1, 0, 0];
const TOPIC: &[u8] = b"iot/1/acme/d1/twin/down";

fn settings() -> Settings<'static> {
    let (tenant, device) = (TenantId::new("acme"), DeviceId::new("d1"));
    let retry = Policy::new(Duration::from_secs(1), Duration::from_secs(1));
    let terms = Terms::new(retry)
        .with_keep_alive(Duration::from_secs(100))
        .with_attempt(Duration::from_secs(20));
    Settings::device(tenant.unwrap(), device.unwrap()).with_terms(terms)
}

impl Desk {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings<'static>) -> Self {
        let (uart, clock) = (Uart::default(), Clock::default());
        uart.0.borrow_mut().piece = 7;
        let ticks = clock.clone();
        let now = move || Now::new(Instant::from_millis(ticks.0.get()), TimeBounds::UNKNOWN);
        let timer: Timer = PollTimer::new(alloc::boxed::Box::new(now));
        let client = Small::new(uart.clone(), timer, Fixed, settings);
        Self {
            client,
            uart,
            clock,
        }
    }

    /// Connected to a broker that answers `connack`.
    fn up(connack: &[u8]) -> Self {
        let mut desk = Self::new();
        desk.come_up(connack);
        desk
    }

    fn come_up(&mut self, connack: &[u8]) {
        // The pause is chosen when the client is asked, and then it passes.
        assert_eq!(self.ask(), None);
        self.pass(2);
        assert_eq!(self.ask(), None);
        assert_eq!(self.sent()[0] >> 4, 1, "the first packet is CONNECT");
        self.say(connack);
        let resumed = connack[2] == 1;
        assert_eq!(self.ask(), Some(Told::Connected(resumed)));
    }

    /// Asks for the next event, and drops the question when there is none.
    fn ask(&mut self) -> Option<Told> {
        self.ask_with(64).unwrap()
    }

    /// As [`ask`](Self::ask), with a buffer of that length.
    fn ask_with(&mut self, bytes: usize) -> Result<Option<Told>, ClientError> {
        let mut buffer = vec![0; bytes];
        let next = pin!(self.client.next(&mut buffer));
        Ok(match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(match event? {
                Event::Connected { resumed } => Told::Connected(resumed),
                Event::Disconnected => Told::Disconnected,
                Event::Settled { ticket, fate } => Told::Settled(ticket.get(), fate),
                Event::Message(message) => {
                    Told::Message(message.channel, message.payload.to_vec(), message.qos)
                }
                other => panic!("{other:?}"),
            }),
            Poll::Pending => None,
        })
    }

    fn say(&mut self, bytes: &[u8]) {
        self.uart.0.borrow_mut().incoming.extend_from_slice(bytes);
    }

    fn submit(&mut self, payload: &[u8]) -> u64 {
        let message = Message::telemetry(payload);
        block_on(self.client.submit(&message)).unwrap().get()
    }

    /// What the client wrote since this was asked last.
    fn sent(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.uart.0.borrow_mut().outgoing)
    }

    fn pass(&mut self, seconds: u64) {
        self.clock.0.set(self.clock.0.get() + seconds * 1_000);
    }

    fn cut(&mut self) {
        self.uart.0.borrow_mut().broken = true;
        assert_eq!(self.ask(), Some(Told::Disconnected));
    }
}

fn publish(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = 2 + TOPIC.len() + 2 + 1 + payload.len();
    let byte = |length| u8::try_from(length).unwrap();
    let mut packet = vec![0x32, byte(length), 0, byte(TOPIC.len())];
    packet.extend_from_slice(TOPIC);
    packet.extend_from_slice(&[0, id, 0]);
    packet.extend_from_slice(payload);
    packet
}

#[test]
fn a_message_is_acknowledged_when_the_caller_comes_back() {
    let mut desk = Desk::up(&CONNACK);
    desk.say(&publish(9, b"first"));
    desk.say(&publish(10, b"second"));
    let twin = |payload: &[u8]| {
        Some(Told::Message(
            Channel::Twin,
            payload.to_vec(),
            Qos::AtLeastOnce,
        ))
    };
    desk.sent();
    assert_eq!(desk.ask(), twin(b"first"));
    assert_eq!(desk.sent(), b"");
    assert_eq!(desk.ask(), twin(b"second"));
    assert_eq!(desk.sent(), [0x40, 2, 0, 9]);
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.sent(), [0x40, 2, 0, 10]);
}

#[test]
fn what_was_in_hand_when_the_link_broke_is_not_acknowledged_on_the_next() {
    let mut desk = Desk::up(&CONNACK);
    desk.say(&publish(9, b"x"));
    assert!(matches!(desk.ask(), Some(Told::Message(..))));
    desk.cut();
    desk.come_up(&RESUMED);
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.sent(), b"");
}

#[test]
fn a_message_ends_as_the_broker_says() {
    let mut desk = Desk::up(&CONNACK);
    let (good, bad) = (desk.submit(b"good"), desk.submit(b"bad"));
    assert_eq!(desk.ask(), None);
    desk.say(&[0x40, 3, 0, 2, 0x87, 0x40, 2, 0, 1]);
    assert_eq!(desk.ask(), Some(Told::Settled(bad, Fate::Refused)));
    assert_eq!(desk.client.last_refusal(), Some(Reason::NotAuthorized));
    assert_eq!(desk.ask(), Some(Told::Settled(good, Fate::Delivered)));
    assert_eq!(desk.client.waiting(), 0);
}

#[test]
fn an_answer_to_what_is_not_on_the_wire_settles_nothing() {
    let mut desk = Desk::up(&CONNACK);
    desk.say(&[0x40, 2, 0, 1]);
    assert_eq!(desk.ask(), None);
    desk.uart.0.borrow_mut().blocked = true;
    desk.submit(b"x");
    desk.say(&[0x40, 2, 0, 1]);
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.client.waiting(), 1);
}

#[test]
fn what_was_on_a_broken_wire_goes_again_whether_the_session_was_kept_or_not() {
    for (connack, first) in [(CONNACK, 0x32), (RESUMED, 0x3a)] {
        let mut desk = Desk::up(&CONNACK);
        let ticket = desk.submit(b"payload");
        assert_eq!(desk.ask(), None);
        let before = desk.sent();
        assert_eq!(before[0], 0x32);
        desk.cut();
        desk.come_up(&connack);
        assert_eq!(desk.ask(), None);
        let again = desk.sent();
        assert_eq!((again[0], &again[1..]), (first, &before[1..]));
        desk.say(&[0x40, 2, 0, 1]);
        assert_eq!(desk.ask(), Some(Told::Settled(ticket, Fate::Delivered)));
    }
}

#[test]
fn messages_go_again_in_their_order() {
    let mut desk = Desk::up(&CONNACK);
    for payload in [b"1", b"2", b"3"] {
        desk.submit(payload);
    }
    assert_eq!(desk.ask(), None);
    desk.cut();
    desk.come_up(&CONNACK);
    assert_eq!(desk.ask(), None);
    let sent = desk.sent();
    let payloads: Vec<u8> = sent
        .chunks(sent.len() / 3)
        .map(|packet| packet[packet.len() - 1])
        .collect();
    assert_eq!(payloads, b"123");
}

#[test]
fn a_session_that_an_unanswered_attempt_may_have_made_is_not_believed() {
    let mut desk = Desk::new();
    block_on(desk.client.subscribe(Channel::Twin)).unwrap();
    desk.come_up(&CONNACK);
    assert_eq!(desk.ask(), None);
    let subscribe = desk.sent();
    assert_eq!(subscribe[0], 0x82);
    desk.say(&[0x90, 4, subscribe[2], subscribe[3], 0, 1]);
    assert_eq!(desk.ask(), None);
    desk.cut();
    // A session is kept: no subscription again.
    desk.come_up(&RESUMED);
    assert_eq!((desk.ask(), desk.sent()), (None, vec![]));
    desk.cut();
    for answered in [false, true] {
        assert_eq!(desk.ask(), None);
        desk.pass(2);
        assert_eq!(desk.ask(), None);
        assert_eq!(desk.sent()[0], 0x10);
        // The answer to the first attempt is lost.
        desk.uart.0.borrow_mut().broken = !answered;
    }
    desk.say(&RESUMED);
    assert_eq!(desk.ask(), Some(Told::Connected(false)));
    desk.sent();
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.sent()[0], 0x82);
}

#[test]
fn what_is_too_long_for_the_broker_is_refused() {
    let mut desk = Desk::up(&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 40]);
    let (long, short) = (desk.submit(&[0; 40]), desk.submit(b"x"));
    assert_eq!(desk.ask(), Some(Told::Settled(long, Fate::Refused)));
    assert_eq!(desk.client.last_refusal(), Some(Reason::TooLarge));
    assert_eq!(desk.ask(), None);
    desk.say(&[0x40, 2, 0, 2]);
    assert_eq!(desk.ask(), Some(Told::Settled(short, Fate::Delivered)));
}

#[test]
fn the_brokers_receive_maximum_holds() {
    let mut desk = Desk::up(&[0x20, 6, 0, 0, 3, 0x21, 0, 1]);
    let first = desk.submit(b"1");
    desk.submit(b"2");
    assert_eq!(desk.ask(), None);
    let one = desk.sent().len();
    desk.say(&[0x40, 2, 0, 1]);
    assert_eq!(desk.ask(), Some(Told::Settled(first, Fate::Delivered)));
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.sent().len(), one);
}

#[test]
fn a_broker_without_acknowledgements_is_not_accepted() {
    let mut desk = Desk::new();
    assert_eq!(desk.ask(), None);
    desk.say(&[0x20, 5, 0, 0, 2, 0x24, 0]);
    assert_eq!(desk.ask(), None);
    assert_eq!(desk.client.last_refusal(), Some(Reason::Qos));
    assert!(!desk.client.is_connected());
}

#[test]
fn a_stream_that_takes_no_bytes_is_given_up() {
    let mut desk = Desk::up(&CONNACK);
    desk.uart.0.borrow_mut().blocked = true;
    desk.submit(b"x");
    assert_eq!(desk.ask(), None);
    desk.pass(100);
    assert_eq!(desk.ask(), None);
    desk.pass(50);
    assert_eq!(desk.ask(), Some(Told::Disconnected));
    assert_eq!(desk.client.waiting(), 1);
}

#[test]
fn a_silent_link_is_pinged_and_an_answer_keeps_it() {
    let mut desk = Desk::up(&CONNACK);
    desk.pass(100);
    desk.sent();
    assert_eq!((desk.ask(), desk.sent()), (None, vec![0xc0, 0]));
    desk.say(&[0xd0, 0]);
    assert_eq!(desk.ask(), None);
    desk.pass(60);
    assert_eq!((desk.ask(), desk.sent()), (None, vec![]));
}

#[test]
fn a_message_expires_unless_it_is_on_the_wire() {
    let mut desk = Desk::new();
    let short = Message::telemetry(b"x").expires_in(Duration::from_secs(5));
    let first = block_on(desk.client.submit(&short)).unwrap().get();
    desk.pass(5);
    assert_eq!(desk.ask(), Some(Told::Settled(first, Fate::Expired)));
    desk.come_up(&CONNACK);
    block_on(desk.client.submit(&short)).unwrap();
    assert_eq!(desk.ask(), None);
    let packet = desk.sent();
    assert!(packet.windows(6).any(|part| part == [5, 2, 0, 0, 0, 5]));
    desk.pass(60);
    assert_eq!(desk.ask(), None);
}

#[test]
fn a_stop_says_goodbye_and_keeps_what_has_no_fate() {
    let mut desk = Desk::up(&CONNACK);
    desk.submit(b"x");
    assert_eq!(desk.ask(), None);
    desk.sent();
    desk.client.stop();
    desk.uart.0.borrow_mut().piece = 100;
    assert_eq!(desk.ask(), Some(Told::Disconnected));
    assert_eq!(desk.sent(), [0xe0, 0]);
    desk.pass(1_000);
    assert_eq!((desk.ask(), desk.client.waiting()), (None, 1));
    assert_eq!(desk.uart.0.borrow().opened, 1);
    desk.client.start();
    desk.come_up(&RESUMED);
}

#[test]
fn what_has_no_room_is_refused_and_changes_nothing() {
    let mut desk = Desk::new();
    let longest = [1; 64];
    let error = |desk: &mut Desk, payload: &[u8]| {
        block_on(desk.client.submit(&Message::telemetry(payload))).unwrap_err()
    };
    let too_large = ClientError::TooLarge {
        bytes: 65,
        limit: 64,
    };
    assert_eq!(error(&mut desk, &[0; 65]), too_large);
    desk.submit(&longest);
    assert_eq!(error(&mut desk, b"x"), ClientError::Busy { waiting: 1 });
    desk.submit(b"");
    desk.submit(b"");
    assert_eq!(error(&mut desk, b""), ClientError::Busy { waiting: 3 });
}

#[test]
fn a_login_stands_in_the_connect() {
    let settings = settings().with_version(Version::V3);
    let mut desk = Desk::with(settings.with_login("me", b"pw").unwrap());
    assert_eq!(desk.ask(), None);
    let expected = b"\x10\x16\x00\x04MQTT\x04\xc0\x00\x64\x00\x02d1\x00\x02me\x00\x02pw";
    assert_eq!(desk.sent(), expected);
    let long = [0; MAX_LOGIN_BYTES];
    assert!(settings.with_login("", &long).is_ok());
    assert_eq!(
        settings.with_login("x", &long).unwrap_err(),
        LoginError {
            bytes: MAX_LOGIN_BYTES + 1
        }
    );
}
