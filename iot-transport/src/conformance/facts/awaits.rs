//! Futures that are dropped.

use alloc::format;

use iot_core::Fate;

use super::super::bench::{Bench, Who, failed};
use super::super::log::{Logs, Side};
use super::super::{Subject, Verdict};
use super::Shown;

const MESSAGES: usize = 8;
const MOST_POLLS: usize = 3;

pub(super) async fn dropped_next<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for polls in 1..=MOST_POLLS {
        for number in 0..MESSAGES {
            for side in Side::BOTH {
                let payload = format!("{}-{polls}-{number}", side.name());
                bench.send(side, payload.as_bytes()).await?;
            }
            let all = |logs: &Logs| {
                Side::BOTH.into_iter().all(|side| {
                    let payload = format!("{}-{polls}-{number}", side.name());
                    logs.of(side).is_settled() && logs.of(side.other()).heard(payload.as_bytes())
                })
            };
            glance_until(bench, polls, all).await?;
        }
    }
    let logs = bench.logs();
    let mut fates = logs.device.fates.iter().chain(&logs.service.fates);
    if let Some((_, fate)) = fates.find(|(_, fate)| *fate != Fate::Delivered) {
        return Err(failed(format!("a message ended as {fate:?}")));
    }
    Ok(())
}

/// Asks both ends in turn, and drops each question after so many polls.
async fn glance_until<S: Subject>(
    bench: &mut Bench<'_, S>,
    polls: usize,
    done: impl Fn(&Logs) -> bool,
) -> Result<(), Verdict> {
    let pace = bench.pace();
    let rounds = pace.patience.as_micros() / pace.tick.as_micros().max(1);
    for _ in 0..rounds.max(1) {
        if done(&bench.logs()) {
            return Ok(());
        }
        for side in Side::BOTH {
            bench.glance(side, polls).await?;
        }
    }
    Err(failed(format!(
        "a message or a fate is lost when next is dropped after {polls} polls"
    )))
}

pub(super) async fn dropped_submit<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let accepted = bench.glance_submit(b"dropped").await?;
    if accepted {
        return Err(Verdict::NotShown("submit never waits"));
    }
    bench.pause().await;
    bench.send(Side::Device, b"kept").await?;
    let heard = |logs: &Logs| logs.service.heard(b"kept");
    bench
        .until(Who::Both, "a message after the dropped one", heard)
        .await?;
    bench.settle().await?;
    bench.quiet(Who::Both).await?;
    let logs = bench.logs();
    if logs.service.heard(b"dropped") || logs.device.fates.len() > logs.device.submitted.len() {
        return Err(failed("a submission that was dropped was queued"));
    }
    Ok(())
}
