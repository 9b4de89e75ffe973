//! Both halves over a link that loses, repeats and reorders, with power cuts at every step.

mod delta;

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};

use crate::sync::wire::service::FullReport;
use crate::sync::{Code, TwinDevice, TwinService, Version};
use crate::{FieldId, Twin, Value};

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired, range = -10..=10)]
    trim: Option<i8>,
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    temperature: f32,
    #[twin(reported)]
    count: u32,
}

type Device = TwinDevice<Room, 2>;

/// A small generator of numbers, the same everywhere for one seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

fn at(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}

/// What the world is made of.
struct World {
    dice: Dice,
    device: Device,
    service: TwinService,
    records: BTreeMap<RecordKey, Vec<u8>>,
    down: Vec<Vec<u8>>,
    up: Vec<Vec<u8>>,
    millis: u64,
    loss: u64,
    /// Each reported version and its value, which must never change.
    used: BTreeMap<(FieldId, u64), Vec<u8>>,
    answered: BTreeMap<(FieldId, u64, u32), Option<(u32, Code)>>,
    stamps: Vec<Version>,
    /// What the hardware does.
    applied: f32,
    cuts: u32,
    lost: u32,
    lives: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: Dice(seed),
            device: Device::new(),
            service: TwinService::of::<Room>(),
            records: BTreeMap::new(),
            down: Vec::new(),
            up: Vec::new(),
            millis: 0,
            loss: 0,
            used: BTreeMap::new(),
            answered: BTreeMap::new(),
            stamps: Vec::new(),
            applied: 0.0,
            cuts: 0,
            lost: 0,
            lives: 1,
        };
        world.boot();
        world
    }

    fn boot(&mut self) {
        self.device = Device::new();
        for (key, value) in &self.records {
            self.device
                .input(at(0), &Event::Record { key: *key, value });
        }
        self.device.input(at(0), &Event::Restored);
        self.device
            .input(at(0), &Event::Connected { resumed: false });
    }

    /// One step of the device; the power may be cut before and after what the step asks for.
    fn device_step(&mut self, cuts: bool) -> bool {
        let mut buffer = [0; 160];
        let now = at(self.millis);
        let cut_before = cuts && self.dice.chance(10);
        let cut_after = cuts && self.dice.chance(10);
        match self.device.step(now, &mut buffer) {
            Step::Idle => return false,
            Step::Persist(batch) => {
                if cut_before {
                    self.cut();
                    return true;
                }
                for (key, value) in batch.iter() {
                    self.records.insert(key, value.unwrap().to_vec());
                }
                if cut_after {
                    self.cut();
                    return true;
                }
                self.device.done(now, Done::Persisted);
            }
            Step::Send(message) => {
                let payload = message.payload.to_vec();
                if cut_before {
                    self.cut();
                    return true;
                }
                self.note(&payload);
                self.up.push(payload);
                if cut_after {
                    self.cut();
                    return true;
                }
                let done = if cuts && self.dice.chance(5) {
                    self.up.pop();
                    Done::Failed(Failure::Busy)
                } else {
                    Done::Sent(Ticket::new(0))
                };
                self.device.done(now, done);
            }
            other => panic!("{other:?}"),
        }
        true
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.boot();
    }

    /// No version may ever stand for two values.
    fn note(&mut self, payload: &[u8]) {
        let report = FullReport::read(payload).unwrap();
        for leaf in &report.fields {
            let key = (leaf.id, leaf.version);
            let before = self.used.entry(key).or_insert(leaf.value.to_vec());
            assert_eq!(before, leaf.value, "{key:?} has two values");
            // An answer counts only in the epoch that it names.
            let key = (leaf.id, leaf.version, report.head.epoch);
            let before = *self.answered.entry(key).or_insert(leaf.answer);
            assert_eq!(before, leaf.answer, "{key:?} has two answers");
        }
    }

    fn service_step(&mut self) -> bool {
        let mut buffer = [0; 160];
        match self.service.step(at(self.millis), &mut buffer) {
            Step::Send(message) => {
                self.down.push(message.payload.to_vec());
                self.service
                    .done(at(self.millis), Done::Sent(Ticket::new(0)));
                true
            }
            _ => false,
        }
    }

    fn deliver(&mut self, to_device: bool) -> bool {
        let queue = if to_device {
            &mut self.down
        } else {
            &mut self.up
        };
        if queue.is_empty() {
            return false;
        }
        // Out of order only while the link is bad: a good one keeps its order.
        let pick = if self.loss > 0 {
            usize::try_from(self.dice.roll(queue.len() as u64)).unwrap()
        } else {
            0
        };
        let payload = queue.remove(pick);
        if self.loss > 0 && self.dice.chance(30) {
            queue.push(payload.clone());
        }
        if self.dice.chance(self.loss) {
            self.lost += 1;
            return true;
        }
        let event = Event::Message(Message::new(Channel::Twin, &payload));
        if to_device {
            self.device.input(at(self.millis), &event);
        } else {
            self.service.input(at(self.millis), &event);
        }
        true
    }

    /// What the application on the device does between two turns.
    fn application(&mut self) {
        if let Some(change) = self.device.changed() {
            self.applied = change.setpoint;
            self.device.acknowledge(change.version, true);
        }
    }

    /// Everything that happens by itself, until nothing does.
    fn settle(&mut self) {
        self.loss = 0;
        // One full exchange.
        self.device
            .input(at(self.millis), &Event::Connected { resumed: true });
        for _ in 0..10_000 {
            self.application();
            let busy = [
                self.device_step(false),
                self.service_step(),
                self.deliver(true),
                self.deliver(false),
            ];
            if busy.contains(&true) {
                continue;
            }
            if self.device.is_settled() && self.service.is_converged() {
                return;
            }
            let deadlines = [self.device.deadline(), self.service.deadline()];
            match deadlines.into_iter().flatten().min() {
                Some(next) => self.millis = next.as_millis().max(self.millis),
                None => break,
            }
        }
        panic!("no agreement: {:?} {:?}", self.device, self.service);
    }

    /// What must hold at every moment.
    fn check(&mut self, epochs: bool) {
        // What is not durable was told to nobody, and may be lost.
        let Some((held, stamps)) = self.device.progress() else {
            return;
        };
        for (index, stamp) in stamps.iter().enumerate() {
            // No desired field goes back.
            assert!(self.stamps.get(index).is_none_or(|before| before <= stamp));
            // The device has everything up to what it claims.
            let id = Room::FIELDS[index].id;
            // Services that do not say in which epoch they live may collide until they meet the digest.
            if epochs
                && self.service.version().epoch() == held.epoch()
                && let Some(wish) = self.service.desired.get(&id)
                && wish.version <= held.number()
            {
                let wished = Version::new(held.epoch(), wish.version);
                assert!(*stamp >= wished, "{held} was claimed without {wished}");
            }
        }
        self.stamps = stamps;
    }

    fn assert_equal(&self) {
        let state: Room = self.service.state().expect("everything is reported");
        let actual = self.device.state();
        for index in 0..Room::FIELDS.len() {
            let told = self.service.reported_of(Room::FIELDS[index].id);
            let stale = told.is_none_or(|told| told.stale);
            if stale && index < 3 {
                // Never desired, or not since the device was wiped.
                continue;
            }
            let close =
                !stale && index == 3 && (state.temperature - actual.temperature).abs() < 0.2;
            assert!(
                close || !state.moved(index, actual),
                "field {index} differs: {:?} {:?}",
                self.device,
                self.service
            );
        }
    }
}

