use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::codec::check;
use crate::component::{HashAlgorithm, MAX_VERSION_NUMBERS};

fn name() -> impl Strategy<Value = ComponentId> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,63}".prop_map(|text| ComponentId::new(&text).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    let rest = proptest::collection::vec(-3..=i64::MAX, 0..MAX_VERSION_NUMBERS);
    (0..=i64::MAX, rest).prop_map(|(first, rest)| {
        let numbers: Vec<i64> = core::iter::once(first).chain(rest).collect();
        Version::new(&numbers).unwrap()
    })
}

fn measurement() -> impl Strategy<Value = Measurement> {
    let bytes = proptest::collection::vec(any::<u8>(), 64);
    let algorithm = prop::sample::select(HashAlgorithm::ALL.as_slice());
    (algorithm, bytes).prop_map(|(algorithm, bytes)| {
        Measurement::new(algorithm, &bytes[..algorithm.digest_bytes()]).unwrap()
    })
}

fn running() -> impl Strategy<Value = Running> {
    let parts = (any::<u64>(), proptest::option::of(version()), measurement());
    parts.prop_map(|(sequence, version, measurement)| Running {
        sequence,
        version,
        measurement,
    })
}

fn event() -> impl Strategy<Value = ComponentEvent> {
    let roll_back = prop::sample::select(RollBack::ALL);
    let refusal = (any::<Option<u64>>(), prop::sample::select(Refusal::ALL));
    prop_oneof![
        any::<u64>().prop_map(|sequence| ComponentEvent::Offered { sequence }),
        any::<u64>().prop_map(|sequence| ComponentEvent::Fetching { sequence }),
        any::<u64>().prop_map(|sequence| ComponentEvent::Staged { sequence }),
        any::<u64>().prop_map(|sequence| ComponentEvent::OnTrial { sequence }),
        any::<u64>().prop_map(|sequence| ComponentEvent::Confirmed { sequence }),
        (any::<u64>(), roll_back)
            .prop_map(|(sequence, reason)| ComponentEvent::RolledBack { sequence, reason }),
        refusal.prop_map(|(sequence, reason)| ComponentEvent::Refused { sequence, reason }),
    ]
}

fn fact() -> impl Strategy<Value = ComponentFact> {
    let bounds = (any::<u64>(), any::<Option<u64>>()).prop_map(|(from, span)| {
        let from = Timestamp::from_millis(from);
        let until = span.map(|span| from.after(core::time::Duration::from_millis(span)));
        until.map_or(TimeBounds::at_least(from), |until| {
            TimeBounds::between(from, until).unwrap()
        })
    });
    let running = proptest::option::of(running());
    (name(), running, event(), bounds, any::<bool>()).prop_map(
        |(component, running, event, at, may_repeat)| ComponentFact {
            component,
            running,
            event,
            at,
            may_repeat,
        },
    )
}

/// The longest that there is.
fn longest() -> ComponentFact {
    let numbers = [i64::MAX; MAX_VERSION_NUMBERS];
    let measurement = Measurement::new(HashAlgorithm::Sha512, &[7; 64]).unwrap();
    let running = Running::new(u64::MAX, measurement).with_version(Version::new(&numbers).unwrap());
    let event = ComponentEvent::Refused {
        sequence: Some(u64::MAX),
        reason: Refusal::CalledOff,
    };
    let component = ComponentId::new(&"x".repeat(64)).unwrap();
    let at = TimeBounds::exact(Timestamp::from_millis(u64::MAX));
    ComponentFact::new(component, Some(running), event, at).found()
}

#[test]
fn the_longest_fact_is_as_long_as_is_said_and_fits_no_shorter_buffer() {
    let mut buffer = [0; ComponentFact::MAX_BYTES];
    let bytes = longest().encode(&mut buffer).unwrap().len();
    assert_eq!(bytes, ComponentFact::MAX_BYTES);
    let short = longest().encode(&mut buffer[..bytes - 1]);
    assert_eq!(short, Err(EncodeError::new(bytes - 1)));
}

#[test]
fn another_version_and_what_is_too_long_are_refused_by_name() {
    let mut buffer = [0; ComponentFact::MAX_BYTES];
    let mut bytes = longest().encode(&mut buffer).unwrap().to_vec();
    bytes[1] = 2;
    assert_eq!(
        ComponentFact::decode(&bytes),
        Err(FactError::Version { version: 2 })
    );
    assert_eq!(
        ComponentFact::decode(&[0x82, 0]),
        Err(FactError::Version { version: 0 })
    );
    bytes[1] = 1;
    bytes.push(0);
    let bytes = &bytes[..];
    assert_eq!(
        ComponentFact::decode(bytes),
        Err(FactError::TooLong { bytes: bytes.len() })
    );
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused() {
    let at = TimeBounds::between(Timestamp::from_millis(5), Timestamp::from_millis(6)).unwrap();
    let fact = ComponentFact { at, ..longest() };
    let mut buffer = [0; ComponentFact::MAX_BYTES];
    let mut bytes = fact.encode(&mut buffer).unwrap().to_vec();
    let [.., latest, _] = bytes.as_mut_slice() else {
        panic!("a fact ends with its time and its mark")
    };
    assert_eq!(*latest, 6);
    *latest = 4;
    assert_eq!(ComponentFact::decode(&bytes), Err(FactError::Malformed));
}

#[test]
fn every_reason_has_a_number_of_its_own() {
    for (at, reason) in (0..).zip(RollBack::ALL) {
        assert_eq!(
            (reason.code(), RollBack::of_code(at.into())),
            (at, Some(*reason))
        );
    }
    for (at, reason) in (0..).zip(Refusal::ALL) {
        assert_eq!(
            (reason.code(), Refusal::of_code(at.into())),
            (at, Some(*reason))
        );
    }
    assert_eq!((RollBack::of_code(4), Refusal::of_code(13)), (None, None));
}

proptest! {
    #[test]
    fn a_fact_is_read_as_it_was_written_and_cut_short_it_is_not(fact in fact(), cut: prop::sample::Index) {
        let mut buffer = [0; ComponentFact::MAX_BYTES];
        let bytes = fact.encode(&mut buffer).unwrap();
        prop_assert_eq!(check(bytes, crate::codec::Limits::default()), Ok(()));
        prop_assert_eq!(ComponentFact::decode(bytes), Ok(fact));
        prop_assert!(ComponentFact::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn what_differs_in_one_byte_is_another_fact_or_none(fact in fact(), at: prop::sample::Index, flip in 1_u8..) {
        let mut buffer = [0; ComponentFact::MAX_BYTES];
        let bytes = fact.encode(&mut buffer).unwrap().to_vec();
        let mut other = bytes.clone();
        let at = at.index(bytes.len());
        other[at] ^= flip;
        if let Ok(read) = ComponentFact::decode(&other) {
            // There is one spelling of every fact.
            prop_assert_eq!(read.encode(&mut buffer).unwrap(), other);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..80)) {
        let bytes = [&[0x86, 1][..], &tail].concat();
        let _ = (ComponentFact::decode(&bytes), ComponentFact::decode(&tail), Measurement::decode(&tail));
    }
}
