//! A device and a service keep one twin over a bad link, through an outage, a power cut and a refusal. Both edit it while
//! the link is down; it is printed how each field's policy decided.
//!
//! `cargo run --example twin`

use core::error::Error;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::node::Node;
use iot_core::sim::{Faults, SimClock, SimLink, SimNetwork};
use iot_core::storage::memory::MemoryRecords;
use iot_twin::schema::LocalEdit;
use iot_twin::{Code, FieldId, Twin, TwinDevice, TwinService, Value};

/// A room with a field of each policy.
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
    #[twin(desired, local = Or)]
    alarm: bool,
    /// Desired and measured: what the device says of it is no edit.
    #[twin(desired, reported, unit = "%")]
    valve: u8,
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    temperature: f32,
}

/// What became of one field that both sides had changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// Its name.
    pub field: &'static str,
    /// What an edit at the device means.
    pub policy: &'static str,
    /// What it was set to there.
    pub by_hand: &'static str,
    /// What the service desired.
    pub desired: String,
    /// What it is now.
    pub is: String,
    /// What the service was told.
    pub code: Code,
    /// In words.
    pub why: &'static str,
}

impl core::fmt::Display for Decision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (field, policy, by_hand) = (self.field, self.policy, self.by_hand);
        let (desired, is, code) = (&self.desired, &self.is, self.code);
        write!(
            f,
            "{field:8} {policy:13} by hand {by_hand:4} desired {desired:5} is {is:5} ({code}) {}",
            self.why
        )
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        other => format!("{other:?}"),
    }
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

    /// How a field was decided, as the service sees it.
    fn decision(
        &self,
        field: &'static str,
        by_hand: &'static str,
        why: &'static str,
    ) -> Outcome<Decision> {
        let schema = Room::SCHEMA
            .iter()
            .find(|schema| schema.name.to_string() == field);
        let field_of = schema.ok_or("no such field")?.field;
        let policy = match field_of.local {
            _ if !field_of.is_edited() => "(measured)",
            LocalEdit::LastIntent => "LastIntent",
            LocalEdit::FollowDesired => "FollowDesired",
            LocalEdit::LocalSticky => "LocalSticky",
            LocalEdit::Max => "Max",
            LocalEdit::Or => "Or",
            _ => return Err("a policy without a name".into()),
        };
        let told = self.service.reported(field).ok_or("nothing is reported")?;
        let wanted = self.service.desired(field).ok_or("nothing is desired")?;
        let answer = self.service.acknowledgement(field).ok_or("no answer")?;
        Ok(Decision {
            field,
            policy,
            by_hand,
            desired: plain(wanted),
            is: plain(told.value),
            code: answer.code,
            why,
        })
    }

    /// Starts the device from its records alone.
    fn boot(&mut self) -> Outcome<()> {
        self.board.transport().reboot();
        self.device = TwinDevice::new();
        let mut buffer = [0; 512];
        poll(self.board.restore(&mut (&mut self.device,), &mut buffer)).map(drop)
    }
}

/// Lives the whole story; says how each conflict was decided, and how many messages were sent, lost and doubled.
///
/// # Errors
///
/// What the story's parts refused.
///
/// # Panics
///
/// When a chapter ends otherwise than it says.
pub fn live() -> Outcome<(Vec<Decision>, (u64, u64, u64))> {
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
    world.device.report(|room| {
        (room.setpoint, room.lit, room.temperature) = (18.0, true, 20.4);
        (room.blinds, room.fan, room.locked) = (80, 3, true);
        (room.alarm, room.valve) = (true, 35);
    });
    world.service.desire::<Room>(|room| {
        (room.setpoint, room.blinds, room.fan, room.locked) = (24.0, 10, 1, false);
        (room.alarm, room.valve) = (false, 40);
    })?;
    world.pass(60)?;
    assert!(!world.service.is_converged());
    world.board.transport().set_up(true);
    assert_eq!(world.pass(600)?, Some((24.0, true, 20.4)));
    assert!(world.service.is_converged());
    let mut decisions = vec![
        world.decision(
            "setpoint",
            "18",
            "the service: nobody here had heard of it yet",
        )?,
        world.decision("blinds", "80", "the hand, until the device lets go")?,
        world.decision("fan", "3", "the greater")?,
        world.decision("locked", "true", "the service, always")?,
        world.decision("alarm", "true", "the one that is true")?,
        world.decision("valve", "35", "both: it is moved to 40, and measured at 35")?,
    ];
    // Now everybody knows what is desired, and somebody turns the knob all the same.
    world.device.report(|room| room.setpoint = 18.0);
    assert_eq!(world.pass(600)?, Some((18.0, true, 20.4)));
    decisions.push(world.decision("setpoint", "18", "the hand: it came later")?);
    let room = world.device.state();
    assert_eq!((room.blinds, room.fan, room.locked), (80, 3, false));
    assert_eq!((room.alarm, room.valve), (true, 35));

    // The power fails. What was desired and what was done by hand is still there.
    world.boot()?;
    // What is measured is known when it was measured again.
    let measured = |room: &mut Room| (room.temperature, room.valve) = (20.4, 35);
    world.device.report(measured);
    world.pass(5)?;
    let room = world.device.state();
    assert_eq!((room.setpoint, room.lit), (18.0, true));

    // A service without a schema asks for too much: the device refuses, and says so.
    world.service.set_field(FieldId::new(0), 45.0)?;
    assert_eq!(world.pass(600)?, Some((18.0, true, 20.4)));
    let answer = world.service.acknowledgement("setpoint");
    assert_eq!(answer.map(|answer| answer.code), Some(Code::OUT_OF_RANGE));

    let (sent, lost, doubled) = network.counts();
    assert!(lost > 0 && doubled > 0, "the link was too good");
    Ok((decisions, (sent, lost, doubled)))
}

fn main() -> Outcome<()> {
    let (decisions, (sent, lost, doubled)) = live()?;
    for decision in &decisions {
        println!("{decision}");
    }
    println!("RESULT ok messages={sent} lost={lost} doubled={doubled}");
    Ok(())
}