/// A life of `turns` random events, then quiet.
fn live(seed: u64, turns: u32, epochs: bool) -> World {
    let mut world = World::new(seed);
    world.loss = 40;
    for _ in 0..turns {
        world.millis += world.dice.roll(2_000);
        match world.dice.roll(20) {
            0 => {
                let degrees = 5.0 + world.dice.roll(100) as f64 / 4.0;
                world.service.set("setpoint", degrees).unwrap();
            }
            1 => {
                let lit = world.dice.chance(50);
                world.service.set("lit", lit).unwrap();
            }
            2 => {
                let trim = world.dice.roll(21) as i64 - 10;
                world.service.set("trim", trim).unwrap();
            }
            3 | 4 => {
                let degrees = world.dice.roll(400) as f32 / 10.0;
                world.device.report(|room| {
                    room.temperature = degrees;
                    room.count += 1;
                });
            }
            5 => world.device.report(|room| room.lit = !room.lit),
            6 => world.cut(),
            7 if world.dice.chance(20) => {
                world.lives += 1;
                let epoch = if epochs { world.lives * 1_000 } else { 1 };
                world.service = TwinService::of::<Room>().in_epoch(epoch);
            }
            8 if world.dice.chance(10) => {
                world.records.clear();
                world.stamps.clear();
                // A wiped device may use its old numbers again, until the service tells it of them.
                world.used.clear();
                world.answered.clear();
                world.up.clear();
                world.cut();
            }
            9..12 => drop(world.service_step()),
            12..15 => drop(world.device_step(true)),
            15 => world.application(),
            16 | 17 => drop(world.deliver(true)),
            _ => drop(world.deliver(false)),
        }
        world.check(epochs);
    }
    world
}

