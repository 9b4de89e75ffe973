//! The real device makes the moves of the model's, and must tell and record the same.

use std::collections::{BTreeSet, HashSet, VecDeque};

use iot_twin::iot_core::engine::{Done, Engine, Event, Step};
use iot_twin::iot_core::node::{block_on, restore};
use iot_twin::iot_core::port::Records as _;
use iot_twin::iot_core::storage::memory::MemoryRecords;
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Channel, Instant, Message, Now};
use iot_twin::{Twin, TwinDevice};
use minicbor::{Decoder, Encoder};

use super::device::{Code, Delta, Device};
use super::rules::{LEAVES, Policy, Rules};
use super::world::{Entry, World};

/// How much was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compared {
    pub(crate) states: usize,
    pub(crate) moves: usize,
    pub(crate) cuts: usize,
}

/// A twin of two fields with one policy.
trait Pair: Twin<Slots: Clone> + Clone {
    const POLICY: Policy;
    fn set(&mut self, at: usize, value: u8);
}

macro_rules! pair {
    ($name:ident $policy:ident) => {
        #[derive(Clone, Twin)]
        struct $name {
            #[twin(desired, local = $policy)]
            one: u8,
            #[twin(desired, local = $policy)]
            two: u8,
        }
        impl Pair for $name {
            const POLICY: Policy = Policy::$policy;
            fn set(&mut self, at: usize, value: u8) {
                *[&mut self.one, &mut self.two][at] = value;
            }
        }
    };
}
pair!(Last LastIntent);
pair!(Follow FollowDesired);
pair!(Sticky LocalSticky);
pair!(Most Max);

#[derive(Clone, Debug)]
enum Move {
    Deliver(Delta),
    Answer,
    Edit(usize, u8),
    Cut,
}

/// Two values of the first field, one of the second that is withdrawn, and the same stated anew in a second epoch.
const HISTORY: [Entry; 7] = [
    (1, 1, 0, Some(2), 1),
    (1, 2, 1, Some(3), 2),
    (1, 3, 0, Some(5), 3),
    (1, 4, 1, None, 4),
    (2, 1, 0, Some(5), 3),
    (2, 2, 1, Some(3), 5),
    (2, 3, 0, Some(2), 6),
];

/// From every state that so many moves lead to, with every policy and with room for one field of a message or both.
pub(crate) fn devices(depth: u8) -> Compared {
    let mut compared = Compared::default();
    every::<Last, 1>(depth, &mut compared);
    every::<Last, 2>(depth - 1, &mut compared);
    every::<Follow, 1>(depth - 1, &mut compared);
    every::<Sticky, 2>(depth - 1, &mut compared);
    every::<Most, 2>(depth - 1, &mut compared);
    compared
}

fn every<T: Pair, const ROOM: usize>(depth: u8, compared: &mut Compared) {
    let mut rules = Rules::new(T::POLICY);
    rules.room = ROOM;
    let history = BTreeSet::from(HISTORY);
    let mut moves = vec![Move::Answer, Move::Cut, Move::Edit(0, 1), Move::Edit(1, 9)];
    for (epoch, newest) in [(1, 4), (2, 3)] {
        for to in 1..=newest {
            for base in 0..to {
                moves.push(Move::Deliver(World::delta(&history, epoch, base, to)));
            }
        }
    }
    let start = (Device::default(), Real::<T, ROOM>::new());
    let (mut known, mut queue) = (HashSet::new(), VecDeque::from([(start, 0)]));
    while let Some(((model, real), made)) = queue.pop_front() {
        compared.states += 1;
        for step in &moves {
            let (mut model, mut real) = (model, real.clone());
            match step {
                Move::Deliver(delta) => model.deliver(&rules, delta),
                Move::Answer => model.answer(),
                Move::Edit(at, value) => model.edit(&rules, *at, *value),
                Move::Cut => model.cut(),
            }
            real.make(step);
            compared.moves += 1;
            compared.cuts += usize::from(matches!(step, Move::Cut));
            real.is(&model, step);
            // How often something was told is no difference between two states.
            if made + 1 < depth && known.insert((model.memory, model.records)) {
                queue.push_back(((model, real), made + 1));
            }
        }
    }
}

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

#[derive(Clone)]
struct Real<T: Pair, const ROOM: usize> {
    device: TwinDevice<T, ROOM>,
    records: MemoryRecords,
}

