//! What a configuration keeps across power cuts.
//!
//! One record for what is confirmed, `[format, revision, ending, answered, [field, value, …]]`, and while something is
//! tried one for the trial, `[format, proof, within, restarts, answers, [field, value, …]]`, with the time in
//! milliseconds. What a trial answers is a version of a twin, its epoch in the upper 32 bits, or 0. Of what is confirmed,
//! a firmware leaves out the fields that it does not know, and gives the factory's value to those that are not on
//! record, or there with a value that it does not take. A trial is read whole, or is over.

use core::time::Duration;

use iot_core::engine::{Batch, BatchWriter, RecordKey};

use super::{Config, Ending, Phase, Proof, Terms};
use crate::leaf::{LeafReader, LeafWriter};
use crate::reflect::{self, Twin};
use crate::sync::Version;

const FORMAT: u64 = 1;

impl<T: Twin + Clone> Config<T> {
    /// Reads a record; one of another format, or a damaged one, is none, and so is what others keep.
    pub(super) fn restore(&mut self, key: RecordKey, value: &[u8]) {
        if key != self.records && Some(key) != self.records.offset(1) {
            return;
        }
        let mut input = LeafReader::new(value);
        let len = input.array();
        if input.unsigned() != FORMAT {
            return;
        }
        if key == self.records {
            let (revision, ending) = (input.u32(), input.unsigned());
            let answered = version(&mut input);
            let mut confirmed = self.confirmed.clone();
            if len == Some(5) && read(&mut confirmed, &mut input).is_some() {
                (self.confirmed, self.revision) = (confirmed, revision);
                (self.ending, self.answered) = (ending_of(ending), answered);
            }
            return;
        }
        let (proof, within, restarts) = (input.unsigned(), input.unsigned(), input.unsigned());
        let answers = version(&mut input);
        let mut trial = self.confirmed.clone();
        let restarts = u8::try_from(restarts).ok();
        // A trial that cannot be read is over as well: its record has to go.
        self.tried = true;
        self.terms = Terms::health(Duration::ZERO).answering(answers);
        if len == Some(6)
            && read(&mut trial, &mut input) == Some(true)
            && let Some(restarts) = restarts
        {
            self.trial = trial;
            self.terms = Terms {
                proof: if proof == 0 {
                    Proof::Health
                } else {
                    Proof::Reconnect
                },
                within: Duration::from_millis(within),
                restarts,
                answers,
            };
        }
    }

    /// What the phase wants on record; `None` when it does not fit.
    pub(super) fn write<'b>(&self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let mut batch = BatchWriter::new(buffer);
        let trial = self.records.offset(1)?;
        match self.phase {
            Phase::Recording => {
                let head = [
                    u64::from(self.terms.proof == Proof::Reconnect),
                    u64::try_from(self.terms.within.as_millis()).ok()?,
                    self.terms.restarts.into(),
                    bits(self.terms.answers),
                ];
                put(&mut batch, trial, &head, &self.trial)?;
            }
            // Both in one batch: a trial without its record is a confirmed one, or none.
            Phase::Confirming => {
                let revision = self.revision.saturating_add(1).into();
                let ending = number_of(Some(Ending::Confirmed));
                let head = [revision, ending, bits(self.terms.answers)];
                put(&mut batch, self.records, &head, &self.trial)?;
                batch.remove(trial).ok()?;
            }
            _ => {
                let ending = number_of(self.ending);
                let head = [self.revision.into(), ending, bits(self.answered)];
                put(&mut batch, self.records, &head, &self.confirmed)?;
                batch.remove(trial).ok()?;
            }
        }
        Some(batch.finish())
    }
}

fn put<T: Twin>(
    batch: &mut BatchWriter<'_>,
    key: RecordKey,
    head: &[u64],
    settings: &T,
) -> Option<()> {
    let write = |room: &mut [u8]| {
        let mut out = LeafWriter::new(room);
        out.array(2 + head.len());
        out.unsigned(FORMAT);
        for number in head {
            out.unsigned(*number);
        }
        reflect::write(settings, &mut out);
        out.finish().map(<[u8]>::len)
    };
    batch.put_with(key, write).ok()
}

/// Reads all fields, and nothing may follow; whether each of them could be taken.
fn read<T: Twin>(settings: &mut T, input: &mut LeafReader<'_>) -> Option<bool> {
    let whole = reflect::take(settings, input).ok()?;
    input.is_at_end().then_some(whole)
}

fn bits(version: Version) -> u64 {
    u64::from(version.epoch()) << 32 | u64::from(version.number())
}

fn version(input: &mut LeafReader<'_>) -> Version {
    let bits = input.unsigned();
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    Version::new(half(bits >> 32), half(bits))
}

const fn number_of(ending: Option<Ending>) -> u64 {
    match ending {
        None => 0,
        Some(Ending::Confirmed) => 1,
        Some(Ending::NotApplied) => 2,
        Some(Ending::Failed) => 3,
        Some(Ending::TimedOut) => 4,
        Some(Ending::Restarted) => 5,
    }
}

const fn ending_of(number: u64) -> Option<Ending> {
    Some(match number {
        1 => Ending::Confirmed,
        2 => Ending::NotApplied,
        3 => Ending::Failed,
        4 => Ending::TimedOut,
        5 => Ending::Restarted,
        _ => return None,
    })
}
