//! Both sides go on while they cannot speak: rooms are set by hand and from afar, and agree afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iot_core::Channel;
use iot_twin::Code;
use iot_twin::schema::LocalEdit;

use super::settings;
use crate::device::{Device, Order};
use crate::fleet::Fleet;
use crate::jobs::{Room, RoomDesired};
use crate::member::Member;
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::plant::{Moment, Parts};
use crate::stage::Stages;
use crate::world::{World, wing};

const PATIENCE: Duration = Duration::from_secs(30);
/// Of twins, in both directions, for each device. About ten are needed; a storm would be hundreds.
const MOST_MESSAGES: u64 = 30;

/// What the operator wants of every room.
const DESIRED: Parts = Parts {
    setpoint: 23.0,
    interval: 60,
    blinds: 20,
    fan: 2,
    bolted: false,
    trim: 0.0,
};

/// What somebody in the room with this number sets by hand, if somebody is there.
fn by_hand(index: usize) -> Option<Parts> {
    let is_east = wing(index) == "east";
    (is_east || index % 4 == 2).then_some(Parts {
        setpoint: if is_east { 15.0 } else { 16.5 },
        interval: 7,
        blinds: 80,
        fan: if index.is_multiple_of(2) { 3 } else { 1 },
        bolted: true,
        trim: if drifts(index) { 2.5 } else { 0.0 },
    })
}

/// Whether somebody turns the trim, which is none of the room's parts that a twin desires. A restart would set it right.
fn drifts(index: usize) -> bool {
    let restarts = cut_when_obeyed(index) || cut_in_write(index).is_some();
    wing(index) == "east" && index % 7 == 3 && !restarts
}

/// Whether the power of the room with this number fails while what was set by hand is written, and behind how many
/// words.
fn cut_in_write(index: usize) -> Option<u32> {
    let behind = u32::try_from(index % 9).unwrap_or(0);
    (wing(index) == "east" && index % 5 == 2).then_some(behind)
}

/// Whether it fails when what is desired is done and not answered.
fn cut_when_obeyed(index: usize) -> bool {
    wing(index) == "east" && index % 6 == 1
}

/// A field, its policy, and what is to be the case in the end: whether the hand's value stands, and the answer.
fn decide(index: usize, field: &'static str, hand: &Parts) -> (LocalEdit, bool) {
    // In the east nobody had heard of the operator; in the west the hand came after.
    let is_later = wing(index) == "west";
    match field {
        "setpoint" => (LocalEdit::LastIntent, is_later),
        "interval" => (LocalEdit::FollowDesired, false),
        "blinds" => (LocalEdit::LocalSticky, true),
        "fan" => (LocalEdit::Max, hand.fan > DESIRED.fan),
        _ => (LocalEdit::Or, hand.bolted),
    }
}

const FIELDS: [&str; 5] = ["setpoint", "interval", "blinds", "fan", "bolted"];

/// What a room comes to.
fn expected(index: usize) -> Parts {
    let Some(hand) = by_hand(index) else {
        return DESIRED;
    };
    let stands = |field| decide(index, field, &hand).1;
    Parts {
        setpoint: if stands("setpoint") {
            hand.setpoint
        } else {
            DESIRED.setpoint
        },
        interval: if stands("interval") {
            hand.interval
        } else {
            DESIRED.interval
        },
        blinds: if stands("blinds") {
            hand.blinds
        } else {
            DESIRED.blinds
        },
        fan: if stands("fan") { hand.fan } else { DESIRED.fan },
        bolted: if stands("bolted") {
            hand.bolted
        } else {
            DESIRED.bolted
        },
        trim: hand.trim,
    }
}

