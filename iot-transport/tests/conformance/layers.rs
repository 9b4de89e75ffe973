//! Each layer passes the suite, alone and stacked, and loses nothing while it refuses and doubles.

use core::cell::Cell;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use iot_core::node::PollTimer;
use iot_core::port::Transport;
use iot_core::sim::{Faults, SimClock};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Event, Fate, Instant, Message, Now, Priority};
use iot_transport::conformance::{Lack, run};
use iot_transport::layer::{
    ByteBudget, Fault, Faulty, Layered as _, Meter, Metered, MeteredGate, RateLimit, Record,
};
use iot_transport::sim::{self, Net, Weather};

use crate::assert_passed;
use crate::subjects::{Memory, MemoryEnd, Simulated};

const NO_CLOCK: &[Lack] = &[Lack::Session, Lack::Clock];
static FREE: Metered = Metered::new();

/// Layers need a clock; here it never limits anything.
fn timer() -> PollTimer<fn() -> Now> {
    PollTimer::new(|| Now::new(Instant::from_millis(0), TimeBounds::UNKNOWN))
}

fn passes<W: Transport>(wrap: fn(MemoryEnd) -> W, inner: fn(&mut W) -> &mut MemoryEnd) {
    assert_passed(&block_on(run(&mut Memory::new(wrap, inner))), NO_CLOCK);
}

#[test]
fn budgets_gate_meter_and_recorder_pass_the_suite() {
    passes(
        |end| end.layer(ByteBudget::new(1 << 30, 1, Duration::from_secs(1), timer())),
        |end| end.inner(),
    );
    passes(
        |end| end.layer(RateLimit::new(1 << 30, 1, Duration::from_secs(1), timer())),
        |end| end.inner(),
    );
    passes(
        |end| end.layer(MeteredGate::new(&FREE, Priority::Critical)),
        |end| end.inner(),
    );
    passes(|end| end.layer(Meter::new(timer())), |end| end.inner());
    passes(|end| end.layer(Record::new(1 << 24)), |end| end.inner());
}

#[cfg(feature = "trace")]
#[test]
fn the_tracer_passes_the_suite() {
    use iot_transport::layer::Trace;
    passes(|end| end.layer(Trace::new()), |end| end.inner());
}

#[test]
fn all_layers_stacked_pass_the_suite() {
    passes(
        |end| {
            end.layer(Fault::new(1).with_duplicates(200))
                .layer(ByteBudget::new(1 << 30, 1, Duration::from_secs(1), timer()))
                .layer(MeteredGate::new(&FREE, Priority::Critical))
                .layer(Meter::new(timer()))
                .layer(Record::new(1 << 24))
        },
        |end| end.inner().inner().inner().inner().inner(),
    );
}

/// What it does on purpose is within the contract: the suite finds nothing, although faults fire.
#[test]
fn duplicates_delays_and_cuts_stay_within_the_contract() {
    type End = Faulty<sim::End>;
    let wrap = |end: sim::End| -> End {
        end.layer(
            Fault::new(5)
                .with_duplicates(300)
                .with_delays(300, 3)
                .with_cuts(5, |end: &mut sim::End| end.cut()),
        )
    };
    for seed in 0..5 {
        let subject = Simulated::new(seed, Faults::NONE, wrap, End::inner);
        let report = block_on(run(&mut subject.without(Lack::Order)));
        assert_passed(&report, &[Lack::EndToEnd, Lack::Order]);
    }
}

#[test]
fn nothing_is_lost_while_everything_is_refused_doubled_delayed_and_cut() {
    let now = Cell::new(0);
    for seed in 0..50 {
        let net = Net::new(seed, SimClock::new(), Faults::new(30, 30, 5, 50));
        let mut service = net.service("acme").unwrap();
        block_on(service.subscribe(Channel::Telemetry)).unwrap();
        net.advance(Duration::from_secs(5));
        let fault = Fault::new(seed)
            .with_refusals(300)
            .with_duplicates(300)
            .with_delays(300, 3)
            .with_cuts(20, |end: &mut sim::End| end.cut());
        let clock =
            PollTimer::new(|| Now::new(Instant::from_millis(now.get()), TimeBounds::UNKNOWN));
        let metered = Metered::new();
        let mut device = net
            .device("acme", "d")
            .unwrap()
            .layer(fault)
            .layer(ByteBudget::new(10, 5, Duration::from_secs(1), clock))
            .layer(MeteredGate::new(&metered, Priority::High));
        net.set_weather(Weather::CALM.with_cuts(2_000).with_partitions(4_000, 5_000));
        let mut waiting: Vec<u8> = (0..60).collect();
        let (mut fates, mut heard) = (BTreeMap::new(), BTreeSet::new());
        let (mut buffer, mut refusals) = ([0; 64], 0);
        for round in 0..600_u64 {
            metered.set(round % 7 == 0);
            if let Some(number) = waiting.first().copied() {
                match block_on(device.submit(&Message::telemetry(&[number]))) {
                    Ok(_) => drop(waiting.remove(0)),
                    Err(_) => refusals += 1,
                }
            }
            for _ in 0..4 {
                if let Some(Event::Settled { ticket, fate }) = poll(&mut device, &mut buffer) {
                    assert_eq!(fates.insert(ticket, fate), None, "a second fate");
                }
            }
            while let Some(event) = poll(&mut service, &mut buffer) {
                if let Event::Message(message) = event {
                    heard.insert(message.payload[0]);
                }
            }
            if round == 400 {
                net.calm();
            }
            now.set(now.get() + 100);
            net.advance(Duration::from_millis(100));
        }
        let counts = device.inner().inner().counts();
        assert!(
            counts.refused > 0
                && counts.delayed > 0
                && counts.cuts > 0
                && refusals > counts.refused
        );
        assert_eq!(
            (waiting.len(), fates.len(), heard.len()),
            (0, 60, 60),
            "seed {seed}"
        );
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
    }
}

fn poll<'b, T: Transport>(end: &mut T, buffer: &'b mut [u8]) -> Option<Event<'b>> {
    use core::task::{Context, Poll, Waker};
    match core::pin::pin!(end.next(buffer)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    }
}
