//! Facts of watchers, and of opening a store again.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::registry::conformance::bench::{
    Bench, Shown, failed, holds, key, moment, put, record, remove,
};
use crate::registry::conformance::{Subject, Verdict};
use crate::registry::{
    Change, Committed, Cursor, Event, Expect, Revision, Store as _, TwinKey, Watch,
};

/// What a watcher must be told, for each change that was made.
type Told = (Revision, TwinKey, Option<u64>);

/// Makes some changes, single ones and batches, and says what must be told of them.
async fn make<S: Subject>(bench: &mut Bench<'_, S>, count: u64) -> Result<Vec<Told>, Verdict> {
    let room = bench.store()?.limits().batch;
    let mut told = vec![];
    let mut number = 0;
    while number < count {
        let twins = [number % 5, (number + 1) % 5];
        let size = if number % 3 == 0 && room >= 2 { 2 } else { 1 };
        let mut changes: Vec<Change> = vec![];
        for twin in twins.iter().take(size) {
            let key = key(&format!("acme/d{twin}"))?;
            number += 1;
            changes.push(if number % 7 == 0 {
                remove(&key, Expect::Any, number)
            } else {
                put(&key, Expect::Any, number)
            });
        }
        let committed: Committed = bench.commit(changes.clone()).await?;
        for (place, change) in changes.into_iter().enumerate() {
            let revision = committed.revision(place).unwrap_or_default();
            let number = change.at.as_millis() - moment(0).as_millis();
            told.push((revision, change.key, change.record.map(|_| number)));
        }
    }
    Ok(told)
}

/// The next event is this change; gives the place behind it.
async fn is_told<S: Subject, W: Watch<Error: core::fmt::Display>>(
    bench: &mut Bench<'_, S>,
    watch: &mut W,
    wanted: &Told,
) -> Result<Cursor, Verdict> {
    let event = bench.next(watch).await?;
    let Event::Changed {
        key,
        revision,
        at: _,
        record: held,
        cursor,
    } = &event
    else {
        return failed(format!("{event:?} came instead of change {}", wanted.0));
    };
    let number = wanted.2.map(record).transpose()?;
    let same = (*revision, key) == (wanted.0, &wanted.1) && *held == number;
    holds(same, || format!("{event:?} came instead of {wanted:?}"))?;
    Ok(*cursor)
}

pub(super) async fn watch<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let from = bench.cursor().await?;
    let mut early = bench.watch(from).await?;
    let made = make(bench, 30).await?;
    let mut late = bench.watch(from).await?;
    for wanted in &made {
        let _ = is_told(bench, &mut early, wanted).await?;
        let _ = is_told(bench, &mut late, wanted).await?;
    }
    bench.is_quiet(&mut early).await?;
    bench.is_quiet(&mut late).await
}

pub(super) async fn resume<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let from = bench.cursor().await?;
    let made = make(bench, 20).await?;
    let mut watch = bench.watch(from).await?;
    let mut places = vec![from];
    for wanted in &made {
        places.push(is_told(bench, &mut watch, wanted).await?);
    }
    drop(watch);
    for (at, place) in places.iter().enumerate() {
        let place = Cursor::from_bytes(place.to_bytes());
        let mut watch = bench.watch(place).await?;
        for wanted in made.iter().skip(at) {
            let _ = is_told(bench, &mut watch, wanted).await?;
        }
    }
    let end = bench.cursor().await?;
    let mut watch = bench.watch(end).await?;
    bench.is_quiet(&mut watch).await
}

pub(super) async fn wakes<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let from = bench.cursor().await?;
    let twin = key("acme/a")?;
    let mut watch = bench.watch(from).await?;
    for number in 0..5 {
        let event = bench
            .next_during(&mut watch, vec![put(&twin, Expect::Any, number)])
            .await?;
        holds(
            matches!(event, Event::Changed { at, .. } if at == moment(number)),
            || format!("{event:?} came for change {number}"),
        )?;
    }
    Ok(())
}

