use iot_twin::Twin;

#[derive(Twin)]
struct Pid {
    #[twin(desired)]
    kp: f32,
    #[twin(desired, id = 7)]
    ki: f32,
}

#[derive(Twin)]
struct Overlapping {
    #[twin(group, id = 16)]
    pid: Pid,
    #[twin(desired, id = 23)]
    setpoint: f32,
}

#[derive(Twin)]
struct TooFar {
    #[twin(group, id = 65530)]
    pid: Pid,
}

#[derive(Twin)]
struct Unnumbered {
    #[twin(group)]
    pid: Pid,
}

fn main() {}
