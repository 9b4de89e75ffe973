//! The SUIT processor: what a trusted manifest has a device do, one step after another.
//!
//! A [`Process`] follows one procedure of a [`Manifest`](crate::manifest::Manifest): update, invocation or
//! uninstallation, with all conditions and directives of the manifest draft (draft-ietf-suit-manifest-37), of trust
//! domains and of update management. It does no I/O: [`step`](Process::step) says what to look at or to do, the
//! device does it and says how it went with [`done`](Process::done). [`Capabilities`] say what the device has and
//! takes; everything of a manifest that goes beyond them is refused before the first step, and everything of a manifest
//! that it depends on before the first step of that one.
//!
//! After a power cut a process either begins again, or goes on from a [`Position`] of a few bytes, which must be kept as
//! safe as the code: what was checked before is not checked again.
//!
//! [`Step::Finished`] says that the manifest was followed to its end, and no more than that: that an image is what was
//! meant, for this device, is known only where the manifest has it matched. Whoever must rely on it follows manifests that
//! [`plan`](crate::manifest::Manifest::plan) takes.

mod capabilities;
mod check;
mod error;
mod execute;
mod flow;
mod frame;
mod machine;
mod parameters;
mod position;
mod step;
mod version;

pub use capabilities::{Capabilities, CommandSet, Component, Identity};
pub use error::ProcessError;
pub use machine::{Procedure, Process};
pub use position::{Position, PositionError};
pub use step::{Check, DependencyPath, Details, Effect, Fetch, Record, Source, Step, Target};
pub use version::VersionMatch;