impl<T: Pair, const ROOM: usize> Real<T, ROOM> {
    fn new() -> Self {
        let mut real = Self {
            device: TwinDevice::new(),
            records: MemoryRecords::new(),
        };
        real.boot();
        real
    }

    fn boot(&mut self) {
        self.device = TwinDevice::new();
        block_on(restore(
            &mut self.device,
            &mut self.records,
            NOW,
            &mut [0; 128],
        ))
        .unwrap();
        self.pump();
    }

    /// Puts on record what must be; nothing is sent before there is a link.
    fn pump(&mut self) {
        let mut buffer = [0; 256];
        while let Step::Persist(batch) = self.device.step(NOW, &mut buffer) {
            block_on(self.records.commit(&batch)).unwrap();
            self.device.done(NOW, Done::Persisted);
        }
    }

    fn make(&mut self, step: &Move) {
        match step {
            Move::Deliver(delta) => {
                let bytes = encoded(delta);
                let message = Message::new(Channel::Twin, &bytes);
                self.device.input(NOW, &Event::Message(message));
            }
            Move::Answer => {
                if let Some(change) = self.device.changed() {
                    self.device.acknowledge(change.version, true);
                }
            }
            Move::Edit(at, value) => self.device.report(|pair| pair.set(*at, *value)),
            Move::Cut => self.boot(),
        }
        self.pump();
    }

    /// What a copy of the device tells once it is connected is what the model knows.
    fn is(&self, model: &Device, step: &Move) {
        let mut device = self.device.clone();
        device.input(NOW, &Event::Connected { resumed: false });
        // Since its boot it may not have heard the service, and then tells only that it is there.
        let greeting = encoded(&Delta {
            epoch: model.memory.epoch,
            ..Delta::default()
        });
        if model.memory.epoch > 0 {
            let message = Message::new(Channel::Twin, &greeting);
            device.input(NOW, &Event::Message(message));
        }
        let mut buffer = [0; 256];
        let Step::Send(message) = device.step(NOW, &mut buffer) else {
            panic!("it does not report");
        };
        let half = &model.memory;
        let mut input = Decoder::new(message.payload);
        input.array().unwrap();
        input.skip().unwrap();
        input.skip().unwrap();
        assert_eq!(input.u8().unwrap(), half.epoch, "{step:?} {model:?}");
        assert_eq!(input.u8().unwrap(), half.contiguous, "{step:?} {model:?}");
        for _ in 0..3 {
            input.skip().unwrap();
        }
        let mut told = [None; LEAVES];
        for _ in 0..input.array().unwrap().unwrap() {
            let len = input.array().unwrap();
            let at = usize::from(input.u8().unwrap());
            input.skip().unwrap();
            let value = match input.datatype().unwrap() {
                minicbor::data::Type::Null => input.null().map(|()| None),
                _ => input.u8().map(Some),
            };
            let answer = match len {
                Some(5) => (input.u8().unwrap(), input.u16().unwrap()),
                _ => (0, 0),
            };
            told[at] = Some((value.unwrap(), answer));
        }
        // Before it has heard of a service it tells nothing of its fields.
        if half.epoch == 0 {
            return;
        }
        for (at, leaf) in half.leaves.iter().enumerate() {
            let is_known = leaf.actual.is_some() || leaf.stamp > (0, 0);
            let code = match leaf.code {
                Code::None => 0,
                Code::Applied => 200,
                Code::Pending => 202,
                Code::Overridden => 409,
            };
            let answers = leaf.stamp > (0, 0) && leaf.stamp.0 == half.epoch;
            let answer = if answers {
                (leaf.stamp.1, code)
            } else {
                (0, 0)
            };
            let expected = is_known.then_some((leaf.actual, answer));
            assert_eq!(told[at], expected, "field {at} after {step:?}: {model:?}");
        }
    }
}

fn encoded(delta: &Delta) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    out.array(8).unwrap().u8(1).unwrap().u8(0).unwrap();
    for number in [delta.epoch, delta.base, delta.to, 0] {
        out.u8(number).unwrap();
    }
    out.bool(false).unwrap();
    out.array(delta.leaves.len() as u64).unwrap();
    for &(number, at, value, _) in &delta.leaves {
        out.array(3).unwrap();
        out.u8(u8::try_from(at).unwrap())
            .unwrap()
            .u8(number)
            .unwrap();
        match value {
            Some(value) => out.u8(value).unwrap(),
            None => out.null().unwrap(),
        };
    }
    out.into_writer()
}