#[test]
fn both_sides_agree_after_any_loss_repetition_reordering_and_power_cuts() {
    let (mut cuts, mut lost, mut lives) = (0, 0, 0);
    for seed in 0..400 {
        let mut world = live(seed, 400, seed % 2 == 0);
        world.device.report(|_| {});
        world.settle();
        world.assert_equal();
        for (name, index) in [("setpoint", 0), ("lit", 1), ("trim", 2)] {
            let Some(answer) = world.service.acknowledgement(name) else {
                assert_eq!(world.service.desired(name), None);
                continue;
            };
            let wish = world.service.desired(name).unwrap();
            let told = world.service.reported(name).unwrap().value;
            assert!(
                if answer.code.is_applied() {
                    wish == told
                } else {
                    answer.code == Code::OVERRIDDEN
                },
                "seed {seed}: field {index} was answered {answer:?} but is {told:?}, not {wish:?} {:?} {:?}",
                world.device,
                world.service
            );
        }
        cuts += world.cuts;
        lost += world.lost;
        lives += world.lives - 1;
    }
    // The faults did happen.
    assert!(
        cuts > 1_000 && lost > 1_000 && lives > 100,
        "{cuts} {lost} {lives}"
    );
}

#[test]
fn a_power_cut_at_each_single_step_changes_nothing_in_the_end() {
    // A whole run has some number of steps; then it is run again with the power cut before and after each.
    let story = |cut_at: Option<(u32, bool)>| {
        let mut world = World::new(1);
        let mut steps = 0;
        for round in 0..4 {
            world
                .service
                .set("setpoint", 20.0 + f64::from(round))
                .unwrap();
            world.service.set("lit", round % 2 == 0).unwrap();
            world.device.report(|room| room.temperature = round as f32);
            for _ in 0..40 {
                world.application();
                let mut buffer = [0; 160];
                let now = at(world.millis);
                let cut = |after| cut_at == Some((steps, after));
                match world.device.step(now, &mut buffer) {
                    Step::Idle => {}
                    _ if cut(false) => {
                        steps += 1;
                        world.cut();
                    }
                    Step::Persist(batch) => {
                        for (key, value) in batch.iter() {
                            world.records.insert(key, value.unwrap().to_vec());
                        }
                        if cut(true) {
                            world.cut();
                        } else {
                            world.device.done(now, Done::Persisted);
                        }
                        steps += 1;
                    }
                    Step::Send(message) => {
                        let payload = message.payload.to_vec();
                        world.note(&payload);
                        world.up.push(payload);
                        if cut(true) {
                            world.cut();
                        } else {
                            world.device.done(now, Done::Sent(Ticket::new(0)));
                        }
                        steps += 1;
                    }
                    other => panic!("{other:?}"),
                }
                world.service_step();
                world.deliver(true);
                world.deliver(false);
                world.millis += 1_000;
            }
        }
        // What is not measured again is not known after a boot; the application measures.
        world.device.report(|room| room.temperature = 3.0);
        world.settle();
        world.assert_equal();
        assert_eq!(world.applied.to_bits(), 23.0_f32.to_bits());
        assert_eq!(
            world.service.reported("setpoint").unwrap().value,
            &Value::Float(23.0)
        );
        assert_eq!(
            world.service.reported("temperature").unwrap().value,
            &Value::Float(3.0)
        );
        assert_eq!(u32::from(cut_at.is_some()), world.cuts);
        steps
    };
    let steps = story(None);
    assert!(steps > 12, "only {steps} steps");
    for step in 0..steps {
        story(Some((step, false)));
        story(Some((step, true)));
    }
}

#[test]
fn a_door_locked_by_hand_is_not_told_to_unlock_again() {
    let mut world = World::new(7);
    world.service.set("lit", true).unwrap();
    world.settle();
    assert!(world.device.state().lit);
    world.device.report(|room| room.lit = false);
    world.settle();
    assert_eq!(
        world.service.acknowledgement("lit").unwrap().code,
        Code::OVERRIDDEN
    );
    assert_eq!(
        world.service.reported("lit").unwrap().value,
        &Value::Bool(false)
    );
    // Neither a restart of the device nor one of the service, which desires the same again, undoes it.
    world.cut();
    world.settle();
    assert!(!world.device.state().lit);
    world.service = TwinService::of::<Room>();
    world.service.set("lit", true).unwrap();
    world.cut();
    world.settle();
    assert!(!world.device.state().lit);
    assert_eq!(
        world.service.acknowledgement("lit").unwrap().code,
        Code::OVERRIDDEN
    );
    // A newer intent does.
    world.service.set("lit", true).unwrap();
    world.settle();
    assert!(world.device.state().lit);
}

