//! What is done to show each fact.

mod awaits;
mod fate;
mod limits;
mod link;
mod payload;

use super::bench::Bench;
use super::{Fact, Subject, Verdict};

/// Nothing to say when the fact holds.
type Shown = Result<(), Verdict>;

pub(super) async fn show<S: Subject>(fact: Fact, bench: &mut Bench<'_, S>) -> Shown {
    match fact {
        Fact::OneFate => fate::one_fate(bench).await,
        Fact::DeliveredArrives => fate::delivered_arrives(bench).await,
        Fact::DeliveredAfterReturn => fate::delivered_after_return(bench).await,
        Fact::Order => fate::order(bench).await,
        Fact::Expiry => fate::expiry(bench).await,
        Fact::HandedOverComesAgain => link::handed_over_comes_again(bench).await,
        Fact::AtMostOnce => link::at_most_once(bench).await,
        Fact::KeptWhileDown => link::kept_while_down(bench).await,
        Fact::LinkTold => link::told(bench).await,
        Fact::SubscriptionsSurvive => link::subscriptions_survive(bench).await,
        Fact::Busy => limits::busy(bench).await,
        Fact::TooLarge => limits::too_large(bench).await,
        Fact::Limits => limits::largest(bench).await,
        Fact::SmallBuffer => limits::small_buffer(bench).await,
        Fact::DroppedNext => awaits::dropped_next(bench).await,
        Fact::DroppedSubmit => awaits::dropped_submit(bench).await,
        Fact::Unsubscribed => payload::unsubscribed(bench).await,
        Fact::Payloads => payload::payloads(bench).await,
        Fact::Address => payload::address(bench).await,
    }
}
