//! What is told of updates as facts is true, told once and in order, whenever the power fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/audited.rs"]
mod audited;
#[path = "support/device.rs"]
mod device;
#[path = "support/keys.rs"]
mod keys;

use audited::{Audited, Truth};
use device::{KIND, PowerCut, TRIALS, believing, encode, image, offer};
use iot_core::component::{ComponentEvent, ComponentFact, Refusal, RollBack};
use iot_ota::manifest::{Device, Role};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Banks, BootState, EndedAs, Release, RollBackReason};
use iot_ota::update::{Outcome, Source, ToDevice, Want};
use keys::{P256Key, sha256};
use proptest::prelude::*;

const SIZE: usize = 150;
const CAPACITY: u32 = 192;

/// How a release turns out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    Well,
    /// It rejects itself.
    Sick,
    /// It neither confirms nor rejects itself.
    Silent,
    /// Other bytes are served.
    OtherBytes,
    /// Somebody else has signed it.
    Stranger,
    /// It is for other devices.
    OtherDevice,
    /// It is called off when it is half there.
    Aborted,
}

const TURNS: [Turn; 7] = [
    Turn::Well,
    Turn::Sick,
    Turn::OtherBytes,
    Turn::Silent,
    Turn::Stranger,
    Turn::Aborted,
    Turn::OtherDevice,
];

impl Turn {
    fn end(self, sequence: u64) -> ComponentEvent {
        let refused = |reason| ComponentEvent::Refused {
            sequence: Some(sequence),
            reason,
        };
        let rolled_back = |reason| ComponentEvent::RolledBack { sequence, reason };
        match self {
            Self::Well => ComponentEvent::Confirmed { sequence },
            Self::Sick => rolled_back(RollBack::SelfTest),
            Self::Silent => rolled_back(RollBack::Unconfirmed),
            Self::OtherBytes => refused(Refusal::BadImage),
            Self::OtherDevice => refused(Refusal::OtherDevice),
            Self::Aborted => refused(Refusal::CalledOff),
            Self::Stranger => ComponentEvent::Refused {
                sequence: None,
                reason: Refusal::NotAuthentic,
            },
        }
    }

    /// The events of an update that nothing disturbs.
    fn events(self, sequence: u64) -> Vec<ComponentEvent> {
        let mut events = match self {
            Self::Well | Self::Sick | Self::Silent => vec![
                ComponentEvent::Fetching { sequence },
                ComponentEvent::Staged { sequence },
                ComponentEvent::OnTrial { sequence },
            ],
            Self::OtherBytes | Self::Aborted => vec![ComponentEvent::Fetching { sequence }],
            Self::Stranger | Self::OtherDevice => vec![],
        };
        events.push(self.end(sequence));
        events
    }
}

/// Keys, and an offer for each release from 2 on.
struct World {
    key: P256Key,
    turns: Vec<Turn>,
    offers: Vec<Vec<u8>>,
}

impl World {
    fn new(turns: &[Turn]) -> Self {
        let (key, stranger) = (P256Key::generate(), P256Key::generate());
        let other = Device::new([1; 16], KIND.class, KIND.component);
        let signed = |(sequence, turn): (u64, &Turn)| {
            let image = image(sequence, SIZE);
            match turn {
                Turn::Stranger => offer(&stranger, sequence, KIND, &image),
                Turn::OtherDevice => offer(&key, sequence, other, &image),
                _ => offer(&key, sequence, KIND, &image),
            }
        };
        Self {
            offers: (2..).zip(turns).map(signed).collect(),
            turns: turns.to_vec(),
            key,
        }
    }

    fn device(&self, cuts: &[u64]) -> Audited {
        let first = image(1, SIZE);
        let size = u32::try_from(SIZE).unwrap();
        let banks =
            MemoryBanks::factory(CAPACITY, 64, &first, Release::new(1, sha256(&first), size));
        let trusted = believing(self.key.public(), vec![Role::new(1, 0b1)]);
        Audited::new(trusted, banks, cuts, is_true)
    }

    /// The whole history on one device, through every cut.
    fn live(&self, cuts: &[u64]) -> Audited {
        self.live_with(cuts, |_| {})
    }

