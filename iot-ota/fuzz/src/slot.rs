//! What lies on flash where boot loaders look: after a power cut, wear, or somebody else's hands it may be anything.

use embedded_storage::nor_flash::NorFlash;
use iot_core::sim::flash::Mode;
use iot_core::sim::{SimCounter, SimFlash};
use iot_ota::slot::mcuboot::{Align, Trailer};
use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, boot, load, store};

use crate::Believer;

const PAGE: usize = 256;
const PAGES: u16 = 11;

fn layout() -> Layout {
    let page = |number: usize| (number * PAGE) as u32;
    Layout::swap(0, page(3), page(4), page(7), page(3))
}

/// A boot comes to its end on any flash, and whatever it boots was on record; a trailer that is read is written again
/// as it was.
pub fn run(data: &[u8]) {
    for align in [Align::Eight, Align::Sixteen, Align::ThirtyTwo] {
        let Some(trailer) = Trailer::decode(align, data) else {
            continue;
        };
        let mut out = [0; Trailer::MAX_BYTES];
        assert_eq!(
            Trailer::decode(align, trailer.encode(align, &mut out)),
            Some(trailer)
        );
    }
    let mut flash = SimFlash::<4, PAGE>::new(PAGES, Mode::Rewritable);
    flash.set_most_operations(20_000);
    let whole = data.len().min(PAGE * usize::from(PAGES)) / 4 * 4;
    // Ones stay erased, as on a chip.
    for (at, word) in (0..).step_by(4).zip(data[..whole].chunks(4)) {
        if word != [0xff; 4] {
            flash.write(at, word).expect("it is erased");
        }
    }
    let Ok(mut banks) = FlashBanks::open(flash, layout(), SimCounter::new(0)) else {
        panic!("the layout fits");
    };
    let booted = boot(&mut banks, &mut Believer);
    let record = load(&mut banks).expect("nothing fails");
    if let Ok(bank) = booted {
        let record = record.expect("something was booted");
        assert!(bank == record.boots() || bank == record.active);
    }
    let flash = banks.into_parts().0;
    assert!(flash.violation().is_none(), "{:?}", flash.violation());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let flash = SimFlash::<4, PAGE>::new(PAGES, Mode::Rewritable);
    let mut banks = FlashBanks::open(flash, layout(), SimCounter::new(0)).expect("it fits");
    banks.write(Bank::A, 0, b"firmware").expect("it is erased");
    let mut seeds = vec![vec![], image(&banks)];
    let release = Release::new(1, [7; 32], 8);
    store(&mut banks, &BootRecord::factory(Bank::A, release)).expect("it is stored");
    seeds.push(image(&banks));
    banks.place(Bank::B).expect("it is placed");
    seeds.push(image(&banks));
    let mut out = [0; Trailer::MAX_BYTES];
    let asked = Trailer::request(iot_ota::slot::mcuboot::Swap::Permanent);
    seeds.push(asked.encode(Align::Eight, &mut out).to_vec());
    seeds
}

fn image(banks: &FlashBanks<SimFlash<4, PAGE>, SimCounter>) -> Vec<u8> {
    use embedded_storage::nor_flash::ReadNorFlash;
    let mut bytes = vec![0; PAGE * usize::from(PAGES)];
    let mut flash = banks.flash().clone();
    ReadNorFlash::read(&mut flash, 0, &mut bytes).expect("all of it can be read");
    bytes
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
}