#[test]
fn what_was_durable_before_a_power_cut_is_reported_after_it_by_itself() {
    let mut world = World::new(12);
    world.service.set("setpoint", 22.0).unwrap();
    world.settle();
    // An edit and an answer become durable, and the power is cut before either is sent.
    world.device.input(at(0), &Event::Disconnected);
    world.device.report(|room| room.lit = true);
    world.service.set("trim", 3_u8).unwrap();
    world.service_step();
    world.deliver(true);
    while world.device_step(false) {}
    world.up.clear();
    world.cut();
    // Nothing is measured again; the application only answers.
    world.settle();
    let told = |name| world.service.reported(name).unwrap();
    assert_eq!(told("lit").value, &Value::Bool(true));
    assert!(!told("lit").stale && !told("setpoint").stale);
    assert_eq!(
        world.service.acknowledgement("trim").unwrap().code,
        Code::APPLIED
    );
    assert_eq!(
        world.service.version().epoch(),
        1,
        "nothing had to be superseded"
    );
}

#[test]
fn a_value_outside_the_range_is_refused_by_the_device_and_the_old_one_stands() {
    let mut world = World::new(3);
    world.service.set("setpoint", 21.0).unwrap();
    world.settle();
    for (value, code) in [
        (Value::Float(31.0), Code::OUT_OF_RANGE),
        (Value::from("warm"), Code::REJECTED),
        (Value::Float(f64::NAN), Code::OUT_OF_RANGE),
    ] {
        world.service.set_field(FieldId::new(0), value);
        world.settle();
        assert_eq!(
            world.service.acknowledgement("setpoint").unwrap().code,
            code
        );
        assert_eq!(world.device.state().setpoint.to_bits(), 21.0_f32.to_bits());
        world.cut();
        world.settle();
        assert_eq!(
            world.applied.to_bits(),
            21.0_f32.to_bits(),
            "after a restart"
        );
    }
}

#[test]
fn unknown_and_reported_fields_are_answered_for() {
    let mut world = World::new(4);
    world.service.set_field(FieldId::new(3), 20.0);
    world.service.set_field(FieldId::new(99), 1_u8);
    world.service.set_field(FieldId::new(100), true);
    world.settle();
    let code = |id| {
        world
            .service
            .acknowledgement_of(FieldId::new(id))
            .unwrap()
            .code
    };
    assert_eq!(code(3), Code::READ_ONLY);
    assert_eq!([code(99), code(100)], [Code::UNKNOWN; 2]);
}

#[test]
fn a_withdrawn_desire_leaves_the_value_and_is_told_once() {
    let mut world = World::new(5);
    world.service.set("setpoint", 25.0).unwrap();
    world.settle();
    world.service.withdraw("setpoint").unwrap();
    world.settle();
    assert_eq!(world.service.desired("setpoint"), None);
    assert_eq!(world.device.state().setpoint.to_bits(), 25.0_f32.to_bits());
}

#[test]
fn small_changes_are_not_reported() {
    let mut world = World::new(6);
    world.device.report(|room| room.temperature = 20.0);
    world.settle();
    let before = world.service.taken;
    world.device.report(|room| room.temperature = 20.1);
    world.settle();
    assert_eq!(world.service.taken, before);
    world.device.report(|room| room.temperature = 20.25);
    world.settle();
    assert!(world.service.taken > before);
}

#[test]
fn a_report_from_before_a_restart_is_marked_stale() {
    let mut world = World::new(8);
    world.device.report(|room| room.temperature = 20.0);
    world.settle();
    assert!(!world.service.reported("temperature").unwrap().stale);
    world.cut();
    world.settle();
    assert!(world.service.reported("temperature").unwrap().stale);
    world.device.report(|room| room.temperature = 20.0);
    world.settle();
    assert!(!world.service.reported("temperature").unwrap().stale);
}