    /// The same; `failed` is shown the device whenever the power has failed while its firmware ran.
    fn live_with(&self, cuts: &[u64], mut failed: impl FnMut(&Audited)) -> Audited {
        let mut device = self.device(cuts);
        let (mut at, mut rounds) = (0, 0);
        while at < self.turns.len() {
            rounds += 1;
            assert!(
                rounds < 200,
                "no end of release {}, cuts {cuts:?}: {:?}",
                at + 2,
                device.update().status()
            );
            match self.go_on(&mut device, at) {
                Ok(true) => at += 1,
                Ok(false) => {}
                Err(PowerCut) => {
                    failed(&device);
                    device.recover();
                }
            }
        }
        device
    }

    /// One round with a release; whether it has come to its end.
    fn go_on(&self, device: &mut Audited, at: usize) -> Result<bool, PowerCut> {
        let (turn, offer) = (self.turns[at], &self.offers[at]);
        let sequence = u64::try_from(at).unwrap() + 2;
        device.look()?;
        device.run()?;
        device.wait();
        match device.update().wants() {
            Want::Reboot => {
                device.reboot();
                return Ok(false);
            }
            Want::Confirm => {
                match turn {
                    Turn::Silent => device.reboot(),
                    _ => device.confirm(turn != Turn::Sick)?,
                }
                return Ok(false);
            }
            _ => {}
        }
        if device
            .record()
            .ended
            .is_some_and(|ended| ended.sequence == sequence)
        {
            return Ok(true);
        }
        device.deliver(offer)?;
        let mut served = image(sequence, SIZE);
        if turn == Turn::OtherBytes {
            served[SIZE - 1] ^= 1;
        }
        let source = Source::new(sequence, &served);
        loop {
            let requests = device.run()?;
            if turn == Turn::Aborted && requests.iter().any(|request| request.offset > 0) {
                device.deliver(&encode(&ToDevice::Abort { sequence }))?;
                device.run()?;
                return Ok(true);
            }
            for request in &requests {
                device.deliver(&encode(&source.answer(request).unwrap()))?;
            }
            if requests.is_empty() {
                // Nothing of what was refused goes on; what was staged does in the next round.
                return Ok(device.update().wants() == Want::Nothing && !device.is_fetching());
            }
        }
    }
}

/// Every fact is true at the moment when it is told.
fn is_true(fact: &ComponentFact, truth: &Truth) {
    let Truth { record, banks } = truth;
    let runs_confirmed = banks.running() == record.active;
    match fact.running {
        Some(running) => {
            let bytes = banks.bytes(banks.running());
            let digest = sha256(&bytes[..SIZE]);
            assert_eq!(running.measurement.digest(), digest, "{fact:?}");
            assert_eq!(bytes[..SIZE], image(running.sequence, SIZE), "{fact:?}");
        }
        None => assert!(
            !runs_confirmed && record.state == BootState::Confirmed,
            "{fact:?}"
        ),
    }
    let ended = record
        .ended
        .filter(|_| runs_confirmed || record.state != BootState::Confirmed);
    let ended = ended.map(|ended| (ended.sequence, ended.how));
    let ends_with = |sequence, how| assert_eq!(ended, Some((sequence, how)), "{fact:?}");
    match fact.event {
        ComponentEvent::Offered { sequence } | ComponentEvent::Fetching { sequence } => {
            assert!(
                record.state == BootState::Confirmed && runs_confirmed,
                "{fact:?}"
            );
            assert!(record.installed.sequence < sequence, "{fact:?}");
            assert!(
                record.ended.is_none_or(|ended| ended.sequence < sequence),
                "{fact:?}"
            );
        }
        ComponentEvent::Staged { sequence } => match record.state {
            // Also what the loader could not have tried.
            BootState::Staged { candidate, .. } | BootState::Trial { candidate, .. }
                if runs_confirmed && candidate.sequence == sequence =>
            {
                let spare = banks.bytes(banks.running().other());
                assert_eq!(spare, image(sequence, SIZE), "{fact:?}");
            }
            other => panic!("{fact:?} but {other:?}"),
        },
        ComponentEvent::OnTrial { sequence } => match record.state {
            BootState::Trial { candidate, .. } if candidate.sequence == sequence => {
                assert!(!runs_confirmed, "{fact:?}");
            }
            other => panic!("{fact:?} but {other:?}"),
        },
        ComponentEvent::Confirmed { sequence } => ends_with(sequence, EndedAs::Confirmed),
        ComponentEvent::RolledBack { sequence, reason } => {
            let reason = match reason {
                RollBack::SelfTest => RollBackReason::SelfTest,
                RollBack::Unconfirmed => RollBackReason::Unconfirmed,
                other => panic!("{other:?}"),
            };
            ends_with(sequence, EndedAs::RolledBack(reason));
        }
        // What was refused is held against the script, below.
        ComponentEvent::Refused { .. } => {}
        other => panic!("{other:?}"),
    }
}

