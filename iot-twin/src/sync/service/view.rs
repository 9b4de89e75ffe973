//! What a simulator sees of a service's twin.

use alloc::vec::Vec;

use super::TwinService;
use crate::schema::FieldId;
use crate::sync::slot::Version;

impl TwinService {
    /// Under which version a field is desired, and the value; null when that was withdrawn.
    pub(in crate::sync) fn leaf(&self, id: FieldId) -> Option<(Version, &[u8])> {
        let wish = self.desired.get(&id)?;
        Some((Version::new(self.epoch, wish.version), &wish.encoded))
    }

    /// Under which version a field was reported, and the value.
    pub(in crate::sync) fn told(&self, id: FieldId) -> Option<(u64, Vec<u8>)> {
        let told = self.reported.get(&id)?;
        Some((told.version, told.value.to_cbor()))
    }
}
