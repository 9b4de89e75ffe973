//! Small records for tests.

use iot_twin::registry::{Draft, Record, TwinKey};
use iot_twin::{FieldId, TwinService};

pub(crate) fn key(number: u64) -> TwinKey {
    format!("acme/d{number}").parse().unwrap()
}

pub(crate) fn draft(value: u64, labels: &[(&str, &str)]) -> Draft {
    let mut twin = TwinService::new();
    twin.set_field(FieldId::new(1), value).unwrap();
    let mut draft = Draft::of(&twin);
    for (name, value) in labels {
        draft.set_label(name, value).unwrap();
    }
    draft
}

pub(crate) fn record(value: u64) -> Record {
    draft(value, &[]).finish().unwrap()
}
