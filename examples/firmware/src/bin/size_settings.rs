//! Thirty settings of mixed types in nested structs, read and written by path.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_firmware::board::{Board, exit, opaque};
use iot_twin::leaf::{LeafReader, LeafWriter};
use iot_twin::{Text, Twin, TwinEnum, reflect};

#[derive(Clone, Copy, Debug, PartialEq, TwinEnum)]
enum Filter {
    Off = 0,
    LowPass = 1,
    Notch = 2,
}

#[derive(Twin)]
struct Pid {
    #[twin(desired, range = 0.0..=100.0)]
    kp: f32,
    #[twin(desired, range = 0.0..=100.0)]
    ki: f32,
    #[twin(desired)]
    kd: Option<f32>,
    #[twin(desired)]
    limits: [i16; 2],
}

#[derive(Twin)]
struct Channel {
    #[twin(desired)]
    enabled: bool,
    #[twin(desired)]
    filter: Filter,
    #[twin(desired, range = 1..=64)]
    gain: u8,
    #[twin(desired)]
    offset: i32,
    #[twin(group, id = 8)]
    pid: Pid,
}

#[derive(Twin)]
struct Network {
    #[twin(desired)]
    address: [u8; 4],
    #[twin(desired)]
    port: u16,
    #[twin(desired, secret)]
    token: Text<24>,
    #[twin(desired)]
    keep_alive_s: Option<u16>,
}

#[derive(Twin)]
struct Settings {
    #[twin(group, id = 0)]
    left: Channel,
    #[twin(group, id = 32)]
    right: Channel,
    #[twin(group, id = 64)]
    network: Network,
    #[twin(desired, id = 96)]
    name: Text<16>,
    #[twin(desired, id = 97)]
    period_us: u64,
    #[twin(desired, id = 98)]
    scale: f32,
    #[twin(desired, id = 99)]
    modes: [Filter; 3],
    #[twin(desired, id = 100)]
    trim: Option<i8>,
    #[twin(desired, id = 101)]
    enabled: bool,
    #[twin(desired, id = 102)]
    threshold: i64,
    #[twin(desired, id = 103)]
    window: u32,
    #[twin(desired, id = 104, range = -40..=125)]
    ceiling_c: i16,
    #[twin(desired, id = 105)]
    weights: [f32; 4],
}

/// What is written, and read again.
static VALUES: [(&str, &[u8]); 12] = [
    ("/left/enabled", b"\xf5"),
    ("/right/filter", b"\x02"),
    ("/left/gain", b"\x18\x40"),
    ("/left/pid/kp", b"\xfa\x3f\x80\x00\x00"),
    ("/right/pid/kd", b"\xfa\x40\x20\x00\x00"),
    ("/right/pid/limits", b"\x82\x19\x03\xe8\x39\x03\xe7"),
    ("/network/address", b"\x84\x18\xc0\x18\xa8\x00\x01"),
    ("/network/token", b"\x66s3cret"),
    ("/name", b"\x66boiler"),
    ("/modes", b"\x83\x00\x01\x02"),
    ("/period_us", b"\x1a\x00\x0f\x42\x40"),
    ("/threshold", b"\x3a\x00\x01\x86\x9f"),
];

/// What is refused.
static REFUSED: [(&str, &[u8]); 4] = [
    ("/left/pid/kp", b"\x18\x65"),
    ("/left/filter", b"\x03"),
    ("/right/pid", b"\x00"),
    ("/ceiling_c", b"\x38\x28"),
];

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut settings = Settings::INITIAL;
    let (mut kept, mut refused) = (0, 0);
    for (path, value) in VALUES {
        let mut input = LeafReader::new(opaque(value));
        let mut buffer = [0; 32];
        let mut out = LeafWriter::new(&mut buffer);
        if reflect::set(&mut settings, opaque(path), &mut input).is_ok()
            && reflect::get(&settings, opaque(path), &mut out).is_ok()
        {
            kept += usize::from(out.finish() == Some(value));
        }
    }
    for (path, value) in REFUSED {
        let mut input = LeafReader::new(opaque(value));
        refused += usize::from(reflect::set(&mut settings, opaque(path), &mut input).is_err());
    }
    let all = (VALUES.len(), REFUSED.len());
    if (kept, refused) == all && Settings::COUNT == 30 {
        board.finish(Ok(&[("settings", Settings::COUNT), ("kept", kept)]))
    }
    board.finish(Err("settings"))
}
