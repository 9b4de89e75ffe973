//! A device and a service keep one twin over a bad link, through an outage, a power cut and a refusal.
//!
//! `cargo run --example twin`

use core::error::Error;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::node::Node;
use iot_core::sim::{Faults, SimClock, SimLink, SimNetwork};
use iot_core::storage::memory::MemoryRecords;
use iot_twin::{Code, FieldId, Twin, TwinDevice, TwinService};

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(desired)]
    lit: bool,
    #[twin(desired, local = LocalSticky)]
    blinds: u8,
    #[twin(desired, local = Max)]
    fan: u8,
    #[twin(desired, local = FollowDesired)]
    locked: bool,
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    temperature: f32,
}

type End = Node<SimLink, MemoryRecords, SimClock>;
type Outcome<T> = Result<T, Box<dyn Error>>;

struct World {
    clock: SimClock,
    board: End,
    device: TwinDevice<Room, 8>,
    cloud: End,
    service: TwinService,
}

/// Polls once, which is all that a simulation without waiting needs; a turn may be dropped anywhere.
fn poll<E: Error + 'static>(turn: impl Future<Output = Result<(), E>>) -> Outcome<bool> {
    match pin!(turn).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output.map(|()| true)?),
        Poll::Pending => Ok(false),
    }
}

impl World {
    /// Lets time pass on both sides while the application applies what is desired; what the service sees then.
    fn pass(&mut self, seconds: u64) -> Outcome<Option<(f32, bool, f32)>> {
        let mut buffer = [0; 512];
        for _ in 0..seconds * 10 {
            self.clock.advance(Duration::from_millis(100));
            while poll(self.board.turn(&mut (&mut self.device,), &mut buffer))? {
                if let Some(change) = self.device.changed() {
                    self.device.acknowledge(change.version, true);
                }
            }
            while poll(self.cloud.turn(&mut (&mut self.service,), &mut buffer))? {}
        }
        let room: Option<Room> = self.service.state();
        Ok(room.map(|room| (room.setpoint, room.lit, room.temperature)))
    }

    /// Starts the device from its records alone.
    fn boot(&mut self) -> Outcome<()> {
        self.board.transport().reboot();
        self.device = TwinDevice::new();
        let mut buffer = [0; 512];
        poll(self.board.restore(&mut (&mut self.device,), &mut buffer)).map(drop)
    }
}

fn main() -> Outcome<()> {
    let clock = SimClock::new();
    // Of 1,000 messages 300 are lost and 200 doubled; each takes up to 0.9 s, so that they overtake each other.
    let network = SimNetwork::new(7, clock.clone(), Faults::new(300, 200, 20, 900));
    let (near, far) = network.link();
    let mut world = World {
        board: Node::new(near, MemoryRecords::new(), clock.clone()),
        device: TwinDevice::new(),
        cloud: Node::new(far, MemoryRecords::new(), clock.clone()),
        service: TwinService::of::<Room>(),
        clock,
    };
    world.boot()?;
    let mut service = (&mut world.service,);
    poll(world.cloud.restore(&mut service, &mut [0; 512]))?;

    world.service.desire::<Room>(|room| room.setpoint = 21.0)?;
    world.device.report(|room| room.temperature = 19.5);
    assert_eq!(world.pass(120)?, Some((21.0, false, 19.5)));
    assert!(world.service.is_converged() && world.device.is_settled());

    // The link is down. Somebody turns the knob, switches the light on, and more; the service wants it otherwise.
    world.board.transport().set_up(false);
    let by_hand = |room: &mut Room| {
        (room.setpoint, room.lit, room.temperature) = (18.0, true, 20.4);
        (room.blinds, room.fan, room.locked) = (80, 3, true);
    };
    world.device.report(by_hand);
    world.service.desire::<Room>(|room| {
        (room.setpoint, room.blinds, room.fan, room.locked) = (24.0, 10, 1, false);
    })?;
    world.pass(60)?;
    assert!(!world.service.is_converged());
    world.board.transport().set_up(true);
    assert_eq!(world.pass(600)?, Some((24.0, true, 20.4)));
    let edited = [
        ("setpoint", "18", "the service, whose intent came later"),
        ("blinds", "80", "the hand, until the device lets go"),
        ("fan", "3", "the greater value"),
        ("locked", "true", "the service, always"),
    ];
    for (name, hand, winner) in edited {
        let wanted = world.service.desired(name).ok_or("nothing is desired")?;
        let told = world.service.reported(name).ok_or("nothing is reported")?;
        let answer = world.service.acknowledgement(name).ok_or("no answer")?;
        println!(
            "{name}: by hand {hand}, desired {wanted:?}, is {:?}: {winner} ({})",
            told.value, answer.code
        );
    }
    let room = world.device.state();
    assert_eq!((room.blinds, room.fan, room.locked), (80, 3, false));
    assert!(world.service.is_converged());

    // The power fails. What was desired and what was done by hand is still there.
    world.boot()?;
    world.pass(5)?;
    let room = world.device.state();
    assert_eq!((room.setpoint, room.lit), (24.0, true));

    // A service without a schema asks for too much: the device refuses, and says so.
    world.service.set_field(FieldId::new(0), 45.0)?;
    assert_eq!(world.pass(600)?, Some((24.0, true, 20.4)));
    let answer = world.service.acknowledgement("setpoint");
    assert_eq!(answer.map(|answer| answer.code), Some(Code::OUT_OF_RANGE));

    let (sent, lost, doubled) = network.counts();
    assert!(lost > 0 && doubled > 0, "the link was too good");
    println!("RESULT ok messages={sent} lost={lost} doubled={doubled}");
    Ok(())
}
