//! What a device did with a manifest, for others to check (SUIT reports).
//!
//! A [`Reporter`] collects the [`Record`](crate::process::Record)s of a process in a caller's buffer and writes the
//! `SUIT_Report`, which is sent in a `COSE_Sign1`; see `report.cddl`. A [`Report`] is one that was received, and
//! [`replay`](Report::replay) follows the manifest once more and names the first record that cannot be true.
//! [`capability_report`] says what a device takes.

mod capability;
mod read;
mod replay;
mod write;

pub use capability::capability_report;
pub use read::{Report, ReportError};
pub use replay::FalseReport;
pub use write::{Reason, Reporter};

const REFERENCE: i32 = 99;
const NONCE: i32 = 2;
const RECORDS: i32 = 3;
const RESULT: i32 = 4;
const CODE: i32 = 5;
const REASON: i32 = 7;
const CAPABILITIES: i32 = 8;
/// Ours: codes up from -256 belong to applications. Without it a record does not say how its command ended.
const OUTCOME: i32 = -256;
