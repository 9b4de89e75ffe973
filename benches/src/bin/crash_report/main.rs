//! tmp
mod records;
use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer};
use iot_core::storage::log;
fn run<const W: usize, const E: usize>(batches: u16, mode: Mode, config: Config) {
    let subject = records::Batches::<W, E, 4>::new(batches, log::Config::new());
    let start = FlashImage::new(4, mode);
    let compactions = subject.compactions(iot_core::sim::SimFlash::new(4, mode));
    let begin = std::time::Instant::now();
    let report = Explorer::new(subject, start, (0, 0), config)
        .run()
        .timed(begin.elapsed());
    println!("compactions={compactions} {report}");
    for failure in &report.failures {
        println!("{failure}");
    }
}
fn main() {
    let n: u16 = std::env::args().nth(1).map_or(12, |n| n.parse().unwrap());
    let mut c = match std::env::args().nth(2).as_deref() {
        Some("stable") => Config::STABLE,
        Some("unstable") => Config::UNSTABLE,
        _ => Config::BASIC,
    };
    c.states = 3_000_000;
    match std::env::args().nth(3).as_deref() {
        Some("8") => {
            for m in [Mode::Rewritable, Mode::WriteOnce] {
                run::<8, 256>(n, m, c)
            }
        }
        _ => {
            for m in [Mode::Rewritable, Mode::Multiwrite, Mode::WriteOnce] {
                run::<4, 256>(n, m, c)
            }
        }
    }
}
