use iot_core::sim::flash::{FlashImage, Mode};
use iot_core::sim::power::{Config, Explorer};
use iot_core::storage::log::Config as LogConfig;
use crate::entry::Outcome;
use crate::log::Entries;
use crate::records::Batches;

fn var(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().map_or(or, |v| v.parse().unwrap())
}
pub(crate) fn config() -> Config {
    let u = var("U", 0);
    let mut c = if u == 0 { Config::STABLE } else { Config::UNSTABLE };
    c.unstable_units = u as u32;
    c.torn.reordered = var("REORDER", 0) as u8;
    c.states = var("STATES", 3_000_000) as usize;
    c.filter_bits = var("FILTER", 18) as u8;
    c.merged_samples = 100;
    c.audit = true;
    c
}
fn run<const W: usize, const E: usize, const P: usize>() {
    let mode = match var("MODE", 0) { 0 => Mode::Rewritable, 1 => Mode::Multiwrite, _ => Mode::WriteOnce };
    let batches = var("BATCHES", 6) as u16;
    let cfg = LogConfig::new().spare_pages(var("SPARE", 2) as u16);
    let start = FlashImage::<W, E>::new(P as u16, mode);
    let cuts = var("CUTS", 10);
    let kind = std::env::var("KIND").unwrap_or("log".into());
    let (o, pages) = if kind == "log" {
        let s = Entries::<W, E, P>::new(batches, cfg);
        let pages = s.retirements(mode);
        (Outcome::of(Explorer::new(s, start, (0, 0, false), config()), cuts), pages)
    } else {
        let s = Batches::<W, E, P>::new(batches, cfg);
        let pages = s.compactions(mode);
        (Outcome::of(Explorer::new(s, start, (0, 0), config()), cuts), pages)
    };
    println!("E={E} P={P} batches={batches} pages_retired={pages} {:?} boots={} steps={} bootops={} weak={} coll={}", o.report.histogram().collect::<Vec<_>>(), o.report.boots, o.report.steps, o.report.boot_operations, o.report.weak_keys, o.report.collisions);
    print!("{}", o.lines(&kind));
    eprint!("{}", o.complaints(&kind));
}
pub(crate) fn main() {
    let (w, e, p) = (var("W", 4), var("E", 192), var("P", 4));
    macro_rules! go { ($(($w:literal, $e:literal, $p:literal)),*) => { match (w, e, p) { $(($w, $e, $p) => run::<$w, $e, $p>(),)* _ => panic!("no such") } } }
    go!((4, 128, 4), (4, 144, 4), (4, 160, 4), (4, 192, 4), (4, 160, 5), (8, 192, 4), (8, 224, 4), (8, 256, 4), (32, 576, 4), (32, 640, 4), (32, 768, 4))
}
