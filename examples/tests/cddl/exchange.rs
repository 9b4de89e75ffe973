use iot_transport::exchange::Request;

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-transport/src/exchange.cddl");

#[test]
fn requests_and_both_responses_are_as_described() {
    for number in [0, u64::MAX] {
        for path in ["p", &"p".repeat(64)] {
            let request = Request::new(number, path, b"body");
            let (mut a, mut b, mut c) = ([0; 128], [0; 128], [0; 128]);
            SCHEMA.holds_message("request", request.encode(&mut a).unwrap());
            SCHEMA.holds_message("response", request.answer(b"", &mut b).unwrap());
            SCHEMA.holds_message("response", request.refuse(&mut c).unwrap());
        }
    }
}
