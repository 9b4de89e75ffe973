//! Facts of reads and commits.

use alloc::format;
use alloc::vec;

use crate::registry::conformance::bench::{
    Bench, Shown, failed, holds, key, moment, put, record, remove,
};
use crate::registry::conformance::{Subject, Verdict};
use crate::registry::{CommitError, Expect, Revision, Store as _};

pub(super) async fn read_back<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let (plain, named) = (key("acme/a")?, key("acme/a/config")?);
    holds(bench.read(&plain).await?.is_none(), || {
        "an empty store has a twin".into()
    })?;
    let first = bench.put(&plain, 1).await?;
    let second = bench.put(&named, 2).await?;
    for (key, number, revision) in [(&plain, 1, first), (&named, 2, second)] {
        let Some(stored) = bench.read(key).await? else {
            return failed(format!("{key} was stored and is not there"));
        };
        let same = (stored.revision, stored.at) == (revision, moment(number))
            && stored.record == record(number)?;
        holds(same, || {
            format!("{key} was stored as change {revision} and is {stored:?}")
        })?;
    }
    let _ = bench
        .commit(vec![remove(&plain, Expect::At(first), 3)])
        .await?;
    holds(bench.read(&plain).await?.is_none(), || {
        "a twin was removed and is there".into()
    })?;
    holds(bench.read(&named).await?.is_some(), || {
        "a twin is gone that was not removed".into()
    })
}

pub(super) async fn numbers<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let batch = bench.store()?.limits().batch.min(3);
    let mut last = Revision::default();
    for round in 0..20_usize {
        let mut changes = vec![];
        for place in 0..batch {
            changes.push(put(
                &key(&format!("acme/d{}", (round + place) % 5))?,
                Expect::Any,
                round as u64,
            ));
        }
        let keys: vec::Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        let committed = bench.commit(changes).await?;
        holds(committed.first > last, || {
            format!("change {} came after {last}", committed.first)
        })?;
        for (place, key) in keys.iter().enumerate() {
            let wanted = committed.revision(place);
            let found = bench.read(key).await?.map(|stored| stored.revision);
            holds(found == wanted && wanted.is_some(), || {
                format!("{key} was told to be change {wanted:?} and is {found:?}")
            })?;
            last = last.max(wanted.unwrap_or_default());
        }
    }
    Ok(())
}

pub(super) async fn never_twice<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let twin = key("acme/a")?;
    let mut last = Revision::default();
    for number in 0..10 {
        let made = bench.put(&twin, number).await?;
        holds(made > last, || {
            format!("a twin that was made again is change {made}, not above {last}")
        })?;
        let removed = bench
            .commit(vec![remove(&twin, Expect::At(made), number)])
            .await?;
        last = removed.first;
        // Whoever still rests on the removed twin must be told.
        let late = bench
            .try_commit(vec![put(&twin, Expect::At(made), 99)])
            .await?;
        holds(
            matches!(
                late,
                Err(CommitError::Conflict {
                    index: 0,
                    found: None
                })
            ),
            || format!("a writer that rests on a removed twin was told {late:?}"),
        )?;
    }
    Ok(())
}

pub(super) async fn conflict<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let (there, absent) = (key("acme/a")?, key("acme/b")?);
    let before = bench.put(&there, 1).await?;
    let now = bench.put(&there, 2).await?;
    let other = Revision::new(now.get() + 1_000);
    for (key, expect, found) in [
        (&there, Expect::Absent, Some(now)),
        (&there, Expect::At(before), Some(now)),
        (&there, Expect::At(other), Some(now)),
        (&absent, Expect::At(now), None),
    ] {
        for change in [put(key, expect, 3), remove(key, expect, 3)] {
            let told = bench.try_commit(vec![change]).await?;
            let right = matches!(told, Err(CommitError::Conflict { index: 0, found: told }) if told == found);
            holds(right, || {
                format!("{key} was expected {expect:?}, is {found:?}: {told:?}")
            })?;
        }
    }
    let kept = bench.read(&there).await?.map(|stored| stored.revision);
    let made = bench.read(&absent).await?;
    holds(kept == Some(now) && made.is_none(), || {
        "a conflict changed something".into()
    })?;
    for change in [
        put(&absent, Expect::Absent, 4),
        put(&there, Expect::At(now), 5),
    ] {
        let _ = bench.commit(vec![change]).await?;
    }
    Ok(())
}

