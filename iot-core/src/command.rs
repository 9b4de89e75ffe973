//! Commands that may arrive twice, late or in the middle of a power cut, and what each class then promises.
//!
//! A service's [`Issuer`] gives every command an identity, repeats it until an answer comes and says how it
//! ended. A device's [`Inbox`] hands each command out at most as often as its [`Class`] allows, records how
//! it ended before it answers, and answers repetitions from that record. Both are [engines](crate::engine):
//! they do no I/O. The wire format is `command.cddl` beside this module.
//!
//! | class | after a power cut while it runs | claim |
//! |---|---|---|
//! | [`Transactional`](Class::Transactional) | run again; effect and result commit together | exactly one effect |
//! | [`Idempotent`](Class::Idempotent) | run again | one effect, the handler at least once |
//! | [`Probed`](Class::Probed) | probe, then finish or run | one effect if the probe tells the truth |
//! | [`Opaque`](Class::Opaque) | never run again | at most one run; doubt is reported |
//!
//! A repetition is recognised by (issuer, epoch, sequence), in a window per issuer that only advances over
//! commands that have ended; what lies below the window is never executed. The memory this takes does not
//! grow with the number of commands.
//!
//! **What is on record when.** A probed or opaque command is on record as started before its handler may
//! begin, and every command as ended before its end is told. One that has to wait, for its lane or its time,
//! is on record as accepted where nobody would repeat it at the right moment. The first command of an epoch
//! is on record as started whatever its class, so that no power cut brings an older epoch back. An answer
//! that rests on something not on record yet is `Busy`.
//!
//! Protocols without sequences have an [`IdTable`].

mod cbor;
mod class;
#[cfg(all(any(test, feature = "alloc"), target_has_atomic = "ptr"))]
mod dispatch;
mod envelope;
#[cfg(feature = "sim")]
mod every;
mod ids;
mod inbox;
mod issuer;
mod macros;
mod name;
mod outcome;
mod state;
mod window;

pub use class::{Class, Command};
#[cfg(all(any(test, feature = "alloc"), target_has_atomic = "ptr"))]
pub use dispatch::{Call, Dispatch, NoSuchCommand};
pub use envelope::{
    Answer, Fingerprint, MAX_COMMAND_BYTES, MAX_MESSAGE_BYTES, Request, Response, WireError,
};
#[cfg(feature = "sim")]
pub use every::{every_answer, every_class};
pub use ids::{Admitted, EndedId, ForeignId, IdError, IdTable, PendingId};
pub use inbox::{AllowError, FinishError, Inbox, Pending};
pub use issuer::{Conclusion, IssueError, Issuer, NotUnderWay, Terms, Unanswered};
pub use outcome::{Outcome, Output, OutputTooLong, Reason};
pub use window::{Standing, Window};

// The expansion of `commands!` names the codec through this path, so that users need not depend on it.
#[doc(hidden)]
pub use minicbor as __minicbor;
#[doc(hidden)]
pub use name::{field as __field, head as __head, head_bytes as __head_bytes, skip as __skip};

#[cfg(test)]
mod tests;
