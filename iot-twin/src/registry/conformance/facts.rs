//! How each fact is shown.

mod following;
mod listing;
mod writing;

use super::bench::{Bench, Shown};
use super::{Fact, Subject};

pub(super) async fn show<S: Subject>(fact: Fact, bench: &mut Bench<'_, S>) -> Shown {
    match fact {
        Fact::ReadBack => writing::read_back(bench).await,
        Fact::Numbers => writing::numbers(bench).await,
        Fact::NeverTwice => writing::never_twice(bench).await,
        Fact::Conflict => writing::conflict(bench).await,
        Fact::NoLostUpdate => writing::no_lost_update(bench).await,
        Fact::WholeBatch => writing::whole_batch(bench).await,
        Fact::BadBatch => writing::bad_batch(bench).await,
        Fact::Query => listing::query(bench).await,
        Fact::Tenant => listing::tenant(bench).await,
        Fact::History => listing::history(bench).await,
        Fact::Watch => following::watch(bench).await,
        Fact::Resume => following::resume(bench).await,
        Fact::Wakes => following::wakes(bench).await,
        Fact::DroppedNext => following::dropped_next(bench).await,
        Fact::Lost => following::lost(bench).await,
        Fact::Foreign => following::foreign(bench).await,
        Fact::Reopened => following::reopened(bench).await,
    }
}
