//! What a flash means to a boot: the canonical key of a crash state.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashCell, Reading};
use iot_core::sim::power::KeyHasher;

use super::placement::Moving;
use super::register::{PAGES, Register, Seen, size};
use super::{Boot, KIND_BOOT, Layout, Mode, PAYLOAD_BYTES, Placement};
use crate::slot::record::decode;
use crate::slot::{Bank, BootRecord, BootState, RECORD_BYTES};

/// Everything in flash that a boot and what follows it depend on: for
/// [`Subject::key`](iot_core::sim::power::Subject::key). Of a download that is resumed after a power cut, what it counts on in
/// the spare bank has to be added.
///
/// Left out is what is always erased before it is looked at: pages of the record that hold nothing, the journal
/// while nothing is moved, the page that a copy was interrupted on, and the spare bank while nothing is staged.
///
/// ```
/// # #[cfg(feature = "boot")] {
/// use iot_core::sim::flash::Mode;
/// use iot_core::sim::power::KeyHasher;
/// use iot_core::sim::{SimCounter, SimFlash};
/// use iot_ota::slot::FlashMeaning;
/// use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, store};
///
/// let layout = Layout::direct(0, 3 * 256, 4 * 256, 256, Bank::A);
/// let flash = SimFlash::<4, 256>::new(5, Mode::WriteOnce);
/// let mut banks = FlashBanks::open(flash, layout, SimCounter::new(0)).unwrap();
/// store(&mut banks, &BootRecord::factory(Bank::A, Release::new(1, [1; 32], 100))).unwrap();
/// let mut meaning = FlashMeaning::<4, 256>::new(layout);
/// let mut key = |banks: &FlashBanks<SimFlash<4, 256>, SimCounter>| {
///     let mut key = KeyHasher::new();
///     meaning.add(&mut banks.flash().clone(), &mut key);
///     key.key()
/// };
/// let before = key(&banks);
/// // Nothing is staged: what lies in the spare bank is erased before it is used.
/// banks.write(Bank::B, 0, &[7; 8]).unwrap();
/// assert_eq!(key(&banks), before);
/// banks.write(Bank::A, 0, &[7; 8]).unwrap();
/// assert_ne!(key(&banks), before);
/// # }
/// ```
#[derive(Debug)]
pub struct FlashMeaning<const WRITE: usize, const ERASE: usize> {
    layout: Layout,
    /// By the hash of the pages of the register: most cuts leave those as they were.
    known: BTreeMap<u128, Known>,
}

/// What the pages of a register mean: two hashes, and what boots can find there.
#[derive(Clone, Debug)]
struct Known {
    key: u128,
    audit: u64,
    found: Vec<Option<(BootRecord, Placement)>>,
}

/// So many registers are remembered.
const REMEMBERED: usize = 1 << 14;

impl<const WRITE: usize, const ERASE: usize> FlashMeaning<WRITE, ERASE> {
    /// Of flash that is divided so.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self {
            layout,
            known: BTreeMap::new(),
        }
    }

    /// Adds what this flash means to `key`.
    pub fn add(&mut self, flash: &mut SimFlash<WRITE, ERASE>, key: &mut KeyHasher) {
        let layout = self.layout;
        let pages = |at: u32| at as usize / ERASE;
        let at = pages(layout.record)..pages(layout.record).saturating_add(PAGES as usize);
        let mut of = KeyHasher::new();
        of.word(flash.image().mode() as u64);
        for page in at.clone() {
            of.image(flash.image().page_hash(page));
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let known = self.known.entry(of.key()).or_insert_with(|| {
            let unstable = at.clone().any(|page| flash.image().is_unstable(page));
            let mut key = KeyHasher::new();
            let found = add_register(flash, layout.record, unstable, &mut key);
            let record = |payload: &[u8; PAYLOAD_BYTES]| {
                let (record, _) = decode(payload.first_chunk()?)?;
                Some((record, Placement::of(Some(payload))))
            };
            Known {
                key: key.key(),
                audit: key.audit(),
                found: found
                    .iter()
                    .map(|payload| record(payload.as_ref()?))
                    .collect(),
            }
        });
        key.image(known.key);
        key.word(known.audit);
        for found in &known.found {
            add_live(flash, layout, found.as_ref(), key);
        }
    }
}

