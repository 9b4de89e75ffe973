//! The bank that may be filled.

use crate::slot::{Bank, Banks, BootState, load};

/// The bank beside the one that runs; `None` unless what runs is confirmed and nothing waits to be tried.
///
/// While a firmware is on trial, or was rejected and still runs, the other bank is the confirmed one.
pub(crate) fn spare<B: Banks>(banks: &mut B) -> Result<Option<Bank>, B::Error> {
    let running = banks.running();
    let record = load(banks)?;
    let is_confirmed = record
        .is_some_and(|record| record.state == BootState::Confirmed && record.active == running);
    Ok(is_confirmed.then(|| running.other()))
}