pub(super) async fn dropped_next<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let from = bench.cursor().await?;
    let mut watch = bench.watch(from).await?;
    let made = make(bench, 20).await?;
    // Each future is dropped before its answer came, as often as it takes.
    for wanted in &made {
        let told = match bench.next_dropping(&mut watch).await? {
            Event::Changed { revision, .. } => revision,
            Event::Lost { .. } => Revision::default(),
        };
        holds(told == wanted.0, || {
            format!("change {told} came instead of {}", wanted.0)
        })?;
    }
    Ok(())
}

pub(super) async fn lost<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let backlog = bench.store()?.limits().backlog;
    if backlog > 10_000 {
        return Err(Verdict::NotShown("the backlog is too long to be filled"));
    }
    if backlog < 4 {
        return Err(Verdict::NotShown(
            "the backlog is too short to follow some changes",
        ));
    }
    let from = bench.cursor().await?;
    let mut slow = bench.watch(from).await?;
    let made = make(bench, backlog + 1).await?;
    // Exactly as far behind as promised is not lost.
    let place = made
        .len()
        .saturating_sub(usize::try_from(backlog).unwrap_or(usize::MAX));
    let edge = match made.get(place.saturating_sub(1)) {
        Some(told) if place > 0 => Cursor::new(from.opening(), told.0),
        _ => from,
    };
    let mut close = bench.watch(edge).await?;
    for wanted in made.iter().skip(place) {
        let _ = is_told(bench, &mut close, wanted).await?;
    }
    // One that is further behind is told, and may go on: each event is the next change or says that some were missed.
    let _ = make(bench, 3).await?;
    let end = bench.cursor().await?;
    let mut late = bench.watch(from).await?;
    for watch in [&mut slow, &mut late] {
        let event = bench.next(watch).await?;
        holds(
            matches!(event, Event::Lost { resume } if resume == end),
            || format!("{event:?} came to a watcher that is too far behind"),
        )?;
    }
    for wanted in make(bench, 3).await? {
        let _ = is_told(bench, &mut slow, &wanted).await?;
        let _ = is_told(bench, &mut late, &wanted).await?;
    }
    Ok(())
}

pub(super) async fn foreign<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let _ = make(bench, 5).await?;
    let end = bench.cursor().await?;
    let other = Cursor::new(end.opening().wrapping_add(1), Revision::new(1));
    let ahead = Cursor::new(end.opening(), Revision::new(end.revision().get() + 1));
    for place in [other, ahead] {
        let mut watch = bench.watch(place).await?;
        let event = bench.next(&mut watch).await?;
        holds(
            matches!(event, Event::Lost { resume } if resume == end),
            || format!("{event:?} came to a watcher from another store"),
        )?;
    }
    Ok(())
}

pub(super) async fn reopened<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let from = bench.cursor().await?;
    let made = make(bench, 20).await?;
    let (twin, end) = (key("acme/d0")?, bench.cursor().await?);
    let before = (bench.read(&twin).await?, bench.history(&twin).await?);
    bench.reopen().await?;
    let after = (bench.read(&twin).await?, bench.history(&twin).await?);
    holds(after == before, || {
        format!("{before:?} was stored, and {after:?} is there")
    })?;
    let more = bench.put(&twin, 77).await?;
    let last = made.last().map_or(Revision::default(), |told| told.0);
    holds(more > last, || {
        format!("change {more} was numbered after {last}")
    })?;
    for place in [end, from] {
        let mut watch = bench.watch(place).await?;
        for wanted in made.iter().filter(|told| told.0 > place.revision()) {
            let _ = is_told(bench, &mut watch, wanted).await?;
        }
        let _ = is_told(bench, &mut watch, &(more, twin.clone(), Some(77))).await?;
    }
    Ok(())
}
