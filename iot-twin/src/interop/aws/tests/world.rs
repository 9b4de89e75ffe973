//! A device's engine, a link, and the service, over a connection that loses, repeats and breaks.

use alloc::vec;

use super::*;
use crate::sync::Code;
use crate::{Twin, TwinDevice, TwinService};
use iot_core::engine::{Done, Engine as _, Event, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};

#[derive(Twin)]
struct Door {
    #[twin(desired)]
    locked: bool,
    #[twin(desired, range = 0..=100)]
    volume: u8,
    #[twin(reported)]
    count: u32,
}

/// What the tests look at in a twin.
pub(super) trait Seen: Twin {
    fn seen(desired: &Self::Desired) -> (bool, u8);
}

impl Seen for Door {
    fn seen(desired: &Self::Desired) -> (bool, u8) {
        (desired.locked, desired.volume)
    }
}

pub(super) fn at(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}

/// A small generator of numbers, the same everywhere for one seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

pub(super) struct World<T: Seen> {
    pub(super) dice: Dice,
    pub(super) device: TwinDevice<T, 8>,
    pub(super) link: ShadowLink,
    pub(super) service: Shadows,
    pub(super) millis: u64,
    /// Of a hundred messages, so many are lost.
    pub(super) loss: u64,
    pub(super) lost: u32,
    /// How often the device was told to change something.
    pub(super) told: Vec<(bool, u8)>,
    pub(super) errors: Vec<SendError>,
    pub(super) requests: Vec<String>,
}

impl<T: Seen> World<T> {
    pub(super) fn new(seed: u64) -> Self {
        let id = ShadowId::named("door", "main").unwrap();
        let mut service = Shadows::new();
        service.add_thing("door");
        let mut device = TwinDevice::new();
        device.input(at(0), &Event::Restored);
        device.input(at(0), &Event::Connected { resumed: false });
        let mut link = ShadowLink::new(id, TwinService::of::<T>());
        link.connected();
        Self {
            dice: Dice(seed),
            device,
            link,
            service,
            millis: 1_000_000,
            loss: 0,
            lost: 0,
            told: vec![],
            errors: vec![],
            requests: vec![],
        }
    }

    /// The device's engine and the link's half of it, until both rest.
    pub(super) fn pump(&mut self) {
        let mut records: Vec<(RecordKey, Vec<u8>)> = vec![];
        for _ in 0..100 {
            let now = at(self.millis);
            let mut buffer = [0; 256];
            let mut busy = false;
            match self.device.step(now, &mut buffer) {
                Step::Persist(batch) => {
                    let kept = batch
                        .iter()
                        .map(|(key, value)| (key, value.unwrap_or_default().to_vec()));
                    records.extend(kept);
                    self.device.done(now, Done::Persisted);
                    busy = true;
                }
                Step::Send(message) => {
                    self.link.twin_mut().input(now, &Event::Message(message));
                    self.device.done(now, Done::Sent(Ticket::new(0)));
                    busy = true;
                }
                _ => {}
            }
            if let Step::Send(message) = self.link.twin_mut().step(now, &mut buffer) {
                let payload = message.payload.to_vec();
                self.link.twin_mut().done(now, Done::Sent(Ticket::new(0)));
                self.device
                    .input(now, &Event::Message(Message::new(Channel::Twin, &payload)));
                busy = true;
            }
            if let Some(change) = self.device.changed() {
                self.told.push(T::seen(&change));
                self.device.acknowledge(change.version, true);
                busy = true;
            }
            if !busy {
                return;
            }
        }
        panic!("no rest: {:?}", self.device);
    }

    /// Whatever the service publishes reaches the link, or not.
    pub(super) fn publish(&mut self, published: &[Publish]) {
        for message in published {
            if self.dice.roll(100) < self.loss {
                self.lost += 1;
                continue;
            }
            let copies = if self.dice.roll(100) < self.loss {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let now = Instant::from_millis(self.millis);
                self.link
                    .receive(now, &message.topic, message.payload.as_bytes());
            }
        }
    }

    pub(super) fn handle(&mut self, topic: &str, payload: &str) -> Vec<Publish> {
        let now = Timestamp::from_millis(self.millis);
        self.service
            .handle(now, Caller::ALLOWED, topic, payload.as_bytes())
    }