const fn rank(event: &ComponentEvent) -> u8 {
    match event {
        ComponentEvent::Fetching { .. } => 1,
        ComponentEvent::Staged { .. } => 2,
        ComponentEvent::OnTrial { .. } => 3,
        ComponentEvent::Confirmed { .. } | ComponentEvent::RolledBack { .. } => 4,
        _ => 0,
    }
}

/// What the audit has kept in the end is the history: every end once, nothing that was not, and in order.
fn is_the_history(device: &Audited, turns: &[Turn], cuts: &[u64]) {
    let events: Vec<_> = device.audit.iter().map(|fact| fact.event).collect();
    let scripted: Vec<_> = (2..)
        .zip(turns)
        .map(|(sequence, turn)| turn.end(sequence))
        .collect();
    let ends: Vec<_> = events
        .iter()
        .copied()
        .filter(ComponentEvent::is_end)
        .collect();
    let expected: Vec<_> = scripted
        .iter()
        .copied()
        .filter(ComponentEvent::is_end)
        .collect();
    assert_eq!(ends, expected, "cuts {cuts:?}: {events:?}");
    assert_eq!(device.ends.len(), ends.len(), "cuts {cuts:?}");
    let (mut release, mut reached) = (0, 0);
    for event in &events {
        if let ComponentEvent::Refused { .. } = event {
            assert!(
                scripted.contains(event),
                "cuts {cuts:?}: {event:?} in {events:?}"
            );
            reached = 0;
            continue;
        }
        let sequence = event.sequence().unwrap();
        if sequence != release {
            assert!(sequence > release, "cuts {cuts:?}: {events:?}");
            (release, reached) = (sequence, 0);
        }
        // Only a download may begin anew.
        let begins = rank(event) == 1 && reached <= 1;
        assert!(begins || rank(event) > reached, "cuts {cuts:?}: {events:?}");
        reached = rank(event);
    }
}

/// So many operations lie between two cuts, unless somebody wants it otherwise.
fn every(usual: usize) -> usize {
    std::env::var("IOT_FACTS").map_or(usual, |every| every.parse().unwrap())
}

fn told(device: &Audited) -> Vec<ComponentEvent> {
    device.told.iter().map(|fact| fact.event).collect()
}

#[test]
fn without_a_power_cut_every_event_is_told_once_and_in_order() {
    let world = World::new(&TURNS);
    let device = world.live(&[]);
    let expected: Vec<_> = (2..)
        .zip(TURNS)
        .flat_map(|(sequence, turn)| turn.events(sequence))
        .collect();
    let events: Vec<_> = device.audit.iter().map(|fact| fact.event).collect();
    assert_eq!(events, expected);
    is_the_history(&device, &TURNS, &[]);
    // What is not marked was told once; what is, once for each restart at most.
    let unmarked: Vec<_> = device.told.iter().filter(|fact| !fact.may_repeat).collect();
    for fact in &unmarked {
        let same = unmarked.iter().filter(|other| other.event == fact.event);
        assert_eq!(same.count(), 1, "{fact:?}");
    }
    let restarts = 2 + 2 + usize::from(TRIALS) + 1;
    assert!(device.told.len() - unmarked.len() <= 2 * restarts);
}

#[test]
fn a_power_cut_at_any_operation_loses_no_end_and_has_nothing_told_that_was_not() {
    let world = World::new(&TURNS);
    let whole = world.live(&[]).operations();
    assert!(whole > 4_000, "erasures, images and records: {whole}");
    let (mut lives, mut repeated) = (0, 0);
    for cut in (0..whole).step_by(every(23)) {
        let device = world.live(&[cut]);
        assert_eq!(device.fired, 1, "the cut at {cut} never fired");
        is_the_history(&device, &TURNS, &[cut]);
        lives += 1;
        repeated += device.told.len() - device.audit.len();
    }
    println!("facts: {lives} lives of {whole} operations, {repeated} facts told again");
    assert!(repeated > lives, "restarts tell again what they find");
}

