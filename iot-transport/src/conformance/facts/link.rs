//! What a broken link may and may not do.

use alloc::format;
use alloc::string::String;

use iot_core::{Fate, Message, Qos, Ticket};

use super::super::bench::{Bench, Who, failed};
use super::super::log::{Change, Logs, Side};
use super::super::{Subject, Verdict};
use super::Shown;

/// Breaks the link while nobody asks for events, then lets both ends notice.
async fn break_and_mend<S: Subject>(bench: &mut Bench<'_, S>) -> Result<(), Verdict> {
    bench.set_link(false).await;
    bench.quiet(Who::Both).await?;
    bench.set_link(true).await;
    Ok(())
}

pub(super) async fn handed_over_comes_again<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        bench.send(side, b"in hand").await?;
        bench
            .until(Who::Both, "the message", |logs| {
                logs.of(other).heard(b"in hand")
            })
            .await?;
        // The other end has not come back: whatever acknowledges it from here on cannot arrive.
        break_and_mend(bench).await?;
        bench
            .until(Who::Both, "the message to come again", |logs| {
                logs.of(other).count(b"in hand") > 1
            })
            .await?;
        bench.settle().await?;
    }
    Ok(())
}

pub(super) async fn at_most_once<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        let (payload, ticket) = arriving_once(bench, side).await?;
        break_and_mend(bench).await?;
        bench.reach(side, side.channel(), b"after").await?;
        bench.settle().await?;
        bench.quiet(Who::Both).await?;
        let logs = bench.logs();
        let times = logs.of(other).count(payload.as_bytes());
        if times != 1 {
            return Err(failed(format!("a message at most once came {times} times")));
        }
        let fate = logs.of(side).fate(ticket);
        if fate != Some(Fate::Delivered) {
            return Err(failed(format!("its fate is {fate:?}")));
        }
    }
    Ok(())
}

/// Sends messages at most once until one arrives: each of them may be lost.
async fn arriving_once<S: Subject>(
    bench: &mut Bench<'_, S>,
    side: Side,
) -> Result<(String, Ticket), Verdict> {
    let pace = bench.pace();
    for number in 0..pace.patience.as_micros() / pace.quiet.as_micros().max(1) {
        let payload = format!("once-{number}");
        let message = Message::new(side.channel(), payload.as_bytes()).with_qos(Qos::AtMostOnce);
        let Ok(ticket) = bench.submit(side, message).await? else {
            return Err(failed("a message at most once was refused"));
        };
        let heard = |logs: &Logs| logs.of(side.other()).heard(payload.as_bytes());
        if bench.drive(Who::Both, pace.quiet, heard).await? {
            return Ok((payload, ticket));
        }
    }
    Err(failed("no message at most once ever arrives"))
}

pub(super) async fn kept_while_down<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    bench.set_link(false).await;
    bench.quiet(Who::Both).await?;
    for side in Side::BOTH {
        for payload in [&b"first"[..], b"second"] {
            let message = Message::new(side.channel(), payload);
            if let Err(kind) = bench.submit(side, message).await? {
                return Err(failed(format!("refused while the link is down: {kind:?}")));
            }
        }
    }
    bench.quiet(Who::Both).await?;
    bench.set_link(true).await;
    bench.settle().await?;
    for side in Side::BOTH {
        for payload in [&b"first"[..], b"second"] {
            let heard = |logs: &Logs| logs.of(side.other()).heard(payload);
            bench
                .until(Who::Both, "what was submitted meanwhile", heard)
                .await?;
        }
        let logs = bench.logs();
        let mut fates = logs.of(side).fates.iter();
        if let Some((_, fate)) = fates.find(|(_, fate)| *fate != Fate::Delivered) {
            return Err(failed(format!("a message that was kept ended as {fate:?}")));
        }
    }
    Ok(())
}

pub(super) async fn told<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    const CUTS: usize = 2;
    for cut in 1..=CUTS {
        bench.set_link(false).await;
        bench
            .until(Who::Both, "Disconnected at both ends", |logs| {
                Side::BOTH
                    .into_iter()
                    .all(|side| disconnects(logs, side) >= cut)
            })
            .await?;
        bench.set_link(true).await;
        bench
            .until(Who::Both, "Connected at both ends", |logs| {
                Side::BOTH.into_iter().all(|side| is_connected(logs, side))
            })
            .await?;
    }
    bench.quiet(Who::Both).await?;
    for side in Side::BOTH {
        let logs = bench.logs();
        let mut expect_connected = true;
        for change in &logs.of(side).changes {
            let connected = matches!(change, Change::Connected { .. });
            if connected != expect_connected {
                return Err(failed(format!(
                    "the {} was told {change:?} out of turn",
                    side.name()
                )));
            }
            expect_connected = !connected;
        }
    }
    Ok(())
}

fn disconnects(logs: &Logs, side: Side) -> usize {
    let down = |change: &&Change| **change == Change::Disconnected;
    logs.of(side).changes.iter().filter(down).count()
}

fn is_connected(logs: &Logs, side: Side) -> bool {
    matches!(logs.of(side).changes.last(), Some(Change::Connected { .. }))
}

pub(super) async fn subscriptions_survive<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let before = Side::BOTH.map(|side| bench.logs().of(side).changes.len());
    bench.lose_session().await;
    for (side, known) in Side::BOTH.into_iter().zip(before) {
        bench
            .until(Who::Both, "a new session", |logs| {
                logs.of(side).changes.len() > known && is_connected(logs, side)
            })
            .await?;
        let logs = bench.logs();
        let mut changes = logs.of(side).changes.iter().skip(known);
        if !changes.any(|change| *change == Change::Connected { resumed: false }) {
            return Err(failed(format!(
                "the {} was not told that its session was lost",
                side.name()
            )));
        }
    }
    for side in Side::BOTH {
        bench.reach(side, side.channel(), b"after the loss").await?;
    }
    bench.settle().await
}
