//! What becomes of messages when links break and the broker forgets, in thousands of seeded schedules.
//!
//! Every schedule runs twice: with ends that keep each message until its fate is known, and with ends that
//! clear what they hold when the broker has lost the session. The second kind loses messages without a word.
//!
//! ```sh
//! cargo run --release --example weather -- 1000000
//! ```

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashSet;
use std::time::Instant;

use iot_core::node::block_on;
use iot_core::port::Transport;
use iot_core::sim::{Faults, SimClock};
use iot_core::{Channel, Event, Fate, Message};
use iot_transport::sim::{End, Net, SimError, Weather};

const MESSAGES: u8 = 40;
const FAULTS: Faults = Faults::new(50, 50, 5, 80);
const STORM: Weather = Weather::CALM
    .with_cuts(3_000)
    .with_partitions(5_000, 6_000)
    .with_restarts(6_000, 500);

/// What many schedules came to.
#[derive(Default)]
struct Sum {
    submitted: u64,
    packets: u64,
    /// Messages that arrived more than once.
    repeated: u64,
    /// Messages that were told as delivered to the broker, which forgot them.
    forgotten_by_broker: u64,
    /// Messages that neither arrived nor have a fate.
    without_a_word: u64,
    digest: u64,
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let schedules = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 10_000,
    };
    let start = Instant::now();
    let (mut ours, mut control) = (Sum::default(), Sum::default());
    for seed in 0..schedules {
        run(seed, false, &mut ours)?;
        run(seed, true, &mut control)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    for (name, sum) in [("ours", &ours), ("control", &control)] {
        println!(
            "{name:<8} submitted {} repeated {} lost by the broker {} without a word {}",
            sum.submitted, sum.repeated, sum.forgotten_by_broker, sum.without_a_word
        );
    }
    let mut again = Sum::default();
    run(0, false, &mut again)?;
    let mut first = Sum::default();
    run(0, false, &mut first)?;
    assert_eq!(first.digest, again.digest, "the same seed is the same run");
    assert_eq!(ours.without_a_word, 0);
    assert!(control.without_a_word > 0, "the faults do not bite");
    assert!(ours.forgotten_by_broker > 0, "the broker never forgot");
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |count: u64| count as f64 / seconds;
    println!(
        "RESULT ok schedules={schedules} lost={} control_lost={} messages_per_s={:.0} packets_per_s={:.0}",
        ours.without_a_word,
        control.without_a_word,
        rate(ours.submitted + control.submitted),
        rate(ours.packets + control.packets)
    );
    Ok(())
}

/// Forty messages of one device in half a minute of bad weather, and time to come to rest.
fn run(seed: u64, forgetful: bool, sum: &mut Sum) -> Result<(), Box<dyn core::error::Error>> {
    let net = Net::new(seed, SimClock::new(), FAULTS);
    let mut service = net.service("acme")?;
    let mut device = net.device("acme", "boiler-7")?;
    block_on(service.subscribe(Channel::Telemetry))?;
    if forgetful {
        device.danger_forget_with_session();
    }
    net.set_weather(STORM);
    let (mut arrived, mut told) = (HashSet::new(), Vec::new());
    let mut buffer = [0; 64];
    for round in 0..200_u8 {
        if round < MESSAGES {
            let message = core::slice::from_ref(&round);
            block_on(device.submit(&Message::telemetry(message)))?;
        }
        while let Some(event) = poll(&mut device, &mut buffer)? {
            if let Event::Settled { ticket, fate } = event {
                told.push((ticket.get(), fate));
            }
        }
        while let Some(event) = poll(&mut service, &mut buffer)? {
            if let Event::Message(message) = event {
                let new = arrived.insert(message.payload.first().copied());
                sum.repeated += u64::from(!new);
            }
        }
        if round == 150 {
            net.calm();
        }
        net.advance(Duration::from_millis(200));
    }
    // Tickets count from one, in the order of submission.
    for number in 0..MESSAGES {
        let fate = told
            .iter()
            .find(|(ticket, _)| *ticket == u64::from(number) + 1);
        if !arrived.contains(&Some(number)) {
            match fate {
                Some((_, Fate::Delivered)) => sum.forgotten_by_broker += 1,
                Some(_) => {}
                None => sum.without_a_word += 1,
            }
        }
    }
    let counts = net.counts();
    sum.submitted += counts.submitted;
    sum.packets += counts.packets;
    sum.digest = net.digest();
    Ok(())
}

/// The next event, if there is one now.
fn poll<'b>(end: &mut End, buffer: &'b mut [u8]) -> Result<Option<Event<'b>>, SimError> {
    match pin!(end.next(buffer)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => event.map(Some),
        Poll::Pending => Ok(None),
    }
}
