use iot_core::Peer;
use iot_transport::bridge::Carried;

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-transport/src/bridge/carried.cddl");

#[test]
fn everything_carried_is_as_described() {
    for (device, payload) in [("d", &b""[..]), ("boiler-7", b"21.5")] {
        let mut buffer = [0; 128];
        let carried = Carried::new(Peer::parse("acme", device).unwrap(), payload);
        SCHEMA.holds("carried", carried.encode(&mut buffer).unwrap());
    }
}
