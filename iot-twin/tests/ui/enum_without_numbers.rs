use iot_twin::TwinEnum;

#[derive(Clone, Copy, TwinEnum)]
enum Mode {
    Off,
    Eco,
}

#[derive(Clone, Copy, TwinEnum)]
enum Held {
    Off = 0,
    Until(u8),
}

fn main() {}
