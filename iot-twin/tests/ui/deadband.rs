use iot_twin::{Text, Twin};

#[derive(Twin)]
struct Room {
    #[twin(reported, deadband = 1)]
    name: Text<8>,
}

fn main() {}
