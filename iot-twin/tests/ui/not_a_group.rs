use iot_twin::Twin;

struct Pid {
    kp: f32,
}

#[derive(Twin)]
struct Room {
    #[twin(group, id = 16)]
    pid: Pid,
}

fn main() {}
