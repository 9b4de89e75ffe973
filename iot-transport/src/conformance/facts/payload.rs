//! What arrives is what was sent, and only what was asked for.

use alloc::format;
use alloc::vec::Vec;

use iot_core::{Channel, Message};

use super::super::bench::{Bench, Who, failed};
use super::super::log::{Heard, Logs, Side};
use super::super::{Subject, Verdict};
use super::Shown;

pub(super) async fn unsubscribed<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let message = Message::new(Channel::Health, b"not wanted");
        if bench.submit(side, message).await?.is_err() {
            return Err(Verdict::NotShown("nothing can be sent on such a channel"));
        }
        bench.reach(side, side.channel(), b"wanted").await?;
    }
    bench.quiet(Who::Both).await?;
    for side in Side::BOTH {
        if bench.logs().of(side).heard(b"not wanted") {
            return Err(failed(format!(
                "the {} heard a channel it never asked for",
                side.name()
            )));
        }
    }
    Ok(())
}

pub(super) async fn payloads<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    for side in Side::BOTH {
        let longest = bench.limits(side).payload_bytes.max(1);
        let mut payloads: Vec<&[u8]> = every.chunks(longest.min(256)).collect();
        payloads.extend(
            [&b""[..], &[0], &[0xff], b"\r\n"]
                .iter()
                .filter(|one| one.len() <= longest),
        );
        let other = side.other();
        for (at, payload) in payloads.iter().enumerate() {
            bench.send(side, payload).await?;
            let arrived = |logs: &Logs| logs.of(other).heard(payload);
            let what = format!("a payload of {} bytes", payload.len());
            bench.until(Who::Both, &what, arrived).await?;
            bench.settle().await?;
            let logs = bench.logs();
            let sent = payloads.get(..=at).unwrap_or_default();
            let strange = |heard: &&Heard| !sent.contains(&&heard.payload[..]);
            if let Some(heard) = logs.of(other).heard.iter().find(strange) {
                let bytes = heard.payload.len();
                return Err(failed(format!("{bytes} bytes arrived that nobody sent")));
            }
        }
    }
    Ok(())
}

pub(super) async fn address<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let peer = bench.peer().map(|peer| {
        let owned = alloc::string::String::from;
        (owned(peer.tenant()), owned(peer.device()))
    });
    for side in Side::BOTH {
        let other = side.other();
        for channel in Channel::ALL {
            bench.subscribe(other, channel).await?;
            bench
                .reach(side, channel, channel.name().as_bytes())
                .await?;
        }
        bench.settle().await?;
        bench.quiet(Who::Both).await?;
        let logs = bench.logs();
        for heard in &logs.of(other).heard {
            if heard.payload != heard.channel.name().as_bytes() {
                let sent = alloc::string::String::from_utf8_lossy(&heard.payload);
                return Err(failed(format!(
                    "a message of {sent} came on {}",
                    heard.channel
                )));
            }
            if other == Side::Service && heard.peer != peer {
                return Err(failed(format!("the peer came as {:?}", heard.peer)));
            }
        }
    }
    Ok(())
}