#[test]
fn a_typed_desire_states_only_what_it_sets() {
    let mut service = TwinService::of::<Room>();
    let set = |room: &mut RoomDesired| room.lit = false;
    assert_eq!(service.desire::<Room>(set), Ok(1));
    assert_eq!(service.desired("lit"), Some(&Value::Bool(false)));
    assert_eq!(service.desired("setpoint"), None);
    // The same again is no news.
    assert_eq!(service.desire::<Room>(set), Ok(0));
    let version = service.version();
    assert!(service.desire::<Room>(|room| room.setpoint = 99.0).is_err());
    assert_eq!(service.version(), version);
}

#[test]
fn a_new_service_can_ask_for_everything() {
    let mut world = World::new(11);
    world.device.report(|room| room.count = 5);
    world.settle();
    world.service = TwinService::of::<Room>().in_epoch(2);
    assert_eq!(world.service.reported("count"), None);
    world.service.ask();
    while world.service_step()
        || world.device_step(false)
        || world.deliver(true)
        || world.deliver(false)
    {}
    assert_eq!(
        world.service.reported("count").unwrap().value,
        &Value::Int(5)
    );
}

#[test]
fn a_device_without_a_link_writes_once_for_many_reports() {
    let mut world = World::new(9);
    world.device.input(at(0), &Event::Disconnected);
    let mut writes = 0;
    for count in 0..640_u32 {
        world.device.report(|room| room.count = count + 1);
        while world.device_step(false) {
            writes += 1;
        }
    }
    assert!((8..=12).contains(&writes), "{writes} writes");
}

#[test]
fn the_messages_are_as_described() {
    let mut world = World::new(10);
    world.service.set("setpoint", 21.5).unwrap();
    world.service_step();
    // [1, 0, epoch 1, base 0, to 1, acknowledged 0, want false, [[0, 1, 21.5]]]
    assert_eq!(
        world.down,
        vec![b"\x88\x01\x00\x01\x00\x01\x00\xf4\x81\x83\x00\x01\xfa\x41\xac\x00\x00".to_vec()]
    );
    world.device_step(false);
    // [1, 1, epoch 0, contiguous 0, floor 1, base 0, want true, [], to 0, no digests]
    assert_eq!(
        world.up,
        vec![b"\x8b\x01\x01\x00\x00\x01\x00\xf5\x80\x00\xf6\xf6".to_vec()]
    );
}

#[test]
fn what_is_not_durable_is_neither_offered_nor_answered_for_nor_told() {
    let mut world = World::new(13);
    world.service.set("lit", true).unwrap();
    world.settle();
    world.cut();
    let first = world.device.changed().unwrap().version;
    world.service.set("setpoint", 22.0).unwrap();
    world.service_step();
    assert!(world.deliver(true));
    // It has arrived; the older change is still what is offered.
    let mut buffer = [0; 160];
    let change = world.device.changed().unwrap();
    assert_eq!((change.version, change.setpoint), (first, 0.0));
    world.device.acknowledge(Version::new(u32::MAX, 0), true);
    assert!(matches!(
        world.device.step(at(0), &mut buffer),
        Step::Persist(_)
    ));
    assert!(world.device.changed().is_none());
    world.device.done(at(0), Done::Persisted);
    let change = world.device.changed().unwrap();
    assert_eq!(change.setpoint.to_bits(), 22.0_f32.to_bits());
    assert!(!world.device.is_settled());
}

#[test]
fn an_edit_while_records_are_written_is_written_too() {
    let mut world = World::new(14);
    world.service.set("lit", true).unwrap();
    world.settle();
    world.device.report(|room| room.lit = false);
    let mut buffer = [0; 160];
    let now = at(world.millis);
    let Step::Persist(batch) = world.device.step(now, &mut buffer) else {
        panic!("an edit is durable before anything else");
    };
    for (key, value) in batch.iter() {
        world.records.insert(key, value.unwrap().to_vec());
    }
    world.device.report(|room| room.trim = Some(4));
    world.device.done(now, Done::Persisted);
    world.settle();
    world.device.input(at(0), &Event::Disconnected);
    world.cut();
    assert_eq!(world.device.state().trim, Some(4));
    assert!(!world.device.state().lit);
}

#[test]
fn a_service_that_runs_out_of_numbers_opens_an_epoch() {
    let mut world = World::new(15);
    world.service.set("lit", true).unwrap();
    world.service.version = u32::MAX;
    world.service.set("setpoint", 23.0).unwrap();
    assert_eq!(world.service.version(), Version::new(2, 2));
    world.settle();
    assert!(world.device.state().lit && world.service.is_converged());
}
