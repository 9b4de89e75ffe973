//! Facts of queries and histories.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use iot_core::TenantId;
use iot_core::fleet::Selector;

use crate::registry::conformance::bench::{
    Bench, Shown, failed, holds, key, labelled, moment, record, remove,
};
use crate::registry::conformance::{Subject, Verdict};
use crate::registry::{Change, Expect, Half, Is, Query, Store as _};

/// Twins of two tenants on three sites, numbered.
const TWINS: u64 = 150;

fn site(number: u64) -> &'static str {
    match number % 3 {
        0 => "north",
        1 => "south",
        _ => "west",
    }
}

async fn fill<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    for number in 0..TWINS {
        let tenant = if number % 2 == 0 { "acme" } else { "acme-2" };
        let key = key(&format!("{tenant}/d{number}"))?;
        let record = labelled(number, &[("site", site(number))])?;
        let change = Change::put(key, Expect::Absent, record, moment(number));
        let _ = bench.commit(vec![change]).await?;
    }
    Ok(())
}

fn selector(text: &str) -> Result<Selector, Verdict> {
    match Selector::parse(text) {
        Ok(selector) => Ok(selector),
        Err(error) => failed(format!("the suite's own selector: {error}")),
    }
}

/// The numbers that a query finds; each at most once.
async fn found<S: Subject>(
    bench: &mut Bench<'_, S>,
    query: &Query,
    limit: usize,
) -> Result<Vec<u64>, Verdict> {
    let mut numbers = BTreeMap::new();
    for (key, stored) in bench.select(query, limit).await? {
        let number = stored.at.as_millis() - moment(0).as_millis();
        holds(key.device() == format!("d{number}"), || {
            format!("{key} is another twin's record")
        })?;
        holds(numbers.insert(number, ()).is_none(), || {
            format!("{key} is on two pages")
        })?;
    }
    Ok(numbers.into_keys().collect())
}

pub(super) async fn query<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    fill(bench).await?;
    let gone = key("acme/d30")?;
    let _ = bench.commit(vec![remove(&gone, Expect::Any, 0)]).await?;
    let there = |number: &u64| *number != 30;
    let north = Query::of_every_tenant(selector("site == 'north'")?);
    let cases: Vec<(Query, Vec<u64>)> = vec![
        (
            Query::of_every_tenant(selector("all()")?),
            (0..TWINS).filter(there).collect(),
        ),
        (north.clone(), (0..TWINS).step_by(3).filter(there).collect()),
        (
            Query::of_every_tenant(selector("site != 'north' && desired.1 == '40'")?),
            vec![40],
        ),
        (
            north.and(Half::Desired, "1", Is::Above(99.0)),
            (99..TWINS)
                .step_by(3)
                .filter(|number| *number > 99)
                .collect(),
        ),
        (Query::of_every_tenant(selector("site == 'east'")?), vec![]),
    ];
    for (query, wanted) in &cases {
        for limit in [1, 7, 1_000] {
            let found = found(bench, query, limit).await?;
            holds(found == *wanted, || {
                format!(
                    "{query:?} means {} twins and finds {}",
                    wanted.len(),
                    found.len()
                )
            })?;
        }
    }
    Ok(())
}

pub(super) async fn tenant<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    fill(bench).await?;
    for (name, first) in [("acme", 0), ("acme-2", 1), ("acm", TWINS)] {
        let tenant = match TenantId::new(name) {
            Ok(tenant) => tenant,
            Err(error) => return failed(format!("the suite's own tenant: {error}")),
        };
        let wanted: Vec<_> = (first..TWINS).step_by(2).collect();
        let found = found(bench, &Query::new(tenant, selector("all()")?), 10).await?;
        holds(found == wanted, || {
            format!(
                "{name} has {} twins, and {} were found",
                wanted.len(),
                found.len()
            )
        })?;
    }
    Ok(())
}

pub(super) async fn history<S: Subject>(bench: &mut Bench<'_, S>) -> Shown {
    let kept = bench.store()?.limits().history;
    let (twin, other) = (key("acme/a")?, key("acme/b")?);
    let mut past = vec![];
    for number in 0..(kept as u64).min(100) + 3 {
        let revision = bench.put(&twin, number).await?;
        let _ = bench.put(&other, number + 1_000).await?;
        let found = bench.history(&twin).await?;
        let found: Vec<_> = found
            .iter()
            .map(|stored| (stored.revision, stored.record.clone()))
            .collect();
        let wanted: Vec<_> = past.iter().rev().take(kept).cloned().collect();
        holds(found == wanted, || {
            format!(
                "{} past records are there, {} were promised",
                found.len(),
                wanted.len()
            )
        })?;
        past.push((revision, record(number)?));
    }
    let _ = bench.commit(vec![remove(&twin, Expect::Any, 0)]).await?;
    holds(bench.history(&twin).await?.is_empty(), || {
        "a twin is gone, its history is not".into()
    })?;
    let _ = bench.put(&twin, 1).await?;
    holds(bench.history(&twin).await?.is_empty(), || {
        "a twin that was made again has another one's history".into()
    })
}
