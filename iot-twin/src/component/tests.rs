use super::*;
use crate::iot_core::component::{ComponentId, Measurement, Running, Version};
use crate::iot_core::time::TimeBounds;
use alloc::vec::Vec;
use proptest::prelude::*;

fn fact(runs: Option<Running>, event: ComponentEvent) -> ComponentFact {
    let component = ComponentId::new("firmware").unwrap();
    ComponentFact::new(component, runs, event, TimeBounds::UNKNOWN)
}

fn release(sequence: u64) -> Running {
    Running::new(sequence, Measurement::sha256([1; 32]))
}

#[test]
fn every_reason_has_a_number_of_its_own() {
    let endings: Vec<_> = RollBack::ALL.iter().map(|&why| Ending::from(why)).collect();
    let refusals: Vec<_> = Refusal::ALL
        .iter()
        .map(|&why| RefusedFor::from(why))
        .collect();
    for (at, ending) in endings.iter().enumerate() {
        assert!(![Ending::Other, Ending::Confirmed].contains(ending));
        assert!(!endings[..at].contains(ending));
    }
    for (at, refusal) in refusals.iter().enumerate() {
        assert_ne!(*refusal, RefusedFor::Other);
        assert!(!refusals[..at].contains(refusal));
    }
}

#[test]
fn a_refusal_ends_what_is_under_way_and_nothing_else() {
    let mut state = ComponentState::INITIAL;
    let refused = |sequence, reason| ComponentEvent::Refused { sequence, reason };
    state.follow(&fact(
        Some(release(1)),
        ComponentEvent::Fetching { sequence: 2 },
    ));
    for (sequence, reason, left) in [
        (Some(3), Refusal::Busy, Some(2)),
        (None, Refusal::NotAuthentic, Some(2)),
        (Some(2), Refusal::TooSlow, None),
    ] {
        state.follow(&fact(Some(release(1)), refused(sequence, reason)));
        assert_eq!(
            (state.refused, state.refusal),
            (sequence, Some(reason.into()))
        );
        assert_eq!(state.candidate, left);
    }
    assert_eq!(state.step, Step::Idle);
    assert_eq!(state.ended, None, "nothing of it has run");
}

#[test]
fn what_runs_is_shown_without_an_event_and_nothing_is_done_with_what_was_rejected() {
    let mut state = ComponentState::INITIAL;
    state.runs(Some(&release(1).with_version("1.2.0".parse().unwrap())));
    assert_eq!(state.running, Some(1));
    assert!(
        state
            .version
            .as_ref()
            .is_some_and(|version| *version == "1.2.0")
    );
    state.follow(&fact(
        Some(release(2)),
        ComponentEvent::OnTrial { sequence: 2 },
    ));
    state.runs(Some(&release(2)));
    assert_eq!((state.step, state.candidate), (Step::OnTrial, Some(2)));
    state.runs(None);
    assert_eq!((state.running, state.version), (None, None));
    assert_eq!((state.step, state.candidate), (Step::Idle, None));
}

#[test]
fn a_version_that_is_too_long_is_left_out_and_not_cut_short() {
    let long = Version::new(&[i64::MAX; 3]).unwrap();
    let short = Version::new(&[i64::MAX, 1, 1, i64::MAX]).unwrap();
    let mut state = ComponentState::INITIAL;
    let event = ComponentEvent::Confirmed { sequence: 1 };
    for (version, shown) in [(short, true), (long, false)] {
        state.follow(&fact(Some(release(1).with_version(version)), event));
        let version = alloc::format!("{version}");
        let expected = shown.then_some(&version[..]);
        assert_eq!(state.version.as_ref().map(Text::as_str), expected);
        assert_eq!(version.len() <= VERSION_BYTES, shown, "{version}");
    }
}

fn any_event() -> impl Strategy<Value = ComponentEvent> {
    let refusals = proptest::sample::select(Refusal::ALL);
    let endings = proptest::sample::select(RollBack::ALL);
    (0..7_u8, 1..4_u64, refusals, endings, any::<bool>()).prop_map(
        |(kind, sequence, refusal, reason, named)| match kind {
            0 => ComponentEvent::Offered { sequence },
            1 => ComponentEvent::Fetching { sequence },
            2 => ComponentEvent::Staged { sequence },
            3 => ComponentEvent::OnTrial { sequence },
            4 => ComponentEvent::Confirmed { sequence },
            5 => ComponentEvent::RolledBack { sequence, reason },
            _ => ComponentEvent::Refused {
                sequence: named.then_some(sequence),
                reason: refusal,
            },
        },
    )
}

proptest! {
    #[test]
    fn it_shows_where_the_facts_lead(
        facts in proptest::collection::vec((any_event(), proptest::option::of(0..4_u64)), 1..12),
    ) {
        let mut state = ComponentState::INITIAL;
        for (event, runs) in &facts {
            state.follow(&fact(runs.map(release), *event));
            // Told twice, as after a restart, it leads to the same.
            let before = alloc::format!("{state:?}");
            state.follow(&fact(runs.map(release), *event));
            prop_assert_eq!(alloc::format!("{:?}", state), before);
        }
        let end = facts.iter().rev().find(|(event, _)| event.is_end());
        prop_assert_eq!(state.ended, end.and_then(|(event, _)| event.sequence()));
        prop_assert_eq!(state.ending.is_some(), end.is_some());
        prop_assert_eq!(state.running, facts.last().and_then(|(_, runs)| *runs));
        let is_step = |event: &ComponentEvent| !event.is_end() && !matches!(event, ComponentEvent::Refused { .. });
        // The last step, if nothing has ended it since.
        let mut candidate = None;
        for (event, runs) in &facts {
            if runs.is_none() {
                candidate = None;
            }
            match event {
                event if is_step(event) => candidate = event.sequence(),
                event if event.is_end() => candidate = None,
                event if event.sequence().is_some() && event.sequence() == candidate => candidate = None,
                _ => {}
            }
        }
        prop_assert_eq!(state.candidate, candidate);
        prop_assert_eq!(state.step == Step::Idle, candidate.is_none());
    }
}
