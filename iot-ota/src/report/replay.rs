//! The verifier: a report is held against the manifest that it is about.

use super::read::{Report, Told};
use super::write::Reason;
use crate::manifest::Manifest;
use crate::process::{Capabilities, Procedure, Process, ProcessError, Record, Step};

/// Why a report cannot be true.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FalseReport {
    /// It is about another manifest.
    #[error("the report is about another manifest")]
    Manifest,
    /// No execution of the manifest that agrees with the records before has this record next.
    #[error("record {index} cannot be true: the manifest has something else happen there")]
    Record {
        /// Which one, counted from 0.
        index: u32,
    },
    /// Records are missing at the end.
    #[error("record {index} is missing")]
    Missing {
        /// Which one, counted from 0.
        index: u32,
    },
    /// The result is not the one that the records lead to.
    #[error("the result is not the one that the records lead to")]
    Result,
}

impl Report<'_> {
    /// Follows the manifest as the device must have, and compares each record with what happens then.
    ///
    /// Where only the device can judge, the report's next record is believed if it is about that command; a command
    /// without a record has gone as its author did not want recorded. `dependency` hands in the verified manifests
    /// that the device had, by the component that they were kept in.
    ///
    /// It shows that the report is one that the manifest allows, not that the device has told the truth: two outcomes
    /// that both lead to the rest of the report cannot be told apart, and that is what the signature is for.
    ///
    /// # Errors
    ///
    /// [`FalseReport`] with the first record that cannot be true.
    pub fn replay<'m>(
        &self,
        manifest: Manifest<'m>,
        procedure: Procedure,
        capabilities: &Capabilities<'_>,
        mut dependency: impl FnMut(usize) -> Option<Manifest<'m>>,
    ) -> Result<(), FalseReport> {
        if self.manifest() != manifest.digest() {
            return Err(FalseReport::Manifest);
        }
        let mut told = self.told().flatten();
        let mut index = 0;
        let mut next = told.next();
        let end = match Process::<128>::new(manifest, procedure, capabilities) {
            Err(error) => Err(error),
            Ok(process) => {
                let mut process = process.recording();
                loop {
                    match process.step() {
                        Err(error) => break Err(error),
                        Ok(Step::Finished) => break Ok(()),
                        Ok(Step::Record(record)) => {
                            let found = next.ok_or(FalseReport::Missing { index })?;
                            if !agrees(&found, &record) || found.success != record.success {
                                return Err(FalseReport::Record { index });
                            }
                            next = told.next();
                            index += 1;
                            process.done(true);
                        }
                        Ok(Step::Dependency { target }) => {
                            process.dependency(dependency(target.place));
                        }
                        Ok(_) => {
                            let here = process.record();
                            let about = here
                                .is_some_and(|here| next.is_some_and(|next| agrees(&next, &here)));
                            process.done(match next {
                                Some(next) if about => next.success,
                                next => {
                                    here.is_none_or(|here| self.unrecorded(&here, next.is_none()))
                                }
                            });
                        }
                    }
                }
            }
        };
        if next.is_some() {
            return Err(FalseReport::Record { index });
        }
        if self.failure() == failure(end) {
            Ok(())
        } else {
            Err(FalseReport::Result)
        }
    }

    /// How a command went that there is no record of.
    fn unrecorded(&self, here: &Record<'_>, last: bool) -> bool {
        match here.policy & 3 {
            // Its success would have been recorded.
            1 | 3 => false,
            // Its failure would have been.
            2 => true,
            _ => {
                !(last
                    && self
                        .failure()
                        .is_some_and(|(code, _)| code == here.command.get()))
            }
        }
    }
}

fn agrees(told: &Told<'_>, record: &Record<'_>) -> bool {
    // Indices of components fit into one byte each, below 24.
    told.path == record.path.indices()
        && told.section == record.section
        && told.offset == record.offset
        && told.component == record.component
}

fn failure(end: Result<(), ProcessError>) -> Option<(i32, u8)> {
    let error = end.err()?;
    let code = match error {
        ProcessError::Failed { command, .. } => command.get(),
        _ => 0,
    };
    Some((code, Reason::of(&error).number()))
}
