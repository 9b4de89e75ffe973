use iot_twin::Twin;

#[derive(Twin)]
struct Room {
    setpoint: f32,
    #[twin(reported)]
    temperature: f32,
}

fn main() {}
