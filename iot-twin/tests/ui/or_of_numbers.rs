use iot_twin::Twin;

#[derive(Twin)]
struct Room {
    #[twin(desired, local = Or)]
    level: u8,
}

fn main() {}
