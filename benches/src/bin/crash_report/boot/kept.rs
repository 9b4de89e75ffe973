//! What an updater has on record: in a store whose own cuts are explored elsewhere.

use iot_core::codec::FlatReader;
use iot_core::engine::{Batch, RecordKey};
use iot_core::sim::power::Violation;
use iot_core::{Engine, Event};
use iot_ota::update::{Activity, Status};

use super::NOW;

/// By key.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Kept(Vec<(RecordKey, Vec<u8>)>);

impl Kept {
    /// All of a batch, at one stroke.
    pub(super) fn take(&mut self, batch: &Batch<'_>) {
        for (key, value) in batch.iter() {
            self.0.retain(|(known, _)| *known != key);
            self.0.extend(value.map(|value| (key, value.to_vec())));
        }
        self.0.sort_unstable();
    }

    pub(super) fn tell(&self, updater: &mut impl Engine) {
        for (key, value) in &self.0 {
            updater.input(NOW, &Event::Record { key: *key, value });
        }
    }

    /// The release that is downloaded, and how many bytes of it are there.
    pub(super) fn download(&self) -> Option<(u64, u32)> {
        let (_, value) = self.0.first().filter(|_| self.0.len() == 2)?;
        let mut reader = FlatReader::new(value);
        reader.array(9, 3);
        let sequence = reader.uint();
        // Size, digest, counter, whether it goes back, bytes and form.
        for _ in 0..6 {
            reader.item();
        }
        Some((sequence, reader.u32()))
    }

    /// Whether a download that is on record goes on, unless its release is over. Of what was there only the page that was being
    /// written is fetched again.
    pub(super) fn is_gone_on_with(&self, status: &Status, page: usize) -> Result<(), Violation> {
        let (release, offset) = match (status.activity, self.download()) {
            (Activity::Fetching { release, offset }, _) => (release, offset),
            (Activity::Idle, Some((sequence, there))) => {
                let runs = status.running.is_some_and(|runs| runs.sequence == sequence);
                let is_over = status.ended.is_some_and(|ended| ended.sequence == sequence);
                return match runs || is_over {
                    true => Ok(()),
                    false => Err(Violation::new(format!(
                        "{there} bytes of release {sequence} are forgotten"
                    ))),
                };
            }
            _ => return Ok(()),
        };
        let (sequence, there) = self
            .download()
            .ok_or_else(|| Violation::new("it fetches what is not on record"))?;
        let whole = there as usize / page * page;
        if release.sequence != sequence || (offset as usize) < whole {
            return Err(Violation::new(format!(
                "it goes on with {offset} bytes of release {}; on record are {there} of {sequence}",
                release.sequence
            )));
        }
        Ok(())
    }
}