/// The pages that count when this is what the register holds.
fn add_live<const WRITE: usize, const ERASE: usize>(
    flash: &SimFlash<WRITE, ERASE>,
    layout: Layout,
    found: Option<&(BootRecord, Placement)>,
    key: &mut KeyHasher,
) {
    let pages = |at: u32| at as usize / ERASE;
    let Some((record, placement)) = found else {
        return key.image(flash.image().hash());
    };
    let mut live = Live {
        flash,
        key,
        bank: pages(layout.capacity),
    };
    let place = |bank| pages(layout.place_of::<SimFlash<WRITE, ERASE>>(bank, placement.placed));
    let stored = |bank: Bank| pages(layout.place_of::<SimFlash<WRITE, ERASE>>(bank, bank.other()));
    let copies = layout.copies::<SimFlash<WRITE, ERASE>>();
    match (placement.moving, layout.mode) {
        (Moving::Nothing, mode) => {
            live.add_bank(place(record.active));
            if record.state != BootState::Confirmed {
                live.add_bank(place(record.active.other()));
            }
            if !matches!(mode, Mode::Direct { .. }) {
                live.add_bank(place(placement.placed));
            }
            if let Mode::Overwrite { .. } = mode {
                live.add_bank(stored(record.active));
            }
        }
        (_, Mode::Overwrite { .. } | Mode::Direct { .. }) => {
            live.add_bank(stored(Bank::A));
            live.add_bank(stored(Bank::B));
        }
        (Moving::Back(back), Mode::Swap { run, other, .. }) => {
            let to = |number| layout.copy_back::<SimFlash<WRITE, ERASE>>(placement.placed, number);
            let dead: Vec<_> = (0..back.into())
                .map(|number| pages(to(number).to))
                .collect();
            let (run, other) = (pages(run), pages(other));
            let moved = (run..run + live.bank).chain(other..=other + live.bank);
            for page in moved.filter(|page| !dead.contains(page)) {
                live.key.image(live.flash.image().page_hash(page));
            }
        }
        (
            Moving::Other(known),
            Mode::Swap {
                journal,
                run,
                other,
            },
        ) => {
            let journal = pages(journal);
            let number = live.add_journal(journal, known.into(), copies as usize);
            let copy = number.map(|number| {
                layout.copy::<SimFlash<WRITE, ERASE>>(placement.placed.other(), size(number))
            });
            let dead = copy.map(|copy| pages(copy.to));
            let (run, other) = (pages(run), pages(other));
            let moved = (run..run + live.bank).chain(other..=other + live.bank);
            for page in moved.filter(|page| Some(*page) != dead) {
                live.key.image(live.flash.image().page_hash(page));
            }
        }
    }
}

/// What boots can read of a register, under every reading of its doubtful words; the values that they read.
fn add_register<const WRITE: usize, const ERASE: usize>(
    flash: &mut SimFlash<WRITE, ERASE>,
    at: u32,
    unstable: bool,
    key: &mut KeyHasher,
) -> Vec<Option<[u8; PAYLOAD_BYTES]>> {
    let mut values = Vec::new();
    for reading in [Reading::Value, Reading::Erased] {
        if reading == Reading::Value && !unstable {
            continue;
        }
        flash.set_reading(reading);
        let register: Register<PAYLOAD_BYTES> = Boot::open(flash, at, KIND_BOOT);
        let seen = register.seen();
        for (seen, agrees) in seen.into_iter().zip(register.agreeing()) {
            key.word(u64::from(agrees));
            let (kind, generation) = match seen {
                Seen::Void => (0, 0),
                Seen::Doubtful(generation) => (1, generation),
                Seen::Marked(generation) => (2, generation),
            };
            // Of generations only the order counts.
            let below = |other: &&Seen| match other {
                Seen::Void => false,
                Seen::Doubtful(other) | Seen::Marked(other) => *other < generation,
            };
            key.word(kind);
            key.word(seen_below(&register.seen(), below));
        }
        let value = register.value().copied();
        add_value(value.as_ref(), key);
        values.push(value);
        if unstable {
            for page in 0..seen.len() {
                add_page_meaning(flash, &register, page, key);
            }
        }
    }
    flash.set_reading(Reading::Erased);
    values
}

/// What else a page of the register can be read as.
fn add_page_meaning<const WRITE: usize, const ERASE: usize>(
    flash: &mut SimFlash<WRITE, ERASE>,
    register: &Register<PAYLOAD_BYTES>,
    page: usize,
    key: &mut KeyHasher,
) {
    let value = register.look(flash, page).map(|(_, value)| value);
    add_value(value.as_ref(), key);
    let number = register.page_number::<SimFlash<WRITE, ERASE>>(page);
    for word in 0..ERASE / WRITE {
        if let Some(FlashCell::Unstable(_)) = flash.image().cell(number, word) {
            key.word(word as u64);
        }
    }
}

/// A value without the record's own generation and checksum: the one rises for ever, and while there is one copy
/// nobody looks at it.
fn add_value(value: Option<&[u8; PAYLOAD_BYTES]>, key: &mut KeyHasher) {
    key.word(u64::from(value.is_some()));
    let content = value.and_then(|value| value.get(5..RECORD_BYTES - 4));
    key.bytes(content.unwrap_or(&[]));
    key.bytes(
        value
            .and_then(|value| value.get(RECORD_BYTES..))
            .unwrap_or(&[]),
    );
}

fn seen_below(seen: &[Seen], below: impl Fn(&&Seen) -> bool) -> u64 {
    seen.iter().filter(below).count() as u64
}

struct Live<'a, const WRITE: usize, const ERASE: usize> {
    flash: &'a SimFlash<WRITE, ERASE>,
    key: &'a mut KeyHasher,
    /// Pages of a bank.
    bank: usize,
}

impl<const WRITE: usize, const ERASE: usize> Live<'_, WRITE, ERASE> {
    fn add_bank(&mut self, first: usize) {
        for page in first..first.saturating_add(self.bank) {
            self.key.image(self.flash.image().page_hash(page));
        }
    }

    /// The copy that comes next; `None` when that is in doubt.
    fn add_journal(&mut self, page: usize, known: usize, copies: usize) -> Option<usize> {
        let (mut done, mut doubt) = (known, false);
        for number in known..copies {
            let (page, word) = (
                page + number * WRITE / ERASE,
                number * WRITE % ERASE / WRITE,
            );
            let kind = match self.flash.image().cell(page, word) {
                Some(FlashCell::Erased) => 0,
                Some(FlashCell::Attempted) => 1,
                Some(FlashCell::Unstable(_)) => {
                    doubt = true;
                    3
                }
                _ => {
                    done = number + 1;
                    2
                }
            };
            self.key.word(kind);
        }
        (!doubt && done < copies).then_some(done)
    }
}
