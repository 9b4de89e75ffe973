//! Slots take keys, one each, and keep them apart.

use alloc::format;
use alloc::vec::Vec;

use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, SignatureAlgorithm, Signer};

use super::super::Subject;
use super::super::bench::{Bench, Shown, done, ensure, failed, fill, public, refused, signs};

/// Every algorithm there is.
const ALL: [SignatureAlgorithm; 2] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::Ed25519,
];

pub(super) fn generate<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let store = bench.subject.open();
    for (algorithm, slot) in bench.algorithms.iter().zip(bench.slots) {
        fill(&store, slot, *algorithm)?;
        let signer = done("the new key", store.signer(slot))?;
        let made = signer.algorithm();
        ensure(
            made == *algorithm,
            format!("a {made:?} key, not {algorithm:?}"),
        )?;
        signs(&store, slot, "the new key's signature does not verify")?;
    }
    Ok(())
}

pub(super) fn occupied<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [slot, ..] = bench.slots;
    let store = bench.subject.open();
    fill(&store, slot, bench.algorithm()?)?;
    let key = public(&store, slot)?;
    for algorithm in &bench.algorithms {
        for policy in [KeyPolicy::Sign, KeyPolicy::SignForLife] {
            let again = store.generate(slot, *algorithm, policy);
            refused("a second key in the slot", again, KeyError::Occupied)?;
            ensure(
                public(&store, slot)? == key,
                "the slot has another key afterwards",
            )?;
        }
    }
    signs(&store, slot, "the key does not sign afterwards")
}

pub(super) fn absent<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [held, slot, ..] = bench.slots;
    let store = bench.subject.open();
    refused("an empty slot", store.signer(slot), KeyError::Absent)?;
    fill(&store, held, bench.algorithm()?)?;
    let beside = store.signer(slot);
    refused("an empty slot beside a full one", beside, KeyError::Absent)?;
    done("destroying no key", store.destroy(slot))?;
    refused("a slot emptied twice", store.signer(slot), KeyError::Absent)
}

pub(super) fn algorithm<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [slot, ..] = bench.slots;
    let store = bench.subject.open();
    for algorithm in ALL.iter().filter(|one| !bench.algorithms.contains(one)) {
        let made = store.generate(slot, *algorithm, KeyPolicy::Sign);
        refused(format!("a {algorithm:?} key"), made, KeyError::Unsupported)?;
        let lent = store.signer(slot);
        refused("the slot afterwards", lent, KeyError::Absent)?;
    }
    fill(&store, slot, bench.algorithm()?)?;
    signs(&store, slot, "what is supported does not sign")
}

pub(super) fn limit<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let (slot, algorithm) = (bench.subject.beyond(), bench.algorithm()?);
    let store = bench.subject.open();
    let made = store.generate(slot, algorithm, KeyPolicy::Sign);
    refused("a key beyond the last slot", made, KeyError::Full)?;
    refused(
        "lending beyond the last slot",
        store.signer(slot),
        KeyError::Absent,
    )?;
    done("destroying beyond the last slot", store.destroy(slot))
}

pub(super) fn fresh<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let store = bench.subject.open();
    for algorithm in bench.algorithms.clone() {
        let mut seen = Vec::new();
        for _ in 0..2 {
            for slot in bench.slots {
                done("emptying a slot", store.destroy(slot))?;
                fill(&store, slot, algorithm)?;
                let key = public(&store, slot)?;
                if seen.contains(&key) {
                    return Err(failed(format!(
                        "{slot:?} was given a key that was there before"
                    )));
                }
                seen.push(key);
            }
        }
    }
    Ok(())
}

pub(super) fn isolation<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [first, second, third, _] = bench.slots;
    let store = bench.subject.open();
    let algorithm = bench.algorithm()?;
    for slot in [first, second, third] {
        fill(&store, slot, algorithm)?;
        signs(&store, slot, format!("{slot:?} signs with another key"))?;
    }
    let keys = (public(&store, first)?, public(&store, third)?);
    done("destroying", store.destroy(second))?;
    fill(&store, second, algorithm)?;
    done("destroying", store.destroy(second))?;
    let after = (public(&store, first)?, public(&store, third)?);
    ensure(after == keys, "the neighbours of a slot have other keys")?;
    for slot in [first, third] {
        signs(&store, slot, format!("{slot:?} signs no more"))?;
    }
    Ok(())
}
