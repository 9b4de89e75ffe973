//! How keys end, and what outlives them.

use alloc::format;
use alloc::vec::Vec;

use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, Signature, Signer};

use super::super::Subject;
use super::super::bench::{Bench, Shown, done, ensure, fill, public, refused, sign, signs};

pub(super) fn destroy<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let store = bench.subject.open();
    for algorithm in bench.algorithms.clone() {
        let [slot, ..] = bench.slots;
        fill(&store, slot, algorithm)?;
        for time in ["once", "twice", "thrice"] {
            done(format!("destroying {time}"), store.destroy(slot))?;
            let lent = store.signer(slot);
            refused("the slot afterwards", lent, KeyError::Absent)?;
        }
        fill(&store, slot, algorithm)?;
        signs(&store, slot, "a slot that was emptied does not sign again")?;
        done("destroying the second key", store.destroy(slot))?;
    }
    Ok(())
}

pub(super) fn for_life<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [slot, ..] = bench.slots;
    let algorithm = bench.algorithm()?;
    let store = bench.subject.open();
    let made = store.generate(slot, algorithm, KeyPolicy::SignForLife);
    done("a key for life", made)?;
    let key = public(&store, slot)?;
    for _ in 0..2 {
        let gone = store.destroy(slot);
        refused("destroying a key for life", gone, KeyError::Forbidden)?;
        let again = store.generate(slot, algorithm, KeyPolicy::Sign);
        refused("a key over one for life", again, KeyError::Occupied)?;
    }
    ensure(public(&store, slot)? == key, "the key for life is another")?;
    signs(&store, slot, "the key for life signs no more")
}

pub(super) fn lent_stops<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let store = bench.subject.open();
    for algorithm in bench.algorithms.clone() {
        let [slot, ..] = bench.slots;
        fill(&store, slot, algorithm)?;
        let lent = done("the key", store.signer(slot))?;
        let used = done("the key, lent twice", store.signer(slot))?;
        sign(&used, &[b"before"])?;
        done("destroying", store.destroy(slot))?;
        let stopped = |when: &str| {
            for signer in [&lent, &used] {
                let mut out = Signature::empty();
                let signed = signer.sign(&[b"after"], &mut out);
                refused(format!("signing {when}"), signed, KeyError::Absent)?;
                let signed = signer.sign_digest(&[7; 32], &mut out);
                // A key that signs no digest need not look whether it is there.
                if signed != Err(KeyError::Unsupported) {
                    refused(format!("a digest {when}"), signed, KeyError::Absent)?;
                }
            }
            Ok(())
        };
        stopped("after the end")?;
        fill(&store, slot, algorithm)?;
        stopped("with a new key in the slot")?;
        signs(&store, slot, "the new key does not sign")?;
        done("destroying the new key", store.destroy(slot))?;
    }
    Ok(())
}

pub(super) fn durable<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let [kept, life, gone, refilled] = bench.slots;
    for algorithm in bench.algorithms.clone() {
        let mut store = bench.subject.open();
        for slot in [kept, gone, refilled] {
            fill(&store, slot, algorithm)?;
        }
        let for_life = store.generate(life, algorithm, KeyPolicy::SignForLife);
        done("a key for life", for_life)?;
        for slot in [gone, refilled] {
            done("destroying", store.destroy(slot))?;
        }
        fill(&store, refilled, algorithm)?;
        let mut before = Vec::new();
        for slot in [kept, life, refilled] {
            before.push((slot, public(&store, slot)?));
        }
        for _ in 0..2 {
            store = bench.subject.reopen(store);
            for (slot, key) in &before {
                let after = public(&store, *slot)?;
                ensure(after == *key, format!("{slot:?} has another key"))?;
                signs(&store, *slot, format!("{slot:?} does not sign"))?;
            }
            refused("a destroyed key", store.signer(gone), KeyError::Absent)?;
            refused("a key for life", store.destroy(life), KeyError::Forbidden)?;
        }
        let over = store.generate(kept, algorithm, KeyPolicy::Sign);
        refused("a key over an old one", over, KeyError::Occupied)?;
        done("destroying an old key", store.destroy(kept))?;
    }
    Ok(())
}