pub(super) async fn no_lost_update<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let twin = key("acme/a")?;
    let mut count = 0;
    let mut revision = bench.put(&twin, count).await?;
    for _ in 0..50 {
        let one = put(&twin, Expect::At(revision), count + 1);
        let two = put(&twin, Expect::At(revision), count + 2);
        let made = bench.race(vec![one], vec![two]).await?;
        let (won, number) = match &made {
            [Ok(won), Err(CommitError::Conflict { .. })] => (won.first, count + 1),
            [Err(CommitError::Conflict { .. }), Ok(won)] => (won.first, count + 2),
            other => return failed(format!("of two writers of change {revision}: {other:?}")),
        };
        let Some(stored) = bench.read(&twin).await? else {
            return failed("the twin is gone".into());
        };
        holds(
            stored.revision == won && stored.record == record(number)?,
            || format!("change {won} won, and {stored:?} is there"),
        )?;
        (revision, count) = (won, number);
    }
    Ok(())
}

pub(super) async fn whole_batch<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    if bench.store()?.limits().batch < 3 {
        return Err(Verdict::NotShown("the store takes one change at a time"));
    }
    let keys = [key("acme/a")?, key("acme/b")?, key("other/c")?];
    let [one, two, three] = &keys;
    let first = bench.put(two, 1).await?;
    for wrong in 0..3_usize {
        let expects = [Expect::Absent, Expect::At(first), Expect::Absent];
        let mut changes = vec![];
        for (place, (key, expect)) in keys.iter().zip(expects).enumerate() {
            let stale = Expect::At(Revision::new(first.get() + 1_000));
            changes.push(put(key, if place == wrong { stale } else { expect }, 7));
        }
        let told = bench.try_commit(changes).await?;
        holds(
            matches!(told, Err(CommitError::Conflict { index, .. }) if index == wrong),
            || format!("change {wrong} of a batch was not as expected: {told:?}"),
        )?;
        for key in [one, three] {
            holds(bench.read(key).await?.is_none(), || {
                "half of a batch was made".into()
            })?;
        }
        let kept = bench.read(two).await?.map(|stored| stored.revision);
        holds(kept == Some(first), || "half of a batch was made".into())?;
    }
    let changes = vec![
        put(one, Expect::Absent, 8),
        remove(two, Expect::At(first), 8),
        put(three, Expect::Any, 8),
    ];
    let _ = bench.commit(changes).await?;
    let made = bench.read(one).await?.is_some() && bench.read(three).await?.is_some();
    let gone = bench.read(two).await?.is_none();
    holds(made && gone, || "a batch was not made as a whole".into())
}

pub(super) async fn bad_batch<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let limit = bench.store()?.limits().batch;
    let twin = key("acme/a")?;
    if limit >= 2 {
        let twice = vec![put(&twin, Expect::Any, 1), put(&twin, Expect::Any, 2)];
        let told = bench.try_commit(twice).await?;
        holds(matches!(told, Err(CommitError::Twice { index: 1 })), || {
            format!("a batch has a twin twice: {told:?}")
        })?;
    }
    if limit < 10_000 {
        let mut changes = vec![];
        for number in 0..=limit {
            changes.push(put(&key(&format!("acme/d{number}"))?, Expect::Any, 1));
        }
        let told = bench.try_commit(changes).await?;
        let right = matches!(told, Err(CommitError::TooMany { limit: told }) if told == limit);
        holds(right, || {
            format!("a batch has one change too many: {told:?}")
        })?;
        let first = bench.read(&key("acme/d0")?).await?;
        holds(first.is_none(), || {
            "a batch that was refused changed something".into()
        })?;
    }
    let kept = bench.read(&twin).await?;
    holds(kept.is_none(), || {
        "a batch that was refused changed something".into()
    })
}