#[test]
fn an_end_that_nobody_has_kept_when_the_power_fails_is_told_after_it() {
    let turns = [Turn::Sick, Turn::Well];
    let world = World::new(&turns);
    let whole = world.live(&[]).operations();
    let (mut kept, mut lost) = (0, 0);
    for cut in (0..whole).step_by(every(5)) {
        let device = world.live_with(&[cut], |device| {
            let known = device.audit.iter().filter(|fact| fact.event.is_end());
            match device.ends.len() - known.count() {
                0 => kept += 1,
                _ => lost += 1,
            }
        });
        is_the_history(&device, &turns, &[cut]);
    }
    assert!(kept > 0 && lost > 2, "{kept} {lost}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_told_through_any_power_cuts(
        turns in proptest::collection::vec(prop::sample::select(TURNS.as_slice()), 1..5),
        cuts in proptest::collection::vec(0..900_u64, 0..8),
    ) {
        let world = World::new(&turns);
        let device = world.live(&cuts);
        is_the_history(&device, &turns, &cuts);
    }
}

#[test]
fn the_same_refusal_is_told_again_only_when_the_release_was_taken_up_again() {
    let turns = [Turn::OtherBytes];
    let world = World::new(&turns);
    let mut device = world.device(&[]);
    assert_eq!(world.go_on(&mut device, 0), Ok(true));
    let once = turns[0].events(2);
    assert_eq!(told(&device), once);
    assert_eq!(world.go_on(&mut device, 0), Ok(true));
    assert_eq!(told(&device), [&once[..], &once].concat());
    // A stranger's offer leads to nothing, and is refused as often as it comes.
    let stranger = offer(&P256Key::generate(), 9, KIND, &image(9, SIZE));
    for _ in 0..3 {
        device.deliver(&stranger).unwrap();
        device.run().unwrap();
    }
    assert_eq!(told(&device).len(), 2 * once.len() + 1);
    let reports = device.reports.iter();
    let reports = reports.filter(|report| report.outcome == Outcome::NotAuthentic);
    assert_eq!(reports.count(), 3);
}

#[test]
fn what_is_staged_is_not_refused_by_who_comes_too_late_to_abort_it() {
    let world = World::new(&[Turn::Well, Turn::Well]);
    let mut device = world.device(&[]);
    world.go_on(&mut device, 0).unwrap();
    let before = device.told.len();
    device
        .deliver(&encode(&ToDevice::Abort { sequence: 2 }))
        .unwrap();
    device.run().unwrap();
    assert_eq!(device.told.len(), before);
    // Another one is.
    device.deliver(&world.offers[1]).unwrap();
    device.run().unwrap();
    let event = ComponentEvent::Refused {
        sequence: Some(3),
        reason: Refusal::Busy,
    };
    assert_eq!(device.told.last().map(|fact| fact.event), Some(event));
}

/// A device that fetches release 2, of which nothing has come yet.
fn fetching(world: &World) -> Audited {
    let mut device = world.device(&[]);
    device.deliver(&world.offers[0]).unwrap();
    device.run().unwrap();
    assert_eq!(told(&device), [ComponentEvent::Fetching { sequence: 2 }]);
    device
}

#[test]
fn an_offer_that_names_what_is_under_way_and_is_refused_is_not_its_end() {
    let world = World::new(&[Turn::Well]);
    let mut device = fetching(&world);
    let (other, before) = (image(9, SIZE), device.reports.len());
    device.deliver(&offer(&world.key, 2, KIND, &other)).unwrap();
    device.run().unwrap();
    let outcome = device.reports[before].outcome;
    assert_eq!(outcome, Outcome::SequenceReused);
    assert_eq!(device.told.len(), 1, "it goes on");
    while !world.go_on(&mut device, 0).unwrap() {}
    assert_eq!(told(&device)[1..], Turn::Well.events(2)[1..]);
}

#[test]
fn what_was_given_up_is_told_although_something_else_is_refused_before_its_report() {
    let world = World::new(&[Turn::Well, Turn::OtherDevice]);
    let mut device = fetching(&world);
    assert!(device.update().cancel());
    device.deliver(&world.offers[1]).unwrap();
    device.run().unwrap();
    let refused = |sequence, reason| ComponentEvent::Refused {
        sequence: Some(sequence),
        reason,
    };
    let expected = [
        refused(2, Refusal::CalledOff),
        refused(3, Refusal::OtherDevice),
    ];
    assert_eq!(told(&device)[1..], expected);
}

