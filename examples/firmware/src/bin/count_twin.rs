//! How many instructions a change of ten leaves takes in a twin of 108, and a report of ten; `.ci/count` runs it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_firmware::board::opaque;
use iot_firmware::count::{self, ticks};
use iot_twin::{Twin, TwinDevice};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const LEAVES: usize = 10;

macro_rules! group {
    ($name:ident: $($leaf:ident)+) => {
        #[derive(Twin)]
        struct $name {$(
            #[twin(desired, range = -1e6..=1e6)]
            $leaf: f32,
        )+}
    };
}
group!(Group: leaf0 leaf1 leaf2 leaf3 leaf4 leaf5 leaf6 leaf7 leaf8 leaf9 leaf10 leaf11);

#[derive(Twin)]
struct Plant {
    #[twin(group, id = 0)]
    group0: Group,
    #[twin(group, id = 16)]
    group1: Group,
    #[twin(group, id = 32)]
    group2: Group,
    #[twin(group, id = 48)]
    group3: Group,
    #[twin(group, id = 64)]
    group4: Group,
    #[twin(group, id = 80)]
    group5: Group,
    #[twin(group, id = 96)]
    group6: Group,
    #[twin(group, id = 112)]
    group7: Group,
    #[twin(group, id = 128)]
    group8: Group,
}

/// `[1, 0, epoch 1, base, to, acknowledged 0, want false, ten leaves]`; a leaf is `[id, number, value]`.
const HEAD: [u8; 9] = *b"\x88\x01\x00\x01\x00\x0a\x00\xf4\x8a";
const LEAF: usize = 9;

#[entry]
fn main() -> ! {
    count::start();
    let mut plant = TwinDevice::<Plant, 16>::new();
    plant.input(NOW, &Event::Restored);
    plant.input(NOW, &Event::Connected { resumed: false });
    let mut delta = [0; HEAD.len() + LEAVES * LEAF];
    let (head, leaves) = delta.split_at_mut(HEAD.len());
    head.copy_from_slice(&HEAD);
    for (number, leaf) in (0..).zip(leaves.chunks_exact_mut(LEAF)) {
        let id = 16 * (1 + number % 8) + 8 + number / 8;
        leaf.copy_from_slice(&[0x83, 0x18, id, 1 + number, 0xfa, 0x41, 0xa8, 0, 0]);
    }
    let delta = opaque(delta);
    let apply = ticks(|| {
        let message = Message::new(Channel::Twin, &delta);
        plant.input(NOW, &Event::Message(message));
    });
    let (mut buffer, mut records, mut bytes) = ([0; 1_024], 0, 0);
    while let Step::Persist(batch) = plant.step(NOW, &mut buffer) {
        records += batch.iter().count();
        plant.done(NOW, Done::Persisted);
    }
    let encode = ticks(|| {
        if let Step::Send(message) = plant.step(NOW, &mut buffer) {
            bytes = opaque(message.payload).len();
        }
    });
    plant.done(NOW, Done::Sent(Ticket::new(1)));
    count::finish(
        records == LEAVES + 1 && bytes > LEAVES * LEAF,
        &[("apply", apply), ("encode", encode)],
    )
}
