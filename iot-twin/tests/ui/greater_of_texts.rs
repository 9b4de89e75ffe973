use iot_twin::{Text, Twin};

#[derive(Twin)]
struct Room {
    #[twin(desired, local = Max)]
    label: Text<8>,
}

fn main() {}
