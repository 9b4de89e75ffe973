//! What a device did with a manifest, for others to check (SUIT reports).
//!
//! A [`Reporter`] collects the [`Record`](crate::process::Record)s of a process in a caller's buffer and writes the
//! `SUIT_Report`, which is sent in a `COSE_Sign1`; see `report.cddl`. A [`Report`] is one that was received, and
//! [`replay`](Report::replay) follows the manifest once more and names the first record that cannot be true.
//! [`capability_report`] says what a device takes.
//!
//! Who verifies a report hands in what was asked: the manifest, the procedure and the nonce. A report of something else
//! is refused, for whoever carries it could pass an honest one off as an answer to another question.

mod capability;
mod read;
mod replay;
mod write;

pub use capability::{CapabilityError, capability_report};
pub use read::{Report, ReportError};
pub use replay::FalseReport;
pub use write::{Reason, Reporter};

use crate::process::Procedure;

const REFERENCE: i32 = 99;
const NONCE: i32 = 2;
const RECORDS: i32 = 3;
const RESULT: i32 = 4;
const CODE: i32 = 5;
const FAILED: i32 = 6;
const REASON: i32 = 7;
const CAPABILITIES: i32 = 8;
/// Ours: codes up from -256 belong to applications. Without it a record does not say how its command ended.
const OUTCOME: i32 = -256;
/// Ours: without it the report of a staging passes for that of an update whose author wanted no records.
const PROCEDURE: i32 = -257;
/// Ours: without it a report whose last records were lost looks whole.
const LOST: i32 = -258;

/// What a procedure is called in a report.
const fn number(procedure: Procedure) -> u8 {
    match procedure {
        Procedure::Update => 0,
        Procedure::Stage => 1,
        Procedure::Install => 2,
        Procedure::Invoke => 3,
        Procedure::Uninstall => 4,
    }
}

/// Which procedure is called so.
fn procedure(wanted: u64) -> Option<Procedure> {
    use Procedure::{Install, Invoke, Stage, Uninstall, Update};
    [Update, Stage, Install, Invoke, Uninstall]
        .into_iter()
        .find(|procedure| u64::from(number(*procedure)) == wanted)
}
