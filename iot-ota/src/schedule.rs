//! When an update may happen: maintenance windows, power, metered links, a budget of bytes, jitter, and people.
//!
//! A [`Schedule`] is asked before each stage, and answers with yes, or with why not and when to ask again. It is plain
//! arithmetic: no clock, no storage. The [`Updater`](crate::update::Updater) takes its answers with
//! [`gate`](crate::update::Updater::gate).
//!
//! A *deadline* ends all patience but the one that protects the device: after it, neither windows nor links nor people
//! hold an update up; a battery that is too low still does.

mod budget;
mod plan;
mod window;

pub use budget::ByteBudget;
pub use plan::{Conditions, Decision, Schedule, Stage, Why};
pub use window::{Days, Window};
