use iot_twin::Twin;

#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Eco,
}

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    mode: Mode,
}

fn main() {}
