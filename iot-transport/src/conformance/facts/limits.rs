//! What is refused, and what a refusal leaves behind.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use iot_core::Message;
use iot_core::port::TransportErrorKind;

use super::super::bench::{Bench, MOST_BYTES, Who, failed};
use super::super::log::{Logs, Side};
use super::super::{Lack, Subject, Verdict};
use super::Shown;

const MOST_MESSAGES: usize = 2_000;

pub(super) async fn busy<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        let room = bench.limits(side).in_flight;
        if room > MOST_MESSAGES {
            return Err(Verdict::NotShown(
                "there is room for more than 2,000 messages",
            ));
        }
        let cut = bench.has(Lack::Cut) && bench.has(Lack::Queue);
        if cut {
            bench.set_link(false).await;
            bench.quiet(Who::Both).await?;
        }
        let mut accepted = Vec::new();
        for number in 0..room {
            let payload = format!("{number}");
            let message = Message::new(side.channel(), payload.as_bytes());
            match bench.submit(side, message).await? {
                Ok(_) => accepted.push(payload),
                Err(kind) => {
                    return Err(failed(format!(
                        "{kind:?} with {number} of {room} in flight"
                    )));
                }
            }
        }
        let one_more = Message::new(side.channel(), b"one more");
        match bench.submit(side, one_more).await? {
            Err(TransportErrorKind::Busy) => {}
            Err(kind) => return Err(failed(format!("{kind:?} instead of Busy"))),
            Ok(_) if !cut => return Err(Verdict::NotShown("the queue empties by itself")),
            Ok(_) => return Err(failed(format!("{} in flight, {room} are stated", room + 1))),
        }
        if cut {
            bench.set_link(true).await;
        }
        bench.settle().await?;
        let all = |logs: &Logs| {
            let log = logs.of(other);
            accepted.iter().all(|payload| log.heard(payload.as_bytes()))
        };
        bench.until(Who::Both, "all that was accepted", all).await?;
        bench.send(side, b"room again").await?;
        bench.settle().await?;
        bench.quiet(Who::Both).await?;
        if bench.logs().of(other).heard(b"one more") {
            return Err(failed("a message that was refused arrived"));
        }
        untold(bench, side)?;
    }
    Ok(())
}

/// No fate of what was refused.
fn untold<S: Subject>(bench: &Bench<'_, S>, side: Side) -> Shown {
    let logs = bench.logs();
    let log = logs.of(side);
    if log.fates.len() > log.submitted.len() {
        return Err(failed("a message that was refused met a fate"));
    }
    Ok(())
}

pub(super) async fn too_large<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        let payload = too_long(bench, side)?;
        let answer = bench
            .submit(side, Message::new(side.channel(), &payload))
            .await?;
        if answer != Err(TransportErrorKind::TooLarge) {
            return Err(failed(format!("{answer:?} instead of TooLarge")));
        }
        bench.send(side, b"short").await?;
        bench.settle().await?;
        let heard = |logs: &Logs| logs.of(other).heard(b"short");
        bench
            .until(Who::Both, "a message after the refused one", heard)
            .await?;
        bench.quiet(Who::Both).await?;
        untold(bench, side)?;
        let logs = bench.logs();
        if logs
            .of(other)
            .heard
            .iter()
            .any(|heard| heard.payload != b"short")
        {
            return Err(failed("something of the refused message arrived"));
        }
    }
    Ok(())
}

fn too_long<S: Subject>(bench: &Bench<'_, S>, side: Side) -> Result<Vec<u8>, Verdict> {
    let longest = bench.limits(side).payload_bytes;
    if longest > MOST_BYTES {
        return Err(Verdict::NotShown(
            "payloads of more than 16 MiB are not tried",
        ));
    }
    Ok(vec![0x5a; longest + 1])
}

pub(super) async fn largest<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        let mut payload = too_long(bench, side)?;
        let message = Message::new(side.channel(), &payload);
        if bench.submit(side, message).await?.is_ok() {
            return Err(failed(format!(
                "{} bytes are one more than stated, and were accepted",
                payload.len()
            )));
        }
        payload.pop();
        bench.send(side, &payload).await?;
        bench.settle().await?;
        let heard = |logs: &Logs| logs.of(other).heard(&payload);
        bench.until(Who::Both, "the longest payload", heard).await?;
    }
    Ok(())
}

pub(super) async fn small_buffer<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let longest = bench.limits(Side::Device).payload_bytes;
    if longest < 2 {
        return Err(Verdict::NotShown("every buffer is large enough"));
    }
    let payload = vec![0xa5; longest.min(64)];
    let before = bench.resize_buffer(1);
    bench.send(Side::Device, &payload).await?;
    // Twice, so that the second question finds what the first one left.
    for times in 1..=2 {
        let cramped = |logs: &Logs| logs.service.cramped >= times;
        bench.until(Who::Both, "the error Buffer", cramped).await?;
    }
    bench.resize_buffer(before);
    let heard = |logs: &Logs| logs.service.heard(&payload);
    bench
        .until(Who::Both, "the message, with a larger buffer", heard)
        .await?;
    bench.settle().await
}