/// A third of the building is cut off; it and the service go on, and the service loses its memory meanwhile.
pub async fn part(world: &World, stages: &mut Stages, findings: &mut Findings) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("partition", total);
    let numbered = || world.devices.iter().enumerate();
    let east = |index: &usize| wing(*index) == "east";
    let apart = (0..total).filter(east).count();
    let (before, cuts_before) = (messages(world).await?, settings::cuts(world));

    world.site.skies.set_storm(true);
    world.passage.set_open(false);
    let cut_off = |device: &Device| !device.view().connected;
    world.reach(apart, PATIENCE, |_| {}, cut_off).await?;

    // By hand, where nobody hears of it; some lose power while it is written.
    for (index, device) in numbered().filter(|(index, _)| east(index)) {
        if let Some(words) = cut_in_write(index) {
            device.power.cut_after(words);
        }
        set_by_hand(index, device);
        if cut_when_obeyed(index) {
            device.plant.set_trap_at(Moment::Obeyed);
        }
    }
    // From afar, to all alike.
    let wish = |room: &mut RoomDesired| {
        (room.setpoint, room.interval) = (DESIRED.setpoint, DESIRED.interval);
        (room.blinds, room.fan, room.bolted) = (DESIRED.blinds, DESIRED.fan, DESIRED.bolted);
    };
    let asked = world.console.all::<Room>("twin == 'room'", wish).await?;
    must(asked == total, || {
        format!("{asked} of {total} rooms were news")
    })?;
    let converged = |wing: &'static str| {
        move |fleet: &mut Fleet| {
            let members = fleet.members.iter().enumerate();
            let here = members.filter(|(index, _)| crate::world::wing(*index) == wing);
            here.filter(|(_, member)| member.room.twin.is_converged())
                .count()
        }
    };
    let service = &world.service;
    service
        .reach(total - apart, PATIENCE, |_| {}, converged("west"))
        .await?;
    service.forget().await?;
    // By hand in the west, where the operator has been obeyed already.
    for (index, device) in numbered().filter(|(index, _)| !east(index)) {
        set_by_hand(index, device);
    }
    let edited = |device: &Device| is_known(device);
    world.reach(total, PATIENCE, |_| {}, edited).await?;
    let waiting = service
        .ask(move |fleet, _| converged("east")(fleet))
        .await?;
    must(waiting == 0, || {
        format!("{waiting} rooms answered through a shut door")
    })?;

    world.passage.set_open(true);
    let agree: Vec<_> = (0..total).map(expected).collect();
    let agreed = move |fleet: &mut Fleet| {
        let members = fleet.members.iter().zip(&agree);
        members
            .filter(|(member, parts)| agrees(member, parts))
            .count()
    };
    let agreed = service
        .reach(total, PATIENCE, |count| running.at(count), agreed)
        .await;
    world.site.skies.set_storm(false);
    if let Err(error) = agreed {
        return Err(format!("{error}: {}", disagreement(world).await?).into());
    }

    let conflicts = conflicts(world).await?;
    let drifted = drifted(world).await?;
    let (twins, epochs) = epochs(world).await?;
    must(epochs == twins, || {
        format!("{epochs} epochs of {twins} twins")
    })?;
    let after = messages(world).await? - before;
    let most = MOST_MESSAGES * total as u64;
    must(after <= most, || {
        format!("{after} messages, at most {most} were expected")
    })?;
    let skies = &world.site.skies;
    let (lost, doubled) = (
        skies.lost.load(Ordering::Relaxed),
        skies.doubled.load(Ordering::Relaxed),
    );
    must(lost > 0 && doubled > 0, || {
        format!("{lost} messages lost, {doubled} doubled")
    })?;
    let torn: u64 = world.devices.iter().map(|device| device.power.cuts()).sum();
    let planned = (0..total)
        .filter(|index| cut_in_write(*index).is_some())
        .count();
    must(torn == planned as u64, || {
        format!("{torn} torn writes of {planned}")
    })?;
    let unanswered = settings::cuts(world) - cuts_before;
    let planned = (0..total).filter(|index| cut_when_obeyed(*index)).count();
    must(unanswered == planned as u64, || {
        format!("{unanswered} power failures of {planned}")
    })?;
    let moved = settings::move_back(world).await?;
    must(moved == apart, || format!("{moved} of {apart} came back"))?;

    for (policy, (service, hand)) in &conflicts {
        findings.fact(&format!("conflicts_{policy}_to_service"), *service);
        findings.fact(&format!("conflicts_{policy}_to_hand"), *hand);
    }
    findings.fact("partition_devices", apart);
    findings.fact("partition_torn_writes", torn);
    findings.fact("partition_power_failures", unanswered);
    findings.fact("partition_drifted", drifted);
    findings.fact("partition_new_epochs", epochs - twins);
    findings.observe("partition_messages", after);
    findings.observe("partition_messages_lost", lost);
    findings.observe("partition_messages_doubled", doubled);
    let decided = conflicts
        .iter()
        .map(|(policy, (service, hand))| format!("{policy} {service}:{hand}"));
    let decided = decided.collect::<Vec<_>>().join(", ");
    stages.end(
        running,
        format!(
            "{apart} devices cut off, {} power failures; service:hand {decided}; {after} messages, {lost} lost, {doubled} doubled",
            torn + unanswered
        ),
    );
    Ok(())
}

fn set_by_hand(index: usize, device: &Device) {
    if let Some(hand) = by_hand(index) {
        device.plant.turn(|parts| *parts = hand);
        device.tell(Order::Look);
    }
}

