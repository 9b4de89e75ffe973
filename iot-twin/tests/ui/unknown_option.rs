use iot_twin::Twin;

#[derive(Twin)]
struct Room {
    #[twin(desired, units = "Cel")]
    setpoint: f32,
    #[twin(desired, range = 5.0..30.0)]
    night: f32,
    #[twin(desired, local = Newest)]
    lit: bool,
}

fn main() {}
