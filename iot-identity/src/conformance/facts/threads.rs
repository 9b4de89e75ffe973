//! Many threads at once.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, Signature, Signer};

use super::super::Subject;
use super::super::bench::{Bench, Shown, done, ensure, fill, first, good, public, signs};

const THREADS: usize = 8;

/// What threads complain about.
#[derive(Default)]
struct Complaints(Mutex<Vec<String>>);

impl Complaints {
    fn add(&self, what: impl fmt::Display) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(format!("{what}"));
    }

    fn shown(self) -> Shown {
        first(self.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn threads<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let store = bench.subject.open();
    let mut keys = Vec::new();
    for (slot, algorithm) in bench.slots.iter().zip(bench.algorithms.iter().cycle()) {
        fill(&store, *slot, *algorithm)?;
        keys.push((*slot, public(&store, *slot)?));
    }
    let rounds = (bench.subject.signatures() / THREADS).clamp(4, 32);
    let complaints = Complaints::default();
    let made = AtomicUsize::new(0);
    bench.subject.together(&store, THREADS, &|store, thread| {
        for round in 0..rounds {
            // Neighbours share a key half of the time.
            let at = (thread / 2 + round) % keys.len();
            let Some((slot, key)) = keys.get(at) else {
                continue;
            };
            let message = format!("thread {thread}, round {round}");
            let mut signature = Signature::empty();
            let signed = store
                .signer(*slot)
                .and_then(|signer| signer.sign(&[message.as_bytes()], &mut signature));
            match signed {
                Ok(()) if good(key, message.as_bytes(), signature.as_bytes()) => {
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok(()) => complaints.add(format!("{message}: the signature is bad")),
                Err(error) => complaints.add(format!("{message}: {error}")),
            }
        }
    });
    complaints.shown()?;
    let made = made.load(Ordering::Relaxed);
    ensure(
        made == THREADS * rounds,
        format!("{made} of {} signatures were made", THREADS * rounds),
    )
}

pub(super) fn one_generates<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let (algorithm, [slot, ..]) = (bench.algorithm()?, bench.slots);
    let store = bench.subject.open();
    for _ in 0..4 {
        let complaints = Complaints::default();
        let made = AtomicUsize::new(0);
        bench
            .subject
            .together(&store, THREADS, &|store, _| match store.generate(
                slot,
                algorithm,
                KeyPolicy::Sign,
            ) {
                Ok(()) => _ = made.fetch_add(1, Ordering::Relaxed),
                Err(KeyError::Occupied) => {}
                Err(error) => complaints.add(format!("generating at once: {error}")),
            });
        complaints.shown()?;
        let made = made.load(Ordering::Relaxed);
        ensure(made == 1, format!("{made} threads filled one slot"))?;
        signs(&store, slot, "the key does not sign")?;
        done("destroying", store.destroy(slot))?;
    }
    Ok(())
}

pub(super) fn disarmed<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let (algorithm, [slot, ..]) = (bench.algorithm()?, bench.slots);
    let store = bench.subject.open();
    fill(&store, slot, algorithm)?;
    let complaints = Complaints::default();
    let (tried, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    bench.subject.together(&store, THREADS, &|store, thread| {
        if thread == 0 {
            // Only a key that is in use can be seen to stop.
            while tried.load(Ordering::Relaxed) < THREADS {
                std::thread::yield_now();
            }
            if let Err(error) = store.destroy(slot) {
                complaints.add(format!("destroying a key in use: {error}"));
            }
            over.store(true, Ordering::SeqCst);
            return;
        }
        let mut lent = store.signer(slot).ok();
        loop {
            let late = over.load(Ordering::SeqCst);
            let mut signature = Signature::empty();
            let outcome = match &lent {
                Some(signer) => signer.sign(&[b"x"], &mut signature),
                None => Err(KeyError::Absent),
            };
            tried.fetch_add(1, Ordering::Relaxed);
            match outcome {
                Ok(()) if late => complaints.add("a destroyed key signed"),
                Ok(()) | Err(KeyError::Absent) => {}
                Err(error) => complaints.add(format!("signing meanwhile: {error}")),
            }
            if late {
                return;
            }
            if lent.is_none() {
                lent = store.signer(slot).ok();
            }
        }
    });
    complaints.shown()
}
