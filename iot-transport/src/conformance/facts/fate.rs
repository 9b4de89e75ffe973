//! Fates, arrival and order.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::port::TransportErrorKind;
use iot_core::{Fate, Message, Ticket};

use super::super::bench::{Bench, Who, failed};
use super::super::log::{Logs, Side};
use super::super::{Lack, Subject, Verdict};
use super::Shown;

const ROUNDS: usize = 12;
const CUT_AT: usize = 4;
const MEND_AT: usize = 7;

/// What one end sent.
struct Sent {
    side: Side,
    payload: String,
    ticket: Ticket,
}

/// Messages both ways, with a break in their midst where that is possible; ends with every fate told.
async fn traffic<S: Subject>(bench: &mut Bench<'_, S>) -> Result<Vec<Sent>, Verdict> {
    let mut sent = Vec::new();
    let mut down = false;
    for number in 0..ROUNDS {
        if number == CUT_AT && bench.has(Lack::Cut) {
            bench.set_link(false).await;
            down = true;
        }
        if number == MEND_AT && down {
            bench.set_link(true).await;
            down = false;
        }
        for side in Side::BOTH {
            let payload = format!("{}-{number}", side.name());
            let message = Message::new(side.channel(), payload.as_bytes());
            let ticket = match bench.submit(side, message).await? {
                Ok(ticket) => ticket,
                Err(TransportErrorKind::Busy) => {
                    // A short queue fills up while the link is down.
                    if core::mem::take(&mut down) {
                        bench.set_link(true).await;
                    }
                    bench.send(side, payload.as_bytes()).await?
                }
                Err(kind) => return Err(failed(format!("submit was refused: {kind:?}"))),
            };
            sent.push(Sent {
                side,
                payload,
                ticket,
            });
        }
        // Some of it is under way when the link breaks.
        bench.drive(Who::Both, bench.pace().tick, |_| false).await?;
    }
    bench.settle().await?;
    Ok(sent)
}

pub(super) async fn one_fate<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    traffic(bench).await?;
    bench.quiet(Who::Both).await?;
    for side in Side::BOTH {
        let logs = bench.logs();
        let log = logs.of(side);
        for (at, (ticket, fate)) in log.fates.iter().enumerate() {
            let again = log.fates.iter().skip(at + 1);
            if let Some((_, second)) = again.clone().find(|(other, _)| other == ticket) {
                let number = ticket.get();
                return Err(failed(format!(
                    "ticket {number} met two fates: {fate:?} and {second:?}"
                )));
            }
            if !log.submitted.contains(ticket) {
                return Err(failed(format!(
                    "a fate of ticket {}, which was never given",
                    ticket.get()
                )));
            }
        }
        let mut tickets = log.submitted.clone();
        tickets.sort_unstable();
        tickets.dedup();
        if tickets.len() != log.submitted.len() {
            return Err(failed("two messages have the same ticket"));
        }
    }
    Ok(())
}

pub(super) async fn delivered_arrives<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for sent in traffic(bench).await? {
        let fate = bench.logs().of(sent.side).fate(sent.ticket);
        if fate != Some(Fate::Delivered) {
            return Err(failed(format!("the fate of {} is {fate:?}", sent.payload)));
        }
        let heard = |logs: &Logs| logs.of(sent.side.other()).heard(sent.payload.as_bytes());
        bench.until(Who::Both, &sent.payload, heard).await?;
    }
    Ok(())
}

pub(super) async fn delivered_after_return<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        let other = side.other();
        let ticket = bench.send(side, b"in hand").await?;
        bench
            .until(Who::Both, "the message", |logs| {
                logs.of(other).heard(b"in hand")
            })
            .await?;
        bench.quiet(Who::Only(side)).await?;
        if let Some(fate) = bench.logs().of(side).fate(ticket) {
            return Err(failed(format!(
                "{fate:?} while the {} has the message in hand",
                other.name()
            )));
        }
        bench.settle().await?;
    }
    Ok(())
}

pub(super) async fn order<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let sent = traffic(bench).await?;
    for sent in &sent {
        let heard = |logs: &Logs| logs.of(sent.side.other()).heard(sent.payload.as_bytes());
        bench.until(Who::Both, &sent.payload, heard).await?;
    }
    for side in Side::BOTH {
        let logs = bench.logs();
        let mut first_times: Vec<&[u8]> = Vec::new();
        for heard in &logs.of(side.other()).heard {
            if !first_times.contains(&&heard.payload[..]) {
                first_times.push(&heard.payload);
            }
        }
        let expected = sent.iter().filter(|sent| sent.side == side);
        for (sent, heard) in expected.zip(first_times) {
            if sent.payload.as_bytes() != heard {
                let heard = String::from_utf8_lossy(heard);
                return Err(failed(format!("{heard} came before {}", sent.payload)));
            }
        }
    }
    Ok(())
}

pub(super) async fn expiry<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for side in Side::BOTH {
        bench.set_link(false).await;
        bench.quiet(Who::Both).await?;
        let late = Message::new(side.channel(), b"late").expires_in(bench.pace().tick);
        let timely = Message::new(side.channel(), b"timely").expires_in_h(1);
        let Ok(late) = bench.submit(side, late).await? else {
            return Err(failed("a message that expires was refused"));
        };
        let Ok(timely) = bench.submit(side, timely).await? else {
            return Err(failed("a second message was refused"));
        };
        bench
            .until(Who::Both, "the fate of a message without time", |logs| {
                logs.of(side).fate(late).is_some()
            })
            .await?;
        let fate = bench.logs().of(side).fate(late);
        if fate != Some(Fate::Expired) {
            return Err(failed(format!(
                "the fate of a message without time is {fate:?}"
            )));
        }
        bench.set_link(true).await;
        bench.settle().await?;
        let heard = |logs: &Logs| logs.of(side.other()).heard(b"timely");
        bench
            .until(Who::Both, "the message that had time", heard)
            .await?;
        bench.quiet(Who::Both).await?;
        let logs = bench.logs();
        if logs.of(side).fate(timely) != Some(Fate::Delivered) {
            return Err(failed("a message that had time was not delivered"));
        }
        if logs.of(side.other()).heard(b"late") {
            return Err(failed("a message that was told as expired arrived"));
        }
    }
    Ok(())
}