#[test]
fn what_is_taken_up_again_before_anybody_looked_is_told_as_under_way() {
    let world = World::new(&[Turn::Well]);
    let mut device = fetching(&world);
    assert!(device.update().cancel());
    device.deliver(&world.offers[0]).unwrap();
    device.run().unwrap();
    let given_up = ComponentEvent::Refused {
        sequence: Some(2),
        reason: Refusal::CalledOff,
    };
    let again = ComponentEvent::Fetching { sequence: 2 };
    assert_eq!(told(&device)[1..], [given_up, again]);
}

#[test]
fn what_runs_is_known_before_anything_has_happened() {
    let world = World::new(&[Turn::Sick]);
    let mut device = world.device(&[]);
    let runs = |device: &mut Audited| device.update().running().map(|runs| runs.sequence);
    assert_eq!((device.told.len(), runs(&mut device)), (0, Some(1)));
    while device.update().wants() != Want::Confirm {
        world.go_on(&mut device, 0).unwrap();
    }
    assert_eq!(runs(&mut device), Some(2));
    device.confirm(false).unwrap();
    assert_eq!(runs(&mut device), None, "it was rejected");
}

#[test]
fn what_nobody_has_agreed_to_is_offered_and_then_fetched() {
    let world = World::new(&[Turn::Well]);
    let mut device = world.device(&[]);
    device.asks = true;
    device.start();
    device.deliver(&world.offers[0]).unwrap();
    device.run().unwrap();
    assert_eq!(told(&device), [ComponentEvent::Offered { sequence: 2 }]);
    assert!(device.update().approve(2));
    device.run().unwrap();
    let fetching = ComponentEvent::Fetching { sequence: 2 };
    assert_eq!(device.told.last().map(|fact| fact.event), Some(fetching));
    assert!(!device.told[1].may_repeat);
}

#[test]
fn a_program_that_starts_without_a_boot_names_what_is_staged() {
    let world = World::new(&[Turn::Well]);
    let mut device = world.device(&[]);
    world.go_on(&mut device, 0).unwrap();
    let staged = ComponentEvent::Staged { sequence: 2 };
    assert_eq!(device.told.last().map(|fact| fact.event), Some(staged));
    let before = device.told.len();
    device.start();
    device.look().unwrap();
    let again = device.told[before];
    assert_eq!((device.told.len() - before, again.event), (1, staged));
    assert!(again.may_repeat);
    assert_eq!(device.audit.len(), before, "the audit has it");
}

#[test]
fn a_release_that_rejects_itself_is_rolled_back_when_the_old_one_runs() {
    let world = World::new(&[Turn::Sick]);
    let mut device = world.device(&[]);
    while device.update().wants() != Want::Confirm {
        world.go_on(&mut device, 0).unwrap();
    }
    device.confirm(false).unwrap();
    let before = device.told.len();
    // Also a program that starts without a boot says nothing yet.
    device.start();
    device.look().unwrap();
    assert_eq!(device.told.len(), before);
    device.reboot();
    device.look().unwrap();
    let fact = device.told[before];
    assert_eq!(fact.event, Turn::Sick.end(2));
    assert_eq!(fact.running.map(|running| running.sequence), Some(1));
}

#[test]
fn what_a_start_finds_is_marked_and_the_end_comes_first() {
    let world = World::new(&[Turn::Well, Turn::Well]);
    let mut device = world.device(&[]);
    while !world.go_on(&mut device, 0).unwrap() {}
    device.deliver(&world.offers[1]).unwrap();
    device.run().unwrap();
    let before = device.told.len();
    device.reboot();
    device.look().unwrap();
    let found = &device.told[before..];
    let events: Vec<_> = found.iter().map(|fact| fact.event).collect();
    let fetching = ComponentEvent::Fetching { sequence: 3 };
    assert_eq!(events, [Turn::Well.end(2), fetching]);
    assert!(found.iter().all(|fact| fact.may_repeat));
    // It ends, and is offered again: what is the same again is new.
    device
        .deliver(&encode(&ToDevice::Abort { sequence: 3 }))
        .unwrap();
    device.run().unwrap();
    device.deliver(&world.offers[1]).unwrap();
    device.run().unwrap();
    let again = device.told.last().unwrap();
    assert_eq!((again.event, again.may_repeat), (fetching, false));
}