    /// The application in the cloud changes something.
    pub(super) fn desire(&mut self, desired: &str) {
        let topic = "$aws/things/door/shadow/name/main/update";
        let published = self.handle(topic, &format!(r#"{{"state":{{"desired":{desired}}}}}"#));
        self.publish(&published);
    }

    pub(super) fn step(&mut self) {
        self.pump();
        match self.link.next(Instant::from_millis(self.millis)) {
            Ok(Some(request)) if self.dice.roll(100) >= self.loss => {
                self.requests.push(request.payload.clone());
                let published = self.handle(&request.topic, &request.payload);
                self.publish(&published);
            }
            Ok(_) => {}
            Err(error) => self.errors.push(error),
        }
        self.pump();
    }

    pub(super) fn settle(&mut self) {
        self.loss = 0;
        for _ in 0..40 {
            self.millis += 3_000;
            self.step();
        }
    }

    pub(super) fn shown(&mut self) -> Value {
        self.millis += 1_000;
        let answers = self.handle("$aws/things/door/shadow/name/main/get", "");
        json(&answers[0].payload).get("state").unwrap().clone()
    }
}

#[test]
fn what_is_desired_reaches_the_device_and_what_it_reports_the_shadow() {
    let mut world = World::<Door>::new(1);
    world.device.report(|door| door.count = 7);
    world.desire(r#"{"locked":true,"volume":30}"#);
    world.settle();
    assert_eq!(world.told, [(true, 30)]);
    assert_eq!(
        world.shown(),
        json(
            r#"{"desired":{"locked":true,"volume":30},"reported":{"locked":true,"volume":30,"count":7}}"#
        )
    );
    // What the device cannot take stays a difference, and it is not told again and again.
    world.desire(r#"{"volume":200,"colour":"red"}"#);
    world.settle();
    assert_eq!(world.told.len(), 1);
    assert_eq!(
        world.shown().get("delta"),
        Some(&json(r#"{"volume":200,"colour":"red"}"#))
    );
}

#[test]
fn a_door_that_was_locked_by_hand_is_not_told_to_unlock_again() {
    let mut world = World::<Door>::new(2);
    world.desire(r#"{"locked":false,"volume":30}"#);
    world.settle();
    world.device.report(|door| door.locked = true);
    world.settle();
    // Every update makes the service repeat the difference.
    for count in 0..5 {
        world.device.report(|door| door.count = count);
        world.settle();
    }
    assert!(world.shown().get("delta").is_some());
    assert!(world.device.state().locked);
    assert_eq!(
        world.link.twin().acknowledgement("locked").unwrap().code,
        Code::OVERRIDDEN
    );
    // The same wish at another time is another intent.
    world.desire(r#"{"locked":false}"#);
    world.settle();
    assert!(!world.device.state().locked);
}

#[test]
fn a_shadow_that_was_removed_begins_a_new_epoch_with_all_reports() {
    for (missed, pause) in [
        (false, 0),
        (true, 0),
        (false, 49 * 3_600_000),
        (true, 49 * 3_600_000),
    ] {
        let mut world = World::<Door>::new(3);
        world.device.report(|door| door.count = 7);
        for volume in 10..20 {
            world.desire(&format!(r#"{{"volume":{volume}}}"#));
            world.settle();
        }
        let before = world.link.version();
        if missed {
            world.link.disconnected();
        }
        let published = world.handle("$aws/things/door/shadow/name/main/delete", "");
        if !missed {
            world.publish(&published);
        }
        world.millis += pause;
        world.desire(r#"{"volume":50}"#);
        if missed {
            world.link.connected();
        }
        world.settle();
        assert_eq!(world.device.state().volume, 50, "{missed} {pause}");
        let shown = world.shown();
        assert_eq!(
            shown.get("reported").unwrap().get("volume"),
            Some(&50.into())
        );
        let count = shown.get("reported").unwrap().get("count");
        assert_eq!(count, Some(&7.into()));
        assert!(
            world.link.version() > before,
            "{:?} {before:?}",
            world.link.version()
        );
        // Only lower versions show that it is another life.
        assert_eq!(world.link.version().epoch(), if pause > 0 { 2 } else { 1 });
    }
}

#[test]
fn a_state_that_the_shadow_would_not_take_is_held_back() {
    let mut world = World::<Door>::new(4);
    world.device.report(|door| door.count = 7);
    let filler = "x".repeat(MAX_STATE_BYTES - 20);
    world.desire(&format!(r#"{{"filler":"{filler}"}}"#));
    world.settle();
    let is_told = |error: &SendError| matches!(error, SendError::TooLarge { bytes } if *bytes > MAX_STATE_BYTES);
    assert!(
        !world.errors.is_empty() && world.errors.iter().all(is_told),
        "{:?}",
        world.errors
    );
    assert_eq!(world.shown().get("reported"), None);
    world.desire(r#"{"filler":null}"#);
    world.link.connected();
    world.device.report(|door| door.count = 1);
    world.settle();
    assert_eq!(
        world.shown().get("reported").unwrap().get("count"),
        Some(&1.into())
    );
}

#[test]
fn both_sides_agree_after_any_loss_repetition_and_reconnects() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut world = World::<Door>::new(seed);
        world.loss = 30;
        let mut wished = None;
        for _ in 0..60 {
            world.millis += world.dice.roll(4_000);
            match world.dice.roll(8) {
                0 => {
                    let volume = world.dice.roll(100);
                    world.millis += 1_000;
                    world.desire(&format!(r#"{{"volume":{volume}}}"#));
                    wished = Some(volume);
                }
                1 => world.device.report(|door| door.count += 1),
                2 => world.link.connected(),
                3 if world.dice.roll(4) == 0 => {
                    let published = world.handle("$aws/things/door/shadow/name/main/delete", "");
                    world.publish(&published);
                    wished = None;
                }
                _ => world.step(),
            }
        }
        world.link.connected();
        world.device.report(|_| {});
        world.settle();
        let shown = world.shown();
        let reported = shown.get("reported").unwrap();
        let state = world.device.state();
        let own = (state.locked, state.volume, state.count);
        assert_eq!(
            reported.get("count"),
            Some(&own.2.into()),
            "seed {seed}: {shown:?}"
        );
        assert_eq!(
            reported.get("volume"),
            Some(&own.1.into()),
            "seed {seed}: {shown:?}"
        );
        if let Some(wished) = wished {
            assert_eq!(u64::from(own.1), wished, "seed {seed}: {shown:?}");
            assert_eq!(shown.get("delta"), None, "seed {seed}: {shown:?}");
        }
        lost += world.lost;
    }
    assert!(lost > 500, "{lost}");
}
