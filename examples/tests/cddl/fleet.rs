use iot_core::fleet::Selector;

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-core/src/fleet/fleet.cddl");

#[test]
fn a_selector_is_as_described() {
    for text in ["all()", "site == 'north' && !(stage in ('a', 'b'))"] {
        let selector = Selector::parse(text).unwrap();
        SCHEMA.holds("selector", &minicbor::to_vec(&selector).unwrap());
    }
}
