//! What a signature is.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use iot_core::crypto::{
    Digest as _, KeyError, KeyStore, MAX_PUBLIC_KEY_BYTES, Signature, SignatureAlgorithm, Signer,
};

use super::super::bench::{Bench, Shown, done, ensure, failed, fill, good, refused, sign, taken};
use super::super::{Subject, Verdict};
use crate::key::PublicKey;
use crate::ring::Sha256;

/// Has `with` look at a key of each algorithm.
fn each<S: Subject>(
    bench: &mut Bench<'_, S>,
    with: impl Fn(SignatureAlgorithm, &<S::Store as KeyStore>::Signer<'_>, &PublicKey) -> Shown,
) -> Shown {
    let store = bench.subject.open();
    for (algorithm, slot) in bench.algorithms.iter().zip(bench.slots) {
        fill(&store, slot, *algorithm)?;
        let signer = done("the key", store.signer(slot))?;
        let key = done("its public key", PublicKey::of(&signer))?;
        with(*algorithm, &signer, &key)?;
    }
    Ok(())
}

pub(super) fn public_form<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    each(bench, |algorithm, signer, key| {
        let needed = algorithm.public_key_bytes();
        let mut buffer = [0; MAX_PUBLIC_KEY_BYTES];
        for size in 0..=buffer.len() {
            let Some(out) = buffer.get_mut(..size) else {
                continue;
            };
            let written = signer.public_key(out);
            if size < needed {
                let small = KeyError::Buffer { needed };
                refused(format!("a buffer of {size} bytes"), written, small)?;
            } else {
                let bytes = done(format!("a buffer of {size} bytes"), written)?;
                ensure(bytes == key.as_bytes(), "the public key changes")?;
            }
        }
        Ok(())
    })
}

pub(super) fn verifies<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let stranger = bench.slots.last().copied();
    let stranger = stranger.ok_or(Verdict::NotShown("it has no slot"))?;
    let store = bench.subject.open();
    for (algorithm, slot) in bench.algorithms.iter().zip(bench.slots) {
        fill(&store, slot, *algorithm)?;
        fill(&store, stranger, *algorithm)?;
        let signer = done("the key", store.signer(slot))?;
        let key = done("its public key", PublicKey::of(&signer))?;
        let signature = sign(&signer, &[b"hello"])?;
        ensure(good(&key, b"hello", &signature), "a provider refuses it")?;
        ensure(
            !taken(&key, b"hullo", &signature),
            "it fits another message",
        )?;
        let other = done("another key", store.signer(stranger))?;
        let other = done("another public key", PublicKey::of(&other))?;
        ensure(!taken(&other, b"hello", &signature), "it fits another key")?;
        done("emptying the slot", store.destroy(stranger))?;
    }
    Ok(())
}

pub(super) fn signature_form<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let most = bench.subject.signatures();
    each(bench, |algorithm, signer, key| {
        let needed = algorithm.signature_bytes();
        for round in 0..most {
            let message = round.to_be_bytes();
            let signature = sign(signer, &[&message])?;
            let bytes = signature.len();
            ensure(bytes == needed, format!("{bytes} bytes, not {needed}"))?;
            ensure(
                good(key, &message, &signature),
                "a signature does not verify",
            )?;
            // A number with a leading zero is what a wrong length would show with.
            let mut halves = signature.chunks(needed / 2);
            if halves.any(|half| half.first() == Some(&0)) && round > 8 {
                break;
            }
        }
        Ok(())
    })
}

pub(super) fn parts<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let whole: Vec<u8> = (0..=u8::MAX).collect();
    each(bench, |_, signer, key| {
        for cut in [0, 1, 63, 64, 128, 255, 256] {
            let (head, tail) = whole.split_at_checked(cut).unwrap_or_default();
            let (middle, end) = tail.split_at_checked(tail.len() / 2).unwrap_or_default();
            for parts in [
                &[head, tail][..],
                &[head, middle, end],
                &[&[], head, &[], tail],
            ] {
                let signature = sign(signer, parts)?;
                let count = parts.len();
                ensure(
                    good(key, &whole, &signature),
                    format!("{count} parts, the first of {cut} bytes, are another message"),
                )?;
            }
        }
        Ok(())
    })
}

pub(super) fn sizes<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    each(bench, |_, signer, key| {
        for none in [&[][..], &[&[][..]]] {
            let signature = sign(signer, none)?;
            ensure(good(key, &[], &signature), "no byte is another message")?;
        }
        for size in [1, 32, 55, 56, 64, 1_025, 65_536, 1 << 20] {
            let mut message = vec![0x5a; size];
            let signature = sign(signer, &[&message])?;
            ensure(
                good(key, &message, &signature),
                format!("a message of {size} bytes is another"),
            )?;
            if let Some(last) = message.last_mut() {
                *last ^= 1;
            }
            ensure(
                !taken(key, &message, &signature),
                format!("the last of {size} bytes is not signed"),
            )?;
        }
        Ok(())
    })
}

pub(super) fn digest<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    each(bench, |algorithm, signer, key| {
        let mut hash = Sha256::new();
        hash.update(b"hello");
        let mut signature = Signature::empty();
        match signer.sign_digest(&hash.finish(), &mut signature) {
            Err(KeyError::Unsupported) => Ok(()),
            Err(error) => Err(failed(format!("{algorithm:?} signs no digest: {error}"))),
            Ok(()) if algorithm == SignatureAlgorithm::EcdsaP256Sha256 => ensure(
                good(key, b"hello", signature.as_bytes()),
                "a signed digest is not its message signed",
            ),
            Ok(()) => Err(failed(format!("{algorithm:?} signs a digest"))),
        }
    })
}
