use core::time::Duration;

use iot_core::Priority;
use iot_transport::envelope::{Envelope, Position};

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-transport/src/envelope.cddl");

#[test]
fn every_envelope_is_as_described() {
    let plain = Envelope::new(Position::new(7, 1, 1), b"21.5");
    let full = Envelope::new(Position::new(u32::MAX, u64::MAX, 1), b"")
        .with_priority(Priority::Critical)
        .with_life(Some(Duration::MAX))
        .with_correlation(&[9; 16])
        .with_trace(&[3; 25]);
    for envelope in [plain, full] {
        let mut buffer = [0; 128];
        SCHEMA.holds("envelope", envelope.encode(&mut buffer).unwrap());
    }
}