/// Whether the device's twin says what the room's parts say, all of which a hand may have turned.
fn is_known(device: &Device) -> bool {
    let (told, mut parts) = (device.view().parts, device.plant.parts());
    parts.trim = told.trim;
    told == parts
}

/// Whether the service sees in a room what it should come to, and has every answer.
fn agrees(member: &Member, parts: &Parts) -> bool {
    let twin = &member.room.twin;
    let Some(room) = twin.state::<Room>() else {
        return false;
    };
    let seen = Parts {
        setpoint: room.setpoint,
        interval: room.interval,
        blinds: room.blinds,
        fan: room.fan,
        bolted: room.bolted,
        trim: parts.trim,
    };
    twin.is_converged() && seen == *parts && room.drift == u8::from(parts.trim != 0.0)
}

/// The first room that is not what it should be, as all see it.
async fn disagreement(world: &World) -> Fallible<String> {
    for (index, device) in world.devices.iter().enumerate() {
        let (id, expected) = (device.id, expected(index));
        let seen = world.service.ask(move |fleet, _| {
            let member = fleet.known(&id)?.1;
            let twin = &member.room.twin;
            let (state, open) = (twin.state::<Room>(), twin.unanswered());
            (!agrees(member, &expected)).then(|| format!("{state:?}, {open} unanswered, {twin:?}"))
        });
        if let Some(seen) = seen.await? {
            let parts = device.plant.parts();
            return Ok(format!(
                "{id} is {parts:?}, not {expected:?}; it says {:?}; seen: {seen}",
                device.view()
            ));
        }
    }
    Ok("all agree now".into())
}

/// How each policy decided, for the service and for the hand: by what the rooms are, and by what the service was told.
async fn conflicts(world: &World) -> Fallible<BTreeMap<String, (usize, usize)>> {
    let mut decided = BTreeMap::new();
    for (index, device) in world.devices.iter().enumerate() {
        let (id, parts) = (device.id, device.plant.parts());
        must(parts == expected(index), || format!("{id}: {parts:?}"))?;
        let unbolted = device.plant.unbolted.load(Ordering::Relaxed);
        must(unbolted == 0, || {
            format!("{id}: a bolt was drawn back that a hand had shut")
        })?;
        let answers = world.service.ask(move |fleet, _| {
            let twin = &fleet.known(&id)?.1.room.twin;
            let code = |field| twin.acknowledgement(field).map(|answer| answer.code);
            Some(FIELDS.map(code))
        });
        let answers = answers.await?.ok_or("a device the service does not know")?;
        let hand = by_hand(index);
        for (field, answer) in FIELDS.into_iter().zip(answers) {
            let decision = hand.map(|hand| decide(index, field, &hand));
            let right = match decision {
                Some((_, true)) => Code::OVERRIDDEN,
                _ => Code::APPLIED,
            };
            must(answer == Some(right), || {
                format!("{id}: {field} was answered {answer:?}, not {right:?}")
            })?;
            if let Some((policy, stands)) = decision {
                let count: &mut (usize, usize) = decided.entry(name(policy)).or_default();
                count.0 += usize::from(!stands);
                count.1 += usize::from(stands);
            }
        }
    }
    Ok(decided)
}

fn name(policy: LocalEdit) -> String {
    let mut name = String::new();
    for letter in format!("{policy:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// How many devices the service knows to have drifted from their settings.
async fn drifted(world: &World) -> Fallible<usize> {
    let drifts = |member: &Member| {
        let room = member.room.twin.state::<Room>();
        room.is_some_and(|room| room.drift > 0)
    };
    world.service.ask(move |fleet, _| fleet.count(drifts)).await
}

/// How many twins there are, and the sum of their epochs: each is in its first.
async fn epochs(world: &World) -> Fallible<(usize, usize)> {
    let of = |member: &Member| {
        let twins = [&member.room.twin, &member.setup.twin];
        twins.map(|twin| twin.version().epoch() as usize)
    };
    let epochs = world
        .service
        .ask(move |fleet, _| fleet.members.iter().flat_map(of).collect::<Vec<_>>());
    let epochs = epochs.await?;
    Ok((epochs.len(), epochs.iter().sum()))
}

/// How many messages of twins there were.
async fn messages(world: &World) -> Fallible<u64> {
    world
        .service
        .ask(|fleet, _| {
            let counts = Channel::ALL
                .into_iter()
                .zip(fleet.received.iter().zip(fleet.sent));
            let twins = counts.filter(|(channel, _)| *channel == Channel::Twin);
            twins.map(|(_, (received, sent))| received + sent).sum()
        })
        .await
}
