//! What is done to show each fact.

mod life;
mod sign;
mod slots;
mod threads;

use super::bench::{Bench, Shown};
use super::{Fact, Subject};

pub(super) fn show<S: Subject>(fact: Fact, bench: &mut Bench<'_, S>) -> Shown {
    match fact {
        Fact::Generate => slots::generate(bench),
        Fact::Occupied => slots::occupied(bench),
        Fact::Absent => slots::absent(bench),
        Fact::Algorithm => slots::algorithm(bench),
        Fact::Limit => slots::limit(bench),
        Fact::Isolation => slots::isolation(bench),
        Fact::Fresh => slots::fresh(bench),
        Fact::Destroy => life::destroy(bench),
        Fact::ForLife => life::for_life(bench),
        Fact::LentStops => life::lent_stops(bench),
        Fact::Durable => life::durable(bench),
        Fact::PublicForm => sign::public_form(bench),
        Fact::Verifies => sign::verifies(bench),
        Fact::SignatureForm => sign::signature_form(bench),
        Fact::Parts => sign::parts(bench),
        Fact::Sizes => sign::sizes(bench),
        Fact::Digest => sign::digest(bench),
        Fact::Threads => threads::threads(bench),
        Fact::OneGenerates => threads::one_generates(bench),
        Fact::Disarmed => threads::disarmed(bench),
    }
}
