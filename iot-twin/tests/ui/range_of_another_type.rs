use iot_twin::{Text, Twin};

#[derive(Twin)]
struct Room {
    #[twin(desired, range = 0..=10)]
    level: f32,
    #[twin(desired, range = 0..=10)]
    label: Text<8>,
}

fn main() {}
