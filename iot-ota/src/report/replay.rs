//! The verifier: a report is held against the manifest that it is about.

use super::read::{Report, Told};
use super::write::Reason;
use crate::manifest::Manifest;
use crate::process::{Capabilities, Procedure, Process, ProcessError, Record, Step};

/// Why a report cannot be true, or is none of what was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FalseReport {
    /// It is about another manifest, or gives another place for more about it.
    #[error("the report is about another manifest")]
    Manifest,
    /// It is about another procedure, or does not say about which.
    #[error("the report is not about the {expected:?} procedure")]
    Procedure {
        /// Which one was asked for.
        expected: Procedure,
    },
    /// Its nonce is not the verifier's: it may be an old one.
    #[error("the report does not hold the nonce that was asked with")]
    Nonce,
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
    /// It was cut off where the device had no room for more records; those that it has may be true.
    #[error("the report says that {count} records were lost: give the reporter more room")]
    Lost {
        /// How many were lost.
        count: u32,
    },
    /// The result, or the record in it, is not the one that the records lead to.
    #[error("the result is not the one that the records lead to")]
    Result,
}

impl Report<'_> {
    /// Follows the manifest as the device must have, and compares each record with what happens then.
    ///
    /// Where only the device can judge, the report's next record is believed if it is about that command; a command
    /// without a record has gone as its author did not want recorded. `manifest`, `procedure` and `nonce` are what was
    /// asked for, never what the report says itself; without a nonce, the report must have none. `capabilities` are
    /// the device's. `dependency` hands in the verified manifests that the device had, by the component that they were
    /// kept in.
    ///
    /// It shows that the report is one that the manifest allows, not that the device has told the truth: two outcomes
    /// that both lead to the rest of the report cannot be told apart, and that is what the signature is for. Of the end
    /// it says [`succeeded`](Self::succeeded): that is worth as much as the procedure checks. A manifest without an
    /// image match in the procedure leads to success with any image.
    ///
    /// ```
    /// # #[cfg(all(feature = "author", feature = "sim"))] {
    /// # use iot_core::crypto::{Digest, Sha256Digest};
    /// # #[derive(Default)] struct Sum(Sha256Digest);
    /// # impl Digest for Sum {
    /// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_mul(31) ^ *b } }
    /// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
    /// # }
    /// # use iot_core::{cose::Tagged, sim::ToyKey};
    /// # use iot_ota::manifest::{Device, Limits, SignedManifest, SigningKey, Template};
    /// # use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};
    /// # let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
    /// # let template = Template::new(7, device, [3; 32], 4_096, "iot:firmware");
    /// # let envelope = template.sign(&ToyKey::new(1), None, &mut Sum::default())?;
    /// # let keys = SigningKey::new(ToyKey::new(1));
    /// # let signed = SignedManifest::decode(&envelope, Tagged::Required, Limits::default())?;
    /// # let manifest = signed.verify(&keys, &mut Sum::default(), 0)?;
    /// # let own = [Component::new(&[b"firmware"])];
    /// # let capabilities = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
    /// use iot_ota::report::{FalseReport, Report, Reporter};
    ///
    /// // The device follows a trusted manifest, and says how it went.
    /// let mut room = [0; 256];
    /// let mut reporter = Reporter::new(&mut room);
    /// let mut process = Process::<32>::new(manifest, Procedure::Update, &capabilities)?.recording();
    /// let result = loop {
    ///     match process.step() {
    ///         Ok(Step::Finished) => break Ok(()),
    ///         Ok(Step::Record(record)) => reporter.push(&record),
    ///         Ok(_) => {}                                            // done, and it worked
    ///         Err(error) => break Err(error),
    ///     }
    ///     process.done(true);
    /// };
    /// let mut out = [0; 512];
    /// let sent = reporter.finish(&manifest, Procedure::Update, Some(b"asked"), result, &mut out)?;
    ///
    /// // The service checks the signature around it, and then the report.
    /// let report = Report::decode(sent)?;
    /// let verdict = |procedure, nonce| report.replay(manifest, procedure, nonce, &capabilities, |_| None);
    /// assert_eq!(verdict(Procedure::Update, Some(b"asked")), Ok(()));
    /// assert!(report.succeeded());
    /// assert_eq!(verdict(Procedure::Update, Some(b"again")), Err(FalseReport::Nonce));
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FalseReport`] with what is not as it was asked, or the first record that cannot be true; nothing of the report
    /// is proved then.
    pub fn replay<'m>(
        &self,
        manifest: Manifest<'m>,
        procedure: Procedure,
        nonce: Option<&[u8]>,
        capabilities: &Capabilities<'_>,
        mut dependency: impl FnMut(usize) -> Option<Manifest<'m>>,
    ) -> Result<(), FalseReport> {
        self.is_about(&manifest, procedure, nonce)?;
        let mut told = self.told().flatten();
        let mut index = 0;
        let mut next = told.next();
        let mut last = None;
        let end = match Process::<128>::new(manifest, procedure, capabilities) {
            Err(error) => Err(error),
            Ok(process) => {
                let mut process = process.recording();
                loop {
                    match process.step() {
                        Err(error) => break Err(error),
                        Ok(Step::Finished) => break Ok(()),
                        Ok(Step::Record(record)) => {
                            let found = next.ok_or_else(|| self.missing(index))?;
                            if !agrees(&found, &record) || found.success != record.success {
                                return Err(FalseReport::Record { index });
                            }
                            last = next;
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
        if self.lost() > 0 {
            return Err(self.missing(index));
        }
        let failed = last.filter(|last| !last.success && ended(last, &end));
        if self.failed() == failed && self.failure() == failure(end) {
            Ok(())
        } else {
            Err(FalseReport::Result)
        }
    }

    /// It answers what was asked.
    fn is_about(
        &self,
        manifest: &Manifest<'_>,
        procedure: Procedure,
        nonce: Option<&[u8]>,
    ) -> Result<(), FalseReport> {
        let uri = manifest.reference_uri().unwrap_or("");
        if self.manifest() != manifest.digest() || self.uri() != uri {
            return Err(FalseReport::Manifest);
        }
        if self.procedure() != Some(procedure) {
            let expected = procedure;
            return Err(FalseReport::Procedure { expected });
        }
        if self.nonce() == nonce {
            Ok(())
        } else {
            Err(FalseReport::Nonce)
        }
    }

    /// The report ends before the procedure does.
    fn missing(&self, index: u32) -> FalseReport {
        match self.lost() {
            0 => FalseReport::Missing { index },
            count => FalseReport::Lost { count },
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

/// Whether it is this command that the procedure ended with.
fn ended(told: &Told<'_>, end: &Result<(), ProcessError>) -> bool {
    matches!(*end, Err(ProcessError::Failed { section, offset, .. })
        if section == told.section && offset == told.offset)
}

fn failure(end: Result<(), ProcessError>) -> Option<(i32, u8)> {
    let error = end.err()?;
    let code = match error {
        ProcessError::Failed { command, .. } => command.get(),
        _ => 0,
    };
    Some((code, Reason::of(&error).number()))
}
