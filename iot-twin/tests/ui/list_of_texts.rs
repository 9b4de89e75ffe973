use iot_twin::{Text, Twin};

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    names: [Text<8>; 2],
    #[twin(desired)]
    alias: String,
}

fn main() {}
